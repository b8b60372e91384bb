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

/// Names an empty key that is passed over, unless so many were before that the log need not know it.
pub fn tell_empty(key: &[u8], before: u64) {
    if before < EMPTY_KEYS_TOLD {
        log::info!("skipping empty key: {}", key.escape_ascii());
    }
}

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
    let mut decoder = Decoder::begin(reader)?;
    loop {
        let kind = match decoder.item() {
            Ok(Item::Entry(kind)) => kind,
            Ok(Item::Size(_) | Item::Other) => continue,
            Ok(Item::End) => return Ok(decoder.summary),
            Err(problem) => return Err(decoder.error(problem).into()),
        };
        match decoder.entry(kind, limits) {
            Ok(Some(entry)) => handler(entry)?,
            Ok(None) => {}
            Err(problem) => return Err(decoder.error(problem).into()),
        }
    }
}

/// What stands between an RDB's header and its end, item by item; what becomes of the values is for others to say.
pub(super) struct Decoder<'a, R> {
    pub(super) source: Source<'a, R>,
    pub(super) summary: RdbSummary,
    pub(super) db: usize,
    /// For the next key.
    pub(super) expires_at_ms: Option<i64>,
    pub(super) usage: Option<Usage>,
    /// The last key, and whether its value is being read.
    key: Vec<u8>,
    in_value: bool,
}

pub(super) enum Item {
    /// A key and a value of this type follow.
    Entry(u8),
    /// About how many keys the database has.
    Size(u64),
    Other,
    End,
}

impl<'a, R: Read> Decoder<'a, R> {
    /// Reads the header.
    pub(super) fn begin(reader: &'a mut R) -> Result<Self, RdbError> {
        let mut decoder = Self {
            source: Source::new(reader),
            summary: RdbSummary::default(),
            db: 0,
            expires_at_ms: None,
            usage: None,
            key: Vec::new(),
            in_value: false,
        };
        match decoder.header() {
            Ok(()) => Ok(decoder),
            Err(problem) => Err(decoder.error(problem)),
        }
    }

    pub(super) fn error(&mut self, problem: Problem) -> RdbError {
        let offset = match problem {
            Problem::Truncated | Problem::Io(_) => self.source.offset(),
            _ => self.source.mark(),
        };
        RdbError {
            offset,
            key: self.in_value.then(|| (self.db, self.key.clone())),
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

    pub(super) fn item(&mut self) -> Result<Item, Problem> {
        let source = &mut self.source;
        source.set_mark();
        match source.byte()? {
            kind @ ..=MAX_TYPE => return Ok(Item::Entry(kind)),
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
            RESIZE_DB => {
                let keys = source.length()?;
                source.skip_lengths(1)?;
                return Ok(Item::Size(keys));
            }
            SLOT_INFO => source.skip_lengths(3)?,
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

    /// The key whose value follows.
    pub(super) fn read_key(&mut self) -> Result<Vec<u8>, Problem> {
        let begin = self.source.mark();
        let mut key = std::mem::take(&mut self.key);
        self.source.string_into(&mut key)?;
        self.source.return_to_mark(begin);
        Ok(key)
    }

    /// An error that comes from now on is one of the value of this key.
    pub(super) fn begin_value(&mut self, key: Vec<u8>) {
        (self.key, self.in_value) = (key, true);
    }

    pub(super) fn end_value(&mut self) {
        self.in_value = false;
    }

    fn entry(&mut self, kind: u8, limits: &Limits) -> Result<Option<RdbEntry>, Problem> {
        let (expires_at_ms, usage) = (self.expires_at_ms.take(), self.usage.take());
        let key = self.read_key()?;
        self.begin_value(key);
        let value = self.source.value(kind, limits)?;
        self.end_value();
        let key = std::mem::take(&mut self.key);
        let Some(value) = value else {
            tell_empty(&key, self.summary.empty_keys);
            self.summary.empty_keys += 1;
            return Ok(None);
        };
        self.summary.keys += 1;
        Ok(Some(RdbEntry {
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
