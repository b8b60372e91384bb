//! Streams and their consumer groups. Ids are chosen by the commands, as those that a clock chooses differ.

use crate::grammar::Compare::{Clocked, Exact};
use crate::grammar::Row;

/// How far apart the clocks of two commands may be, in milliseconds.
const MILLISECONDS: i64 = 20_000;

pub(crate) const COMMANDS: &[Row] = &[
    ("XADD", "key addid (field value)+", Exact),
    ("XADD", "key addid (field value)+", Exact),
    ("XADD", "key addid F1 value", Exact),
    ("XADD", "key addid F1 value", Exact),
    ("XADD", "key addid F1 value F2 value", Exact),
    (
        "XADD",
        "key <[NOMKSTREAM] [MAXLEN [= | ~] count] [LIMIT count]> addid field value",
        Exact,
    ),
    (
        "XADD",
        "key <[NOMKSTREAM] [MINID [= | ~] streamid] [LIMIT count]> addid field value",
        Exact,
    ),
    ("XTRIM", "key MAXLEN [= | ~] count [LIMIT count]", Exact),
    ("XTRIM", "key MINID [= | ~] streamid [LIMIT count]", Exact),
    ("XLEN", "key", Exact),
    ("XRANGE", "key rangeid rangeid [COUNT count]", Exact),
    ("XRANGE", "key - rangeid [COUNT count]", Exact),
    ("XREVRANGE", "key rangeid rangeid [COUNT count]", Exact),
    ("XREVRANGE", "key 99 rangeid [COUNT count]", Exact),
    ("XDEL", "key streamid+", Exact),
    (
        "XSETID",
        "key streamid <[ENTRIESADDED count] [MAXDELETEDID streamid]>",
        Exact,
    ),
    (
        "XREAD",
        "<[COUNT count] [BLOCK blockms]> STREAMS key readid",
        Exact,
    ),
    (
        "XREAD",
        "[COUNT count] STREAMS key key readid readid",
        Exact,
    ),
    (
        "XREADGROUP",
        "GROUP group consumer <[COUNT count] [NOACK]> STREAMS key groupid",
        Exact,
    ),
    (
        "XREADGROUP",
        "GROUP group consumer [COUNT count] STREAMS key newid",
        Exact,
    ),
    (
        "XREADGROUP",
        "<GROUP group consumer [COUNT count] [BLOCK blockms]> STREAMS key key groupid groupid",
        Exact,
    ),
    (
        "XGROUP",
        "CREATE key group startid <[MKSTREAM] [ENTRIESREAD count]>",
        Exact,
    ),
    ("XGROUP", "CREATE key group 0 MKSTREAM", Exact),
    (
        "XGROUP",
        "SETID key group startid [ENTRIESREAD count]",
        Exact,
    ),
    ("XGROUP", "DESTROY key group", Exact),
    ("XGROUP", "CREATECONSUMER key group consumer", Exact),
    ("XGROUP", "DELCONSUMER key group consumer", Exact),
    ("XGROUP", "NONSENSE key group", Exact),
    ("XACK", "key group streamid+", Exact),
    ("XPENDING", "key group", Exact),
    (
        "XPENDING",
        "key group [IDLE idle] rangeid rangeid count [consumer]",
        Clocked(MILLISECONDS),
    ),
    (
        "XCLAIM",
        "key group consumer idle streamid+ <[IDLE idle] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID streamid]>",
        Exact,
    ),
    (
        "XCLAIM",
        "key group consumer idle streamid <[TIME unixtimems] [FORCE]>",
        Exact,
    ),
    (
        "XAUTOCLAIM",
        "key group consumer idle rangeid <[COUNT claimcount] [JUSTID]>",
        Exact,
    ),
    ("XINFO", "STREAM key", Exact),
    (
        "XINFO",
        "STREAM key FULL [COUNT count]",
        Clocked(MILLISECONDS),
    ),
    ("XINFO", "GROUPS key", Exact),
    ("XINFO", "CONSUMERS key group", Clocked(MILLISECONDS)),
    ("XINFO", "HELP", Exact),
    ("XGROUP", "HELP", Exact),
    ("OBJECT", "ENCODING key", Exact),
];

pub(crate) const WAITERS: &[Row] = &[
    (
        "XREAD",
        "[COUNT 1] BLOCK 0 STREAMS key ($ | 9-3 | 0)",
        Exact,
    ),
    ("XREAD", "BLOCK 0 STREAMS key key $ ($ | 9-2)", Exact),
    (
        "XREADGROUP",
        "GROUP group consumer <[COUNT 2] [NOACK] BLOCK 0> STREAMS key newid",
        Exact,
    ),
    (
        "XREADGROUP",
        "GROUP group consumer BLOCK 0 STREAMS key key newid newid",
        Exact,
    ),
];

pub(crate) const WAKERS: &[Row] = &[
    ("XADD", "key 9-* field value", Exact),
    ("XADD", "key 9-* F1 value F2 value", Exact),
    ("XADD", "key MAXLEN 0 9-* field value", Exact),
    ("XGROUP", "CREATE key group $ MKSTREAM", Exact),
    ("XGROUP", "DESTROY key group", Exact),
    ("XGROUP", "SETID key group 0", Exact),
    (
        "XREADGROUP",
        "GROUP group consumer [COUNT 1] STREAMS key newid",
        Exact,
    ),
    ("XPENDING", "key group", Exact),
    ("XTRIM", "key MAXLEN 1", Exact),
    ("DEL", "key", Exact),
    ("XINFO", "GROUPS key", Exact),
];

/// What only a newer server knows, and what it needs.
pub(crate) const NEWER: &[Row] = &[
    ("XADD", "key addid (field value)", Exact),
    ("XADD", "key addid (field value)", Exact),
    ("XGROUP", "CREATE key group startid MKSTREAM", Exact),
    (
        "XREADGROUP",
        "GROUP group consumer COUNT claimcount STREAMS key unread",
        Exact,
    ),
    ("XACK", "key group streamid+", Exact),
    ("XDEL", "key streamid+", Exact),
    (
        "XDELEX",
        "key <[KEEPREF | DELREF | ACKED] (IDS #streamid)>",
        Exact,
    ),
    (
        "XACKDEL",
        "key group <[KEEPREF | DELREF | ACKED] (IDS #streamid)>",
        Exact,
    ),
    (
        "XADD",
        "key <[NOMKSTREAM] [KEEPREF | DELREF | ACKED] MAXLEN [= | ~] count> addid field value",
        Exact,
    ),
    (
        "XADD",
        "key <[KEEPREF | DELREF | ACKED] [MINID [= | ~] streamid]> addid field value",
        Exact,
    ),
    (
        "XTRIM",
        "key (MAXLEN [= | ~] count | MINID [= | ~] streamid) <[LIMIT count] [KEEPREF | DELREF | ACKED]>",
        Exact,
    ),
    (
        "XREAD",
        "[COUNT claimcount] STREAMS key (last | readid)",
        Exact,
    ),
    ("XREAD", "STREAMS key key last (last | 0)", Exact),
    ("XPENDING", "key group", Exact),
    ("XRANGE", "key rangeid rangeid", Exact),
    ("XLEN", "key", Exact),
];
