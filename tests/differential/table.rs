//! The command table as clients see it: for every command and subcommand that both servers know, what COMMAND tells of
//! it has to be the same: INFO, DOCS, LIST with each filter, and the keys found in lines of all kinds.

use std::collections::BTreeSet;

use innkeep_test_server::wire::{Body, Reply};
use innkeep_test_server::{Launch, may_skip};

use crate::random::Random;
use crate::reasons::{reason, tells_otherwise};
use crate::sweep::{Both, Found, SHOWN, show, targets, text};

const DEFAULT_LINES: u64 = 60;

/// A reply in which the order of flags, categories and subcommands does not count, and neither does what only one of
/// the servers has: words of the shape `container|sub` that `known` does not hold, with what follows.
fn normal(reply: &Reply, known: &BTreeSet<String>) -> Reply {
    let Body::Items(items) = &reply.body else {
        return reply.clone();
    };
    let is_foreign = |item: &Reply| {
        let name = text(item.items().first().unwrap_or(item));
        name.contains('|') && !name.contains(' ') && !known.contains(&name)
    };
    let mut kept = Vec::new();
    for item in items.chunks(if reply.kind == b'%' { 2 } else { 1 }) {
        if !is_foreign(&item[0]) {
            kept.extend(item.iter().map(|item| normal(item, known)));
        }
    }
    let is_entry = |item: &Reply| {
        item.items()
            .first()
            .is_some_and(|name| text(name).contains('|'))
    };
    let is_flag = |item: &Reply| item.kind == b'+';
    if kept.iter().all(is_entry) || kept.iter().all(is_flag) {
        kept.sort();
    } else if reply.kind == b'%' {
        let mut pairs: Vec<Vec<Reply>> = kept.chunks(2).map(<[Reply]>::to_vec).collect();
        pairs.sort();
        kept = pairs.concat();
    }
    Reply {
        kind: reply.kind,
        body: Body::Items(kept),
    }
}

/// The first place where two replies differ, so that a long one need not be read whole.
fn first_difference(ours: &Reply, theirs: &Reply) -> Option<(String, String)> {
    if ours == theirs {
        return None;
    }
    let pairs = ours.items().iter().zip(theirs.items());
    let below = pairs
        .filter_map(|(ours, theirs)| first_difference(ours, theirs))
        .next();
    let here = || Some((format!("{ours:?}"), format!("{theirs:?}")));
    if ours.items().len() == theirs.items().len() {
        below.or_else(here)
    } else {
        here()
    }
}

struct Comparison {
    both: Both,
    known: BTreeSet<String>,
    found: Found,
}

impl Comparison {
    fn same(&mut self, words: &[&str], sorted: bool) {
        let replies = self.both.ask(words).expect("both servers answer");
        let [ours, theirs] = replies.map(|mut reply| match &mut reply.body {
            Body::Items(items) if sorted => {
                items.retain(|name| self.known.contains(&text(name)));
                items.sort();
                reply
            }
            _ => normal(&reply, &self.known),
        });
        if tells_otherwise(words).is_some() {
            return;
        }
        if let Some((ours, theirs)) = first_difference(&ours, &theirs) {
            let what = format!("{words:?}\n  ours:   {ours}\n  theirs: {theirs}");
            self.found.add(words.join(" "), what);
        }
    }

    fn keys(&mut self, lines: &[Vec<Vec<u8>>], about: &str) {
        for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let head = ["COMMAND", subcommand].map(|word| word.as_bytes().to_vec());
            let asked: Vec<_> = lines
                .iter()
                .map(|line| [head.to_vec(), line.clone()].concat())
                .collect();
            let replies = self.both.exchange(&asked).expect("both servers answer");
            for ((ours, theirs), line) in replies[0].iter().zip(&replies[1]).zip(&asked) {
                if ours != theirs && reason(&line[2..]).is_none() {
                    let what = format!("{}\n  ours:   {ours:?}\n  theirs: {theirs:?}", show(line));
                    let kind = format!("{about} {subcommand} {} {}", ours.kind, theirs.kind);
                    self.found.add(kind, what);
                }
            }
        }
    }
}

#[test]
fn the_command_table_is_that_of_a_real_server() {
    let Some(reference) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let count = crate::number("INNKEEP_DIFF_SWEEP").unwrap_or(DEFAULT_LINES);
    let seed = crate::number("INNKEEP_DIFF_SEED").unwrap_or(20_260);
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let mut both = Both::start(ours, reference).expect("both servers start");
    both.ask(&["HELLO", "3"]).expect("both servers speak RESP3");
    let targets = targets(&mut both, &[]).expect("both servers tell of their commands");
    let known = targets.iter().map(|target| target.name.join("|")).collect();
    let found = Found::default();
    let mut random = Random::new(seed);
    let mut comparison = Comparison { both, known, found };
    for target in &targets {
        let name = target.name.join("|");
        comparison.same(&["COMMAND", "INFO", &name], false);
        comparison.same(&["COMMAND", "DOCS", &name], false);
        comparison.same(
            &[
                "COMMAND",
                "LIST",
                "FILTERBY",
                "PATTERN",
                &name.to_uppercase(),
            ],
            true,
        );
        comparison.keys(&target.lines(count, &mut random), &name);
    }
    comparison.same(&["COMMAND", "LIST", "FILTERBY", "MODULE", "nothing"], true);
    for pattern in ["*", "*|*", "[a-h]*", "?get", "config|?et", ""] {
        comparison.same(&["COMMAND", "LIST", "FILTERBY", "PATTERN", pattern], true);
    }
    let [_, categories] = comparison
        .both
        .ask(&["ACL", "CAT"])
        .expect("both servers answer");
    for category in categories.items() {
        comparison.same(
            &["COMMAND", "LIST", "FILTERBY", "ACLCAT", &text(category)],
            true,
        );
        comparison.same(&["ACL", "CAT", &text(category)], true);
    }
    comparison.found.judge(
        SHOWN,
        &format!("{} commands from seed {seed}", targets.len()),
    );
}
