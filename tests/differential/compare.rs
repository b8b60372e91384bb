//! When two replies count as the same. It knows no sockets: what else must be asked is asked by the caller.

use std::collections::BTreeSet;

use crate::grammar::{Command, Compare};
use crate::reasons::{NEWER_CONSUMER_FIELDS, NEWER_FIELDS, OWN_FIELDS, OWN_FLAG};
use innkeep_test_server::wire::{Body, Reply};

/// Whether two replies to a command may stand, as far as they tell by themselves.
pub(crate) fn agree(compare: Compare, ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    if ours.is_error() || theirs.is_error() {
        return false;
    }
    match compare {
        Compare::Exact => false,
        Compare::Unordered => same_members(ours, theirs, 1),
        Compare::UnorderedPairs => same_members(ours, theirs, 2),
        Compare::Near(tolerance) => near(ours, theirs, tolerance),
        Compare::Clocked(tolerance) => {
            let (ours, theirs) = (without_newer(ours), without_newer(theirs));
            clocked(&ours, &theirs, tolerance)
        }
        Compare::Shape | Compare::Choice | Compare::Removal | Compare::AnyKey => {
            same_shape(ours, theirs)
        }
        // One page of an iteration that nobody walks to its end.
        Compare::Iteration => {
            ours.kind == theirs.kind && ours.items().len() == theirs.items().len()
        }
        Compare::Errors => ours.kind == theirs.kind,
        Compare::Value => same_value(ours, theirs),
        Compare::Clients => ours.kind == theirs.kind && clients(ours) == clients(theirs),
    }
}

/// Two numbers that are both times, and not far apart.
pub(crate) fn near(ours: &Reply, theirs: &Reply, tolerance: i64) -> bool {
    match (ours.int(), theirs.int()) {
        (Some(ours @ 0..), Some(theirs @ 0..)) => ours.abs_diff(theirs) <= tolerance.unsigned_abs(),
        _ => false,
    }
}

/// A reply without the fields of consumers that only Redis 7.2 tells, in a map or in pairs.
fn without_newer(reply: &Reply) -> Reply {
    let Body::Items(items) = &reply.body else {
        return reply.clone();
    };
    let mut kept = Vec::with_capacity(items.len());
    let mut items = items.iter();
    while let Some(item) = items.next() {
        if NEWER_CONSUMER_FIELDS.contains(&item.bytes()) {
            items.next();
        } else {
            kept.push(without_newer(item));
        }
    }
    Reply {
        kind: reply.kind,
        body: Body::Items(kept),
    }
}

/// The same but for numbers that are not far apart.
fn clocked(ours: &Reply, theirs: &Reply, tolerance: i64) -> bool {
    if ours == theirs || near(ours, theirs, tolerance) {
        return true;
    }
    let (mine, others) = (ours.items(), theirs.items());
    ours.kind == theirs.kind
        && !mine.is_empty()
        && mine.len() == others.len()
        && mine
            .iter()
            .zip(others)
            .all(|(ours, theirs)| clocked(ours, theirs, tolerance))
}

/// The same type and length, and the same again below.
fn same_shape(ours: &Reply, theirs: &Reply) -> bool {
    ours.kind == theirs.kind
        && match (&ours.body, &theirs.body) {
            (Body::Items(ours), Body::Items(theirs)) => {
                ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(ours, theirs)| same_shape(ours, theirs))
            }
            (Body::Nothing, Body::Nothing)
            | (Body::Bytes(_), Body::Bytes(_))
            | (Body::Line(_), Body::Line(_)) => true,
            _ => false,
        }
}

/// The same members in any order, `width` replies to a member.
pub(crate) fn same_members(ours: &Reply, theirs: &Reply, width: usize) -> bool {
    ours.kind == theirs.kind && sorted(ours.items(), width) == sorted(theirs.items(), width)
}

pub(crate) fn sorted(items: &[Reply], width: usize) -> Vec<&[Reply]> {
    let mut members: Vec<&[Reply]> = items.chunks(width).collect();
    members.sort();
    members
}

/// The bulk strings and numbers of a reply, however deep.
pub(crate) fn flat(reply: &Reply) -> Vec<&[u8]> {
    match &reply.body {
        Body::Items(items) => items.iter().flat_map(flat).collect(),
        Body::Nothing => Vec::new(),
        Body::Line(bytes) | Body::Bytes(bytes) => vec![bytes],
    }
}

/// How many strings stand for one member in the answer to a random choice.
pub(crate) fn width_of_choice(command: &Command) -> usize {
    let with = |word: &str| {
        command
            .arguments
            .iter()
            .skip(3)
            .any(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
    };
    if with("WITHVALUES") || with("WITHSCORES") {
        2
    } else {
        1
    }
}

/// What a random choice got wrong: a stranger, or the same member twice where each may come once.
pub(crate) fn fault_of_choice(
    command: &Command,
    choice: &Reply,
    everything: &Reply,
) -> Option<String> {
    let width = width_of_choice(command);
    let all = flat(everything);
    let is_set = command.is("SRANDMEMBER") || command.is("SPOP");
    let known: Vec<&[&[u8]]> = all.chunks(if is_set { 1 } else { 2 }).collect();
    let chosen = flat(choice);
    let mut members: Vec<&[&[u8]]> = chosen.chunks(width).collect();
    let stranger = members
        .iter()
        .find(|member| !known.iter().any(|known| known[..width] == ***member));
    if let Some(stranger) = stranger {
        return Some(format!("{} is no member", stranger.concat().escape_ascii()));
    }
    let repeats = command
        .arguments
        .get(2)
        .is_some_and(|count| count.starts_with(b"-"));
    members.sort_unstable();
    let twice = members.windows(2).any(|pair| pair[0] == pair[1]);
    (twice && !repeats).then(|| "a member came twice".to_owned())
}

/// Whether all the frames that a subscriber got are the same. The order in which several patterns match one message,
/// or in which all channels are left, is the server's own; the running counts still have to be the same. Of which keys a client
/// is told that they are no longer valid counts, not how often: Redis gathers those of a turn of its loop.
pub(crate) fn frames_agree(ours: &[Reply], theirs: &[Reply]) -> bool {
    let split = |frames: &[Reply]| {
        let mut told = BTreeSet::new();
        let mut names: Vec<(u8, Vec<Reply>)> = Vec::new();
        let mut counts = Vec::new();
        for frame in frames {
            if let [kind, keys] = frame.items()
                && kind.bytes() == b"invalidate"
                && !keys.items().is_empty()
            {
                told.extend(keys.items().iter().cloned());
                continue;
            }
            let (last, rest) = frame
                .items()
                .split_last()
                .map_or((frame.clone(), Vec::new()), |(last, rest)| {
                    (last.clone(), rest.to_vec())
                });
            if last.int().is_some() {
                names.push((frame.kind, rest));
                counts.push(last);
            } else {
                names.push((frame.kind, [rest, vec![last]].concat()));
            }
        }
        names.sort();
        (names, counts, told)
    };
    split(ours) == split(theirs)
}

/// Whether DEBUG OBJECT says the same of two values, but for their places in memory, their clocks, and what a snapshot
/// needs for them: the compressors find other matches.
fn same_value(ours: &Reply, theirs: &Reply) -> bool {
    // The words of a command that waits in MULTI refer to a value, too.
    const OWN: [&str; 4] = ["at:0x", "refcount:", "lru:", "lru_seconds_idle:"];
    let [mine, others] = [ours, theirs].map(|reply| String::from_utf8_lossy(reply.bytes()));
    // A list that SORT stored: the reference lays it out by no setting.
    let is_laid_out_alike = mine == others || !others.contains(" ql_listpack_max:-2 ");
    let alike = |(mine, others): (&str, &str)| {
        let of_layout = ["ql_", "serializedlength:"];
        if !is_laid_out_alike && of_layout.iter().any(|field| mine.starts_with(field)) {
            return true;
        }
        let length = |field: &str| {
            let digits = field.strip_prefix("serializedlength:")?;
            digits.parse::<usize>().ok()
        };
        match (length(mine), length(others)) {
            (Some(mine), Some(others)) => mine.abs_diff(others) <= 6 + others / 20,
            _ => {
                mine == others
                    || OWN
                        .iter()
                        .any(|own| [mine, others].iter().all(|field| field.starts_with(own)))
            }
        }
    };
    ours.kind == theirs.kind
        && mine.split(' ').count() == others.split(' ').count()
        && mine.split(' ').zip(others.split(' ')).all(alike)
}

/// What a client list tells, without ids, addresses, sizes and times, and without what Redis 7.2 adds.
fn clients(list: &Reply) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(list.bytes()).into_owned();
    let field = |field: &str| {
        let (name, value) = field.split_once('=')?;
        // RESP3 says before the first field that it is text.
        let told = if OWN_FIELDS.contains(&name.trim_start_matches("txt:")) {
            ""
        } else {
            value
        };
        let told = match name {
            "flags" if told == OWN_FLAG => "N".to_owned(),
            "flags" => told.replace(OWN_FLAG, ""),
            _ => told.to_owned(),
        };
        (!NEWER_FIELDS.contains(&name)).then(|| format!("{name}={told}"))
    };
    text.lines()
        .map(|line| line.split(' ').filter_map(field).collect())
        .collect()
}
