//! The bytes of an RDB as they arrive: buffered, counted and checksummed. Knows nothing of what they mean.

use std::borrow::Cow;
use std::io::{Empty, ErrorKind, Read};

use super::{Problem, crc64};

/// Bytes read at once.
const BUFFER_LEN: usize = 64 * 1024;

pub(super) struct Source<'r, R> {
    reader: &'r mut R,
    /// Borrowed: all there is.
    buffer: Cow<'r, [u8]>,
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
    /// Where what is handed out is kept, and from where on in the buffer it is not kept yet.
    record: Option<(Vec<u8>, usize)>,
}

impl<'r> Source<'r, Empty> {
    /// Bytes that are all there, and stand at `offset` of their file. `nothing` is what follows them.
    pub(super) fn of(bytes: &'r [u8], offset: u64, nothing: &'r mut Empty) -> Self {
        Self {
            buffer: Cow::Borrowed(bytes),
            end: bytes.len(),
            buffer_offset: offset,
            mark: offset,
            ..Self::on(nothing, Cow::Borrowed(bytes))
        }
    }
}

impl<'r, R: Read> Source<'r, R> {
    pub(super) fn new(reader: &'r mut R) -> Self {
        Self::on(reader, Cow::Owned(vec![0; BUFFER_LEN]))
    }

    fn on(reader: &'r mut R, buffer: Cow<'r, [u8]>) -> Self {
        Self {
            reader,
            buffer,
            at: 0,
            end: 0,
            buffer_offset: 0,
            crc: 0,
            checked: 0,
            mark: 0,
            record: None,
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
        let Cow::Owned(_) = self.buffer else {
            return Err(Problem::Truncated);
        };
        self.checksum();
        self.keep(self.end);
        self.buffer_offset += self.end as u64;
        (self.at, self.end, self.checked) = (0, 0, 0);
        loop {
            match self.reader.read(self.buffer.to_mut()) {
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

    /// From now on what is handed out is appended to `out`, until [`Self::recorded`] gives it back.
    pub(super) fn record(&mut self, out: Vec<u8>) {
        self.record = Some((out, self.at));
    }

    /// What was recorded.
    pub(super) fn recorded(&mut self) -> Vec<u8> {
        self.keep(self.at);
        self.record.take().map(|(out, _)| out).unwrap_or_default()
    }

    fn keep(&mut self, end: usize) {
        if let Some((out, from)) = &mut self.record {
            out.extend_from_slice(self.buffer.get(*from..end).unwrap_or_default());
            *from = 0;
        }
    }

    /// Passes over `len` bytes.
    pub(super) fn skip(&mut self, mut len: u64) -> Result<(), Problem> {
        while len > 0 {
            let count = self.available()?.len();
            let count = usize::try_from(len).map_or(count, |len| len.min(count));
            self.at += count;
            len -= count as u64;
        }
        Ok(())
    }

    /// The next `len` bytes, if they are in the buffer together.
    pub(super) fn together(&mut self, len: u64) -> Option<&[u8]> {
        let from = self.at;
        let end = from.checked_add(usize::try_from(len).ok()?)?;
        if end > self.end {
            return None;
        }
        self.at = end;
        self.buffer.get(from..end)
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
