//! The small language in which the tables of commands say what arguments look like, and the random commands made
//! from it. It knows no server.
//!
//! Words in capitals stand for themselves; words in lower case are classes of arguments ([`Pool`]). `[a | b]` may be
//! left out, `(a | b)` may not; `<a b c>` takes its parts in any order; `x+` repeats; `#x` is a count and that many.

use std::collections::BTreeSet;

use crate::pool::Pool;
use crate::random::Random;
use crate::reasons::reason;

/// How the replies of a command are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Byte for byte.
    Exact,
    /// The same members in any order, unless the key is in a compact form, which keeps an order.
    Unordered,
    /// The same, two by two: fields and values.
    UnorderedPairs,
    /// Numbers that a clock has made: equal up to this many units.
    Near(i64),
    /// The same, but that numbers, however deep, may be apart by this many units, as times are.
    Clocked(i64),
    /// The random choice of one or some of the key's members: as many, and all of them members.
    Choice,
    /// A random choice that also removes.
    Removal,
    /// A key of the database, or none.
    AnyKey,
    /// The whole iteration, from cursor 0 to cursor 0.
    Iteration,
    /// Lines of clients: the fields that are not a process's own.
    Clients,
    /// What DEBUG OBJECT says of a value, but for its place in memory and its clock.
    Value,
    /// The same types and lengths, but not the same texts.
    Shape,
    /// Only whether it fails, and how: the answer is about the server itself.
    Errors,
}

/// A line of a table: the command, its arguments, how to compare.
pub(crate) type Row = (&'static str, &'static str, Compare);

/// The commands of one family, the beginning of the keys that mostly hold its type, and how often it is chosen.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) prefix: char,
    pub(crate) weight: usize,
    pub(crate) commands: &'static [Row],
}

/// A command with its arguments, ready to be sent.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) compare: Compare,
}

impl Command {
    pub(crate) fn new(words: &[&str], compare: Compare) -> Self {
        Self {
            arguments: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            compare,
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.arguments
            .first()
            .is_some_and(|first| first.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The key of a command that has one in the first place.
    pub(crate) fn key(&self) -> &[u8] {
        self.arguments.get(1).map_or(b"", Vec::as_slice)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, argument) in self.arguments.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            if !argument.is_empty() && argument.iter().all(u8::is_ascii_graphic) {
                write!(formatter, "{space}{}", argument.escape_ascii())?;
            } else {
                write!(formatter, "{space}\"{}\"", argument.escape_ascii())?;
            }
        }
        Ok(())
    }
}

/// A part of the arguments.
#[derive(Debug, Clone)]
enum Part {
    Literal(&'static str),
    Class(&'static str),
    /// One of these, or nothing where it is optional.
    Choice(Vec<Vec<Part>>, bool),
    AnyOrder(Vec<Part>),
    Repeat(Box<Part>),
    Counted(Box<Part>),
}

impl Part {
    /// All words that it can be, in capitals, but for keys.
    fn words(&self, found: &mut BTreeSet<String>) {
        match self {
            Self::Literal(word) => drop(found.insert(word.to_uppercase())),
            Self::Class(class) => {
                let values = Pool::CLASSES.iter().find(|(name, _)| name == class);
                let values = values.map_or(&[][..], |(_, values)| values);
                found.extend(values.iter().map(|value| value.to_uppercase()));
            }
            Self::Choice(choices, _) => {
                choices.iter().flatten().for_each(|part| part.words(found));
            }
            Self::AnyOrder(parts) => parts.iter().for_each(|part| part.words(found)),
            Self::Repeat(part) | Self::Counted(part) => part.words(found),
        }
    }
}

/// A line of a table, and its arguments as they were read.
type ReadRow = (Row, Vec<Part>);

/// The tables, made ready for choosing from.
#[derive(Debug)]
pub(crate) struct Grammar {
    families: Vec<(&'static Family, Vec<ReadRow>)>,
}

impl Grammar {
    /// The grammar of those of these families that `only` names, or of all.
    pub(crate) fn new(families: &'static [Family], only: &str) -> Self {
        let families = families
            .iter()
            .filter(|family| only.is_empty() || only.split(',').any(|name| name == family.name))
            .map(|family| {
                (
                    family,
                    family
                        .commands
                        .iter()
                        .map(|row| (*row, parse(row.1)))
                        .collect(),
                )
            })
            .collect();
        Self { families }
    }

    /// The grammar of one command, from all families that have it.
    pub(crate) fn of_command(families: &'static [Family], name: &str) -> Self {
        let mut grammar = Self::new(families, "");
        for (_, rows) in &mut grammar.families {
            rows.retain(|(row, _)| row.0.eq_ignore_ascii_case(name));
        }
        grammar.families.retain(|(_, rows)| !rows.is_empty());
        grammar
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// A random command of a random family, as [`Self::command`] makes it; one of twenty is spoilt.
    pub(crate) fn command_or_worse(&self, random: &mut Random) -> Command {
        let (mut command, arguments) = self.choose(random);
        // Newer servers, beside which the last two come up, read cursors otherwise, and complain of streams otherwise.
        let spared = [
            "timeout",
            "blockms",
            "lexkey",
            "rankedmember",
            "NOVALUES",
            "unread",
            "last",
            "@m",
        ];
        // These tell of the server itself with another word, end it, or make replicas; the sweep of wrong
        // input has them.
        let whole = [
            "ACL",
            "CLIENT",
            "COMMAND",
            "CONFIG",
            "FAILOVER",
            "FUNCTION",
            "LATENCY",
            "MEMORY",
            "REPLCONF",
            "REPLICAOF",
            "SCRIPT",
            "SHUTDOWN",
            "SLAVEOF",
            "SLOWLOG",
            "WAITAOF",
        ];
        let is_spared = whole.iter().any(|name| command.is(name))
            || spared.iter().any(|class| arguments.contains(class));
        if random.chance(5) && !is_spared {
            let sound = command.clone();
            spoil(&mut command, random);
            if command.is("LPOS") && reason(&command.arguments).is_some() {
                return sound;
            }
        }
        command
    }

    /// A random command of a random family.
    pub(crate) fn command(&self, random: &mut Random) -> Command {
        self.choose(random).0
    }

    fn choose(&self, random: &mut Random) -> (Command, &'static str) {
        let total: usize = self.families.iter().map(|(family, _)| family.weight).sum();
        let mut at = random.below(total);
        for (family, rows) in &self.families {
            if at < family.weight {
                let ((name, arguments, compare), parts) = random.pick(rows);
                let mut writer = Writer {
                    pool: Pool {
                        prefix: family.prefix,
                    },
                    random,
                    words: Vec::new(),
                };
                writer.literal(name);
                writer.sequence(parts);
                return (
                    Command {
                        arguments: writer.words,
                        compare: *compare,
                    },
                    arguments,
                );
            }
            at -= family.weight;
        }
        unreachable!("the weights add up to the total")
    }
}

/// What a client gets wrong: an argument too many or too few, a bad number, two arguments exchanged.
fn spoil(command: &mut Command, random: &mut Random) {
    const JUNK: &[&str] = &[
        "",
        "abc",
        "-1",
        "0",
        "1",
        "1.5",
        "nan",
        " 1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
    ];
    let arguments = &mut command.arguments;
    let last = arguments.len() - 1;
    match random.below(4) {
        // COMMAND alone tells the whole table; the sweep of wrong input has commands without words.
        0 if last > 1 => drop(arguments.pop()),
        1 => arguments.push(random.pick(JUNK).as_bytes().to_vec()),
        2 if last > 0 => arguments[1 + random.below(last)] = random.pick(JUNK).as_bytes().to_vec(),
        _ if last > 1 => arguments.swap(1 + random.below(last), 1 + random.below(last)),
        _ => {}
    }
}

/// All words that the tables of some families can make.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    rows: Vec<ReadRow>,
}

impl Vocabulary {
    pub(crate) fn of(families: &[&[Family]]) -> Self {
        let families = families.iter().copied().flatten();
        let rows = families.flat_map(|family| family.commands);
        Self {
            rows: rows.map(|row| (*row, parse(row.1))).collect(),
        }
    }

    /// The words that are made behind the name of a command, or of its subcommand if `sub` names one, in capitals;
    /// none if no table has it.
    pub(crate) fn words(&self, command: &str, sub: &str) -> Option<BTreeSet<String>> {
        let rows = self.rows.iter().filter(|((name, ..), parts)| {
            let mut first = BTreeSet::new();
            firsts(parts, &mut first);
            name.eq_ignore_ascii_case(command)
                && (sub.is_empty() || first.contains(&sub.to_uppercase()))
        });
        let mut any = false;
        let mut found = BTreeSet::new();
        for (_, parts) in rows {
            any = true;
            parts.iter().for_each(|part| part.words(&mut found));
        }
        any.then_some(found)
    }
}

/// The words with which these parts can begin.
fn firsts(parts: &[Part], found: &mut BTreeSet<String>) {
    for part in parts {
        match part {
            Part::Choice(choices, optional) => {
                choices.iter().for_each(|choice| firsts(choice, found));
                if *optional {
                    continue;
                }
            }
            Part::AnyOrder(parts) => parts
                .iter()
                .for_each(|part| firsts(std::slice::from_ref(part), found)),
            Part::Repeat(part) => firsts(std::slice::from_ref(part), found),
            Part::Literal(_) | Part::Class(_) => part.words(found),
            Part::Counted(_) => {}
        }
        return;
    }
}

struct Writer<'random> {
    pool: Pool,
    random: &'random mut Random,
    words: Vec<Vec<u8>>,
}

impl Writer<'_> {
    fn literal(&mut self, word: &str) {
        let word = if self.random.chance(20) {
            word.to_ascii_lowercase()
        } else {
            word.to_owned()
        };
        self.words.push(word.into_bytes());
    }

    fn sequence(&mut self, parts: &[Part]) {
        for part in parts {
            self.part(part);
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Literal(word) => self.literal(word),
            Part::Class(class) => self.words.push(self.pool.argument(class, self.random)),
            Part::Choice(choices, optional) => {
                if !optional || self.random.chance(50) {
                    let choice = self.random.pick(choices);
                    self.sequence(choice);
                }
            }
            Part::AnyOrder(parts) => {
                let mut order: Vec<&Part> = parts.iter().collect();
                self.random.shuffle(&mut order);
                for part in order {
                    self.part(part);
                }
            }
            Part::Repeat(part) => self.times(part, 1),
            Part::Counted(part) => {
                let at = self.words.len();
                self.times(part, 1);
                let count = self.words.len() - at;
                // A wrong count now and then.
                let count = if self.random.chance(4) {
                    count + 1
                } else {
                    count
                };
                self.words.insert(at, count.to_string().into_bytes());
            }
        }
    }

    fn times(&mut self, part: &Part, least: usize) {
        // Mostly one or two; sometimes enough to leave a compact form at once.
        let times = if self.random.chance(5) {
            12
        } else {
            least + self.random.below(3)
        };
        for _ in 0..times {
            self.part(part);
        }
    }
}

fn parse(text: &'static str) -> Vec<Part> {
    let mut tokens = Tokens { text };
    let parts = tokens.sequence();
    assert!(
        tokens.text.is_empty(),
        "left over in {text:?}: {:?}",
        tokens.text
    );
    parts
}

struct Tokens {
    text: &'static str,
}

impl Tokens {
    fn take(&mut self, symbol: char) -> bool {
        self.text = self.text.trim_start();
        let rest = self.text.strip_prefix(symbol);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn sequence(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        loop {
            self.text = self.text.trim_start();
            if self.text.is_empty() || self.text.starts_with(['|', ']', ')', '>']) {
                return parts;
            }
            parts.push(self.part());
        }
    }

    fn part(&mut self) -> Part {
        if self.take('#') {
            return Part::Counted(Box::new(self.part()));
        }
        let part = if self.take('[') {
            Part::Choice(self.choices(']'), true)
        } else if self.take('(') {
            Part::Choice(self.choices(')'), false)
        } else if self.take('<') {
            let parts = self.sequence();
            assert!(self.take('>'), "no > before {:?}", self.text);
            Part::AnyOrder(parts)
        } else {
            self.word()
        };
        if self.text.starts_with('+') {
            self.text = &self.text[1..];
            return Part::Repeat(Box::new(part));
        }
        part
    }

    fn choices(&mut self, end: char) -> Vec<Vec<Part>> {
        let mut choices = vec![self.sequence()];
        while self.take('|') {
            choices.push(self.sequence());
        }
        assert!(self.take(end), "no {end} before {:?}", self.text);
        choices
    }

    fn word(&mut self) -> Part {
        let end = self
            .text
            .find(|symbol: char| symbol.is_whitespace() || "[]()<>|#+".contains(symbol));
        let (word, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        assert!(!word.is_empty(), "no word before {rest:?}");
        self.text = rest;
        if word.starts_with(|first: char| first.is_ascii_lowercase()) {
            assert!(
                Pool::CLASSES.iter().any(|(class, _)| *class == word)
                    || word == "key"
                    || ["other", "payload"].contains(&word),
                "no class {word}"
            );
            Part::Class(word)
        } else {
            Part::Literal(word)
        }
    }
}
