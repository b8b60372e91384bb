//! One node of a list: a listpack of elements, or a single large element by itself.
//! Knows no other nodes; indices count within the node.

use super::ListLimits;
use crate::value::listpack::{self, Element, Listpack, Needle};

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Elements in a listpack, and how many: seeking counts its way over nodes without touching their bytes.
    Packed { pack: Listpack, count: u32 },
    /// One element. Boxed twice to be one pointer wide, for there are few of them and many of the others.
    Plain(Box<Box<[u8]>>),
}

impl Node {
    pub(super) fn empty() -> Self {
        Self::Packed {
            pack: Listpack::new(),
            count: 0,
        }
    }

    pub(super) fn packed(pack: Listpack) -> Self {
        let count = u32::try_from(pack.len()).expect("a listpack is shorter than 4 GiB");
        Self::Packed { pack, count }
    }

    pub(super) fn plain(value: &[u8]) -> Self {
        Self::Plain(Box::new(value.into()))
    }

    /// A node of `value` alone.
    pub(super) fn single(value: &[u8], limits: &ListLimits) -> Self {
        if limits.is_large(value.len()) {
            Self::plain(value)
        } else {
            Self::packed(Listpack::from_iter([value]))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packed { count, .. } => *count as usize,
            Self::Plain(_) => 1,
        }
    }

    pub(super) fn heap_size(&self) -> usize {
        match self {
            Self::Packed { pack, .. } => pack.heap_size(),
            Self::Plain(value) => size_of::<Box<[u8]>>() + value.len(),
        }
    }

    /// Whether `value` may be added here.
    pub(super) fn admits(&self, value: &[u8], limits: &ListLimits) -> bool {
        match self {
            Self::Packed { pack, count } => {
                let bytes = pack.byte_len().saturating_add(Listpack::entry_size(value));
                !limits.is_large(value.len())
                    && (*count == 0 || limits.allow(bytes, *count as usize + 1))
            }
            Self::Plain(_) => false,
        }
    }

    /// The listpack and its count; only for a node that [`admits`](Self::admits) or holds several elements.
    fn pack_mut(&mut self) -> (&mut Listpack, &mut u32) {
        match self {
            Self::Packed { pack, count } => (pack, count),
            Self::Plain(_) => unreachable!("a plain node neither admits nor splits"),
        }
    }

    /// Adds `value`, which the node admits, before the element at `index`, or at the tail.
    pub(super) fn insert(&mut self, index: usize, value: &[u8]) {
        let (pack, count) = self.pack_mut();
        if index == 0 {
            pack.push_front(value);
        } else if let Some(position) = seek(pack, *count, index) {
            pack.insert_before(position, value);
        } else {
            pack.push_back(value);
        }
        *count += 1;
    }

    pub(super) fn push_back(&mut self, value: &[u8]) {
        let (pack, count) = self.pack_mut();
        pack.push_back(value);
        *count += 1;
    }

    /// Puts `value` in the place of the element at `index`, unless the limits demand another node for it.
    pub(super) fn replace(&mut self, index: usize, value: &[u8], limits: &ListLimits) -> bool {
        if self.len() == 1 {
            *self = Self::single(value, limits);
            return true;
        }
        let (pack, count) = self.pack_mut();
        let Some(position) = seek(pack, *count, index) else {
            return false;
        };
        let bytes = pack.byte_len() - pack.entry_len(position) + Listpack::entry_size(value);
        if limits.is_large(value.len()) || !limits.allow(bytes, *count as usize) {
            return false;
        }
        pack.replace(position, value);
        true
    }

    /// Removes up to `removed` elements from `index` on.
    pub(super) fn remove(&mut self, index: usize, removed: usize) {
        match self {
            Self::Packed { pack, count } => {
                if let Some(position) = seek(pack, *count, index) {
                    *count -= pack.remove_range(position, removed) as u32;
                }
            }
            Self::Plain(_) if index == 0 && removed > 0 => *self = Self::empty(),
            Self::Plain(_) => {}
        }
    }

    /// Cuts off the elements from `index` on, which must be one of several.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let (pack, count) = self.pack_mut();
        let position = seek(pack, *count, index).expect("the index is one of the node's");
        let tail = Self::Packed {
            pack: pack.split_off(position),
            count: *count - index as u32,
        };
        *count = index as u32;
        tail
    }

    /// Removes up to `most` elements that are `needle`, from the head or from the tail; how many there were.
    pub(super) fn remove_matching(
        &mut self,
        needle: &Needle<'_>,
        most: usize,
        from_tail: bool,
    ) -> usize {
        match self {
            Self::Packed { pack, count } => {
                let removed = remove_matching(pack, needle, most, from_tail);
                *count -= removed as u32;
                removed
            }
            Self::Plain(value) if most > 0 && needle.matches(Element::Bytes(value)) => {
                *self = Self::empty();
                1
            }
            Self::Plain(_) => 0,
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Element<'_>> {
        match self {
            Self::Packed { pack, count } => {
                seek(pack, *count, index).map(|position| pack.get(position))
            }
            Self::Plain(value) => (index == 0).then_some(Element::Bytes(value)),
        }
    }

    pub(super) fn iter(&self) -> NodeIter<'_> {
        match self {
            Self::Packed { pack, .. } => NodeIter::Packed(pack.iter()),
            Self::Plain(value) => NodeIter::Plain(Some(value)),
        }
    }

    /// The elements from `index` on.
    pub(super) fn iter_from(&self, index: usize) -> NodeIter<'_> {
        match self {
            Self::Packed { pack, count } => seek(pack, *count, index)
                .map_or(NodeIter::Plain(None), |first| {
                    NodeIter::Packed(pack.iter_from(first))
                }),
            Self::Plain(_) if index == 0 => self.iter(),
            Self::Plain(_) => NodeIter::Plain(None),
        }
    }

    /// The elements up to `index` and that one too.
    pub(super) fn iter_through(&self, index: usize) -> NodeIter<'_> {
        match self {
            Self::Packed { pack, count } => seek(pack, *count, index).map_or_else(
                || self.iter(),
                |last| NodeIter::Packed(pack.iter_through(last)),
            ),
            Self::Plain(_) => self.iter(),
        }
    }
}

/// The position of `index`, walked from the nearer end; `count` spares a listpack of very many elements the counting.
fn seek(pack: &Listpack, count: u32, index: usize) -> Option<listpack::Position> {
    let count = count as usize;
    if index >= count {
        None
    } else if index <= count / 2 {
        pack.seek(index as i64)
    } else {
        pack.seek(index as i64 - count as i64)
    }
}

fn remove_matching(
    pack: &mut Listpack,
    needle: &Needle<'_>,
    most: usize,
    from_tail: bool,
) -> usize {
    let mut removed = 0;
    let mut here = if from_tail { pack.last() } else { pack.first() };
    while removed < most
        && let Some(position) = here
    {
        let matches = needle.matches(pack.get(position));
        here = match (matches, from_tail) {
            (true, false) => pack.remove(position),
            (false, false) => pack.next(position),
            (_, true) => {
                let before = pack.prev(position);
                if matches {
                    pack.remove(position);
                }
                before
            }
        };
        removed += usize::from(matches);
    }
    removed
}

/// The elements of one node.
#[derive(Clone, Debug)]
pub(super) enum NodeIter<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Iterator for NodeIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Self::Packed(elements) => elements.next(),
            Self::Plain(value) => value.take().map(Element::Bytes),
        }
    }
}

impl DoubleEndedIterator for NodeIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(elements) => elements.next_back(),
            Self::Plain(value) => value.take().map(Element::Bytes),
        }
    }
}
