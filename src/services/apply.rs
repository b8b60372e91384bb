//! From parameters to what works with them: thresholds, event classes, limits of mailboxes, the slow log.
//! Knows no command and no connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ClientFlags, ClientInfo, Services};
use crate::config::{Config, KeyspaceEvents, OutputBufferLimit};
use crate::keyspace::{AccessClock, Choice, EventClass, EvictionPolicy, Limits};

impl Services {
    /// Copies the parameters that are looked at often to where they are read without a lock, and the output limits to
    /// every client. For the start, and after each change.
    pub fn apply_config(&self) {
        let config = self.config.read();
        let events = event_classes(config.keyspace_events());
        self.event_mask.store(events.0, Ordering::Release);
        self.lua
            .set_deprecated(config.bool("lua-enable-deprecated-api"));
        self.lua.set_memory_limit(config.usize("lua-memory-limit"));
        self.lua.set_twins(config.bool("native-scripts"));
        let slow_log = &self.slow_log;
        let slower_than = config.i64("slowlog-log-slower-than");
        slow_log
            .slower_than_us
            .store(slower_than, Ordering::Relaxed);
        slow_log
            .max_len
            .store(config.usize("slowlog-max-len"), Ordering::Relaxed);
        slow_log.trim();
        let threshold = config.u64("latency-monitor-threshold");
        self.latency
            .threshold_ms
            .store(threshold, Ordering::Relaxed);
        let tracking = config.bool("latency-tracking");
        self.stats
            .latency_tracking
            .store(tracking, Ordering::Relaxed);
        self.stats
            .log
            .enabled
            .store(config.bool("appendonly"), Ordering::Relaxed);
        self.max_memory
            .store(config.u64("maxmemory"), Ordering::Relaxed);
        self.client_timeout_s
            .store(config.u64("timeout"), Ordering::Relaxed);
        self.max_argument
            .store(config.usize("proto-max-bulk-len"), Ordering::Relaxed);
        self.min_replicas_to_write
            .store(config.u64("min-replicas-to-write"), Ordering::Relaxed);
        let primary = &self.primary;
        primary
            .read_only
            .store(config.bool("replica-read-only"), Ordering::Relaxed);
        primary
            .serves_stale
            .store(config.bool("replica-serve-stale-data"), Ordering::Relaxed);
        let tracked = config.usize("tracking-table-max-keys");
        self.tracking.set_max_keys(tracked, &self.clients, 0);
        self.acl.log.set_max_len(config.usize("acllog-max-len"));
        for client in self.clients.list() {
            set_output_limits(&config, &client);
        }
        let limit = usize::try_from(config.maxmemory_clients()).unwrap_or(usize::MAX);
        drop(config);
        let evicted = self.clients.set_memory_limit(limit);
        self.note_evicted(&evicted);
    }

    /// Holds `maxmemory-clients` after a client's memory may have changed.
    #[inline]
    pub fn account_client(&self, client: &ClientInfo) {
        if self.clients.has_memory_limit() {
            let evicted = self.clients.account(client);
            self.note_evicted(&evicted);
        }
    }

    fn note_evicted(&self, clients: &[Arc<ClientInfo>]) {
        for client in clients {
            self.stats.evicted_clients.fetch_add(1, Ordering::Relaxed);
            let (id, addr, bytes) = (client.id, &client.addr, client.memory());
            log::info!("Evicting client {id} ({addr}), which takes {bytes} bytes");
        }
    }

    /// Gives a client's mailbox the limits of its class. Again whenever its class changes.
    pub fn apply_output_limits(&self, client: &ClientInfo) {
        set_output_limits(&self.config.read(), client);
    }
}

fn set_output_limits(config: &Config, client: &ClientInfo) {
    let limits = config.output_buffer_limits();
    let limit: OutputBufferLimit = if client.has_flag(ClientFlags::PUBSUB) {
        limits.pubsub
    } else if client.has_flag(ClientFlags::REPLICA) {
        limits.replica
    } else {
        limits.normal
    };
    let mailbox = &client.mailbox;
    mailbox.hard_limit.store(limit.hard, Ordering::Relaxed);
    mailbox.soft_limit.store(limit.soft, Ordering::Relaxed);
    mailbox
        .soft_ms
        .store(u64::from(limit.soft_seconds) * 1000, Ordering::Relaxed);
}

/// The thresholds that the parameters ask for. What no parameter tells stays as it is in `before`.
#[must_use]
pub fn limits(config: &Config, before: Limits) -> Limits {
    let mut limits = before;
    limits.list.max_listpack_size = config.i64("list-max-listpack-size");
    limits.list.compress_depth =
        u32::try_from(config.u64("list-compress-depth")).unwrap_or(u32::MAX);
    limits.hash.max_listpack_entries = config.usize("hash-max-listpack-entries");
    limits.hash.max_listpack_value = config.usize("hash-max-listpack-value");
    limits.set.max_intset_entries = config.usize("set-max-intset-entries");
    limits.set.max_listpack_entries = config.usize("set-max-listpack-entries");
    limits.set.max_listpack_value = config.usize("set-max-listpack-value");
    limits.sorted_set.max_listpack_entries = config.usize("zset-max-listpack-entries");
    limits.sorted_set.max_listpack_value = config.usize("zset-max-listpack-value");
    limits.stream.max_node_bytes = config.usize("stream-node-max-bytes");
    limits.stream.max_node_entries = config.usize("stream-node-max-entries");
    limits.max_sparse_hyperloglog = config.usize("hll-sparse-max-bytes");
    limits.max_string = config.usize("proto-max-bulk-len");
    limits.access = access_clock(config);
    limits
}

fn access_clock(config: &Config) -> AccessClock {
    let number = |name| u32::try_from(config.u64(name)).unwrap_or(u32::MAX);
    if config.word("maxmemory-policy").ends_with("-lfu") {
        AccessClock::Frequency {
            log_factor: number("lfu-log-factor"),
            decay_minutes: number("lfu-decay-time"),
        }
    } else {
        AccessClock::Recency
    }
}

/// What may be evicted and what goes first, as `maxmemory-policy` says; nothing where it is `noeviction`.
#[must_use]
pub fn eviction_policy(config: &Config) -> Option<EvictionPolicy> {
    let (keys, order) = config.word("maxmemory-policy").split_once('-')?;
    let choice = match order {
        "random" => Choice::Random,
        "ttl" => Choice::SoonestExpiry,
        _ => Choice::Stalest,
    };
    Some(EvictionPolicy {
        choice,
        volatile: keys == "volatile",
    })
}

/// The classes as the keyspace numbers them.
#[must_use]
pub fn event_classes(events: KeyspaceEvents) -> EventClass {
    const CLASSES: &[(KeyspaceEvents, EventClass)] = &[
        (KeyspaceEvents::KEYSPACE, EventClass::KEYSPACE),
        (KeyspaceEvents::KEYEVENT, EventClass::KEYEVENT),
        (KeyspaceEvents::GENERIC, EventClass::GENERIC),
        (KeyspaceEvents::STRING, EventClass::STRING),
        (KeyspaceEvents::LIST, EventClass::LIST),
        (KeyspaceEvents::SET, EventClass::SET),
        (KeyspaceEvents::HASH, EventClass::HASH),
        (KeyspaceEvents::ZSET, EventClass::SORTED_SET),
        (KeyspaceEvents::EXPIRED, EventClass::EXPIRED),
        (KeyspaceEvents::EVICTED, EventClass::EVICTED),
        (KeyspaceEvents::STREAM, EventClass::STREAM),
        (KeyspaceEvents::MODULE, EventClass::MODULE),
        (KeyspaceEvents::MISSED, EventClass::KEY_MISS),
        (KeyspaceEvents::NEW, EventClass::NEW),
    ];
    let wanted = CLASSES
        .iter()
        .filter(|(class, _)| events.intersects(*class));
    EventClass(wanted.fold(0, |bits, (_, class)| bits | class.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Identity;

    #[test]
    fn classes_keep_their_meaning() {
        let classes =
            |letters: &[u8]| KeyspaceEvents::parse(letters).map(|set| event_classes(set).0);
        assert_eq!(classes(b""), Some(0));
        assert_eq!(classes(b"KEn"), Some(1 | 2 | EventClass::NEW.0));
        assert_eq!(classes(b"m"), Some(EventClass::KEY_MISS.0));
        assert!(classes(b"A").is_some_and(|all| all & EventClass::KEY_MISS.0 == 0));
    }

    #[test]
    fn clients_get_the_limits_of_their_class() {
        let services = Services::new(Config::new(Identity::RedisServer), 0, 0);
        let client = ClientInfo::default();
        services.apply_output_limits(&client);
        assert_eq!(client.mailbox.hard_limit.load(Ordering::Relaxed), 0);
        client.set_flag(ClientFlags::PUBSUB, true);
        services.apply_output_limits(&client);
        assert_eq!(client.mailbox.hard_limit.load(Ordering::Relaxed), 32 << 20);
        assert_eq!(client.mailbox.soft_ms.load(Ordering::Relaxed), 60_000);
    }

    #[test]
    fn thresholds_follow_parameters() {
        let mut config = Config::new(Identity::RedisServer);
        config
            .assign(b"hash-max-ziplist-entries", b"7")
            .expect("a number is accepted");
        let before = Limits::default();
        let after = limits(&config, before);
        assert_eq!(after.hash.max_listpack_entries, 7);
        assert_eq!(after.list.packed_threshold, before.list.packed_threshold);
    }
}
