//! What a batch of commands looks up: its shards are locked together, and its entries fetched together, so that neither the
//! locks nor the misses of one command keep the processor from the next. Knows no command.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::txn::{Journal, TxnOptions};
use super::{Entry, Keyspace, Shard, ShardSet, Txn, ValueRef};
use crate::value::prefetch::prefetch_read;
use crate::value::table::Segment;

/// Lookups of one batch at most.
pub const MOST_LOOKUPS: usize = 64;

/// What a command will look for, as far as it can be told from its words.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// Hash of the key.
    hash: u64,
    /// A field of a hash or member of a set, and a member of a sorted set.
    members: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Lookup<'a> {
    /// A key by its hash; what may be a field or member there, if it is a hash or a set, or a sorted set.
    #[must_use]
    pub const fn new(hash: u64, members: Option<(&'a [u8], &'a [u8])>) -> Self {
        Self { hash, members }
    }
}

impl Txn<'_> {
    /// Brings the entries of several keys, whose shards are locked, towards the processor together.
    #[inline]
    pub fn fetch(&self, hashes: &[u64]) {
        if hashes.len() > 1 {
            let segment = |hash: &u64| self.shard(*hash).segment(self.db(), *hash);
            let segments: SmallVec<[_; 16]> = hashes.iter().map(segment).collect();
            for (segment, hash) in segments.iter().zip(hashes) {
                if let Some(entry) = segment.and_then(|segment| segment.candidate(*hash)) {
                    entry.prefetch();
                }
            }
        }
    }
}

/// Locked shards in ascending order.
pub(super) type Guards<'k> = SmallVec<[MutexGuard<'k, Shard>; 2]>;

impl Keyspace {
    /// Brings what a batch looks for towards the processor. Changes nothing; a shard that is locked at the moment is
    /// passed over.
    pub fn prefetch(&self, db: usize, lookups: &[Lookup<'_>]) {
        let (guards, held) = self.lock_free(lookups);
        self.fetch(&guards, held, db, lookups);
    }

    /// The same, and begins a transaction that holds those shards which nobody else had. It never waits for a lock, and
    /// so the order in which others take theirs does not matter.
    #[must_use]
    pub fn begin_batch(
        &self,
        now_ms: i64,
        db: usize,
        lookups: &[Lookup<'_>],
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'_> {
        let (guards, held) = self.lock_free(lookups);
        self.fetch(&guards, held, db, lookups);
        self.begin_with((guards, held), now_ms, db, options, journal)
    }

    fn lock_free(&self, lookups: &[Lookup<'_>]) -> (Guards<'_>, ShardSet) {
        let mut rest = lookups.iter().fold(0, |set: ShardSet, lookup| {
            set | 1 << self.shard_of(lookup.hash)
        });
        let most = lookups.len().min(self.shard_count());
        let (mut guards, mut held) = (Guards::with_capacity(most), 0);
        while rest != 0 {
            let index = rest.trailing_zeros();
            if let Some(guard) = self.try_shard(index as usize) {
                guards.push(guard);
                held |= 1 << index;
            }
            rest &= rest - 1;
        }
        (guards, held)
    }

    /// First the segments, then the handles of the entries, the entries, and what lies in large collections, so that the
    /// misses overlap.
    fn fetch(&self, guards: &Guards<'_>, held: ShardSet, db: usize, lookups: &[Lookup<'_>]) {
        let shard = |hash: u64| {
            let bit = 1 << self.shard_of(hash);
            let below = (held & (bit - 1)).count_ones();
            (held & bit != 0).then(|| &guards[below as usize])
        };
        let mut segments: [Option<&Segment<Entry>>; MOST_LOOKUPS] = [None; MOST_LOOKUPS];
        for (segment, lookup) in segments.iter_mut().zip(lookups) {
            *segment = shard(lookup.hash).and_then(|shard| shard.segment(db, lookup.hash));
        }
        let mut entries: [Option<&Entry>; MOST_LOOKUPS] = [None; MOST_LOOKUPS];
        for ((entry, segment), lookup) in entries.iter_mut().zip(segments).zip(lookups) {
            *entry = segment.and_then(|segment| segment.candidate(lookup.hash));
            // The table has but a handle of the entry, in a line of its own.
            entry.iter().for_each(|handle| prefetch_read(*handle));
        }
        let found = || entries.iter().zip(lookups);
        found().for_each(|(entry, _)| entry.iter().for_each(|entry| entry.prefetch()));
        for (entry, lookup) in found() {
            let (Some(entry), Some((member, ranked))) = (entry, lookup.members) else {
                continue;
            };
            match entry.value() {
                ValueRef::Hash(hash) => hash.prefetch(member),
                ValueRef::Set(set) => set.prefetch(member),
                ValueRef::SortedSet(set) => set.prefetch(ranked),
                _ => {}
            }
        }
    }
}
