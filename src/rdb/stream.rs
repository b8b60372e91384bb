//! Streams: nodes as they lie in memory, then what a stream knows of itself, its groups and their consumers.
//! Knows no keys.
//!
//! ```text
//! nodes | (id, 16 bytes | listpack) … | entries | last id
//! from type 19 on: first id | highest deleted id | entries ever added
//! groups | (name | last id | from type 19 on: entries read | pending | consumers) …
//! pending: number | (id, 16 bytes | delivered, ms | times) …
//! consumers: number | (name | seen, ms | from type 21 on: active, ms | number | id, 16 bytes …) …
//! ```

use std::collections::BTreeMap;
use std::io::Read;

use super::Problem;
use super::encoder::{Encoder, length};
use super::object::{STREAM, STREAM_3};
use super::source::Source;
use crate::value::stream::{Consumer, Group, Stream, StreamId};

/// Deliveries of a group that no consumer has claimed yet: when, and how often.
type Unclaimed = BTreeMap<StreamId, (i64, u64)>;

impl<R: Read> Source<'_, R> {
    /// A stream of type 15, 19 or 21. It may be without entries.
    pub(super) fn stream(&mut self, kind: u8) -> Result<Stream, Problem> {
        let mut stream = Stream::new();
        for _ in 0..self.length()? {
            let master = self.node_id()?;
            let pack = self.listpack()?;
            stream.push_node(master, pack).map_err(Problem::malformed)?;
        }
        let len = self.length()?;
        if len != stream.len() as u64 {
            let found = stream.len();
            let what = format_args!("a stream of {len} entries holds {found}");
            return Err(Problem::malformed(what));
        }
        let last_id = self.stream_id()?;
        if stream.last_entry().is_some_and(|last| last_id < last.id) {
            return Err(Problem::malformed(
                "a stream with entries behind its last id",
            ));
        }
        let (mut max_deleted, mut added) = (StreamId::MIN, len);
        if kind != STREAM {
            // The first id follows from the entries.
            self.stream_id()?;
            max_deleted = self.stream_id()?;
            added = self.length()?;
        }
        stream.set_state(last_id, max_deleted, added);
        for _ in 0..self.length()? {
            self.group(kind, &mut stream)?;
        }
        Ok(stream)
    }

    fn node_id(&mut self) -> Result<StreamId, Problem> {
        let bytes = self.string()?;
        <[u8; StreamId::LEN]>::try_from(bytes.as_slice())
            .map(StreamId::from_bytes)
            .map_err(|_| Problem::malformed("a stream's node without an id of 16 bytes"))
    }

    fn stream_id(&mut self) -> Result<StreamId, Problem> {
        Ok(StreamId::new(self.length()?, self.length()?))
    }

    fn group(&mut self, kind: u8, stream: &mut Stream) -> Result<(), Problem> {
        let name = self.string()?;
        let last = self.stream_id()?;
        let entries_read = if kind == STREAM {
            stream.history_rank(last)
        } else {
            // What is not known is -1, as an unsigned number.
            i64::try_from(self.length()?).ok()
        };
        let mut group = Group::new(last, entries_read);
        let mut unclaimed = Unclaimed::new();
        for _ in 0..self.length()? {
            let id = StreamId::from_bytes(self.array()?);
            let delivered_ms = i64::from_le_bytes(self.array()?);
            if unclaimed
                .insert(id, (delivered_ms, self.length()?))
                .is_some()
            {
                return Err(Problem::malformed(format_args!(
                    "entry {id} is pending twice"
                )));
            }
        }
        for _ in 0..self.length()? {
            self.consumer(kind, &mut group, &mut unclaimed)?;
        }
        if let Some((id, _)) = unclaimed.first_key_value() {
            let what = format_args!("entry {id} is pending for nobody");
            return Err(Problem::malformed(what));
        }
        if !stream.add_group(&name, group) {
            let what = format_args!("the group '{}' occurs twice", name.escape_ascii());
            return Err(Problem::malformed(what));
        }
        Ok(())
    }

    fn consumer(
        &mut self,
        kind: u8,
        group: &mut Group,
        unclaimed: &mut Unclaimed,
    ) -> Result<(), Problem> {
        let name = self.string()?;
        let seen_ms = i64::from_le_bytes(self.array()?);
        let active_ms = match kind {
            STREAM_3 => i64::from_le_bytes(self.array()?),
            _ => seen_ms,
        };
        if !group.add_consumer(&name, seen_ms) {
            let what = format_args!(
                "Duplicate stream consumer detected: '{}'",
                name.escape_ascii()
            );
            return Err(Problem::malformed(what));
        }
        if let Some(consumer) = group.consumer_mut(&name) {
            consumer.active_ms = active_ms;
        }
        for _ in 0..self.length()? {
            let id = StreamId::from_bytes(self.array()?);
            let Some((delivered_ms, count)) = unclaimed.remove(&id) else {
                let what = format_args!(
                    "entry {id} is pending for a consumer, and not for its group, or twice: \
                     Stream consumer PEL entry already has a consumer assigned"
                );
                return Err(Problem::malformed(what));
            };
            group.deliver(id, &name, delivered_ms, count);
        }
        Ok(())
    }
}

impl Encoder {
    /// Appends a stream of type 19.
    pub(super) fn stream(&mut self, out: &mut Vec<u8>, stream: &Stream) {
        length(out, stream.nodes().len() as u64);
        for (master, pack) in stream.nodes() {
            self.string(out, &master.to_bytes());
            self.string(out, pack.as_bytes());
        }
        let state = stream.state();
        length(out, stream.len() as u64);
        append_id(out, state.last_id);
        append_id(out, state.first_id);
        append_id(out, state.max_deleted_id);
        length(out, state.entries_added);
        length(out, stream.groups().len() as u64);
        for (name, group) in stream.groups() {
            self.string(out, name);
            self.group(out, group);
        }
    }

    fn group(&mut self, out: &mut Vec<u8>, group: &Group) {
        append_id(out, group.last_delivered);
        length(out, group.entries_read.unwrap_or(-1) as u64);
        length(out, group.pending_len() as u64);
        for (id, delivery) in group.pending(StreamId::MIN..=StreamId::MAX) {
            out.extend(id.to_bytes());
            out.extend(delivery.delivered_ms.to_le_bytes());
            length(out, delivery.count);
        }
        length(out, group.consumers().len() as u64);
        for (name, consumer) in group.consumers() {
            self.string(out, name);
            append_consumer(out, consumer);
        }
    }
}

fn append_id(out: &mut Vec<u8>, id: StreamId) {
    length(out, id.ms);
    length(out, id.seq);
}

fn append_consumer(out: &mut Vec<u8>, consumer: &Consumer) {
    out.extend(consumer.seen_ms.to_le_bytes());
    length(out, consumer.pending().len() as u64);
    consumer.pending().for_each(|id| out.extend(id.to_bytes()));
}
