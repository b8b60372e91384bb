//! Pub/sub: channels, patterns and shard channels with their subscribers. A message is encoded once for each protocol
//! and shared by all who get it. Outside the keyspace and its locks.
//!
//! Every name has a lock of its own, held while one message goes to all its subscribers: they see concurrent messages
//! in the same order, and nothing arrives after an unsubscription returned. The maps are locked for a look-up only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use super::ClientInfo;
use crate::reply::{Reply, RespReply};
use crate::value::glob::matches;

/// What a subscription is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
    /// SSUBSCRIBE.
    Shard,
}

/// The subscribers of one name.
#[derive(Debug, Default)]
struct Subscribers(Mutex<SubscriberList>);

#[derive(Debug, Default)]
struct SubscriberList {
    clients: Vec<Arc<ClientInfo>>,
    /// The last one left and the map is about to forget the name: nobody may enter any more.
    closed: bool,
}

impl Subscribers {
    /// False when the list is closed.
    fn add(&self, client: &Arc<ClientInfo>) -> bool {
        let mut list = self.0.lock();
        if !list.closed {
            list.clients.push(Arc::clone(client));
        }
        !list.closed
    }

    /// True when the list is closed: the caller takes it out of its map.
    fn remove(&self, id: u64) -> bool {
        let mut list = self.0.lock();
        list.clients.retain(|client| client.id != id);
        list.closed = list.clients.is_empty();
        list.closed
    }

    fn len(&self) -> usize {
        self.0.lock().clients.len()
    }

    /// One encoding a protocol, made when its first receiver is met.
    fn deliver(&self, now_ms: i64, parts: &[&[u8]]) -> usize {
        let mut encoded: [Option<Bytes>; 2] = [None, None];
        let list = self.0.lock();
        for client in &list.clients {
            let resp3 = client.resp.load(Ordering::Relaxed) == 3;
            let message = encoded[usize::from(resp3)]
                .get_or_insert_with(|| encode(resp3, parts))
                .clone();
            if client.mailbox.push(message, now_ms) {
                client.kill();
            }
        }
        list.clients.len()
    }
}

type ChannelMap = DashMap<Box<[u8]>, Arc<Subscribers>>;

/// In order of their first subscription. Publishers go through a copy that they share with the writers.
type Patterns = Vec<(Arc<[u8]>, Arc<Subscribers>)>;

/// Who listens to what.
#[derive(Debug, Default)]
pub struct Channels {
    channels: ChannelMap,
    shard_channels: ChannelMap,
    patterns: RwLock<Arc<Patterns>>,
    pattern_count: AtomicUsize,
}

impl Channels {
    fn map(&self, shard: bool) -> &ChannelMap {
        if shard {
            &self.shard_channels
        } else {
            &self.channels
        }
    }

    /// Adds a subscriber. The caller sees to it that a client subscribes once.
    pub fn subscribe(&self, kind: Kind, name: &[u8], client: &Arc<ClientInfo>) {
        if kind == Kind::Pattern {
            return self.subscribe_pattern(name, client);
        }
        let map = self.map(kind == Kind::Shard);
        loop {
            let subscribers = Arc::clone(&map.entry(name.into()).or_default());
            if subscribers.add(client) {
                return;
            }
            forget(map, name, &subscribers);
        }
    }

    fn subscribe_pattern(&self, name: &[u8], client: &Arc<ClientInfo>) {
        let mut shared = self.patterns.write();
        let found = shared.iter().find(|(pattern, _)| **pattern == *name);
        // Patterns are closed and taken out under the write lock, so this one is open.
        if !found.is_some_and(|(_, subscribers)| subscribers.add(client)) {
            let subscribers = Subscribers::default();
            subscribers.add(client);
            Arc::make_mut(&mut shared).push((name.into(), Arc::new(subscribers)));
        }
        self.pattern_count.store(shared.len(), Ordering::Release);
    }

    /// Removes a subscriber. When this returns no further message is delivered to it.
    pub fn unsubscribe(&self, kind: Kind, name: &[u8], id: u64) {
        if kind == Kind::Pattern {
            return self.unsubscribe_pattern(name, id);
        }
        let map = self.map(kind == Kind::Shard);
        let subscribers = map.get(name).map(|entry| Arc::clone(&entry));
        if let Some(subscribers) = subscribers
            && subscribers.remove(id)
        {
            forget(map, name, &subscribers);
        }
    }

    fn unsubscribe_pattern(&self, name: &[u8], id: u64) {
        let mut shared = self.patterns.write();
        let position = shared.iter().position(|(pattern, _)| **pattern == *name);
        if let Some(position) = position
            && shared[position].1.remove(id)
        {
            Arc::make_mut(&mut shared).remove(position);
        }
        self.pattern_count.store(shared.len(), Ordering::Release);
    }

    /// Sends a message to a channel's subscribers and to those of matching patterns; returns how many got it.
    pub fn publish(&self, channel: &[u8], message: &[u8], now_ms: i64) -> usize {
        let mut receivers = 0;
        let subscribers = self.channels.get(channel).map(|entry| Arc::clone(&entry));
        if let Some(subscribers) = subscribers {
            receivers += subscribers.deliver(now_ms, &[b"message", channel, message]);
        }
        if self.pattern_count() > 0 {
            let patterns = Arc::clone(&self.patterns.read());
            for (pattern, subscribers) in patterns.iter() {
                if matches(pattern, channel, false) {
                    let parts: [&[u8]; 4] = [b"pmessage", pattern, channel, message];
                    receivers += subscribers.deliver(now_ms, &parts);
                }
            }
        }
        receivers
    }

    /// Sends a message to a shard channel's subscribers; returns how many got it.
    pub fn publish_shard(&self, channel: &[u8], message: &[u8], now_ms: i64) -> usize {
        let subscribers = self
            .shard_channels
            .get(channel)
            .map(|entry| Arc::clone(&entry));
        subscribers.map_or(0, |subscribers| {
            subscribers.deliver(now_ms, &[b"smessage", channel, message])
        })
    }

    /// Whether anybody listens to anything: spares the making of events.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.channels.is_empty() && self.pattern_count() == 0
    }

    /// Names of the channels that have subscribers and match the pattern.
    #[must_use]
    pub fn names(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let entries = self.map(shard).iter();
        entries
            .filter(|entry| pattern.is_none_or(|pattern| matches(pattern, entry.key(), false)))
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// Subscribers of a channel, patterns not counted.
    #[must_use]
    pub fn subscribers(&self, shard: bool, name: &[u8]) -> usize {
        let found = self.map(shard).get(name).map(|entry| Arc::clone(&entry));
        found.map_or(0, |subscribers| subscribers.len())
    }

    /// Patterns that have subscribers.
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        self.pattern_count.load(Ordering::Acquire)
    }

    /// Channels and shard channels that have subscribers.
    #[must_use]
    pub fn channel_counts(&self) -> (usize, usize) {
        (self.channels.len(), self.shard_channels.len())
    }
}

impl Channels {
    /// The clients with a subscription that `wanted` picks, each once.
    #[must_use]
    pub fn subscribers_who(
        &self,
        wanted: impl Fn(&ClientInfo, Kind, &[u8]) -> bool,
    ) -> Vec<Arc<ClientInfo>> {
        let mut found: Vec<Arc<ClientInfo>> = Vec::new();
        let mut look = |kind, name: &[u8], subscribers: &Subscribers| {
            for client in &subscribers.0.lock().clients {
                let known = found.iter().any(|known| known.id == client.id);
                if !known && wanted(client, kind, name) {
                    found.push(Arc::clone(client));
                }
            }
        };
        for (kind, map) in [
            (Kind::Channel, &self.channels),
            (Kind::Shard, &self.shard_channels),
        ] {
            map.iter()
                .for_each(|entry| look(kind, entry.key(), entry.value()));
        }
        for (pattern, subscribers) in self.patterns.read().iter() {
            look(Kind::Pattern, pattern, subscribers);
        }
        found
    }
}

/// Takes a closed list out of the map, unless a new one stands there already.
fn forget(map: &ChannelMap, name: &[u8], closed: &Arc<Subscribers>) {
    map.remove_if(name, |_, subscribers| Arc::ptr_eq(subscribers, closed));
}

fn encode(resp3: bool, parts: &[&[u8]]) -> Bytes {
    let mut reply = RespReply::new(resp3);
    reply.push(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    Bytes::from(reply.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u64) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            id,
            ..ClientInfo::default()
        })
    }

    fn mail(client: &ClientInfo) -> Vec<Bytes> {
        std::iter::from_fn(|| client.mailbox.try_pop()).collect()
    }

    #[test]
    fn a_message_reaches_channel_and_pattern() {
        let channels = Channels::default();
        let (one, two) = (client(1), client(2));
        two.resp.store(3, Ordering::Relaxed);
        channels.subscribe(Kind::Channel, b"news", &one);
        channels.subscribe(Kind::Channel, b"news", &two);
        channels.subscribe(Kind::Pattern, b"n*", &one);
        assert_eq!(channels.publish(b"news", b"x", 0), 3);
        assert_eq!(
            mail(&one),
            [
                &b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"[..],
                b"*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nx\r\n"
            ]
        );
        assert_eq!(
            mail(&two),
            [&b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"[..]]
        );
        assert_eq!(channels.publish_shard(b"news", b"x", 0), 0);
        channels.unsubscribe(Kind::Channel, b"news", 1);
        channels.unsubscribe(Kind::Pattern, b"n*", 1);
        channels.unsubscribe(Kind::Pattern, b"n*", 1);
        assert_eq!(channels.publish(b"news", b"x", 0), 1);
        channels.unsubscribe(Kind::Channel, b"news", 2);
        assert!(channels.is_idle());
    }

    #[test]
    fn whoever_does_not_read_is_cut_off() {
        let channels = Channels::default();
        let slow = client(1);
        slow.mailbox.hard_limit.store(100, Ordering::Relaxed);
        channels.subscribe(Kind::Shard, b"s", &slow);
        assert_eq!(channels.publish_shard(b"s", &[b'x'; 20], 0), 1);
        assert!(!slow.mailbox.is_killed());
        channels.publish_shard(b"s", &[b'x'; 90], 0);
        assert!(slow.mailbox.is_killed());
        assert_eq!(slow.mailbox.pending(), 0);
    }

    /// Names come and go while others enter: whoever subscribed gets what is published then, and nothing is left over.
    #[test]
    fn names_come_and_go_under_contention() {
        let channels = Channels::default();
        std::thread::scope(|scope| {
            for id in 0..4 {
                let channels = &channels;
                scope.spawn(move || {
                    let me = client(id);
                    for _ in 0..500 {
                        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
                            channels.subscribe(kind, b"c", &me);
                        }
                        assert!(channels.publish(b"c", b"", 0) >= 2);
                        assert!(channels.publish_shard(b"c", b"", 0) >= 1);
                        assert!(mail(&me).len() >= 3);
                        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
                            channels.unsubscribe(kind, b"c", id);
                        }
                        mail(&me);
                        channels.publish(b"c", b"", 0);
                        assert!(mail(&me).is_empty(), "a message after the unsubscription");
                    }
                });
            }
        });
        assert!(channels.is_idle());
        assert_eq!(channels.channel_counts(), (0, 0));
        assert_eq!(channels.pattern_count(), 0);
    }

    #[test]
    fn concurrent_messages_have_one_order() {
        let channels = Channels::default();
        let (one, two) = (client(1), client(2));
        channels.subscribe(Kind::Channel, b"c", &one);
        channels.subscribe(Kind::Channel, b"c", &two);
        std::thread::scope(|scope| {
            for sender in 0..4u8 {
                let channels = &channels;
                scope.spawn(move || {
                    for number in 0..200u8 {
                        channels.publish(b"c", &[sender, number], 0);
                    }
                });
            }
        });
        let seen = mail(&one);
        assert_eq!(seen.len(), 800);
        assert_eq!(seen, mail(&two));
    }
}
