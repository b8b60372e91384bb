//! The first scripts that people send: the examples in the descriptions of redis-rs and ioredis.

use super::{Calls, Failure, Twin, is_short_number};
use crate::reply::Response;

pub(super) static TWINS: &[Twin] = &[
    Twin::new(include_str!("lua/redis_rs_example.lua"), (0, 2), sum)
        .only_if(|args| args.iter().take(2).all(|word| is_short_number(word))),
    Twin::new(include_str!("lua/ioredis_example.lua"), (2, 2), echo),
];

fn sum(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    Ok(Response::Int(calls.number(0) + calls.number(1)))
}

fn echo(calls: &mut Calls<'_>) -> Result<Response, Failure> {
    let words = [calls.key(0), calls.key(1), calls.arg(0), calls.arg(1)];
    let words = words.into_iter().map(|word| Response::Bulk(word.to_vec()));
    Ok(Response::Array(words.collect()))
}
