//! Cutting off the oldest entries: whole nodes where that is enough, single entries where it must be exact.

use super::{Stream, StreamId};

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
    /// Whether only whole nodes go, so that more may be left.
    pub approximate: bool,
    /// At most so many entries go; 0: no limit. Only for an approximate one.
    pub limit: u64,
}

impl Stream {
    /// Trims; how many entries went. O(entries that go).
    pub fn trim(&mut self, how: &Trim) -> usize {
        let mut removed = 0;
        while let Some(count) = self.trim_node(how, removed) {
            removed += count;
        }
        if removed > 0 {
            self.note_first();
        }
        removed
    }

    /// Removes the first node if all of it may go. Otherwise marks in it what is to go, and nothing is left to do.
    fn trim_node(&mut self, how: &Trim, before: usize) -> Option<usize> {
        let len = self.0.len;
        let excess = match how.to {
            TrimTo::Length(wanted) => usize::try_from((len as u64).checked_sub(wanted)?).ok()?,
            TrimTo::MinId(_) => len,
        };
        let mut first = self.0.nodes.first_entry().filter(|_| excess > 0)?;
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
            self.0.len -= live;
            return Some(live);
        }
        if how.approximate {
            return None;
        }
        let marked = node.delete_until(master, |id, marked| match how.to {
            TrimTo::Length(_) => marked == excess,
            TrimTo::MinId(least) => id >= least,
        });
        self.0.len -= marked;
        (marked > 0).then_some(marked)
    }
}
