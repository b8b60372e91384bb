//! SORT. What STORE keeps must not depend on the order of a set, so texts of other keys are not stored.

use crate::grammar::Compare::{Exact, Unordered};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("SORT", "sortable <ALPHA [DESC] [LIMIT index index]>", Exact),
    ("SORT", "sortable <[ALPHA] [ASC | DESC]>", Exact),
    (
        "SORT",
        "sortable <[ALPHA] [BY nothing] [GET getpattern] [GET getpattern] [DESC]>",
        Unordered,
    ),
    (
        "SORT",
        "sortable <BY sortpattern [GET getpattern] [LIMIT index index]>",
        Exact,
    ),
    ("SORT", "sortable <BY sortpattern ALPHA>", Unordered),
    (
        "SORT",
        "sortable <[ALPHA] [ASC | DESC] [LIMIT index index] [GET getpattern] STORE key>",
        Exact,
    ),
    (
        "SORT",
        "sortable <BY nothing [DESC] [LIMIT index index] [GET getpattern] STORE key>",
        Exact,
    ),
    (
        "SORT",
        "sortable <BY sortpattern [DESC] [LIMIT index index] [GET getpattern] STORE key>",
        Exact,
    ),
    (
        "SORT_RO",
        "sortable <ALPHA [DESC] [LIMIT index index]>",
        Exact,
    ),
    (
        "SORT_RO",
        "sortable <[ALPHA] [BY nothing] [GET getpattern] [GET getpattern] [ASC | DESC]>",
        Unordered,
    ),
    (
        "SORT_RO",
        "sortable <BY sortpattern [GET getpattern] [LIMIT index index]>",
        Exact,
    ),
    ("SORT", "other ALPHA", Exact),
    (
        "COMMAND",
        "GETKEYS SORT key BY sortpattern STORE key",
        Exact,
    ),
];

pub(crate) const WAKERS: &[Row] = &[
    ("SORT", "sortable ALPHA STORE key", Exact),
    (
        "SORT",
        "sortable BY nothing GET getpattern STORE key",
        Exact,
    ),
];
