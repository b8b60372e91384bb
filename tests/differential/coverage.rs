//! Nothing of the command table is left out of the comparison: every command, subcommand and option word that our
//! server tells of is made by some family's grammar, or stands in a list with the reason why not.

use std::collections::BTreeSet;

use innkeep_test_server::Launch;
use innkeep_test_server::wire::{Reply, Wire};

use crate::families::ALL;
use crate::grammar::Vocabulary;
use crate::reasons::NOT_MADE;
use crate::sweep::text;

/// A command or subcommand as the server tells of it, `xgroup|create`, and the words of its options.
fn told(name: &str, docs: &Reply, found: &mut Vec<(String, BTreeSet<String>)>) {
    let field = |name: &str| {
        let pair = docs.items().chunks(2).find(|pair| text(&pair[0]) == name);
        pair.map(|pair| &pair[1])
    };
    let mut tokens = BTreeSet::new();
    if let Some(arguments) = field("arguments") {
        options(arguments, &mut tokens);
    }
    found.push((name.to_owned(), tokens));
    for pair in field("subcommands").map_or(&[][..], Reply::items).chunks(2) {
        told(&text(&pair[0]), &pair[1], found);
    }
}

fn options(arguments: &Reply, found: &mut BTreeSet<String>) {
    for argument in arguments.items() {
        for pair in argument.items().chunks(2) {
            match &*text(&pair[0]) {
                "token" => drop(found.insert(text(&pair[1]).to_uppercase())),
                "arguments" => options(&pair[1], found),
                _ => {}
            }
        }
    }
}

/// What no family makes of these commands: `name`, `name|sub` or `name OPTION`.
fn missing(told: &[(String, BTreeSet<String>)]) -> BTreeSet<String> {
    let vocabulary = Vocabulary::of(ALL);
    let mut missing = BTreeSet::new();
    for (name, options) in told {
        let (command, sub) = name.split_once('|').unwrap_or((name, ""));
        match vocabulary.words(command, sub) {
            None => drop(missing.insert(name.clone())),
            Some(words) => missing.extend(
                options
                    .iter()
                    .filter(|option| !words.contains(*option))
                    .map(|option| format!("{name} {option}")),
            ),
        }
    }
    missing
}

#[test]
fn the_whole_command_table_is_compared() {
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let server = ours.start().expect("the server starts");
    let mut wire = Wire::new(server.connect().expect("the server accepts"));
    let docs = wire.ask(&["COMMAND", "DOCS"]).expect("the server answers");
    let mut found = Vec::new();
    for pair in docs.items().chunks(2) {
        told(&text(&pair[0]), &pair[1], &mut found);
    }
    assert!(found.len() > 300, "the table is told: {}", found.len());
    let missing = missing(&found);
    let excused: BTreeSet<String> = NOT_MADE
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let left_out: Vec<_> = missing.difference(&excused).collect();
    let no_longer: Vec<_> = excused.difference(&missing).collect();
    assert!(
        left_out.is_empty() && no_longer.is_empty(),
        "no grammar makes {left_out:#?}\nmade, or unknown, although excused: {no_longer:#?}"
    );
}
