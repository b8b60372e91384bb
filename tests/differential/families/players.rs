//! What clients do to each other. SWAPDB is not among it: Redis serves those who wait for several keys of the databases
//! in the order of a hash table.

use crate::grammar::Compare::{Clients, Exact};
use crate::grammar::Row;

pub(crate) const MEDDLING: &[Row] = &[
    ("CLIENT", "UNBLOCK player [TIMEOUT | ERROR]", Exact),
    ("CLIENT", "UNBLOCK player [TIMEOUT | ERROR]", Exact),
    ("CLIENT", "KILL ID player SKIPME NO", Exact),
    ("CLIENT", "KILL ADDR playeraddress SKIPME NO", Exact),
    ("CLIENT", "KILL playeraddress", Exact),
    ("CLIENT", "PAUSE 1000000 WRITE", Exact),
    ("CLIENT", "PAUSE 1000000 WRITE", Exact),
    ("CLIENT", "UNPAUSE", Exact),
    ("CLIENT", "UNPAUSE", Exact),
    ("CLIENT", "LIST ID player", Clients),
    ("CLIENT", "LIST ID player player", Clients),
    ("CLIENT", "INFO", Clients),
    (
        "CLIENT",
        "KILL TYPE (NORMAL | PUBSUB) ID player SKIPME NO",
        Exact,
    ),
    ("CLIENT", "SETNAME name", Exact),
    ("CLIENT", "NO-EVICT (ON | OFF)", Exact),
    // In a pipeline it is refused.
    ("SCRIPT", "DEBUG (NO | NONSENSE)", Exact),
    ("MULTI", "", Exact),
    ("EXEC", "", Exact),
    ("EXEC", "", Exact),
    ("DISCARD", "", Exact),
    ("WATCH", "key", Exact),
    ("RESET", "", Exact),
    ("SELECT", "(0 | 1)", Exact),
    ("MOVE", "key (0 | 1)", Exact),
    ("FLUSHALL", "", Exact),
    ("RENAME", "key key", Exact),
    ("SET", "key value", Exact),
    ("GET", "key", Exact),
    ("PUBLISH", "channel message", Exact),
];
