//! Sets.

use crate::grammar::Compare::{Choice, Exact, Iteration, Removal, Unordered};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("SADD", "key setmember+", Exact),
    ("SADD", "key setmember+", Exact),
    ("SADD", "key setmember+", Exact),
    ("SREM", "key setmember+", Exact),
    ("SMEMBERS", "key", Unordered),
    ("SISMEMBER", "key setmember", Exact),
    ("SMISMEMBER", "key setmember+", Exact),
    ("SCARD", "key", Exact),
    ("SMOVE", "key key setmember", Exact),
    ("SPOP", "key [count]", Removal),
    ("SRANDMEMBER", "key [choicecount]", Choice),
    ("SINTER", "key+", Unordered),
    ("SINTERCARD", "#key+ [LIMIT count]", Exact),
    ("SINTERSTORE", "key key+", Exact),
    ("SUNION", "key+", Unordered),
    ("SUNIONSTORE", "key key+", Exact),
    ("SDIFF", "key+", Unordered),
    ("SDIFFSTORE", "key key+", Exact),
    (
        "SSCAN",
        "key 0 <[MATCH pattern] [COUNT pagesize]>",
        Iteration,
    ),
    ("OBJECT", "ENCODING key", Exact),
];
