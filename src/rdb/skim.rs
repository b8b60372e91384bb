//! An RDB in two steps, so that many threads can share the work: one finds out where each value begins and ends, others
//! make values of the bytes. Both read the same format as [`read`](super::read), and find the same damage.

use std::io::Read;

use super::encoder::Usage;
use super::object::{
    HASH, HASH_LISTPACK, HASH_LISTPACK_TIMES, HASH_LISTPACK_TIMES_BEFORE_RELEASE, HASH_TIMES,
    HASH_TIMES_BEFORE_RELEASE, HASH_ZIPLIST, HASH_ZIPMAP, LIST, LIST_QUICKLIST, LIST_QUICKLIST_2,
    LIST_ZIPLIST, SET, SET_INTSET, SET_LISTPACK, STREAM, STREAM_2, STREAM_3, STRING, ZSET, ZSET_2,
    ZSET_LISTPACK, ZSET_ZIPLIST,
};
use super::primitive::whole_string;
use super::reader::{Decoder, Item, RdbSummary};
use super::source::Source;
use super::{Problem, RdbError};
use crate::keyspace::{Limits, Value};
use crate::value::stream::StreamId;

/// A key of an RDB whose value has not been looked at.
#[derive(Debug, Clone, Copy)]
pub struct RawEntry<'a> {
    /// The number of its database, as the RDB says it.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// When it expires, in Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// When it was used, where the writing server kept that.
    pub usage: Option<Usage>,
    /// What the bytes of its value are.
    pub kind: RawKind,
}

/// The type of a value that is bytes still, and where they stand in the RDB.
#[derive(Debug, Clone, Copy)]
pub struct RawKind {
    number: u8,
    offset: u64,
}

/// Who takes values as they stand in an RDB.
pub trait RawEntries {
    /// Why it takes no more.
    type Error: From<RdbError>;

    /// A database of about so many keys begins, as the RDB says.
    fn expect(&mut self, db: usize, keys: u64);

    /// A key begins. Gives what the bytes of its value are appended to; none where nobody wants it.
    ///
    /// # Errors
    /// Ends the reading.
    fn begin(&mut self, entry: RawEntry<'_>) -> Result<Option<Vec<u8>>, Self::Error>;

    /// What [`Self::begin`] gave, with the value at its end.
    fn end(&mut self, bytes: Vec<u8>);
}

/// A value that was bytes.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// A string.
    Text(&'a [u8]),
    /// Any other value, or a string that was not there as it is.
    Value(Value),
    /// A collection without elements, which is to be passed over.
    Empty,
}

/// As [`read`](super::read), but hands out the values as bytes for [`RawKind::decode`]. Keys are counted in the summary
/// even if that finds their collections empty. O(bytes).
///
/// # Errors
/// As `read`; damage inside of values is found by decoding them.
pub fn skim<S: RawEntries>(reader: &mut impl Read, sink: &mut S) -> Result<RdbSummary, S::Error> {
    let mut decoder = Decoder::begin(reader)?;
    loop {
        let problem = match decoder.item() {
            Ok(Item::Entry(kind)) => match decoder.skim(kind, sink)? {
                Ok(()) => continue,
                Err(problem) => problem,
            },
            Ok(Item::Size(keys)) => {
                sink.expect(decoder.db, keys);
                continue;
            }
            Ok(Item::Other) => continue,
            Ok(Item::End) => return Ok(decoder.summary),
            Err(problem) => problem,
        };
        return Err(decoder.error(problem).into());
    }
}

impl<R: Read> Decoder<'_, R> {
    fn skim<S: RawEntries>(
        &mut self,
        number: u8,
        sink: &mut S,
    ) -> Result<Result<(), Problem>, S::Error> {
        let (expires_at_ms, usage) = (self.expires_at_ms.take(), self.usage.take());
        let key = match self.read_key() {
            Ok(key) => key,
            Err(problem) => return Ok(Err(problem)),
        };
        let entry = RawEntry {
            db: self.db,
            key: &key,
            expires_at_ms,
            usage,
            kind: RawKind {
                number,
                offset: self.source.offset(),
            },
        };
        let wanted = sink.begin(entry)?;
        self.begin_value(key);
        let is_wanted = wanted.is_some();
        if let Some(out) = wanted {
            self.source.record(out);
        }
        let skipped = self.source.skip_value(number);
        if is_wanted {
            sink.end(self.source.recorded());
        }
        if skipped.is_ok() {
            self.end_value();
            self.summary.keys += 1;
        }
        Ok(skipped)
    }
}

impl RawKind {
    /// The value that these bytes are, in the form that `limits` ask for.
    ///
    /// # Errors
    /// They are damaged. The key is still to be added.
    pub fn decode<'a>(self, bytes: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, RdbError> {
        if self.number == STRING
            && let Some(text) = whole_string(bytes)
        {
            return Ok(Decoded::Text(text));
        }
        let mut nothing = std::io::empty();
        let mut source = Source::of(bytes, self.offset, &mut nothing);
        match source.value(self.number, limits) {
            Ok(Some(value)) => Ok(Decoded::Value(value)),
            Ok(None) => Ok(Decoded::Empty),
            Err(problem) => Err(RdbError {
                offset: source.mark(),
                key: None,
                problem,
            }),
        }
    }
}

impl<R: Read> Source<'_, R> {
    /// Passes over the value of a key of this type.
    fn skip_value(&mut self, kind: u8) -> Result<(), Problem> {
        match kind {
            STRING
            | LIST_ZIPLIST
            | SET_INTSET
            | SET_LISTPACK
            | HASH_ZIPMAP
            | HASH_ZIPLIST
            | HASH_LISTPACK
            | ZSET_ZIPLIST
            | ZSET_LISTPACK
            | HASH_LISTPACK_TIMES_BEFORE_RELEASE => self.skip_string(),
            LIST | SET | LIST_QUICKLIST => self.skip_strings(1),
            HASH => self.skip_strings(2),
            ZSET => self.skip_each(|source| {
                source.skip_string()?;
                source.text_double().map(drop)
            }),
            ZSET_2 => self.skip_each(|source| {
                source.skip_string()?;
                source.skip(size_of::<f64>() as u64)
            }),
            LIST_QUICKLIST_2 => self.skip_each(|source| {
                source.length()?;
                source.skip_string()
            }),
            HASH_TIMES | HASH_TIMES_BEFORE_RELEASE => {
                if kind == HASH_TIMES {
                    self.skip(size_of::<i64>() as u64)?;
                }
                self.skip_each(|source| {
                    source.length()?;
                    source.skip_string()?;
                    source.skip_string()
                })
            }
            HASH_LISTPACK_TIMES => {
                self.skip(size_of::<i64>() as u64)?;
                self.skip_string()
            }
            STREAM | STREAM_2 | STREAM_3 => self.skip_stream(kind),
            _ => Err(self.unsupported(kind)),
        }
    }

    fn skip_each(
        &mut self,
        mut skip: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        (0..self.length()?).try_for_each(|_| skip(self))
    }

    fn skip_strings(&mut self, width: u64) -> Result<(), Problem> {
        self.skip_each(|source| (0..width).try_for_each(|_| source.skip_string()))
    }

    pub(super) fn skip_lengths(&mut self, count: usize) -> Result<(), Problem> {
        (0..count).try_for_each(|_| self.length().map(drop))
    }

    fn skip_stream(&mut self, kind: u8) -> Result<(), Problem> {
        const ID: u64 = StreamId::LEN as u64;
        const TIME: u64 = size_of::<i64>() as u64;
        self.skip_strings(2)?;
        // How many entries, and the last id; the first id, the highest deleted one, and how many were added.
        self.skip_lengths(if kind == STREAM { 3 } else { 8 })?;
        self.skip_each(|source| {
            source.skip_string()?;
            source.skip_lengths(if kind == STREAM { 2 } else { 3 })?;
            source.skip_each(|source| {
                source.skip(ID + TIME)?;
                source.length().map(drop)
            })?;
            source.skip_each(|source| {
                source.skip_string()?;
                source.skip(if kind == STREAM_3 { 2 * TIME } else { TIME })?;
                source.skip_each(|source| source.skip(ID))
            })
        })
    }
}
