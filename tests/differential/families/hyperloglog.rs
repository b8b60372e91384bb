//! HyperLogLog. GET shows the bytes, so that every step of the layout is compared.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    (
        "PFADD",
        "key [member | int | field | (member member)]",
        Exact,
    ),
    (
        "PFADD",
        "key (member | int | setmember | rankedmember | lexmember)+",
        Exact,
    ),
    (
        "PFADD",
        "key (seconds | milliseconds | unixtime | float | score | value)+",
        Exact,
    ),
    ("PFADD", "other member", Exact),
    ("PFCOUNT", "key", Exact),
    ("PFCOUNT", "key+", Exact),
    ("PFMERGE", "key key+", Exact),
    ("PFMERGE", "key [other]", Exact),
    (
        "PFDEBUG",
        "(ENCODING | DECODE | ENCODING | DECODE | NONSENSE) key",
        Exact,
    ),
    ("PFDEBUG", "(TODENSE | GETREG) densekey", Exact),
    ("PFADD", "densekey (member | int | setmember)+", Exact),
    ("PFMERGE", "densekey key+", Exact),
    ("PFMERGE", "densekey key densekey", Exact),
    ("SETRANGE", "key hlloffset (1 | 0)", Exact),
    ("APPEND", "key hllbyte", Exact),
    ("GET", "key", Exact),
    ("GET", "densekey", Exact),
    ("DEL", "(key | densekey)", Exact),
    ("STRLEN", "key", Exact),
    ("OBJECT", "ENCODING key", Exact),
];
