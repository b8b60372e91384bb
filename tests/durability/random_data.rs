//! Round trips of data that chance makes: innkeep, a real redis-server, and innkeep again, by the directory of the log, by
//! the snapshot, and key by key with DUMP and RESTORE; in every form that values have. All three tell the same digest.
//! `INNKEEP_ROUND_TRIPS` says how many data sets.

use std::time::Duration;

use innkeep_aof::Chance;
use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

use super::interchange::{contents, hand_over_with};
use super::{connect, launch, number};

const PATIENCE: Duration = Duration::from_secs(60);
const FAR_MS: u64 = 4_000_000_000_000;
const DATABASES: [&str; 2] = ["0", "3"];

/// What decides on the forms that values have, in memory and in a snapshot.
const FORMS: &[&[(&str, &str)]] = &[
    &[],
    &[
        ("rdbcompression", "no"),
        ("rdbchecksum", "no"),
        ("list-max-listpack-size", "3"),
        ("stream-node-max-entries", "3"),
    ],
    &[
        ("hash-max-listpack-entries", "0"),
        ("zset-max-listpack-entries", "0"),
        ("set-max-intset-entries", "0"),
        ("list-max-listpack-size", "1"),
        ("hll-sparse-max-bytes", "0"),
    ],
    &[
        ("hash-max-listpack-value", "8"),
        ("zset-max-listpack-value", "8"),
        ("maxmemory-policy", "allkeys-lfu"),
        ("maxmemory", "1gb"),
    ],
];

/// Makes commands.
struct Maker {
    chance: Chance,
    /// Whether fields may run out.
    field_times: bool,
    last_id: u64,
}

impl Maker {
    fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn key(&mut self, kind: &str) -> Vec<u8> {
        // Few keys become large, many stay small.
        let number = self.below(8).min(self.chance.below(8));
        format!("{kind}:{number}").into_bytes()
    }

    /// Small and large numbers, texts, bytes of all kinds, and texts that can be compressed.
    fn word(&mut self) -> Vec<u8> {
        match self.below(9) {
            0..3 => self.below(300).to_string().into_bytes(),
            3 => (self.below(u64::MAX).cast_signed() >> self.below(64))
                .to_string()
                .into_bytes(),
            4 => Vec::new(),
            5 => {
                let length = self.below(40);
                (0..length)
                    .map(|_| u8::try_from(self.chance.below(256)).unwrap_or(0))
                    .collect()
            }
            6 => b"again and ".repeat(usize::try_from(self.below(40)).unwrap_or(0)),
            _ => format!("word{}", self.below(500)).into_bytes(),
        }
    }

    fn score(&mut self) -> Vec<u8> {
        match self.below(20) {
            0 => b"inf".to_vec(),
            1 => b"-inf".to_vec(),
            // Every server prints quarters in the same way.
            _ => format!("{}", self.below(4000) as f64 / 4.0 - 300.0).into_bytes(),
        }
    }

    fn words(&mut self, most: u64) -> Vec<Vec<u8>> {
        let count = 1 + self.below(most);
        (0..count).map(|_| self.word()).collect()
    }

    fn command(&mut self) -> Vec<Vec<u8>> {
        let plain = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        match self.below(20) {
            0..3 => [plain(&["SET"]), vec![self.key("string"), self.word()]].concat(),
            3 => {
                let offset = self.below(3000).to_string();
                let key = self.key("bits");
                [plain(&["SETBIT"]), vec![key], plain(&[&offset, "1"])].concat()
            }
            4 | 5 => {
                let end = ["RPUSH", "LPUSH"][usize::from(self.below(2) == 0)];
                [plain(&[end]), vec![self.key("list")], self.words(6)].concat()
            }
            6 => [plain(&["SADD"]), vec![self.key("set")], self.words(6)].concat(),
            7 => {
                let number = self.below(70_000).to_string();
                [plain(&["SADD"]), vec![self.key("ints")], plain(&[&number])].concat()
            }
            8 | 9 => {
                let key = self.key("hash");
                [plain(&["HSET"]), vec![key, self.word(), self.word()]].concat()
            }
            10 if self.field_times => {
                let field = format!("f{}", self.below(30));
                let time = (FAR_MS + self.below(100)).to_string();
                let head = [plain(&["HSETEX"]), vec![self.key("timed")]].concat();
                let tail = plain(&["PXAT", &time, "FIELDS", "1", &field]);
                [head, tail, vec![self.word()]].concat()
            }
            11 | 12 => {
                let key = self.key("zset");
                [plain(&["ZADD"]), vec![key, self.score(), self.word()]].concat()
            }
            13 => [plain(&["PFADD"]), vec![self.key("counted")], self.words(9)].concat(),
            14 => {
                let longitude = format!("{}", self.below(300) as f64 / 2.0 - 75.0);
                let key = self.key("places");
                let at = plain(&[&longitude, "45.25"]);
                [plain(&["GEOADD"]), vec![key], at, vec![self.word()]].concat()
            }
            15 | 16 => self.stream_command(),
            17 => {
                let kinds = ["string", "list", "hash", "zset", "set", "stream", "timed"];
                let kind = kinds[usize::try_from(self.below(7)).unwrap_or(0)];
                let time = (FAR_MS + self.below(1_000_000)).to_string();
                [plain(&["PEXPIREAT"]), vec![self.key(kind)], plain(&[&time])].concat()
            }
            18 => {
                let kinds = ["list", "hash", "zset", "ints", "timed"];
                let kind = kinds[usize::try_from(self.below(5)).unwrap_or(0)];
                [plain(&["DEL"]), vec![self.key(kind)]].concat()
            }
            _ => plain(&["SELECT", DATABASES[usize::from(self.below(2) == 0)]]),
        }
    }

    fn stream_command(&mut self) -> Vec<Vec<u8>> {
        let key = self.key("stream");
        let plain = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        let earlier = format!("{}-1", self.chance.below(self.last_id + 1));
        match self.below(10) {
            0..5 => {
                self.last_id += 1;
                let id = format!("{}-1", self.last_id);
                let pair = vec![self.word(), self.word()];
                [plain(&["XADD"]), vec![key], plain(&[&id]), pair].concat()
            }
            5 => [
                plain(&["XGROUP", "CREATE"]),
                vec![key],
                plain(&["g", "0", "MKSTREAM"]),
            ]
            .concat(),
            6 | 7 => {
                let count = (1 + self.below(5)).to_string();
                let head = plain(&["XREADGROUP", "GROUP", "g", "c", "COUNT", &count, "STREAMS"]);
                [head, vec![key], plain(&[">"])].concat()
            }
            8 => [plain(&["XACK"]), vec![key], plain(&["g", &earlier])].concat(),
            _ => [plain(&["XDEL"]), vec![key], plain(&[&earlier])].concat(),
        }
    }
}

/// Fills a server; what is refused, as by a group that is not there, is part of chance.
fn fill(wire: &mut Wire, seed: u64, field_times: bool) {
    let mut maker = Maker {
        chance: Chance::new(seed),
        field_times,
        last_id: 0,
    };
    let library = "#!lua name=l\nredis.register_function('f', function() return 7 end)";
    wire.ask(&["FUNCTION", "LOAD", library]).expect("an answer");
    for _ in 0..3000 {
        wire.send([maker.command().as_slice()]).expect("it is sent");
        wire.receive().expect("an answer");
    }
    wire.ask(&["SELECT", "0"]).expect("an answer");
}

/// What must be the same on all servers: the digest, what that leaves out of streams, and what the library answers.
type Fingerprint = (Reply, Vec<Reply>, Reply);

fn fingerprint(wire: &mut Wire) -> Fingerprint {
    let digest = wire.ask(&["DEBUG", "DIGEST"]).expect("an answer");
    let streams = contents(wire).into_values();
    let streams = streams.filter(|(kind, ..)| kind == "stream");
    let told = streams.flat_map(|(_, time, told)| [vec![time], told].concat());
    let answer = wire.ask(&["FCALL", "f", "0"]).expect("an answer");
    (digest, told.collect(), answer)
}

/// The digests differ, or what a client is told of one stream.
fn same(found: &Fingerprint, expected: &Fingerprint, what: &str) {
    assert_eq!(found.0, expected.0, "{what}");
    let pieces = found.1.chunks(8).zip(expected.1.chunks(8));
    for (found, expected) in pieces {
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(found.1.len(), expected.1.len(), "{what}");
    assert_eq!(found.2, expected.2, "{what}");
}

fn with(launch: Launch, options: &[(&str, &str)]) -> Launch {
    let set = |launch: Launch, (name, value): &(&str, &str)| launch.option(name, value);
    options.iter().fold(launch, set)
}

/// Where the data stands while it moves.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// In increments of the log.
    Log,
    /// In the base of the log, in commands or as an RDB.
    Base(&'static str),
    Snapshot,
}

const WAYS: [Way; 4] = [Way::Log, Way::Base("no"), Way::Base("yes"), Way::Snapshot];

impl Way {
    fn log(self) -> &'static str {
        match self {
            Self::Snapshot => "no",
            Self::Log | Self::Base(_) => "yes",
        }
    }

    /// Brings the data to where it shall stand, and answers what stands there. That is what the server itself finds: the
    /// logs of Redis leave out how much a group has read, and what is pending of deleted entries.
    fn settle(self, server: &Server, wire: &mut Wire) -> Fingerprint {
        let mut run = |words: &[&str]| {
            let reply = wire.ask(words).expect("an answer");
            assert!(!reply.is_error(), "{words:?}: {reply:?}");
        };
        if let Self::Base(preamble) = self {
            run(&["CONFIG", "SET", "aof-use-rdb-preamble", preamble]);
            run(&["BGREWRITEAOF"]);
            assert!(server.wait_for_log("rewrite finished successfully", PATIENCE));
        }
        match self {
            Self::Snapshot => run(&["SAVE"]),
            Self::Log | Self::Base(_) => run(&["DEBUG", "LOADAOF"]),
        }
        fingerprint(wire)
    }
}

/// A data set begins with one server, goes to the second, and comes back.
fn round_trip(first: &Launch, second: &Launch, way: Way, seed: u64, field_times: bool) {
    let options = FORMS[usize::try_from(seed).unwrap_or(0) % FORMS.len()];
    let what = format!("seed {seed}, {way:?}, {options:?}");
    let begun = with(first.clone(), options).option("appendonly", way.log());
    let server = begun.start().expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, seed, field_times);
    let digest = wire.ask(&["DEBUG", "DIGEST"]).expect("an answer");
    let expected = way.settle(&server, &mut wire);
    assert_eq!(expected.0, digest, "settled: {what}");
    drop(wire);
    let server = hand_over_with(server, with(second.clone(), options), way.log());
    let mut wire = connect(&server);
    same(
        &fingerprint(&mut wire),
        &expected,
        &format!("there: {what}"),
    );
    let expected = way.settle(&server, &mut wire);
    assert_eq!(expected.0, digest, "settled there: {what}");
    drop(wire);
    let server = hand_over_with(server, first.clone(), way.log());
    let found = fingerprint(&mut connect(&server));
    same(&found, &expected, &format!("back: {what}"));
}

/// Each key by DUMP and RESTORE, with the time at which it runs out.
fn copy(from: &mut Wire, to: &mut Wire) {
    for db in DATABASES {
        for wire in [&mut *from, &mut *to] {
            wire.ask(&["SELECT", db]).expect("an answer");
        }
        let keys = from.ask(&["KEYS", "*"]).expect("an answer");
        for key in keys.items() {
            let name = String::from_utf8_lossy(key.bytes()).into_owned();
            let payload = from.ask(&["DUMP", &name]).expect("an answer");
            let time = from.ask(&["PEXPIRETIME", &name]).expect("an answer");
            let time = time.int().unwrap_or(0).max(0).to_string();
            let restore = [
                b"RESTORE",
                key.bytes(),
                time.as_bytes(),
                payload.bytes(),
                b"ABSTTL",
            ];
            to.send([restore.map(<[u8]>::to_vec).as_slice()])
                .expect("it is sent");
            let answer = to.receive().expect("an answer");
            assert!(answer.is_status("OK"), "{name}: {answer:?}");
        }
    }
    for wire in [from, to] {
        wire.ask(&["SELECT", "0"]).expect("an answer");
    }
}

fn round_trip_by_payloads(first: &Launch, second: &Launch, seed: u64, field_times: bool) {
    let options = FORMS[usize::try_from(seed).unwrap_or(0) % FORMS.len()];
    let start = |launch: &Launch, options| {
        let launch = with(launch.clone(), options).option("appendonly", "no");
        launch.start().expect("it starts")
    };
    let servers = [
        start(first, options),
        start(second, options),
        start(first, &[]),
    ];
    let [mut here, mut there, mut back] = servers.each_ref().map(connect);
    fill(&mut here, seed, field_times);
    copy(&mut here, &mut there);
    copy(&mut there, &mut back);
    let [expected, found, again] = [&mut here, &mut there, &mut back].map(fingerprint);
    assert_eq!(expected.0, found.0, "there: seed {seed}, {options:?}");
    assert_eq!(expected.1, found.1, "there: seed {seed}, {options:?}");
    assert_eq!(expected.0, again.0, "back: seed {seed}, {options:?}");
    assert_eq!(expected.1, again.1, "back: seed {seed}, {options:?}");
}

fn rounds(other: &Launch, field_times: bool) {
    for seed in 0..number("INNKEEP_ROUND_TRIPS", 2) as u64 {
        let way = WAYS[usize::try_from(seed / 4 + seed).unwrap_or(0) % WAYS.len()];
        round_trip(&launch(), other, way, seed, field_times);
        round_trip(other, &launch(), way, seed, field_times);
        round_trip_by_payloads(&launch(), other, seed, field_times);
        round_trip_by_payloads(other, &launch(), seed, field_times);
    }
}

#[test]
fn random_data_goes_to_a_real_redis_and_back() {
    match Launch::redis() {
        Some(redis) => rounds(&redis, false),
        None => assert!(may_skip("redis-server")),
    }
}

#[test]
fn random_data_goes_to_a_newer_redis_and_back() {
    if let Some(redis) = Launch::newer_redis() {
        rounds(&redis, true);
    }
}
