//! The words of the `redis` crate's commands: borrowed from a `Cmd`, or parsed out of commands that come packed.

use std::ops::Range;

use redis::{Arg, Cmd, ErrorKind, RedisError, RedisResult};
use smallvec::SmallVec;

use super::value::empty_command;
use crate::request::{Parsed, Parser};

/// The words of one command; few enough to stand on the stack as a rule.
pub(super) type Words<'a> = SmallVec<[&'a [u8]; 8]>;

/// Words that a command does not lend, such as a cursor's digits: they stand in its packed form alone. Empty, and without
/// memory, for all other commands.
#[derive(Debug, Default)]
pub(super) struct HiddenWords {
    packed: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl HiddenWords {
    pub(super) fn of(command: &Cmd) -> Self {
        let mut hidden = Self::default();
        if !command
            .args_iter()
            .all(|word| matches!(word, Arg::Simple(_)))
        {
            hidden.packed = command.get_packed_command();
            let parsed = Parser::new().parse(&hidden.packed, &mut hidden.ranges);
            debug_assert!(matches!(parsed, Ok(Parsed::Complete { .. })));
        }
        hidden
    }

    fn word(&self, position: usize) -> &[u8] {
        let range = self.ranges.get(position).cloned();
        range
            .and_then(|range| self.packed.get(range))
            .unwrap_or_default()
    }
}

/// The words of a command.
pub(super) fn words<'a>(command: &'a Cmd, hidden: &'a HiddenWords) -> RedisResult<Words<'a>> {
    let words: Words<'a> = command
        .args_iter()
        .enumerate()
        .map(|(position, word)| match word {
            Arg::Simple(bytes) => bytes,
            _ => hidden.word(position),
        })
        .collect();
    if words.is_empty() {
        return Err(empty_command());
    }
    Ok(words)
}

/// Commands that come packed, one after the other.
#[derive(Debug)]
pub(super) struct PackedCommands<'a> {
    rest: &'a [u8],
    ranges: Vec<Range<usize>>,
}

impl<'a> PackedCommands<'a> {
    pub(super) const fn new(packed: &'a [u8]) -> Self {
        Self {
            rest: packed,
            ranges: Vec::new(),
        }
    }

    /// Hands the words of the next command to `run`; `None` when there is no further command.
    pub(super) fn next_with<T>(
        &mut self,
        run: impl FnOnce(&[&[u8]]) -> T,
    ) -> RedisResult<Option<T>> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            self.ranges.clear();
            let mut parser = Parser::new();
            parser.set_max_bulk(usize::MAX);
            let parsed = parser
                .parse(self.rest, &mut self.ranges)
                .map_err(|error| malformed(error.to_string()))?;
            let command = self.rest;
            match parsed {
                Parsed::Complete { consumed } => {
                    self.rest = &command[consumed..];
                    let ranges = self.ranges.iter().cloned();
                    let words: Words<'_> = ranges.map(|range| &command[range]).collect();
                    return Ok(Some(run(&words)));
                }
                Parsed::Inline { consumed, args } => {
                    self.rest = &command[consumed..];
                    let words: Words<'_> = args.iter().map(Vec::as_slice).collect();
                    return Ok(Some(run(&words)));
                }
                Parsed::Empty { consumed } => self.rest = &command[consumed..],
                Parsed::Incomplete { .. } => {
                    return Err(malformed("the packed command is not complete".to_owned()));
                }
            }
        }
    }
}

fn malformed(detail: String) -> RedisError {
    (ErrorKind::Client, "malformed command", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(packed: &[u8]) -> RedisResult<Vec<Vec<Vec<u8>>>> {
        let mut commands = PackedCommands::new(packed);
        let mut all = Vec::new();
        let own = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
        while let Some(words) = commands.next_with(own)? {
            all.push(words);
        }
        Ok(all)
    }

    #[test]
    fn cursors_are_found() -> RedisResult<()> {
        let mut scan = redis::cmd("SCAN");
        scan.cursor_arg(1234).arg("COUNT").arg(10);
        let hidden = HiddenWords::of(&scan);
        let expected: [&[u8]; 4] = [b"SCAN", b"1234", b"COUNT", b"10"];
        assert_eq!(words(&scan, &hidden)?.as_slice(), expected);
        let none = HiddenWords::of(redis::cmd("GET").arg("k"));
        assert!(none.packed.is_empty());
        assert!(words(&Cmd::new(), &none).is_err());
        Ok(())
    }

    #[test]
    fn packed_commands_come_apart() -> RedisResult<()> {
        let mut packed = redis::cmd("SET").arg("k").arg(b"\r\n").get_packed_command();
        packed.extend_from_slice(b"*0\r\nPING 'a b'\r\n");
        let expected = [
            vec![b"SET".to_vec(), b"k".to_vec(), b"\r\n".to_vec()],
            vec![b"PING".to_vec(), b"a b".to_vec()],
        ];
        assert_eq!(parse_all(&packed)?, expected);
        assert!(parse_all(b"*1\r\n$4\r\nPI").is_err());
        assert!(parse_all(b"*1\r\n:1\r\n").is_err());
        Ok(())
    }
}
