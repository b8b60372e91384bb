//! Redis's listpack, byte for byte: a list of strings and integers in one run of bytes, behind one thin pointer.
//! The compact form of lists, hashes, sets and sorted sets; it knows nothing of what its elements mean to them.
//!
//! ```text
//! total bytes (u32 LE) | elements (u16 LE, 65535: too many to say) | entry … | 0xff
//! entry: encoding and payload | back length (of encoding and payload, 1 to 5 bytes)
//! ```

mod element;
mod encoding;
mod splice;
#[cfg(test)]
mod tests;

use std::fmt;

use super::thin_bytes::{self, ThinBytes};
use super::view::Buffer;
pub use element::{Element, Needle};
use encoding::{Encoded, TERMINATOR, back_length, back_length_size, decode, read_back_length};
pub use splice::Splice;

/// Bytes before the first entry.
const HEADER_LEN: usize = 6;
/// Bytes of a listpack without elements.
const EMPTY_LEN: usize = HEADER_LEN + 1;
/// The bytes of a listpack without elements.
pub const EMPTY_LISTPACK: &[u8] = &[EMPTY_LEN as u8, 0, 0, 0, 0, 0, TERMINATOR];
/// The count that says "count them".
const UNKNOWN_COUNT: u16 = u16::MAX;
/// Below this many bytes the count always fits the header, for no entry is shorter than two bytes.
const COUNTABLE_LEN: usize = EMPTY_LEN + 2 * UNKNOWN_COUNT as usize;

/// The size in bytes above which Redis adds nothing to a listpack.
pub const MAX_BYTES: usize = 1 << 30;

const _: () = assert!(MAX_BYTES < thin_bytes::MAX_LEN);

/// Where an element stands. It is valid until the listpack changes before it; one that is out of date finds another
/// element, none, or panics, but never touches memory outside the listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u32);

impl Position {
    fn new(offset: usize) -> Self {
        Self(u32::try_from(offset).expect("a listpack is shorter than 4 GiB"))
    }

    fn offset(self) -> usize {
        self.0 as usize
    }
}

/// Why bytes are no listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListpackError {
    /// Shorter than a header and a terminator, or longer than a listpack may be.
    Length(usize),
    /// The total of bytes in the header is not the number of bytes given.
    TotalBytes(u32),
    /// The entry at this offset is malformed, cut off, or its back length is wrong.
    Entry(usize),
    /// The number of elements in the header is not that of the entries.
    Count(u16),
}

impl fmt::Display for ListpackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(formatter, "listpack: {len} bytes are too few or too many"),
            Self::TotalBytes(total) => {
                write!(formatter, "listpack: the header claims {total} bytes")
            }
            Self::Entry(offset) => write!(formatter, "listpack: bad entry at offset {offset}"),
            Self::Count(count) => write!(formatter, "listpack: the header claims {count} elements"),
        }
    }
}

impl std::error::Error for ListpackError {}

/// A listpack. One pointer wide; it allocates even when empty.
#[derive(Clone)]
pub struct Listpack {
    bytes: ThinBytes,
}

impl Listpack {
    /// A listpack without elements.
    pub fn new() -> Self {
        Self {
            bytes: ThinBytes::new(&[&[0, 0, TERMINATOR]]),
        }
    }

    /// Takes over bytes from outside (an RDB file, RESTORE) after checking all of them. O(bytes).
    ///
    /// # Errors
    /// When any byte is not as Redis would write it, save that integers may be stored wider than needed, or as
    /// strings.
    pub fn from_bytes_checked(bytes: &[u8]) -> Result<Self, ListpackError> {
        if !(EMPTY_LEN..=thin_bytes::MAX_LEN).contains(&bytes.len()) {
            return Err(ListpackError::Length(bytes.len()));
        }
        let (total, content) = bytes
            .split_first_chunk::<4>()
            .ok_or(ListpackError::Length(bytes.len()))?;
        let total = u32::from_le_bytes(*total);
        if total as usize != bytes.len() {
            return Err(ListpackError::TotalBytes(total));
        }
        let counted = check_entries(bytes)?;
        let mut listpack = Self {
            bytes: ThinBytes::new(&[content]),
        };
        let claimed = listpack.stored_count();
        if claimed != UNKNOWN_COUNT && usize::from(claimed) != counted {
            return Err(ListpackError::Count(claimed));
        }
        // A count left unknown without need would make every `len` a walk.
        listpack.store_count(counted);
        Ok(listpack)
    }

    /// Takes over the bytes of a listpack.
    pub(super) fn from_buffer(buffer: Buffer) -> Self {
        Self { bytes: buffer.0 }
    }

    /// The listpack as Redis stores it.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// Bytes of the format, header and terminator included.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes taken from the allocator.
    pub fn heap_size(&self) -> usize {
        self.bytes.heap_size()
    }

    /// The number of elements. O(1), except above 65534 elements, where it is O(bytes).
    pub fn len(&self) -> usize {
        match self.stored_count() {
            UNKNOWN_COUNT => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.byte_len() == EMPTY_LEN
    }

    /// Whether `extra` more bytes keep it within Redis's limit of 1 GiB.
    pub fn would_fit(&self, extra: usize) -> bool {
        self.byte_len().saturating_add(extra) <= MAX_BYTES
    }

    /// Bytes that `value` takes as an entry.
    pub fn entry_size(value: &[u8]) -> usize {
        Encoded::new(value).len()
    }

    fn stored_count(&self) -> u16 {
        let bytes = self.as_bytes();
        u16::from_le_bytes([bytes[4], bytes[5]])
    }

    fn store_count(&mut self, count: usize) {
        let count = u16::try_from(count).unwrap_or(UNKNOWN_COUNT);
        self.bytes.content_mut()[..2].copy_from_slice(&count.to_le_bytes());
    }

    fn count_added(&mut self, added: usize) {
        let count = self.stored_count();
        if count != UNKNOWN_COUNT {
            self.store_count(usize::from(count) + added);
        }
    }

    fn count_removed(&mut self, removed: usize) {
        let count = self.stored_count();
        if count != UNKNOWN_COUNT {
            self.store_count(usize::from(count).saturating_sub(removed));
        } else if self.byte_len() < COUNTABLE_LEN {
            let count = self.iter().count();
            self.store_count(count);
        }
    }

    /// The bytes from `offset` on; none where it is out of date.
    fn rest_at(&self, offset: usize) -> &[u8] {
        self.as_bytes().get(offset..).unwrap_or_default()
    }

    fn end(&self) -> usize {
        self.byte_len() - 1
    }

    /// `offset` as a position, if an entry and not the terminator is there.
    fn position_at(&self, offset: usize) -> Option<Position> {
        (HEADER_LEN..self.end())
            .contains(&offset)
            .then(|| Position::new(offset))
    }

    /// Bytes of the whole entry at `position`.
    ///
    /// # Panics
    /// When no entry is there, because `position` is out of date.
    pub fn entry_len(&self, position: Position) -> usize {
        let (_, len) = decode(self.rest_at(position.offset())).expect("the position of an entry");
        len + back_length_size(len)
    }

    /// The position of the first element.
    pub fn first(&self) -> Option<Position> {
        self.position_at(HEADER_LEN)
    }

    /// The position of the last element.
    pub fn last(&self) -> Option<Position> {
        self.before(self.end())
    }

    /// The position behind `position`.
    pub fn next(&self, position: Position) -> Option<Position> {
        let (_, len) = decode(self.rest_at(position.offset()))?;
        self.position_at(position.offset() + len + back_length_size(len))
    }

    /// The position before `position`.
    pub fn prev(&self, position: Position) -> Option<Position> {
        self.before(position.offset())
    }

    fn before(&self, offset: usize) -> Option<Position> {
        let (len, size) = read_back_length(self.as_bytes().get(HEADER_LEN..offset)?)?;
        self.position_at(offset.checked_sub(len + size)?)
    }

    /// The element at `position`.
    ///
    /// # Panics
    /// When no entry is there, because `position` is out of date.
    pub fn get(&self, position: Position) -> Element<'_> {
        decode(self.rest_at(position.offset()))
            .expect("the position of an entry")
            .0
    }

    /// The position of the element at `index`, counted from the tail when it is negative (-1 is the last). O(bytes),
    /// walked from the nearer end.
    pub fn seek(&self, index: i64) -> Option<Position> {
        let mut forward = index >= 0;
        let mut steps = if forward {
            index as u64
        } else {
            index.unsigned_abs() - 1
        };
        if self.stored_count() != UNKNOWN_COUNT {
            let len = u64::from(self.stored_count());
            if steps >= len {
                return None;
            }
            if steps > len / 2 {
                forward = !forward;
                steps = len - 1 - steps;
            }
        }
        let mut position = if forward { self.first() } else { self.last() }?;
        for _ in 0..steps {
            position = if forward {
                self.next(position)
            } else {
                self.prev(position)
            }?;
        }
        Some(position)
    }

    /// The position of the first element from `start` on that equals `needle`, comparing one element and jumping over
    /// `skip` in turn (1 where fields and values alternate). O(bytes).
    pub fn find(&self, needle: &[u8], start: Position, skip: usize) -> Option<Position> {
        let needle = Needle::new(needle);
        let mut offset = start.offset();
        let mut jumps = 0;
        while let Some((element, len)) = decode(self.rest_at(offset)) {
            if jumps == 0 {
                if needle.matches(element) {
                    return Some(Position::new(offset));
                }
                jumps = skip;
            } else {
                jumps -= 1;
            }
            offset += len + back_length_size(len);
        }
        None
    }

    /// The elements in order, from both ends.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            listpack: self,
            front: HEADER_LEN,
            back: self.end(),
        }
    }

    /// The elements from `position` on, that one included.
    pub fn iter_from(&self, position: Position) -> Iter<'_> {
        Iter {
            front: position.offset(),
            ..self.iter()
        }
    }

    /// The elements up to `position`, that one included.
    ///
    /// # Panics
    /// When no entry is there, because `position` is out of date.
    pub fn iter_through(&self, position: Position) -> Iter<'_> {
        Iter {
            back: position.offset() + self.entry_len(position),
            ..self.iter()
        }
    }

    /// Replaces `removed` bytes at `offset` by the entry of `value`.
    fn write(&mut self, offset: usize, removed: usize, value: &[u8]) -> Position {
        let encoded = Encoded::new(value);
        self.bytes.splice(
            offset,
            removed,
            &[
                encoded.head.as_bytes(),
                encoded.payload,
                encoded.back.as_bytes(),
            ],
        );
        Position::new(offset)
    }

    fn insert_at(&mut self, offset: usize, value: &[u8]) -> Position {
        assert!(
            (HEADER_LEN..=self.end()).contains(&offset),
            "offset {offset} is outside of the entries"
        );
        let position = self.write(offset, 0, value);
        self.count_added(1);
        position
    }

    /// Adds `value` at the tail. Amortised O(bytes of the value).
    ///
    /// # Panics
    /// This and the other calls that add panic far above [`would_fit`](Self::would_fit)'s limit, at 1.75 GiB.
    pub fn push_back(&mut self, value: &[u8]) {
        self.insert_at(self.end(), value);
    }

    /// Adds `value` at the head. O(bytes).
    pub fn push_front(&mut self, value: &[u8]) {
        self.insert_at(HEADER_LEN, value);
    }

    /// Adds `value` before the element at `position`, and returns where it stands now.
    pub fn insert_before(&mut self, position: Position, value: &[u8]) -> Position {
        self.insert_at(position.offset(), value)
    }

    /// Adds `value` behind the element at `position`, and returns where it stands now.
    pub fn insert_after(&mut self, position: Position, value: &[u8]) -> Position {
        self.insert_at(position.offset() + self.entry_len(position), value)
    }

    /// Puts `value` in the place of the element at `position`.
    pub fn replace(&mut self, position: Position, value: &[u8]) -> Position {
        let removed = self.entry_len(position);
        self.write(position.offset(), removed, value)
    }

    /// Removes the element at `position`; the position of the next one, if there is one.
    pub fn remove(&mut self, position: Position) -> Option<Position> {
        self.remove_range(position, 1);
        self.position_at(position.offset())
    }

    /// Removes up to `count` elements from `position` on; how many there were. O(bytes).
    pub fn remove_range(&mut self, position: Position, count: usize) -> usize {
        let start = position.offset();
        let mut end = start;
        let mut removed = 0;
        while removed < count
            && let Some((_, len)) = decode(self.rest_at(end))
        {
            end += len + back_length_size(len);
            removed += 1;
        }
        if removed > 0 {
            self.bytes.splice(start, end - start, &[]);
            self.count_removed(removed);
        }
        removed
    }

    /// Removes up to `count` elements from the index `start` on (negative: from the tail); how many there were.
    pub fn remove_index_range(&mut self, start: i64, count: usize) -> usize {
        self.seek(start)
            .map_or(0, |position| self.remove_range(position, count))
    }

    /// Cuts off the element at `position` and all behind it, and returns them. O(bytes).
    pub fn split_off(&mut self, position: Position) -> Self {
        let (start, end) = (position.offset(), self.end());
        let mut tail = Self {
            bytes: ThinBytes::new(&[&[0, 0], self.rest_at(start)]),
        };
        let moved = tail.iter().count();
        tail.store_count(moved);
        self.bytes.splice(start, end - start, &[]);
        self.count_removed(moved);
        tail
    }
}

/// Walks the entries of a listpack from outside, `bytes` as a whole; how many there are.
fn check_entries(bytes: &[u8]) -> Result<usize, ListpackError> {
    let end = bytes.len() - 1;
    let entries = bytes.get(..end).unwrap_or_default();
    let mut offset = HEADER_LEN;
    let mut count = 0;
    while offset < end {
        let bad = ListpackError::Entry(offset);
        let (_, len) = decode(entries.get(offset..).unwrap_or_default()).ok_or(bad)?;
        let back = back_length(len);
        let behind = entries.get(offset + len..).unwrap_or_default();
        if !behind.starts_with(back.as_bytes()) {
            return Err(bad);
        }
        offset += len + back.as_bytes().len();
        count += 1;
    }
    if bytes.get(end) != Some(&TERMINATOR) {
        return Err(ListpackError::Entry(end));
    }
    Ok(count)
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Listpack {}

impl fmt::Debug for Listpack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<V: AsRef<[u8]>> FromIterator<V> for Listpack {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let mut listpack = Self::new();
        for value in values {
            listpack.push_back(value.as_ref());
        }
        listpack
    }
}

/// The elements of a [`Listpack`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    listpack: &'a Listpack,
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, len) = decode(self.listpack.rest_at(self.front))?;
        self.front += len + back_length_size(len);
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let position = self.listpack.before(self.back)?;
        self.back = position.offset();
        decode(self.listpack.rest_at(self.back)).map(|(element, _)| element)
    }
}
