//! Hashes.

use crate::grammar::Compare::{Choice, Exact, Iteration, Unordered, UnorderedPairs};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("HSET", "key (field value)+", Exact),
    ("HSET", "key (field value)+", Exact),
    ("HSET", "key (field int)", Exact),
    ("HMSET", "key (field value)+", Exact),
    ("HSETNX", "key field value", Exact),
    ("HGET", "key field", Exact),
    ("HMGET", "key field+", Exact),
    ("HGETALL", "key", UnorderedPairs),
    ("HKEYS", "key", Unordered),
    ("HVALS", "key", Unordered),
    ("HDEL", "key field+", Exact),
    ("HLEN", "key", Exact),
    ("HSTRLEN", "key field", Exact),
    ("HEXISTS", "key field", Exact),
    ("HINCRBY", "key field int", Exact),
    ("HINCRBYFLOAT", "key field float", Exact),
    ("HRANDFIELD", "key [choicecount [WITHVALUES]]", Choice),
    (
        "HSCAN",
        "key 0 <[MATCH pattern] [COUNT pagesize]>",
        Iteration,
    ),
    ("OBJECT", "ENCODING key", Exact),
];
