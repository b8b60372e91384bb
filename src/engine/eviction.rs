//! Holding `maxmemory`: before a command runs, keys are evicted until the limit is kept. Nothing is locked meanwhile but
//! the pool of candidates and one shard at a time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Inner;
use crate::keyspace::{Candidate, EvictionPolicy, Keyspace};
use crate::services::apply::eviction_policy;

/// Evicted keys between two looks at the time.
const TURN: usize = 16;
/// Pause while memory is being freed in the background and no key is left to evict.
const WAIT: Duration = Duration::from_micros(100);

/// How it stands with `maxmemory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// The limit is kept.
    Enough,
    /// It is not yet; keys go on being evicted in the background.
    Growing,
    /// It is not, and nothing may be evicted.
    None,
}

/// The parameters of one eviction.
#[derive(Debug, Clone, Copy)]
struct Settings {
    policy: EvictionPolicy,
    samples: usize,
    /// `lazyfree-lazy-eviction`.
    lazily: bool,
    /// How long a command may be held up.
    time_limit: Option<Duration>,
}

impl Inner {
    /// Evicts keys while `maxmemory` is exceeded. True if it stays so: what needs memory has to be refused.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.services.max_memory.load(Ordering::Relaxed) > 0 && self.make_room() == Room::None
    }

    /// The same in the background; true if there is more to do.
    pub(super) fn evict_round(&self) -> bool {
        self.services.max_memory.load(Ordering::Relaxed) > 0 && self.make_room() == Room::Growing
    }

    /// Bytes beyond `maxmemory`. The log's buffer and what waits for replicas and for clients that track keys are not
    /// counted: they grow by evicting. Nor is what clients take that are cut off: it is as good as freed.
    fn excess(&self) -> usize {
        let limit = self.services.max_memory.load(Ordering::Relaxed);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let used = self.services.stats.known_memory().unwrap_or(0);
        if limit == 0 || used <= limit {
            return 0;
        }
        (used - limit)
            .saturating_sub(self.log_buffer())
            .saturating_sub(self.services.replicas.pending_bytes())
            .saturating_sub(self.services.tracking.waiting_bytes(&self.services.clients))
            .saturating_sub(self.services.clients.leaving_bytes())
    }

    fn log_buffer(&self) -> usize {
        let log = self.propagation.log();
        let pending = log.map_or(0, |log| log.statistics().pending_bytes);
        usize::try_from(pending).unwrap_or(usize::MAX)
    }

    fn make_room(&self) -> Room {
        if self.excess() == 0 {
            self.note_exceeded(false);
            return Room::Enough;
        }
        // While writes are paused the data stays as it is; what a script holds for long nobody waits for.
        if self.is_loading()
            || self.services.pause.get().is_some()
            || self.keyspace.is_held_for_long()
            || self.leaves_evicting_to_primary()
        {
            return Room::Enough;
        }
        let Some(settings) = self.eviction_settings() else {
            return Room::None;
        };
        let began = Instant::now();
        let room = self.evict_keys(&settings, began);
        self.note_exceeded(room != Room::Enough);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.keyspace.now_ms();
        let latency = &self.services.latency;
        latency.record("eviction-cycle", took_ms, now_ms);
        room
    }

    fn leaves_evicting_to_primary(&self) -> bool {
        let config = &self.services.config;
        self.services.primary.is_followed() && config.read().bool("replica-ignore-maxmemory")
    }

    /// `None`: nothing may be evicted.
    fn eviction_settings(&self) -> Option<Settings> {
        let config = self.services.config.read();
        Some(Settings {
            policy: eviction_policy(&config)?,
            samples: config.usize("maxmemory-samples"),
            lazily: config.bool("lazyfree-lazy-eviction"),
            time_limit: time_limit(config.u64("maxmemory-eviction-tenacity")),
        })
    }

    fn evict_keys(&self, settings: &Settings, began: Instant) -> Room {
        let is_late = || {
            settings
                .time_limit
                .is_some_and(|limit| began.elapsed() > limit)
        };
        let mut pool = self.eviction.lock();
        // Measured once: what is told of an eviction takes memory too, and must not set off the next one.
        let mut missing = self.excess();
        for turn in 1_usize.. {
            // What a script holds for long nobody waits for.
            if missing == 0 || self.keyspace.is_held_for_long() {
                break;
            }
            let next = pool.next(&self.keyspace, settings.policy, settings.samples);
            let Some(candidate) = next else {
                drop(pool);
                if self.keyspace.is_held_for_long() {
                    break;
                }
                return self.wait_for_garbage(is_late);
            };
            missing = missing.saturating_sub(self.evict(&candidate, settings));
            if missing > 0 && turn.is_multiple_of(TURN) && is_late() {
                self.background.request_eviction();
                return Room::Growing;
            }
        }
        Room::Enough
    }

    /// No key is left to evict; but what was removed before may still have to be dropped.
    fn wait_for_garbage(&self, is_late: impl Fn() -> bool) -> Room {
        let pending = &self.services.stats.lazy_free_pending;
        while self.excess() > 0 {
            if pending.load(Ordering::Acquire) == 0 || is_late() {
                return Room::None;
            }
            std::thread::sleep(WAIT);
        }
        Room::Enough
    }

    /// Evicts one key; returns how many bytes that freed. Large values are dropped here, with nothing locked, unless
    /// `lazyfree-lazy-eviction` leaves them to the background.
    fn evict(&self, candidate: &Candidate, settings: &Settings) -> usize {
        let shard = self.keyspace.shard_of(Keyspace::hash(&candidate.key));
        let Some(mut txn) = self.begin_unless_held(1 << shard, candidate.db) else {
            return 0;
        };
        txn.journal.apart = true;
        let volatile = settings.policy.volatile;
        let Some(freed) = txn.evict(&candidate.key, volatile, settings.lazily) else {
            return 0;
        };
        self.services
            .stats
            .evicted_keys
            .fetch_add(1, Ordering::Relaxed);
        self.finish(&mut txn, 0);
        if settings.lazily {
            self.close(txn);
        } else {
            drop(txn.into_journal());
        }
        freed
    }

    /// Counts the time for which the limit is exceeded although keys are evicted.
    fn note_exceeded(&self, exceeded: bool) {
        let stats = &self.services.stats;
        let since = &stats.exceeded_since_us;
        let before = since.load(Ordering::Relaxed);
        if exceeded == (before != 0) {
            return;
        }
        let now_us = self.keyspace.now_us();
        let next = if exceeded { now_us } else { 0 };
        let swapped = since.compare_exchange(before, next, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok() && !exceeded {
            let exceeded_us = (now_us - before).max(0).unsigned_abs();
            stats.exceeded_us.fetch_add(exceeded_us, Ordering::Relaxed);
        }
    }
}

/// `maxmemory-eviction-tenacity`: up to 10 linear to half a millisecond, then 15 % more for each step; 100: no limit.
fn time_limit(tenacity: u64) -> Option<Duration> {
    let us = match tenacity {
        0..=10 => 50.0 * tenacity as f64,
        11..=99 => 500.0 * 1.15_f64.powf(tenacity as f64 - 10.0),
        _ => return None,
    };
    Some(Duration::from_micros(us as u64))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::{Engine, Session};
    use crate::keyspace::txn::Journal;
    use crate::reply::Response;

    /// An engine whose memory is `used` bytes, and a hundred more for each key.
    fn engine(used: usize) -> (Engine, Session) {
        let engine = Engine::in_memory();
        let base = Arc::new(AtomicUsize::new(used));
        let inner = Arc::downgrade(&engine.0);
        let source = move || {
            let keys = inner.upgrade().map_or(0, |inner| {
                let txn = inner.begin(inner.keyspace.all_shards(), 0, Journal::default());
                txn.db_len(0)
            });
            base.load(Ordering::Relaxed) + 100 * keys
        };
        assert!(engine.measure_memory(source));
        let session = engine.session();
        (engine, session)
    }

    fn run(session: &mut Session, line: &str) -> Response {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        session.execute(&words)
    }

    fn fill(session: &mut Session, keys: usize) {
        for number in 0..keys {
            let answer = run(session, &format!("SET key:{number} x"));
            assert_eq!(answer, Response::Simple("OK".into()));
        }
    }

    fn len(session: &mut Session) -> i64 {
        match run(session, "DBSIZE") {
            Response::Int(len) => len,
            other => panic!("{other:?}"),
        }
    }

    const FULL: &str = "OOM command not allowed when used memory > 'maxmemory'.";

    #[test]
    fn keys_are_evicted_until_the_limit_is_kept() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let (engine, mut session) = engine(1000);
            run(
                &mut session,
                &format!("CONFIG SET maxmemory-policy {policy}"),
            );
            run(
                &mut session,
                "CONFIG SET maxmemory 6000 maxmemory-eviction-tenacity 100",
            );
            fill(&mut session, 200);
            assert!((20..=51).contains(&len(&mut session)), "{policy}");
            let evicted = &engine.services().stats.evicted_keys;
            assert!(evicted.load(Ordering::Relaxed) >= 149);
        }
    }

    #[test]
    fn without_a_policy_what_needs_memory_is_refused() {
        let (_engine, mut session) = engine(1000);
        fill(&mut session, 10);
        run(&mut session, "CONFIG SET maxmemory 1500");
        let full = Response::Error(FULL.to_owned());
        assert_eq!(run(&mut session, "SET key:1 y"), full);
        assert_eq!(
            run(&mut session, "GET key:1"),
            Response::Bulk(b"x".to_vec())
        );
        assert_eq!(run(&mut session, "DEL key:1"), Response::Int(1));
        run(&mut session, "MULTI");
        assert_eq!(run(&mut session, "SET key:1 y"), full);
        assert!(
            matches!(run(&mut session, "EXEC"), Response::Error(text) if text.starts_with("EXECABORT"))
        );
    }

    #[test]
    fn volatile_policies_spare_what_does_not_expire() {
        for policy in [
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ] {
            let (_engine, mut session) = engine(1000);
            fill(&mut session, 20);
            for number in 0..20 {
                run(
                    &mut session,
                    &format!("SETEX volatile:{number} {} x", 1000 + number),
                );
            }
            run(
                &mut session,
                &format!("CONFIG SET maxmemory-policy {policy}"),
            );
            run(
                &mut session,
                "CONFIG SET maxmemory 4000 maxmemory-eviction-tenacity 100",
            );
            assert_eq!(
                run(&mut session, "SET key:0 y"),
                Response::Simple("OK".into())
            );
            for number in 0..20 {
                let answer = run(&mut session, &format!("EXISTS key:{number}"));
                assert_eq!(answer, Response::Int(1), "{policy}");
            }
            run(&mut session, "CONFIG SET maxmemory 2000");
            assert_eq!(
                run(&mut session, "SET key:0 y"),
                Response::Error(FULL.to_owned())
            );
            assert_eq!(len(&mut session), 20);
        }
    }

    /// The tests' own program does not count its memory.
    #[test]
    fn a_limit_that_nobody_can_keep_is_refused() {
        let mut config = crate::Config::default();
        config.assign(b"appendonly", b"no").expect("a parameter");
        config.assign(b"maxmemory", b"1gb").expect("a parameter");
        assert!(matches!(
            Engine::open(config),
            Err(crate::Error::UnknownMemory)
        ));
        let mut session = Engine::in_memory().session();
        let refusal = run(&mut session, "CONFIG SET maxmemory 1gb");
        assert!(matches!(refusal, Response::Error(text) if text.contains("maxmemory")));
        let accepted = run(&mut session, "CONFIG SET maxmemory 0");
        assert_eq!(accepted, Response::Simple("OK".into()));
    }

    #[test]
    fn the_time_limit_follows_the_tenacity() {
        let us = |tenacity| time_limit(tenacity).map(|limit| limit.as_micros());
        assert_eq!((us(0), us(10), us(100)), (Some(0), Some(500), None));
        assert_eq!(us(11), Some(575));
    }
}
