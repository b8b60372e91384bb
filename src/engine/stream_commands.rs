//! A stream as commands that make it, for the base of the log: entries, what it knows of itself, groups, consumers, and
//! what is pending for them. As in Redis, a delivery whose entry is gone does not come back.

use crate::keyspace::txn::encode_command;
use crate::value::stream::{Group, Stream, StreamId};

/// Appends the commands that make the stream at `key`.
pub(super) fn encode_stream(out: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let fields: Vec<Vec<u8>> = entry
            .fields()
            .flat_map(|(name, value)| [name.to_vec(), value.to_vec()])
            .collect();
        let id = entry.id.to_text();
        let mut args: Vec<&[u8]> = vec![b"XADD", key, &id];
        args.extend(fields.iter().map(Vec::as_slice));
        encode_command(out, &args);
    }
    let state = stream.state();
    if stream.is_empty() {
        // An entry that is trimmed at once makes an empty stream; 0-0 could not be its id.
        let id = state.last_id.max(StreamId::new(0, 1)).to_text();
        encode_command(out, &[b"XADD", key, b"MAXLEN", b"0", &id, b"x", b"y"]);
    }
    encode_command(
        out,
        &[
            b"XSETID",
            key,
            &state.last_id.to_text(),
            b"ENTRIESADDED",
            itoa::Buffer::new().format(state.entries_added).as_bytes(),
            b"MAXDELETEDID",
            &state.max_deleted_id.to_text(),
        ],
    );
    for (name, group) in stream.groups() {
        encode_group(out, key, name, group);
    }
}

fn encode_group(out: &mut Vec<u8>, key: &[u8], name: &[u8], group: &Group) {
    encode_command(
        out,
        &[
            b"XGROUP",
            b"CREATE",
            key,
            name,
            &group.last_delivered.to_text(),
            b"ENTRIESREAD",
            itoa::Buffer::new()
                .format(group.entries_read.unwrap_or(-1))
                .as_bytes(),
        ],
    );
    for (consumer, _) in group.consumers() {
        encode_command(out, &[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
    }
    for (id, delivery) in group.pending(StreamId::MIN..=StreamId::MAX) {
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        encode_command(
            out,
            &[
                b"XCLAIM",
                key,
                name,
                &delivery.consumer,
                b"0",
                &id.to_text(),
                b"TIME",
                time.format(delivery.delivered_ms).as_bytes(),
                b"RETRYCOUNT",
                count
                    .format(i64::try_from(delivery.count).unwrap_or(i64::MAX))
                    .as_bytes(),
                b"FORCE",
                b"JUSTID",
            ],
        );
    }
}
