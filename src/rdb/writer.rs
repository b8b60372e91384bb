//! An RDB from its header to its checksum, streamed out as its parts arrive. Knows no values: entries come encoded.

use std::io::{self, Write};

use super::crc64;
use super::encoder::{Encoder, length};
use super::reader::{AUX, EOF, RESIZE_DB, SELECT_DB};

/// The version that is written: what Redis 7.0 loads.
pub(super) const VERSION: u16 = 10;
/// The version where fields of hashes run out: what Redis 7.4 and later load.
const VERSION_WITH_FIELD_TIMES: u16 = 12;

/// The version that holds what is to be written.
pub(super) const fn version(has_field_times: bool) -> u16 {
    if has_field_times {
        VERSION_WITH_FIELD_TIMES
    } else {
        VERSION
    }
}

/// What an RDB says about itself and its databases before the first key.
#[derive(Debug, Clone, Default)]
pub struct RdbHeader {
    /// The Redis version that is claimed.
    pub redis_version: &'static str,
    /// When it was made, in Unix seconds.
    pub created_s: i64,
    /// Bytes in use at that time.
    pub used_memory: u64,
    /// Whether it is the base of a log.
    pub is_log_base: bool,
    /// The database that the stream is in which goes on where it ends, for who follows.
    pub stream_db: Option<usize>,
    /// Keys of each database, and those of them that expire: a hint for whoever loads it.
    pub sizes: Vec<(u64, u64)>,
    /// Whether fields of hashes run out, which older servers cannot load.
    pub has_field_times: bool,
    /// The code of each library of functions.
    pub functions: Vec<Box<[u8]>>,
    /// Whether a checksum goes at its end (`rdbchecksum`).
    pub checksum: bool,
}

/// Writes one RDB. Memory: what is given to it at a time.
#[derive(Debug)]
pub struct RdbWriter<W> {
    out: W,
    crc: Option<u64>,
    db: Option<usize>,
    sizes: Vec<(u64, u64)>,
    bytes: u64,
}

impl<W: Write> RdbWriter<W> {
    /// Writes what stands before the first key.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(out: W, header: &RdbHeader) -> io::Result<Self> {
        let mut writer = Self {
            out,
            crc: header.checksum.then_some(0),
            db: None,
            sizes: header.sizes.clone(),
            bytes: 0,
        };
        let mut bytes = format!("REDIS{:04}", version(header.has_field_times)).into_bytes();
        let mut aux = |name: &str, value: &str| {
            let mut encoder = Encoder::new(false);
            bytes.push(AUX);
            encoder.string(&mut bytes, name.as_bytes());
            encoder.string(&mut bytes, value.as_bytes());
        };
        aux("redis-ver", header.redis_version);
        aux("redis-bits", &usize::BITS.to_string());
        aux("ctime", &header.created_s.to_string());
        aux("used-mem", &header.used_memory.to_string());
        if let Some(db) = header.stream_db {
            aux("repl-stream-db", &db.to_string());
        }
        aux("aof-base", if header.is_log_base { "1" } else { "0" });
        for code in &header.functions {
            super::functions::encode(&mut bytes, code, true);
        }
        writer.write(&bytes)?;
        Ok(writer)
    }

    /// Writes encoded entries of a database.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn entries(&mut self, db: usize, entries: &[u8]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.db != Some(db) {
            let mut select = vec![SELECT_DB];
            length(&mut select, db as u64);
            if let Some(size) = self.sizes.get_mut(db)
                && let (keys, expiring) = std::mem::take(size)
                && keys > 0
            {
                select.push(RESIZE_DB);
                length(&mut select, keys);
                length(&mut select, expiring);
            }
            self.write(&select)?;
            self.db = Some(db);
        }
        self.write(entries)
    }

    /// Writes the end and gives back what was written to, with the length of the RDB.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.write(&[EOF])?;
        let checksum = self.crc.unwrap_or(0);
        self.out.write_all(&checksum.to_le_bytes())?;
        self.out.flush()?;
        Ok((self.out, self.bytes + size_of_val(&checksum) as u64))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            *crc = crc64::update(*crc, bytes);
        }
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
