//! Rate limits. All of them answer three integers: whether it is allowed (1 or 0), how much is left, and after how many
//! milliseconds the same request can succeed (0 when it was allowed; -1 when it never will, because it costs more than
//! the limit).

use super::{Script, ScriptContext, ScriptError, ints, text};
use crate::reply::Response;
use crate::value::number::{DoubleBuffer, parse_f64, parse_i64};

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script::new("innkeep.limit.count", count).description(
            "Counts up KEYS[1], which lives for ARGV[1] milliseconds from the first on",
        ),
        Script::new("innkeep.limit.fixed_window", fixed_window)
            .description("At most ARGV[1] in each window of ARGV[2] milliseconds; costs ARGV[3]"),
        Script::new("innkeep.limit.sliding_window", sliding_window).description(
            "At most ARGV[1] within any ARGV[2] milliseconds; ARGV[3] names the request",
        ),
        Script::new("innkeep.limit.token_bucket", token_bucket)
            .description("A bucket of ARGV[1] tokens that gains ARGV[2] a second; costs ARGV[3]"),
        Script::new("innkeep.limit.gcra", gcra).description(
            "ARGV[2] in ARGV[3] milliseconds, evenly, with bursts of ARGV[1]; costs ARGV[4]",
        ),
    ]
}

/// What PTTL answers for a key without a time to live, and for none at all.
const TTL_NONE: i64 = -1;
const TTL_NO_KEY: i64 = -2;

fn allowed(left: i64) -> Response {
    ints(&[1, left, 0])
}

fn refused(left: i64, retry_ms: i64) -> Response {
    ints(&[0, left, retry_ms])
}

/// `innkeep.limit.count` — how many requests a window has seen, this one included.
///
/// KEYS: the counter. ARGV: length of the window in milliseconds. Reply: the count, alone.
fn count(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let window = context.arg(0, "the window in milliseconds")?;
    let current = context.call_int(&[b"INCR", key])?;
    if current == 1 {
        context.call(&[b"PEXPIRE", key, window])?;
    }
    Ok(Response::Int(current))
}

/// `innkeep.limit.fixed_window` — a counter that begins anew with every window. The cheapest limit; around the end of a
/// window it lets through up to twice the limit.
///
/// KEYS: the counter (a string). ARGV: the limit; the window in milliseconds; the cost of this request (1). A refused
/// request does not count.
fn fixed_window(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let limit = context.int_arg(0, "the limit", 0)?;
    let window = context.int_arg(1, "the window in milliseconds", 1)?;
    let cost = context.int_arg_or(2, "the cost", 0, 1)?;
    let used = match context.call_bulk(&[b"GET", key])? {
        Some(count) => parse_i64(&count)
            .ok_or_else(|| ScriptError::new("ERR value is not an integer or out of range"))?,
        None => 0,
    };
    let left = limit.saturating_sub(used).max(0);
    let length = text(window);
    let mut ttl = context.call_int(&[b"PTTL", key])?;
    if ttl == TTL_NONE {
        // Somebody set the counter without a window: one begins now.
        context.call(&[b"PEXPIRE", key, length.as_bytes()])?;
        ttl = window;
    }
    if cost > left {
        let retry = if cost > limit { -1 } else { ttl.max(0) };
        return Ok(refused(left, retry));
    }
    context.call(&[b"INCRBY", key, text(cost).as_bytes()])?;
    if ttl == TTL_NO_KEY {
        context.call(&[b"PEXPIRE", key, length.as_bytes()])?;
    }
    Ok(allowed(left - cost))
}

/// `innkeep.limit.sliding_window` — remembers when each request came; exact, and takes memory for every request.
///
/// KEYS: the log of requests (a sorted set). ARGV: the limit; the window in milliseconds; a name for this request, unique
/// within the window (made up when it is left out).
fn sliding_window(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let limit = context.int_arg(0, "the limit", 0)?;
    let window = context.int_arg(1, "the window in milliseconds", 1)?;
    let now = context.now_ms();
    let gone = text(now.saturating_sub(window));
    context.call(&[b"ZREMRANGEBYSCORE", key, b"-inf", gone.as_bytes()])?;
    let used = context.call_int(&[b"ZCARD", key])?;
    if used >= limit {
        if limit == 0 {
            return Ok(refused(0, -1));
        }
        // The request succeeds when so many have left the window that less than the limit remains.
        let rank = text(used - limit);
        let (rank, scores) = (rank.as_bytes(), &b"WITHSCORES"[..]);
        let leaving = context.call_strings(&[b"ZRANGE", key, rank, rank, scores])?;
        let came = leaving
            .get(1)
            .and_then(Option::as_deref)
            .and_then(parse_f64);
        let retry = came.map_or(window, |came| {
            (came as i64)
                .saturating_add(window)
                .saturating_sub(now)
                .max(1)
        });
        return Ok(refused(0, retry));
    }
    let made_up;
    let member = match context.args().get(2) {
        Some(name) => name,
        None => {
            made_up = format!("{now}-{:016x}", context.random());
            made_up.as_bytes()
        }
    };
    context.call(&[b"ZADD", key, text(now).as_bytes(), member])?;
    context.call(&[b"PEXPIRE", key, text(window).as_bytes()])?;
    Ok(allowed(limit - used - 1))
}

/// `innkeep.limit.token_bucket` — a bucket that fills steadily and is emptied by requests: bursts up to its size.
///
/// KEYS: the bucket (a hash of `tokens` and `at`, Unix milliseconds). ARGV: its size; tokens gained in a second, may be a
/// fraction; the cost of this request (1).
fn token_bucket(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let size = context.int_arg(0, "the size of the bucket", 1)?;
    let per_ms = context.positive_arg(1, "the tokens gained in a second")? / 1000.0;
    let cost = context.int_arg_or(2, "the cost", 0, 1)?;
    let now = context.now_ms();
    let stored = context.call_strings(&[b"HMGET", key, b"tokens", b"at"])?;
    let field = |index: usize| stored.get(index)?.as_deref().and_then(parse_f64);
    let (tokens, at) = match (field(0), field(1)) {
        (Some(tokens), Some(at)) => (tokens, at),
        _ => (size as f64, now as f64),
    };
    let gained = (now as f64 - at).max(0.0) * per_ms;
    let tokens = (tokens + gained).clamp(0.0, size as f64);
    if cost > size {
        return Ok(refused(tokens as i64, -1));
    }
    if cost as f64 > tokens + ROUNDING {
        let retry = ((cost as f64 - tokens) / per_ms - ROUNDING).ceil();
        return Ok(refused(tokens as i64, (retry as i64).max(1)));
    }
    let tokens = (tokens - cost as f64).max(0.0);
    let mut buffer = DoubleBuffer::new();
    let (shown, at) = (buffer.format(tokens), text(now));
    context.call(&[b"HSET", key, b"tokens", shown, b"at", at.as_bytes()])?;
    // A full bucket is as good as none.
    let full_ms = (((size as f64 - tokens) / per_ms).ceil() as i64).clamp(1, MAX_TTL_MS);
    context.call(&[b"PEXPIRE", key, text(full_ms).as_bytes()])?;
    Ok(allowed(tokens as i64))
}

/// Sums of fractions miss whole numbers by less than this.
const ROUNDING: f64 = 1e-6;

/// A time to live that no addition to the clock overflows: a hundred years.
const MAX_TTL_MS: i64 = 100 * 366 * 24 * 3_600_000;

/// `innkeep.limit.gcra` — the generic cell rate algorithm (ITU-T I.371): a token bucket in one number, the theoretical
/// arrival time of the next request.
///
/// KEYS: that time (a string, Unix microseconds). ARGV: how many may come at once; how many in a period; the period in
/// milliseconds; the cost of this request (1).
fn gcra(context: &mut ScriptContext<'_>) -> Result<Response, ScriptError> {
    let key = context.key(0)?;
    let burst = context.int_arg(0, "how many may come at once", 1)?;
    let rate = context.int_arg(1, "how many may come in a period", 1)?;
    let period = context.int_arg(2, "the period in milliseconds", 1)?;
    let cost = context.int_arg_or(3, "the cost", 0, 1)?;
    let now = i128::from(context.now_ms()) * 1000;
    let interval = (i128::from(period) * 1000 / i128::from(rate)).max(1);
    let stored = context.call_bulk(&[b"GET", key])?;
    let arrival = stored
        .as_deref()
        .and_then(parse_i64)
        .map_or(now, i128::from)
        .max(now);
    let latest = now.saturating_add(interval.saturating_mul(i128::from(burst)));
    let left = |arrival: i128| ((latest - arrival) / interval).clamp(0, i128::from(burst)) as i64;
    if cost > burst {
        return Ok(refused(left(arrival), -1));
    }
    let next = arrival.saturating_add(interval.saturating_mul(i128::from(cost)));
    if next > latest {
        let retry_us = next - latest;
        return Ok(refused(left(arrival), whole_ms(retry_us)));
    }
    let stored = i64::try_from(next)
        .map_err(|_| ScriptError::new("ERR the period and the burst together are too long"))?;
    let (stored, ttl) = (
        text(stored),
        text(whole_ms(next - now).clamp(1, MAX_TTL_MS)),
    );
    context.call(&[b"SET", key, stored.as_bytes(), b"PX", ttl.as_bytes()])?;
    Ok(allowed(left(next)))
}

/// Microseconds above zero as milliseconds, rounded up.
fn whole_ms(us: i128) -> i64 {
    i64::try_from((us - 1) / 1000 + 1).unwrap_or(i64::MAX)
}
