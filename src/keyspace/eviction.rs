//! Which keys may be evicted and which go first: candidates are sampled, the best of what was seen lately are kept in a
//! small pool. One shard is locked at a time. It knows neither how much memory is used nor who needs it.

use super::access::AccessClock;
use super::shard::Database;
use super::{Entry, Keyspace, Patience};
use crate::value::random::below;

/// Candidates that are remembered from one eviction to the next.
const POOL_SIZE: usize = 16;
/// Random entries that are looked at for one with an expiry, before a segment is searched for them.
const TRIES: usize = 16;

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Anything.
    Random,
    /// What was not used for longest, or is used least often: as the access clock tells.
    Stalest,
    /// What expires next.
    SoonestExpiry,
}

/// `maxmemory-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvictionPolicy {
    /// What goes first.
    pub choice: Choice,
    /// Whether only keys with an expiry may go.
    pub volatile: bool,
}

impl EvictionPolicy {
    fn eligible(self, database: &Database) -> usize {
        if self.volatile {
            database.expiring.keys
        } else {
            database.table.len()
        }
    }

    fn urgency(self, entry: &Entry, clock: AccessClock, now_ms: i64) -> u64 {
        match self.choice {
            Choice::Random => 0,
            Choice::Stalest => clock.staleness(entry.access(), now_ms),
            Choice::SoonestExpiry => {
                let at = entry.expires_at_ms().unwrap_or(i64::MAX);
                u64::MAX - at.max(0).unsigned_abs()
            }
        }
    }
}

/// A key that may be evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its database.
    pub db: usize,
    /// Its name.
    pub key: Box<[u8]>,
    /// The larger, the sooner it should go.
    pub urgency: u64,
}

/// The best candidates seen lately, the most urgent last. They may be gone, or used again, in the meantime.
#[derive(Debug, Default)]
pub struct EvictionPool {
    best: Vec<Candidate>,
    policy: Option<EvictionPolicy>,
}

impl EvictionPool {
    /// Takes out the key that should go next: the best of `samples` random ones and of what was seen before. `None` when
    /// no key may go. O(samples).
    pub fn next(
        &mut self,
        keyspace: &Keyspace,
        policy: EvictionPolicy,
        samples: usize,
    ) -> Option<Candidate> {
        if self.policy != Some(policy) {
            self.best.clear();
            self.policy = Some(policy);
        }
        if policy.choice == Choice::Random {
            return keyspace.sample(policy);
        }
        for _ in 0..samples.max(1) {
            match keyspace.sample(policy) {
                Some(candidate) => self.offer(candidate),
                None => break,
            }
        }
        self.best.pop()
    }

    fn offer(&mut self, candidate: Candidate) {
        let known = |other: &Candidate| other.db == candidate.db && other.key == candidate.key;
        self.best.retain(|other| !known(other));
        let place = self
            .best
            .partition_point(|other| other.urgency <= candidate.urgency);
        self.best.insert(place, candidate);
        if self.best.len() > POOL_SIZE {
            self.best.remove(0);
        }
    }
}

impl Keyspace {
    /// A random key that the policy lets go, out of a random shard that has any.
    fn sample(&self, policy: EvictionPolicy) -> Option<Candidate> {
        let now_ms = self.now_ms();
        let start = below(self.shard_count(), self.random());
        (0..self.shard_count()).find_map(|offset| {
            let index = (start + offset) % self.shard_count();
            let (shard, _) = self.lock_shard(index, Patience::UnlessHeldForLong)?;
            let eligible = |database| policy.eligible(database);
            let total: usize = shard.databases.iter().map(eligible).sum();
            if total == 0 {
                return None;
            }
            let mut nth = below(total, self.random());
            let mut databases = shard.databases.iter().enumerate();
            let (db, database) = databases.find(|(_, database)| {
                let inside = nth < eligible(database);
                nth = nth.saturating_sub(eligible(database));
                inside
            })?;
            let entry = database.sample(policy.volatile, &mut || self.random())?;
            Some(Candidate {
                db,
                key: entry.key().into(),
                urgency: policy.urgency(entry, shard.limits.access, now_ms),
            })
        })
    }
}

impl Database {
    fn sample(&self, volatile: bool, random: &mut impl FnMut() -> u64) -> Option<&Entry> {
        if !volatile {
            return self.table.random(random);
        }
        let expires = |entry: &&Entry| entry.expires_at_ms().is_some();
        for _ in 0..TRIES {
            if let Some(entry) = self.table.random(random).filter(expires) {
                return Some(entry);
            }
        }
        let segments: Vec<_> = self
            .table
            .segment_ids()
            .filter(|id| self.table.next_expiry(*id) != i64::MAX)
            .collect();
        let start = below(segments.len().max(1), random());
        let (before, after) = segments.split_at(start.min(segments.len()));
        after.iter().chain(before).find_map(|id| {
            let found: Vec<&Entry> = self.table.segment_iter(*id).filter(expires).collect();
            let nth = below(found.len().max(1), random());
            found.get(nth).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::keyspace::txn::{Journal, TxnOptions};

    const LRU: EvictionPolicy = EvictionPolicy {
        choice: Choice::Stalest,
        volatile: false,
    };

    fn filled(shards: usize, keys: usize, volatile_every: usize) -> Keyspace {
        let keyspace = Keyspace::new(shards, 2, 3);
        for number in 0..keys {
            keyspace.set_now_ms(Some(1_000_000 + number as i64 * 1000));
            let options = TxnOptions::default();
            let all = keyspace.all_shards();
            let mut txn = keyspace.begin(all, number % 2, options, Journal::default());
            let at = (number % volatile_every == 0).then_some(10_000_000 - number as i64);
            txn.insert_string(number.to_string().as_bytes(), b"x", at);
        }
        keyspace
    }

    fn number(candidate: &Candidate) -> usize {
        let text = std::str::from_utf8(&candidate.key).expect("digits");
        text.parse().expect("a number")
    }

    #[test]
    fn every_key_is_found_once_whatever_the_policy() {
        for (choice, volatile) in [
            (Choice::Random, false),
            (Choice::Stalest, false),
            (Choice::SoonestExpiry, true),
            (Choice::Random, true),
        ] {
            for shards in [1, 16] {
                let keyspace = filled(shards, 2000, 50);
                let policy = EvictionPolicy { choice, volatile };
                let mut pool = EvictionPool::default();
                let mut seen = HashSet::new();
                while let Some(candidate) = pool.next(&keyspace, policy, 5) {
                    let all = keyspace.all_shards();
                    let options = TxnOptions::default();
                    let mut txn = keyspace.begin(all, candidate.db, options, Journal::default());
                    if txn.evict(&candidate.key, volatile, false).is_some() {
                        assert!(seen.insert(number(&candidate)));
                    }
                }
                assert_eq!(seen.len(), if volatile { 40 } else { 2000 });
            }
        }
    }

    #[test]
    fn the_stalest_of_what_was_seen_goes_first() {
        let keyspace = filled(16, 5000, 1);
        let mut pool = EvictionPool::default();
        let evicted: Vec<usize> = (0..200)
            .filter_map(|_| pool.next(&keyspace, LRU, 10))
            .map(|candidate| number(&candidate))
            .collect();
        let mean = evicted.iter().sum::<usize>() / evicted.len();
        assert!(mean < 1000, "the mean rank of what was evicted is {mean}");
    }

    #[test]
    fn what_expires_next_goes_first_and_a_changed_policy_begins_anew() {
        let keyspace = filled(1, 100, 1);
        let mut pool = EvictionPool::default();
        pool.next(&keyspace, LRU, 100).expect("a key");
        let policy = EvictionPolicy {
            choice: Choice::SoonestExpiry,
            volatile: true,
        };
        let candidate = pool.next(&keyspace, policy, 1000).expect("a key");
        assert!(number(&candidate) >= 99);
    }

    #[test]
    fn an_empty_keyspace_has_nothing_to_evict() {
        let keyspace = Keyspace::new(4, 1, 1);
        let mut pool = EvictionPool::default();
        assert_eq!(pool.next(&keyspace, LRU, 5), None);
    }
}
