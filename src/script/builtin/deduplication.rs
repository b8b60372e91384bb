//! Each message once: a key that is there has been seen.

use super::{Script, ScriptContext, ScriptError, text};
use crate::reply::Response;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("innkeep.dedup.first", first).description(
            "Whether this is the first sight of KEYS[1] within ARGV[1] milliseconds; ARGV[2] is remembered",
        ),
    ]
}

/// `innkeep.dedup.first` — sets a key that is not there, with a time to live.
///
/// KEYS: the key that stands for the message. ARGV: time to live in milliseconds; what to remember (`1`).
/// Reply: 1 at the first sight, 0 at every other until the time is over.
fn first(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let ttl = text(context.int_arg(0, "the time to live in milliseconds", 1)?);
    let value = context.args().get(1).copied().unwrap_or(b"1");
    let set = context.call(&[b"SET", key, value, b"NX", b"PX", ttl.as_bytes()])?;
    Ok(Response::Int(i64::from(set != Response::Null)))
}
