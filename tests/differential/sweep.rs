//! Wrong input, swept: every command that both servers know, with no words to six words of every kind, and with good
//! words spoilt. The replies have to be the same to the letter. `INNKEEP_DIFF_SWEEP` says how many lines a command
//! gets beyond those with one word, `INNKEEP_DIFF_SEED` which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use innkeep_test_server::wire::{Body, Reply, Wire};
use innkeep_test_server::{Launch, Server, may_skip};

use crate::compare::agree;
use crate::families::FAMILIES;
use crate::grammar::{Command, Compare, Grammar, Row};
use crate::random::Random;
use crate::reasons::{NOT_SWEPT, reason, runs_out_soon};

const DEFAULT_LINES: u64 = 100;

/// Lines that are tried on the same data before it is made anew.
const GROUP: usize = 12;

/// Differences that are shown before the sweep gives up.
pub(crate) const SHOWN: usize = 60;

/// The data that each group of lines begins with.
const DATA: &[&[&str]] = &[
    &["SET", "s", "hello"],
    &["SET", "n", "10"],
    &["SET", "f", "3.5"],
    &["RPUSH", "l", "a", "b", "c", "1"],
    &["HSET", "h", "f1", "v", "f2", "10", "f3", "1.5"],
    &["SADD", "t", "a", "b", "c"],
    &["SADD", "i", "1", "2", "3"],
    &["ZADD", "z", "1", "a", "2", "b", "3", "c"],
];

/// What the data is asked for after each group.
const CHECKS: &[(&[&str], Compare)] = &[
    (&["KEYS", "*"], Compare::Unordered),
    (&["GET", "s"], Compare::Exact),
    (&["GET", "n"], Compare::Exact),
    (&["GET", "f"], Compare::Exact),
    (&["LRANGE", "l", "0", "-1"], Compare::Exact),
    (&["HGETALL", "h"], Compare::UnorderedPairs),
    (&["SMEMBERS", "t"], Compare::Unordered),
    (&["SMEMBERS", "i"], Compare::Unordered),
    (&["ZRANGE", "z", "0", "-1", "WITHSCORES"], Compare::Exact),
];

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "s", "n", "f", "l", "h", "t", "i", "z", "missing", "missing2",
    "0", "1", "2", "3", "-1", "-2", "10", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "18446744073709551616", "4294967296", " 1", "1 ", "+1", "1e3", "0x1", "01", "-0", "1.5", "-1.5", "nan", "inf", "-inf",
    "+inf", "infinity", "1e400", "1e-400", ".5", "5.", "1e", "1.5.5", "", "a", "b", "f1", "\0", "\r\n", "\u{ff}", "*", "(1", "[a", "-", "+", "(", "[",
    "abc", "a value that is longer than the compact forms take", "1,5",
];

/// A command or subcommand, and what its lines are made of.
pub(crate) struct Target {
    /// `get`, or `client` and `kill`.
    pub(crate) name: Vec<String>,
    blocking: bool,
    tokens: Vec<Vec<u8>>,
    compare: Compare,
    grammar: Option<Grammar>,
}

/// Two servers with a connection to each.
pub(crate) struct Both {
    servers: [Server; 2],
    wires: [Wire; 2],
}

impl Both {
    pub(crate) fn start(ours: Launch, theirs: Launch) -> io::Result<Self> {
        let servers = [ours.start()?, theirs.start()?];
        let wires = [
            Wire::new(servers[0].connect()?),
            Wire::new(servers[1].connect()?),
        ];
        let mut both = Self { servers, wires };
        for wire in &mut both.wires {
            wire.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])?;
            // What is slow is each machine's own affair.
            wire.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"])?;
        }
        Ok(both)
    }

    pub(crate) fn ask(&mut self, words: &[&str]) -> io::Result<[Reply; 2]> {
        let [ours, theirs] = &mut self.wires;
        Ok([ours.ask(words)?, theirs.ask(words)?])
    }

    /// All lines in one piece to both; the replies of each.
    pub(crate) fn exchange(&mut self, lines: &[Vec<Vec<u8>>]) -> Result<[Vec<Reply>; 2], String> {
        let mut all = [Vec::new(), Vec::new()];
        for wire in &mut self.wires {
            let sent = wire.send(lines.iter().map(Vec::as_slice));
            sent.map_err(|error| error.to_string())?;
        }
        for (wire, replies) in self.wires.iter_mut().zip(&mut all) {
            for line in lines {
                let reply = wire.receive();
                replies.push(reply.map_err(|error| format!("{}: {error}", show(line)))?);
            }
        }
        Ok(all)
    }

    fn reconnect(&mut self) {
        for (server, wire) in self.servers.iter().zip(&mut self.wires) {
            *wire = Wire::new(server.connect().expect("the server still accepts"));
        }
    }
}

pub(crate) fn show(line: &[Vec<u8>]) -> String {
    let command = Command {
        arguments: line.to_vec(),
        compare: Compare::Exact,
    };
    format!("{command:?}")
}

fn line(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes()).into_owned()
}

/// The rows of all families for this command.
fn rows(name: &str) -> impl Iterator<Item = &'static Row> {
    FAMILIES
        .iter()
        .flat_map(|family| family.commands)
        .filter(move |row| row.0.eq_ignore_ascii_case(name))
}

/// How replies of a command may differ wherever it is tried.
fn compare_of(name: &str) -> Compare {
    let found = rows(name)
        .map(|row| row.2)
        .find(|compare| *compare != Compare::Exact);
    found.unwrap_or(Compare::Exact)
}

/// All option words in the documentation of a command.
fn tokens(docs: &Reply, found: &mut BTreeSet<Vec<u8>>) {
    let items = docs.items();
    for (at, item) in items.iter().enumerate() {
        if item.bytes() == b"token"
            && let Some(token) = items.get(at + 1)
        {
            found.insert(token.bytes().to_vec());
        }
        tokens(item, found);
    }
}

/// The commands and subcommands that both servers know, but for those that `left_out` names.
pub(crate) fn targets(both: &mut Both, left_out: &[(&str, &str)]) -> io::Result<Vec<Target>> {
    let [ours, theirs] = both.ask(&["COMMAND", "LIST"])?;
    let ours: BTreeSet<String> = ours.items().iter().map(text).collect();
    let theirs: BTreeSet<String> = theirs.items().iter().map(text).collect();
    let mut targets = Vec::new();
    for name in ours.intersection(&theirs) {
        let [ours, theirs] = both.ask(&["COMMAND", "INFO", name])?;
        let subcommands = |reply: &Reply| -> BTreeSet<String> {
            let entry = reply.items().first().map_or(&[][..], Reply::items);
            let all = entry.get(9).map_or(&[][..], Reply::items);
            all.iter().map(|entry| text(&entry.items()[0])).collect()
        };
        let (ours, theirs_names) = (subcommands(&ours), subcommands(&theirs));
        let both_know = ours.intersection(&theirs_names);
        for full in std::iter::once(name).chain(both_know) {
            if left_out.iter().any(|(name, _)| name == full) {
                continue;
            }
            targets.push(target(both, full)?);
        }
    }
    Ok(targets)
}

fn target(both: &mut Both, full: &str) -> io::Result<Target> {
    let [_, docs] = both.ask(&["COMMAND", "DOCS", full])?;
    let [_, info] = both.ask(&["COMMAND", "INFO", full])?;
    let mut found = BTreeSet::new();
    tokens(&docs, &mut found);
    let flags = info.items().first().and_then(|entry| entry.items().get(2));
    let blocking =
        flags.is_some_and(|flags| flags.items().iter().any(|flag| flag.bytes() == b"blocking"));
    let name: Vec<String> = full.split('|').map(str::to_owned).collect();
    let own = (name.len() == 1).then(|| Grammar::of_command(FAMILIES, full));
    Ok(Target {
        blocking,
        tokens: found
            .into_iter()
            .filter(|token| !token.is_empty())
            .collect(),
        compare: compare_of(&name[0]),
        grammar: own.filter(|grammar| !grammar.is_empty()),
        name,
    })
}

impl Target {
    fn line(&self, words: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let name = self.name.iter().map(|word| word.clone().into_bytes());
        name.chain(words).collect()
    }

    fn word(&self, random: &mut Random) -> Vec<u8> {
        if !self.tokens.is_empty() && random.chance(25) {
            return random.pick(&self.tokens).clone();
        }
        random.pick(WORDS).as_bytes().to_vec()
    }

    /// No words, every single word, and as many others as asked for.
    pub(crate) fn lines(&self, count: u64, random: &mut Random) -> Vec<Vec<Vec<u8>>> {
        let mut lines = vec![self.line(Vec::new())];
        let single = WORDS.iter().map(|word| word.as_bytes().to_vec());
        lines.extend(
            single
                .chain(self.tokens.clone())
                .map(|word| self.line(vec![word])),
        );
        for _ in 0..count {
            let words = match &self.grammar {
                Some(grammar) if random.chance(50) => self.spoilt(grammar, random),
                _ => (0..2 + random.below(5))
                    .map(|_| self.word(random))
                    .collect(),
            };
            lines.push(self.line(words));
        }
        lines.retain(|line| !runs_out_soon(line));
        lines
    }

    /// Good words on the keys that are there, up to three of them replaced, repeated, left out or put in.
    fn spoilt(&self, grammar: &Grammar, random: &mut Random) -> Vec<Vec<u8>> {
        let mut words = grammar.command(random).arguments.split_off(1);
        for word in &mut words {
            // `s1` of the grammars is `s` here.
            if let [prefix, b'1'..=b'4'] = word[..] {
                *word = vec![prefix];
            }
        }
        for _ in 0..=random.below(3) {
            let at = random.below(words.len() + 1);
            match random.below(4) {
                0 if at < words.len() => words[at] = self.word(random),
                1 if at < words.len() => drop(words.remove(at)),
                2 if at < words.len() => words.insert(at, words[at].clone()),
                _ => words.insert(at, self.word(random)),
            }
        }
        words
    }
}

/// What was found, the first line of each kind of difference.
#[derive(Default)]
pub(crate) struct Found {
    differences: BTreeMap<String, String>,
}

impl Found {
    pub(crate) fn add(&mut self, kind: String, what: String) {
        self.differences.entry(kind).or_insert(what);
    }

    /// Fails with the first `shown` differences, if there are any.
    pub(crate) fn judge(&self, shown: usize, about: &str) {
        let mut report = String::new();
        for what in self.differences.values().take(shown) {
            writeln!(report, "{what}").expect("a String takes everything");
        }
        let count = self.differences.len();
        assert!(
            count == 0,
            "{count} kinds of difference in {about}:\n{report}"
        );
        println!("{about}: no difference");
    }
}

/// Tries some lines on fresh data, up to their first difference.
fn one_group(
    both: &mut Both,
    target: &Target,
    lines: &[Vec<Vec<u8>>],
    protocol: &str,
    found: &mut Found,
) {
    let mut all = vec![
        line(&["RESET"]),
        line(&["HELLO", protocol]),
        line(&["FLUSHALL"]),
    ];
    all.extend(DATA.iter().map(|words| line(words)));
    let prologue = all.len();
    let mut compares = vec![Compare::Errors; prologue];
    for one in lines {
        if target.blocking {
            all.extend([line(&["MULTI"]), one.clone(), line(&["EXEC"])]);
            compares.extend([target.compare; 3]);
        } else {
            all.push(one.clone());
            compares.push(target.compare);
        }
    }
    if target.compare != Compare::Removal {
        // A large set that is sorted into a list in its own order leaves it so.
        let is_own_order = |words: &Vec<Vec<u8>>| {
            words[0].eq_ignore_ascii_case(b"sort") && reason(words).is_some()
        };
        let differs = lines.iter().any(is_own_order);
        for (words, compare) in CHECKS {
            all.push(line(words));
            compares.push(if differs { Compare::Errors } else { *compare });
        }
    }
    let [ours, theirs] = match both.exchange(&all) {
        Ok(replies) => replies,
        Err(error) => {
            found.add(format!("{:?} {error}", target.name), error);
            both.reconnect();
            return;
        }
    };
    for (at, (((ours, theirs), compare), words)) in
        ours.iter().zip(&theirs).zip(compares).zip(&all).enumerate()
    {
        // The answer to what a transaction has queued comes with its end.
        let words = if words[0] == b"EXEC" {
            &all[at - 1]
        } else {
            words
        };
        if !agree(compare, ours, theirs) && reason(words).is_none() {
            let kind = format!("{:?} {} {}", target.name, brief(ours), brief(theirs));
            found.add(
                kind,
                format!("{}\n  ours:   {ours:?}\n  theirs: {theirs:?}", show(words)),
            );
            return;
        }
    }
}

/// An error's text, or only the kind of anything else.
fn brief(reply: &Reply) -> String {
    match &reply.body {
        Body::Line(line) if reply.is_error() => String::from_utf8_lossy(line).into_owned(),
        _ => char::from(reply.kind).to_string(),
    }
}

#[test]
fn wrong_input_is_answered_as_a_real_server_does() {
    let Some(reference) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let count = crate::number("INNKEEP_DIFF_SWEEP").unwrap_or(DEFAULT_LINES);
    let seed = crate::number("INNKEEP_DIFF_SEED").unwrap_or(20_260);
    let only = std::env::var("INNKEEP_DIFF_ONLY").unwrap_or_default();
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let mut both = Both::start(ours, reference).expect("both servers start");
    let mut found = Found::default();
    let mut random = Random::new(seed);
    let mut total = 0;
    let targets = targets(&mut both, NOT_SWEPT).expect("both servers tell of their commands");
    for target in targets
        .iter()
        .filter(|target| only.is_empty() || target.name[0] == only)
    {
        let lines = target.lines(count, &mut random);
        total += lines.len();
        // What a removal by chance leaves is not the same.
        let size = if target.compare == Compare::Removal {
            1
        } else {
            GROUP
        };
        for (at, group) in lines.chunks(size).enumerate() {
            let protocol = if at % 2 == 0 { "2" } else { "3" };
            one_group(&mut both, target, group, protocol, &mut found);
        }
    }
    let about = format!(
        "{total} lines for {} commands from seed {seed}",
        targets.len()
    );
    found.judge(SHOWN, &about);
}
