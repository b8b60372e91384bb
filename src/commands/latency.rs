//! LATENCY: shows what took long, by events and by commands. It is noted elsewhere.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::docs::subcommands;
use super::error::shown;
use super::spec::{CommandSpec, Flags};
use super::table::{Command, table};
use super::{CommandResult, Context, Outcome, help};
use crate::services::LatencyMonitor;
use crate::services::latency::Series;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "2.8.13",
    summary: "A container for latency diagnostics commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.13",
            summary: "Return a human readable latency analysis report.",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_nodes response_policy:special",
            ..CommandSpec::new(
                "doctor",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_doctor,
            )
        },
        CommandSpec {
            arguments: "event:string",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.13",
            summary: "Return a latency graph for the event.",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_nodes response_policy:special",
            ..CommandSpec::new(
                "graph",
                3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_graph,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "2.8.13",
            summary: "Show helpful text about the different subcommands.",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), latency_help)
        },
        CommandSpec {
            arguments: "command:string?*",
            acl: "admin slow dangerous",
            group: "server",
            since: "7.0.0",
            summary: "Return the cumulative distribution of latencies of a subset of commands or all.",
            complexity: "O(N) where N is the number of commands with latency information being retrieved.",
            tips: "nondeterministic_output request_policy:all_nodes response_policy:special",
            ..CommandSpec::new(
                "histogram",
                -2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_histogram,
            )
        },
        CommandSpec {
            arguments: "event:string",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.13",
            summary: "Return timestamp-latency samples for the event.",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_nodes response_policy:special",
            ..CommandSpec::new(
                "history",
                3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_history,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.13",
            summary: "Return the latest latency samples for all events.",
            complexity: "O(1)",
            tips: "nondeterministic_output request_policy:all_nodes response_policy:special",
            ..CommandSpec::new(
                "latest",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_latest,
            )
        },
        CommandSpec {
            arguments: "event:string?*",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.13",
            summary: "Reset latency data for one or more events.",
            complexity: "O(1)",
            tips: "request_policy:all_nodes response_policy:all_succeeded",
            ..CommandSpec::new(
                "reset",
                -2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                latency_reset,
            )
        },
    ],
    ..CommandSpec::new("latency", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
    "    If no commands are specified then all histograms are replied.",
];

fn latency_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn event_name(ctx: &Context<'_, '_>, position: usize) -> String {
    shown(ctx.args.get(position).copied().unwrap_or_default()).into_owned()
}

/// The monitor, up to this moment.
fn monitor<'s>(ctx: &Context<'s, '_>) -> &'s LatencyMonitor {
    let latency = &ctx.services.latency;
    latency.look(ctx.txn.now_ms());
    latency
}

fn latency_latest(ctx: &mut Context<'_, '_>) -> CommandResult {
    let all = monitor(ctx).all();
    ctx.reply.array(all.len());
    for (name, series) in &all {
        let (at, ms) = series
            .samples
            .back()
            .map_or((0, 0), |last| (last.at, last.ms));
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(at);
        ctx.reply.int(signed(ms));
        ctx.reply.int(signed(series.max_ms));
    }
    Ok(Outcome::Done)
}

fn latency_history(ctx: &mut Context<'_, '_>) -> CommandResult {
    let series = ctx
        .services
        .latency
        .series(&event_name(ctx, 2))
        .unwrap_or_default();
    ctx.reply.array(series.samples.len());
    for sample in &series.samples {
        ctx.reply.array(2);
        ctx.reply.int(sample.at);
        ctx.reply.int(signed(sample.ms));
    }
    Ok(Outcome::Done)
}

fn latency_reset(ctx: &mut Context<'_, '_>) -> CommandResult {
    let latency = &ctx.services.latency;
    let count = match ctx.args.len() {
        2 => latency.reset(None),
        words => (2..words)
            .map(|position| latency.reset(Some(&event_name(ctx, position))))
            .sum(),
    };
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ by command

/// Commands by name, and the subcommands of those that are containers; unknown names are left out.
fn named_commands(names: &[&[u8]]) -> Vec<&'static Command> {
    let mut found = Vec::new();
    for name in names {
        if let Some(command) = super::command::find(name) {
            found.push(command);
            found.extend(subcommands(command));
        }
    }
    found
}

fn latency_histogram(ctx: &mut Context<'_, '_>) -> CommandResult {
    let names = ctx.args.get(2..).unwrap_or_default();
    let commands = match names {
        [] => table().all.clone(),
        names => named_commands(names),
    };
    let by_command = &ctx.services.stats.by_command;
    let counted: Vec<_> = commands
        .into_iter()
        .filter_map(|command| {
            let durations = by_command.get(command.index)?.durations.get()?;
            let calls = durations.count();
            (calls > 0).then(|| (command, calls, durations.by_power_of_two()))
        })
        .collect();
    let reply = &mut *ctx.reply;
    reply.map(counted.len());
    for (command, calls, steps) in &counted {
        reply.bulk(command.full_name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(signed(*calls));
        reply.bulk(b"histogram_usec");
        reply.map(steps.len());
        for (microseconds, count) in steps {
            reply.int(signed(*microseconds));
            reply.int(signed(*count));
        }
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ for people

/// Rows of the graph, and how many heights each row can show.
const ROWS: u64 = 4;
const LEVELS: [char; 3] = ['_', 'o', '#'];
const MAX_COLUMNS: usize = 80;

fn latency_graph(ctx: &mut Context<'_, '_>) -> CommandResult {
    let name = event_name(ctx, 2);
    let Some(series) = monitor(ctx).series(&name) else {
        return Err(format!("ERR No samples available for event '{name}'").into());
    };
    let text = graph(&name, &series, ctx.txn.now_ms() / 1000);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn graph(name: &str, series: &Series, now: i64) -> String {
    let skipped = series.samples.len().saturating_sub(MAX_COLUMNS);
    let samples: Vec<_> = series.samples.iter().skip(skipped).collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(MAX_COLUMNS)
    );
    let steps = ROWS * LEVELS.len() as u64 - 1;
    let height = |ms: u64| (ms - low) * steps / (high - low).max(1);
    for row in (0..ROWS).rev() {
        let base = row * LEVELS.len() as u64;
        text.extend(
            samples
                .iter()
                .map(|sample| match height(sample.ms).checked_sub(base) {
                    None => ' ',
                    Some(above) => LEVELS.get(above as usize).copied().unwrap_or('|'),
                }),
        );
        text.push('\n');
    }
    let labels: Vec<Vec<char>> = samples.iter().map(|sample| age(now - sample.at)).collect();
    let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
    text.push_str(&" ".repeat(samples.len()));
    text.push('\n');
    for row in 0..longest {
        text.extend(
            labels
                .iter()
                .map(|label| label.get(row).copied().unwrap_or(' ')),
        );
        text.push('\n');
    }
    text
}

/// How long ago, in the largest whole unit: `7s`, `3m`, `2h`, `1d`.
fn age(seconds: i64) -> Vec<char> {
    let text = match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    text.chars().collect()
}

const MONITORING_IS_OFF: &str = "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n";
const NOTHING_WAS_SLOW: &str = "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n";
const SPIKES: &str = "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n";
const ADVICE: &str = "\nI have a few advices for you:\n\n- Check your Slow Log to understand what are the commands you are running which are too slow to execute. Please check https://redis.io/commands/slowlog for more information.\n";

fn latency_doctor(ctx: &mut Context<'_, '_>) -> CommandResult {
    let latency = monitor(ctx);
    let all = latency.all();
    let text = if latency.threshold_ms.load(Ordering::Relaxed) == 0 {
        MONITORING_IS_OFF.to_owned()
    } else if all.is_empty() {
        NOTHING_WAS_SLOW.to_owned()
    } else {
        report(&all)
    };
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn report(all: &[(String, Series)]) -> String {
    let mut text = SPIKES.to_owned();
    for (number, (name, series)) in all.iter().enumerate() {
        let samples = &series.samples;
        let count = (samples.len() as u64).max(1);
        let average = samples.iter().map(|sample| sample.ms).sum::<u64>() / count;
        let deviation = samples
            .iter()
            .map(|sample| sample.ms.abs_diff(average))
            .sum::<u64>()
            / count;
        let span = match (samples.front(), samples.back()) {
            (Some(first), Some(last)) if last.at > first.at => (last.at - first.at) as f64,
            _ => 1.0,
        };
        let period = span / count as f64;
        let result = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2} \
             sec). Worst all time event {}ms.",
            number + 1,
            series.max_ms
        );
        debug_assert!(result.is_ok(), "writing to a string cannot fail");
    }
    text.push_str(ADVICE);
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn text(response: Response) -> String {
        match response {
            Response::Bulk(text) => String::from_utf8(text).expect("the text is ASCII"),
            other => panic!("{other:?} is no text"),
        }
    }

    #[test]
    fn events() {
        let mut harness = Harness::new();
        assert!(text(harness.run("LATENCY DOCTOR")).starts_with("I'm sorry, Dave"));
        harness.run("CONFIG SET latency-monitor-threshold 1");
        assert!(text(harness.run("LATENCY DOCTOR")).starts_with("Dave, no latency spike"));
        let no_graph = Response::Error("ERR No samples available for event 'command'".into());
        assert_eq!(harness.run("LATENCY GRAPH command"), no_graph);
        let latency = &harness.services.latency;
        latency.record("command", 100, 999_985_000);
        latency.record("command", 500, 1_000_000_000);
        let sample = |at, ms| Response::Array(vec![Response::Int(at), Response::Int(ms)]);
        let expected = Response::Array(vec![sample(999_985, 100), sample(1_000_000, 500)]);
        assert_eq!(harness.run("LATENCY HISTORY command"), expected);
        let latest = [
            Response::Int(1_000_000),
            Response::Int(500),
            Response::Int(500),
        ];
        let Response::Array(events) = harness.run("LATENCY LATEST") else {
            panic!("LATENCY LATEST answers an array");
        };
        assert!(matches!(&events[..], [Response::Array(event)] if event[1..] == latest));
        let graph = text(harness.run("LATENCY GRAPH command"));
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(
            lines[0],
            "command - high 500 ms, low 100 ms (all time high 500 ms)"
        );
        assert_eq!(lines[2..], [" #", " |", " |", "_|", "  ", "10", "5s", "s "]);
        assert!(
            text(harness.run("LATENCY DOCTOR"))
                .contains("1. command: 2 latency spikes (average 300ms, ")
        );
        assert_eq!(harness.run("LATENCY RESET x command"), Response::Int(1));
        assert_eq!(harness.run("LATENCY LATEST"), Response::Array(Vec::new()));
    }

    #[test]
    fn histograms() {
        let mut harness = Harness::new();
        for name in ["client|id", "client|list", "ping"] {
            let command = super::super::command::find(name.as_bytes()).expect("a known command");
            harness.services.stats.by_command[command.index].record(
                Duration::from_micros(3),
                false,
                true,
            );
        }
        harness.run("HELLO 3");
        assert!(matches!(harness.run("LATENCY HISTOGRAM"), Response::Map(all) if all.len() == 3));
        assert!(
            matches!(harness.run("LATENCY HISTOGRAM client x"), Response::Map(all) if all.len() == 2)
        );
        let bulk = |text: &str| Response::Bulk(text.as_bytes().to_vec());
        let steps = Response::Map(vec![(Response::Int(4), Response::Int(1))]);
        let ping = vec![
            (bulk("calls"), Response::Int(1)),
            (bulk("histogram_usec"), steps),
        ];
        let expected = Response::Map(vec![(bulk("ping"), Response::Map(ping))]);
        assert_eq!(harness.run("LATENCY HISTOGRAM ping"), expected);
    }
}
