//! Whether a user may run a command on these keys and channels: what sessions, EXEC, scripts and ACL DRYRUN ask.

use std::sync::atomic::Ordering;

use crate::commands::client;
use crate::commands::command::keys_with_flags;
use crate::commands::spec::Flags;
use crate::commands::table::Command;
use crate::commands::{CommandError, Context};
use crate::services::acl::{Access, LogEntry, Reason, Selector, Stage, User};
use crate::services::{Services, SessionState};

/// What a user lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The command.
    Command,
    /// The key at this position.
    Key(usize),
    /// The channel at this position.
    Channel(usize),
}

impl Denied {
    /// What is told of several selectors that deny: the one that came furthest.
    const fn progress(self) -> (u8, usize) {
        match self {
            Self::Command => (0, 0),
            Self::Key(at) => (1, at),
            Self::Channel(at) => (2, at),
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Command => Reason::Command,
            Self::Key(_) => Reason::Key,
            Self::Channel(_) => Reason::Channel,
        }
    }

    /// The command, key or channel that is meant.
    fn object<'a>(self, command: &'a Command, args: &[&'a [u8]]) -> &'a [u8] {
        match self {
            Self::Command => command.full_name.as_bytes(),
            Self::Key(at) | Self::Channel(at) => args.get(at).copied().unwrap_or_default(),
        }
    }

    /// The error of a command that is refused.
    fn error(self, command: &Command) -> CommandError {
        let name = &command.full_name;
        match self {
            Self::Command => {
                format!("NOPERM this user has no permissions to run the '{name}' command").into()
            }
            Self::Key(_) => CommandError::text(
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            ),
            Self::Channel(_) => CommandError::text(
                "NOPERM this user has no permissions to access one of the channels used as arguments",
            ),
        }
    }

    /// What ACL DRYRUN answers.
    pub(super) fn explanation(self, command: &Command, args: &[&[u8]]) -> Vec<u8> {
        let object = self.object(command, args);
        let (before, after) = match self {
            Self::Command => ("run the '", "' command"),
            Self::Key(_) => ("access the '", "' key"),
            Self::Channel(_) => ("access the '", "' channel"),
        };
        let before = format!("This user has no permissions to {before}");
        [before.as_bytes(), object, after.as_bytes()].concat()
    }
}

/// Whether one of the user's selectors allows all of a command.
pub(super) fn check(user: &User, command: &Command, args: &[&[u8]]) -> Result<(), Denied> {
    if user.is_unrestricted() {
        return Ok(());
    }
    let rights = user.rights();
    let mut denied = Denied::Command;
    for selector in rights.all_selectors() {
        match check_selector(selector, command, args) {
            Ok(()) => return Ok(()),
            Err(here) if here.progress() > denied.progress() => denied = here,
            Err(_) => {}
        }
    }
    Err(denied)
}

/// Whether the user may run a command that reads keys which only the data names.
pub fn may_read_every_key(ctx: &Context<'_, '_>) -> bool {
    let user = &ctx.session.user;
    let wanted = Access {
        read: true,
        write: false,
    };
    user.is_unrestricted()
        || user.rights().all_selectors().any(|selector| {
            selector.allows_all_keys(wanted)
                && check_selector(selector, ctx.command, ctx.args).is_ok()
        })
}

fn check_selector(selector: &Selector, command: &Command, args: &[&[u8]]) -> Result<(), Denied> {
    let first = args.get(1).copied();
    if !command.spec.flags.has(Flags::NO_AUTH) && !selector.allows_command(command.index, first) {
        return Err(Denied::Command);
    }
    if !selector.all_keys {
        for (at, flags) in keys_with_flags(command, args).unwrap_or_default() {
            let key = args.get(at).copied().unwrap_or_default();
            if !selector.allows_key(key, access_of(flags)) {
                return Err(Denied::Key(at));
            }
        }
    }
    if !selector.all_channels {
        let (positions, is_pattern) = channels_of(command, args.len());
        for at in positions {
            let channel = args.get(at).copied().unwrap_or_default();
            if !selector.allows_channel(channel, is_pattern) {
                return Err(Denied::Channel(at));
            }
        }
    }
    Ok(())
}

/// What a key specification's flags say about a key's value.
fn access_of(flags: &str) -> Access {
    let has = |wanted: &[&str]| flags.split(' ').any(|flag| wanted.contains(&flag));
    Access {
        read: has(&["access"]),
        write: has(&["insert", "delete", "update"]),
    }
}

/// Where the channels of a command stand, and whether they are patterns.
fn channels_of(command: &Command, words: usize) -> (std::ops::Range<usize>, bool) {
    match command.spec.name {
        "publish" | "spublish" => (1..2, false),
        "subscribe" | "ssubscribe" => (1..words, false),
        "psubscribe" => (1..words, true),
        _ => (0..0, false),
    }
}

/// Refuses what the session's user may not do, and remembers that it did.
pub fn admit(
    session: &SessionState,
    services: &Services,
    command: &Command,
    args: &[&[u8]],
    now_ms: i64,
) -> Result<(), CommandError> {
    let stage = match session.multi {
        Some(_) => Stage::Multi,
        None => Stage::TopLevel,
    };
    check(&session.user, command, args).map_err(|denied| {
        note_denied(session, services, command, args, (denied, stage), now_ms);
        denied.error(command)
    })
}

/// The same when EXEC runs what was queued, since rights may have changed.
pub fn admit_queued(
    session: &SessionState,
    services: &Services,
    command: &Command,
    args: &[&[u8]],
    now_ms: i64,
) -> Result<(), CommandError> {
    check(&session.user, command, args).map_err(|denied| {
        note_denied(session, services, command, args, (denied, Stage::Multi), now_ms);
        let reason = match denied {
            Denied::Command => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => {
                "no permission to access one of the channels used as arguments to the command"
            }
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is \
             no longer allowed for the following reason: {reason}"
        )
        .into()
    })
}

/// The same for a command that a script runs; the error has no code.
pub fn admit_from_script(
    session: &SessionState,
    services: &Services,
    command: &Command,
    args: &[&[u8]],
    now_ms: i64,
) -> Result<(), &'static str> {
    let name = args.first().copied().unwrap_or_default();
    let renamed = services.renamed.as_ref();
    if renamed.is_some_and(|renamed| renamed.get(name) == Some(None)) {
        return Err("ERR Unknown Redis command called from script");
    }
    check(&session.user, command, args).map_err(|denied| {
        note_denied(session, services, command, args, (denied, Stage::Script), now_ms);
        match denied {
            Denied::Command => {
                "ERR The user executing the script can't run this command or subcommand"
            }
            Denied::Key(_) => {
                "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments"
            }
            Denied::Channel(_) => {
                "ERR The user executing the script can't publish to the channel mentioned in the command"
            }
        }
    })
}

/// Whether the session's user may run a command, without a trace.
pub fn may_run(session: &SessionState, command: &Command, args: &[&[u8]]) -> bool {
    check(&session.user, command, args).is_ok()
}

fn note_denied(
    session: &SessionState,
    services: &Services,
    command: &Command,
    args: &[&[u8]],
    (denied, stage): (Denied, Stage),
    now_ms: i64,
) {
    let object = denied.object(command, args);
    let user = &session.user.name;
    note(
        session,
        services,
        (denied.reason(), stage),
        (object, user),
        &client::Running::new(command, args),
        now_ms,
    );
}

/// Remembers that somebody could not log in with a name.
pub fn note_failed_login(ctx: &Context<'_, '_>, user: &[u8]) {
    let stage = match ctx.session.multi.is_some() || ctx.mode.nested {
        true => Stage::Multi,
        false => Stage::TopLevel,
    };
    let object = ctx.args.first().copied().unwrap_or_default();
    note(
        ctx.session,
        ctx.services,
        (Reason::Auth, stage),
        (object, user),
        &client::Running::new(ctx.command, ctx.args),
        ctx.txn.now_ms(),
    );
}

fn note(
    session: &SessionState,
    services: &Services,
    (reason, stage): (Reason, Stage),
    (object, user): (&[u8], &[u8]),
    running: &client::Running<'_>,
    now_ms: i64,
) {
    if let Some(denied) = services.stats.denied.get(reason as usize) {
        denied.fetch_add(1, Ordering::Relaxed);
    }
    services.acl.log.record(LogEntry {
        id: 0,
        count: 0,
        reason,
        stage,
        object: object.into(),
        user: user.into(),
        client: client::line_of(&session.info, now_ms, Some(running)),
        created_ms: now_ms,
        updated_ms: now_ms,
    });
}
