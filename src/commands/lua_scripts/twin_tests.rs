//! Each native twin beside the Lua that it stands for, on random data and with words that the library would and would not
//! send: same reply, same effects and events, same data afterwards, and the same figures of INFO.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::commands::testing::{Harness, shown};
use crate::script::twins::{self, Twin};

const KEYS: [&str; 3] = ["k1", "k2", "k3"];
/// Tokens, numbers as clients send them, and words that are neither.
const WORDS: &[&str] = &[
    "token",
    "other",
    "1",
    "0",
    "10",
    "007",
    "5000",
    "60000",
    "-1",
    "-5",
    "1.5",
    "1e3",
    " 7",
    "0x10",
    "abc",
    "\"\"",
    "999999999999999",
    "9223372036854775807",
    "9007199254740993",
    "9223372036854775",
];
/// What makes a key; its name stands for `$`, a word for `#`.
const MAKERS: &[&str] = &[
    "SET $ #",
    "SET $ token",
    "SET $ token PX 5000",
    "SET $ 7 PX 60000",
    "SET $ 9007199254740992 EX 100",
    "SET $ 9223372036854775807",
    "SET $ # PX 1",
    "SET $ token PXAT 9223372036854775000",
    "RPUSH $ token # 1",
    "HSET $ data # f token",
    "SADD $ # token",
    "ZADD $ 1 token",
    "XADD $ 1-1 a b",
];

#[derive(Debug, Clone)]
struct Case {
    twin: usize,
    made: Vec<String>,
    keys: Vec<&'static str>,
    args: Vec<&'static str>,
    by_sha1: bool,
    read_only: bool,
    out_of_memory: bool,
    resp3: bool,
    later_ms: i64,
}

fn case() -> impl Strategy<Value = Case> {
    let made = (select(MAKERS), select(&KEYS[..]), select(WORDS));
    let made = made.prop_map(|(maker, key, word)| maker.replace('$', key).replace('#', word));
    let count = twins::all().count();
    (
        (0..count, prop::collection::vec(made, 0..4)),
        prop::collection::vec(select(&KEYS[..]), 0..4),
        prop::collection::vec(select(WORDS), 0..5),
        (any::<bool>(), prop::bool::weighted(0.1)),
        (prop::bool::weighted(0.1), any::<bool>()),
        select(vec![0, 1, 4999, 5000, 70_000]),
    )
        .prop_map(
            |((twin, made), keys, args, (by_sha1, read_only), (out_of_memory, resp3), later_ms)| {
                Case {
                    twin,
                    made,
                    keys,
                    args,
                    by_sha1,
                    read_only,
                    out_of_memory,
                    resp3,
                    later_ms,
                }
            },
        )
}

/// Everything that one run leaves behind.
#[derive(Debug, PartialEq)]
struct Seen {
    answers: Vec<String>,
    effects: Vec<String>,
    events: Vec<String>,
    data: Vec<String>,
    calls: Vec<(u64, u64, u64)>,
    errors: BTreeMap<String, u64>,
}

fn see(case: &Case, twin: &Twin, with_twins: bool) -> Seen {
    let mut harness = Harness::new();
    harness.services.lua.set_twins(with_twins);
    for line in &case.made {
        harness.run(line);
    }
    harness
        .keyspace
        .set_now_ms(Some(1_000_000_000 + case.later_ms));
    let source = twin.source.as_bytes();
    let loaded = shown(&harness.run_words(&[b"SCRIPT", b"LOAD", source]));
    harness.session.resp3 = case.resp3;
    harness.session.out_of_memory = case.out_of_memory;
    let (name, body): (&[u8], &[u8]) = match (case.by_sha1, case.read_only) {
        (true, false) => (b"EVALSHA", loaded.trim_matches('"').as_bytes()),
        (true, true) => (b"EVALSHA_RO", loaded.trim_matches('"').as_bytes()),
        (false, false) => (b"EVAL", source),
        (false, true) => (b"EVAL_RO", source),
    };
    let count = case.keys.len().to_string();
    let mut words = vec![name, body, count.as_bytes()];
    words.extend(case.keys.iter().map(|key| key.as_bytes()));
    let plain = |word: &&'static str| if *word == "\"\"" { "" } else { word };
    words.extend(case.args.iter().map(plain).map(str::as_bytes));
    // Twice: what a script leaves behind is what it finds.
    let mut seen = Seen {
        answers: vec![loaded.clone()],
        effects: Vec::new(),
        events: Vec::new(),
        data: Vec::new(),
        calls: Vec::new(),
        errors: BTreeMap::new(),
    };
    for _ in 0..2 {
        seen.answers.push(shown(&harness.run_words(&words)));
        seen.effects.extend(harness.effects());
        seen.events.extend(harness.events());
    }
    let stats = &harness.services.stats;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    seen.calls = stats
        .by_command
        .iter()
        .map(|one| (count(&one.calls), count(&one.failed), count(&one.rejected)))
        .collect();
    seen.errors = stats
        .errors_by_code
        .iter()
        .map(|entry| (entry.key().clone(), *entry.value()))
        .collect();
    harness.session.resp3 = false;
    for key in KEYS {
        for command in ["DUMP", "PTTL"] {
            seen.data
                .push(shown(&harness.run(&format!("{command} {key}"))));
        }
    }
    seen
}

#[test]
fn each_twin_does_what_its_lua_does() {
    let twins: Vec<&Twin> = twins::all().collect();
    let ran: Vec<AtomicBool> = twins.iter().map(|_| AtomicBool::new(false)).collect();
    let mut runner = TestRunner::new(Config {
        cases: 3000,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&case(), |case| {
        let twin = twins[case.twin];
        let keys: Vec<&[u8]> = case.keys.iter().map(|key| key.as_bytes()).collect();
        let args: Vec<&[u8]> = case.args.iter().map(|arg| arg.as_bytes()).collect();
        if twin.answers(&keys, &args) {
            ran[case.twin].store(true, Ordering::Relaxed);
        }
        prop_assert_eq!(see(&case, twin, true), see(&case, twin, false));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let idle = ran.iter().position(|ran| !ran.load(Ordering::Relaxed));
    assert_eq!(idle, None, "a twin that has never run is not proved equal");
}

/// The words that a library sends are what a twin is for.
#[test]
fn twins_answer_what_libraries_send() {
    let mut harness = Harness::new();
    for twin in twins::all() {
        let keys: [&[u8]; 2] = [b"k1", b"k2"];
        let args: [&[u8]; 3] = [b"1", b"60000", b"1"];
        assert!(twin.answers(&keys, &args), "{}", twin.source);
        assert!(!twin.answers(&[], &[]), "{}", twin.source);
    }
    // Nobody knows a source that was never sent, twin or not.
    let source = twins::all().next().expect("there are twins").source;
    let digits = crate::script::lua::hex(&crate::script::sha1_of(source.as_bytes()));
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.";
    harness.expect(&[
        (&format!("EVALSHA {digits} 1 k 1 60"), unknown),
        (&format!("SCRIPT EXISTS {digits}"), "[0]"),
    ]);
}
