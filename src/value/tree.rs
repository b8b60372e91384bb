//! `CountedTree`: an ordered sequence as a B-tree that counts, so that every entry has a rank in O(log n).
//! It must not know what orders its entries: callers search with a predicate that is true for a prefix of them.
//!
//! Entries live in leaves and, between two children each, in inner nodes (a classic B-tree): none is stored twice.

use std::fmt;
use std::mem;
use std::slice;

/// Entries of a leaf, at most. A leaf of 16-byte entries is then 1 KiB, and its binary search six comparisons.
const LEAF_CAPACITY: usize = 64;
/// Children of an inner node, at most.
const CHILDREN: usize = 64;
/// A node with fewer entries or children is joined with its neighbour.
const MINIMUM: usize = 16;
/// Leaves grow and shrink by so many entries.
const GRANULE: usize = 8;

#[derive(Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    Inner(Box<Inner<T>>),
}

#[derive(Clone)]
struct Inner<T> {
    /// One less than there are children: `separators[i]` stands between `children[i]` and `children[i + 1]`.
    separators: Vec<T>,
    children: Vec<Node<T>>,
    /// Entries below each child.
    counts: Vec<usize>,
}

/// A node that became too large: what moved out of it.
struct Split<T> {
    separator: T,
    right: Node<T>,
    right_count: usize,
}

/// An ordered sequence with ranks. Searching, inserting and removing are O(log n).
#[derive(Clone)]
pub struct CountedTree<T> {
    root: Node<T>,
    len: usize,
    /// Bytes allocated by nodes, kept as they change.
    bytes: usize,
}

impl<T> Default for CountedTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for CountedTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedTree")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<T> CountedTree<T> {
    /// An empty tree; allocates nothing.
    pub const fn new() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
            len: 0,
            bytes: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated by the tree itself, without what its entries point to. O(1).
    pub fn heap_size(&self) -> usize {
        self.bytes
    }

    /// How many entries, from the first on, `before` holds for: the rank of the first for which it does not.
    pub fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return rank + entries.partition_point(&before),
                Node::Inner(inner) => {
                    let at = inner.separators.partition_point(&before);
                    rank += inner.rank_of_child(at);
                    node = &inner.children[at];
                }
            }
        }
    }

    /// The entry of a rank.
    pub fn get(&self, rank: usize) -> Option<&T> {
        if rank >= self.len {
            return None;
        }
        let (run, at) = self.run_at(rank);
        run.get(at)
    }

    /// The first entry.
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// The last entry.
    pub fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    /// Inserts `entry` behind the entries for which `before` holds, and returns its rank.
    pub fn insert(&mut self, entry: T, before: impl Fn(&T) -> bool) -> usize {
        let (rank, split) = self.root.insert(entry, &before, &mut self.bytes);
        self.len += 1;
        if let Some(split) = split {
            let left_count = self.len - 1 - split.right_count;
            let left = mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let inner = Inner {
                separators: vec![split.separator],
                children: vec![left, split.right],
                counts: vec![left_count, split.right_count],
            };
            self.bytes += inner.bytes();
            self.root = Node::Inner(Box::new(inner));
        }
        rank
    }

    /// Removes the entry of a rank.
    pub fn remove(&mut self, rank: usize) -> Option<T> {
        let mut removed = None;
        self.remove_range(rank, 1, |entry| removed = Some(entry));
        removed
    }

    /// Removes up to `count` entries from `rank` on and hands them over in order. O(log n + count).
    pub fn remove_range(&mut self, rank: usize, count: usize, mut take: impl FnMut(T)) {
        let mut left = count.min(self.len.saturating_sub(rank));
        while left > 0 {
            let removed = self.root.remove_run(rank, left, &mut take, &mut self.bytes);
            self.len -= removed;
            left -= removed;
            self.lower_root();
        }
    }

    fn lower_root(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() == 1
        {
            self.bytes -= inner.bytes();
            let child = inner.children.pop().expect("an inner node has children");
            self.root = child;
        }
    }

    /// The entries of the ranks from `start` up to `end`, both cut to what is there. O(log n) to begin and for each
    /// run of some 64 entries.
    pub fn range(&self, start: usize, end: usize) -> Range<'_, T> {
        let end = end.min(self.len);
        Range {
            tree: self,
            front: [].iter(),
            back: [].iter(),
            start: start.min(end),
            end,
        }
    }

    /// All entries in order.
    pub fn iter(&self) -> Range<'_, T> {
        self.range(0, self.len)
    }

    /// The neighbouring entries stored with the one of `rank`, which is below the length, and where it is among them.
    fn run_at(&self, rank: usize) -> (&[T], usize) {
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(entries) => return (entries, rank),
                Node::Inner(inner) => match inner.locate(rank) {
                    Place::Separator(at) => return (slice::from_ref(&inner.separators[at]), 0),
                    Place::Child(at, below) => {
                        node = &inner.children[at];
                        rank = below;
                    }
                },
            }
        }
    }
}

/// Where a rank leads to in an inner node.
enum Place {
    Separator(usize),
    Child(usize, usize),
}

fn entry_bytes<T>(entries: &Vec<T>) -> usize {
    entries.capacity() * size_of::<T>()
}

/// Room for one more entry, in small steps: doubling would leave a third of every leaf unused.
fn reserve_one<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(GRANULE);
    }
}

impl<T> Node<T> {
    /// Entries of a leaf, children of an inner node.
    fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.counts.iter().sum::<usize>() + inner.separators.len(),
        }
    }

    fn insert(
        &mut self,
        entry: T,
        before: &impl Fn(&T) -> bool,
        bytes: &mut usize,
    ) -> (usize, Option<Split<T>>) {
        match self {
            Self::Leaf(entries) => {
                let at = entries.partition_point(before);
                *bytes -= entry_bytes(entries);
                let split = insert_into_leaf(entries, at, entry);
                *bytes += entry_bytes(entries);
                if let Some(Split {
                    right: Node::Leaf(right),
                    ..
                }) = &split
                {
                    *bytes += entry_bytes(right);
                }
                (at, split)
            }
            Self::Inner(inner) => {
                let at = inner.separators.partition_point(before);
                let rank = inner.rank_of_child(at);
                let (below, split) = inner.children[at].insert(entry, before, bytes);
                inner.counts[at] += 1;
                let split = split.and_then(|split| inner.insert_split(at, split, bytes));
                (rank + below, split)
            }
        }
    }

    /// Removes some of the `count` entries from `rank` on, at least one, and returns how many.
    fn remove_run(
        &mut self,
        rank: usize,
        count: usize,
        take: &mut dyn FnMut(T),
        bytes: &mut usize,
    ) -> usize {
        let inner = match self {
            Self::Leaf(entries) => {
                let end = entries.len().min(rank.saturating_add(count));
                entries.drain(rank..end).for_each(take);
                if entries.capacity() - entries.len() >= 2 * GRANULE {
                    *bytes -= entry_bytes(entries);
                    entries.shrink_to(entries.len().next_multiple_of(GRANULE));
                    *bytes += entry_bytes(entries);
                }
                return end - rank;
            }
            Self::Inner(inner) => inner,
        };
        let (at, removed) = match inner.locate(rank) {
            Place::Child(at, below) => {
                (at, inner.children[at].remove_run(below, count, take, bytes))
            }
            Place::Separator(at) => {
                let mut last = None;
                let below = inner.counts[at] - 1;
                inner.children[at].remove_run(below, 1, &mut |entry| last = Some(entry), bytes);
                let last = last.expect("a child is never empty");
                take(mem::replace(&mut inner.separators[at], last));
                (at, 1)
            }
        };
        inner.counts[at] -= removed;
        if inner.children[at].width() < MINIMUM {
            inner.join(at.min(inner.children.len().saturating_sub(2)), bytes);
        }
        removed
    }
}

fn insert_into_leaf<T>(entries: &mut Vec<T>, at: usize, entry: T) -> Option<Split<T>> {
    if entries.len() < LEAF_CAPACITY {
        reserve_one(entries);
        entries.insert(at, entry);
        return None;
    }
    // Entries that arrive in order leave full leaves behind, not half-full ones.
    let middle = match at {
        LEAF_CAPACITY => LEAF_CAPACITY - 1,
        0 => 1,
        _ => LEAF_CAPACITY / 2,
    };
    let mut right = Vec::with_capacity(entries.len() - middle - 1 + GRANULE);
    right.extend(entries.drain(middle + 1..));
    let separator = entries.pop().expect("the middle is inside");
    entries.shrink_to((entries.len() + 1).next_multiple_of(GRANULE));
    let (half, at) = if at <= middle {
        (&mut *entries, at)
    } else {
        (&mut right, at - middle - 1)
    };
    reserve_one(half);
    half.insert(at, entry);
    Some(Split {
        separator,
        right_count: right.len(),
        right: Node::Leaf(right),
    })
}

impl<T> Inner<T> {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + entry_bytes(&self.separators)
            + entry_bytes(&self.children)
            + entry_bytes(&self.counts)
    }

    /// The rank of the first entry below a child.
    fn rank_of_child(&self, at: usize) -> usize {
        self.counts[..at].iter().sum::<usize>() + at
    }

    fn locate(&self, rank: usize) -> Place {
        let mut below = rank;
        for (at, &count) in self.counts.iter().enumerate() {
            if below < count {
                return Place::Child(at, below);
            }
            if below == count {
                return Place::Separator(at);
            }
            below -= count + 1;
        }
        unreachable!("the caller keeps the rank below the number of entries")
    }

    /// Takes in what the child at `at` split off; may have to split itself.
    fn insert_split(&mut self, at: usize, split: Split<T>, bytes: &mut usize) -> Option<Split<T>> {
        *bytes -= self.bytes();
        self.counts[at] -= split.right_count + 1;
        self.separators.insert(at, split.separator);
        self.children.insert(at + 1, split.right);
        self.counts.insert(at + 1, split.right_count);
        let split = (self.children.len() > CHILDREN).then(|| self.split(CHILDREN / 2));
        *bytes += self.bytes();
        if let Some(Split {
            right: Node::Inner(right),
            ..
        }) = &split
        {
            *bytes += right.bytes();
        }
        split
    }

    /// Keeps `middle` children and splits off the rest.
    fn split(&mut self, middle: usize) -> Split<T> {
        let right = Self {
            separators: self.separators.split_off(middle),
            children: self.children.split_off(middle),
            counts: self.counts.split_off(middle),
        };
        let separator = self.separators.pop().expect("the middle is inside");
        self.separators.shrink_to_fit();
        self.children.shrink_to_fit();
        self.counts.shrink_to_fit();
        let right_count = right.counts.iter().sum::<usize>() + right.separators.len();
        Split {
            separator,
            right: Node::Inner(Box::new(right)),
            right_count,
        }
    }

    /// Makes one node, or two that are evenly filled, of the children at `at` and `at + 1`.
    fn join(&mut self, at: usize, bytes: &mut usize) {
        if at + 1 >= self.children.len() {
            return;
        }
        *bytes -= self.bytes();
        let separator = self.separators.remove(at);
        let right = self.children.remove(at + 1);
        self.counts.remove(at + 1);
        let split = match (&mut self.children[at], right) {
            (Node::Leaf(left), Node::Leaf(right)) => join_leaves(left, separator, right, bytes),
            (Node::Inner(left), Node::Inner(right)) => join_inner(left, separator, *right, bytes),
            _ => unreachable!("all leaves are equally deep"),
        };
        self.counts[at] = self.children[at].count();
        if let Some(split) = split {
            self.separators.insert(at, split.separator);
            self.children.insert(at + 1, split.right);
            self.counts.insert(at + 1, split.right_count);
        }
        *bytes += self.bytes();
    }
}

fn join_leaves<T>(
    left: &mut Vec<T>,
    separator: T,
    mut right: Vec<T>,
    bytes: &mut usize,
) -> Option<Split<T>> {
    *bytes -= entry_bytes(left) + entry_bytes(&right);
    let total = left.len() + 1 + right.len();
    if total <= LEAF_CAPACITY {
        left.reserve_exact(total.next_multiple_of(GRANULE) - left.len());
        left.push(separator);
        left.append(&mut right);
        *bytes += entry_bytes(left);
        return None;
    }
    let mut all: Vec<T> = Vec::with_capacity(total);
    all.append(left);
    all.push(separator);
    all.append(&mut right);
    let mut rest = all.drain(total / 2..);
    let separator = rest.next().expect("the middle is inside");
    right.extend(rest);
    left.extend(all);
    left.shrink_to(left.len().next_multiple_of(GRANULE));
    right.shrink_to(right.len().next_multiple_of(GRANULE));
    *bytes += entry_bytes(left) + entry_bytes(&right);
    Some(Split {
        separator,
        right_count: right.len(),
        right: Node::Leaf(right),
    })
}

fn join_inner<T>(
    left: &mut Inner<T>,
    separator: T,
    mut right: Inner<T>,
    bytes: &mut usize,
) -> Option<Split<T>> {
    *bytes -= left.bytes() + right.bytes();
    left.separators.push(separator);
    left.separators.append(&mut right.separators);
    left.children.append(&mut right.children);
    left.counts.append(&mut right.counts);
    let children = left.children.len();
    let split = (children > CHILDREN).then(|| left.split(children / 2));
    *bytes += left.bytes();
    if let Some(Split {
        right: Node::Inner(right),
        ..
    }) = &split
    {
        *bytes += right.bytes();
    }
    split
}

/// Entries of neighbouring ranks, from both ends.
pub struct Range<'a, T> {
    tree: &'a CountedTree<T>,
    /// What is at hand on each side; `start..end` counts it in.
    front: slice::Iter<'a, T>,
    back: slice::Iter<'a, T>,
    start: usize,
    end: usize,
}

impl<T> fmt::Debug for Range<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range")
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl<'a, T> Iterator for Range<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.start == self.end {
            return None;
        }
        if self.front.len() == 0 {
            let (run, at) = self.tree.run_at(self.start);
            self.front = run[at..].iter();
        }
        self.start += 1;
        self.front.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.start, Some(self.end - self.start))
    }
}

impl<T> DoubleEndedIterator for Range<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        self.end -= 1;
        if self.back.len() == 0 {
            let (run, at) = self.tree.run_at(self.end);
            self.back = run[..=at].iter();
        }
        self.back.next_back()
    }
}

impl<T> ExactSizeIterator for Range<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes and entries below a node, whose leaves must all be `depth` below it.
    fn check_node<T>(node: &Node<T>, root: bool) -> (usize, usize, usize) {
        match node {
            Node::Leaf(entries) => {
                assert!(entries.len() <= LEAF_CAPACITY && (root || !entries.is_empty()));
                (entry_bytes(entries), entries.len(), 0)
            }
            Node::Inner(inner) => {
                assert_eq!(inner.separators.len() + 1, inner.children.len());
                assert!((2..=CHILDREN).contains(&inner.children.len()));
                let (mut bytes, mut count, mut depths) =
                    (inner.bytes(), inner.separators.len(), Vec::new());
                for (child, &counted) in inner.children.iter().zip(&inner.counts) {
                    let (child_bytes, child_count, depth) = check_node(child, false);
                    assert_eq!(child_count, counted);
                    bytes += child_bytes;
                    count += child_count;
                    depths.push(depth);
                }
                assert!(depths.windows(2).all(|pair| pair[0] == pair[1]));
                (bytes, count, depths[0] + 1)
            }
        }
    }

    fn check<T>(tree: &CountedTree<T>) {
        let (bytes, count, depth) = check_node(&tree.root, true);
        assert_eq!((tree.len, tree.bytes), (count, bytes));
        assert!(depth <= 6);
    }

    fn mixed(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    #[test]
    fn keeps_order_and_ranks_of_many_entries() {
        let mut tree = CountedTree::new();
        let mut model = Vec::new();
        for number in 0..50_000 {
            let entry = mixed(number);
            tree.insert(entry, |&other| other < entry);
            model.push(entry);
        }
        model.sort_unstable();
        check(&tree);
        assert!(tree.iter().eq(&model));
        assert!(tree.iter().rev().eq(model.iter().rev()));
        for (rank, entry) in model.iter().enumerate().step_by(97) {
            assert_eq!(tree.get(rank), Some(entry));
            assert_eq!(
                tree.partition_point(|other| other < entry),
                model.partition_point(|other| other < entry)
            );
        }
        assert!(
            tree.heap_size() < 50_000 * 8 * 5 / 4,
            "{}",
            tree.heap_size()
        );
        for step in 0..50_000 {
            let rank = mixed(step) as usize % model.len();
            assert_eq!(tree.remove(rank), Some(model.remove(rank)));
            if step % 1_000 == 0 {
                check(&tree);
                assert!(tree.iter().eq(&model));
            }
        }
        check(&tree);
        assert!(tree.is_empty());
    }

    #[test]
    fn entries_in_order_fill_their_leaves() {
        let (mut up, mut down) = (CountedTree::new(), CountedTree::new());
        for number in 0..100_000_u64 {
            assert_eq!(up.insert(number, |&other| other < number), number as usize);
            assert_eq!(
                down.insert(100_000 - number, |&other| other < 100_000 - number),
                0
            );
        }
        for tree in [up, down] {
            check(&tree);
            assert!(tree.heap_size() < 100_000 * 10, "{}", tree.heap_size());
        }
    }

    #[test]
    fn removes_long_ranges() {
        let mut tree = CountedTree::new();
        for number in 0..20_000 {
            tree.insert(number, |_| true);
        }
        let mut removed = Vec::new();
        tree.remove_range(5_000, 12_000, |entry| removed.push(entry));
        check(&tree);
        assert!(removed.into_iter().eq(5_000..17_000));
        assert!(tree.iter().copied().eq((0..5_000).chain(17_000..20_000)));
        tree.remove_range(7_999, usize::MAX, drop);
        tree.remove_range(8_000, 1, |_| panic!("there is nothing behind the end"));
        assert_eq!(tree.len(), 7_999);
        tree.remove_range(0, usize::MAX, drop);
        check(&tree);
        assert_eq!(tree.first(), None);
        assert_eq!(tree.last(), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_vec(
            operations in prop::collection::vec((0_u8..8, 0_u16..5_000, 1_u16..400), 1..60),
        ) {
            let mut tree = CountedTree::new();
            let mut model: Vec<u64> = Vec::new();
            for (operation, start, length) in operations {
                match operation {
                    0..=4 => for step in 0..length {
                        let entry = mixed(u64::from(start) + u64::from(step)) % 10_000;
                        let rank = model.partition_point(|&other| other < entry);
                        model.insert(rank, entry);
                        prop_assert_eq!(tree.insert(entry, |&other| other < entry), rank);
                    },
                    5 => for _ in 0..length.min(model.len() as u16) {
                        let rank = usize::from(start) % model.len();
                        prop_assert_eq!(tree.remove(rank), Some(model.remove(rank)));
                    },
                    6 if !model.is_empty() => {
                        let rank = usize::from(start) % model.len();
                        let end = model.len().min(rank + usize::from(length));
                        let mut removed = Vec::new();
                        tree.remove_range(rank, usize::from(length), |entry| removed.push(entry));
                        prop_assert_eq!(removed, model.drain(rank..end).collect::<Vec<_>>());
                    }
                    _ => {
                        let (start, end) = (usize::from(start), usize::from(start) + usize::from(length));
                        let expected = &model[start.min(model.len())..end.min(model.len())];
                        let mut range = tree.range(start, end);
                        prop_assert_eq!(range.len(), expected.len());
                        let (first, last) = (range.next(), range.next_back());
                        prop_assert_eq!(first, expected.first());
                        prop_assert_eq!(last, expected.get(1..).and_then(<[u64]>::last));
                        prop_assert!(range.eq(expected.get(1..expected.len().max(1) - 1).unwrap_or_default()));
                    }
                }
                check(&tree);
            }
            prop_assert!(tree.iter().eq(&model));
            prop_assert!(tree.iter().rev().eq(model.iter().rev()));
            prop_assert!(tree.clone().iter().eq(&model));
        }
    }
}
