//! Fields of hashes that run out, beside a server that knows them. Times are far away or long over, and told as such: of
//! two fields that get the same time from now on, a server's clock decides which stands first.

use crate::grammar::Compare::{Choice, Clocked, Exact, Unordered, UnorderedPairs};
use crate::grammar::Row;

/// How far apart the clocks of two commands may be, in milliseconds and in seconds.
const MILLISECONDS: i64 = 20_000;
const SECONDS: i64 = 20;

pub(crate) const COMMANDS: &[Row] = &[
    (
        "HEXPIRE",
        "key fieldtime [NX | XX | GT | LT] FIELDS #field",
        Exact,
    ),
    (
        "HPEXPIRE",
        "key fieldtime [NX | XX | GT | LT] FIELDS #field",
        Exact,
    ),
    (
        "HEXPIREAT",
        "key unixtime [NX | XX | GT | LT] FIELDS #field",
        Exact,
    ),
    ("HPEXPIREAT", "key unixtimems FIELDS #field", Exact),
    (
        "HPEXPIREAT",
        "key unixtimems [NX | XX | GT | LT] FIELDS #field",
        Exact,
    ),
    ("HTTL", "key FIELDS #field", Clocked(SECONDS)),
    ("HPTTL", "key FIELDS #field", Clocked(MILLISECONDS)),
    ("HEXPIRETIME", "key FIELDS #field", Exact),
    ("HPEXPIRETIME", "key FIELDS #field", Exact),
    ("HPERSIST", "key FIELDS #field", Exact),
    ("HGETDEL", "key FIELDS #field", Exact),
    (
        "HGETEX",
        "key [EX fieldtime | PX fieldtime | EXAT unixtime | PXAT unixtimems | PERSIST] FIELDS #field",
        Exact,
    ),
    (
        "HSETEX",
        "key <[FNX | FXX] [EX fieldtime | PX fieldtime | EXAT unixtime | PXAT unixtimems | KEEPTTL]> FIELDS 1 field value",
        Exact,
    ),
    (
        "HSETEX",
        "key <[FNX | FXX] [EXAT unixtime | PXAT unixtimems | KEEPTTL]> FIELDS 3 (field value) (field int) (field value)",
        Exact,
    ),
    // One field at most, so that no order matters.
    ("HSCAN", "key 0 MATCH field NOVALUES COUNT 1000", Exact),
    ("HSET", "key (field value)+", Exact),
    ("HSETNX", "key field value", Exact),
    ("HGETALL", "key", UnorderedPairs),
    ("HKEYS", "key", Unordered),
    ("HDEL", "key field+", Exact),
    ("HLEN", "key", Exact),
    ("HINCRBY", "key field int", Exact),
    ("HINCRBYFLOAT", "key field float", Exact),
    ("HRANDFIELD", "key [choicecount [WITHVALUES]]", Choice),
    ("OBJECT", "ENCODING key", Exact),
    ("DEL", "key", Exact),
    ("EXISTS", "key", Exact),
    ("RENAME", "key key", Exact),
    ("COPY", "key key REPLACE", Exact),
];
