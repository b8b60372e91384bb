//! CONFIG: reads and changes parameters, and sees to it that a change takes effect everywhere, or nowhere.

use super::protection::is_allowed;
use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome, acl, help};
use crate::config::{Changes, Config, SetContext, SetError};
use crate::services::{Services, apply};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "2.0.0",
    summary: "A container for server configuration commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "parameter:block*{parameter:string}",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.0.0",
            summary: "Get the values of configuration parameters",
            complexity: "O(N) when N is the number of configuration parameters provided",
            history: &[(
                "7.0.0",
                "Added the ability to pass multiple pattern parameters in one call",
            )],
            ..CommandSpec::new(
                "get",
                -3,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                config_get,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "5.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), config_help)
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.0.0",
            summary: "Reset the stats returned by INFO",
            complexity: "O(1)",
            ..CommandSpec::new(
                "resetstat",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE)
                    .and(Flags::ALL_SHARDS),
                config_resetstat,
            )
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "2.8.0",
            summary: "Rewrite the configuration file with the in memory configuration",
            complexity: "O(1)",
            ..CommandSpec::new(
                "rewrite",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                config_rewrite,
            )
        },
        CommandSpec {
            arguments: "parameter_value:block*{parameter:string value:string}",
            acl: "admin slow dangerous",
            group: "server",
            since: "2.0.0",
            summary: "Set configuration parameters to the given values",
            complexity: "O(N) when N is the number of configuration parameters provided",
            tips: "request_policy:all_nodes response_policy:all_succeeded",
            history: &[(
                "7.0.0",
                "Added the ability to set multiple parameters in one call.",
            )],
            ..CommandSpec::new(
                "set",
                -4,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE)
                    .and(Flags::ALL_SHARDS),
                config_set,
            )
        },
    ],
    ..CommandSpec::new("config", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
];

fn config_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn config_get(ctx: &mut Context<'_, '_>) -> CommandResult {
    let patterns = ctx.args.get(2..).unwrap_or_default();
    let found = ctx.services.config.read().matching(patterns);
    ctx.reply.map(found.len());
    for (name, value) in &found {
        ctx.reply.bulk(name);
        ctx.reply.bulk(value);
    }
    Ok(Outcome::Done)
}

/// Every shard is locked: thresholds change everywhere at once, and one CONFIG SET runs at a time.
fn config_set(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.txn.lock_all();
    let context = SetContext {
        allow_protected: is_allowed(ctx.services, &ctx.session.info, "enable-protected-configs"),
        loading: ctx
            .services
            .stats
            .loading
            .load(std::sync::atomic::Ordering::Relaxed),
    };
    let pairs = ctx.args.get(2..).unwrap_or_default();
    let set = ctx.services.config.write().set(pairs, context);
    let changes = set.map_err(|error| error.to_string())?;
    if let Err(error) = apply(ctx, &changes) {
        ctx.services.config.write().roll_back(&changes);
        ctx.services.apply_config();
        for change in &changes {
            // What was in force before is, again: that may have become impossible in between, and is told in the server's log.
            drop(apply_outside(ctx, &changes, change.parameter.name));
        }
        return Err(error.to_string().into());
    }
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Makes changed parameters take effect. What may fail comes first, so that a refusal leaves everything as it was.
fn apply(ctx: &mut Context<'_, '_>, changes: &Changes) -> Result<(), SetError> {
    let services = ctx.services;
    for change in changes {
        apply_outside(ctx, changes, change.parameter.name)?;
    }
    services.apply_config();
    if changes.contains("requirepass") {
        let config = services.config.read();
        services
            .acl
            .set_default_password(config.text("requirepass"));
    }
    let limits = apply::limits(&services.config.read(), ctx.txn.limits());
    ctx.txn.set_limits(limits);
    if let Some(hooks) = &*services.hooks.read() {
        changes
            .iter()
            .for_each(|change| hooks.changed(change.parameter.name));
    }
    Ok(())
}

const NOT_LISTENING: &str = "Unable to listen on this port. Check server logs.";
const NOT_SECURED: &str = "Unable to update TLS configuration. Check server logs.";

/// The parameters of the log and the listener.
fn apply_outside(
    ctx: &mut Context<'_, '_>,
    changes: &Changes,
    name: &'static str,
) -> Result<(), SetError> {
    let services = ctx.services;
    let hooks = services.hooks.read();
    let Some(hooks) = &*hooks else {
        return Ok(());
    };
    let config: Config = match name {
        "appendfsync" | "appendonly" | "port" | "bind" | "maxmemory" | "maxclients" | "dir" => {
            services.config.read().clone()
        }
        _ if name.starts_with("tls-") => services.config.read().clone(),
        _ => return Ok(()),
    };
    let result = match name {
        "maxmemory" if config.u64(name) > 0 => hooks.admit_memory_limit(),
        "maxmemory" => Ok(()),
        "maxclients" => admit_clients(services, config.u64(name)),
        "dir" => hooks.admit_directory(&config.path(name)),
        "appendfsync" => hooks.set_fsync_policy(config.word(name)),
        "appendonly" => hooks.set_append_only(ctx.txn, config.bool(name), ctx.mode.nested),
        "bind" if changes.contains("port") || changes.contains("tls-port") => Ok(()),
        // Why not is in the server's own log.
        "bind" => because(
            hooks.rebind(&config),
            "Failed to bind to specified addresses.",
        ),
        "port" => because(hooks.rebind(&config), NOT_LISTENING),
        _ if config.u64("tls-port") == 0 && name != "tls-port" => Ok(()),
        "tls-port" if config.u64(name) == 0 => because(hooks.rebind(&config), NOT_LISTENING),
        "tls-port" => because(hooks.secure(&config), NOT_SECURED)
            .and_then(|()| because(hooks.rebind(&config), NOT_LISTENING)),
        _ => because(hooks.secure(&config), NOT_SECURED),
    };
    result.map_err(|reason| changes.refuse(name, reason))
}

/// Says instead of what went wrong what Redis says.
fn because(result: Result<(), String>, text: &str) -> Result<(), String> {
    result.map_err(|_| text.to_owned())
}

fn admit_clients(services: &Services, wanted: u64) -> Result<(), String> {
    let possible = services.switches.room_for_clients.get();
    let possible = possible.map_or(wanted, |room| room(wanted));
    if possible >= wanted {
        return Ok(());
    }
    Err(format!(
        "The operating system is not able to handle the specified number of clients, try with {possible}"
    ))
}

fn config_rewrite(ctx: &mut Context<'_, '_>) -> CommandResult {
    let config = ctx.services.config.read().clone();
    match config.rewrite_file(&acl::lines(ctx.services), false) {
        Ok(()) => {
            ctx.reply.ok();
            Ok(Outcome::Done)
        }
        Err(error) => Err(CommandError::from(error.to_string())),
    }
}

fn config_resetstat(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.txn.lock_all();
    ctx.txn.reset_stats();
    ctx.services.stats.reset();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use parking_lot::Mutex;

    use crate::commands::testing::Harness;
    use crate::config::Config;
    use crate::keyspace::EventClass;
    use crate::reply::Response;
    use crate::services::Hooks;

    fn ok() -> Response {
        Response::Simple("OK".into())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Response {
        let texts = pairs.iter().flat_map(|(name, value)| [name, value]);
        Response::Array(
            texts
                .map(|text| Response::Bulk(text.as_bytes().to_vec()))
                .collect(),
        )
    }

    /// Refuses to end the log, and notes everything else.
    #[derive(Debug)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Hooks for Recorder {
        fn admit_write(&self, _adds_data: bool) -> Result<(), String> {
            Ok(())
        }

        fn set_fsync_policy(&self, policy: &str) -> Result<(), String> {
            self.0.lock().push(format!("fsync {policy}"));
            Ok(())
        }

        fn set_append_only(
            &self,
            _: &mut crate::keyspace::Txn<'_>,
            on: bool,
            _: bool,
        ) -> Result<(), String> {
            if on {
                Ok(())
            } else {
                Err("Not now.".to_owned())
            }
        }

        fn rebind(&self, config: &Config) -> Result<(), String> {
            let addresses = config.bind().iter();
            let addresses: Vec<_> = addresses
                .map(|address| String::from_utf8_lossy(address))
                .collect();
            let (port, tls_port) = (config.u64("port"), config.u64("tls-port"));
            self.0
                .lock()
                .push(format!("listen {}:{port},{tls_port}", addresses.join(",")));
            Ok(())
        }

        fn secure(&self, config: &Config) -> Result<(), String> {
            let file = config.text("tls-cert-file");
            self.0
                .lock()
                .push(format!("secure {}", String::from_utf8_lossy(file)));
            if file.is_empty() {
                return Err("No tls-cert-file configured!".to_owned());
            }
            Ok(())
        }

        fn log(&self, line: &str) {
            self.0.lock().push(format!("log {line}"));
        }

        fn emptying(&self, _: &mut crate::keyspace::Txn<'_>) {}

        fn emptied(&self, _: &mut crate::keyspace::Txn<'_>) -> bool {
            false
        }

        fn changed(&self, name: &str) {
            self.0.lock().push(format!("changed {name}"));
        }
    }

    #[test]
    fn what_was_set_is_got() {
        let mut harness = Harness::new();
        assert_eq!(harness.run("CONFIG SET maxmemory 100mb timeout 7"), ok());
        assert_eq!(
            harness.run("CONFIG GET maxmemory"),
            pairs(&[("maxmemory", "104857600")])
        );
        assert_eq!(
            harness.run("CONFIG GET timeout Timeout"),
            pairs(&[("timeout", "7")])
        );
        assert_eq!(
            harness.run("CONFIG GET nothing"),
            Response::Array(Vec::new())
        );
        harness.run("HELLO 3");
        assert!(matches!(harness.run("CONFIG GET tim*"), Response::Map(pairs) if pairs.len() == 1));
    }

    #[test]
    fn refusals_in_redis_words() {
        let mut harness = Harness::new();
        for (line, error) in [
            ("CONFIG SET maxmemory 1 maxmemory", "ERR syntax error"),
            (
                "CONFIG SET maxmemory x",
                "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
            ),
            (
                "CONFIG SET enable-debug-command no",
                "ERR CONFIG SET failed (possibly related to argument 'enable-debug-command') - can't set immutable config",
            ),
            (
                "CONFIG SET nosuch 1",
                "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
            ),
            (
                "CONFIG SET a",
                "ERR wrong number of arguments for 'config|set' command",
            ),
            (
                "CONFIG REWRITE",
                "ERR The server is running without a config file",
            ),
            ("CONFIG x", "ERR unknown subcommand 'x'. Try CONFIG HELP."),
        ] {
            assert_eq!(
                harness.run(line),
                Response::Error(error.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn changes_take_effect() {
        let mut harness = Harness::new();
        harness
            .services
            .clients
            .add(Arc::clone(&harness.session.info));
        let lines = [
            "CONFIG SET hash-max-listpack-entries 3",
            "CONFIG SET notify-keyspace-events Kx",
            "CONFIG SET slowlog-log-slower-than 5 latency-monitor-threshold 6",
        ];
        for line in lines {
            assert_eq!(harness.run(line), ok());
        }
        let limit = [
            &b"CONFIG"[..],
            b"SET",
            b"client-output-buffer-limit",
            b"normal 10 5 1",
        ];
        assert_eq!(harness.run_words(&limit), ok());
        let services = &harness.services;
        let expected = EventClass::KEYSPACE.0 | EventClass::EXPIRED.0;
        assert_eq!(services.event_mask.load(Ordering::Relaxed), expected);
        assert_eq!(services.slow_log.slower_than_us.load(Ordering::Relaxed), 5);
        assert_eq!(services.latency.threshold_ms.load(Ordering::Relaxed), 6);
        assert_eq!(
            harness
                .session
                .info
                .mailbox
                .hard_limit
                .load(Ordering::Relaxed),
            10
        );
        let all = harness.keyspace.all_shards();
        let txn = harness.keyspace.begin(
            all,
            0,
            Default::default(),
            crate::keyspace::txn::Journal::default(),
        );
        assert_eq!(txn.limits().hash.max_listpack_entries, 3);
    }

    #[test]
    fn a_refusing_hook_takes_everything_back() {
        let mut harness = Harness::new();
        let notes = Arc::new(Mutex::new(Vec::new()));
        *harness.services.hooks.write() = Some(Box::new(Recorder(Arc::clone(&notes))));
        assert_eq!(harness.run("CONFIG SET appendonly yes"), ok());
        notes.lock().clear();
        let refused = harness.run("CONFIG SET timeout 9 appendonly no");
        let text = "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Not now.";
        assert_eq!(refused, Response::Error(text.to_owned()));
        assert_eq!(
            harness.run("CONFIG GET timeout"),
            pairs(&[("timeout", "0")])
        );
        assert_eq!(harness.run("CONFIG SET appendfsync always port 7000"), ok());
        let expected = [
            "fsync always",
            "listen 127.0.0.1:7000,0",
            "changed appendfsync",
            "changed port",
        ];
        assert_eq!(*notes.lock(), expected);
        notes.lock().clear();
        let refused = harness.run("CONFIG SET appendfsync no port 7001 tls-port 7002");
        let text = "ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to update TLS configuration. \
                    Check server logs.";
        assert_eq!(refused, Response::Error(text.to_owned()));
        let expected = [
            "fsync no",
            "listen 127.0.0.1:7001,7002",
            "secure ",
            "fsync always",
            "listen 127.0.0.1:7000,0",
            "listen 127.0.0.1:7000,0",
        ];
        assert_eq!(*notes.lock(), expected);
    }
}
