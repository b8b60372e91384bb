//! CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: what a client wants to be told about the keys that it keeps.

use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::Txn;
use crate::services::tracking::{Change, TrackingMode};
use crate::services::{ClientFlags, Services, SessionState};
use crate::value::lossless;

/// Reads what CLIENT TRACKING ON wants.
fn parse(ctx: &Context<'_, '_>) -> Result<TrackingMode, CommandError> {
    let mut mode = TrackingMode::default();
    let mut at = 3;
    while at < ctx.args.len() {
        let value = ctx.args.get(at + 1).copied();
        match value {
            Some(_) if ctx.is(at, "redirect") => {
                if mode.redirect.is_some() {
                    return Err(CommandError::text(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let id = u64::try_from(ctx.int(at + 1)?).ok();
                let known = id.filter(|id| ctx.services.clients.get(*id).is_some());
                let missing =
                    CommandError::text("ERR The client ID you want redirect to does not exist");
                mode.redirect = Some(known.ok_or(missing)?);
                at += 1;
            }
            Some(prefix) if ctx.is(at, "prefix") => {
                mode.prefixes.push(prefix.into());
                at += 1;
            }
            _ if ctx.is(at, "bcast") => mode.broadcast = true,
            _ if ctx.is(at, "optin") => mode.opt_in = true,
            _ if ctx.is(at, "optout") => mode.opt_out = true,
            _ if ctx.is(at, "noloop") => mode.no_loop = true,
            _ => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    Ok(mode)
}

/// Why a mode makes no sense, by itself or after the one before.
fn contradiction(mode: &TrackingMode, before: Option<&TrackingMode>) -> Option<&'static str> {
    if !mode.broadcast && !mode.prefixes.is_empty() {
        return Some("ERR PREFIX option requires BCAST mode to be enabled");
    }
    if before.is_some_and(|before| before.broadcast != mode.broadcast) {
        return Some(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
        );
    }
    if mode.broadcast && (mode.opt_in || mode.opt_out) {
        return Some("ERR OPTIN and OPTOUT are not compatible with BCAST");
    }
    if mode.opt_in && mode.opt_out {
        return Some("ERR You can't specify both OPTIN mode and OPTOUT mode");
    }
    let switches =
        |before: &TrackingMode| mode.opt_in && before.opt_out || mode.opt_out && before.opt_in;
    before.is_some_and(switches).then_some(
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
    )
}

/// A prefix that begins another would have its keys told twice.
fn check_prefixes(new: &[Box<[u8]>], before: &[Box<[u8]>]) -> Result<(), CommandError> {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let error = |one: &[u8], kind: &str, other: &[u8]| {
        let (one, other) = (lossless::text(one), lossless::text(other));
        format!(
            "ERR Prefix '{one}' overlaps with {kind} prefix '{other}'. Prefixes for a single client must not overlap."
        )
    };
    for (place, one) in new.iter().enumerate() {
        if let Some(other) = before.iter().find(|other| overlap(one, other)) {
            return Err(error(one, "an existing", other).into());
        }
        let mut later = new.iter().skip(place + 1);
        if let Some(other) = later.find(|other| overlap(one, other)) {
            return Err(error(one, "another provided", other).into());
        }
    }
    Ok(())
}

/// Every shard is locked when tracking begins or ends, so that no change of a key falls in between.
pub(super) fn client_tracking(ctx: &mut Context<'_, '_>) -> CommandResult {
    let mut mode = parse(ctx)?;
    if ctx.is(2, "off") {
        disable(ctx.txn, ctx.session, ctx.services);
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    if !ctx.is(2, "on") {
        return Err(CommandError::Syntax);
    }
    let before = ctx.session.tracking.as_deref();
    if let Some(text) = contradiction(&mode, before) {
        return Err(CommandError::text(text));
    }
    if mode.broadcast {
        let before = before.map(|before| before.prefixes.clone());
        let mut prefixes = before.unwrap_or_default();
        check_prefixes(&mode.prefixes, &prefixes)?;
        if mode.prefixes.is_empty() && !prefixes.iter().any(|prefix| prefix.is_empty()) {
            mode.prefixes.push(Box::default());
        }
        prefixes.append(&mut mode.prefixes);
        prefixes.sort();
        mode.prefixes = prefixes;
    }
    ctx.txn.lock_all();
    ctx.txn.set_tracked(true);
    let info = &ctx.session.info;
    ctx.services.tracking.enable(info, mode.clone());
    ctx.session.tracking = Some(Box::new(mode));
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Ends a session's tracking, if it has any. Locks every shard then, so a command must have finished with its own. Where a
/// script has some of them for long, they go on telling of changes, to nobody.
pub fn disable(txn: &mut Txn<'_>, session: &mut SessionState, services: &Services) {
    if session.tracking.take().is_some() {
        let locked = txn.relock_unless_held(txn.keyspace().all_shards());
        let still_needed = services.tracking.disable(&session.info);
        if locked {
            txn.set_tracked(still_needed);
        }
    }
}

/// Notes the keys of a command that reads, if its session wants to be told of their changes.
pub fn remember(ctx: &mut Context<'_, '_>) {
    let (command, args, services) = (ctx.command, ctx.args, ctx.services);
    let (session, txn) = (&*ctx.session, &mut *ctx.txn);
    if !session
        .tracking
        .as_ref()
        .is_some_and(|mode| mode.notes_reads())
    {
        return;
    }
    let mut keys: Vec<&[u8]> = Vec::new();
    command.key_positions(args, |at| keys.extend(args.get(at)));
    let now_ms = txn.now_ms();
    let journal = &mut txn.journal;
    let unsettled = journal.invalidated.iter().skip(journal.settled);
    let before: Vec<Change<'_>> = unsettled
        .map(|(key, by_client)| Change {
            key,
            by_client: *by_client,
        })
        .collect();
    services.tracking.remember(
        session.info.id,
        keys.into_iter(),
        &before,
        &services.clients,
        now_ms,
    );
    journal.settled = journal.invalidated.len();
}

pub(super) fn client_caching(ctx: &mut Context<'_, '_>) -> CommandResult {
    let Some(mode) = &mut ctx.session.tracking else {
        return Err(CommandError::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let word = ctx.args.get(2).copied().unwrap_or_default();
    let (allowed, refusal) = match word.to_ascii_lowercase().as_slice() {
        b"yes" => (
            mode.opt_in,
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        b"no" => (
            mode.opt_out,
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        _ => return Err(CommandError::Syntax),
    };
    if !allowed {
        return Err(CommandError::text(refusal));
    }
    mode.caching = true;
    ctx.reply.ok();
    Ok(Outcome::Done)
}

pub(super) fn client_getredir(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.int(redirect_of(ctx.session));
    Ok(Outcome::Done)
}

/// -1 without tracking, 0 without a redirection.
fn redirect_of(session: &SessionState) -> i64 {
    session.tracking.as_ref().map_or(-1, |mode| {
        i64::try_from(mode.redirect.unwrap_or(0)).unwrap_or(i64::MAX)
    })
}

pub(super) fn client_trackinginfo(ctx: &mut Context<'_, '_>) -> CommandResult {
    let off = TrackingMode::default();
    let mode = ctx.session.tracking.as_deref();
    let is_on = mode.is_some();
    let mode = mode.unwrap_or(&off);
    let broken = ctx.session.info.has_flag(ClientFlags::BROKEN_REDIRECT);
    let flags = [
        (!is_on, "off"),
        (is_on, "on"),
        (mode.broadcast, "bcast"),
        (mode.opt_in, "optin"),
        (mode.opt_in && mode.caching, "caching-yes"),
        (mode.opt_out, "optout"),
        (mode.opt_out && mode.caching, "caching-no"),
        (mode.no_loop, "noloop"),
        (broken, "broken_redirect"),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    let reply = &mut *ctx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirect_of(ctx.session));
    reply.bulk(b"prefixes");
    reply.array(mode.prefixes.len());
    mode.prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::commands::testing::Harness;

    #[test]
    fn modes_that_make_no_sense() {
        let mut harness = Harness::new();
        harness.expect(&[
            ("CLIENT TRACKING x", "-ERR syntax error"),
            ("CLIENT TRACKING on REDIRECT", "-ERR syntax error"),
            ("CLIENT TRACKING off foo", "-ERR syntax error"),
            ("CLIENT TRACKING on REDIRECT 99", "-ERR The client ID you want redirect to does not exist"),
            ("CLIENT TRACKING on PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
            ("CLIENT TRACKING on OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
            ("CLIENT TRACKING on BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
            (
                "CLIENT TRACKING on BCAST PREFIX ab PREFIX a",
                "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap.",
            ),
            ("CLIENT TRACKING on BCAST PREFIX b", "+OK"),
            (
                "CLIENT TRACKING on BCAST PREFIX ba",
                "-ERR Prefix 'ba' overlaps with an existing prefix 'b'. Prefixes for a single client must not overlap.",
            ),
            (
                "CLIENT TRACKING on",
                "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            ),
            ("CLIENT TRACKING off", "+OK"),
        ]);
    }

    #[test]
    fn a_client_is_told_what_it_asked_for() {
        let mut harness = Harness::new();
        harness
            .services
            .clients
            .add(Arc::clone(&harness.session.info));
        harness.expect(&[
            ("CLIENT GETREDIR", "-1"),
            (
                "CLIENT TRACKINGINFO",
                r#"["flags" ["off"] "redirect" -1 "prefixes" []]"#,
            ),
            ("CLIENT TRACKING on OPTIN NOLOOP REDIRECT 1", "+OK"),
            ("CLIENT GETREDIR", "1"),
            (
                "CLIENT CACHING no",
                "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ),
            ("CLIENT CACHING yes", "+OK"),
            (
                "CLIENT TRACKINGINFO",
                r#"["flags" ["on" "optin" "caching-yes" "noloop"] "redirect" 1 "prefixes" []]"#,
            ),
            ("RESET", "+RESET"),
            ("CLIENT GETREDIR", "-1"),
            ("CLIENT TRACKING on BCAST PREFIX y PREFIX x", "+OK"),
            (
                "CLIENT TRACKINGINFO",
                r#"["flags" ["on" "bcast"] "redirect" 0 "prefixes" ["x" "y"]]"#,
            ),
        ]);
        assert!(harness.services.tracking.counts().prefixes == 2);
    }
}
