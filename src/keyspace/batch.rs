//! What a batch of commands looks up: its shards are locked together, and its entries fetched together, so that neither the
//! locks nor the misses of one command keep the processor from the next. Knows no command.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::txn::{Journal, TxnOptions};
use super::{Entry, Keyspace, Shard, ShardSet, Txn, ValueRef};

/// What a command will look for, as far as it can be told from its words.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// Hash of the key.
    hash: u64,
    /// A field of a hash, or a member of a set.
    member: Option<&'a [u8]>,
    /// A member of a sorted set.
    ranked: Option<&'a [u8]>,
}

impl<'a> Lookup<'a> {
    /// A key by its hash; what may be a field or member there, if it is a hash or a set, or a sorted set.
    #[must_use]
    pub const fn new(hash: u64, member: Option<&'a [u8]>, ranked: Option<&'a [u8]>) -> Self {
        Self {
            hash,
            member,
            ranked,
        }
    }
}

impl Txn<'_> {
    /// Brings the entries of several keys, whose shards are locked, towards the processor together.
    #[inline]
    pub fn fetch(&self, hashes: &[u64]) {
        if hashes.len() > 1 {
            let candidate = |hash: &u64| self.shard(*hash).candidate(self.db(), *hash);
            let entries: SmallVec<[Option<&Entry>; 16]> = hashes.iter().map(candidate).collect();
            entries.iter().flatten().for_each(|entry| entry.prefetch());
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
        db: usize,
        lookups: &[Lookup<'_>],
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'_> {
        let (guards, held) = self.lock_free(lookups);
        self.fetch(&guards, held, db, lookups);
        self.begin_with(guards, held, db, options, journal)
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

    /// First the entries, then what lies in large collections, so that the misses overlap.
    fn fetch(&self, guards: &Guards<'_>, held: ShardSet, db: usize, lookups: &[Lookup<'_>]) {
        let shard = |hash: u64| {
            let bit = 1 << self.shard_of(hash);
            let below = (held & (bit - 1)).count_ones();
            (held & bit != 0).then(|| &guards[below as usize])
        };
        let entries: SmallVec<[Option<&Entry>; 64]> = lookups
            .iter()
            .map(|lookup| shard(lookup.hash)?.candidate(db, lookup.hash))
            .collect();
        entries.iter().flatten().for_each(|entry| entry.prefetch());
        for (entry, lookup) in entries.iter().zip(lookups) {
            match (entry.map(Entry::value), lookup.member, lookup.ranked) {
                (Some(ValueRef::Hash(hash)), Some(field), _) => hash.prefetch(field),
                (Some(ValueRef::Set(set)), Some(member), _) => set.prefetch(member),
                (Some(ValueRef::SortedSet(set)), _, Some(member)) => set.prefetch(member),
                _ => {}
            }
        }
    }
}
