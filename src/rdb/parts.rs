//! Large values that are encoded part by part. Between the parts the value must not change.

use super::encoder::{Encoder, KeyHeader, length};
use crate::keyspace::ValueRef;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::SortedSet;

/// Nodes of a list that are not a part yet are followed by more, in bytes as they are encoded.
const NODE_BYTES: usize = 16 << 10;

impl Encoder {
    /// Appends the part of an entry that begins at a cursor, 0 at first; the cursor of the next part, if there is one. All
    /// parts together are what [`Encoder::entry`] appends, but for the order of a hash or set. What has no parts, such as
    /// strings and streams, is one. O(part).
    pub fn part(
        &mut self,
        out: &mut Vec<u8>,
        header: &KeyHeader<'_>,
        value: ValueRef<'_>,
        cursor: u64,
    ) -> Option<u64> {
        if cursor == 0 {
            self.beginning(out, header, &value);
        }
        match &value {
            ValueRef::Hash(hash) if hash.as_listpack().is_none() && hash.next_time().is_none() => {
                let count = value.elements_per_part(hash.len());
                self.part_of_hash(out, hash, cursor, count)
            }
            ValueRef::Set(set) if set.as_intset().is_none() => {
                let count = value.elements_per_part(set.len());
                self.part_of_set(out, set, cursor, count)
            }
            ValueRef::SortedSet(set) if set.as_listpack().is_none() => {
                let count = value.elements_per_part(set.len());
                self.part_of_sorted_set(out, set, cursor, count)
            }
            ValueRef::List(list) => self.part_of_list(out, list, cursor),
            _ => {
                self.value(out, value);
                None
            }
        }
    }

    fn part_of_hash(
        &mut self,
        out: &mut Vec<u8>,
        hash: &Hash,
        cursor: u64,
        count: usize,
    ) -> Option<u64> {
        if cursor == 0 {
            length(out, hash.len() as u64);
        }
        let next = hash.scan(cursor, count, |field, value| {
            self.element(out, field);
            self.element(out, value);
        });
        (next != 0).then_some(next)
    }

    fn part_of_set(
        &mut self,
        out: &mut Vec<u8>,
        set: &Set,
        cursor: u64,
        count: usize,
    ) -> Option<u64> {
        if cursor == 0 {
            length(out, set.len() as u64);
        }
        let next = set.scan(cursor, count, |member| self.element(out, member));
        (next != 0).then_some(next)
    }

    /// The cursor counts from the last member, as a sorted set is written.
    fn part_of_sorted_set(
        &mut self,
        out: &mut Vec<u8>,
        set: &SortedSet,
        cursor: u64,
        count: usize,
    ) -> Option<u64> {
        if cursor == 0 {
            length(out, set.len() as u64);
        }
        let end = set.len().saturating_sub(cursor as usize);
        let start = end.saturating_sub(count);
        for (member, score) in set.range(start..end).rev() {
            self.element(out, member);
            out.extend(score.to_le_bytes());
        }
        (start > 0).then(|| cursor + (end - start) as u64)
    }

    /// The cursor is the place of a node.
    fn part_of_list(&mut self, out: &mut Vec<u8>, list: &List, cursor: u64) -> Option<u64> {
        if cursor == 0 {
            length(out, list.nodes().count() as u64);
        }
        let begun = out.len();
        for (at, node) in list.nodes_from(cursor as usize) {
            if out.len() - begun > NODE_BYTES {
                return Some(at as u64);
            }
            self.node(out, &node);
        }
        None
    }
}
