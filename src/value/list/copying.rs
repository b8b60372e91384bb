//! What a chain of nodes was when a copy of it was begun. The nodes that have not been copied and have not changed lie next
//! to one another; of those before and behind them that have changed or gone, the copy holds what they were.
//! It must not know how nodes change.

use std::collections::VecDeque;
use std::ops::Range;

use super::node::Node;

/// A copy of a chain under way, or none. A clone of the chain has none.
#[derive(Debug, Default)]
pub(super) struct ChainCopy(Option<Box<Copy>>);

#[derive(Debug)]
struct Copy {
    /// Nodes when it began.
    len: usize,
    /// What comes before the nodes that have not changed.
    before: VecDeque<Node>,
    /// Where those lie.
    same: Range<usize>,
    /// What comes behind them.
    behind: VecDeque<Node>,
}

impl Clone for ChainCopy {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl ChainCopy {
    pub(super) fn begin(&mut self, len: usize) {
        self.0 = Some(Box::new(Copy {
            len,
            before: VecDeque::new(),
            same: 0..len,
            behind: VecDeque::new(),
        }));
    }

    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Nodes when it began.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |copy| copy.len)
    }

    /// Before the node at a place changes, or goes: it is kept as it is, and with it those between it and the nearer end of
    /// what has not changed. None of them where it has changed already, as a queue's ends mostly have.
    #[inline]
    pub(super) fn note(&mut self, nodes: &VecDeque<Node>, at: usize) {
        if let Some(copy) = &mut self.0 {
            copy.note(nodes, at);
        }
    }

    /// The same for the last node, if there is one.
    #[inline]
    pub(super) fn note_last(&mut self, nodes: &VecDeque<Node>) {
        if let Some(last) = nodes.len().checked_sub(1) {
            self.note(nodes, last);
        }
    }

    /// A node was put in at a place, the neighbours of which have been noted where they have changed.
    pub(super) fn inserted(&mut self, at: usize) {
        if let Some(copy) = &mut self.0
            && at <= copy.same.start
        {
            copy.same = copy.same.start + 1..copy.same.end + 1;
        }
    }

    /// Nodes go, all of which have been noted.
    pub(super) fn removed(&mut self, places: Range<usize>) {
        if let Some(copy) = &mut self.0
            && places.end <= copy.same.start
        {
            copy.same = copy.same.start - places.len()..copy.same.end - places.len();
        }
    }

    /// Hands over the next node; none when the copy is complete, and over.
    pub(super) fn next<R>(
        &mut self,
        nodes: &VecDeque<Node>,
        visit: impl FnOnce(&Node) -> R,
    ) -> Option<R> {
        let copy = self.0.as_mut()?;
        let same = (!copy.same.is_empty()).then_some(copy.same.start);
        let answer = if let Some(node) = copy.before.pop_front() {
            Some(visit(&node))
        } else if let Some(at) = same {
            copy.same.start += 1;
            nodes.get(at).map(visit)
        } else {
            copy.behind.pop_front().map(|node| visit(&node))
        };
        if answer.is_none() {
            self.0 = None;
        }
        answer
    }
}

impl Copy {
    #[cold]
    fn note(&mut self, nodes: &VecDeque<Node>, at: usize) {
        if !self.same.contains(&at) {
            return;
        }
        if at - self.same.start < self.same.end - at {
            self.before
                .extend(nodes.range(self.same.start..=at).cloned());
            self.same.start = at + 1;
        } else {
            for node in nodes.range(at..self.same.end).rev() {
                self.behind.push_front(node.clone());
            }
            self.same.end = at;
        }
    }
}
