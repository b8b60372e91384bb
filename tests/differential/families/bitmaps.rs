//! Bits of strings, and integers among them.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("SETBIT", "key bitoffset bit", Exact),
    ("GETBIT", "key bitoffset", Exact),
    ("BITCOUNT", "key", Exact),
    ("BITCOUNT", "key index index [BYTE | BIT]", Exact),
    ("BITCOUNT", "key bitindex bitindex BIT", Exact),
    ("BITPOS", "key bit [index [index [BYTE | BIT]]]", Exact),
    ("BITPOS", "key bit bitindex bitindex BIT", Exact),
    ("BITOP", "(AND | OR | XOR) key key+", Exact),
    ("BITOP", "(NOT | NAND) key key", Exact),
    ("BITFIELD", "key GET bitwidth bitplace", Exact),
    ("BITFIELD", "key SET bitwidth bitplace int", Exact),
    (
        "BITFIELD",
        "key [OVERFLOW (WRAP | SAT | FAIL)] (INCRBY bitwidth bitplace int)+",
        Exact,
    ),
    (
        "BITFIELD",
        "key <[OVERFLOW (WRAP | SAT | FAIL | NONE)] SET bitwidth bitplace increment INCRBY bitwidth bitplace increment GET bitwidth bitplace>",
        Exact,
    ),
    ("BITFIELD_RO", "key (GET bitwidth bitplace)+", Exact),
    ("BITFIELD_RO", "key SET bitwidth bitplace int", Exact),
    ("OBJECT", "ENCODING key", Exact),
    ("GET", "key", Exact),
];

/// What only a newer server knows, and what it needs.
pub(crate) const NEWER: &[Row] = &[
    ("SETRANGE", "key 0 value", Exact),
    ("SETRANGE", "key offset value", Exact),
    ("GET", "key", Exact),
    ("BITOP", "(DIFF | DIFF1 | ANDOR | ONE) key key+", Exact),
    (
        "BITOP",
        "(DIFF | DIFF1 | ANDOR | ONE) key key key key+",
        Exact,
    ),
];
