//! Files that a real redis-server writes, where one is installed: random data of every type in every encoding, and
//! what is read must be what the server answers.

use std::collections::BTreeMap;
use std::fs::File;

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

use super::{RdbError, RdbSummary, read};
use crate::keyspace::{Limits, Value};
use crate::value::hasher::hash_bytes;
use crate::value::listpack::Element;
use crate::value::number::format_double;
use crate::value::stream::{Stream, StreamId};

/// What a key holds, in an order that does not depend on encodings, and when it expires.
type Contents = BTreeMap<(usize, Vec<u8>), (Vec<Vec<u8>>, Option<i64>)>;

/// A repeatable source of words.
struct Words(u64);

impl Words {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        hash_bytes(&self.0.to_le_bytes()) % bound
    }

    /// An integer of any width, or a text: short, long, hardly or well compressible.
    fn text(&mut self) -> String {
        match self.below(8) {
            0 => self.below(200).to_string(),
            1 => (self.below(1 << 20) as i64 - (1 << 19)).to_string(),
            2 => (self.below(u64::MAX) as i64 >> self.below(60)).to_string(),
            3 => "long and repeated ".repeat(1 + self.below(40) as usize),
            4 => (0..self.below(300))
                .map(|_| char::from(b'a' + self.below(26) as u8))
                .collect(),
            5 => "x".repeat(self.below(90) as usize),
            _ => format!("text{}", self.below(1000)),
        }
    }
}

fn fill(wire: &mut Wire, words: &mut Words) {
    for number in 0..240 {
        let key = format!("key:{number}");
        let size = [1, 4, 30, 200, 700][words.below(5) as usize];
        wire.ask(&["SELECT", &(number % 3).to_string()])
            .expect("an answer");
        for _ in 0..size {
            let (one, other) = (words.text(), words.text());
            let score = format!("{}", words.below(2000) as f64 / 8.0 - 100.0);
            let integer = words.below(5000).to_string();
            let id = format!("{}-*", number + words.below(3));
            let command: &[&str] = match number % 7 {
                0 => &["SET", &key, &one],
                1 => &["RPUSH", &key, &one],
                2 => &["HSET", &key, &one, &other],
                3 => &["SADD", &key, &one],
                4 => &["SADD", &key, &integer],
                5 => &["ZADD", &key, &score, &one],
                _ => &["XADD", &key, &id, "same", &one, &integer, &other],
            };
            // An id may be below the last one.
            let reply = wire.ask(command).expect("an answer");
            assert!(!reply.is_error() || number % 7 == 6);
        }
        if number % 7 == 6 {
            fill_groups(wire, &key, words);
        }
        if number % 4 == 0 {
            wire.ask(&[
                "PEXPIREAT",
                &key,
                &(4_000_000_000_000_u64 + number).to_string(),
            ])
            .expect("an answer");
        }
    }
    let big = "0123456789".repeat(20_000);
    for command in [
        &["SET", "big", &big][..],
        &["RPUSH", "biglist", "first", &big, "last"],
        &["ZADD", "infinite", "inf", "a", "-inf", "b", "0.1", "c"],
    ] {
        assert!(!wire.ask(command).expect("an answer").is_error());
    }
}

/// Groups of the stream at `key`, with consumers, deliveries and deleted entries.
fn fill_groups(wire: &mut Wire, key: &str, words: &mut Words) {
    for group in ["first", "second"] {
        wire.ask(&["XGROUP", "CREATE", key, group, "0"])
            .expect("an answer");
        for consumer in ["alice", "bob", "alice"] {
            let count = (1 + words.below(40)).to_string();
            let options = ["COUNT", &count, "STREAMS", key, ">"];
            let command = [&["XREADGROUP", "GROUP", group, consumer][..], &options].concat();
            wire.ask(&command).expect("an answer");
        }
    }
    wire.ask(&["XGROUP", "CREATECONSUMER", key, "first", "idle"])
        .expect("an answer");
    let page = wire
        .ask(&["XRANGE", key, "-", "+", "COUNT", "30"])
        .expect("an answer");
    for entry in page.items().iter().step_by(5) {
        let id = String::from_utf8_lossy(entry.items()[0].bytes()).into_owned();
        wire.ask(&["XDEL", key, &id]).expect("an answer");
        wire.ask(&["XACK", key, "second", &id]).expect("an answer");
    }
}

/// What the server answers.
fn answers(wire: &mut Wire) -> Contents {
    let mut contents = Contents::new();
    for db in 0..3 {
        wire.ask(&["SELECT", &db.to_string()]).expect("an answer");
        let keys = wire.ask(&["KEYS", "*"]).expect("the keys");
        for key in keys.items() {
            let name = String::from_utf8_lossy(key.bytes()).into_owned();
            let kind = wire.ask(&["TYPE", &name]).expect("a type");
            let command: &[&str] = match kind.bytes() {
                b"string" => &["GET", &name],
                b"list" => &["LRANGE", &name, "0", "-1"],
                b"hash" => &["HGETALL", &name],
                b"set" => &["SMEMBERS", &name],
                b"stream" => &["XINFO", "STREAM", &name, "FULL", "COUNT", "0"],
                _ => &["ZRANGE", &name, "0", "-1", "WITHSCORES"],
            };
            let reply = wire.ask(command).expect("a value");
            let mut elements: Vec<_> = reply
                .items()
                .iter()
                .map(|item| item.bytes().to_vec())
                .collect();
            if kind.bytes() == b"string" {
                elements.push(reply.bytes().to_vec());
            }
            match kind.bytes() {
                b"hash" => elements = sorted_pairs(&elements),
                b"set" => elements.sort(),
                b"stream" => elements = stream_answers(&reply),
                _ => {}
            }
            let expiry = wire.ask(&["PEXPIRETIME", &name]).expect("a time").int();
            let expiry = expiry.filter(|time| *time >= 0);
            contents.insert((db, name.into_bytes()), (elements, expiry));
        }
    }
    contents
}

fn sorted_pairs(elements: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut pairs: Vec<_> = elements.chunks(2).collect();
    pairs.sort();
    pairs.concat()
}

fn elements(value: &Value) -> Vec<Vec<u8>> {
    let own = |element: Element<'_>| element.to_vec();
    match value {
        Value::Int(number) => vec![number.to_string().into_bytes()],
        Value::Bytes(bytes) | Value::Raw(bytes) => vec![bytes.clone()],
        Value::List(list) => list.iter().map(own).collect(),
        Value::Set(set) => {
            let mut members: Vec<_> = set.iter().map(own).collect();
            members.sort();
            members
        }
        Value::Hash(hash) => {
            let pairs = hash
                .iter()
                .flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
            sorted_pairs(&pairs.collect::<Vec<_>>())
        }
        Value::SortedSet(set) => set
            .iter()
            .flat_map(|(member, score)| {
                let mut text = Vec::new();
                format_double(score, &mut text);
                [member.to_vec(), text]
            })
            .collect(),
        Value::Stream(stream) => described(stream),
    }
}

/// A stream as [`answers`] tells it: length, last id, highest deleted id, entries ever added, first id, all entries
/// with their fields, and each group with its deliveries and consumers.
fn described(stream: &Stream) -> Vec<Vec<u8>> {
    let number = |number: i64| number.to_string().into_bytes();
    let id = |id: StreamId| id.to_string().into_bytes();
    let state = stream.state();
    let mut out = vec![number(stream.len() as i64), id(state.last_id)];
    out.extend([
        id(state.max_deleted_id),
        number(state.entries_added as i64),
        id(state.first_id),
    ]);
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        out.push(id(entry.id));
        out.extend(
            entry
                .fields()
                .flat_map(|(name, value)| [name.to_vec(), value.to_vec()]),
        );
    }
    for (name, group) in stream.groups() {
        out.extend([name.to_vec(), id(group.last_delivered)]);
        out.push(group.entries_read.map_or_else(Vec::new, number));
        out.push(stream.lag(group).map_or_else(Vec::new, number));
        for (at, delivery) in group.pending(StreamId::MIN..=StreamId::MAX) {
            out.extend([id(at), delivery.consumer.to_vec()]);
            out.extend([number(delivery.delivered_ms), number(delivery.count as i64)]);
        }
        for (name, consumer) in group.consumers() {
            out.extend([name.to_vec(), number(consumer.seen_ms)]);
            out.extend(consumer.pending().map(id));
        }
    }
    out
}

/// What XINFO STREAM FULL says, in the order of [`described`].
fn stream_answers(info: &Reply) -> Vec<Vec<u8>> {
    const UNTOLD: &[&[u8]] = &[b"radix-tree-keys", b"radix-tree-nodes", b"pel-count"];
    let mut out = Vec::new();
    let text = |reply: &Reply| match reply.int() {
        Some(number) => number.to_string().into_bytes(),
        None => reply.bytes().to_vec(),
    };
    for pair in info.items().chunks(2) {
        let (label, value) = (pair[0].bytes(), &pair[1]);
        match label {
            b"groups" | b"consumers" => {
                value
                    .items()
                    .iter()
                    .for_each(|item| out.extend(stream_answers(item)));
            }
            b"entries" => {
                for entry in value.items() {
                    out.push(text(&entry.items()[0]));
                    out.extend(entry.items()[1].items().iter().map(text));
                }
            }
            // The consumer's own list says when and how often again.
            b"pending" => {
                let own = info.items().iter().any(|item| item.bytes() == b"seen-time");
                let told = if own { 1 } else { 4 };
                for delivery in value.items() {
                    out.extend(delivery.items().iter().take(told).map(text));
                }
            }
            _ if UNTOLD.contains(&label) => {}
            _ => out.push(text(value)),
        }
    }
    out
}

fn load(path: &std::path::Path, limits: &Limits) -> (Contents, RdbSummary) {
    let mut contents = Contents::new();
    let mut file = File::open(path).expect("the server has written it");
    let summary = read::<RdbError>(&mut file, limits, |entry| {
        let value = (elements(&entry.value), entry.expires_at_ms);
        assert!(contents.insert((entry.db, entry.key), value).is_none());
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let len = path.metadata().expect("it is there").len();
    assert_eq!((summary.bytes, summary.keys), (len, contents.len() as u64));
    (contents, summary)
}

fn start(options: &[(&str, &str)]) -> Option<Server> {
    let Some(mut launch) = Launch::redis() else {
        assert!(may_skip("redis-server"), "redis-server is needed");
        return None;
    };
    for (name, value) in options {
        launch = launch.option(name, value);
    }
    Some(launch.start().expect("redis-server starts"))
}

#[test]
fn what_a_real_server_saves_is_what_is_read() {
    for (seed, options) in [
        (1, &[][..]),
        (
            2,
            &[("rdbcompression", "no"), ("list-max-listpack-size", "3")],
        ),
        (
            3,
            &[
                ("hash-max-listpack-entries", "0"),
                ("zset-max-listpack-entries", "0"),
                ("set-max-intset-entries", "0"),
                ("rdbchecksum", "no"),
            ],
        ),
    ] {
        let Some(server) = start(options) else { return };
        let mut wire = Wire::new(server.connect().expect("a connection"));
        fill(&mut wire, &mut Words(seed << 32));
        let expected = answers(&mut wire);
        assert!(wire.ask(&["SAVE"]).expect("an answer").is_status("OK"));
        let path = server.directory().join("dump.rdb");
        let (contents, summary) = load(&path, &Limits::default());
        assert!(
            contents == expected,
            "seed {seed}: another value than the server's"
        );
        assert_eq!(summary.has_checksum, seed != 3);
    }
}

#[test]
fn the_base_of_a_log_is_read() {
    let options = [("appendonly", "yes"), ("aof-use-rdb-preamble", "yes")];
    let Some(server) = start(&options) else {
        return;
    };
    let mut wire = Wire::new(server.connect().expect("a connection"));
    fill(&mut wire, &mut Words(7 << 32));
    let expected = answers(&mut wire);
    // DEBUG RELOAD would change the data; switching the log off and on writes a base at once.
    for value in ["no", "yes"] {
        let reply = wire.ask(&["CONFIG", "SET", "appendonly", value]);
        assert!(reply.expect("an answer").is_status("OK"));
    }
    let base = newest_base(&mut wire, &server);
    let (contents, summary) = load(&base, &Limits::default());
    assert!(contents == expected, "another value than the server's");
    assert!(summary.aux.contains(&(b"aof-base".to_vec(), b"1".to_vec())));
}

/// Waits until the rewrite has ended, and finds the base that it wrote.
fn newest_base(wire: &mut Wire, server: &Server) -> std::path::PathBuf {
    loop {
        let info = wire.ask(&["INFO", "persistence"]).expect("an answer");
        let text = String::from_utf8_lossy(info.bytes()).into_owned();
        if text.contains("aof_rewrite_in_progress:0") && text.contains("aof_rewrite_scheduled:0") {
            break;
        }
        std::thread::yield_now();
    }
    let directory = server.directory().join("appendonlydir");
    let files = std::fs::read_dir(directory).expect("the log's directory");
    files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rdb"))
        .max()
        .expect("a base")
}
