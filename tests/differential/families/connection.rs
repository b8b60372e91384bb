//! The connection itself, and commands that do not exist.

use crate::grammar::Compare::{Errors, Exact};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("PING", "[message]", Exact),
    ("ECHO", "message", Exact),
    ("SELECT", "database", Exact),
    ("SELECT", "0", Exact),
    ("CLIENT", "SETNAME name", Exact),
    ("CLIENT", "GETNAME", Exact),
    ("CLIENT", "ID", Errors),
    ("CLIENT", "NO-EVICT (ON | OFF | MAYBE)", Exact),
    ("CLIENT", "REPLY (ON | MAYBE)", Exact),
    ("CLIENT", "UNBLOCK int", Exact),
    ("CLIENT", "NONSENSE name", Exact),
    ("HELLO", "(4 | ABC | 1)", Errors),
    ("HELLO", "(2 | 3)", Errors),
    (
        "HELLO",
        "3 (SETNAME name | NONSENSE | AUTH DEFAULT)",
        Errors,
    ),
    ("AUTH", "[name] name", Exact),
    ("RESET", "", Exact),
    ("TIME", "", Errors),
    (
        "CONFIG",
        "GET (HASH-MAX-LISTPACK-ENTRIES | NONSENSE | MAXMEMORY)",
        Exact,
    ),
    ("CONFIG", "SET NONSENSE 1", Exact),
    (
        "COMMAND",
        "GETKEYS (GET key | MSET (key value)+ | ZUNIONSTORE key #key+ | LMPOP #key+ LEFT | PING | NONSENSE)",
        Exact,
    ),
    ("NONSENSE", "message+", Exact),
    ("OBJECT", "NONSENSE key", Exact),
    (
        "EVALSHA",
        "0123456789012345678901234567890123456789 0",
        Exact,
    ),
    (
        "SCRIPT",
        "EXISTS 0123456789012345678901234567890123456789",
        Exact,
    ),
];

/// What only a newer server knows.
pub(crate) const NEWER: &[Row] = &[
    ("CLIENT", "NO-TOUCH (ON | OFF | MAYBE)", Exact),
    (
        "CLIENT",
        "SETINFO (LIB-NAME | LIB-VER | NONSENSE) name",
        Exact,
    ),
    ("WAITAOF", "(0 | 1 | 2 | -1 | ABC) 0 (1 | -1 | ABC)", Exact),
    ("WAITAOF", "0 (1 | -1 | ABC) (1 | -1 | ABC)", Exact),
    ("WAITAOF", "0 0 0", Exact),
];
