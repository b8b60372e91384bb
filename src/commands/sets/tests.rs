//! What sets promise, by their commands.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use crate::commands::testing::{Harness, shown};
use crate::reply::Response;

fn members(response: Response) -> BTreeSet<String> {
    match response {
        Response::Array(items) | Response::Set(items) => items.iter().map(shown).collect(),
        other => panic!("no collection: {other:?}"),
    }
}

#[test]
fn answers_as_a_real_server_did() {
    Harness::new().check(include_str!("transcript.txt"));
}

#[test]
fn spop_logs_what_it_removed() {
    let mut h = Harness::new();
    for at in 0..3_000 {
        h.run(&format!("SADD s member:{at}"));
    }
    let popped = members(h.run("SPOP s 2500"));
    assert_eq!((popped.len(), h.journal.dirty), (2_500, 2_500));
    let effects = h.effects();
    let sizes: Vec<usize> = effects
        .iter()
        .map(|line| line.split(' ').count() - 2)
        .collect();
    assert_eq!(sizes, [1_024, 1_024, 452]);
    let logged = effects.iter().flat_map(|line| line.split(' ').skip(2));
    assert_eq!(
        logged
            .map(|word| format!("\"{word}\""))
            .collect::<BTreeSet<_>>(),
        popped
    );
    assert_eq!(h.events(), ["spop s"]);
    assert!(members(h.run("SMEMBERS s")).is_disjoint(&popped));
}

#[test]
fn random_members_are_drawn_evenly() {
    for line in ["SADD s 1 2 3 4", "SADD s a b c d"] {
        for draw in [
            "SRANDMEMBER s",
            "SRANDMEMBER s -1",
            "SRANDMEMBER s 1",
            "SPOP s",
            "SPOP s 1",
        ] {
            let mut h = Harness::new();
            let mut drawn: HashMap<String, usize> = HashMap::new();
            for _ in 0..800 {
                h.run(line);
                *drawn.entry(shown(&h.run(draw))).or_default() += 1;
            }
            assert_eq!(drawn.len(), 4, "{draw}");
            assert!(
                drawn.values().all(|count| (140..260).contains(count)),
                "{draw}: {drawn:?}"
            );
        }
    }
}

#[test]
fn a_stored_set_replaces_any_value_and_its_time() {
    let mut h = Harness::new();
    h.expect(&[
        ("SADD a 1 2", "2"),
        ("SET d x EX 100", "+OK"),
        ("SUNIONSTORE d a", "2"),
        ("TTL d", "-1"),
        ("TYPE d", "+set"),
        ("SDIFFSTORE a a d", "0"),
        ("EXISTS a", "0"),
    ]);
}

#[test]
fn an_iteration_returns_every_member_once() {
    let mut h = Harness::new();
    let all: BTreeSet<String> = (0..1_000).map(|at| format!("\"member:{at}\"")).collect();
    (0..1_000).for_each(|at| drop(h.run(&format!("SADD s member:{at}"))));
    let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let Response::Array(step) = h.run(&format!("SSCAN s {cursor} COUNT 50")) else {
            panic!("SSCAN answers an array");
        };
        let [Response::Bulk(next), Response::Array(items)] = &step[..] else {
            panic!("a cursor and an array");
        };
        seen.extend(items.iter().map(shown));
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), all.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
}

proptest! {
    #[test]
    fn combines_as_std_does(sets in prop::collection::vec(prop::collection::btree_set(0..40_u8, 0..25), 1..5), text: bool) {
        let mut h = Harness::new();
        let name = |member: &u8| if text { format!("m{member}") } else { member.to_string() };
        let mut keys = String::new();
        for (at, set) in sets.iter().enumerate() {
            keys.push_str(&format!(" k{at}"));
            set.iter().for_each(|member| drop(h.run(&format!("SADD k{at} {}", name(member)))));
        }
        let union = sets.iter().flatten().copied().collect::<BTreeSet<u8>>();
        let intersection = union.iter().copied().filter(|m| sets.iter().all(|set| set.contains(m))).collect();
        let difference = sets[0].iter().copied().filter(|m| sets[1..].iter().all(|set| !set.contains(m))).collect();
        for (command, expected) in [("SUNION", union), ("SINTER", intersection), ("SDIFF", difference)] {
            let expected: BTreeSet<String> = expected.iter().map(|member| format!("\"{}\"", name(member))).collect();
            prop_assert_eq!(&members(h.run(&format!("{command}{keys}"))), &expected);
            prop_assert_eq!(h.run(&format!("{command}STORE d{keys}")), Response::Int(expected.len() as i64));
            prop_assert_eq!(&members(h.run("SMEMBERS d")), &expected);
            if command == "SINTER" {
                let limited = h.run(&format!("SINTERCARD {}{keys} LIMIT 3", sets.len()));
                prop_assert_eq!(limited, Response::Int(expected.len().min(3) as i64));
            }
        }
    }
}
