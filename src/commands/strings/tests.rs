//! What strings promise, by their commands.

use crate::commands::testing::Harness;
use crate::reply::Response;

const NOW: i64 = 1_000_000_000;

fn bulk(text: &str) -> Response {
    Response::Bulk(text.into())
}

fn error(text: &str) -> Response {
    Response::Error(text.to_owned())
}

fn ok() -> Response {
    Response::Simple("OK".into())
}

#[test]
fn set_and_get() {
    let mut h = Harness::new();
    assert_eq!(h.run("GET a"), Response::Null);
    assert_eq!(h.run("SET a 1"), ok());
    assert_eq!(h.effects(), ["SET a 1"]);
    assert_eq!(h.events(), ["new a", "set a"]);
    assert_eq!(h.run("GET a"), bulk("1"));
    assert!(h.effects().is_empty() && h.events().is_empty());
    assert_eq!(h.run("SET a \"\""), ok());
    assert_eq!(h.run("GET a"), bulk(""));
    assert_eq!(h.run("STRLEN a"), Response::Int(0));
}

#[test]
fn set_logs_the_moment_of_expiry() {
    let mut h = Harness::new();
    for (line, at) in [
        ("SET a v EX 10", NOW + 10_000),
        ("SET a v px 15", NOW + 15),
        ("SET a v EXAT 2000000", 2_000_000_000),
        ("SET a v PXAT 2000000001", 2_000_000_001),
        ("SET a v EX 1 EX 10", NOW + 10_000),
        ("SETEX a 10 v", NOW + 10_000),
        ("PSETEX a 10 v", NOW + 10),
        ("SET a v XX GET PX 7", NOW + 7),
    ] {
        h.run("SET a old");
        h.run(line);
        assert_eq!(h.effects(), [format!("SET a v PXAT {at}")], "{line}");
        assert_eq!(h.events(), ["set a", "expire a"], "{line}");
        assert_eq!(h.run("PEXPIRETIME a"), Response::Int(at));
    }
}

#[test]
fn set_forgets_the_old_time_unless_told_to_keep_it() {
    let mut h = Harness::new();
    h.run("SET a 1 EX 10");
    assert_eq!(h.run("SET a 2 KEEPTTL"), ok());
    assert_eq!(h.effects(), ["SET a 2 KEEPTTL"]);
    assert_eq!(h.run("TTL a"), Response::Int(10));
    assert_eq!(h.run("SET a 3"), ok());
    assert_eq!(h.run("TTL a"), Response::Int(-1));
}

#[test]
fn set_on_conditions() {
    let mut h = Harness::new();
    assert_eq!(h.run("SET a 1 XX"), Response::Null);
    assert_eq!(h.run("SET a 1 XX GET"), Response::Null);
    assert!(h.effects().is_empty());
    assert_eq!(h.run("SET a 1 NX GET"), Response::Null);
    assert_eq!(h.effects(), ["SET a 1"]);
    assert_eq!(h.run("SET a 2 NX"), Response::Null);
    assert_eq!(h.run("SET a 2 NX GET"), bulk("1"));
    assert!(h.effects().is_empty() && h.events().is_empty());
    assert_eq!(h.run("SET a 2 GET"), bulk("1"));
    assert_eq!(h.run("SET a 3 XX xx"), ok());
    assert_eq!(h.run("SETNX a 4"), Response::Int(0));
    assert_eq!(h.run("GET a"), bulk("3"));
    assert_eq!(h.run("SETNX b 4"), Response::Int(1));
}

#[test]
fn set_judges_its_options_before_the_key() {
    let mut h = Harness::new();
    let invalid = "ERR invalid expire time in 'set' command";
    for (options, answer) in [
        ("NX XX", "ERR syntax error"),
        ("EX", "ERR syntax error"),
        ("EX 10 PX 10", "ERR syntax error"),
        ("KEEPTTL EX 10", "ERR syntax error"),
        ("PX 10 KEEPTTL", "ERR syntax error"),
        ("PERSIST", "ERR syntax error"),
        ("bogus", "ERR syntax error"),
        ("EX x", "ERR value is not an integer or out of range"),
        ("EX 0", invalid),
        ("PXAT -1", invalid),
        ("EX 9223372036854775", invalid),
        ("PX 9223372036854775807", invalid),
        ("EXAT 9223372036854776", invalid),
        ("GET EX 0", invalid),
    ] {
        assert_eq!(
            h.run(&format!("SET a 3 {options}")),
            error(answer),
            "{options}"
        );
        assert!(h.effects().is_empty() && h.events().is_empty());
    }
    assert_eq!(
        h.run("SETEX a 0 v"),
        error("ERR invalid expire time in 'setex' command")
    );
    assert_eq!(
        h.run("PSETEX a -1 v"),
        error("ERR invalid expire time in 'psetex' command")
    );
}

#[test]
fn a_time_that_has_passed_leaves_a_key_that_is_gone_at_once() {
    let mut h = Harness::new();
    assert_eq!(h.run("SET a 1 PXAT 1"), ok());
    assert_eq!(h.run("GET a"), Response::Null);
    assert_eq!(h.effects(), ["DEL a"]);
}

#[test]
fn writing_over_an_expired_key_expires_it_first() {
    let mut h = Harness::new();
    for (line, effect) in [
        ("SET a bc", "SET a bc"),
        ("SET a 5", "SET a 5"),
        ("SET a 5 KEEPTTL", "SET a 5 KEEPTTL"),
        ("MSET a x", "MSET a x"),
        ("SETNX a x", "SETNX a x"),
        ("APPEND a x", "APPEND a x"),
        ("SETRANGE a 0 x", "SETRANGE a 0 x"),
        ("INCR a", "INCR a"),
    ] {
        h.keyspace.set_now_ms(Some(NOW));
        h.run("SET a 10 PX 5");
        h.keyspace.set_now_ms(Some(NOW + 6));
        h.run(line);
        assert_eq!(h.effects(), ["DEL a", effect], "{line}");
        assert_eq!(h.events()[..2], ["expired a", "new a"], "{line}");
        assert_eq!(h.run("TTL a"), Response::Int(-1), "{line}");
        h.run("DEL a");
    }
}

#[test]
fn getset_getdel_and_getex() {
    let mut h = Harness::new();
    assert_eq!(h.run("GETSET a 1"), Response::Null);
    assert_eq!(h.effects(), ["SET a 1"]);
    assert_eq!(h.events(), ["keymiss a", "new a", "set a"]);
    assert_eq!(h.run("GETSET a 2"), bulk("1"));
    assert_eq!(h.run("GETEX a"), bulk("2"));
    assert!(h.effects().is_empty());
    assert_eq!(h.run("GETEX a EX 10"), bulk("2"));
    assert_eq!(h.effects(), [format!("PEXPIREAT a {}", NOW + 10_000)]);
    assert_eq!(h.events(), ["expire a"]);
    assert_eq!(h.run("GETEX a PERSIST"), bulk("2"));
    assert_eq!(h.effects(), ["PERSIST a"]);
    assert_eq!(h.run("GETEX a PERSIST"), bulk("2"));
    assert!(h.effects().is_empty() && h.events().is_empty());
    assert_eq!(h.run("GETEX a PXAT 1"), bulk("2"));
    assert_eq!(
        (h.effects(), h.events()),
        (vec!["DEL a".into()], vec!["del a".into()])
    );
    h.run("SET a 3");
    assert_eq!(h.run("GETDEL a"), bulk("3"));
    assert_eq!(h.effects(), ["DEL a"]);
    assert_eq!(h.run("GETDEL a"), Response::Null);
    assert!(h.effects().is_empty());
}

#[test]
fn getex_judges_its_words() {
    let mut h = Harness::new();
    assert_eq!(h.run("GETEX nokey EX 0"), Response::Null);
    h.run("SET a 1");
    let invalid = "ERR invalid expire time in 'getex' command";
    for (options, answer) in [
        ("KEEPTTL", "ERR syntax error"),
        ("NX", "ERR syntax error"),
        ("GET", "ERR syntax error"),
        ("EX 10 PERSIST", "ERR syntax error"),
        ("PX", "ERR syntax error"),
        ("EX 0", invalid),
        ("PX 9223372036854775807", invalid),
        ("EX x", "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(
            h.run(&format!("GETEX a {options}")),
            error(answer),
            "{options}"
        );
    }
}

#[test]
fn many_at_once() {
    let mut h = Harness::new();
    assert_eq!(h.run("MSET a 1 b 2 a 3"), ok());
    assert_eq!(h.effects(), ["MSET a 1 b 2 a 3"]);
    assert_eq!(h.events(), ["new a", "set a", "new b", "set b", "set a"]);
    let values = vec![bulk("3"), Response::Null, bulk("2")];
    assert_eq!(h.run("MGET a nokey b"), Response::Array(values));
    for name in ["mset", "msetnx"] {
        let answer = error(&format!(
            "ERR wrong number of arguments for '{name}' command"
        ));
        assert_eq!(h.run(&format!("{name} a 1 b")), answer);
    }
    assert_eq!(h.run("MSETNX c 1 a 2"), Response::Int(0));
    assert!(h.effects().is_empty());
    assert_eq!(h.run("MSETNX c 1 d 2 c 3"), Response::Int(1));
    assert_eq!(h.run("GET c"), bulk("3"));
}

#[test]
fn append_grows() {
    let mut h = Harness::new();
    assert_eq!(h.run("APPEND a 12"), Response::Int(2));
    assert_eq!(h.events(), ["new a", "append a"]);
    assert_eq!(h.run("OBJECT ENCODING a"), bulk("int"));
    h.run("EXPIRE a 9");
    assert_eq!(h.run("APPEND a 34"), Response::Int(4));
    assert_eq!(h.run("OBJECT ENCODING a"), bulk("raw"));
    assert_eq!(h.run("GET a"), bulk("1234"));
    assert_eq!(h.run("TTL a"), Response::Int(9));
    assert_eq!(h.run("APPEND a \"\""), Response::Int(4));
    assert_eq!(h.effects().len(), 1);
}

#[test]
fn setrange_fills_with_zeros() {
    let mut h = Harness::new();
    assert_eq!(h.run("SETRANGE a 0 \"\""), Response::Int(0));
    assert_eq!(h.run("EXISTS a"), Response::Int(0));
    assert_eq!(h.run("SETRANGE a 2 x"), Response::Int(3));
    assert_eq!(h.events(), ["new a", "setrange a"]);
    assert_eq!(h.run("GET a"), bulk("\0\0x"));
    assert_eq!(h.run("SETRANGE a 0 yz"), Response::Int(3));
    assert_eq!(h.run("GET a"), bulk("yzx"));
    assert_eq!(h.run("SETRANGE a 900 \"\""), Response::Int(3));
    assert!(h.effects().is_empty());
    let too_long = error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    assert_eq!(h.run("SETRANGE a 536870912 x"), too_long);
    assert_eq!(h.run("SETRANGE a 9223372036854775807 x"), too_long);
    assert_eq!(
        h.run("SETRANGE a -1 x"),
        error("ERR offset is out of range")
    );
}

#[test]
fn no_string_grows_beyond_the_limit() {
    let mut h = Harness::new();
    let all = h.keyspace.all_shards();
    let mut txn = h.keyspace.begin(
        all,
        0,
        Default::default(),
        crate::keyspace::txn::Journal::default(),
    );
    let mut limits = txn.limits();
    limits.max_string = 8;
    txn.set_limits(limits);
    drop(txn);
    h.run("SET a 12345");
    let too_long = error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    assert_eq!(h.run("APPEND a 6789"), too_long);
    assert_eq!(h.run("APPEND a 678"), Response::Int(8));
    assert_eq!(h.run("SETRANGE a 6 xyz"), too_long);
}

#[test]
fn getrange_counts_from_both_ends() {
    let mut h = Harness::new();
    h.run("SET a hello");
    h.run("SET n 12345");
    for (range, expected) in [
        ("0 -1", "hello"),
        ("1 2", "el"),
        ("-3 -2", "ll"),
        ("-100 100", "hello"),
        ("3 1", ""),
        ("5 9", ""),
        ("-1 -3", ""),
        ("0 -100", "h"),
        ("-200 -100", "h"),
        ("-9223372036854775808 9223372036854775807", "hello"),
    ] {
        assert_eq!(
            h.run(&format!("GETRANGE a {range}")),
            bulk(expected),
            "{range}"
        );
        assert_eq!(
            h.run(&format!("SUBSTR a {range}")),
            bulk(expected),
            "{range}"
        );
    }
    assert_eq!(h.run("GETRANGE n 1 -2"), bulk("234"));
    assert_eq!(h.run("GETRANGE nokey 0 -1"), bulk(""));
}

#[test]
fn dirty_counts_pairs_and_nothing_else() {
    let mut h = Harness::new();
    for (line, dirty) in [
        ("MSET a 1 b 2", 2),
        ("SET a 1 EX 10", 1),
        ("GET a", 0),
        ("GETEX a PERSIST", 1),
        ("SETRANGE a 0 x", 1),
    ] {
        h.run(line);
        assert_eq!(h.journal.dirty, dirty, "{line}");
    }
}

#[test]
fn other_types_are_refused_or_overwritten() {
    let mut h = Harness::new();
    let all = h.keyspace.all_shards();
    let mut txn = h.keyspace.begin(
        all,
        0,
        Default::default(),
        crate::keyspace::txn::Journal::default(),
    );
    assert!(txn.list_or_new(b"l").is_ok());
    drop(txn);
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for (line, answer) in [
        ("GET l", wrong),
        ("GETSET l v", wrong),
        ("GETDEL l", wrong),
        ("GETEX l EX 0", wrong),
        ("SET l v GET", wrong),
        ("SET l v NX GET EX 10", wrong),
        ("APPEND l v", wrong),
        ("STRLEN l", wrong),
        ("SETRANGE l 0 v", wrong),
        ("SETRANGE l 0 \"\"", wrong),
        ("SETRANGE l -1 v", "ERR offset is out of range"),
        ("GETRANGE l 0 1", wrong),
        (
            "GETRANGE l 0 x",
            "ERR value is not an integer or out of range",
        ),
        ("INCR l", wrong),
        ("INCRBY l x", "ERR value is not an integer or out of range"),
        ("INCRBYFLOAT l x", wrong),
        (
            "LCS l l bogus",
            "ERR The specified keys must contain string values",
        ),
    ] {
        assert_eq!(h.run(line), error(answer), "{line}");
        assert!(h.effects().is_empty() && h.events().is_empty(), "{line}");
    }
    assert_eq!(h.run("MGET l"), Response::Array(vec![Response::Null]));
    assert_eq!(h.run("TYPE l"), Response::Simple("list".into()));
    assert_eq!(
        h.run("SCAN 0 TYPE LIST COUNT 100"),
        h.run("SCAN 0 COUNT 100")
    );
    assert_eq!(h.run("SET l v EX 5 XX"), ok());
    assert_eq!(h.events(), ["set l", "expire l"]);
    assert_eq!(h.run("GET l"), bulk("v"));
}

#[test]
fn long_strings_are_lengthened_without_being_doubled() {
    const LEN: i64 = 4 << 20;
    for (key, line) in [
        ("a", "APPEND a y"),
        ("b", "SETRANGE b 4194304 y"),
        ("c", "SETBIT c 33554432 1"),
    ] {
        let mut h = Harness::new();
        h.run(&format!("SETRANGE {key} {} x", LEN - 1));
        h.run(line);
        assert_eq!(h.run(&format!("STRLEN {key}")), Response::Int(LEN + 1));
        let Response::Int(bytes) = h.run(&format!("MEMORY USAGE {key}")) else {
            panic!("{key} has no size");
        };
        assert!((LEN..LEN * 5 / 4).contains(&bytes), "{key}: {bytes}");
    }
}
