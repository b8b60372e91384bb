//! The list: a chain of listpacks, as Redis's quicklist is. A list of one node, which most are, is that node and no
//! chain. Knows elements and limits; no keys, no waiting clients, no clock.

mod chain;
mod copying;
mod limits;
mod node;
#[cfg(test)]
mod tests;

use std::mem;

use super::listpack::{Element, Listpack, Needle};
use chain::Chain;
pub use limits::ListLimits;
use node::{Node, NodeIter};

/// A chain whose last node is below this many bytes becomes a list of one node again. Far enough below the usual
/// limit of 8 KiB that a queue does not turn from one to the other and back at each step.
const ONE_NODE_BYTES: usize = 2048;

/// A list of byte strings. Both ends are O(1), an index is O(nodes + bytes of one node).
#[derive(Clone, Debug)]
pub struct List {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    One(Node),
    Many(Box<Chain>),
}

/// A node as an RDB file stores it.
#[derive(Clone, Copy, Debug)]
pub enum NodeRef<'a> {
    /// Elements in a listpack.
    Packed(&'a Listpack),
    /// One large element.
    Plain(&'a [u8]),
}

impl<'a> NodeRef<'a> {
    fn of(node: &'a Node) -> Self {
        match node {
            Node::Packed { pack, .. } => Self::Packed(pack),
            Node::Plain(value) => Self::Plain(value),
        }
    }

    /// Bytes of its elements as they are stored.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.byte_len(),
            Self::Plain(value) => value.len(),
        }
    }
}

impl List {
    /// A list without elements.
    pub fn new() -> Self {
        Self {
            form: Form::One(Node::empty()),
        }
    }

    /// The number of elements. O(1).
    pub fn len(&self) -> usize {
        match &self.form {
            Form::One(node) => node.len(),
            Form::Many(chain) => chain.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes taken from the allocator. O(nodes).
    pub fn heap_size(&self) -> usize {
        match &self.form {
            Form::One(node) => node.heap_size(),
            Form::Many(chain) => size_of::<Chain>() + chain.heap_size(),
        }
    }

    /// The number of nodes, for DEBUG OBJECT.
    pub fn node_count(&self) -> usize {
        match &self.form {
            Form::One(_) => 1,
            Form::Many(chain) => chain.nodes().len(),
        }
    }

    fn node(&self, at: usize) -> Option<&Node> {
        match &self.form {
            Form::One(node) => (at == 0).then_some(node),
            Form::Many(chain) => chain.nodes().get(at),
        }
    }

    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        match &self.form {
            Form::One(node) => (index < node.len()).then_some((0, index)),
            Form::Many(chain) => chain.locate(index),
        }
    }

    /// `index` counted from the head, where a negative one counts from the tail.
    fn index_from_head(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let index = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        (index < len).then_some(index)
    }

    /// The nodes in order, for an RDB file.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.nodes_from(0).map(|(_, node)| node)
    }

    /// The nodes from a place on, each with its place.
    pub fn nodes_from(&self, first: usize) -> impl Iterator<Item = (usize, NodeRef<'_>)> {
        (first..)
            .map_while(|at| Some((at, self.node(at)?)))
            .filter(|(_, node)| node.len() > 0)
            .map(|(at, node)| (at, NodeRef::of(node)))
    }

    /// Adds the elements of `pack` at the tail, as a node of their own.
    pub fn append_packed(&mut self, pack: Listpack) {
        self.append(Node::packed(pack));
    }

    /// Adds one large element at the tail, as a node of its own.
    pub fn append_plain(&mut self, value: &[u8]) {
        self.append(Node::plain(value));
    }

    fn append(&mut self, node: Node) {
        if self.is_empty() {
            self.form = Form::One(node);
        } else if node.len() > 0 {
            self.chain_mut().append(node);
        }
    }

    /// The chain; a list of one node becomes one.
    fn chain_mut(&mut self) -> &mut Chain {
        if let Form::One(node) = &mut self.form {
            let mut chain = Box::<Chain>::default();
            chain.append(mem::replace(node, Node::empty()));
            self.form = Form::Many(chain);
        }
        match &mut self.form {
            Form::Many(chain) => chain,
            Form::One(_) => unreachable!("it was made a chain above"),
        }
    }

    /// After a removal: gives up the chain when one small node or none is left.
    fn settle(&mut self) {
        if let Form::Many(chain) = &mut self.form
            && !chain.copy().is_under_way()
            && chain.nodes().len() <= 1
            && chain
                .nodes()
                .front()
                .is_none_or(|node| node.heap_size() <= ONE_NODE_BYTES)
        {
            self.form = Form::One(chain.take_last_node().unwrap_or_else(Node::empty));
        }
    }

    /// Adds `value` at the tail.
    pub fn push_back(&mut self, value: &[u8], limits: &ListLimits) {
        match &mut self.form {
            Form::One(node) if node.admits(value, limits) => node.push_back(value),
            Form::One(node) if node.len() == 0 => *node = Node::single(value, limits),
            _ => self.chain_mut().push_back(value, limits),
        }
    }

    /// Adds `value` at the head.
    pub fn push_front(&mut self, value: &[u8], limits: &ListLimits) {
        match &mut self.form {
            Form::One(node) if node.admits(value, limits) => node.insert(0, value),
            Form::One(node) if node.len() == 0 => *node = Node::single(value, limits),
            _ => self.chain_mut().push_front(value, limits),
        }
    }

    /// The first element. O(1).
    pub fn front(&self) -> Option<Element<'_>> {
        self.iter().next()
    }

    /// The last element. O(1).
    pub fn back(&self) -> Option<Element<'_>> {
        self.node(self.node_count().checked_sub(1)?)?
            .iter()
            .next_back()
    }

    /// Takes out the first element.
    pub fn pop_front(&mut self) -> Option<Vec<u8>> {
        let value = self.front()?.to_vec();
        self.remove_range(0, 1);
        Some(value)
    }

    /// Takes out the last element.
    pub fn pop_back(&mut self) -> Option<Vec<u8>> {
        let value = self.back()?.to_vec();
        self.remove_range(self.len() - 1, 1);
        Some(value)
    }

    /// The element at `index`, counted from the tail when negative.
    pub fn get(&self, index: i64) -> Option<Element<'_>> {
        let (at, within) = self.locate(self.index_from_head(index)?)?;
        self.node(at)?.get(within)
    }

    /// Puts `value` in the place of the element at `index` (negative: from the tail); whether there was one.
    pub fn set(&mut self, index: i64, value: &[u8], limits: &ListLimits) -> bool {
        let Some(index) = self.index_from_head(index) else {
            return false;
        };
        if let Form::One(node) = &mut self.form
            && node.replace(index, value, limits)
        {
            return true;
        }
        let done = self.chain_mut().set(index, value, limits);
        self.settle();
        done
    }

    /// Adds `value` before the element at `index`, or at the tail.
    fn insert(&mut self, index: usize, value: &[u8], limits: &ListLimits) {
        match &mut self.form {
            Form::One(node) if node.admits(value, limits) => node.insert(index, value),
            _ => self.chain_mut().insert(index, value, limits),
        }
    }

    /// Adds `value` before the first element that is `pivot`; the new length, if there is one. O(n).
    pub fn insert_before(
        &mut self,
        pivot: &[u8],
        value: &[u8],
        limits: &ListLimits,
    ) -> Option<usize> {
        let index = self.find(pivot)?;
        self.insert(index, value, limits);
        Some(self.len())
    }

    /// Adds `value` behind the first element that is `pivot`; the new length, if there is one. O(n).
    pub fn insert_after(
        &mut self,
        pivot: &[u8],
        value: &[u8],
        limits: &ListLimits,
    ) -> Option<usize> {
        let index = self.find(pivot)? + 1;
        self.insert(index, value, limits);
        Some(self.len())
    }

    fn find(&self, value: &[u8]) -> Option<usize> {
        let needle = Needle::new(value);
        self.iter().position(|element| needle.matches(element))
    }

    /// Removes elements that are `value`, as LREM does: the first `count`, the last `-count` when negative, all when
    /// 0; how many there were. O(n).
    pub fn remove(&mut self, count: i64, value: &[u8]) -> usize {
        let most = match usize::try_from(count.unsigned_abs()) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(most) => most,
        };
        let needle = Needle::new(value);
        let removed = match &mut self.form {
            Form::One(node) => node.remove_matching(&needle, most, count < 0),
            Form::Many(chain) => chain.remove_matching(&needle, most, count < 0),
        };
        self.settle();
        removed
    }

    /// Removes up to `count` elements from `start` on.
    pub fn remove_range(&mut self, start: usize, count: usize) {
        match &mut self.form {
            Form::One(node) => node.remove(start, count),
            Form::Many(chain) => chain.remove_range(start, count),
        }
        self.settle();
    }

    /// Removes the element at `index`; whether there was one.
    pub fn remove_at(&mut self, index: usize) -> bool {
        let found = index < self.len();
        self.remove_range(index, 1);
        found
    }

    /// Keeps the elements from `start` to `end`, both included; none when `start` is above `end`.
    pub fn trim(&mut self, start: usize, end: usize) {
        if start > end {
            self.remove_range(0, usize::MAX);
            return;
        }
        if let Some(behind) = end.checked_add(1) {
            self.remove_range(behind, usize::MAX);
        }
        self.remove_range(0, start);
    }

    /// Begins a copy of what the list is now, which is then taken part by part while the list goes on changing; false where
    /// it is a single node. O(1).
    pub fn begin_copy(&mut self) -> bool {
        let Form::Many(chain) = &mut self.form else {
            return false;
        };
        chain.begin_copy();
        true
    }

    /// Nodes when the copy began.
    pub fn copied_nodes(&self) -> usize {
        match &self.form {
            Form::One(_) => 0,
            Form::Many(chain) => chain.copy().len(),
        }
    }

    /// Hands over the next node of the copy; none when there is no more. O(node).
    pub fn copy_node<R>(&mut self, visit: impl FnOnce(NodeRef<'_>) -> R) -> Option<R> {
        match &mut self.form {
            Form::One(_) => None,
            Form::Many(chain) => chain.copy_node(|node| visit(NodeRef::of(node))),
        }
    }

    /// Nobody wants the rest of the copy.
    pub fn end_copy(&mut self) {
        if let Form::Many(chain) = &mut self.form {
            chain.end_copy();
            self.settle();
        }
    }

    /// All elements, from the head.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The elements from `index` to the tail. O(nodes + bytes of one node) to begin, O(1) a step.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        let (at, within) = self.locate(index).unwrap_or((usize::MAX, 0));
        let elements = self
            .node(at)
            .map_or(NodeIter::Plain(None), |node| node.iter_from(within));
        Iter {
            list: self,
            at,
            elements,
        }
    }

    /// The elements from `index` back to the head. O(nodes + bytes of one node) to begin, O(1) a step.
    pub fn iter_back_from(&self, index: usize) -> IterBack<'_> {
        let (at, within) = self.locate(index).unwrap_or((0, 0));
        let node = self.node(at).filter(|_| index < self.len());
        let elements = node.map_or(NodeIter::Plain(None), |node| node.iter_through(within));
        IterBack {
            list: self,
            at,
            elements,
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Elements towards the tail.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    list: &'a List,
    at: usize,
    elements: NodeIter<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.elements.next() {
                return Some(element);
            }
            self.at = self.at.checked_add(1)?;
            self.elements = self.list.node(self.at)?.iter();
        }
    }
}

/// Elements towards the head.
#[derive(Clone, Debug)]
pub struct IterBack<'a> {
    list: &'a List,
    at: usize,
    elements: NodeIter<'a>,
}

impl<'a> Iterator for IterBack<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.elements.next_back() {
                return Some(element);
            }
            self.at = self.at.checked_sub(1)?;
            self.elements = self.list.node(self.at)?.iter();
        }
    }
}
