//! Walking the entries of a stream between two ids, forwards or backwards; deleted ones are passed over.

use std::collections::btree_map;

use super::node::Node;
use super::{Entry, Stream, StreamId};

/// Entries in ascending order.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    nodes: btree_map::Range<'a, StreamId, Node>,
    /// The node at hand and the entry that comes next in it.
    at: Option<(StreamId, &'a Node, Entry<'a>)>,
    start: StreamId,
    end: StreamId,
}

/// Entries in descending order.
#[derive(Clone, Debug)]
pub struct ReverseRange<'a> {
    nodes: btree_map::Range<'a, StreamId, Node>,
    at: Option<(StreamId, &'a Node, Entry<'a>)>,
    start: StreamId,
    end: StreamId,
}

impl Stream {
    /// The nodes that may hold entries between two ids.
    fn nodes_between(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> btree_map::Range<'_, StreamId, Node> {
        let nodes = &self.0.nodes;
        let before = nodes.range(..=start).next_back();
        let first = before.map_or(start, |(master, _)| *master);
        if first > end {
            return nodes.range(StreamId::MAX..StreamId::MAX);
        }
        nodes.range(first..=end)
    }

    /// The entries from `start` up to `end`, both included. O(log nodes + bytes of a node) to begin.
    #[must_use]
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range {
            nodes: self.nodes_between(start, end),
            at: None,
            start,
            end,
        }
    }

    /// The same entries from `end` down to `start`.
    #[must_use]
    pub fn reverse_range(&self, start: StreamId, end: StreamId) -> ReverseRange<'_> {
        ReverseRange {
            nodes: self.nodes_between(start, end),
            at: None,
            start,
            end,
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let (master, node, entry) = match self.at.take() {
                Some(at) => at,
                None => {
                    let (master, node) = self.nodes.next()?;
                    let Some(entry) = node.first(*master) else {
                        continue;
                    };
                    (*master, node, entry)
                }
            };
            if entry.id > self.end {
                self.at = Some((master, node, entry));
                return None;
            }
            self.at = node.after(master, &entry).map(|next| (master, node, next));
            if entry.id >= self.start && !entry.is_deleted() {
                return Some(entry);
            }
        }
    }
}

impl<'a> Iterator for ReverseRange<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let (master, node, entry) = match self.at.take() {
                Some(at) => at,
                None => {
                    let (master, node) = self.nodes.next_back()?;
                    let Some(entry) = node.last(*master) else {
                        continue;
                    };
                    (*master, node, entry)
                }
            };
            if entry.id < self.start {
                self.at = Some((master, node, entry));
                return None;
            }
            self.at = node.before(master, &entry).map(|next| (master, node, next));
            if entry.id <= self.end && !entry.is_deleted() {
                return Some(entry);
            }
        }
    }
}
