//! The stream: entries ordered by id, packed into listpacks as Redis packs them, and the groups that consume them.
//! A node is found by its first id in O(log nodes). Knows no keys, no clock, no waiting clients.

mod group;
mod id;
mod node;
mod range;
#[cfg(test)]
mod tests;
mod trim;

use std::collections::BTreeMap;
use std::fmt;

use super::listpack::{self, Listpack};
pub use group::{Consumer, Delivery, Group};
pub use id::{IdText, StreamId};
use node::Node;
pub use node::{Entry, Fields, NodeError};
pub use range::{Range, ReverseRange};
pub use trim::{References, Trim, TrimTo};

/// The configuration under which entries are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// `stream-node-max-bytes`; 0: no limit but the listpack's.
    pub max_node_bytes: usize,
    /// `stream-node-max-entries`, deleted ones included; 0: no limit.
    pub max_node_entries: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_node_bytes: 4096,
            max_node_entries: 100,
        }
    }
}

/// A stream. One pointer wide.
#[derive(Clone)]
pub struct Stream(Box<Body>);

#[derive(Clone, Default)]
struct Body {
    nodes: BTreeMap<StreamId, Node>,
    len: usize,
    state: State,
    groups: BTreeMap<Box<[u8]>, Group>,
}

/// What a stream knows of itself besides its entries and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The highest id that was ever added.
    pub last_id: StreamId,
    /// The first entry's id; 0-0 when there is none.
    pub first_id: StreamId,
    /// The highest id that was deleted, trimming aside.
    pub max_deleted_id: StreamId,
    /// Entries that were ever added.
    pub entries_added: u64,
}

/// Bytes that a B-tree of so many entries takes, about: its nodes have room for eleven, and six of them filled when
/// entries arrive in order.
fn tree_size<K, V>(len: usize) -> usize {
    const ROOM: usize = 11;
    const FILLED: usize = 6;
    const HEAD: usize = 16;
    let node = ROOM * (size_of::<K>() + size_of::<V>()) + HEAD;
    match len {
        0 => 0,
        1..=ROOM => node,
        _ => len.div_ceil(FILLED) * node,
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("len", &self.0.len)
            .field("nodes", &self.0.nodes.len())
            .field("state", &self.0.state)
            .field("groups", &self.0.groups)
            .finish()
    }
}

impl Stream {
    /// A stream without entries.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::default())
    }

    /// The number of entries. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no entry. Such a stream may still have groups, and remembers ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Bytes taken from the allocator: of nodes exactly, of trees about. O(nodes + consumers).
    #[must_use]
    pub fn heap_size(&self) -> usize {
        let body = &self.0;
        let of_nodes: usize = body.nodes.values().map(Node::heap_size).sum();
        let of_groups: usize = body
            .groups
            .iter()
            .map(|(name, group)| name.len() + group.heap_size())
            .sum();
        size_of::<Body>()
            + of_nodes
            + of_groups
            + tree_size::<StreamId, Node>(body.nodes.len())
            + tree_size::<Box<[u8]>, Group>(body.groups.len())
    }

    /// What it knows of itself.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state
    }

    /// Sets what cannot be told from the entries (XSETID, RDB).
    pub fn set_state(&mut self, last_id: StreamId, max_deleted_id: StreamId, entries_added: u64) {
        let state = &mut self.0.state;
        state.last_id = last_id;
        state.max_deleted_id = max_deleted_id;
        state.entries_added = entries_added;
    }

    /// The nodes in order: the id that theirs are relative to, and their bytes. For RDB and XINFO.
    pub fn nodes(
        &self,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Listpack)> + ExactSizeIterator {
        self.0.nodes.iter().map(|(id, node)| (*id, node.pack()))
    }

    /// Adds a node from outside behind all others, after walking all of it.
    ///
    /// # Errors
    /// When it is not as Redis would write it, or does not lie behind the last one.
    pub fn push_node(&mut self, master: StreamId, pack: Listpack) -> Result<(), NodeError> {
        let node = Node::checked(master, pack)?;
        let body = &mut *self.0;
        let last = body.nodes.last_key_value();
        let last = last.and_then(|(id, node)| node.last(*id));
        if last.is_some_and(|last| master <= last.id) {
            return Err(NodeError::Order(master));
        }
        body.len += node.counts().0;
        body.nodes.insert(master, node);
        self.note_first();
        if let Some(last) = self.last_entry() {
            self.0.state.last_id = self.0.state.last_id.max(last.id);
        }
        Ok(())
    }

    /// Adds an entry with these names and values, in turn. The id must be above the last one; false otherwise.
    /// O(bytes of the entry), O(log nodes) where a node begins.
    pub fn add(&mut self, id: StreamId, fields: &[&[u8]], limits: &StreamLimits) -> bool {
        let body = &mut *self.0;
        if id <= body.state.last_id || fields.len() < 2 {
            return false;
        }
        let bytes: usize = fields.iter().map(|word| word.len()).sum();
        match body.nodes.last_entry() {
            Some(mut last) if takes_more(last.get(), bytes, limits) => {
                let master = *last.key();
                last.get_mut().append(master, id, fields);
            }
            _ => {
                let mut node = Node::new(fields);
                node.append(id, id, fields);
                body.nodes.insert(id, node);
            }
        }
        body.len += 1;
        body.state.entries_added += 1;
        body.state.last_id = id;
        if body.len == 1 {
            body.state.first_id = id;
        }
        true
    }

    /// Deletes an entry; false if there is none of this id. O(log nodes + bytes of a node).
    pub fn delete(&mut self, id: StreamId) -> bool {
        let body = &mut *self.0;
        let Some((master, node)) = body.nodes.range_mut(..=id).next_back() else {
            return false;
        };
        let master = *master;
        if !node.delete(master, id) {
            return false;
        }
        if node.counts().0 == 0 {
            body.nodes.remove(&master);
        }
        body.len -= 1;
        let state = &mut body.state;
        state.max_deleted_id = state.max_deleted_id.max(id);
        if state.first_id == id {
            self.note_first();
        }
        true
    }

    fn note_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next();
        self.0.state.first_id = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    /// The entry of an id. O(log nodes + bytes of a node).
    #[must_use]
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The first entry.
    #[must_use]
    pub fn first_entry(&self) -> Option<Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The last entry.
    #[must_use]
    pub fn last_entry(&self) -> Option<Entry<'_>> {
        self.reverse_range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The groups by name, in order.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name)
    }

    /// A group, to be changed.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.0.groups.get_mut(name)
    }

    /// Acknowledges an entry for every group that has it pending; how many those were.
    pub fn acknowledge_in_all_groups(&mut self, id: StreamId) -> u64 {
        let groups = self.0.groups.values_mut();
        groups.map(|group| u64::from(group.acknowledge(id))).sum()
    }

    /// Adds a group; false if there is one of this name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let groups = &mut self.0.groups;
        let new = !groups.contains_key(name);
        if new {
            groups.insert(name.into(), group);
        }
        new
    }

    /// Removes a group with all that is pending; false if there is none.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.0.groups.remove(name).is_some()
    }

    /// Notes that a group has read up to an entry: moves it on, and its count where that can be told.
    pub fn advance_group(&mut self, name: &[u8], id: StreamId) {
        let Body {
            state, len, groups, ..
        } = &mut *self.0;
        let Some(group) = groups
            .get_mut(name)
            .filter(|group| id > group.last_delivered)
        else {
            return;
        };
        group.entries_read = match group.entries_read {
            Some(read) if !state.has_deleted_since(id, *len) => Some(read.wrapping_add(1)),
            read if state.entries_added == 0 => read,
            _ => state.rank(id, *len),
        };
        group.last_delivered = id;
    }

    /// How many entries of its whole history lie up to an id; none when that cannot be told without reading them all.
    #[must_use]
    pub fn history_rank(&self, id: StreamId) -> Option<i64> {
        self.0.state.rank(id, self.0.len)
    }

    /// How many entries a group has still to read; none when that is not known.
    #[must_use]
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let (state, len) = (self.0.state, self.0.len);
        if state.entries_added == 0 {
            return Some(0);
        }
        let read = group
            .entries_read
            .filter(|_| !state.has_deleted_since(group.last_delivered, len))
            .or_else(|| state.rank(group.last_delivered, len))?;
        Some((state.entries_added as i64).wrapping_sub(read))
    }
}

impl State {
    /// Whether an entry from `id` on, and behind the first one, was deleted: what follows cannot be counted then.
    fn has_deleted_since(&self, id: StreamId, len: usize) -> bool {
        let deleted = self.max_deleted_id;
        len > 0 && deleted != StreamId::MIN && self.first_id <= deleted && id <= deleted
    }

    /// The number of entries ever added up to `id`, where the ends of the stream tell it.
    fn rank(&self, id: StreamId, len: usize) -> Option<i64> {
        let added = self.entries_added as i64;
        if added == 0 {
            return Some(0);
        }
        if len == 0 && id <= self.last_id {
            return Some(added);
        }
        match id.cmp(&self.last_id) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Some(added),
            std::cmp::Ordering::Greater => return None,
        }
        // Everything from the first entry on is still there: what lies before it is the difference.
        let whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = added.wrapping_sub(len as i64);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if whole => Some(before_first),
            std::cmp::Ordering::Equal if whole => Some(before_first.wrapping_add(1)),
            _ => None,
        }
    }
}

/// Whether a node may take an entry of so many bytes.
fn takes_more(node: &Node, bytes: usize, limits: &StreamLimits) -> bool {
    let room = match limits.max_node_bytes {
        0 => listpack::MAX_BYTES,
        max => max.min(listpack::MAX_BYTES),
    };
    let (live, dead) = node.counts();
    let filled = limits.max_node_entries != 0 && live + dead >= limits.max_node_entries;
    !filled && node.pack().byte_len().saturating_add(bytes) < room
}
