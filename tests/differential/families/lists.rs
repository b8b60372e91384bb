//! Lists, and those of their commands that can wait.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("LPUSH", "key element+", Exact),
    ("RPUSH", "key element+", Exact),
    ("RPUSH", "key element+", Exact),
    ("LPUSHX", "key element+", Exact),
    ("RPUSHX", "key element+", Exact),
    ("LPOP", "key [count]", Exact),
    ("RPOP", "key [count]", Exact),
    ("LLEN", "key", Exact),
    ("LINDEX", "key index", Exact),
    ("LSET", "key index element", Exact),
    (
        "LINSERT",
        "key (BEFORE | AFTER | BESIDE) element element",
        Exact,
    ),
    ("LRANGE", "key index index", Exact),
    ("LRANGE", "key 0 -1", Exact),
    ("LTRIM", "key index index", Exact),
    ("LREM", "key index element", Exact),
    (
        "LPOS",
        "key element <[RANK rank] [COUNT count] [MAXLEN count]>",
        Exact,
    ),
    ("LMOVE", "key key (LEFT | RIGHT) (LEFT | RIGHT)", Exact),
    ("RPOPLPUSH", "key key", Exact),
    ("LMPOP", "#key+ (LEFT | RIGHT | UP) [COUNT count]", Exact),
    ("BLPOP", "key+ timeout", Exact),
    ("BRPOP", "key+ timeout", Exact),
    (
        "BLMOVE",
        "key key (LEFT | RIGHT) (LEFT | RIGHT) timeout",
        Exact,
    ),
    ("BRPOPLPUSH", "key key timeout", Exact),
    (
        "BLMPOP",
        "timeout #key+ (LEFT | RIGHT) [COUNT count]",
        Exact,
    ),
    ("OBJECT", "ENCODING key", Exact),
];

pub(crate) const WAITERS: &[Row] = &[
    ("BLPOP", "key+ 0", Exact),
    ("BRPOP", "key+ 0", Exact),
    ("BLMOVE", "key key (LEFT | RIGHT) (LEFT | RIGHT) 0", Exact),
    ("BRPOPLPUSH", "key key 0", Exact),
    (
        "BLMPOP",
        "0 #key+ (LEFT | RIGHT) [COUNT (1 | 2 | 3)]",
        Exact,
    ),
];

pub(crate) const WAKERS: &[Row] = &[
    ("LPUSH", "key element+", Exact),
    ("RPUSH", "key element+", Exact),
    ("LMOVE", "key key LEFT RIGHT", Exact),
    ("LINSERT", "key BEFORE element element", Exact),
    ("LPOP", "key [count]", Exact),
    ("LRANGE", "key 0 -1", Exact),
];
