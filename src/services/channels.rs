//! Pub/sub: channels, patterns and shard channels with their subscribers. A message is encoded once for each protocol
//! and shared by all who get it. Outside the keyspace and its locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;

use super::ClientInfo;
use crate::reply::{Reply, RespReply};
use crate::value::glob::matches;

type Subscribers = Vec<Arc<ClientInfo>>;

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

/// Who listens to what.
#[derive(Debug, Default)]
pub struct Channels {
    channels: DashMap<Box<[u8]>, Subscribers>,
    shard_channels: DashMap<Box<[u8]>, Subscribers>,
    /// In order of their first subscription, as Redis goes through them.
    patterns: RwLock<Vec<(Box<[u8]>, Subscribers)>>,
    pattern_count: AtomicUsize,
}

impl Channels {
    /// Adds a subscriber. The caller sees to it that a client subscribes once.
    pub fn subscribe(&self, kind: Kind, name: &[u8], client: &Arc<ClientInfo>) {
        match kind {
            Kind::Channel => self
                .channels
                .entry(name.into())
                .or_default()
                .push(Arc::clone(client)),
            Kind::Shard => self
                .shard_channels
                .entry(name.into())
                .or_default()
                .push(Arc::clone(client)),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                match patterns.iter_mut().find(|(pattern, _)| **pattern == *name) {
                    Some((_, subscribers)) => subscribers.push(Arc::clone(client)),
                    None => patterns.push((name.into(), vec![Arc::clone(client)])),
                }
                self.pattern_count.store(patterns.len(), Ordering::Release);
            }
        }
    }

    /// Removes a subscriber.
    pub fn unsubscribe(&self, kind: Kind, name: &[u8], id: u64) {
        match kind {
            Kind::Channel => remove_subscriber(&self.channels, name, id),
            Kind::Shard => remove_subscriber(&self.shard_channels, name, id),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                for (pattern, subscribers) in patterns.iter_mut() {
                    if **pattern == *name {
                        subscribers.retain(|client| client.id != id);
                    }
                }
                patterns.retain(|(_, subscribers)| !subscribers.is_empty());
                self.pattern_count.store(patterns.len(), Ordering::Release);
            }
        }
    }

    /// Sends a message to a channel's subscribers and to those of matching patterns; returns how many got it.
    pub fn publish(&self, channel: &[u8], message: &[u8], now_ms: i64) -> usize {
        let mut receivers = 0;
        if let Some(subscribers) = self.channels.get(channel) {
            receivers += deliver(&subscribers, now_ms, &[b"message", channel, message]);
        }
        if self.pattern_count.load(Ordering::Acquire) > 0 {
            for (pattern, subscribers) in self.patterns.read().iter() {
                if matches(pattern, channel, false) {
                    receivers += deliver(
                        subscribers,
                        now_ms,
                        &[b"pmessage", pattern, channel, message],
                    );
                }
            }
        }
        receivers
    }

    /// Sends a message to a shard channel's subscribers; returns how many got it.
    pub fn publish_shard(&self, channel: &[u8], message: &[u8], now_ms: i64) -> usize {
        let subscribers = self.shard_channels.get(channel);
        subscribers.map_or(0, |list| {
            deliver(&list, now_ms, &[b"smessage", channel, message])
        })
    }

    /// Whether anybody listens to anything: spares the making of events.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.channels.is_empty() && self.pattern_count.load(Ordering::Acquire) == 0
    }

    /// Names of the channels that have subscribers and match the pattern.
    #[must_use]
    pub fn names(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let map = if shard {
            &self.shard_channels
        } else {
            &self.channels
        };
        let names = map.iter().map(|entry| entry.key().clone());
        names
            .filter(|name| pattern.is_none_or(|pattern| matches(pattern, name, false)))
            .collect()
    }

    /// Subscribers of a channel, patterns not counted.
    #[must_use]
    pub fn subscribers(&self, shard: bool, name: &[u8]) -> usize {
        let map = if shard {
            &self.shard_channels
        } else {
            &self.channels
        };
        map.get(name).map_or(0, |list| list.len())
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

fn remove_subscriber(map: &DashMap<Box<[u8]>, Subscribers>, name: &[u8], id: u64) {
    if let Some(mut subscribers) = map.get_mut(name) {
        subscribers.retain(|client| client.id != id);
    }
    map.remove_if(name, |_, subscribers| subscribers.is_empty());
}

/// One encoding a protocol, made when its first receiver is met.
fn deliver(subscribers: &[Arc<ClientInfo>], now_ms: i64, parts: &[&[u8]]) -> usize {
    let mut encoded: [Option<Bytes>; 2] = [None, None];
    for client in subscribers {
        let resp3 = client.resp.load(Ordering::Relaxed) == 3;
        let message = encoded[usize::from(resp3)]
            .get_or_insert_with(|| encode(resp3, parts))
            .clone();
        if client.mailbox.push(message, now_ms) {
            client.kill();
        }
    }
    subscribers.len()
}

fn encode(resp3: bool, parts: &[&[u8]]) -> Bytes {
    let mut reply = RespReply::new(resp3);
    reply.push(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    Bytes::from(reply.take())
}
