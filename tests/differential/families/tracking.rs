//! Client-side caching, by connections that get what they are told of beside their replies.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("CLIENT", "TRACKING ON <[OPTIN | OPTOUT] [NOLOOP]>", Exact),
    (
        "CLIENT",
        "TRACKING ON <BCAST [PREFIX prefix] [PREFIX prefix] [NOLOOP]>",
        Exact,
    ),
    (
        "CLIENT",
        "TRACKING ON <[OPTIN] [OPTOUT] [NOLOOP] [BCAST] [PREFIX prefix]>",
        Exact,
    ),
    (
        "CLIENT",
        "TRACKING ON REDIRECT (subscriber | 0 | 99999999 | ABC)",
        Exact,
    ),
    ("CLIENT", "TRACKING (OFF | MAYBE)", Exact),
    ("CLIENT", "TRACKING OFF", Exact),
    ("CLIENT", "CACHING (YES | NO | MAYBE)", Exact),
    ("CLIENT", "TRACKINGINFO", Exact),
    ("CLIENT", "GETREDIR", Exact),
    ("GET", "key", Exact),
    ("MGET", "key+", Exact),
    ("LRANGE", "key 0 -1", Exact),
    ("HGET", "key field", Exact),
    ("SET", "key value", Exact),
];
