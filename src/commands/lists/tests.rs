//! What lists promise, by their commands. Answers and order of refusals are those of a real server.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::commands::testing::{Harness, shown};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn pushes_log_and_tell() {
    let mut h = Harness::new();
    h.expect(&[("RPUSH l b c", "2")]);
    assert_eq!(h.effects(), ["RPUSH l b c"]);
    assert_eq!(h.events(), ["new l", "rpush l"]);
    assert_eq!(h.journal.dirty, 2);
    h.expect(&[
        ("LPUSH l a z", "4"),
        ("LRANGE l 0 -1", "[\"z\" \"a\" \"b\" \"c\"]"),
        ("LPUSHX nokey a", "0"),
        ("EXISTS nokey", "0"),
        ("RPUSHX l d", "5"),
        ("SET s x", "+OK"),
        ("LPUSH s a", WRONG_TYPE),
        ("RPUSHX s a", WRONG_TYPE),
        (
            "LPUSH l",
            "-ERR wrong number of arguments for 'lpush' command",
        ),
    ]);
}

#[test]
fn pops_remove_what_they_empty() {
    let mut h = Harness::new();
    let positive = "-ERR value is out of range, must be positive";
    h.expect(&[
        ("RPUSH l a b c d e", "5"),
        ("LPOP l", "\"a\""),
        ("LPOP l 0", "[]"),
    ]);
    assert!(h.effects().is_empty() && h.events().is_empty());
    h.expect(&[("RPOP l 2", "[\"e\" \"d\"]")]);
    assert_eq!(h.effects(), ["RPOP l 2"]);
    assert_eq!(h.events(), ["rpop l"]);
    h.expect(&[("LPOP l 9", "[\"b\" \"c\"]")]);
    assert_eq!(h.events(), ["lpop l", "del l"]);
    h.expect(&[
        ("LPOP l", "nil"),
        ("LPOP l 1", "nil"),
        ("SET s x", "+OK"),
        ("LPOP s 0", WRONG_TYPE),
        ("LPOP s -1", positive),
        ("RPOP nokey foo", positive),
        (
            "RPOP l 1 2",
            "-ERR wrong number of arguments for 'rpop' command",
        ),
    ]);
}

#[test]
fn moves_push_before_they_pop() {
    let mut h = Harness::new();
    h.expect(&[("RPUSH a 1 2", "2"), ("LMOVE a b left RIGHT", "\"1\"")]);
    assert_eq!(h.events(), ["new b", "rpush b", "lpop a"]);
    assert_eq!(h.effects(), ["LMOVE a b left RIGHT"]);
    h.expect(&[("RPOPLPUSH a b", "\"2\"")]);
    assert_eq!(h.events(), ["lpush b", "rpop a", "del a"]);
    h.expect(&[
        ("LRANGE b 0 -1", "[\"2\" \"1\"]"),
        ("RPOPLPUSH b b", "\"1\""),
        ("LRANGE b 0 -1", "[\"1\" \"2\"]"),
        ("LMOVE b b LEFT LEFT", "\"1\""),
        ("LRANGE b 0 -1", "[\"1\" \"2\"]"),
        ("SET s x", "+OK"),
        ("LMOVE b s LEFT LEFT", WRONG_TYPE),
        ("LMOVE s b LEFT LEFT", WRONG_TYPE),
        ("LMOVE nokey s LEFT LEFT", "nil"),
        ("LMOVE nokey s foo LEFT", SYNTAX),
        ("LRANGE b 0 -1", "[\"1\" \"2\"]"),
    ]);
    let long = vec![b'x'; 5_000];
    h.run_words(&[b"RPUSH", b"long", &long]);
    h.expect(&[(
        "RPOPLPUSH long longer",
        &format!("\"{}\"", "x".repeat(5_000)),
    )]);
}

#[test]
fn pops_of_several_lists() {
    let mut h = Harness::new();
    let numkeys = "-ERR numkeys should be greater than 0";
    let count = "-ERR count should be greater than 0";
    h.expect(&[
        ("SET s x", "+OK"),
        ("RPUSH l a b c", "3"),
        ("LMPOP 3 none l s RIGHT COUNT 2", "[\"l\" [\"c\" \"b\"]]"),
    ]);
    assert_eq!(h.effects(), ["RPOP l 2"]);
    assert_eq!(h.events(), ["rpop l"]);
    h.expect(&[
        ("LMPOP 2 s l LEFT", WRONG_TYPE),
        ("LMPOP 1 none LEFT", "nil"),
        ("LMPOP 0 l LEFT", numkeys),
        ("LMPOP 99999999999999999999 l LEFT", numkeys),
        ("LMPOP 9223372036854775807 l LEFT", SYNTAX),
        ("LMPOP 2 l LEFT", SYNTAX),
        ("LMPOP 1 l LEFT COUNT", SYNTAX),
        ("LMPOP 1 l LEFT COUNT 0", count),
        ("LMPOP 1 l LEFT COUNT 1 COUNT 1", SYNTAX),
        ("LMPOP 1 l LEFT COUNT 9", "[\"l\" [\"a\"]]"),
        ("EXISTS l", "0"),
    ]);
}

#[test]
fn reads_by_place() {
    let mut h = Harness::new();
    h.expect(&[
        ("RPUSH l a b 3", "3"),
        ("SET s x", "+OK"),
        ("LLEN l", "3"),
        ("LLEN nokey", "0"),
        ("LLEN s", WRONG_TYPE),
        ("LINDEX l -1", "\"3\""),
        ("LINDEX l 3", "nil"),
        ("LINDEX l foo", NOT_INTEGER),
        ("LINDEX s foo", WRONG_TYPE),
        ("LINDEX nokey foo", "nil"),
        ("LRANGE l 1 1", "[\"b\"]"),
        ("LRANGE l 2 1", "[]"),
        ("LRANGE l -100 100", "[\"a\" \"b\" \"3\"]"),
        (
            "LRANGE l -9223372036854775808 9223372036854775807",
            "[\"a\" \"b\" \"3\"]",
        ),
        ("LRANGE l 5 6", "[]"),
        ("LRANGE s 0 foo", NOT_INTEGER),
        ("LRANGE s 0 1", WRONG_TYPE),
        ("LRANGE nokey 0 1", "[]"),
    ]);
}

#[test]
fn lpos_counts_matches_from_either_end() {
    let mut h = Harness::new();
    let negative = |what: &str| format!("-ERR {what} can't be negative");
    h.expect(&[
        ("RPUSH l a b c 1 2 3 c c", "8"),
        ("SET s x", "+OK"),
        ("LPOS l c", "2"),
        ("LPOS l c RANK 2", "6"),
        ("LPOS l c RANK -1", "7"),
        ("LPOS l c RANK 4", "nil"),
        ("LPOS l c COUNT 0", "[2 6 7]"),
        ("LPOS l c COUNT 0 RANK 2", "[6 7]"),
        ("LPOS l c COUNT 2 RANK -1", "[7 6]"),
        ("LPOS l c COUNT 0 MAXLEN 3 RANK -1", "[7 6]"),
        ("LPOS l c COUNT 0 MAXLEN 7 RANK 2", "[6]"),
        ("LPOS l 1 MAXLEN 0", "3"),
        ("LPOS l zz COUNT 1", "[]"),
        ("LPOS nokey c COUNT 1", "[]"),
        ("LPOS nokey c", "nil"),
        ("LPOS s c COUNT -1", &negative("COUNT")),
        ("LPOS s c", WRONG_TYPE),
        ("LPOS l c MAXLEN foo", &negative("MAXLEN")),
        ("LPOS l c RANK foo", NOT_INTEGER),
        ("LPOS l c RANK", SYNTAX),
        ("LPOS l c FOO 1", SYNTAX),
        (
            "LPOS nokey c RANK -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        (
            "LPOS nokey c RANK 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
        ),
    ]);
}

#[test]
fn changes_in_place() {
    let mut h = Harness::new();
    h.expect(&[
        ("RPUSH l a b c", "3"),
        ("SET s x", "+OK"),
        ("LSET l -1 z", "+OK"),
    ]);
    assert_eq!(h.events(), ["lset l"]);
    h.expect(&[
        ("LSET l 3 x", "-ERR index out of range"),
        ("LSET nokey foo x", "-ERR no such key"),
        ("LSET s foo x", WRONG_TYPE),
        ("LSET l foo x", NOT_INTEGER),
        ("LINSERT l before b 1", "4"),
    ]);
    assert_eq!(h.events(), ["linsert l"]);
    h.expect(&[
        ("LINSERT l AFTER zz 1", "-1"),
        ("LINSERT nokey AFTER a 1", "0"),
        ("LINSERT s foo a 1", SYNTAX),
        ("LINSERT l AFTER b 2", "5"),
        ("LRANGE l 0 -1", "[\"a\" \"1\" \"b\" \"2\" \"z\"]"),
    ]);
}

#[test]
fn lrem_and_ltrim_remove_what_they_empty() {
    let mut h = Harness::new();
    h.expect(&[
        ("RPUSH l a b a c a", "5"),
        ("SET s x", "+OK"),
        ("LREM l 0 zz", "0"),
    ]);
    assert!(h.effects().is_empty() && h.events().is_empty());
    h.expect(&[("LREM l -2 a", "2")]);
    assert_eq!(
        (h.events(), h.journal.dirty),
        (vec!["lrem l".to_owned()], 2)
    );
    h.expect(&[
        ("LRANGE l 0 -1", "[\"a\" \"b\" \"c\"]"),
        ("LREM nokey foo a", NOT_INTEGER),
        ("LREM s 0 a", WRONG_TYPE),
        ("LTRIM l 0 -1", "+OK"),
    ]);
    assert!(h.effects().is_empty());
    assert_eq!(h.events(), ["ltrim l"]);
    h.expect(&[("LTRIM l 1 -1", "+OK")]);
    assert_eq!(h.effects(), ["LTRIM l 1 -1"]);
    h.expect(&[("LRANGE l 0 -1", "[\"b\" \"c\"]"), ("LTRIM l 5 1", "+OK")]);
    assert_eq!(h.events(), ["ltrim l", "del l"]);
    h.expect(&[
        ("LTRIM l 0 foo", NOT_INTEGER),
        ("LTRIM l 0 1", "+OK"),
        ("LTRIM s 0 1", WRONG_TYPE),
        ("RPUSH l a", "1"),
        ("LREM l 1 a", "1"),
    ]);
    assert_eq!(h.events(), ["lrem l", "del l"]);
}

proptest! {
    #[test]
    fn behaves_as_a_deque(steps in prop::collection::vec((0..7_u8, 0..6_i64, -3..8_i64), 1..60)) {
        let mut h = Harness::new();
        let mut model: VecDeque<i64> = VecDeque::new();
        for (step, value, place) in steps {
            let len = model.len() as i64;
            let from_head = |place: i64| if place < 0 { place + len } else { place };
            match step {
                0 => { h.run(&format!("LPUSH l {value}")); model.push_front(value); }
                1 => { h.run(&format!("RPUSH l {value}")); model.push_back(value); }
                2 => { h.run("LPOP l"); model.pop_front(); }
                3 => { h.run("RPOPLPUSH l l"); if len > 0 { model.rotate_right(1); } }
                4 => { h.run(&format!("LREM l 0 {value}")); model.retain(|own| *own != value); }
                5 => {
                    h.run(&format!("LTRIM l {place} -2"));
                    let range = from_head(place).max(0)..(len - 1);
                    let kept = range.filter_map(|at| model.get(usize::try_from(at).ok()?).copied());
                    model = kept.collect();
                }
                _ => {
                    h.run(&format!("LSET l {place} {value}"));
                    if let Some(own) = usize::try_from(from_head(place)).ok().and_then(|at| model.get_mut(at)) {
                        *own = value;
                    }
                }
            }
            let words: Vec<String> = model.iter().map(|own| format!("\"{own}\"")).collect();
            prop_assert_eq!(shown(&h.run("LRANGE l 0 -1")), format!("[{}]", words.join(" ")));
        }
    }
}
