//! Libraries of functions, one function each, as a table's hashes order several.

use crate::grammar::Compare::{Exact, Shape, Unordered};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("FUNCTION", "LOAD [REPLACE] library", Exact),
    ("FUNCTION", "LOAD REPLACE library", Exact),
    ("FUNCTION", "LOAD NONSENSE library", Exact),
    (
        "FUNCTION",
        "LIST <[LIBRARYNAME libraryname] [WITHCODE]>",
        Unordered,
    ),
    ("FUNCTION", "DELETE libraryname", Exact),
    ("FUNCTION", "DUMP", Shape),
    (
        "FUNCTION",
        "RESTORE payload [FLUSH | APPEND | REPLACE | NONSENSE]",
        Exact,
    ),
    ("FUNCTION", "FLUSH [ASYNC | SYNC | LATER]", Exact),
    ("FUNCTION", "(KILL | STATS | HELP | NONSENSE)", Exact),
    ("FCALL", "(F1 | F2) #key value", Exact),
    ("FCALL", "(F1 | F2 | F3) 1 key value", Exact),
    ("FCALL_RO", "(F1 | F2 | F3) 1 key value", Exact),
    ("SCRIPT", "LOAD script", Exact),
    ("SCRIPT", "HELP", Exact),
    (
        "EVALSHA",
        "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0",
        Exact,
    ),
];
