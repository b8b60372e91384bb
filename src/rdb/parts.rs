//! Large values that are encoded part by part.

use super::encoder::{Encoder, KeyHeader, length, type_of};
use super::object;
use crate::keyspace::Source;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::SortedSet;

/// Nodes of a list that are not a part yet are followed by more, in bytes as they are encoded.
const NODE_BYTES: usize = 16 << 10;

impl Encoder {
    /// Appends the next part of an entry, of about `count` elements; whether there is another. All parts together are what
    /// [`Encoder::entry`] appends, but for the order. O(part).
    pub fn part(
        &mut self,
        out: &mut Vec<u8>,
        header: &KeyHeader<'_>,
        source: Source<'_>,
        is_first: bool,
        count: usize,
    ) -> bool {
        if is_first {
            self.beginning(out, header, type_of_source(&source));
        }
        match source {
            Source::Hash(hash) => self.part_of_hash(out, hash, is_first, count),
            Source::Set(set) => self.part_of_set(out, set, is_first, count),
            Source::SortedSet(set) => self.part_of_sorted_set(out, set, is_first, count),
            Source::List(list) => self.part_of_list(out, list, is_first),
            Source::Whole(value) => {
                self.value(out, value);
                false
            }
        }
    }

    fn part_of_hash(
        &mut self,
        out: &mut Vec<u8>,
        hash: &mut Hash,
        is_first: bool,
        count: usize,
    ) -> bool {
        let (len, earliest) = hash.copied();
        if is_first {
            out.extend(earliest.into_iter().flat_map(i64::to_le_bytes));
            length(out, len as u64);
        }
        hash.copy_part(count, |field, value, time| {
            self.field(out, field, value, time, earliest);
        })
    }

    fn part_of_set(
        &mut self,
        out: &mut Vec<u8>,
        set: &mut Set,
        is_first: bool,
        count: usize,
    ) -> bool {
        if is_first {
            length(out, set.copied_len() as u64);
        }
        set.copy_part(count, |member| self.element(out, member))
    }

    fn part_of_sorted_set(
        &mut self,
        out: &mut Vec<u8>,
        set: &mut SortedSet,
        is_first: bool,
        count: usize,
    ) -> bool {
        if is_first {
            length(out, set.copied_len() as u64);
        }
        set.copy_part(count, |member, score| {
            self.element(out, member);
            out.extend(score.to_le_bytes());
        })
    }

    fn part_of_list(&mut self, out: &mut Vec<u8>, list: &mut List, is_first: bool) -> bool {
        if is_first {
            length(out, list.copied_nodes() as u64);
        }
        let begun = out.len();
        while out.len() - begun < NODE_BYTES {
            if list.copy_node(|node| self.node(out, &node)).is_none() {
                return false;
            }
        }
        true
    }
}

fn type_of_source(source: &Source<'_>) -> u8 {
    match source {
        Source::List(_) => object::LIST_QUICKLIST_2,
        Source::Hash(hash) if hash.copied().1.is_some() => object::HASH_TIMES,
        Source::Hash(_) => object::HASH,
        Source::Set(_) => object::SET,
        Source::SortedSet(_) => object::ZSET_2,
        Source::Whole(value) => type_of(value),
    }
}
