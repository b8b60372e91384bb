//! A consumer group: how far it has read, what was delivered and not yet acknowledged, and to whom. Knows no entries
//! and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{StreamId, tree_size};

/// A delivery that nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The consumer that has the entry.
    pub consumer: Arc<[u8]>,
    /// When it was delivered last, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub count: u64,
}

/// A consumer of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// When it tried to read or claim last, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something, in Unix milliseconds; negative: never.
    pub active_ms: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// The entries delivered to it and not acknowledged, in order.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = StreamId> + '_ {
        self.pending.iter().copied()
    }

    /// The same from an id on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pending.range(start..).copied()
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Entries up to this one have been delivered.
    pub last_delivered: StreamId,
    /// How many entries of the stream's whole history lie up to there; none when that is not known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Delivery>,
    consumers: BTreeMap<Arc<[u8]>, Consumer>,
}

impl Group {
    /// A group without consumers.
    #[must_use]
    pub fn new(last_delivered: StreamId, entries_read: Option<i64>) -> Self {
        Self {
            last_delivered,
            entries_read,
            ..Self::default()
        }
    }

    /// Bytes taken from the allocator, estimated.
    pub(super) fn heap_size(&self) -> usize {
        let of_consumers: usize = self
            .consumers
            .iter()
            .map(|(name, consumer)| {
                // An Arc has two counters.
                name.len()
                    + 2 * size_of::<usize>()
                    + tree_size::<StreamId, ()>(consumer.pending.len())
            })
            .sum();
        of_consumers
            + tree_size::<StreamId, Delivery>(self.pending.len())
            + tree_size::<Arc<[u8]>, Consumer>(self.consumers.len())
    }

    /// Its consumers by name, in order.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (&Arc<[u8]>, &Consumer)> {
        self.consumers.iter()
    }

    /// A consumer.
    #[must_use]
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// A consumer, to note when it was here.
    pub fn consumer_mut(&mut self, name: &[u8]) -> Option<&mut Consumer> {
        self.consumers.get_mut(name)
    }

    /// Adds a consumer that was just seen; false if there is one of this name.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> bool {
        if self.consumers.contains_key(name) {
            return false;
        }
        let consumer = Consumer {
            seen_ms: now_ms,
            active_ms: -1,
            ..Consumer::default()
        };
        self.consumers.insert(name.into(), consumer);
        true
    }

    /// Removes a consumer with what is pending for it; how many entries that were. None if there is no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// The number of deliveries that are not acknowledged. O(1).
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// A delivery that is not acknowledged.
    #[must_use]
    pub fn delivery(&self, id: StreamId) -> Option<&Delivery> {
        self.pending.get(&id)
    }

    /// A delivery, to change when and how often it was made.
    pub fn delivery_mut(&mut self, id: StreamId) -> Option<&mut Delivery> {
        self.pending.get_mut(&id)
    }

    /// The deliveries of these ids that are not acknowledged, in order.
    pub fn pending(
        &self,
        range: RangeInclusive<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Delivery)> {
        let range = (range.start() <= range.end()).then_some(range);
        range
            .into_iter()
            .flat_map(|range| self.pending.range(range))
            .map(|(id, delivery)| (*id, delivery))
    }

    /// Acknowledges: the entry is pending no more. False if it was not.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(delivery) = self.pending.remove(&id) else {
            return false;
        };
        if let Some(consumer) = self.consumers.get_mut(&delivery.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }

    /// Notes a delivery to a consumer, whoever had the entry before. False if there is no such consumer.
    pub fn deliver(
        &mut self,
        id: StreamId,
        consumer: &[u8],
        delivered_ms: i64,
        count: u64,
    ) -> bool {
        let Some((name, _)) = self.consumers.get_key_value(consumer) else {
            return false;
        };
        let delivery = Delivery {
            consumer: Arc::clone(name),
            delivered_ms,
            count,
        };
        if let Some(before) = self.pending.insert(id, delivery)
            && *before.consumer != *consumer
            && let Some(before) = self.consumers.get_mut(&before.consumer)
        {
            before.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.pending.insert(id);
        }
        true
    }
}
