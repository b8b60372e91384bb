//! The arguments of a command in one line of text, and COMMAND DOCS, which tells them. Knows no command's meaning.
//!
//! The notation: one word for each argument, separated by blanks,
//! `name:type[(display)][#keyspec][=TOKEN][?][*][+][@since][~deprecated since][{arguments}]`, where `?` is optional, `*`
//! multiple, `+` multiple with its token each time, and `=""` an empty token.

use super::table::Command;
use crate::reply::Reply;

/// One argument.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Argument<'a> {
    /// Its name.
    pub name: &'a str,
    /// `string`, `integer`, `key`, `pure-token`, `oneof`, `block` …
    pub kind: &'a str,
    /// What a synopsis shows in its place.
    pub display: Option<&'a str>,
    /// The rule that finds the key.
    pub key_spec: Option<i64>,
    /// The word that precedes it, or that it is.
    pub token: Option<&'a str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Its token is repeated too.
    pub multiple_token: bool,
    /// First version that had it.
    pub since: Option<&'a str>,
    /// First version that advised against it.
    pub deprecated_since: Option<&'a str>,
    /// Its parts, for `oneof` and `block`.
    pub arguments: Vec<Self>,
}

const KINDS: &[&str] = &[
    "pure-token",
    "string",
    "integer",
    "double",
    "key",
    "pattern",
    "unix-time",
    "oneof",
    "block",
];

/// Reads the arguments of an entry. `None` where the text breaks the notation.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Argument<'_>>> {
    let mut rest = text;
    let arguments = parse_list(&mut rest)?;
    rest.is_empty().then_some(arguments)
}

fn parse_list<'a>(rest: &mut &'a str) -> Option<Vec<Argument<'a>>> {
    let mut arguments = Vec::new();
    while !rest.is_empty() && !rest.starts_with('}') {
        arguments.push(parse_argument(rest)?);
        *rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    Some(arguments)
}

fn parse_argument<'a>(rest: &mut &'a str) -> Option<Argument<'a>> {
    let (name, kind) = parse_name(rest)?;
    let mut argument = Argument {
        name,
        kind,
        ..Argument::default()
    };
    while let Some(mark) = rest.chars().next().filter(|c| !" }".contains(*c)) {
        *rest = rest.get(1..)?;
        match mark {
            '(' => argument.display = Some(take_until(rest, ")", ")")?),
            '#' => argument.key_spec = Some(take_until(rest, "", "=?*+@~{} ")?.parse().ok()?),
            '=' => argument.token = Some(parse_token(rest)?),
            '?' => argument.optional = true,
            '*' => argument.multiple = true,
            '+' => argument.multiple_token = true,
            '@' => argument.since = Some(take_until(rest, "", "~{} ")?),
            '~' => argument.deprecated_since = Some(take_until(rest, "", "{} ")?),
            '{' => {
                argument.arguments = parse_list(rest)?;
                *rest = rest.strip_prefix('}')?;
            }
            _ => return None,
        }
    }
    Some(argument)
}

/// A name may hold colons itself: it ends at the first one that a type follows.
fn parse_name<'a>(rest: &mut &'a str) -> Option<(&'a str, &'a str)> {
    let colons = rest.match_indices(':').map(|(at, _)| at);
    for at in colons {
        let after = rest.get(at + 1..)?;
        let ends = |tail: &str| {
            tail.chars()
                .next()
                .is_none_or(|c| "(#=?*+@~{} ".contains(c))
        };
        let kind = KINDS
            .iter()
            .find(|kind| after.strip_prefix(**kind).is_some_and(ends));
        if let Some(kind) = kind {
            let name = rest.get(..at)?;
            *rest = after.get(kind.len()..)?;
            return Some((name, kind));
        }
    }
    None
}

/// Its first character may be one that would otherwise be a mark: `=`, `~`.
fn parse_token<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if let Some(after) = rest.strip_prefix("\"\"") {
        *rest = after;
        return Some("");
    }
    let first = rest.chars().next()?.len_utf8();
    let end = rest
        .get(first..)?
        .find(['?', '*', '+', '@', '~', '{', '}', ' ']);
    let (token, after) = rest.split_at(end.map_or(rest.len(), |end| first + end));
    *rest = after;
    Some(token)
}

/// The text up to one of `ends`, or to the end; `skip` is left out after it.
fn take_until<'a>(rest: &mut &'a str, skip: &str, ends: &str) -> Option<&'a str> {
    let end = rest.find(|c| ends.contains(c)).unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    *rest = after.strip_prefix(skip)?;
    Some(text)
}

// ------------------------------------------------------------------------------------------------ replies

/// The subcommands in the order of their entries.
pub(super) fn subcommands(command: &Command) -> impl Iterator<Item = &'static Command> {
    let specs = command.spec.subcommands.iter();
    specs.filter_map(|spec| command.subcommands.get(spec.name).copied())
}

fn text(reply: &mut dyn Reply, key: &str, value: &str) {
    reply.bulk(key.as_bytes());
    reply.bulk(value.as_bytes());
}

fn optional_text(reply: &mut dyn Reply, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(reply, key, value);
    }
}

/// One command's entry of COMMAND DOCS: its name and a map.
pub(super) fn write(reply: &mut dyn Reply, command: &Command) {
    let spec = command.spec;
    let arguments = parse(spec.arguments).unwrap_or_default();
    let complexity = Some(spec.complexity).filter(|text| !text.is_empty());
    let fields = 3
        + usize::from(complexity.is_some())
        + usize::from(spec.deprecated.is_some() || !spec.doc_flags.is_empty())
        + if spec.deprecated.is_some() { 2 } else { 0 }
        + usize::from(!spec.history.is_empty())
        + usize::from(!arguments.is_empty())
        + usize::from(!spec.subcommands.is_empty());
    reply.bulk(command.full_name.as_bytes());
    reply.map(fields);
    text(reply, "summary", spec.summary);
    text(reply, "since", spec.since);
    text(reply, "group", spec.group);
    optional_text(reply, "complexity", complexity);
    let deprecated = spec.deprecated.map(|_| "deprecated");
    let doc_flags: Vec<&str> = spec
        .doc_flags
        .split_whitespace()
        .chain(deprecated)
        .collect();
    if !doc_flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.set(doc_flags.len());
        doc_flags.iter().for_each(|flag| reply.simple(flag));
    }
    if let Some((since, replaced_by)) = spec.deprecated {
        text(reply, "deprecated_since", since);
        text(reply, "replaced_by", replaced_by);
    }
    if !spec.history.is_empty() {
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(reply, &arguments);
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        subcommands(command).for_each(|sub| write(reply, sub));
    }
}

fn write_arguments(reply: &mut dyn Reply, arguments: &[Argument<'_>]) {
    reply.array(arguments.len());
    arguments
        .iter()
        .for_each(|argument| write_argument(reply, argument));
}

fn write_argument(reply: &mut dyn Reply, argument: &Argument<'_>) {
    let flags = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    let texts = [
        ("token", argument.token),
        ("since", argument.since),
        ("deprecated_since", argument.deprecated_since),
    ];
    let fields = 2
        + usize::from(argument.display.is_some())
        + usize::from(argument.key_spec.is_some())
        + texts.iter().filter(|(_, value)| value.is_some()).count()
        + usize::from(!flags.is_empty())
        + usize::from(!argument.arguments.is_empty());
    reply.map(fields);
    text(reply, "name", argument.name);
    text(reply, "type", argument.kind);
    optional_text(reply, "display_text", argument.display);
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.int(index);
    }
    for (key, value) in texts {
        optional_text(reply, key, value);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !argument.arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(reply, &argument.arguments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_read() {
        let text = "ip:port:string~2.8.12 key:key(k 2)#0 x:oneof=LIMIT?*+@7.0.0~7.2.0{a:block{b:integer \
                    c:pure-token==} d:pure-token=~@1.2} e:string=\"\"?";
        let arguments = parse(text).expect("the notation is kept");
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name).collect();
        assert_eq!(names, ["ip:port", "key", "x", "e"]);
        assert_eq!(arguments[0].deprecated_since, Some("2.8.12"));
        assert_eq!(
            (arguments[1].display, arguments[1].key_spec),
            (Some("k 2"), Some(0))
        );
        let x = &arguments[2];
        assert_eq!(
            (x.token, x.since, x.deprecated_since),
            (Some("LIMIT"), Some("7.0.0"), Some("7.2.0"))
        );
        assert!(x.optional && x.multiple && x.multiple_token);
        assert_eq!(x.arguments[0].arguments[1].token, Some("="));
        assert_eq!(
            (x.arguments[1].token, x.arguments[1].since),
            (Some("~"), Some("1.2"))
        );
        assert_eq!(
            (arguments[3].token, arguments[3].optional),
            (Some(""), true)
        );
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            "a",
            "a:b",
            "a:string{b:key",
            "a:string}",
            "a:string!",
            "a:key#x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_entry_keeps_the_notation() {
        for command in &crate::commands::table::table().all {
            assert!(
                parse(command.spec.arguments).is_some(),
                "{}",
                command.full_name
            );
        }
    }
}
