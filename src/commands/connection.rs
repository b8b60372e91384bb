//! The connection itself: AUTH, HELLO, PING, SELECT, RESET … What concerns other connections is CLIENT's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::shown;
use super::pubsub::unsubscribe_all;
use super::spec::{CommandSpec, Flags};
use super::transactions::unwatch_all;
use super::{CommandError, CommandResult, Context, Outcome, acl, tracking};
use crate::services::acl::DEFAULT_USER;
use crate::services::{ClientFlags, ReplyMode, SessionState};
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "username:string?@6.0.0 password:string",
        acl: "fast connection",
        group: "connection",
        since: "1.0.0",
        summary: "Authenticate to the server",
        complexity: "O(N) where N is the number of passwords defined for the user",
        history: &[("6.0.0", "Added ACL style (username and password).")],
        ..CommandSpec::new(
            "auth",
            -2,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::NO_AUTH)
                .and(Flags::ALLOW_BUSY),
            auth,
        )
    },
    CommandSpec {
        arguments: "message:string",
        acl: "fast connection",
        group: "connection",
        since: "1.0.0",
        summary: "Echo the given string",
        complexity: "O(1)",
        ..CommandSpec::new(
            "echo",
            2,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            echo,
        )
    },
    CommandSpec {
        arguments: "arguments:block?{protover:integer username_password:block=AUTH?{username:string password:string} clientname:string=SETNAME?}",
        acl: "fast connection",
        group: "connection",
        since: "6.0.0",
        summary: "Handshake with Redis",
        complexity: "O(1)",
        history: &[(
            "6.2.0",
            "`protover` made optional; when called without arguments the command reports the current connection's context.",
        )],
        ..CommandSpec::new(
            "hello",
            -1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::NO_AUTH)
                .and(Flags::ALLOW_BUSY),
            hello,
        )
    },
    CommandSpec {
        arguments: "message:string?",
        acl: "fast connection",
        group: "connection",
        since: "1.0.0",
        summary: "Ping the server",
        complexity: "O(1)",
        tips: "request_policy:all_shards response_policy:all_succeeded",
        ..CommandSpec::new("ping", -1, Flags::FAST, ping)
    },
    CommandSpec {
        acl: "fast connection",
        group: "connection",
        since: "1.0.0",
        summary: "Close the connection",
        complexity: "O(1)",
        ..CommandSpec::new(
            "quit",
            -1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::NO_AUTH)
                .and(Flags::ALLOW_BUSY),
            quit,
        )
    },
    CommandSpec {
        acl: "fast connection",
        group: "connection",
        since: "6.2.0",
        summary: "Reset the connection",
        complexity: "O(1)",
        ..CommandSpec::new(
            "reset",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::NO_AUTH)
                .and(Flags::ALLOW_BUSY),
            reset,
        )
    },
    CommandSpec {
        arguments: "index:integer",
        acl: "fast connection",
        group: "connection",
        since: "1.0.0",
        summary: "Change the selected database for the current connection",
        complexity: "O(1)",
        ..CommandSpec::new(
            "select",
            2,
            Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
            select,
        )
    },
];

/// What HELLO and INFO report as the version of Redis: the newest whose commands all exist here.
pub const REDIS_VERSION: &str = "7.2.4";

const WRONG_PASSWORD: CommandError =
    CommandError::text("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD_SET: CommandError = CommandError::text(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);
const HELLO_BEFORE_AUTH: CommandError = CommandError::text(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
);

fn auth(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let (user, password) = match *args {
        [_, password] => {
            if ctx.services.acl.default_user().rights().no_password {
                return Err(NO_PASSWORD_SET);
            }
            (DEFAULT_USER, password)
        }
        [_, user, password] => (user, password),
        _ => return Err(CommandError::Syntax),
    };
    authenticate(ctx, user, password)?;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn authenticate(
    ctx: &mut Context<'_, '_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let Some(user) = ctx.services.acl.authenticate(user, password) else {
        acl::note_failed_login(ctx, user);
        return Err(WRONG_PASSWORD);
    };
    ctx.session.authenticated = true;
    ctx.session.set_user(user);
    Ok(())
}

fn hello(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let mut protocol = None;
    if let Some(word) = args.get(1) {
        protocol = Some(match parse_i64(word) {
            Some(version @ 2..=3) => version == 3,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
            None => {
                let text = "ERR Protocol version is not an integer or out of range";
                return Err(CommandError::text(text));
            }
        });
    }
    let mut rest = args.get(2..).unwrap_or_default();
    while let Some((option, values)) = rest.split_first() {
        rest = match values {
            [user, password, rest @ ..] if option.eq_ignore_ascii_case(b"AUTH") => {
                authenticate(ctx, user, password)?;
                rest
            }
            [value, rest @ ..] if option.eq_ignore_ascii_case(b"SETNAME") => {
                set_client_name(ctx.session, value)?;
                rest
            }
            _ => {
                let option = shown(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        };
    }
    if !ctx.session.authenticated && !ctx.mode.loading {
        return Err(HELLO_BEFORE_AUTH);
    }
    if let Some(resp3) = protocol {
        ctx.session.set_protocol(resp3);
        ctx.reply.set_protocol(resp3);
    }
    write_greeting(ctx);
    Ok(Outcome::Done)
}

fn write_greeting(ctx: &mut Context<'_, '_>) {
    let reply = &mut *ctx.reply;
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.int(if ctx.session.resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(i64::try_from(ctx.session.info.id).unwrap_or(i64::MAX));
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// Names the connection. A name may be empty and has no blanks or control characters.
pub(super) fn set_client_name(session: &SessionState, name: &[u8]) -> Result<(), CommandError> {
    if !is_printable(name) {
        let text = "ERR Client names cannot contain spaces, newlines or special characters.";
        return Err(CommandError::text(text));
    }
    *session.info.name.lock() = name.to_vec();
    Ok(())
}

/// Whether every byte is a visible character of ASCII.
pub(super) fn is_printable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn ping(ctx: &mut Context<'_, '_>) -> CommandResult {
    if ctx.args.len() > 2 {
        return Err(CommandError::WrongArity(ctx.command.full_name.clone()));
    }
    let message = ctx.args.get(1).copied();
    if ctx.session.is_subscribed() && !ctx.session.resp3 {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(message.unwrap_or_default());
    } else {
        match message {
            Some(message) => ctx.reply.bulk(message),
            None => ctx.reply.simple("PONG"),
        }
    }
    Ok(Outcome::Done)
}

fn echo(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.bulk(ctx.args.get(1).copied().unwrap_or_default());
    Ok(Outcome::Done)
}

fn select(ctx: &mut Context<'_, '_>) -> CommandResult {
    let Ok(index) = i32::try_from(ctx.int(1)?) else {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        return Err(CommandError::text(text));
    };
    let db = usize::try_from(index).ok();
    let db = db.filter(|db| *db < ctx.txn.keyspace().databases());
    let db = db.ok_or(CommandError::text("ERR DB index is out of range"))?;
    select_db(ctx, db);
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn select_db(ctx: &mut Context<'_, '_>, db: usize) {
    ctx.session.db = db;
    ctx.session.info.db.store(db, Ordering::Relaxed);
    ctx.txn.select(db);
}

fn quit(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.ok();
    Ok(Outcome::Close)
}

fn reset(ctx: &mut Context<'_, '_>) -> CommandResult {
    unwatch_all(ctx.txn, ctx.session);
    ctx.session.end_transaction();
    unsubscribe_all(ctx.session, ctx.services);
    tracking::disable(ctx.txn, ctx.session, ctx.services);
    let session = &mut *ctx.session;
    session.reply_mode = ReplyMode::On;
    session.no_touch = false;
    session.authenticated = !ctx.services.acl.needs_password();
    session.set_user(Arc::clone(ctx.services.acl.default_user()));
    session.set_protocol(false);
    let info = &session.info;
    if info.has_flag(ClientFlags::MONITOR) {
        ctx.services
            .clients
            .monitors
            .fetch_sub(1, Ordering::Relaxed);
    }
    let gone =
        ClientFlags::MONITOR | ClientFlags::PUBSUB | ClientFlags::NO_EVICT | ClientFlags::NO_TOUCH;
    info.set_flag(gone, false);
    info.name.lock().clear();
    select_db(ctx, 0);
    ctx.reply.set_protocol(false);
    ctx.reply.simple("RESET");
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn with_password() -> Harness {
        let mut harness = Harness::new();
        assert_eq!(
            harness.run("CONFIG SET requirepass foobar"),
            Response::Simple("OK".into())
        );
        harness.session.authenticated = false;
        harness
    }

    fn error(response: Response) -> String {
        match response {
            Response::Error(text) => text,
            other => panic!("{other:?} is no error"),
        }
    }

    #[test]
    fn passwords_are_asked_for() {
        let mut harness = Harness::new();
        assert!(error(harness.run("AUTH x")).starts_with("ERR AUTH <password> called without"));
        assert_eq!(harness.run("AUTH default x"), Response::Simple("OK".into()));
        let mut harness = with_password();
        for line in [
            "AUTH x",
            "AUTH foobar2",
            "AUTH fooba",
            "AUTH me foobar",
            "HELLO 3 AUTH default x",
        ] {
            assert!(error(harness.run(line)).starts_with("WRONGPASS"), "{line}");
        }
        assert!(error(harness.run("HELLO 3")).starts_with("NOAUTH HELLO must"));
        assert_eq!(
            harness.run("AUTH a b c"),
            Response::Error("ERR syntax error".into())
        );
        assert!(!harness.session.authenticated);
        assert_eq!(harness.run("AUTH foobar"), Response::Simple("OK".into()));
        assert!(harness.session.authenticated);
    }

    #[test]
    fn hello_switches_and_greets() {
        let mut harness = with_password();
        let Response::Map(pairs) = harness.run("HELLO 3 AUTH default foobar SETNAME me") else {
            panic!("HELLO 3 answers a map");
        };
        assert_eq!(pairs.len(), 7);
        assert_eq!(
            pairs[2],
            (Response::Bulk(b"proto".to_vec()), Response::Int(3))
        );
        assert!(harness.session.resp3);
        assert_eq!(
            harness.run("CLIENT GETNAME"),
            Response::Bulk(b"me".to_vec())
        );
        let Response::Array(items) = harness.run("HELLO 2") else {
            panic!("HELLO 2 answers an array");
        };
        assert_eq!(items.len(), 14);
        for (line, text) in [
            ("HELLO 4", "NOPROTO unsupported protocol version"),
            (
                "HELLO x",
                "ERR Protocol version is not an integer or out of range",
            ),
            (
                "HELLO 2 SETNAME",
                "ERR Syntax error in HELLO option 'SETNAME'",
            ),
            ("HELLO 2 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
            ("HELLO 2 x", "ERR Syntax error in HELLO option 'x'"),
        ] {
            assert_eq!(error(harness.run(line)), text);
        }
    }

    #[test]
    fn small_ones() {
        let mut harness = Harness::new();
        assert_eq!(harness.run("PING"), Response::Simple("PONG".into()));
        assert_eq!(harness.run("PING x"), Response::Bulk(b"x".to_vec()));
        assert!(error(harness.run("PING x y")).contains("'ping' command"));
        assert_eq!(harness.run("ECHO x"), Response::Bulk(b"x".to_vec()));
        assert_eq!(harness.run("QUIT"), Response::Simple("OK".into()));
        assert_eq!(harness.outcome, Some(Outcome::Close));
        assert_eq!(harness.run("SELECT 1"), Response::Simple("OK".into()));
        assert_eq!(harness.session.db, 1);
        assert_eq!(
            error(harness.run("SELECT 2")),
            "ERR DB index is out of range"
        );
        assert_eq!(
            error(harness.run("SELECT x")),
            "ERR value is not an integer or out of range"
        );
        assert!(error(harness.run("SELECT 9999999999")).contains("must between"));
    }

    #[test]
    fn subscribed_clients_of_resp2_get_an_array() {
        let mut harness = Harness::new();
        harness.session.channels.insert(b"a");
        let pong = |text: &[u8]| {
            Response::Array(vec![
                Response::Bulk(b"pong".to_vec()),
                Response::Bulk(text.to_vec()),
            ])
        };
        assert_eq!(harness.run("PING"), pong(b""));
        assert_eq!(harness.run("PING x"), pong(b"x"));
        assert_eq!(harness.run("RESET"), Response::Simple("RESET".into()));
        assert_eq!(harness.run("PING"), Response::Simple("PONG".into()));
    }

    #[test]
    fn reset_forgets_everything() {
        let mut harness = Harness::new();
        harness.run("HELLO 3 SETNAME me");
        harness.run("SELECT 1");
        harness.run("CLIENT NO-TOUCH on");
        harness.run("RESET");
        assert!(!harness.session.resp3 && !harness.session.no_touch);
        assert_eq!(harness.session.db, 0);
        assert_eq!(harness.run("CLIENT GETNAME"), Response::Null);
    }
}
