//! The short commands of what a connection has read, parsed before the first of them runs, so that what they will look up
//! can be locked and fetched together. Knows no socket.

use smallvec::SmallVec;

use super::buffers::BatchBuffers;
use crate::engine::{Engine, Held, Session};
use crate::keyspace::{Keyspace, Lookup, MOST_LOOKUPS};
use crate::request::Parser;

/// Commands of one batch at most.
const MOST: usize = MOST_LOOKUPS;
/// From so many commands on it pays to fetch ahead.
const MIN_PREFETCH: usize = 3;

/// Hashes of the commands' keys.
pub(super) type Hashes = SmallVec<[u64; MOST]>;

/// Parsed commands, whose words lie in the input.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// Their words, one after the other.
    words: Vec<&'a [u8]>,
    /// Of each command, where its words end among all, and where its bytes end in the input.
    ends: Vec<(usize, usize)>,
}

impl<'a> Batch<'a> {
    /// The commands at the start of `input`, up to the first that is not short, or not there as a whole.
    #[inline]
    pub(super) fn parse(parser: &Parser, input: &'a [u8], buffers: BatchBuffers) -> Self {
        let mut batch = Self {
            words: buffers.words,
            ends: buffers.ends,
        };
        let mut end = 0;
        while batch.ends.len() < MOST {
            let rest = input.get(end..).unwrap_or_default();
            let Some(taken) = parser.parse_short(rest, |word| batch.words.push(word)) else {
                break;
            };
            end += taken;
            batch.ends.push((batch.words.len(), end));
        }
        batch
    }

    /// Its memory, for another batch.
    pub(super) fn into_buffers(mut self) -> BatchBuffers {
        self.words.clear();
        self.ends.clear();
        BatchBuffers {
            // Nothing is left whose lifetime could differ, and collecting in place keeps the allocation.
            words: self.words.into_iter().map(|_| &[][..]).collect(),
            ends: self.ends,
        }
    }

    /// Each command's words, and where it ends in the input.
    #[inline]
    pub(super) fn commands(&self) -> impl Iterator<Item = (&[&'a [u8]], usize)> {
        let mut first = 0;
        self.ends.iter().map(move |(last, end)| {
            let words = self.words.get(first..*last).unwrap_or_default();
            first = *last;
            (words, *end)
        })
    }

    /// Starts to load what the commands will look up, if there are enough of them: the second word of a command is nearly
    /// always its key, the third or the last the field or member. Then `hashes` are those of the second words. A worker that is
    /// `alone` has no other to keep waiting: it holds the locks until the batch is done.
    #[inline]
    pub(super) fn prefetch<'e>(
        &self,
        engine: &'e Engine,
        session: &mut Session,
        alone: bool,
        hashes: &mut Hashes,
    ) -> Held<'e> {
        if self.ends.len() < MIN_PREFETCH {
            return Held::nothing();
        }
        let mut lookups: SmallVec<[Lookup<'_>; MOST]> = SmallVec::new();
        for (words, _) in self.commands() {
            let (key, members) = match *words {
                [_, key] => (key, None),
                [_, key, member, .., last] => (key, Some((member, last))),
                [_, key, member] => (key, Some((member, member))),
                _ => {
                    hashes.push(0);
                    continue;
                }
            };
            let hash = Keyspace::hash(key);
            hashes.push(hash);
            lookups.push(Lookup::new(hash, members));
        }
        if alone {
            return engine.hold(session, &lookups);
        }
        engine.keyspace().prefetch(session.state.db, &lookups);
        Held::nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(input: &[u8]) -> Vec<(Vec<Vec<u8>>, usize)> {
        let parser = Parser::new();
        let batch = Batch::parse(&parser, input, BatchBuffers::default());
        let owned = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
        batch
            .commands()
            .map(|(words, end)| (owned(words), end))
            .collect()
    }

    #[test]
    fn it_ends_before_what_is_not_short_or_not_whole() {
        let ping = b"*1\r\n$4\r\nPING\r\n";
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let both = [&ping[..], get].concat();
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
        let expected = vec![
            (words(&[b"PING"]), ping.len()),
            (words(&[b"GET", b"k"]), both.len()),
        ];
        assert_eq!(parsed(&both), expected);
        for rest in [
            &b"*2\r\n$3\r\nGET\r\n$1\r\nk\r"[..],
            b"PING\r\n",
            b"*0\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$04\r\nPING\r\n",
            b"*1\r\n$1000\r\n",
        ] {
            assert_eq!(parsed(&[&both[..], rest].concat()), expected);
        }
    }

    #[test]
    fn it_takes_so_many_and_no_more() {
        let input = b"*1\r\n$4\r\nPING\r\n".repeat(MOST + 1);
        assert_eq!(parsed(&input).len(), MOST);
    }
}
