//! A file read in blocks, front to back: lines, skipped stretches, whole commands; and a running checksum over what was
//! passed. Knows RESP's outline, but no batches. Memory is one block, or one command where a caller asks for it whole.

use std::io;

use crc32fast::Hasher;

use crate::frame::{MAX_ARGUMENTS, Parsed, parse_command, parse_header};
use crate::storage::File;

const BLOCK_BYTES: usize = 1 << 20;

/// What a command is to the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    Multi,
    Exec,
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The file ends inside a command.
    End,
    /// These bytes are no RESP command.
    Invalid,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
pub(crate) struct Blocks<'a> {
    file: &'a dyn File,
    /// Nothing from here on is read.
    end: u64,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    origin: u64,
    at: usize,
    hasher: Hasher,
    /// The buffer's bytes before this index went into the hasher.
    hashed: usize,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(file: &'a dyn File, begin: u64, end: u64) -> Self {
        Self {
            file,
            end,
            buffer: Vec::new(),
            origin: begin,
            at: 0,
            hasher: Hasher::new(),
            hashed: 0,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.origin + self.at as u64
    }

    /// Begins a checksum here.
    pub(crate) fn restart_checksum(&mut self) {
        self.hasher = Hasher::new();
        self.hashed = self.at;
    }

    /// The checksum of everything from the restart to here.
    pub(crate) fn checksum(&mut self) -> Hasher {
        self.hasher.update(&self.buffer[self.hashed..self.at]);
        self.hashed = self.at;
        self.hasher.clone()
    }

    /// The bytes ahead, at least `wanted` of them unless the file ends first.
    pub(crate) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < wanted {
            self.fill(wanted)?;
        }
        Ok(&self.buffer[self.at..])
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        self.hasher.update(&self.buffer[self.hashed..self.at]);
        self.buffer.drain(..self.at);
        self.origin += self.at as u64;
        (self.at, self.hashed) = (0, 0);
        let held = self.buffer.len();
        let left = self.end.saturating_sub(self.origin + held as u64);
        let read = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(wanted.max(BLOCK_BYTES) - held);
        self.buffer.resize(held + read, 0);
        let got = self
            .file
            .read_full_at(&mut self.buffer[held..], self.origin + held as u64)?;
        self.buffer.truncate(held + got);
        Ok(())
    }

    /// Passes `count` bytes that were seen by `peek`.
    pub(crate) fn consume(&mut self, count: usize) {
        self.at += count;
        assert!(
            self.at <= self.buffer.len(),
            "only bytes that were seen are consumed"
        );
    }

    /// The line that begins here, with its line feed; `None` if it is longer than `limit` or the file ends first.
    pub(crate) fn peek_line(&mut self, limit: usize) -> io::Result<Option<&[u8]>> {
        let ahead = self.peek(limit)?;
        let window = &ahead[..ahead.len().min(limit)];
        Ok(window
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|end| &window[..=end]))
    }

    fn header(&mut self, sign: u8) -> Result<u64, Stop> {
        match parse_header(self.peek(32)?, sign) {
            Parsed::Done((number, len)) => {
                self.consume(len);
                Ok(number)
            }
            Parsed::More(_) => Err(Stop::End),
            Parsed::Invalid => Err(Stop::Invalid),
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), Stop> {
        if count > self.end.saturating_sub(self.offset()) {
            return Err(Stop::End);
        }
        let mut left = count;
        while left > 0 {
            let ahead = self.peek(1)?.len();
            if ahead == 0 {
                return Err(Stop::End);
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(ahead);
            self.consume(step);
            left -= step as u64;
        }
        Ok(())
    }

    /// Passes one command without keeping it.
    pub(crate) fn skip_command(&mut self) -> Result<Mark, Stop> {
        let count = self.header(b'*')?;
        if count == 0 || count > MAX_ARGUMENTS {
            return Err(Stop::Invalid);
        }
        let mut mark = Mark::Plain;
        for _ in 0..count {
            let len = self.header(b'$')?;
            if count == 1 && len <= 5 {
                mark = mark_of(self.peek(5)?, len);
            }
            self.skip(len)?;
            match self.peek(2)? {
                [b'\r', b'\n', ..] => self.consume(2),
                [] | [b'\r'] => return Err(Stop::End),
                _ => return Err(Stop::Invalid),
            }
        }
        Ok(mark)
    }

    /// Makes one whole command lie ahead and answers its length; `arguments` receives the place of each ahead.
    pub(crate) fn whole_command(
        &mut self,
        arguments: &mut Vec<(usize, usize)>,
    ) -> Result<usize, Stop> {
        let mut wanted = 1;
        loop {
            let left = self.end.saturating_sub(self.offset());
            if wanted as u64 > left {
                return Err(Stop::End);
            }
            match parse_command(self.peek(wanted)?, arguments) {
                Parsed::Done(len) => return Ok(len),
                Parsed::Invalid => return Err(Stop::Invalid),
                Parsed::More(needed) if needed <= wanted => return Err(Stop::End),
                // Twice the bytes each time, so that a command of many arguments is not parsed again for each of them.
                Parsed::More(needed) => {
                    let doubled = (wanted * 2).min(usize::try_from(left).unwrap_or(usize::MAX));
                    wanted = needed.max(doubled.min(BLOCK_BYTES.max(needed.saturating_mul(2))));
                }
            }
        }
    }
}

fn mark_of(ahead: &[u8], len: u64) -> Mark {
    let word = &ahead[..ahead.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
    if word.eq_ignore_ascii_case(b"MULTI") {
        Mark::Multi
    } else if word.eq_ignore_ascii_case(b"EXEC") {
        Mark::Exec
    } else {
        Mark::Plain
    }
}

/// The checksum of a stretch of a file, and whether all of it was there.
pub(crate) fn checksum_of(file: &dyn File, begin: u64, end: u64) -> io::Result<Option<Hasher>> {
    let mut blocks = Blocks::new(file, begin, end);
    match blocks.skip(end - begin) {
        Ok(()) => Ok(Some(blocks.checksum())),
        Err(Stop::Io(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
