//! Keys of any type: their names, their databases, their time to live.

use crate::grammar::Compare::{AnyKey, Exact, Iteration, Near, Shape, Unordered};
use crate::grammar::Row;

/// How far apart the clocks of two commands may be, in milliseconds and in seconds.
const MILLISECONDS: i64 = 20_000;
const SECONDS: i64 = 20;

pub(crate) const COMMANDS: &[Row] = &[
    ("DEL", "key+", Exact),
    ("UNLINK", "key+", Exact),
    ("EXISTS", "key+", Exact),
    ("TOUCH", "key+", Exact),
    ("TYPE", "key", Exact),
    ("RENAME", "key key", Exact),
    ("RENAMENX", "key key", Exact),
    ("COPY", "key key <[DB database] [REPLACE]>", Exact),
    ("COPY", "key key REPLACE", Exact),
    ("MOVE", "key database", Exact),
    ("KEYS", "pattern", Unordered),
    ("RANDOMKEY", "", AnyKey),
    (
        "SCAN",
        "0 <[MATCH pattern] [COUNT pagesize] [TYPE type]>",
        Iteration,
    ),
    ("DBSIZE", "", Exact),
    (
        "EXPIRE",
        "key seconds [NX | XX | GT | LT | XX GT | NX GT]",
        Exact,
    ),
    (
        "PEXPIRE",
        "key milliseconds [NX | XX | GT | LT | XX LT | GT LT]",
        Exact,
    ),
    ("EXPIREAT", "key unixtime [NX | XX | GT | LT]", Exact),
    ("PEXPIREAT", "key unixtimems [NX | XX | GT | LT]", Exact),
    ("PERSIST", "key", Exact),
    ("TTL", "key", Near(SECONDS)),
    ("PTTL", "key", Near(MILLISECONDS)),
    ("EXPIRETIME", "key", Near(SECONDS)),
    ("PEXPIRETIME", "key", Near(MILLISECONDS)),
    ("OBJECT", "ENCODING key", Exact),
    ("OBJECT", "IDLETIME key", Near(SECONDS)),
    ("OBJECT", "FREQ key", Exact),
    ("SELECT", "database", Exact),
    ("SWAPDB", "database database", Exact),
    ("FLUSHDB", "[ASYNC | SYNC | LATER]", Exact),
];

pub(crate) const WAKERS: &[Row] = &[
    ("RENAME", "key key", Exact),
    ("COPY", "key key REPLACE", Exact),
    ("DEL", "key", Exact),
    ("TYPE", "key", Exact),
    ("SET", "key value", Exact),
];

pub(crate) const LAPSES: &[Row] = &[
    ("PEXPIRE", "key 3", Exact),
    ("PEXPIRE", "key 3", Exact),
    ("SET", "key value PX 3", Exact),
    ("SET", "key value EXAT 1000", Exact),
    ("SET", "key value PXAT 1000", Exact),
    ("PSETEX", "key 3 value", Exact),
    ("GETEX", "key PX 3", Exact),
];

pub(crate) const DUMPS: &[Row] = &[
    // What is large is compressed, or in the order of a table.
    ("DUMP", "key", Shape),
    (
        "RESTORE",
        "key (0 | milliseconds) payload <[REPLACE] [IDLETIME idle | FREQ count]>",
        Exact,
    ),
    ("RESTORE", "key 0 payload REPLACE", Exact),
    ("RESTORE", "key 0 payload REPLACE", Exact),
    ("RESTORE", "key unixtimems payload <REPLACE ABSTTL>", Exact),
    (
        "RESTORE-ASKING",
        "key (0 | milliseconds) payload <[REPLACE] [ABSTTL] [IDLETIME idle] [FREQ count]>",
        Exact,
    ),
];
