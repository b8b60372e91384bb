//! Makes a failing sequence of steps short enough to be read: the steps before the difference that it does not need
//! are taken out, as many at a time as possible.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::pair::{Pair, Step};
use crate::run;

/// How long the search may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The shortest failing sequence found, and what then differs.
pub(crate) fn shorten(
    pair: &mut Pair,
    settings: &[(&str, &str)],
    mut steps: Vec<Step>,
    at: usize,
    mut what: String,
) -> (Vec<Step>, String) {
    let started = Instant::now();
    steps.truncate(at + 1);
    let mut attempt =
        |candidate: Vec<Step>, steps: &mut Vec<Step>| match run(pair, settings, &candidate) {
            Err((at, found)) => {
                *steps = candidate;
                steps.truncate(at + 1);
                what = found;
                true
            }
            Ok(()) => false,
        };
    // First without the other connections' steps' company: every command a step of its own.
    let single = steps.iter().flat_map(singles).collect();
    attempt(single, &mut steps);
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start < steps.len() && started.elapsed() < LIMIT {
            let end = (start + size).min(steps.len());
            let candidate: Vec<Step> = steps[..start]
                .iter()
                .chain(&steps[end..])
                .cloned()
                .collect();
            if !attempt(candidate, &mut steps) {
                start += size;
            }
        }
        size /= 2;
    }
    (steps, what)
}

/// A batch as single commands.
fn singles(step: &Step) -> Vec<Step> {
    match step {
        Step::Batch(connection, commands) => commands
            .iter()
            .map(|command| Step::Batch(*connection, vec![command.clone()]))
            .collect(),
        other => vec![other.clone()],
    }
}

/// The steps, a line each.
pub(crate) fn print(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let line = match step {
            Step::Batch(connection, commands) => format!("  {connection}: {commands:?}"),
            Step::Subscriber(subscriber, command) => {
                format!("  subscriber {subscriber}: {command:?}")
            }
            Step::Publish(command) => format!("  publisher: {command:?}"),
            Step::Wait(waiters, wakers) => format!("  waiters: {waiters:?}\n  wakers: {wakers:?}"),
            Step::Data(_) => "  all data is compared".to_owned(),
            Step::Play(acts) => {
                let acts: Vec<String> = acts
                    .iter()
                    .map(|(player, command)| format!("    player {player}: {command:?}"))
                    .collect();
                format!("  play:\n{}", acts.join("\n"))
            }
            Step::Lapse(connection, lapses, commands) => {
                format!("  {connection}: {lapses:?}, time passes, {commands:?}")
            }
            Step::Raw(bytes) => format!("  raw: {}", bytes.escape_ascii()),
            Step::Information => "  what the servers tell of themselves is compared".to_owned(),
        };
        writeln!(text, "{line}").expect("a String takes everything");
    }
    text
}
