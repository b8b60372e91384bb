//! The scripts that every engine has: limits, locks, queues, deduplication. Each says what its KEYS, its ARGV and its
//! reply are. They see a [`ScriptContext`](super::ScriptContext) and nothing else.

mod deduplication;
mod limits;
mod locks;
mod queues;

use super::{Script, ScriptContext, ScriptError};
use crate::reply::Response;

/// All of them.
#[must_use]
pub fn scripts() -> Vec<Script> {
    let families = [
        deduplication::scripts(),
        limits::scripts(),
        locks::scripts(),
        queues::scripts(),
    ];
    families.into_iter().flatten().collect()
}

fn text(value: i64) -> String {
    value.to_string()
}

fn ints(values: &[i64]) -> Response {
    Response::Array(values.iter().copied().map(Response::Int).collect())
}
