//! The smallest scripts of BullMQ's jobs.

use super::{Calls, Failure, Twin};
use crate::reply::Response;

pub(super) static TWINS: &[Twin] = &[
    Twin::new(
        include_str!("lua/bullmq_update_data.lua"),
        (1, 1),
        update_data,
    ),
    Twin::new(
        include_str!("lua/bullmq_save_stacktrace.lua"),
        (1, 2),
        save_stacktrace,
    ),
    Twin::new(
        include_str!("lua/bullmq_is_job_in_list.lua"),
        (1, 1),
        is_job_in_list,
    ),
];

const NO_JOB: Response = Response::Int(-1);
const DONE: Response = Response::Int(0);

fn update_data(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let key = calls.key(0);
    if calls.int(11, &[b"EXISTS", key])? != 1 {
        return Ok(NO_JOB);
    }
    calls.call(12, &[b"HSET", key, b"data", calls.arg(0)])?;
    Ok(DONE)
}

fn save_stacktrace(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let key = calls.key(0);
    if calls.int(12, &[b"EXISTS", key])? != 1 {
        return Ok(NO_JOB);
    }
    let (trace, reason) = (calls.arg(0), calls.arg(1));
    calls.call(
        13,
        &[b"HMSET", key, b"stacktrace", trace, b"failedReason", reason],
    )?;
    Ok(DONE)
}

fn is_job_in_list(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let wanted = calls.arg(0);
    let items = calls.call(21, &[b"LRANGE", calls.key(0), b"0", b"-1"])?;
    let Response::Array(items) = items else {
        return Ok(Response::Null);
    };
    let mut items = items.iter();
    let found = items.any(|item| matches!(item, Response::Bulk(text) if text == wanted));
    Ok(if found {
        Response::Int(1)
    } else {
        Response::Null
    })
}
