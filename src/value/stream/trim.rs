//! Cutting off the oldest entries: whole nodes where that is enough, single entries where it must be exact.

use std::collections::BTreeMap;

use super::{Body, Group, Stream, StreamId};

/// What is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries.
    Length(u64),
    /// Entries from this id on.
    MinId(StreamId),
}

/// How to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What is to be left.
    pub to: TrimTo,
    /// Whether only whole nodes go, so that more may be left; none unless references are kept.
    pub approximate: bool,
    /// At most so many entries go; 0: no limit. Only for an approximate one.
    pub limit: u64,
    /// What becomes of entries that groups want.
    pub references: References,
}

/// What becomes of an entry that groups still have pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum References {
    /// It is deleted, and stays pending.
    Kept,
    /// It is deleted, and pending no more.
    Deleted,
    /// It is not deleted before every group has read and acknowledged it.
    Awaited,
}

/// Whether a group has not read or not acknowledged an entry of this id.
fn is_awaited(groups: &BTreeMap<Box<[u8]>, Group>, id: StreamId) -> bool {
    groups
        .values()
        .any(|group| group.last_delivered < id || group.delivery(id).is_some())
}

impl Stream {
    /// Whether a group has not read or not acknowledged an entry of this id. O(groups).
    #[must_use]
    pub fn is_awaited(&self, id: StreamId) -> bool {
        is_awaited(&self.0.groups, id)
    }

    /// Trims; how many entries went. O(entries that go), and those before them that groups wait for.
    ///
    /// An approximate trim removes whole nodes without looking at their entries: where each entry has to be looked at,
    /// whether there are groups or not, it removes nothing.
    pub fn trim(&mut self, how: &Trim) -> usize {
        let removed = match how.references {
            References::Kept => self.trim_nodes(how),
            _ if how.approximate => 0,
            _ if self.0.groups.is_empty() => self.trim_nodes(how),
            References::Deleted => {
                let oldest = self.oldest(how);
                let removed = self.trim_nodes(how);
                for id in oldest.into_iter().take(removed) {
                    self.acknowledge_in_all_groups(id);
                }
                removed
            }
            References::Awaited => self.trim_acknowledged(how),
        };
        if removed > 0 {
            self.note_first();
        }
        removed
    }

    fn trim_nodes(&mut self, how: &Trim) -> usize {
        let mut removed = 0;
        while let Some(count) = self.trim_node(how, removed) {
            removed += count;
        }
        removed
    }

    /// The entries that an exact trim removes, in order.
    fn oldest(&self, how: &Trim) -> Vec<StreamId> {
        let ids = self.range(StreamId::MIN, StreamId::MAX);
        let ids = ids.map(|entry| entry.id);
        match how.to {
            TrimTo::Length(_) => ids.take(self.excess(how)).collect(),
            TrimTo::MinId(least) => ids.take_while(|id| *id < least).collect(),
        }
    }

    /// How many entries there are too many; all of them where that depends on their ids.
    fn excess(&self, how: &Trim) -> usize {
        let len = self.0.len;
        match how.to {
            TrimTo::Length(wanted) => len.saturating_sub(usize::try_from(wanted).unwrap_or(len)),
            TrimTo::MinId(_) => len,
        }
    }

    /// Removes entries that no group waits for, oldest first, wherever they stand.
    fn trim_acknowledged(&mut self, how: &Trim) -> usize {
        let excess = self.excess(how);
        let Body {
            nodes, groups, len, ..
        } = &mut *self.0;
        let is_new = |id| matches!(how.to, TrimTo::MinId(least) if id >= least);
        let mut removed = 0;
        for (master, node) in nodes.iter_mut() {
            if removed == excess || is_new(*master) {
                break;
            }
            removed += node.delete_where(*master, |id, marked| {
                let stop = removed + marked == excess || is_new(id);
                (!stop).then(|| !is_awaited(groups, id))
            });
        }
        *len -= removed;
        nodes.retain(|_, node| node.counts().0 > 0);
        removed
    }

    /// Removes the first node if all of it may go. Otherwise marks in it what is to go, and nothing is left to do.
    fn trim_node(&mut self, how: &Trim, before: usize) -> Option<usize> {
        let excess = self.excess(how);
        let Body { nodes, len, .. } = &mut *self.0;
        let mut first = nodes.first_entry().filter(|_| excess > 0)?;
        let (master, node) = (*first.key(), first.get_mut());
        let live = node.counts().0;
        if how.limit != 0 && (before + live) as u64 > how.limit {
            return None;
        }
        let whole = match how.to {
            TrimTo::Length(_) => live <= excess,
            TrimTo::MinId(id) => node.last(master).is_none_or(|last| last.id < id),
        };
        if whole {
            first.remove();
            *len -= live;
            return Some(live);
        }
        if how.approximate {
            return None;
        }
        let marked = node.delete_where(master, |id, marked| {
            let stop = match how.to {
                TrimTo::Length(_) => marked == excess,
                TrimTo::MinId(least) => id >= least,
            };
            (!stop).then_some(true)
        });
        *len -= marked;
        (marked > 0).then_some(marked)
    }
}
