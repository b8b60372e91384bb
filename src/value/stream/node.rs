//! A node of a stream: entries in one listpack, whose ids and field names are told relative to a master entry. The bytes
//! are Redis's. Knows no stream, no groups.
//!
//! ```text
//! master: live entries | deleted entries | fields | name … | 0
//! entry:  flags | ms, relative | seq, relative | value …                        | elements before this one (same fields)
//!         flags | ms, relative | seq, relative | fields | name | value | …      | elements before this one
//! ```

use std::fmt;

use super::StreamId;
use crate::value::listpack::{Element, Iter, Listpack, Position};
use crate::value::number::parse_i64;

/// The entry was deleted.
const DELETED: i64 = 1;
/// The entry has the fields of the master entry.
const SAME_FIELDS: i64 = 2;
/// Elements of an entry besides names and values: flags, and the two halves of its id.
const HEAD: usize = 3;

/// Why bytes are no node of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// The master entry is cut off or ill-formed.
    Master,
    /// The entry of this number is cut off or ill-formed.
    Entry(usize),
    /// The id of this entry is not behind that of the one before, or before the node's.
    Order(StreamId),
    /// The numbers of live and deleted entries are not those of the entries.
    Count,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("a stream's node without a sound master entry"),
            Self::Entry(number) => write!(f, "entry {number} of a stream's node is not sound"),
            Self::Order(id) => write!(f, "entry {id} of a stream's node is out of order"),
            Self::Count => {
                f.write_str("a stream's node does not hold as many entries as it claims")
            }
        }
    }
}

impl std::error::Error for NodeError {}

/// A node; its master id is kept beside it by its owner.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pack: Listpack,
}

/// An entry, borrowed from its node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    pack: &'a Listpack,
    start: Position,
    deleted: bool,
    /// The number of fields.
    len: usize,
    /// The first name of the master entry, where that has the same fields.
    names: Option<Position>,
    /// The first value, or the first name.
    content: Position,
}

fn integer(element: Element<'_>) -> Option<i64> {
    match element {
        Element::Int(value) => Some(value),
        Element::Bytes(bytes) => parse_i64(bytes),
    }
}

fn push_int(pack: &mut Listpack, value: i64) {
    pack.push_back(itoa::Buffer::new().format(value).as_bytes());
}

impl Node {
    /// A node without entries, whose master entry has the names in `fields`: names and values in turn.
    pub(super) fn new(fields: &[&[u8]]) -> Self {
        let mut pack = Listpack::new();
        let names = fields.chunks_exact(2).filter_map(<[_]>::first);
        push_int(&mut pack, 0);
        push_int(&mut pack, 0);
        push_int(&mut pack, (fields.len() / 2) as i64);
        names.for_each(|name| pack.push_back(name));
        push_int(&mut pack, 0);
        Self { pack }
    }

    /// A node of a listpack from outside, which is walked from end to end.
    pub(super) fn checked(master: StreamId, pack: Listpack) -> Result<Self, NodeError> {
        let node = Self { pack };
        let terminator = node.terminator().ok_or(NodeError::Master)?;
        let (mut live, mut dead, mut last) = (0, 0, None);
        let mut next = node.pack.next(terminator);
        while let Some(start) = next {
            let bad = NodeError::Entry(live + dead);
            let entry = node.entry_at(master, start).ok_or(bad)?;
            if entry.id < master || last.is_some_and(|last| entry.id <= last) {
                return Err(NodeError::Order(entry.id));
            }
            let end = entry.end().ok_or(bad)?;
            if integer(node.pack.get(end)) != i64::try_from(entry.elements()).ok() {
                return Err(bad);
            }
            last = Some(entry.id);
            *(if entry.deleted { &mut dead } else { &mut live }) += 1;
            next = node.pack.next(end);
        }
        if node.counts() != (live, dead) || live + dead == 0 {
            return Err(NodeError::Count);
        }
        Ok(node)
    }

    /// Where the master entry ends, if it is sound.
    fn terminator(&self) -> Option<Position> {
        let live = self.pack.first()?;
        let dead = self.pack.next(live)?;
        let fields = self.pack.next(dead)?;
        for counter in [live, dead] {
            integer(self.pack.get(counter)).filter(|count| *count >= 0)?;
        }
        let fields_len = integer(self.pack.get(fields)).filter(|len| *len > 0)?;
        let mut at = fields;
        for _ in 0..=fields_len {
            at = self.pack.next(at)?;
        }
        (integer(self.pack.get(at)) == Some(0)).then_some(at)
    }

    pub(super) fn pack(&self) -> &Listpack {
        &self.pack
    }

    pub(super) fn heap_size(&self) -> usize {
        self.pack.heap_size()
    }

    /// The numbers of live and of deleted entries.
    pub(super) fn counts(&self) -> (usize, usize) {
        let count = |element| {
            integer(element)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(0)
        };
        let mut counts = self.pack.iter().map(count);
        (counts.next().unwrap_or(0), counts.next().unwrap_or(0))
    }

    fn set_counts(&mut self, live: usize, dead: usize) {
        let mut digits = itoa::Buffer::new();
        let first = self.pack.first().expect("a node has a master entry");
        let first = self.pack.replace(first, digits.format(live).as_bytes());
        let second = self.pack.next(first).expect("a node has a master entry");
        self.pack.replace(second, digits.format(dead).as_bytes());
    }

    fn names(&self) -> Option<(usize, Position)> {
        let at = self.pack.seek(2)?;
        let len = usize::try_from(integer(self.pack.get(at))?).ok()?;
        Some((len, self.pack.next(at)?))
    }

    fn has_names(&self, fields: &[&[u8]]) -> bool {
        let Some((len, first)) = self.names() else {
            return false;
        };
        let names = fields.chunks_exact(2).filter_map(<[_]>::first);
        len == fields.len() / 2
            && names
                .zip(self.pack.iter_from(first))
                .all(|(name, own)| own.equals(name))
    }

    /// Adds an entry behind all others. `fields`: names and values in turn.
    pub(super) fn append(&mut self, master: StreamId, id: StreamId, fields: &[&[u8]]) {
        let same = self.has_names(fields);
        let pack = &mut self.pack;
        push_int(pack, if same { SAME_FIELDS } else { 0 });
        push_int(pack, id.ms.wrapping_sub(master.ms) as i64);
        push_int(pack, id.seq.wrapping_sub(master.seq) as i64);
        let elements = if same {
            let values = fields.chunks_exact(2).filter_map(<[_]>::last);
            values.for_each(|value| pack.push_back(value));
            HEAD + fields.len() / 2
        } else {
            push_int(pack, (fields.len() / 2) as i64);
            fields.iter().for_each(|word| pack.push_back(word));
            HEAD + 1 + fields.len()
        };
        push_int(pack, elements as i64);
        let (live, dead) = self.counts();
        self.set_counts(live + 1, dead);
    }

    /// The entry that begins at `start`, if it is sound up to its content.
    fn entry_at(&self, master: StreamId, start: Position) -> Option<Entry<'_>> {
        let pack = &self.pack;
        let flags = integer(pack.get(start))?;
        let ms = pack.next(start)?;
        let seq = pack.next(ms)?;
        let id = StreamId::new(
            master.ms.wrapping_add(integer(pack.get(ms))? as u64),
            master.seq.wrapping_add(integer(pack.get(seq))? as u64),
        );
        let mut content = pack.next(seq)?;
        let (len, names) = if flags & SAME_FIELDS != 0 {
            let (len, names) = self.names()?;
            (len, Some(names))
        } else {
            let len = integer(pack.get(content)).filter(|len| *len > 0)?;
            content = pack.next(content)?;
            (usize::try_from(len).ok()?, None)
        };
        Some(Entry {
            id,
            pack,
            start,
            deleted: flags & DELETED != 0,
            len,
            names,
            content,
        })
    }

    /// The first entry, deleted ones included.
    pub(super) fn first(&self, master: StreamId) -> Option<Entry<'_>> {
        self.entry_at(master, self.pack.next(self.terminator()?)?)
    }

    /// The last entry, deleted ones included.
    pub(super) fn last(&self, master: StreamId) -> Option<Entry<'_>> {
        self.entry_ending_at(master, self.pack.last()?)
    }

    pub(super) fn after(&self, master: StreamId, entry: &Entry<'_>) -> Option<Entry<'_>> {
        self.entry_at(master, self.pack.next(entry.end()?)?)
    }

    pub(super) fn before(&self, master: StreamId, entry: &Entry<'_>) -> Option<Entry<'_>> {
        self.entry_ending_at(master, self.pack.prev(entry.start)?)
    }

    /// The entry that ends at `end` with its number of elements; the master entry ends with 0.
    fn entry_ending_at(&self, master: StreamId, end: Position) -> Option<Entry<'_>> {
        let elements = integer(self.pack.get(end)).filter(|elements| *elements > 0)?;
        let mut start = end;
        for _ in 0..elements {
            start = self.pack.prev(start)?;
        }
        self.entry_at(master, start)
    }

    /// Marks the entry of an id as deleted; false if there is none, or it is already.
    pub(super) fn delete(&mut self, master: StreamId, id: StreamId) -> bool {
        let mut entry = self.first(master);
        while let Some(found) = entry.filter(|entry| entry.id < id) {
            entry = self.after(master, &found);
        }
        match entry.filter(|entry| entry.id == id && !entry.deleted) {
            Some(entry) => {
                let (start, flags) = (entry.start, entry.flags());
                self.mark(start, flags);
                true
            }
            None => false,
        }
    }

    fn mark(&mut self, start: Position, flags: i64) {
        let flags = itoa::Buffer::new().format(flags | DELETED).to_owned();
        self.pack.replace(start, flags.as_bytes());
        let (live, dead) = self.counts();
        self.set_counts(live.saturating_sub(1), dead + 1);
    }

    /// Marks as deleted, from the first live entry on, those of which `goes` says so, until it has no answer; how many.
    /// It is told how many there are by then.
    pub(super) fn delete_where(
        &mut self,
        master: StreamId,
        mut goes: impl FnMut(StreamId, usize) -> Option<bool>,
    ) -> usize {
        let mut marked = Vec::new();
        let mut next = self.first(master);
        while let Some(entry) = next {
            if !entry.deleted {
                match goes(entry.id, marked.len()) {
                    None => break,
                    Some(true) => marked.push((entry.start, entry.flags())),
                    Some(false) => {}
                }
            }
            next = self.after(master, &entry);
        }
        for (start, flags) in &marked {
            let flags = itoa::Buffer::new().format(flags | DELETED).to_owned();
            // Flags are one byte wide, so that the positions behind stay right.
            self.pack.replace(*start, flags.as_bytes());
        }
        let (live, dead) = self.counts();
        self.set_counts(live.saturating_sub(marked.len()), dead + marked.len());
        marked.len()
    }
}

impl<'a> Entry<'a> {
    /// Whether it was deleted.
    pub(super) const fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// The number of fields.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no field, which no entry of a stream is without.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn flags(&self) -> i64 {
        integer(self.pack.get(self.start)).unwrap_or(0)
    }

    /// Elements of the content: values, or names and values.
    const fn content_len(&self) -> usize {
        if self.names.is_some() {
            self.len
        } else {
            self.len.saturating_mul(2)
        }
    }

    /// Elements of the whole entry but the last one, which holds this number.
    const fn elements(&self) -> usize {
        let own_len = if self.names.is_some() { 0 } else { 1 };
        HEAD + own_len + self.content_len()
    }

    /// The position of its last element.
    fn end(&self) -> Option<Position> {
        let mut at = self.content;
        for _ in 0..self.content_len() {
            at = self.pack.next(at)?;
        }
        Some(at)
    }

    /// Its fields and their values, in the order in which they were given.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields {
            left: self.len,
            names: self.names.map(|names| self.pack.iter_from(names)),
            content: self.pack.iter_from(self.content),
        }
    }
}

/// The fields of an [`Entry`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    left: usize,
    names: Option<Iter<'a>>,
    content: Iter<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => names.next()?,
            None => self.content.next()?,
        };
        Some((name, self.content.next()?))
    }
}
