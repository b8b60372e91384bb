//! Client-side caching: which client may keep which keys, and the messages that tell them to forget. Used under the locks
//! of the keys that are meant, so that no change slips between a read and its note; knows neither the keyspace nor
//! commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{ClientFlags, ClientInfo, Clients};
use crate::reply::{Reply, RespReply};

/// The channel on which a subscribed RESP2 client is told what others may not keep.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What a client may be told without its counting as memory used.
const FIXED_BUFFER: usize = 16 * 1024;

/// `tracking-table-max-keys` by default.
const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Bytes that remember a prefix, besides two copies of it: a handle in the client's mode, a handle with its listeners in
/// the table.
const PREFIX_MEMORY: usize =
    2 * size_of::<Box<[u8]>>() + size_of::<Vec<u64>>() + 4 * size_of::<u64>();

/// How a client wants to be told; what CLIENT TRACKING ON says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackingMode {
    /// REDIRECT: the client that gets the messages instead.
    pub redirect: Option<u64>,
    /// BCAST: of every key with these prefixes, whether it was read or not.
    pub broadcast: bool,
    /// PREFIX, with those of earlier commands.
    pub prefixes: Vec<Box<[u8]>>,
    /// OPTIN: keys are noted only after CLIENT CACHING YES.
    pub opt_in: bool,
    /// OPTOUT: keys are noted unless CLIENT CACHING NO was said.
    pub opt_out: bool,
    /// NOLOOP: not of its own changes.
    pub no_loop: bool,
    /// CLIENT CACHING was said, and holds for the next command.
    pub caching: bool,
}

impl TrackingMode {
    /// Whether the keys of a read are to be noted now.
    #[must_use]
    pub const fn notes_reads(&self) -> bool {
        let wanted = match (self.opt_in, self.opt_out) {
            (true, _) => self.caching,
            (_, true) => !self.caching,
            _ => true,
        };
        wanted && !self.broadcast
    }
}

/// A key that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Its name; databases are not told apart.
    pub key: &'a [u8],
    /// Whether the client whose command runs did it; otherwise time or memory did.
    pub by_client: bool,
}

#[derive(Debug)]
struct Tracker {
    client: Arc<ClientInfo>,
    mode: TrackingMode,
}

/// A reader, and a key that it is to forget.
type Told = (u64, Box<[u8]>);

#[derive(Debug, Default)]
struct Table {
    trackers: HashMap<u64, Tracker>,
    /// Who has read a key since it changed last. Clients that are gone are met and passed over later.
    keys: HashMap<Box<[u8]>, SmallVec<[u64; 2]>>,
    /// Clients of all keys together.
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Vec<u64>>,
    /// What running transactions will tell when they end, by the client that runs them: reader and key.
    outbox: HashMap<u64, Vec<Told>>,
}

/// All that is tracked.
#[derive(Debug)]
pub struct Tracking {
    table: Mutex<Table>,
    max_keys: AtomicUsize,
    /// Something was told, and may wait still.
    has_told: AtomicBool,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            max_keys: AtomicUsize::new(DEFAULT_MAX_KEYS),
            has_told: AtomicBool::new(false),
        }
    }
}

/// What INFO shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackingCounts {
    /// Clients that track.
    pub clients: usize,
    /// Keys that somebody may keep.
    pub keys: usize,
    /// Pairs of a key and a client.
    pub items: usize,
    /// Prefixes of BCAST.
    pub prefixes: usize,
}

impl Tracking {
    /// Begins to tell a client, or changes how.
    pub fn enable(&self, client: &Arc<ClientInfo>, mode: TrackingMode) {
        let mut table = self.table.lock();
        table.forget_prefixes(client.id);
        for prefix in &mode.prefixes {
            let listeners = table.prefixes.entry(prefix.clone()).or_default();
            listeners.push(client.id);
        }
        let redirect = mode.redirect.unwrap_or(0);
        let redirect = i64::try_from(redirect).unwrap_or(i64::MAX);
        client.tracking_redirect.store(redirect, Ordering::Relaxed);
        client.set_flag(ClientFlags::BROKEN_REDIRECT, false);
        client.set_flag(ClientFlags::TRACKING, true);
        client.set_flag(ClientFlags::BROADCAST, mode.broadcast);
        let memory = mode
            .prefixes
            .iter()
            .map(|prefix| 2 * prefix.len() + PREFIX_MEMORY);
        client
            .tracking_memory
            .store(memory.sum(), Ordering::Relaxed);
        let client = Arc::clone(client);
        table.trackers.insert(client.id, Tracker { client, mode });
    }

    /// Stops telling a client. False when nobody is left.
    pub fn disable(&self, client: &ClientInfo) -> bool {
        let mut table = self.table.lock();
        if table.trackers.remove(&client.id).is_some() {
            table.forget_prefixes(client.id);
            client.tracking_redirect.store(-1, Ordering::Relaxed);
            client.tracking_memory.store(0, Ordering::Relaxed);
            let all = ClientFlags::TRACKING | ClientFlags::BROADCAST | ClientFlags::BROKEN_REDIRECT;
            client.set_flag(all, false);
        }
        let tracked = !table.trackers.is_empty();
        if !tracked {
            (table.keys, table.items) = (HashMap::new(), 0);
        }
        tracked
    }

    /// Notes that a client has read keys and may keep them until they change. `before` are the changes of its own
    /// transaction that the read has seen already; they are told when that ends.
    pub fn remember<'a>(
        &self,
        client: u64,
        keys: impl Iterator<Item = &'a [u8]>,
        before: &[Change<'_>],
        clients: &Clients,
        now_ms: i64,
    ) {
        let mut table = self.table.lock();
        for change in before {
            let concerned = table.take_readers(change, client);
            let told = table.outbox.entry(client).or_default();
            told.extend(
                concerned
                    .into_iter()
                    .map(|reader| (reader, change.key.into())),
            );
        }
        for key in keys {
            let readers = match table.keys.get_mut(key) {
                Some(readers) => readers,
                None => table.keys.entry(key.into()).or_default(),
            };
            if !readers.contains(&client) {
                readers.push(client);
                table.items += 1;
            }
        }
        self.enforce_limit(&mut table, clients, now_ms);
    }

    /// `tracking-table-max-keys`; 0: no limit.
    pub fn set_max_keys(&self, max_keys: usize, clients: &Clients, now_ms: i64) {
        self.max_keys.store(max_keys, Ordering::Relaxed);
        self.enforce_limit(&mut self.table.lock(), clients, now_ms);
    }

    fn enforce_limit(&self, table: &mut Table, clients: &Clients, now_ms: i64) {
        let max_keys = self.max_keys.load(Ordering::Relaxed);
        while max_keys > 0 && table.keys.len() > max_keys {
            let Some(key) = table.keys.keys().next().cloned() else {
                return;
            };
            let change = Change {
                key: &key,
                by_client: false,
            };
            let readers = table.take_readers(&change, 0);
            table.tell(&readers, &key, clients, now_ms);
        }
    }

    /// Tells everybody concerned that keys have changed, at the hands of the client `by`; of the first `settled` changes
    /// [`Self::remember`] has heard. `flushes` says behind how many of the changes databases were emptied, each time.
    pub fn invalidate(
        &self,
        changes: &[Change<'_>],
        flushes: &[usize],
        settled: usize,
        by: u64,
        clients: &Clients,
        now_ms: i64,
    ) {
        self.has_told.store(true, Ordering::Relaxed);
        let mut table = self.table.lock();
        for (reader, key) in table.outbox.remove(&by).unwrap_or_default() {
            table.tell(&[reader], &key, clients, now_ms);
        }
        let mut begin = settled;
        for (end, flushed) in flushes
            .iter()
            .map(|at| (*at, true))
            .chain([(changes.len(), false)])
        {
            for change in changes.get(begin..end).unwrap_or_default() {
                let readers = table.take_readers(change, by);
                table.tell(&readers, change.key, clients, now_ms);
            }
            begin = begin.max(end);
            if flushed {
                table.forget_everything(clients, now_ms);
            }
        }
        table.broadcast(changes, by, clients, now_ms);
    }

    /// Bytes that wait for clients that track, of each as many as Redis has room for in a buffer that every client has
    /// anyway: they grow by evicting, and must not set off more of it.
    #[must_use]
    pub fn waiting_bytes(&self, clients: &Clients) -> usize {
        if !self.has_told.swap(false, Ordering::Relaxed) {
            return 0;
        }
        let table = self.table.lock();
        let mut told: Vec<u64> = table.trackers.values().map(Tracker::told).collect();
        drop(table);
        told.sort_unstable();
        told.dedup();
        let told = told.into_iter().filter_map(|id| clients.get(id));
        let waiting = told.map(|client| client.mailbox.pending().min(FIXED_BUFFER));
        let waiting = waiting.sum();
        if waiting > 0 {
            self.has_told.store(true, Ordering::Relaxed);
        }
        waiting
    }

    /// What INFO shows.
    #[must_use]
    pub fn counts(&self) -> TrackingCounts {
        let table = self.table.lock();
        TrackingCounts {
            clients: table.trackers.len(),
            keys: table.keys.len(),
            items: table.items,
            prefixes: table.prefixes.len(),
        }
    }
}

impl Table {
    /// Tells everybody to forget everything, and remembers no reader: one database was emptied, or all.
    fn forget_everything(&mut self, clients: &Clients, now_ms: i64) {
        let mut message = Invalidation::of(None);
        for tracker in self.trackers.values() {
            tracker.send(&mut message, clients, now_ms);
        }
        self.keys = HashMap::new();
        self.items = 0;
    }

    fn forget_prefixes(&mut self, client: u64) {
        self.prefixes.retain(|_, listeners| {
            listeners.retain(|listener| *listener != client);
            !listeners.is_empty()
        });
    }

    /// Forgets who has read a key; returns whom that concerns.
    fn take_readers(&mut self, change: &Change<'_>, by: u64) -> SmallVec<[u64; 2]> {
        let mut readers = self.keys.remove(change.key).unwrap_or_default();
        self.items -= readers.len();
        readers.retain(|reader| {
            let own = change.by_client && *reader == by;
            let tracker = self.trackers.get(reader);
            tracker.is_some_and(|tracker| !(tracker.mode.broadcast || own && tracker.mode.no_loop))
        });
        readers
    }

    fn tell(&self, readers: &[u64], key: &[u8], clients: &Clients, now_ms: i64) {
        let keys = [key];
        let mut message = Invalidation::of(Some(&keys));
        for tracker in readers
            .iter()
            .filter_map(|reader| self.trackers.get(reader))
        {
            tracker.send(&mut message, clients, now_ms);
        }
    }

    /// One message for each prefix and listener, with all of its keys.
    fn broadcast(&self, changes: &[Change<'_>], by: u64, clients: &Clients, now_ms: i64) {
        for (prefix, listeners) in &self.prefixes {
            let concerned = |change: &&Change<'_>| change.key.starts_with(prefix);
            for tracker in listeners.iter().filter_map(|id| self.trackers.get(id)) {
                let own = tracker.mode.no_loop && tracker.client.id == by;
                let mut keys: Vec<&[u8]> = Vec::new();
                for change in changes.iter().filter(concerned) {
                    if !(own && change.by_client || keys.contains(&change.key)) {
                        keys.push(change.key);
                    }
                }
                if !keys.is_empty() {
                    tracker.send(&mut Invalidation::of(Some(&keys)), clients, now_ms);
                }
            }
        }
    }
}

impl Tracker {
    /// Who gets its messages.
    fn told(&self) -> u64 {
        self.mode.redirect.unwrap_or(self.client.id)
    }

    /// Sends the keys to forget, or the order to forget all.
    fn send(&self, message: &mut Invalidation<'_>, clients: &Clients, now_ms: i64) {
        let own = &self.client;
        let own_resp3 = own.resp.load(Ordering::Relaxed) == 3;
        let Some(redirect) = self.mode.redirect else {
            if own_resp3 {
                deliver(own, message.encoded(true, true), now_ms);
            }
            return;
        };
        let Some(target) = clients.get(redirect) else {
            own.set_flag(ClientFlags::BROKEN_REDIRECT, true);
            if own_resp3 {
                deliver(own, broken_redirect(redirect), now_ms);
            }
            return;
        };
        let resp3 = target.resp.load(Ordering::Relaxed) == 3;
        if resp3 || target.has_flag(ClientFlags::PUBSUB) {
            deliver(&target, message.encoded(resp3, own_resp3), now_ms);
        }
    }
}

fn deliver(client: &ClientInfo, message: Bytes, now_ms: i64) {
    if client.mailbox.push(message, now_ms) {
        client.kill();
    }
}

/// What several clients are told, encoded once for each protocol.
#[derive(Debug)]
struct Invalidation<'a> {
    /// None: everything.
    keys: Option<&'a [&'a [u8]]>,
    /// By protocol: of who gets it, then of who tracks.
    encoded: [[Option<Bytes>; 2]; 2],
}

impl<'a> Invalidation<'a> {
    fn of(keys: Option<&'a [&'a [u8]]>) -> Self {
        Self {
            keys,
            encoded: Default::default(),
        }
    }

    fn encoded(&mut self, resp3: bool, own_resp3: bool) -> Bytes {
        let keys = self.keys;
        self.encoded[usize::from(resp3)][usize::from(own_resp3)]
            .get_or_insert_with(|| invalidation(resp3, keys, own_resp3))
            .clone()
    }
}

/// A push message of RESP3, or a published message of RESP2. As in Redis nothing stands in it in the protocol of the client
/// that tracks, though another may get it.
fn invalidation(resp3: bool, keys: Option<&[&[u8]]>, own_resp3: bool) -> Bytes {
    let mut reply = RespReply::new(resp3);
    if resp3 {
        reply.push(2);
        reply.bulk(b"invalidate");
    } else {
        reply.push(3);
        reply.bulk(b"message");
        reply.bulk(CHANNEL);
    }
    match keys {
        None => {
            let mut nothing = RespReply::new(own_resp3);
            nothing.null();
            reply.encoded(&nothing.take());
        }
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
    }
    Bytes::from(reply.take())
}

fn broken_redirect(client: u64) -> Bytes {
    let mut reply = RespReply::new(true);
    reply.push(2);
    reply.bulk(b"tracking-redir-broken");
    reply.int(i64::try_from(client).unwrap_or(i64::MAX));
    Bytes::from(reply.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        tracking: Tracking,
        clients: Clients,
    }

    impl House {
        fn new() -> Self {
            Self {
                tracking: Tracking::default(),
                clients: Clients::default(),
            }
        }

        fn client(&self, resp: u8) -> Arc<ClientInfo> {
            let id = self.clients.next_id();
            let client = Arc::new(ClientInfo {
                id,
                ..ClientInfo::default()
            });
            client.resp.store(resp, Ordering::Relaxed);
            self.clients.add(Arc::clone(&client));
            client
        }

        fn read(&self, client: &ClientInfo, keys: &[&'static str]) {
            let keys = keys.iter().map(|key| key.as_bytes());
            self.tracking
                .remember(client.id, keys, &[], &self.clients, 0);
        }

        fn change(&self, by: u64, keys: &[&'static str]) {
            let changes: Vec<_> = keys
                .iter()
                .map(|key| Change {
                    key: key.as_bytes(),
                    by_client: by > 0,
                })
                .collect();
            self.tracking
                .invalidate(&changes, &[], 0, by, &self.clients, 0);
        }
    }

    fn mail(client: &ClientInfo) -> Vec<String> {
        std::iter::from_fn(|| client.mailbox.try_pop())
            .map(|message| String::from_utf8_lossy(&message).replace("\r\n", " "))
            .collect()
    }

    const A: &str = ">2 $10 invalidate *1 $1 a ";

    #[test]
    fn a_reader_is_told_once() {
        let house = House::new();
        let reader = house.client(3);
        house.tracking.enable(&reader, TrackingMode::default());
        house.read(&reader, &["a", "b", "a"]);
        let counts = house.tracking.counts();
        assert_eq!((counts.clients, counts.keys, counts.items), (1, 2, 2));
        house.change(9, &["a", "a", "c"]);
        house.change(9, &["a"]);
        assert_eq!(mail(&reader), [A]);
        assert!(!house.tracking.disable(&reader));
        house.change(9, &["b"]);
        assert!(mail(&reader).is_empty());
        assert_eq!(house.tracking.counts(), TrackingCounts::default());
    }

    #[test]
    fn own_changes_are_no_news_with_noloop() {
        let house = House::new();
        let reader = house.client(3);
        let mode = TrackingMode {
            no_loop: true,
            ..TrackingMode::default()
        };
        house.tracking.enable(&reader, mode);
        house.read(&reader, &["a"]);
        house.change(reader.id, &["a"]);
        assert!(mail(&reader).is_empty());
        house.read(&reader, &["a"]);
        house.change(0, &["a"]);
        assert_eq!(mail(&reader), [A], "time did it");
    }

    /// Both clients have read the key; one changes it and reads it again in a transaction.
    #[test]
    fn a_read_after_a_change_stays_noted() {
        let house = House::new();
        let (one, other) = (house.client(3), house.client(3));
        for client in [&one, &other] {
            house.tracking.enable(client, TrackingMode::default());
            house.read(client, &["a"]);
        }
        let changes = [Change {
            key: b"a",
            by_client: true,
        }];
        let keys = [&b"a"[..]].into_iter();
        house
            .tracking
            .remember(one.id, keys, &changes, &house.clients, 0);
        assert!(mail(&one).is_empty() && mail(&other).is_empty());
        house
            .tracking
            .invalidate(&changes, &[], 1, one.id, &house.clients, 0);
        assert_eq!((mail(&one), mail(&other)), (vec![A.into()], vec![A.into()]));
        assert_eq!(house.tracking.counts().items, 1, "its own read counts");
    }

    #[test]
    fn a_flush_is_told_between_the_changes_before_and_behind_it() {
        let house = House::new();
        let reader = house.client(3);
        house.tracking.enable(&reader, TrackingMode::default());
        house.read(&reader, &["a", "b"]);
        let changes = [&b"a"[..], b"b"].map(|key| Change {
            key,
            by_client: false,
        });
        house
            .tracking
            .invalidate(&changes, &[1], 0, 0, &house.clients, 0);
        assert_eq!(mail(&reader), [A, ">2 $10 invalidate _ "], "b is forgotten");
    }

    #[test]
    fn messages_go_to_another_client() {
        let house = House::new();
        let (reader, target) = (house.client(2), house.client(2));
        let mode = TrackingMode {
            redirect: Some(target.id),
            ..TrackingMode::default()
        };
        house.tracking.enable(&reader, mode);
        for (flag, resp, expected) in [
            (0, 2, None),
            (
                ClientFlags::PUBSUB,
                2,
                Some("*3 $7 message $20 __redis__:invalidate *1 $1 a "),
            ),
            (0, 3, Some(A)),
        ] {
            target.set_flag(flag, true);
            target.resp.store(resp, Ordering::Relaxed);
            house.read(&reader, &["a"]);
            house.change(9, &["a"]);
            assert_eq!(mail(&target), Vec::from_iter(expected));
        }
        house.clients.leave(&target);
        reader.resp.store(3, Ordering::Relaxed);
        house.read(&reader, &["a"]);
        house.change(9, &["a"]);
        assert_eq!(mail(&reader), [">2 $21 tracking-redir-broken :2 "]);
        assert!(reader.has_flag(ClientFlags::BROKEN_REDIRECT));
    }

    #[test]
    fn prefixes_are_told_of_all_keys_together() {
        let house = House::new();
        let listener = house.client(3);
        let mode = TrackingMode {
            broadcast: true,
            prefixes: vec![b"a"[..].into(), b"b"[..].into()],
            ..TrackingMode::default()
        };
        house.tracking.enable(&listener, mode);
        house.change(9, &["a1", "b1", "c", "a2", "a1"]);
        assert_eq!(
            mail(&listener),
            [
                ">2 $10 invalidate *2 $2 a1 $2 a2 ",
                ">2 $10 invalidate *1 $2 b1 "
            ]
        );
        assert_eq!(house.tracking.counts().prefixes, 2);
        house.tracking.disable(&listener);
        assert_eq!(house.tracking.counts().prefixes, 0);
    }

    #[test]
    fn what_does_not_fit_is_given_up() {
        let house = House::new();
        let reader = house.client(3);
        house.tracking.enable(&reader, TrackingMode::default());
        house.tracking.set_max_keys(2, &house.clients, 0);
        house.read(&reader, &["a", "b", "c"]);
        assert_eq!(mail(&reader).len(), 1);
        house.tracking.set_max_keys(1, &house.clients, 0);
        assert_eq!(mail(&reader).len(), 1);
        house
            .tracking
            .invalidate(&[], &[0], 0, 0, &house.clients, 0);
        assert_eq!(mail(&reader), [">2 $10 invalidate _ "]);
        assert_eq!(house.tracking.counts().keys, 0);
    }
}
