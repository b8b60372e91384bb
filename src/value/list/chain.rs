//! The nodes of a list that has outgrown one: no node is empty, and their order is that of the elements.
//! Knows no list of a single node.

use std::collections::VecDeque;

use super::ListLimits;
use super::copying::ChainCopy;
use super::node::Node;
use crate::value::listpack::Needle;

#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    nodes: VecDeque<Node>,
    /// Elements in all nodes.
    len: usize,
    copy: ChainCopy,
}

impl Chain {
    pub(super) fn nodes(&self) -> &VecDeque<Node> {
        &self.nodes
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_size(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.nodes.iter().map(Node::heap_size).sum::<usize>()
    }

    pub(super) fn copy(&self) -> &ChainCopy {
        &self.copy
    }

    pub(super) fn begin_copy(&mut self) {
        self.copy.begin(self.nodes.len());
    }

    pub(super) fn end_copy(&mut self) {
        self.copy.end();
    }

    /// Hands over the next node of the copy.
    pub(super) fn copy_node<R>(&mut self, visit: impl FnOnce(&Node) -> R) -> Option<R> {
        self.copy.next(&self.nodes, visit)
    }

    /// The only node, taken out.
    pub(super) fn take_last_node(&mut self) -> Option<Node> {
        self.len = 0;
        self.nodes.pop_back()
    }

    pub(super) fn append(&mut self, node: Node) {
        if node.len() > 0 {
            self.len += node.len();
            self.nodes.push_back(node);
        }
    }

    /// The node of the element at `index`, and the index within it. O(nodes), from the nearer end.
    pub(super) fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut rest = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if rest < node.len() {
                    return Some((at, rest));
                }
                rest -= node.len();
            }
        } else {
            let mut rest = self.len - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                if rest <= node.len() {
                    return Some((at, node.len() - rest));
                }
                rest -= node.len();
            }
        }
        None
    }

    pub(super) fn push_back(&mut self, value: &[u8], limits: &ListLimits) {
        self.copy.note_last(&self.nodes);
        match self.nodes.back_mut() {
            Some(node) if node.admits(value, limits) => node.push_back(value),
            _ => self.nodes.push_back(Node::single(value, limits)),
        }
        self.len += 1;
    }

    pub(super) fn push_front(&mut self, value: &[u8], limits: &ListLimits) {
        self.copy.note(&self.nodes, 0);
        match self.nodes.front_mut() {
            Some(node) if node.admits(value, limits) => node.insert(0, value),
            _ => {
                self.nodes.push_front(Node::single(value, limits));
                self.copy.inserted(0);
            }
        }
        self.len += 1;
    }

    /// Adds `value` before the element at `index`, or at the tail.
    pub(super) fn insert(&mut self, index: usize, value: &[u8], limits: &ListLimits) {
        let Some((at, within)) = self.locate(index) else {
            return self.push_back(value, limits);
        };
        self.len += 1;
        self.copy.note(&self.nodes, at);
        if self.nodes[at].admits(value, limits) {
            return self.nodes[at].insert(within, value);
        }
        let mut gap = at;
        if within > 0 {
            gap = at + 1;
            let tail = self.nodes[at].split_off(within);
            self.nodes.insert(gap, tail);
            self.copy.inserted(gap);
        } else if at > 0 {
            self.copy.note(&self.nodes, at - 1);
        }
        if gap > 0 && self.nodes[gap - 1].admits(value, limits) {
            self.nodes[gap - 1].push_back(value);
        } else if self.nodes[gap].admits(value, limits) {
            self.nodes[gap].insert(0, value);
        } else {
            self.nodes.insert(gap, Node::single(value, limits));
            self.copy.inserted(gap);
        }
    }

    /// Puts `value` in the place of the element at `index`; whether there was one.
    pub(super) fn set(&mut self, index: usize, value: &[u8], limits: &ListLimits) -> bool {
        let Some((at, within)) = self.locate(index) else {
            return false;
        };
        self.copy.note(&self.nodes, at);
        if !self.nodes[at].replace(within, value, limits) {
            self.remove_range(index, 1);
            self.insert(index, value, limits);
        }
        true
    }

    /// Removes up to `count` elements from `start` on. O(nodes + bytes of the two nodes at the borders).
    pub(super) fn remove_range(&mut self, start: usize, count: usize) {
        if count == 1 && self.remove_end(start) {
            return;
        }
        let mut rest = count.min(self.len.saturating_sub(start));
        let Some((mut at, within)) = self.locate(start) else {
            return;
        };
        self.len -= rest;
        if within > 0 {
            let removed = rest.min(self.nodes[at].len() - within);
            self.copy.note(&self.nodes, at);
            self.nodes[at].remove(within, removed);
            rest -= removed;
            at += 1;
        }
        let mut end = at;
        while let Some(node) = self.nodes.get(end)
            && node.len() <= rest
        {
            rest -= node.len();
            end += 1;
        }
        let touched = if rest > 0 { end + 1 } else { end };
        (at..touched).for_each(|at| self.copy.note(&self.nodes, at));
        self.copy.removed(at..end);
        self.nodes.drain(at..end);
        if rest > 0
            && let Some(node) = self.nodes.get_mut(at)
        {
            node.remove(0, rest);
        }
    }

    /// Removes the element at `index`, if it is the first or the last and not the only one of its node; whether it did.
    /// Queues take their elements there.
    fn remove_end(&mut self, index: usize) -> bool {
        match index {
            0 => self.copy.note(&self.nodes, 0),
            _ if index + 1 == self.len => self.copy.note_last(&self.nodes),
            _ => {}
        }
        let node = match index {
            0 => self.nodes.front_mut(),
            _ if index + 1 == self.len => self.nodes.back_mut(),
            _ => None,
        };
        let Some(node) = node.filter(|node| node.len() > 1) else {
            return false;
        };
        node.remove(if index == 0 { 0 } else { node.len() - 1 }, 1);
        self.len -= 1;
        true
    }

    /// Removes up to `most` elements that are `needle`, from the head or from the tail; how many there were.
    pub(super) fn remove_matching(
        &mut self,
        needle: &Needle<'_>,
        most: usize,
        from_tail: bool,
    ) -> usize {
        if self.copy.is_under_way() {
            for at in 0..self.nodes.len() {
                if self.nodes[at].iter().any(|element| needle.matches(element)) {
                    self.copy.note(&self.nodes, at);
                }
            }
        }
        let mut removed = 0;
        let mut emptied = false;
        let mut visit = |node: &mut Node| {
            removed += node.remove_matching(needle, most - removed, from_tail);
            emptied |= node.len() == 0;
            removed < most
        };
        if from_tail {
            self.nodes.iter_mut().rev().all(&mut visit);
        } else {
            self.nodes.iter_mut().all(&mut visit);
        }
        if emptied {
            for at in (0..self.nodes.len()).rev() {
                if self.nodes[at].len() == 0 {
                    self.copy.removed(at..at + 1);
                }
            }
            self.nodes.retain(|node| node.len() > 0);
        }
        self.len -= removed;
        removed
    }
}
