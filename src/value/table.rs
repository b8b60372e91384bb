//! `Table`: extendible hashing over small segments, the one dictionary of the keyspace and of large collections.
//! It must not know what its entries are: callers bring the hash, the comparison and the way back to an entry's hash.
//!
//! ```text
//! hash   | skip: shard | depth: directory slot | ... position in hash order ... | 10: bucket | 7: tag |
//!         63                                                                                        0
//! ```
//!
//! A directory slot names a segment; a segment of depth d below the directory's depth D owns 2^(D-d) neighbouring
//! slots. A full segment splits in two; nothing else moves. Entries are therefore in hash order from segment to
//! segment, which makes a cursor a plain position in hash order, valid whatever splits or merges in between.

use std::collections::HashSet;
use std::fmt;
use std::mem;

use hashbrown::HashTable;
use hashbrown::hash_table;

use super::prefetch::prefetch_read;
use super::random::{below, shuffled_prefix};

/// Entries a segment holds before it splits: what a hashbrown table of 1024 buckets takes.
pub const SEGMENT_CAPACITY: usize = 896;
const SEGMENT_BUCKETS: usize = 1024;

/// A segment without free buckets (tombstones took them) splits from here on; with fewer entries it is rebuilt.
const SEGMENT_CROWDED: usize = 768;

/// Two neighbours merge when they hold no more than this together: well below half of what makes them split again.
const MERGED_LEN: usize = 320;

/// The hash bits that skip and directory may use together. Real hashes never get near it.
const MAX_DEPTH: u32 = 30;

/// A directory grows to this many slots a segment at most; hashes so skewed overfill their segment instead.
const MAX_SLOTS_PER_SEGMENT: usize = 64;

/// Bits of a cursor over a whole hash space: it fits a JavaScript number.
pub const CURSOR_BITS: u32 = 48;

/// Draws of `random` that may be rejected before it counts entries instead.
const MAX_REJECTIONS: u32 = 24;

/// What a table may hold.
pub trait Stored {
    /// Starts to bring what the hash is made of near, where it lies elsewhere: a segment that is split, grows or is
    /// scanned asks all its entries for their hashes.
    fn prefetch(&self) {}
}

/// A part of a table. Aligned, so that finding an entry reads one cache line of segment data.
#[repr(align(64))]
#[derive(Clone)]
pub struct Segment<T> {
    table: HashTable<T>,
    /// A lower bound of the next expiry of its entries; `i64::MAX`: none expires.
    next_expiry: i64,
    /// The snapshot epoch in which it was last written out or born.
    epoch: u32,
    /// Where its part of the hash space begins: the top 32 bits of `hash << skip`.
    start: u32,
    depth: u32,
}

/// Names a segment until the next insertion or removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentId(u32);

/// Names an entry until the next insertion or removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId {
    segment: u32,
    bucket: u32,
}

/// A hash table of small segments. Finding, inserting and removing are O(1); the longest single step moves one
/// segment (at most [`SEGMENT_CAPACITY`] entries), apart from the doubling of the directory (four bytes a slot).
#[derive(Clone)]
pub struct Table<T> {
    /// Empty while there is one segment, or none.
    directory: Vec<u32>,
    segments: Vec<Segment<T>>,
    len: usize,
    /// Bytes in the segments' tables, kept as they change.
    table_bytes: usize,
    /// Segments as deep as the directory; at zero the directory can be halved.
    deepest: u32,
    /// The epoch that the first segment is born with.
    birth_epoch: u32,
    skip: u8,
    depth: u8,
}

/// hashbrown takes its tag from the top bits and its bucket from the low ones. Within a segment the top bits are all
/// alike, so the tag comes from the low bits instead.
#[inline]
fn within_segment(hash: u64) -> u64 {
    hash.rotate_right(7)
}

impl<T> Segment<T> {
    fn new(table: HashTable<T>, start: u32, depth: u32, epoch: u32) -> Self {
        Self {
            table,
            next_expiry: i64::MAX,
            epoch,
            start,
            depth,
        }
    }

    /// The first entry that looks like `hash`: nearly always the one that is looked for, but nothing is compared, so the
    /// entry's own memory is not touched.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<&T> {
        self.candidates(hash).next()
    }

    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = &T> {
        self.table.iter_hash(within_segment(hash))
    }
}

impl<T> fmt::Debug for Segment<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("len", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl<T: Stored> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl<T: Stored> Table<T> {
    /// An empty table; allocates nothing.
    pub const fn new() -> Self {
        Self::with_skip(0)
    }

    /// An empty table for hashes whose top `skip` bits (at most 16) are the same for all its entries.
    pub const fn with_skip(skip: u32) -> Self {
        assert!(skip <= 16);
        Self {
            directory: Vec::new(),
            segments: Vec::new(),
            len: 0,
            table_bytes: 0,
            deepest: 0,
            birth_epoch: 0,
            skip: skip as u8,
            depth: 0,
        }
    }

    /// Makes room for about `count` entries that are to come, so that none of them moves later. Without effect where there
    /// are some already, or where they need no second segment. O(count).
    pub fn expect(&mut self, count: usize) {
        /// A segment's share may be larger than the mean, and shall not split for that.
        const MEAN: usize = SEGMENT_CAPACITY - 4 * 30;
        let depth = count.div_ceil(MEAN).next_power_of_two().ilog2();
        if !self.segments.is_empty() || depth == 0 || depth + u32::from(self.skip) >= MAX_DEPTH {
            return;
        }
        let segments = 1_u32 << depth;
        let mean = count >> depth;
        let capacity = (mean + mean / 8).min(SEGMENT_CAPACITY);
        self.directory = (0..segments).collect();
        self.segments = (0..segments)
            .map(|slot| {
                let table = HashTable::with_capacity(capacity);
                self.table_bytes += table.allocation_size();
                Segment::new(table, slot << (u32::BITS - depth), depth, self.birth_epoch)
            })
            .collect();
        (self.deepest, self.depth) = (segments, depth as u8);
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated by the table itself, without what its entries point to. O(1).
    pub fn heap_size(&self) -> usize {
        self.directory.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment<T>>()
            + self.table_bytes
    }

    /// Buckets in all segments, occupied or not.
    pub fn bucket_count(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| segment.table.num_buckets())
            .sum()
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        (((hash << self.skip) >> 1) >> (63 - self.depth)) as usize
    }

    // Without a directory every hash belongs to segment 0, which need not exist.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        self.directory
            .get(self.slot(hash))
            .map_or(0, |&index| index as usize)
    }

    /// The entry of `hash` for which `eq` holds.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.segments
            .get(self.index(hash))?
            .table
            .find(within_segment(hash), eq)
    }

    /// The entry of `hash` for which `eq` holds, to be changed; its hash must stay the same.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let index = self.index(hash);
        self.segments
            .get_mut(index)?
            .table
            .find_mut(within_segment(hash), eq)
    }

    /// Like [`find`](Self::find), but a name for the entry: [`get`](Self::get) needs no second search.
    #[inline]
    pub fn find_id(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<EntryId> {
        let index = self.index(hash);
        let bucket = self
            .segments
            .get(index)?
            .table
            .find_bucket_index(within_segment(hash), eq)?;
        Some(EntryId {
            segment: index as u32,
            bucket: bucket as u32,
        })
    }

    /// The entry that `id` names.
    #[inline]
    pub fn get(&self, id: EntryId) -> Option<&T> {
        self.segments
            .get(id.segment as usize)?
            .table
            .get_bucket(id.bucket as usize)
    }

    /// The entry that `id` names, to be changed; its hash must stay the same.
    #[inline]
    pub fn get_mut(&mut self, id: EntryId) -> Option<&mut T> {
        self.segments
            .get_mut(id.segment as usize)?
            .table
            .get_bucket_mut(id.bucket as usize)
    }

    /// Where an entry of `hash` would be. For a batch that fetches ahead what its commands will read, and asks for one
    /// thing of all of them before the next, so that the processor waits for several at a time.
    #[inline]
    pub fn place(&self, hash: u64) -> Option<&Segment<T>> {
        let segment = self.segments.get(self.index(hash))?;
        prefetch_read(segment);
        Some(segment)
    }

    /// The first entry that looks like `hash`, as [`Segment::candidate`] says.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<&T> {
        self.segments.get(self.index(hash))?.candidate(hash)
    }

    /// The entries of `hash`, and few others that look like it.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = &T> {
        let segment = self.segments.get(self.index(hash));
        segment
            .into_iter()
            .flat_map(move |segment| segment.candidates(hash))
    }

    /// Adds an entry that is known to be absent. `hash_of` gives the hash of any entry (a split needs it).
    #[inline]
    pub fn insert_unique(&mut self, hash: u64, value: T, hash_of: impl Fn(&T) -> u64) -> &mut T {
        let index = self.make_room(hash, &hash_of);
        self.len += 1;
        let table = &mut self.segments[index].table;
        table
            .insert_unique(within_segment(hash), value, |entry| {
                within_segment(hash_of(entry))
            })
            .into_mut()
    }

    /// The entry for which `eq` holds, or the one that `make` makes; true when it was made.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        make: impl FnOnce() -> T,
        hash_of: impl Fn(&T) -> u64,
    ) -> (&mut T, bool) {
        match self.find_id(hash, eq) {
            Some(id) => (
                self.get_mut(id).expect("an entry just found is there"),
                false,
            ),
            None => (self.insert_unique(hash, make(), hash_of), true),
        }
    }

    /// Takes the entry of `hash` for which `eq` holds. Memory is given back as the table empties.
    #[inline]
    pub fn remove(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let index = self.index(hash);
        let table = &mut self.segments.get_mut(index)?.table;
        let (value, _) = table.find_entry(within_segment(hash), eq).ok()?.remove();
        self.removed(index, || hash, &hash_of);
        Some(value)
    }

    /// Removes every entry and frees the table's memory.
    pub fn clear(&mut self) {
        drop(self.take());
    }

    /// Everything, in O(1): the table is left empty, and what is returned can be dropped on another thread.
    pub fn take(&mut self) -> Self {
        let empty = Self {
            birth_epoch: self.birth_epoch,
            ..Self::with_skip(u32::from(self.skip))
        };
        mem::replace(self, empty)
    }

    /// The segments one by one, to be dropped or read piecemeal.
    pub fn into_segments(self) -> impl Iterator<Item = HashTable<T>> {
        self.segments.into_iter().map(|segment| segment.table)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments
            .iter()
            .flat_map(|segment| segment.table.iter())
    }

    /// All entries, to be changed; their hashes must stay the same.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.segments
            .iter_mut()
            .flat_map(|segment| segment.table.iter_mut())
    }

    /// Any entry, each with the same probability. `random` gives uniform words.
    pub fn random(&self, random: &mut impl FnMut() -> u64) -> Option<&T> {
        self.get(self.random_id(random)?)
    }

    /// Names any entry, each with the same probability.
    pub fn random_id(&self, random: &mut impl FnMut() -> u64) -> Option<EntryId> {
        if self.directory.is_empty() {
            return self.random_in(0, random);
        }
        // Each draw hits one bucket of the directory slot's share of a full-size segment: all entries are equally
        // likely, because a segment of many slots spreads its buckets over them.
        for _ in 0..MAX_REJECTIONS {
            let index = self.directory[below(self.directory.len(), random())];
            let segment = &self.segments[index as usize];
            let share = SEGMENT_BUCKETS << (u32::from(self.depth) - segment.depth);
            let bucket = below(share, random());
            if segment.table.get_bucket(bucket).is_some() {
                return Some(EntryId {
                    segment: index,
                    bucket: bucket as u32,
                });
            }
        }
        let mut nth = below(self.len, random());
        for (index, segment) in self.segments.iter().enumerate() {
            if nth < segment.table.len() {
                return self.random_in(index, random);
            }
            nth -= segment.table.len();
        }
        None
    }

    fn random_in(&self, index: usize, random: &mut impl FnMut() -> u64) -> Option<EntryId> {
        let table = &self.segments.get(index)?.table;
        let id = |bucket: usize| EntryId {
            segment: index as u32,
            bucket: bucket as u32,
        };
        for _ in 0..MAX_REJECTIONS {
            let bucket = below(table.num_buckets(), random());
            if table.get_bucket(bucket).is_some() {
                return Some(id(bucket));
            }
        }
        let nth = below(table.len(), random());
        (0..table.num_buckets())
            .filter(|&bucket| table.get_bucket(bucket).is_some())
            .nth(nth)
            .map(id)
    }

    /// `count` different entries (all of them if there are no more), each choice equally likely, in no order.
    pub fn sample(&self, count: usize, random: &mut impl FnMut() -> u64) -> Vec<&T> {
        if count >= self.len {
            return self.iter().collect();
        }
        if count > self.len / 4 {
            return shuffled_prefix(self.iter().collect(), count, random);
        }
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            seen.extend(self.random_id(random));
        }
        seen.into_iter().filter_map(|id| self.get(id)).collect()
    }

    /// Takes the entry that `id` names.
    pub fn remove_id(&mut self, id: EntryId, hash_of: impl Fn(&T) -> u64) -> Option<T> {
        let index = id.segment as usize;
        let table = &mut self.segments.get_mut(index)?.table;
        let (value, _) = table.get_bucket_entry(id.bucket as usize).ok()?.remove();
        self.removed(index, || hash_of(&value), &hash_of);
        Some(value)
    }

    /// Books a removal from the segment at `index`.
    #[inline]
    fn removed(&mut self, index: usize, hash: impl Fn() -> u64, hash_of: &impl Fn(&T) -> u64) {
        let table = &self.segments[index].table;
        let (len, buckets) = (table.len(), table.num_buckets());
        self.len -= 1;
        if len * 5 < buckets && buckets > 16 {
            self.give_back(hash(), index, hash_of);
        }
    }
}

/// Splitting, merging, growing: what a full or an empty segment sets off.
impl<T: Stored> Table<T> {
    /// The segment for `hash`, with a free bucket.
    #[inline]
    fn make_room(&mut self, hash: u64, hash_of: &impl Fn(&T) -> u64) -> usize {
        let index = self.index(hash);
        match self.segments.get(index) {
            Some(Segment { table, .. }) if table.len() < table.capacity().min(SEGMENT_CAPACITY) => {
                index
            }
            _ => self.grow(hash, hash_of),
        }
    }

    #[cold]
    fn grow(&mut self, hash: u64, hash_of: &impl Fn(&T) -> u64) -> usize {
        if self.segments.is_empty() {
            self.segments.reserve_exact(1);
            self.segments
                .push(Segment::new(HashTable::new(), 0, 0, self.birth_epoch));
            self.deepest = 1;
        }
        loop {
            let index = self.index(hash);
            let table = &self.segments[index].table;
            let (len, exhausted) = (table.len(), table.len() >= table.capacity());
            if len < SEGMENT_CAPACITY && !exhausted {
                return index;
            }
            let full_size = table.num_buckets() >= SEGMENT_BUCKETS;
            let crowded = full_size && len >= SEGMENT_CROWDED;
            if (len >= SEGMENT_CAPACITY || crowded) && self.split(hash, index, hash_of) {
                continue;
            }
            // Left to itself, hashbrown would answer tombstones in a full-size table with one twice the size.
            let capacity = if full_size && len < SEGMENT_CAPACITY {
                SEGMENT_CAPACITY
            } else {
                len + 1
            };
            self.resize(index, capacity, full_size && exhausted, hash_of);
            return index;
        }
    }

    /// Makes the table of a segment hold `capacity` entries; a rebuilt one has no tombstones.
    fn resize(
        &mut self,
        index: usize,
        capacity: usize,
        rebuild: bool,
        hash_of: &impl Fn(&T) -> u64,
    ) {
        let hasher = |entry: &T| within_segment(hash_of(entry));
        let table = &mut self.segments[index].table;
        let before = table.allocation_size();
        if rebuild {
            let entries = mem::replace(table, HashTable::with_capacity(capacity));
            for entry in entries {
                table.insert_unique(hasher(&entry), entry, hasher);
            }
        } else if capacity > table.len() {
            table.iter().for_each(T::prefetch);
            table.reserve(capacity - table.len(), hasher);
        }
        self.table_bytes = self.table_bytes - before + table.allocation_size();
    }

    /// Splits the segment at `index`, to which `hash` belongs; false when more depth would not help.
    fn split(&mut self, hash: u64, index: usize, hash_of: &impl Fn(&T) -> u64) -> bool {
        let depth = self.segments[index].depth;
        let skip = u32::from(self.skip);
        if depth + skip >= MAX_DEPTH {
            return false;
        }
        if depth == u32::from(self.depth) && !self.double_directory() {
            return false;
        }
        let mut halves: [Vec<(u64, T)>; 2] = [Vec::new(), Vec::new()];
        let segment = &mut self.segments[index];
        halves
            .iter_mut()
            .for_each(|half| half.reserve(segment.table.len() * 5 / 8));
        let old = mem::take(&mut segment.table);
        let mut bytes = self.table_bytes - old.allocation_size();
        old.iter().for_each(T::prefetch);
        for entry in old {
            let entry_hash = hash_of(&entry);
            halves[((entry_hash << (skip + depth)) >> 63) as usize].push((entry_hash, entry));
        }
        let [low, high] = halves.map(|half| {
            let mut table = HashTable::with_capacity(half.len() + 1);
            for (entry_hash, entry) in half {
                table.insert_unique(within_segment(entry_hash), entry, |entry| {
                    within_segment(hash_of(entry))
                });
            }
            bytes += table.allocation_size();
            table
        });
        self.table_bytes = bytes;
        let start = segment.start | (1 << (31 - depth));
        segment.table = low;
        segment.depth = depth + 1;
        let sibling = Segment {
            next_expiry: segment.next_expiry,
            ..Segment::new(high, start, depth + 1, segment.epoch)
        };
        let sibling_index = self.segments.len() as u32;
        self.segments.push(sibling);
        if depth + 1 == u32::from(self.depth) {
            self.deepest += 2;
        }
        self.point_slots_of(sibling_index);
        debug_assert!(self.index(hash) == index || self.index(hash) == sibling_index as usize);
        true
    }

    /// Twice the slots, each segment named by twice as many; false when the segments are too few to justify it.
    fn double_directory(&mut self) -> bool {
        let slots = 2_usize << self.depth;
        if slots > MAX_SLOTS_PER_SEGMENT * self.segments.len() {
            return false;
        }
        let old: &[u32] = if self.directory.is_empty() {
            &[0]
        } else {
            &self.directory
        };
        let mut doubled = Vec::with_capacity(slots);
        doubled.extend(old.iter().flat_map(|&index| [index, index]));
        self.directory = doubled;
        self.depth += 1;
        self.deepest = 0;
        true
    }

    /// Lets the directory slots of the segment at `index` name it.
    fn point_slots_of(&mut self, index: u32) {
        if self.directory.is_empty() {
            return;
        }
        let Segment { start, depth, .. } = self.segments[index as usize];
        let directory_depth = u32::from(self.depth);
        let first = (u64::from(start) >> (32 - directory_depth)) as usize;
        self.directory[first..first + (1 << (directory_depth - depth))].fill(index);
    }

    /// A segment has become sparse: merge it with its neighbour, or shrink its table.
    #[cold]
    fn give_back(&mut self, hash: u64, index: usize, hash_of: &impl Fn(&T) -> u64) {
        if self.merge(hash, index, hash_of) {
            return;
        }
        let table = &mut self.segments[index].table;
        let before = table.allocation_size();
        table.shrink_to(table.len() * 2, |entry| within_segment(hash_of(entry)));
        self.table_bytes = self.table_bytes - before + table.allocation_size();
    }

    /// Merges the segment at `index` with the other half of its parent, if both are small and of one snapshot epoch.
    fn merge(&mut self, hash: u64, index: usize, hash_of: &impl Fn(&T) -> u64) -> bool {
        let Some(sibling_index) = self.sibling(hash, index) else {
            return false;
        };
        let (segment, sibling) = (&self.segments[index], &self.segments[sibling_index]);
        let together = segment.table.len() + sibling.table.len();
        if sibling.depth != segment.depth || sibling.epoch != segment.epoch || together > MERGED_LEN
        {
            return false;
        }
        let depth = segment.depth;
        let sibling = mem::take(&mut self.segments[sibling_index].table);
        self.table_bytes -= sibling.allocation_size();
        self.resize(index, together, false, hash_of);
        let (sibling_start, sibling_expiry) = (
            self.segments[sibling_index].start,
            self.segments[sibling_index].next_expiry,
        );
        let segment = &mut self.segments[index];
        for entry in sibling {
            let entry_hash = within_segment(hash_of(&entry));
            segment
                .table
                .insert_unique(entry_hash, entry, |entry| within_segment(hash_of(entry)));
        }
        segment.start = segment.start.min(sibling_start);
        segment.next_expiry = segment.next_expiry.min(sibling_expiry);
        segment.depth = depth - 1;
        if depth == u32::from(self.depth) {
            self.deepest -= 2;
        }
        self.point_slots_of(index as u32);
        self.segments.swap_remove(sibling_index);
        if sibling_index < self.segments.len() {
            self.point_slots_of(sibling_index as u32);
        }
        self.release_spare_room();
        true
    }

    /// The segment (whatever its depth) behind the slot that mirrors the one of `hash` in its parent.
    fn sibling(&self, hash: u64, index: usize) -> Option<usize> {
        let depth = self.segments[index].depth;
        let slot = self.slot(hash) ^ (1_usize << u32::from(self.depth).checked_sub(depth)?);
        (depth > 0).then(|| self.directory[slot] as usize)
    }

    /// Halves the directory while no segment needs its depth, and lets go of room for segments that are gone.
    fn release_spare_room(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.depth -= 1;
            let depth = u32::from(self.depth);
            self.directory = match depth {
                0 => Vec::new(),
                _ => self.directory.iter().copied().step_by(2).collect(),
            };
            self.deepest = self
                .segments
                .iter()
                .filter(|segment| segment.depth == depth)
                .count() as u32;
        }
        if self.segments.len() * 4 <= self.segments.capacity() {
            self.segments.shrink_to(self.segments.len() * 2);
        }
    }
}

/// Reading in hash order. A position is the top 48 bits of a hash without its `skip` bits, as a number.
impl<T: Stored> Table<T> {
    /// Bits of a position in this table: [`CURSOR_BITS`] less the skipped ones.
    pub fn position_bits(&self) -> u32 {
        CURSOR_BITS - u32::from(self.skip)
    }

    /// The position of `hash` in this table.
    #[inline]
    pub fn position(&self, hash: u64) -> u64 {
        (hash << self.skip) >> (64 - self.position_bits())
    }

    fn index_at(&self, position: u64) -> usize {
        // A position is a hash without the skipped bits and cut short: put the rest back as zeros.
        self.index(position << (64 - CURSOR_BITS))
    }

    /// First position, and first position behind, of a segment.
    fn bounds(&self, index: usize) -> (u64, u64) {
        let Segment { start, depth, .. } = self.segments[index];
        let bits = self.position_bits();
        let first = (u64::from(start) << 32) >> (64 - bits);
        (first, first + (1 << (bits - depth)))
    }

    /// Visits about `count` entries from position `cursor` on and returns the position to go on from: 0 at the end,
    /// and 0 to begin. A whole iteration visits each entry that is there throughout exactly once, whatever else is
    /// added or removed meanwhile; it may visit the others. Time: O(count + [`SEGMENT_CAPACITY`]).
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        hash_of: impl Fn(&T) -> u64,
        mut visit: impl FnMut(&T),
    ) -> u64 {
        let end = 1_u64 << self.position_bits();
        if self.is_empty() || cursor >= end {
            return 0;
        }
        let (mut from, mut wanted) = (cursor, count.max(1));
        // Nearly empty segments must not make a call longer than its count allows.
        let mut segments_left = count.saturating_mul(10).max(10);
        while from < end && wanted > 0 && segments_left > 0 {
            let index = self.index_at(from);
            let (first, behind) = self.bounds(index);
            let table = &self.segments[index].table;
            let until = window_end(from, first, behind, table.len(), wanted);
            let mut visited = 0;
            let whole = from == first && until == behind;
            table.iter().for_each(T::prefetch);
            for entry in table {
                if whole || (from..until).contains(&self.position(hash_of(entry))) {
                    visit(entry);
                    visited += 1;
                }
            }
            from = until;
            if until < behind {
                break;
            }
            wanted = wanted.saturating_sub(visited);
            segments_left -= 1;
        }
        if from >= end { 0 } else { from }
    }
}

/// Passes over a segment that a scan makes at most: each looks at all of it, however few entries it returns.
const SCAN_PASSES: usize = 32;

/// Where to stop in a segment of `len` entries between `first` and `behind`, coming from `from`, for about `wanted`, or
/// for as many as are worth a pass over the segment.
fn window_end(from: u64, first: u64, behind: u64, len: usize, wanted: usize) -> u64 {
    let width = u128::from(behind - first);
    let wanted = wanted.max(len / SCAN_PASSES);
    let step = width * wanted as u128 / len.max(1) as u128;
    let until = u128::from(from) + step.max(1);
    // A small rest is not worth another pass over the segment.
    if until + step / 4 >= u128::from(behind) {
        behind
    } else {
        until as u64
    }
}

/// The segments themselves, for snapshots and active expiry.
impl<T: Stored> Table<T> {
    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// All segments, in no order.
    pub fn segment_ids(&self) -> impl Iterator<Item = SegmentId> + use<T> {
        (0..self.segments.len() as u32).map(SegmentId)
    }

    /// The segment that `hash` belongs to; none while the table has never held an entry.
    #[inline]
    pub fn segment_of(&self, hash: u64) -> Option<SegmentId> {
        let index = self.index(hash);
        (index < self.segments.len()).then_some(SegmentId(index as u32))
    }

    /// The segment at a position in hash order, and the position where the next one begins (0 behind the last): with
    /// it a walk can go on after any change to the table.
    pub fn segment_at(&self, position: u64) -> Option<(SegmentId, u64)> {
        if self.segments.is_empty() || position >> self.position_bits() != 0 {
            return None;
        }
        let index = self.index_at(position);
        let (_, behind) = self.bounds(index);
        let next = if behind >> self.position_bits() == 0 {
            behind
        } else {
            0
        };
        Some((SegmentId(index as u32), next))
    }

    fn segment(&self, id: SegmentId) -> &Segment<T> {
        &self.segments[id.0 as usize]
    }

    /// The position in hash order where a segment begins.
    pub fn segment_position(&self, id: SegmentId) -> u64 {
        self.bounds(id.0 as usize).0
    }

    /// Number of entries of a segment.
    pub fn segment_len(&self, id: SegmentId) -> usize {
        self.segment(id).table.len()
    }

    /// The entries of a segment, in no order.
    pub fn segment_iter(&self, id: SegmentId) -> hash_table::Iter<'_, T> {
        self.segment(id).table.iter()
    }

    /// The entries of a segment, to be changed; their hashes must stay the same.
    pub fn segment_iter_mut(&mut self, id: SegmentId) -> hash_table::IterMut<'_, T> {
        self.segments[id.0 as usize].table.iter_mut()
    }

    /// The snapshot epoch of a segment. A split gives both halves the same; segments of different epochs do not merge.
    pub fn epoch(&self, id: SegmentId) -> u32 {
        self.segment(id).epoch
    }

    /// Sets the snapshot epoch of a segment.
    pub fn set_epoch(&mut self, id: SegmentId, epoch: u32) {
        self.segments[id.0 as usize].epoch = epoch;
    }

    /// The epoch that the first segment of an empty table will be born with.
    pub fn set_birth_epoch(&mut self, epoch: u32) {
        self.birth_epoch = epoch;
    }

    /// A lower bound of the next expiry in a segment; `i64::MAX` when nothing in it expires.
    pub fn next_expiry(&self, id: SegmentId) -> i64 {
        self.segment(id).next_expiry
    }

    /// Replaces the lower bound of a segment's next expiry.
    pub fn set_next_expiry(&mut self, id: SegmentId, at: i64) {
        self.segments[id.0 as usize].next_expiry = at;
    }

    /// Notes that an entry in the segment of `hash` expires at `at`.
    #[inline]
    pub fn lower_next_expiry(&mut self, hash: u64, at: i64) {
        let index = self.index(hash);
        if let Some(segment) = self.segments.get_mut(index) {
            segment.next_expiry = segment.next_expiry.min(at);
        }
    }

    /// The earliest of all segments' bounds; `i64::MAX` when nothing expires. O(segments).
    pub fn min_next_expiry(&self) -> i64 {
        self.segments
            .iter()
            .map(|segment| segment.next_expiry)
            .min()
            .unwrap_or(i64::MAX)
    }

    /// The segments in which something may have expired at `now`, by their positions, which stay valid while the
    /// table changes (see [`segment_at`](Self::segment_at)).
    pub fn segments_due(&self, now: i64) -> impl Iterator<Item = u64> {
        let due = self
            .segments
            .iter()
            .enumerate()
            .filter(move |(_, segment)| segment.next_expiry <= now);
        due.map(|(index, _)| self.bounds(index).0)
    }
}

#[cfg(test)]
mod tests;
