//! SLOWLOG: shows the commands that took long. They are noted elsewhere.

use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::config::find_parameter;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "2.2.12",
    summary: "A container for slow log commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "count:integer?",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.2.12",
            summary: "Get the slow log's entries",
            complexity: "O(N) where N is the number of entries returned",
            tips: "request_policy:all_nodes nondeterministic_output",
            history: &[(
                "4.0.0",
                "Added client IP address, port and name to the reply.",
            )],
            ..CommandSpec::new(
                "get",
                -2,
                Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
                slowlog_get,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "6.2.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), slowlog_help)
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.2.12",
            summary: "Get the slow log's length",
            complexity: "O(1)",
            tips: "request_policy:all_nodes response_policy:agg_sum nondeterministic_output",
            ..CommandSpec::new(
                "len",
                2,
                Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
                slowlog_len,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.2.12",
            summary: "Clear all entries from the slow log",
            complexity: "O(N) where N is the number of entries in the slowlog",
            tips: "request_policy:all_nodes response_policy:all_succeeded",
            ..CommandSpec::new(
                "reset",
                2,
                Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
                slowlog_reset,
            )
        },
    ],
    ..CommandSpec::new("slowlog", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];

const DEFAULT_COUNT: usize = 10;

fn slowlog_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

/// A command's words as others may see them: passwords are replaced. For whoever notes a command here.
#[must_use]
pub fn without_secrets<'a>(args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    const HIDDEN: &[u8] = b"(redacted)";
    let is = |position: usize, word: &str| {
        let given = args.get(position);
        given.is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    };
    let is_secret = |i: usize| {
        if is(0, "auth") {
            // With more words it is refused before it is known what they are.
            i > 0 && args.len() <= 3
        } else if is(0, "hello") {
            // Both the name and the password are there, or neither is looked at.
            (i > 2 && i + 1 < args.len() && is(i - 1, "auth")) || (i > 3 && is(i - 2, "auth"))
        } else if is(0, "migrate") {
            is_secret_of_migrate(args, i)
        } else if is(0, "acl") && is(1, "setuser") {
            i > 1
        } else if is(0, "config") && is(1, "set") && i > 2 && i % 2 == 1 {
            let parameter = args.get(i - 1).and_then(|name| find_parameter(name));
            parameter.is_some_and(|parameter| parameter.sensitive)
        } else {
            false
        }
    };
    let words = args.iter().enumerate();
    words
        .map(|(i, word)| if is_secret(i) { HIDDEN } else { word })
        .collect()
}

/// Whether the options of MIGRATE, read up to what is wrong with them, end a name or a password at this position.
fn is_secret_of_migrate(args: &[&[u8]], position: usize) -> bool {
    let mut at = 6;
    while let Some(option) = args.get(at) {
        let secrets = match option.to_ascii_lowercase().as_slice() {
            b"copy" | b"replace" => 0,
            b"auth" => 1,
            b"auth2" => 2,
            _ => return false,
        };
        if at + secrets >= args.len() {
            return false;
        }
        if (at + 1..=at + secrets).contains(&position) {
            return true;
        }
        at += 1 + secrets;
    }
    false
}

fn slowlog_get(ctx: &mut Context<'_, '_>) -> CommandResult {
    let wanted = match ctx.args.len() {
        2 => DEFAULT_COUNT,
        3 => match ctx.int(2) {
            Ok(-1) => usize::MAX,
            Ok(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => {
                let text = "ERR count should be greater than or equal to -1";
                return Err(CommandError::text(text));
            }
        },
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    let entries = ctx.services.slow_log.newest(wanted);
    let reply = &mut *ctx.reply;
    reply.array(entries.len());
    for entry in &entries {
        reply.array(6);
        reply.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        reply.int(entry.at);
        reply.int(i64::try_from(entry.duration_us).unwrap_or(i64::MAX));
        reply.array(entry.args.len());
        entry.args.iter().for_each(|word| reply.bulk(word));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Outcome::Done)
}

fn slowlog_len(ctx: &mut Context<'_, '_>) -> CommandResult {
    let len = ctx.services.slow_log.len();
    ctx.reply.int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

fn slowlog_reset(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.services.slow_log.clear();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::without_secrets;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn entries_are_shown_newest_first() {
        let mut harness = Harness::new();
        harness.run("CONFIG SET slowlog-log-slower-than 10");
        for (i, duration) in [9, 10, 11].into_iter().enumerate() {
            let word = i.to_string();
            let args = [&b"GET"[..], word.as_bytes()];
            let log = &harness.services.slow_log;
            log.record(&harness.session.info, &args, duration, 5_000);
        }
        assert_eq!(harness.run("SLOWLOG LEN"), Response::Int(2));
        let Response::Array(entries) = harness.run("SLOWLOG GET 1") else {
            panic!("SLOWLOG GET answers an array");
        };
        let bulk = |text: &str| Response::Bulk(text.as_bytes().to_vec());
        let expected = Response::Array(vec![
            Response::Int(1),
            Response::Int(5),
            Response::Int(11),
            Response::Array(vec![bulk("GET"), bulk("2")]),
            bulk(""),
            bulk(""),
        ]);
        assert_eq!(entries, [expected]);
        assert!(matches!(harness.run("SLOWLOG GET -1"), Response::Array(all) if all.len() == 2));
        assert_eq!(harness.run("SLOWLOG RESET"), Response::Simple("OK".into()));
        assert_eq!(harness.run("SLOWLOG GET"), Response::Array(Vec::new()));
    }

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("AUTH me secret", "AUTH (redacted) (redacted)"),
            ("AUTH one too many", "AUTH one too many"),
            (
                "MIGRATE h 1 k 0 1 COPY AUTH2 me secret KEYS auth a",
                "MIGRATE h 1 k 0 1 COPY AUTH2 (redacted) (redacted) KEYS auth a",
            ),
            (
                "MIGRATE h 1 k 0 1 AUTH auth2 REPLACE AUTH2 refused",
                "MIGRATE h 1 k 0 1 AUTH (redacted) REPLACE AUTH2 refused",
            ),
            (
                "hello 3 auth me secret setname x",
                "hello 3 auth (redacted) (redacted) setname x",
            ),
            (
                "CONFIG SET timeout 1 requirepass secret",
                "CONFIG SET timeout 1 requirepass (redacted)",
            ),
            ("GET auth x", "GET auth x"),
        ];
        for (line, shown) in cases {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let expected: Vec<&[u8]> = shown.split(' ').map(str::as_bytes).collect();
            assert_eq!(without_secrets(&words), expected);
        }
    }

    #[test]
    fn counts_are_judged() {
        let mut harness = Harness::new();
        let count = "ERR count should be greater than or equal to -1";
        let words =
            "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.";
        for (line, error) in [
            ("SLOWLOG GET x", count),
            ("SLOWLOG GET -2", count),
            ("SLOWLOG GET 1 2", words),
        ] {
            assert_eq!(harness.run(line), Response::Error(error.to_owned()));
        }
    }
}
