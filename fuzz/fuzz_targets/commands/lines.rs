//! Whole commands, made by what the command table says of their arguments, and then spoilt now and then.

use std::sync::OnceLock;

use innkeep::commands::docs::{Argument, parse};
use innkeep::commands::table::{Command, table};

use crate::bytes::Bytes;
use crate::words;

/// What would end the process, wait in real time, open connections, or lock the clients out.
const LEFT_OUT: &[&str] = &[
    "shutdown",
    "migrate",
    "debug",
    "script|debug",
    "acl|load",
    "acl|save",
];

/// Groups about the data: most commands are theirs.
const DATA: &[&str] = &[
    "string",
    "bitmap",
    "list",
    "hash",
    "set",
    "sorted-set",
    "geo",
    "stream",
    "hyperloglog",
    "generic",
    "transactions",
    "scripting",
];

struct Known {
    command: &'static Command,
    arguments: Vec<Argument<'static>>,
}

#[derive(Default)]
struct Lists {
    data: Vec<Known>,
    all: Vec<Known>,
}

fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| {
        let mut lists = Lists::default();
        let known = |command: &&'static Command| Known {
            command,
            arguments: parse(command.spec.arguments).expect("the notation is kept"),
        };
        let all = table().all.iter();
        let taken: Vec<_> = all
            .filter(|command| !LEFT_OUT.contains(&command.full_name.as_str()))
            .collect();
        lists.data = taken
            .iter()
            .filter(|command| DATA.contains(&command.spec.group))
            .map(|command| known(command))
            .collect();
        lists.all = taken.into_iter().map(known).collect();
        lists
    })
}

pub type Line = Vec<Vec<u8>>;

pub fn line(words: &[&str]) -> Line {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// One command of the table, mostly as it should be.
pub fn command(bytes: &mut Bytes<'_>) -> Line {
    let lists = lists();
    let from = if bytes.chance(6) {
        &lists.all
    } else {
        &lists.data
    };
    let known = &from[bytes.below(from.len())];
    let name = known.command.full_name.split('|');
    let mut maker = Maker {
        line: name.map(|word| word.as_bytes().to_vec()).collect(),
        group: known.command.spec.group,
        count: None,
    };
    maker.arguments(&known.arguments, bytes);
    let mut line = maker.line;
    if bytes.chance(8) {
        spoil(&mut line, bytes);
    }
    tame(&mut line);
    line
}

struct Maker {
    line: Line,
    group: &'static str,
    /// Where a number stands that says how many words follow.
    count: Option<usize>,
}

impl Maker {
    fn arguments(&mut self, arguments: &[Argument<'_>], bytes: &mut Bytes<'_>) {
        for argument in arguments {
            if !argument.optional || bytes.chance(2) {
                self.argument(argument, bytes);
            }
        }
    }

    fn argument(&mut self, argument: &Argument<'_>, bytes: &mut Bytes<'_>) {
        let times = if argument.multiple {
            1 + bytes.below(4)
        } else {
            1
        };
        let count = self.count.take().filter(|_| argument.multiple);
        for time in 0..times {
            if let Some(token) = argument.token
                && (time == 0 || argument.multiple_token)
            {
                self.line.push(token.as_bytes().to_vec());
            }
            self.value(argument, bytes);
        }
        if let Some(at) = count
            && !bytes.chance(20)
        {
            self.line[at] = times.to_string().into_bytes();
        }
    }

    fn value(&mut self, argument: &Argument<'_>, bytes: &mut Bytes<'_>) {
        let word = match argument.kind {
            "pure-token" => return,
            "oneof" => {
                let chosen = bytes.below(argument.arguments.len());
                return self.argument(&argument.arguments[chosen], bytes);
            }
            "block" => return self.arguments(&argument.arguments, bytes),
            "key" => words::key(bytes, self.group),
            "integer" => {
                if argument.name.starts_with("num") {
                    self.count = Some(self.line.len());
                }
                words::number(bytes)
            }
            "double" => words::double(bytes),
            "unix-time" => words::time(bytes),
            "pattern" => words::pattern(bytes),
            _ => words::named(bytes, argument.name),
        };
        self.line.push(word);
    }
}

/// A word replaced, left out, said twice, or put elsewhere.
fn spoil(line: &mut Line, bytes: &mut Bytes<'_>) {
    let at = bytes.below(line.len());
    match bytes.below(5) {
        0 => line[at] = words::number(bytes),
        1 => drop(line.remove(at)),
        2 => line.insert(at, line[at].clone()),
        3 => line[at] = words::named(bytes, "element"),
        _ => {
            let other = bytes.below(line.len());
            line.swap(at, other);
        }
    }
}

/// Takes the edge off what may go on for hours, as it does in every server, or lock the clients out.
fn tame(line: &mut Line) {
    let is = |word: Option<&Vec<u8>>, name: &[u8]| {
        word.is_some_and(|word| word.eq_ignore_ascii_case(name))
    };
    let first = line.first();
    if LEFT_OUT.iter().any(|name| is(first, name.as_bytes())) {
        line.clear();
    } else if is(first, b"script") && is(line.get(1), b"debug")
        || is(first, b"acl") && line.iter().any(|word| is(Some(word), b"default"))
    {
        line.clear();
    } else if is(first, b"config") && is(line.get(1), b"set") {
        line.truncate(2);
    } else if [&b"srandmember"[..], b"hrandmember", b"zrandmember"]
        .iter()
        .any(|name| is(first, name))
    {
        for word in line
            .iter_mut()
            .filter(|word| word.starts_with(b"-") && word.len() > 4)
        {
            word.truncate(4);
        }
    }
    if line.is_empty() {
        line.push(b"ping".to_vec());
    }
}
