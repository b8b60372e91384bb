//! Keyspace events: what changed, for `notify-keyspace-events`. Collected here, published by the engine.

/// A class of events, one bit each, with the letters of `notify-keyspace-events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventClass(pub u32);

impl EventClass {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands of any type, such as DEL and EXPIRE.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: strings.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: lists.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: sets.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hashes.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted sets.
    pub const SORTED_SET: Self = Self(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: streams.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: a read found no key.
    pub const KEY_MISS: Self = Self(1 << 11);
    /// `d`: modules.
    pub const MODULE: Self = Self(1 << 13);
    /// `n`: a key is new.
    pub const NEW: Self = Self(1 << 14);

    /// Whether the sets have a class in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One event, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: EventClass,
    /// Its name, such as `lpush`.
    pub name: &'static str,
    /// The key.
    pub key: Box<[u8]>,
    /// The key's database.
    pub db: usize,
}
