//! The RDB codec: reads the snapshot format of Redis, versions 1 to 12, from any `Read`, and writes version 10 to any
//! `Write`, or 12 where fields of hashes run out. It knows values, and no paths, no clock and no table of keys: what it reads goes to a handler, one entry at a
//! time.
//!
//! ```text
//! "REDIS" | version (4 digits) | item … | 0xff | CRC-64 (u64 LE, from version 5 on; 0: not computed)
//! item: opcode and its fields, or: type | key | value
//! ```

mod crc64;
mod encoder;
mod error;
pub mod functions;
mod lzf;
mod object;
mod parts;
mod payload;
mod primitive;
mod reader;
#[cfg(test)]
mod redis_tests;
mod skim;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod writer;
#[cfg(test)]
mod writing_tests;
mod ziplist;
mod zipmap;

pub use encoder::{Encoder, KeyHeader, Usage};
pub use error::{Problem, RdbError};
pub use payload::{PayloadError, dump, restore};
pub use reader::{RdbEntry, RdbSummary, read, tell_empty};
pub use skim::{Decoded, RawEntries, RawEntry, RawKind, skim};
pub use writer::{RdbHeader, RdbWriter};
