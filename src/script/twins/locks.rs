//! Locks: redlock, the locks of redis-py and of BullMQ's jobs, and the lock of Redis's pages.

use super::{Calls, Failure, Twin, is_short_number};
use crate::reply::Response;
use crate::value::number::DoubleBuffer;

pub(super) static TWINS: &[Twin] = &[
    Twin::new(include_str!("lua/redlock_4_lock.lua"), (0, 2), |calls| {
        take_all(calls, (4, 11))
    }),
    Twin::new(include_str!("lua/redlock_4_unlock.lua"), (0, 1), |calls| {
        give_back_all(calls, 5)
    }),
    Twin::new(include_str!("lua/redlock_4_extend.lua"), (0, 2), |calls| {
        extend_all(calls, (4, 11))
    }),
    Twin::new(include_str!("lua/redlock_5_acquire.lua"), (0, 2), |calls| {
        take_all(calls, (4, 11))
    }),
    Twin::new(include_str!("lua/redlock_5_release.lua"), (0, 1), |calls| {
        give_back_all(calls, 5)
    }),
    Twin::new(include_str!("lua/redlock_5_extend.lua"), (0, 2), |calls| {
        extend_all(calls, (4, 11))
    }),
    Twin::new(include_str!("lua/redis_py_release.lua"), (1, 1), release),
    Twin::new(include_str!("lua/redis_py_extend.lua"), (1, 3), extend)
        .only_if(|args| args.get(1).is_some_and(|word| is_short_number(word))),
    Twin::new(
        include_str!("lua/redis_py_reacquire.lua"),
        (1, 2),
        reacquire,
    ),
    Twin::new(
        include_str!("lua/bullmq_release_lock.lua"),
        (1, 1),
        |calls| if_held(calls, 11, (12, &[b"DEL"])),
    ),
    Twin::new(
        include_str!("lua/bullmq_extend_lock.lua"),
        (2, 3),
        extend_job,
    ),
    Twin::new(
        include_str!("lua/documented_release.lua"),
        (1, 1),
        |calls| if_held_in_lower_case(calls, &[b"del"]),
    ),
    Twin::new(include_str!("lua/documented_extend.lua"), (1, 2), |calls| {
        let ttl = calls.arg(1);
        if_held_in_lower_case(calls, &[b"pexpire", ttl])
    }),
];

/// What a lock's script answers when it does nothing.
const NOTHING: Response = Response::Int(0);

fn count_of(keys: &[&[u8]]) -> Response {
    Response::Int(i64::try_from(keys.len()).unwrap_or(i64::MAX))
}

/// Takes every key, or none if one is there. The lines are those that look and that write.
fn take_all(calls: &mut Calls<'_>, (look, write): (u32, u32)) -> Result<Response, Failure> {
    for key in calls.keys {
        if calls.int(look, &[b"exists", key])? == 1 {
            return Ok(NOTHING);
        }
    }
    write_all(calls, write)
}

/// Starts the time of every key anew, or of none if one is not held by the token.
fn extend_all(calls: &mut Calls<'_>, (look, write): (u32, u32)) -> Result<Response, Failure> {
    let token = calls.arg(0);
    for key in calls.keys {
        if !calls.is(look, &[b"get", key], token)? {
            return Ok(NOTHING);
        }
    }
    write_all(calls, write)
}

fn write_all(calls: &mut Calls<'_>, line: u32) -> Result<Response, Failure> {
    let (token, ttl) = (calls.arg(0), calls.arg(1));
    for key in calls.keys {
        calls.call(line, &[b"set", key, token, b"PX", ttl])?;
    }
    Ok(count_of(calls.keys))
}

/// Removes the keys that the token holds.
fn give_back_all(calls: &mut Calls<'_>, look: u32) -> Result<Response, Failure> {
    let token = calls.arg(0);
    let mut count = 0;
    for key in calls.keys {
        if calls.is(look, &[b"get", key], token)? {
            calls.try_call(&[b"del", key]);
            count += 1;
        }
    }
    Ok(Response::Int(count))
}

/// Calls a command on the lock if the token holds it; the words go on behind the key.
fn if_held(
    calls: &mut Calls<'_>,
    look: u32,
    (line, words): (u32, &[&[u8]]),
) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(look, &[b"GET", key], token)? {
        return Ok(NOTHING);
    }
    call_on(calls, line, key, words)
}

/// The same in one line, written small.
fn if_held_in_lower_case(calls: &mut Calls<'_>, words: &[&[u8]]) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(1, &[b"get", key], token)? {
        return Ok(NOTHING);
    }
    call_on(calls, 1, key, words)
}

fn call_on(
    calls: &mut Calls<'_>,
    line: u32,
    key: &[u8],
    words: &[&[u8]],
) -> Result<Response, Failure> {
    match words {
        [name, ttl] => calls.call(line, &[name, key, ttl]),
        [name, ..] => calls.call(line, &[name, key]),
        [] => Ok(NOTHING),
    }
}

fn release(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(2, &[b"get", key], token)? {
        return Ok(NOTHING);
    }
    calls.call(6, &[b"del", key])?;
    Ok(Response::Int(1))
}

fn extend(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(2, &[b"get", key], token)? {
        return Ok(NOTHING);
    }
    let left = calls.int(6, &[b"pttl", key])?;
    if left < 0 {
        return Ok(NOTHING);
    }
    let mut sum = DoubleBuffer::new();
    let ttl = if calls.arg(2) == b"0" {
        sum.format_c(calls.number(1) as f64 + left as f64);
        sum.as_bytes()
    } else {
        calls.arg(1)
    };
    calls.call(18, &[b"pexpire", key, ttl])?;
    Ok(Response::Int(1))
}

fn reacquire(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(2, &[b"get", key], token)? {
        return Ok(NOTHING);
    }
    calls.call(6, &[b"pexpire", key, calls.arg(1)])?;
    Ok(Response::Int(1))
}

fn extend_job(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let (key, token) = (calls.key(0), calls.arg(0));
    if !calls.is(13, &[b"GET", key], token)? {
        return Ok(NOTHING);
    }
    calls.call(15, &[b"SET", key, token, b"PX", calls.arg(1)])?;
    calls.call(16, &[b"SREM", calls.key(1), calls.arg(2)])?;
    Ok(Response::Int(1))
}
