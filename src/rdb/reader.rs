//! An RDB from its header to its checksum: the opcodes, and the entries that go to the handler.

use std::io::Read;

use super::encoder::Usage;
use super::object::MAX_TYPE;
use super::source::Source;
use super::{Problem, RdbError};
use crate::keyspace::{Limits, Value};

pub(super) const MAX_VERSION: u32 = 12;
/// The first version that ends with a checksum.
const CHECKSUM_VERSION: u32 = 5;

const SLOT_INFO: u8 = 0xf4;
pub(super) const FUNCTION: u8 = 0xf5;
const FUNCTION_CANDIDATE: u8 = 0xf6;
const MODULE_AUX: u8 = 0xf7;
pub(super) const IDLE: u8 = 0xf8;
pub(super) const FREQUENCY: u8 = 0xf9;
pub(super) const AUX: u8 = 0xfa;
pub(super) const RESIZE_DB: u8 = 0xfb;
pub(super) const EXPIRE_TIME_MS: u8 = 0xfc;
const EXPIRE_TIME: u8 = 0xfd;
pub(super) const SELECT_DB: u8 = 0xfe;
pub(super) const EOF: u8 = 0xff;

/// One key of an RDB.
#[derive(Debug)]
pub struct RdbEntry {
    /// The number of its database, as the RDB says it; there may be fewer here.
    pub db: usize,
    /// The key.
    pub key: Vec<u8>,
    /// Its value, never an empty collection.
    pub value: Value,
    /// When it expires, in Unix milliseconds; perhaps long ago.
    pub expires_at_ms: Option<i64>,
    /// When it was used, where the writing server kept that.
    pub usage: Option<Usage>,
}

/// What an RDB held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdbSummary {
    /// The version of the format.
    pub version: u32,
    /// Keys that went to the handler.
    pub keys: u64,
    /// Keys without any element, which were passed over as Redis does.
    pub empty_keys: u64,
    /// The code of each library of functions.
    pub functions: Vec<Vec<u8>>,
    /// The length of the RDB in bytes: what stands behind this offset is not part of it.
    pub bytes: u64,
    /// Whether there was a checksum, and it was right.
    pub has_checksum: bool,
    /// Names and values that the writing server added: `redis-ver`, `ctime`, `used-mem`, `aof-base` …
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Empty keys that the log names, of those that are passed over.
const EMPTY_KEYS_TOLD: u64 = 10;

/// Reads one RDB, hands each key to `handler` in the order of the file, and says what there was. The values have the
/// forms that `limits` ask for. More than the RDB may be taken from `reader`; [`RdbSummary::bytes`] says where it ended.
///
/// Memory: the value that is being read, and what the handler keeps. O(bytes), O(log n) more for a member of a large
/// sorted set.
///
/// # Errors
/// The first one of `handler`, or an [`RdbError`] turned into its type: the bytes are no RDB, damaged, or hold what
/// cannot be loaded. The handler has seen the keys before by then; a wrong checksum is found last.
pub fn read<E: From<RdbError>>(
    reader: &mut impl Read,
    limits: &Limits,
    mut handler: impl FnMut(RdbEntry) -> Result<(), E>,
) -> Result<RdbSummary, E> {
    let mut decoder = Decoder {
        source: Source::new(reader),
        limits,
        summary: RdbSummary::default(),
        db: 0,
        expires_at_ms: None,
        usage: None,
        key: None,
    };
    decoder.header().map_err(|problem| decoder.error(problem))?;
    loop {
        match decoder.item() {
            Ok(Item::Entry(entry)) => handler(entry)?,
            Ok(Item::Other) => {}
            Ok(Item::End) => return Ok(decoder.summary),
            Err(problem) => return Err(decoder.error(problem).into()),
        }
    }
}

struct Decoder<'a, R> {
    source: Source<'a, R>,
    limits: &'a Limits,
    summary: RdbSummary,
    db: usize,
    /// For the next key.
    expires_at_ms: Option<i64>,
    usage: Option<Usage>,
    /// The key whose value is being read.
    key: Option<Vec<u8>>,
}

enum Item {
    Entry(RdbEntry),
    Other,
    End,
}

impl<R: Read> Decoder<'_, R> {
    fn error(&mut self, problem: Problem) -> RdbError {
        let offset = match problem {
            Problem::Truncated | Problem::Io(_) => self.source.offset(),
            _ => self.source.mark(),
        };
        RdbError {
            offset,
            key: self.key.take().map(|key| (self.db, key)),
            problem,
        }
    }

    fn header(&mut self) -> Result<(), Problem> {
        let magic = self.source.array()?;
        if &magic != b"REDIS" {
            return Err(Problem::Magic(magic));
        }
        self.source.set_mark();
        let digits: [u8; 4] = self.source.array()?;
        let version = digits.iter().try_fold(0_u32, |version, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            Some(version * 10 + digit)
        });
        self.summary.version = version
            .filter(|version| (1..=MAX_VERSION).contains(version))
            .ok_or(Problem::Version(digits))?;
        Ok(())
    }

    fn item(&mut self) -> Result<Item, Problem> {
        let source = &mut self.source;
        source.set_mark();
        match source.byte()? {
            kind @ ..=MAX_TYPE => return self.entry(kind),
            EOF => return self.end().map(|()| Item::End),
            SELECT_DB => {
                let db = source.length()?;
                self.db = usize::try_from(db)
                    .map_err(|_| Problem::malformed(format_args!("there is no database {db}")))?;
            }
            EXPIRE_TIME => {
                let seconds = i32::from_le_bytes(source.array()?);
                self.expires_at_ms = Some(i64::from(seconds) * 1000);
            }
            EXPIRE_TIME_MS => self.expires_at_ms = Some(i64::from_le_bytes(source.array()?)),
            RESIZE_DB => self.skip_lengths(2)?,
            SLOT_INFO => self.skip_lengths(3)?,
            IDLE => self.usage = Some(Usage::Idle(source.length()?)),
            FREQUENCY => self.usage = Some(Usage::Frequency(source.byte()?)),
            AUX => {
                let field = (source.string()?, source.string()?);
                self.summary.aux.push(field);
            }
            FUNCTION => {
                let code = source.string()?;
                self.summary.functions.push(code);
            }
            FUNCTION_CANDIDATE => {
                return Err(Problem::unsupported(
                    "functions of a release candidate of Redis 7.0",
                ));
            }
            MODULE_AUX => {
                let name = source.module_name()?;
                return Err(Problem::unsupported(format_args!(
                    "data of the module {name}"
                )));
            }
            other => return Err(Problem::Opcode(other)),
        }
        Ok(Item::Other)
    }

    fn skip_lengths(&mut self, count: usize) -> Result<(), Problem> {
        for _ in 0..count {
            self.source.length()?;
        }
        Ok(())
    }

    fn entry(&mut self, kind: u8) -> Result<Item, Problem> {
        let (expires_at_ms, usage) = (self.expires_at_ms.take(), self.usage.take());
        let begin = self.source.mark();
        let key = self.key.insert(self.source.string()?);
        self.source.return_to_mark(begin);
        let value = self.source.value(kind, self.limits)?;
        let key = std::mem::take(key);
        self.key = None;
        let Some(value) = value else {
            if self.summary.empty_keys < EMPTY_KEYS_TOLD {
                log::info!("skipping empty key: {}", key.escape_ascii());
            }
            self.summary.empty_keys += 1;
            return Ok(Item::Other);
        };
        self.summary.keys += 1;
        Ok(Item::Entry(RdbEntry {
            db: self.db,
            key,
            value,
            expires_at_ms,
            usage,
        }))
    }

    fn end(&mut self) -> Result<(), Problem> {
        if self.summary.version >= CHECKSUM_VERSION {
            let computed = self.source.checksum();
            self.source.set_mark();
            let stored = u64::from_le_bytes(self.source.array()?);
            if stored != 0 && stored != computed {
                return Err(Problem::Checksum { stored, computed });
            }
            self.summary.has_checksum = stored != 0;
        }
        self.summary.bytes = self.source.offset();
        Ok(())
    }
}
