//! Strings and counters.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("SET", "key value", Exact),
    ("SET", "key value", Exact),
    ("SET", "key int", Exact),
    (
        "SET",
        "key value <[NX | XX] [GET] [EX seconds | PX milliseconds | EXAT timetocome | PXAT timetocomems | KEEPTTL]>",
        Exact,
    ),
    ("SETNX", "key value", Exact),
    ("SETEX", "key seconds value", Exact),
    ("PSETEX", "key milliseconds value", Exact),
    ("GET", "key", Exact),
    ("GET", "key", Exact),
    ("GETSET", "key value", Exact),
    ("GETDEL", "key", Exact),
    (
        "GETEX",
        "key [EX seconds | PX milliseconds | EXAT unixtime | PXAT unixtimems | PERSIST]",
        Exact,
    ),
    ("MGET", "key+", Exact),
    ("MSET", "(key value)+", Exact),
    ("MSETNX", "(key value)+", Exact),
    ("APPEND", "key value", Exact),
    ("STRLEN", "key", Exact),
    ("GETRANGE", "key index index", Exact),
    ("SUBSTR", "key index index", Exact),
    ("SETRANGE", "key offset value", Exact),
    ("INCR", "key", Exact),
    ("DECR", "key", Exact),
    ("INCRBY", "key int", Exact),
    ("DECRBY", "key int", Exact),
    ("INCRBYFLOAT", "key float", Exact),
    ("SETBIT", "key bitoffset bit", Exact),
    ("GETBIT", "key bitoffset", Exact),
    (
        "LCS",
        "key key <[LEN] [IDX] [MINMATCHLEN int] [WITHMATCHLEN]>",
        Exact,
    ),
    ("OBJECT", "ENCODING key", Exact),
];
