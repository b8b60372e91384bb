//! A change to the bytes of a listpack, worked out before it is made: for whoever keeps the bytes somewhere else, and has
//! to find room for them first. Knows no allocations.

use super::encoding::Encoded;
use super::{Listpack, Position};

/// Bytes to be taken out, and up to two entries to be put in their place.
pub struct Splice<'a> {
    at: usize,
    removed: usize,
    entries: [Option<Encoded<'a>>; 2],
    /// Elements afterwards, as the header tells them.
    count: u16,
    old_len: usize,
}

impl<'a> Splice<'a> {
    /// `value` in the place of the element at `position`.
    pub(in crate::value) fn replacing(
        listpack: &Listpack,
        position: Position,
        value: &'a [u8],
    ) -> Self {
        Self {
            at: position.offset(),
            removed: listpack.entry_len(position),
            entries: [Some(Encoded::new(value)), None],
            count: listpack.stored_count(),
            old_len: listpack.byte_len(),
        }
    }

    /// One or two values at the tail of a listpack whose count is known.
    pub(in crate::value) fn appending(
        listpack: &Listpack,
        first: &'a [u8],
        second: Option<&'a [u8]>,
    ) -> Self {
        Self {
            at: listpack.end(),
            removed: 0,
            entries: [Some(Encoded::new(first)), second.map(Encoded::new)],
            count: listpack.stored_count() + 1 + u16::from(second.is_some()),
            old_len: listpack.byte_len(),
        }
    }

    /// Bytes of the listpack afterwards.
    pub fn new_len(&self) -> usize {
        let added: usize = self.entries.iter().flatten().map(Encoded::len).sum();
        self.old_len - self.removed + added
    }

    /// Makes the change. `bytes` begin with the listpack, and have room for what it will be.
    ///
    /// # Panics
    /// When they are fewer than the listpack has before or afterwards.
    pub fn apply(&self, bytes: &mut [u8]) {
        let new_len = self.new_len();
        let (from, behind) = (
            self.at + self.removed,
            self.old_len - self.at - self.removed,
        );
        bytes.copy_within(from..self.old_len, new_len - behind);
        let mut at = self.at;
        for entry in self.entries.iter().flatten() {
            for piece in [entry.head.as_bytes(), entry.payload, entry.back.as_bytes()] {
                bytes[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
        }
        let total = u32::try_from(new_len).expect("a listpack is shorter than 4 GiB");
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.count.to_le_bytes());
    }
}

impl std::fmt::Debug for Splice<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Splice")
            .field("at", &self.at)
            .field("removed", &self.removed)
            .field("new_len", &self.new_len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(listpack: &Listpack, splice: &Splice<'_>) -> Listpack {
        let mut bytes = listpack.as_bytes().to_vec();
        bytes.resize(bytes.len().max(splice.new_len()), 0);
        splice.apply(&mut bytes);
        Listpack::from_bytes_checked(&bytes[..splice.new_len()]).expect("a listpack")
    }

    #[test]
    fn gives_the_bytes_that_the_change_itself_gives() {
        let mut model: Listpack = ["first", "7", "third"].into_iter().collect();
        let long = [b'x'; 200];
        for value in [&b"-1"[..], b"", b"some text", &long, b"12345678901", b"t"] {
            for index in 0..model.len() as i64 {
                let position = model.seek(index).expect("an element");
                let listpack = applied(&model, &Splice::replacing(&model, position, value));
                model.replace(position, value);
                assert_eq!(listpack, model);
            }
            let listpack = applied(&model, &Splice::appending(&model, value, Some(b"5")));
            model.push_back(value);
            model.push_back(b"5");
            assert_eq!(listpack, model);
            let listpack = applied(&model, &Splice::appending(&model, value, None));
            model.push_back(value);
            assert_eq!(listpack, model);
        }
    }
}
