//! A stream as commands that make it, for the base of the log: entries, what it knows of itself, groups, consumers, and
//! what is pending for them, be its entry still there or not.

use std::collections::BTreeSet;

use crate::keyspace::txn::encode_command;
use crate::value::stream::{Group, Stream, StreamId};

/// Appends the commands that make the stream at `key`.
pub(super) fn encode_stream(out: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    let gone = pending_without_entry(stream);
    encode_entries(out, key, stream, &gone);
    for (name, group) in stream.groups() {
        encode_group(out, key, name, group);
    }
    // What was put in the place of entries that are gone goes too: from the front at once, single ones elsewhere.
    let state = stream.state();
    let in_front = |id: &StreamId| stream.is_empty() || *id < state.first_id;
    if gone.iter().any(in_front) {
        let len = stream.len() + gone.iter().filter(|id| !in_front(id)).count();
        let mut digits = itoa::Buffer::new();
        let len = digits.format(len).as_bytes();
        encode_command(out, &[b"XTRIM", key, b"MAXLEN", len]);
    }
    for id in gone.iter().filter(|id| !in_front(id)) {
        encode_command(out, &[b"XDEL", key, &id.to_text()]);
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
}

/// Entries that are pending for somebody although they are not there any more.
fn pending_without_entry(stream: &Stream) -> BTreeSet<StreamId> {
    let pending = stream
        .groups()
        .flat_map(|(_, group)| group.pending(StreamId::MIN..=StreamId::MAX));
    pending
        .map(|(id, _)| id)
        .filter(|id| *id <= stream.state().last_id && stream.get(*id).is_none())
        .collect()
}

/// The entries, and something in the place of each that is gone: only what is there can be claimed.
fn encode_entries(out: &mut Vec<u8>, key: &[u8], stream: &Stream, gone: &BTreeSet<StreamId>) {
    let mut gone = gone.iter().peekable();
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        while let Some(id) = gone.next_if(|id| **id < entry.id) {
            encode_placeholder(out, key, *id);
        }
        let fields: Vec<Vec<u8>> = entry
            .fields()
            .flat_map(|(name, value)| [name.to_vec(), value.to_vec()])
            .collect();
        let id = entry.id.to_text();
        let mut args: Vec<&[u8]> = vec![b"XADD", key, &id];
        args.extend(fields.iter().map(Vec::as_slice));
        encode_command(out, &args);
    }
    if stream.is_empty() && gone.peek().is_none() {
        // An entry that is trimmed at once makes an empty stream; 0-0 could not be its id.
        let id = stream.state().last_id.max(StreamId::new(0, 1)).to_text();
        encode_command(out, &[b"XADD", key, b"MAXLEN", b"0", &id, b"x", b"y"]);
    }
    gone.for_each(|id| encode_placeholder(out, key, *id));
}

fn encode_placeholder(out: &mut Vec<u8>, key: &[u8], id: StreamId) {
    encode_command(out, &[b"XADD", key, &id.to_text(), b"x", b"y"]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Harness, shown};
    use crate::keyspace::{Entry, ValueRef};

    /// The commands for the stream `s`, each a list of words. No word holds a line break.
    fn commands_for(harness: &Harness) -> Vec<Vec<Vec<u8>>> {
        let keyspace = &harness.keyspace;
        let journal = crate::keyspace::txn::Journal::default();
        let txn = keyspace.begin(keyspace.all_shards(), 0, Default::default(), journal);
        let Some(ValueRef::Stream(stream)) = txn.peek(b"s").map(Entry::value) else {
            panic!("s is a stream");
        };
        let mut out = Vec::new();
        encode_stream(&mut out, b"s", stream);
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.split("\r\n").collect();
        let starts = (0..lines.len()).filter(|at| lines[*at].starts_with('*'));
        starts
            .map(|at| {
                let words: usize = lines[at][1..].parse().expect("a number of words");
                let words = (0..words).map(|word| lines[at + 2 + 2 * word]);
                words.map(|word| word.as_bytes().to_vec()).collect()
            })
            .collect()
    }

    /// What the commands make must be what was there, and need no command that is refused.
    fn check(lines: &[&str]) {
        let mut harness = Harness::new();
        harness.run("CONFIG SET stream-node-max-entries 3");
        for line in lines {
            let answer = shown(&harness.run(line));
            assert!(!answer.starts_with('-'), "{line}: {answer}");
        }
        let mut copy = Harness::new();
        for words in commands_for(&harness) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let answer = shown(&copy.run_words(&words));
            assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        }
        let told = |harness: &mut Harness| {
            let full = shown(&harness.run("XINFO STREAM s FULL COUNT 0"));
            let (_, rest) = full.split_once("\"last-generated-id\"").expect("a stream");
            rest.to_owned()
        };
        assert_eq!(told(&mut copy), told(&mut harness), "{lines:?}");
    }

    #[test]
    fn everything_about_a_stream_is_made_again() {
        let add = [
            "XADD s 1-1 a b",
            "XADD s 1-2 c d e f",
            "XADD s 1-3 a b",
            "XADD s 1-4 a b",
        ];
        let read = [
            "XGROUP CREATE s g 0",
            "XGROUP CREATE s h 1-2 ENTRIESREAD 2",
            "XREADGROUP GROUP g alice COUNT 3 STREAMS s >",
            "XREADGROUP GROUP h bob STREAMS s >",
            "XCLAIM s g carol 0 1-2 TIME 500 RETRYCOUNT 7",
            "XGROUP CREATECONSUMER s h idle",
        ];
        let whole = [&add[..], &read].concat();
        check(&whole);
        check(&["XGROUP CREATE s g $ MKSTREAM"]);
        check(&[
            "XGROUP CREATE s g 7-7 MKSTREAM ENTRIESREAD 4",
            "XSETID s 5-5",
        ]);
        for change in [
            &["XDEL s 1-1"][..],
            &["XDEL s 1-2"],
            &["XDEL s 1-3 1-4"],
            &["XDEL s 1-1 1-2 1-3 1-4"],
            &["XTRIM s MAXLEN 2"],
            &["XTRIM s MAXLEN 0"],
            &["XTRIM s MAXLEN 3", "XDEL s 1-3", "XADD s 9-9 a b"],
            &["XSETID s 9-9 ENTRIESADDED 20 MAXDELETEDID 8-8"],
        ] {
            check(&[&whole, change].concat());
        }
    }
}
