//! Administration of the whole server: saving, stopping, MONITOR, TIME, ROLE. The engine does what is asked for.

use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome, Shutdown};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Asynchronously rewrite the append-only file",
        complexity: "O(1)",
        ..CommandSpec::new(
            "bgrewriteaof",
            1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::NO_ASYNC_LOADING),
            bgrewriteaof,
        )
    },
    CommandSpec {
        arguments: "schedule:pure-token=SCHEDULE?@3.2.2",
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Asynchronously save the dataset to disk",
        complexity: "O(1)",
        history: &[("3.2.2", "Added the `SCHEDULE` option.")],
        ..CommandSpec::new(
            "bgsave",
            -1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::NO_ASYNC_LOADING),
            bgsave,
        )
    },
    CommandSpec {
        acl: "admin fast dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Get the UNIX time stamp of the last successful save to disk",
        complexity: "O(1)",
        tips: "nondeterministic_output",
        ..CommandSpec::new(
            "lastsave",
            1,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            lastsave,
        )
    },
    CommandSpec {
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Listen for all requests received by the server in real time",
        ..CommandSpec::new(
            "monitor",
            1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            monitor,
        )
    },
    CommandSpec {
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Synchronously save the dataset to disk",
        complexity: "O(N) where N is the total number of keys in all databases",
        ..CommandSpec::new(
            "save",
            1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::NO_ASYNC_LOADING)
                .and(Flags::NO_MULTI),
            save,
        )
    },
    CommandSpec {
        arguments: "nosave_save:oneof?{nosave:pure-token=NOSAVE save:pure-token=SAVE} now:pure-token=NOW?@7.0.0 force:pure-token=FORCE?@7.0.0 abort:pure-token=ABORT?@7.0.0",
        acl: "admin slow dangerous",
        group: "server",
        since: "1.0.0",
        summary: "Synchronously save the dataset to disk and then shut down the server",
        complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
        history: &[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")],
        ..CommandSpec::new(
            "shutdown",
            -1,
            Flags::ADMIN
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::NO_MULTI)
                .and(Flags::ALLOW_BUSY),
            shutdown,
        )
    },
    CommandSpec {
        acl: "fast",
        group: "server",
        since: "2.6.0",
        summary: "Return the current server time",
        complexity: "O(1)",
        tips: "nondeterministic_output",
        ..CommandSpec::new(
            "time",
            1,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            time,
        )
    },
];

// ------------------------------------------------------------------------------------------------ saving and stopping

fn save(_: &mut Context<'_, '_>) -> CommandResult {
    Ok(Outcome::Save {
        background: false,
        schedule: false,
    })
}

fn bgsave(ctx: &mut Context<'_, '_>) -> CommandResult {
    let schedule = match ctx.args.len() {
        1 => false,
        2 if ctx.is(1, "schedule") => true,
        _ => return Err(CommandError::Syntax),
    };
    Ok(Outcome::Save {
        background: true,
        schedule,
    })
}

fn bgrewriteaof(_: &mut Context<'_, '_>) -> CommandResult {
    Ok(Outcome::RewriteLog)
}

fn lastsave(ctx: &mut Context<'_, '_>) -> CommandResult {
    let at = ctx
        .services
        .stats
        .last_save
        .load(std::sync::atomic::Ordering::Relaxed);
    ctx.reply.int(at);
    Ok(Outcome::Done)
}

fn shutdown(ctx: &mut Context<'_, '_>) -> CommandResult {
    let mut how = Shutdown::default();
    for option in ctx.args.get(1..).unwrap_or_default() {
        match option.to_ascii_lowercase().as_slice() {
            b"save" if how.save != Some(false) => how.save = Some(true),
            b"nosave" if how.save != Some(true) => how.save = Some(false),
            b"now" => how.now = true,
            b"force" => how.force = true,
            b"abort" => how.abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if how.abort {
        if ctx.args.len() > 2 {
            return Err(CommandError::Syntax);
        }
        if !ctx.services.ending.abort() {
            return Err(CommandError::text("ERR No shutdown in progress."));
        }
        // Told here, so that it is in the log before the answer.
        log::warn!("Shutdown manually aborted.");
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    if how.save == Some(false) && ctx.services.running_script.get().is_some() {
        ctx.services.running_script.forget_effects();
    }
    Ok(Outcome::Shutdown(how))
}

// ------------------------------------------------------------------------------------------------ observation

fn monitor(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.ok();
    Ok(Outcome::Monitor)
}

fn time(ctx: &mut Context<'_, '_>) -> CommandResult {
    let us = microseconds(ctx.txn.now_ms());
    ctx.reply.array(2);
    ctx.reply.bulk_int(us.div_euclid(1_000_000));
    ctx.reply.bulk_int(us.rem_euclid(1_000_000));
    Ok(Outcome::Done)
}

/// The time in microseconds, as long as the transaction's clock is the system's.
fn microseconds(now_ms: i64) -> i64 {
    const SAME_CLOCK_MS: i64 = 1000;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let system = since
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0);
    if (system / 1000).abs_diff(now_ms) < SAME_CLOCK_MS.unsigned_abs() {
        system
    } else {
        now_ms.saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn what_the_engine_does() {
        let mut harness = Harness::new();
        let save = |background, schedule| Outcome::Save {
            background,
            schedule,
        };
        let with = |save| {
            Outcome::Shutdown(Shutdown {
                save,
                ..Shutdown::default()
            })
        };
        for (line, outcome) in [
            ("SAVE", save(false, false)),
            ("BGSAVE", save(true, false)),
            ("BGSAVE schedule", save(true, true)),
            ("BGREWRITEAOF", Outcome::RewriteLog),
            ("MONITOR", Outcome::Monitor),
            ("SHUTDOWN", with(None)),
            ("SHUTDOWN NOSAVE", with(Some(false))),
            ("SHUTDOWN save", with(Some(true))),
        ] {
            harness.run(line);
            assert_eq!(harness.outcome, Some(outcome), "{line}");
        }
    }

    #[test]
    fn refusals() {
        let mut harness = Harness::new();
        for (line, error) in [
            ("BGSAVE x", "ERR syntax error"),
            ("SHUTDOWN x", "ERR syntax error"),
            ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"),
            ("SHUTDOWN ABORT NOW", "ERR syntax error"),
            ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
            (
                "BGREWRITEAOF x",
                "ERR wrong number of arguments for 'bgrewriteaof' command",
            ),
        ] {
            assert_eq!(
                harness.run(line),
                Response::Error(error.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn answers() {
        let mut harness = Harness::new();
        let bulk = |text: &str| Response::Bulk(text.as_bytes().to_vec());
        assert_eq!(
            harness.run("TIME"),
            Response::Array(vec![bulk("1000000"), bulk("0")])
        );
        assert_eq!(harness.run("LASTSAVE"), Response::Int(1_000_000));
    }

    #[test]
    fn only_a_shutdown_that_waits_is_called_off() {
        let mut harness = Harness::new();
        let refused = Response::Error("ERR No shutdown in progress.".into());
        assert_eq!(harness.run("SHUTDOWN ABORT"), refused);
        let waiting = harness.services.ending.begin();
        assert_eq!(harness.run("SHUTDOWN ABORT"), Response::Simple("OK".into()));
        assert!(waiting.is_aborted());
        drop(waiting);
        assert_eq!(harness.run("SHUTDOWN ABORT"), refused);
    }
}
