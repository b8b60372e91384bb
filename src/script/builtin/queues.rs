//! Queues that lose nothing: what a worker took and did not finish goes back, and what is due moves to the queue.

use std::collections::HashSet;

use super::{Script, ScriptContext, ScriptError, ints, text};
use crate::reply::Response;
use crate::value::number::parse_f64;

/// How many entries one call moves when it is not told.
const DEFAULT_LIMIT: i64 = 100;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("innkeep.queue.promote", promote)
            .description("Moves up to ARGV[1] due jobs from the sorted set KEYS[1] to the list KEYS[2]"),
        Script::new("innkeep.queue.reclaim", reclaim).description(
            "Moves jobs taken more than ARGV[1] milliseconds ago from the sorted set KEYS[1] to the list KEYS[2]",
        ),
        Script::new("innkeep.queue.reclaim_list", reclaim_list).description(
            "Moves jobs that lie in the list KEYS[1] for more than ARGV[1] milliseconds to the list KEYS[3]; times in KEYS[2]",
        ),
    ]
}

/// `LEFT` or `RIGHT`, as the command that pushes there.
fn push_command(
    context: &ScriptContext<'_>,
    index: usize,
    default: &'static [u8],
) -> Result<&'static [u8], ScriptError> {
    match context.args().get(index) {
        None => Ok(default),
        Some(side) if side.eq_ignore_ascii_case(b"LEFT") => Ok(b"LPUSH"),
        Some(side) if side.eq_ignore_ascii_case(b"RIGHT") => Ok(b"RPUSH"),
        Some(_) => Err(ScriptError::new("ERR the side is neither LEFT nor RIGHT")),
    }
}

fn on_members<'m>(
    context: &mut ScriptContext<'_>,
    command: &'m [u8],
    key: &'m [u8],
    members: impl IntoIterator<Item = &'m [u8]>,
) -> Result<(), ScriptError> {
    let mut words = vec![command, key];
    words.extend(members);
    if words.len() > 2 {
        context.call(&words)?;
    }
    Ok(())
}

/// Members of a sorted set with scores up to `bound`, lowest first.
fn members_until(
    context: &mut ScriptContext<'_>,
    key: &[u8],
    bound: i64,
    limit: i64,
) -> Result<Vec<Vec<u8>>, ScriptError> {
    let (bound, limit) = (text(bound), text(limit));
    let found = context.call_strings(&[
        b"ZRANGEBYSCORE",
        key,
        b"-inf",
        bound.as_bytes(),
        b"LIMIT",
        b"0",
        limit.as_bytes(),
    ])?;
    Ok(found.into_iter().flatten().collect())
}

fn slices(members: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    members.iter().map(Vec::as_slice)
}

/// `innkeep.queue.promote` — moves jobs whose time has come into their queue, the earliest first.
///
/// KEYS: delayed jobs (a sorted set, scored with Unix milliseconds); the queue (a list). ARGV: how many at most (100);
/// the side of the list to push to (`LEFT`, the end that workers with BRPOP reach last).
/// Reply: how many were moved; milliseconds until the next is due (0: now, -1: there is none).
fn promote(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (delayed, queue) = (context.key(0)?, context.key(1)?);
    let limit = context.int_arg_or(0, "how many at most", 0, DEFAULT_LIMIT)?;
    let push = push_command(context, 1, b"LPUSH")?;
    let now = context.now_ms();
    let due = members_until(context, delayed, now, limit)?;
    on_members(context, push, queue, slices(&due))?;
    on_members(context, b"ZREM", delayed, slices(&due))?;
    let next = context.call_strings(&[b"ZRANGE", delayed, b"0", b"0", b"WITHSCORES"])?;
    let at = next.get(1).and_then(Option::as_deref).and_then(parse_f64);
    let wait = at.map_or(-1, |at| (at.ceil() as i64).saturating_sub(now).max(0));
    Ok(ints(&[due.len() as i64, wait]))
}

/// `innkeep.queue.reclaim` — gives jobs back that a worker took and never finished; the oldest first.
///
/// KEYS: jobs in progress (a sorted set, scored with the Unix milliseconds when they were taken); the queue (a list).
/// ARGV: after how many milliseconds a job is given up; how many at most (100); the side of the list to push to (`RIGHT`,
/// the end from which workers with BRPOP take next). Reply: how many were moved.
fn reclaim(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (taken, queue) = (context.key(0)?, context.key(1)?);
    let age = context.int_arg(0, "the age in milliseconds", 0)?;
    let limit = context.int_arg_or(1, "how many at most", 0, DEFAULT_LIMIT)?;
    let push = push_command(context, 2, b"RPUSH")?;
    let bound = context.now_ms().saturating_sub(age);
    let stale = members_until(context, taken, bound, limit)?;
    give_back(context, push, queue, &stale)?;
    on_members(context, b"ZREM", taken, slices(&stale))?;
    Ok(Response::Int(stale.len() as i64))
}

/// Pushes jobs, the oldest first in line where the side is the one that workers take from.
fn give_back(
    context: &mut ScriptContext<'_>,
    push: &[u8],
    queue: &[u8],
    jobs: &[Vec<u8>],
) -> Result<(), ScriptError> {
    if push == b"RPUSH" {
        on_members(context, push, queue, jobs.iter().rev().map(Vec::as_slice))
    } else {
        on_members(context, push, queue, slices(jobs))
    }
}

/// `innkeep.queue.reclaim_list` — the same where workers keep what they took in a list (`BLMOVE queue queue:processing`),
/// which says nothing about when. The times stand in a sorted set that this script keeps: a job counts from the first call
/// that sees it.
///
/// KEYS: jobs in progress (a list); the times (a sorted set); the queue (a list). ARGV: after how many milliseconds a job
/// is given up; how many at most (100); the side of the list to push to (`RIGHT`). Reply: how many were moved.
fn reclaim_list(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let (taken, times, queue) = (context.key(0)?, context.key(1)?, context.key(2)?);
    let age = context.int_arg(0, "the age in milliseconds", 0)?;
    let limit = context.int_arg_or(1, "how many at most", 0, DEFAULT_LIMIT)?;
    let push = push_command(context, 2, b"RPUSH")?;
    let now = context.now_ms();
    let jobs = context.call_strings(&[b"LRANGE", taken, b"0", b"-1"])?;
    let jobs: Vec<Vec<u8>> = jobs.into_iter().flatten().collect();
    forget_finished(context, times, &jobs)?;
    let now_text = text(now);
    let scored = slices(&jobs).flat_map(|job| [now_text.as_bytes(), job]);
    if !jobs.is_empty() {
        let words = [&b"ZADD"[..], times, b"NX"].into_iter().chain(scored);
        context.call(&words.collect::<Vec<_>>())?;
    }
    let stale = members_until(context, times, now.saturating_sub(age), limit)?;
    // Pushed before it is removed: what fails leaves a job twice, never nowhere.
    give_back(context, push, queue, &stale)?;
    for job in &stale {
        context.call(&[b"LREM", taken, b"1", job])?;
    }
    on_members(context, b"ZREM", times, slices(&stale))?;
    Ok(Response::Int(stale.len() as i64))
}

/// Drops the times of jobs that are no longer in progress.
fn forget_finished(
    context: &mut ScriptContext<'_>,
    times: &[u8],
    jobs: &[Vec<u8>],
) -> Result<(), ScriptError> {
    let jobs: HashSet<&[u8]> = slices(jobs).collect();
    let known = context.call_strings(&[b"ZRANGE", times, b"0", b"-1"])?;
    let finished: Vec<Vec<u8>> = known
        .into_iter()
        .flatten()
        .filter(|job| !jobs.contains(job.as_slice()))
        .collect();
    on_members(context, b"ZREM", times, slices(&finished))
}
