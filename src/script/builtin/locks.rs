//! Locks with an owner: a key that holds the owner's token and expires by itself. Only the owner prolongs or releases it.

use super::{Script, ScriptContext, ScriptError, text};
use crate::reply::Response;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("innkeep.lock.acquire", acquire)
            .description("Takes the lock KEYS[1] for the token ARGV[1] and ARGV[2] milliseconds"),
        Script::new("innkeep.lock.extend", extend).description(
            "Prolongs the lock KEYS[1] to ARGV[2] milliseconds if the token ARGV[1] holds it",
        ),
        Script::new("innkeep.lock.release", release)
            .description("Releases the lock KEYS[1] if the token ARGV[1] holds it"),
    ]
}

fn is_held_by(
    context: &mut ScriptContext<'_>,
    key: &[u8],
    token: &[u8],
) -> Result<bool, ScriptError> {
    let holder = context.call_bulk(&[b"GET", key])?;
    Ok(holder.as_deref() == Some(token))
}

/// `innkeep.lock.acquire` — takes a lock.
///
/// KEYS: the lock. ARGV: the owner's token, unique to this attempt; time to live in milliseconds.
/// Reply: 1 when the token holds the lock now, 0 when another does. Asking again with the same token, because an answer
/// was lost, succeeds and starts the time anew.
fn acquire(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (key, token) = (context.key(0)?, context.arg(0, "the token")?);
    let ttl = text(context.int_arg(1, "the time to live in milliseconds", 1)?);
    let set = context.call(&[b"SET", key, token, b"NX", b"PX", ttl.as_bytes()])?;
    if set != Response::Null {
        return Ok(Response::Int(1));
    }
    if !is_held_by(context, key, token)? {
        return Ok(Response::Int(0));
    }
    context.call(&[b"PEXPIRE", key, ttl.as_bytes()])
}

/// `innkeep.lock.extend` — starts the time of a held lock anew.
///
/// KEYS: the lock. ARGV: the owner's token; time to live in milliseconds. Reply: 1, or 0 when the token does not hold it.
fn extend(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (key, token) = (context.key(0)?, context.arg(0, "the token")?);
    let ttl = context.arg(1, "the time to live in milliseconds")?;
    if is_held_by(context, key, token)? {
        context.call(&[b"PEXPIRE", key, ttl])
    } else {
        Ok(Response::Int(0))
    }
}

/// `innkeep.lock.release` — gives a lock back.
///
/// KEYS: the lock. ARGV: the owner's token. Reply: 1, or 0 when the token does not hold it.
fn release(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (key, token) = (context.key(0)?, context.arg(0, "the token")?);
    if is_held_by(context, key, token)? {
        context.call(&[b"DEL", key])
    } else {
        Ok(Response::Int(0))
    }
}
