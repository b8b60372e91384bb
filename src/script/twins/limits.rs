//! Counters of requests: rate-limiter-flexible, rate-limit-redis (of express-rate-limit), and the counter of Redis's pages.

use super::{Calls, Failure, Twin, ints, is_short_number};
use crate::reply::Response;

pub(super) static TWINS: &[Twin] = &[
    Twin::new(
        include_str!("lua/rate_limiter_flexible.lua"),
        (1, 2),
        flexible,
    )
    .only_if(|args| args.get(1).is_some_and(|word| is_short_number(word))),
    Twin::new(
        include_str!("lua/rate_limit_redis_increment.lua"),
        (1, 1),
        increment,
    )
    .only_if(|args| args.first().is_some_and(|word| is_short_number(word))),
    Twin::new(
        include_str!("lua/rate_limit_redis_increment_4.lua"),
        (1, 2),
        increment_4,
    )
    .only_if(|args| args.get(1).is_some_and(|word| is_short_number(word))),
    Twin::new(include_str!("lua/rate_limit_redis_get.lua"), (1, 0), get),
    Twin::new(include_str!("lua/documented_count.lua"), (1, 1), count),
];

fn flexible(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, seconds) = (calls.key(0), calls.arg(1));
    calls.call(1, &[b"set", key, b"0", b"EX", seconds, b"NX"])?;
    let consumed = calls.int(1, &[b"incrby", key, calls.arg(0)])?;
    let mut ttl = calls.int(1, &[b"pttl", key])?;
    if ttl == -1 {
        calls.call(1, &[b"expire", key, seconds])?;
        ttl = calls.number(1) * 1000;
    }
    Ok(ints(&[consumed, ttl]))
}

fn increment(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, window) = (calls.key(0), calls.number(0));
    let ttl = calls.int(2, &[b"PTTL", key])?;
    if ttl <= 0 {
        let mut digits = itoa::Buffer::new();
        let window_text = digits.format(window).as_bytes();
        calls.call(4, &[b"SET", key, b"1", b"PX", window_text])?;
        return Ok(ints(&[1, window]));
    }
    let hits = calls.int(7, &[b"INCR", key])?;
    Ok(ints(&[hits, ttl]))
}

fn increment_4(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, window) = (calls.key(0), calls.number(1));
    let hits = calls.int(1, &[b"INCR", key])?;
    let mut ttl = calls.int(2, &[b"PTTL", key])?;
    if ttl <= 0 || calls.arg(0) == b"1" {
        let mut digits = itoa::Buffer::new();
        let window_text = digits.format(window).as_bytes();
        calls.call(5, &[b"PEXPIRE", key, window_text])?;
        ttl = window;
    }
    Ok(ints(&[hits, ttl]))
}

fn get(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let key = calls.key(0);
    let hits = calls.call(1, &[b"GET", key])?;
    let ttl = calls.call(2, &[b"PTTL", key])?;
    Ok(Response::Array(vec![hits, ttl]))
}

fn count(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let key = calls.key(0);
    let current = calls.int(1, &[b"INCR", key])?;
    if current == 1 {
        calls.call(3, &[b"PEXPIRE", key, calls.arg(0)])?;
    }
    Ok(Response::Int(current))
}
