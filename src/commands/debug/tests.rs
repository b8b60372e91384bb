//! DEBUG on an engine without an engine.

use super::*;
use crate::commands::Shutdown;
use crate::commands::testing::Harness;
use crate::reply::Response;

fn ok() -> Response {
    Response::Simple("OK".into())
}

fn simple(response: Response) -> String {
    match response {
        Response::Simple(text) => text.into_owned(),
        other => panic!("{other:?} is no status"),
    }
}

#[test]
fn errors_in_redis_words() {
    let mut harness = Harness::new();
    harness.run("SET foo bar");
    let threshold = "ERR argument must be a memory value bigger than 1 and smaller than 4gb";
    for (line, error) in [
        (
            "DEBUG x",
            "ERR unknown subcommand or wrong number of arguments for 'x'. Try DEBUG HELP.",
        ),
        (
            "DEBUG sleep",
            "ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP.",
        ),
        ("DEBUG OBJECT nokey", "ERR no such key"),
        ("DEBUG HTSTATS 99", "ERR Out of range database"),
        (
            "DEBUG HTSTATS x",
            "ERR value is not an integer or out of range",
        ),
        ("DEBUG HTSTATS-KEY nokey", "ERR no such key"),
        (
            "DEBUG POPULATE -1",
            "ERR value is out of range, must be positive",
        ),
        (
            "DEBUG POPULATE 2 a b",
            "ERR value is out of range, must be positive",
        ),
        ("DEBUG QUICKLIST-PACKED-THRESHOLD x", threshold),
        ("DEBUG QUICKLIST-PACKED-THRESHOLD 5gb", threshold),
        (
            "DEBUG REPLYBUFFER PEAK-RESET-TIME x",
            "ERR value is not an integer or out of range",
        ),
        (
            "DEBUG PROTOCOL push",
            "ERR RESP2 is not supported by this command",
        ),
        (
            "DEBUG RELOAD x",
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ),
        ("DEBUG ERROR foo", "foo"),
        (
            "DEBUG HTSTATS-KEY foo",
            "ERR The value stored at the specified key is not represented using an hash table",
        ),
    ] {
        assert_eq!(
            harness.run(line),
            Response::Error(error.to_owned()),
            "{line}"
        );
    }
}

#[test]
fn what_the_engine_does() {
    let mut harness = Harness::new();
    harness.run("DEBUG SLEEP 0.25");
    assert_eq!(harness.outcome, Some(Outcome::Sleep(250)));
    harness.run("DEBUG RELOAD NOSAVE MERGE");
    let expected = Outcome::Reload {
        save: false,
        flush: true,
        merge: true,
    };
    assert_eq!(harness.outcome, Some(expected));
    harness.run("DEBUG LOADAOF");
    assert_eq!(harness.outcome, Some(Outcome::LoadLog));
}

/// The digits that a redis-server gives for the same data.
#[test]
fn digests_are_those_of_redis() {
    let mut harness = Harness::new();
    for line in [
        "SET string hello",
        "SET number 123",
        "SET soon x PXAT 4000000000000",
        "RPUSH list a b 7",
        "SADD set a b c 12",
        "SADD numbers 1 2 300",
        "ZADD zset 1.5 a -inf b 123456789012 7",
        "HSET hash f v g 3",
        "XADD stream 1-1 f v g 3",
        "XADD stream 2-3 f w",
    ] {
        harness.run(line);
    }
    let digits = "0fded32853e9b12704e35453e744fc5ce420d42f";
    assert_eq!(simple(harness.run("DEBUG DIGEST")), digits);
}

#[test]
fn digests_do_not_depend_on_order() {
    let mut harness = Harness::new();
    let nothing = "0".repeat(40);
    assert_eq!(simple(harness.run("DEBUG DIGEST")), nothing);
    for line in ["SET a 1", "SET b x"] {
        harness.run(line);
    }
    let both = simple(harness.run("DEBUG DIGEST"));
    assert_ne!(both, nothing);
    let mut other = Harness::new();
    for line in ["SET b x", "SET a 2", "SET a 1"] {
        other.run(line);
    }
    assert_eq!(simple(other.run("DEBUG DIGEST")), both);
    other.run("SET a 2");
    assert_ne!(simple(other.run("DEBUG DIGEST")), both);
    let Response::Array(values) = other.run("DEBUG DIGEST-VALUE b nokey") else {
        panic!("DIGEST-VALUE answers an array");
    };
    assert_eq!(values[1], Response::Simple(nothing.into()));
    assert_ne!(values[0], values[1]);
}

#[test]
fn objects_and_population() {
    let mut harness = Harness::new();
    harness.run("SET foo bar");
    let text = simple(harness.run("DEBUG OBJECT foo"));
    assert!(
        text.starts_with("Value at:0x")
            && text.contains(" refcount:1 encoding:embstr serializedlength:4 "),
        "{text}"
    );
    assert_eq!(harness.run("DEBUG POPULATE 3 bar 20"), ok());
    assert_eq!(
        harness.run("GET bar:2"),
        Response::Bulk(b"value:2\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())
    );
    assert_eq!(harness.effects(), Vec::<String>::new());
    assert_eq!(harness.run("DEBUG POPULATE 2"), ok());
    assert_eq!(
        harness.run("GET key:1"),
        Response::Bulk(b"value:1".to_vec())
    );
    assert!(
        matches!(harness.run("DEBUG HTSTATS 0"), Response::Bulk(text)
        if String::from_utf8_lossy(&text).contains(" number of elements: 6\n"))
    );
}

#[test]
fn switches() {
    let mut harness = Harness::new();
    assert_eq!(harness.run("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    assert!(
        !harness
            .services
            .switches
            .active_expire
            .load(Ordering::Relaxed)
    );
    assert_eq!(harness.run("DEBUG REPLYBUFFER PEAK-RESET-TIME never"), ok());
    assert_eq!(
        harness
            .services
            .switches
            .reply_peak_reset_ms
            .load(Ordering::Relaxed),
        -1
    );
    assert_eq!(harness.run("DEBUG QUICKLIST-PACKED-THRESHOLD 100b"), ok());
    let all = harness.keyspace.all_shards();
    let txn = harness.keyspace.begin(
        all,
        0,
        Default::default(),
        crate::keyspace::txn::Journal::default(),
    );
    assert_eq!(txn.limits().list.packed_threshold, 100);
}

#[test]
fn what_needs_a_program_of_its_own_is_refused_in_another() {
    let mut harness = Harness::new();
    let refused = "ERR failed to restart the server. Check server logs.";
    for line in ["DEBUG RESTART", "DEBUG CRASH-AND-RECOVER 5"] {
        assert_eq!(harness.run(line), Response::Error(refused.into()), "{line}");
    }
    let restart = |_| std::io::Error::other("not here");
    let set = harness.services.switches.restart.set(restart);
    assert!(set.is_ok(), "nobody has set it");
    let answer = harness.run("DEBUG CRASH-AND-RECOVER -1");
    assert_eq!(answer, Response::Error(refused.into()));
    harness.run("DEBUG RESTART -1 x");
    let how = Shutdown {
        restart_ms: Some(0),
        ..Shutdown::default()
    };
    assert_eq!(harness.outcome, Some(Outcome::Shutdown(how)));
}

#[test]
fn replicas_alone_hear_of_what_is_replicated() {
    let mut harness = Harness::new();
    assert_eq!(harness.run("DEBUG REPLICATE no such command"), ok());
    assert_eq!(harness.effects(), ["no such command"]);
    assert_eq!(harness.run("DEBUG LEAK some"), ok());
    assert_eq!(
        simple(harness.run("DEBUG STRINGMATCH-TEST")),
        "Apparently Redis did not crash: test passed"
    );
}

#[test]
fn clients_that_may_be_evicted_stand_in_pools() {
    let mut harness = Harness::new();
    let disabled = "ERR maxmemory-clients is disabled.";
    let answer = harness.run("DEBUG CLIENT-EVICTION");
    assert_eq!(answer, Response::Error(disabled.into()));
    harness.services.clients.set_memory_limit(1 << 30);
    let Response::Bulk(text) = harness.run("DEBUG CLIENT-EVICTION") else {
        panic!("it answers a text");
    };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 19, "{text}");
    let bounds = "bucket      32768 -      65535: tot-mem:          0, clients: 0";
    assert_eq!(lines.get(1), Some(&bounds));
    let last = "bucket 4294967296+            : tot-mem:          0, clients: 0";
    assert_eq!(lines.last(), Some(&last));
}

#[test]
fn every_kind_of_reply() {
    let mut harness = Harness::new();
    harness.run("HELLO 3");
    let text = |text: &str| Response::Bulk(text.as_bytes().to_vec());
    assert_eq!(harness.run("DEBUG PROTOCOL true"), Response::Bool(true));
    assert_eq!(
        harness.run("DEBUG PROTOCOL double"),
        Response::Double(f64::from(3141) / 1000.0)
    );
    assert_eq!(
        harness.run("DEBUG PROTOCOL push"),
        Response::Push(vec![text("server-cpu-usage"), Response::Int(42)])
    );
    let attributes = vec![(
        text("key-popularity"),
        Response::Array(vec![text("key:123"), Response::Int(90)]),
    )];
    let value = Box::new(text("Some real reply following the attribute"));
    assert_eq!(
        harness.run("DEBUG PROTOCOL attrib"),
        Response::Attribute { attributes, value }
    );
    assert!(
        matches!(harness.run("DEBUG PROTOCOL x"), Response::Error(error) if error.starts_with("ERR Wrong protocol"))
    );
}

#[test]
fn what_a_value_consists_of_is_told_of_its_form_only() {
    let mut harness = Harness::new();
    harness.run("RPUSH l a b");
    harness.run("HSET h f v");
    let listpack = "ERR Not a listpack encoded object.";
    let quicklist = "ERR Not a quicklist encoded object.";
    for (line, answer) in [
        ("DEBUG LISTPACK l", listpack),
        ("DEBUG QUICKLIST h", quicklist),
        ("DEBUG LISTPACK none", "ERR no such key"),
        ("DEBUG QUICKLIST none 1", "ERR no such key"),
    ] {
        assert_eq!(harness.run(line), Response::Error(answer.into()), "{line}");
    }
    assert_eq!(
        simple(harness.run("DEBUG LISTPACK h")),
        "Listpack structure printed on stdout"
    );
    for line in ["DEBUG QUICKLIST l", "DEBUG QUICKLIST l 1"] {
        assert_eq!(
            simple(harness.run(line)),
            "Quicklist structure printed on stdout"
        );
    }
}
