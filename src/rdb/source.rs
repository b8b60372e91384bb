//! The bytes of an RDB as they arrive: buffered, counted and checksummed. Knows nothing of what they mean.

use std::io::{ErrorKind, Read};

use super::{Problem, crc64};

/// Bytes read at once.
const BUFFER_LEN: usize = 64 * 1024;

pub(super) struct Source<'r, R> {
    reader: &'r mut R,
    buffer: Box<[u8]>,
    /// The next byte to be handed out, and the end of those that were read.
    at: usize,
    end: usize,
    /// The offset of the buffer's first byte.
    buffer_offset: u64,
    /// The checksum of all bytes before `checked` in the buffer.
    crc: u64,
    checked: usize,
    /// Where the item began that is being read.
    mark: u64,
}

impl<'r, R: Read> Source<'r, R> {
    pub(super) fn new(reader: &'r mut R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            at: 0,
            end: 0,
            buffer_offset: 0,
            crc: 0,
            checked: 0,
            mark: 0,
        }
    }

    /// Bytes handed out so far.
    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// Notes that something begins here that an error would be about.
    pub(super) fn set_mark(&mut self) {
        self.mark = self.offset();
    }

    /// Goes back to an earlier mark, when parts of the item were read well and the whole is wrong.
    pub(super) fn return_to_mark(&mut self, mark: u64) {
        self.mark = mark;
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// The checksum of all bytes handed out so far.
    pub(super) fn checksum(&mut self) -> u64 {
        let new = self.buffer.get(self.checked..self.at).unwrap_or_default();
        self.crc = crc64::update(self.crc, new);
        self.checked = self.at;
        self.crc
    }

    /// What is in the buffer, at least one byte.
    fn available(&mut self) -> Result<&[u8], Problem> {
        if self.at == self.end {
            self.fill()?;
        }
        Ok(self.buffer.get(self.at..self.end).unwrap_or_default())
    }

    fn fill(&mut self) -> Result<(), Problem> {
        self.checksum();
        self.buffer_offset += self.end as u64;
        (self.at, self.end, self.checked) = (0, 0, 0);
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Err(Problem::Truncated),
                Ok(count) => {
                    self.end = count.min(BUFFER_LEN);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Problem::Io(error)),
            }
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Problem> {
        let byte = self.available()?.first().copied();
        self.at += 1;
        byte.ok_or(Problem::Truncated)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        if let Some(array) = self.available()?.first_chunk().copied() {
            self.at += N;
            return Ok(array);
        }
        let mut array = [0; N];
        for byte in &mut array {
            *byte = self.byte()?;
        }
        Ok(array)
    }

    /// Appends `len` bytes to `out`, which grows as they arrive.
    pub(super) fn append(&mut self, mut len: u64, out: &mut Vec<u8>) -> Result<(), Problem> {
        while len > 0 {
            let available = self.available()?;
            let wanted = usize::try_from(len).unwrap_or(usize::MAX);
            let piece = available.get(..wanted).unwrap_or(available);
            out.extend_from_slice(piece);
            let count = piece.len();
            self.at += count;
            len -= count as u64;
        }
        Ok(())
    }
}
