//! What an operator asks a server, and what is wrong with the question.

use crate::grammar::Compare::{Clients, Errors, Exact, Near, Shape, Unordered, Value};
use crate::grammar::Row;

/// How far apart two measures of the same thing may be.
const ANYTHING: i64 = i64::MAX;

pub(crate) const COMMANDS: &[Row] = &[
    ("CLIENT", "INFO", Clients),
    (
        "CLIENT",
        "KILL (ID | ADDR | LADDR | USER | TYPE | SKIPME | NONSENSE) value",
        Exact,
    ),
    (
        "CLIENT",
        "KILL ID (0 | -1 | 99999999) [TYPE (PUBSUB | REPLICA)]",
        Exact,
    ),
    (
        "CLIENT",
        "KILL TYPE (MASTER | REPLICA | SLAVE | NONSENSE)",
        Exact,
    ),
    ("CLIENT", "KILL value", Exact),
    (
        "CLIENT",
        "PAUSE (0 | -1 | ABC | 1.5) [WRITE | ALL | NONSENSE]",
        Exact,
    ),
    ("CLIENT", "UNPAUSE", Exact),
    (
        "CLIENT",
        "LIST (TYPE (MASTER | REPLICA | NORMAL | PUBSUB | NONSENSE) | ID (0 | ABC | 99999999) | NONSENSE)",
        Errors,
    ),
    (
        "CLIENT",
        "UNBLOCK (0 | 99999999 | ABC) [TIMEOUT | ERROR | NONSENSE]",
        Exact,
    ),
    ("CLIENT", "NO-EVICT (ON | OFF | MAYBE)", Exact),
    ("CLIENT", "REPLY (ON | NONSENSE)", Exact),
    ("OBJECT", "(ENCODING | FREQ) key", Exact),
    // The words of a command that waits in MULTI refer to a value, too.
    ("OBJECT", "REFCOUNT key", Shape),
    ("OBJECT", "IDLETIME key", Near(20)),
    ("OBJECT", "(HELP | NONSENSE) [key]", Exact),
    ("MEMORY", "USAGE key [SAMPLES (0 | 5 | 10)]", Near(ANYTHING)),
    (
        "MEMORY",
        "USAGE key (SAMPLES (-1 | ABC) | NONSENSE 1 | SAMPLES)",
        Near(ANYTHING),
    ),
    ("MEMORY", "USAGE NOTHING", Near(ANYTHING)),
    ("MEMORY", "(NONSENSE | PURGE | HELP)", Exact),
    ("SLOWLOG", "(LEN | RESET | HELP | NONSENSE)", Exact),
    ("SLOWLOG", "GET [count]", Exact),
    (
        "LATENCY",
        "(LATEST | RESET | HISTORY value | GRAPH value | HELP | NONSENSE)",
        Exact,
    ),
    (
        "CONFIG",
        "GET (MAXMEMORY | HZ | SAVE | APPENDONLY | DATABASES | TIMEOUT | NONSENSE)",
        Exact,
    ),
    (
        "CONFIG",
        "GET (NOTIFY-KEYSPACE-EVENTS | CLIENT-OUTPUT-BUFFER-LIMIT | OOM-SCORE-ADJ-VALUES)",
        Unordered,
    ),
    (
        "CONFIG",
        "SET (MAXMEMORY | TIMEOUT | HZ | MAXMEMORY-POLICY | MAXMEMORY-SAMPLES | APPENDFSYNC | LFU-LOG-FACTOR) (ABC | -1 | 1.5)",
        Exact,
    ),
    (
        "CONFIG",
        "SET (DATABASES | DAEMONIZE | NONSENSE | UNIXSOCKET) (1 | ABC)",
        Exact,
    ),
    (
        "CONFIG",
        "SET TIMEOUT 0 (HZ ABC | NONSENSE 1 | TIMEOUT 1 | HZ)",
        Exact,
    ),
    (
        "CONFIG",
        "SET (CLIENT-OUTPUT-BUFFER-LIMIT | SAVE | OOM-SCORE-ADJ-VALUES) value",
        Exact,
    ),
    ("CONFIG", "(NONSENSE | HELP)", Exact),
    (
        "DEBUG",
        "(SLEEP 0 | NONSENSE | ERROR MESSAGE | STRINGMATCH-LEN 1 A)",
        Value,
    ),
    ("DEBUG", "OBJECT (NOTHING | key)", Value),
    (
        "DEBUG",
        "PROTOCOL (STRING | INTEGER | DOUBLE | NULL | ARRAY | SET | MAP | BIGNUM | TRUE | FALSE | VERBATIM)",
        Value,
    ),
    ("FLUSHALL", "(LATER | ASYNC SYNC)", Exact),
    ("FLUSHALL", "[ASYNC | SYNC]", Exact),
    ("SWAPDB", "database database", Exact),
    ("EVAL", "value", Exact),
    ("EVAL", "value (ABC | -1 | 1 | 2 key)", Exact),
    ("EVAL_RO", "value (ABC | -1 | 1 | 2 key)", Exact),
    (
        "EVALSHA",
        "(value | 0123456789012345678901234567890123456789) (ABC | -1 | 0 | 1 | 2 key | 1 key)",
        Exact,
    ),
    (
        "EVALSHA_RO",
        "(value | 0123456789012345678901234567890123456789) (ABC | -1 | 0 | 1 | 2 key | 1 key)",
        Exact,
    ),
    ("FCALL", "value (ABC | -1 | 0 | 1 | 2 key | 1 key)", Exact),
    (
        "FCALL_RO",
        "value (ABC | -1 | 0 | 1 | 2 key | 1 key)",
        Exact,
    ),
    (
        "SCRIPT",
        "(EXISTS value+ | FLUSH [ASYNC | SYNC | LATER] | KILL | NONSENSE)",
        Exact,
    ),
    (
        "FUNCTION",
        "(DELETE value | KILL | NONSENSE | LIST NONSENSE | FLUSH LATER)",
        Exact,
    ),
    ("WAIT", "(0 | ABC | -1) (0 | ABC | -1)", Exact),
    ("ROLE", "", Errors),
    ("LASTSAVE", "", Near(1000)),
    ("ACL", "(WHOAMI | USERS | NONSENSE)", Exact),
    ("MODULE", "(LIST | NONSENSE)", Exact),
    (
        "COMMAND",
        "GETKEYSANDFLAGS (GET key | SET key value GET | LMOVE key key LEFT LEFT | ZUNIONSTORE key #key+ | PING)",
        Exact,
    ),
    (
        "COMMAND",
        "LIST FILTERBY (MODULE | NONSENSE | ACLCAT | PATTERN) value",
        Exact,
    ),
    (
        "COMMAND",
        "(INFO | DOCS) (NONSENSE | GET | LPUSH | HSET)+",
        Exact,
    ),
    ("COMMAND", "COUNT", Errors),
    ("COMMAND", "HELP", Exact),
    (
        "INFO",
        "[SERVER | CLIENTS | MEMORY | PERSISTENCE | STATS | REPLICATION | CPU | ERRORSTATS | KEYSPACE | NONSENSE]",
        Errors,
    ),
    ("INFO", "NONSENSE [NONSENSE]", Exact),
    ("LATENCY", "HISTOGRAM NONSENSE", Exact),
    ("LATENCY", "(DOCTOR | HISTOGRAM)", Errors),
    (
        "LOLWUT",
        "[VERSION (5 | 6 | 7 | ABC) [int] [int] [ABC]]",
        Errors,
    ),
    ("MEMORY", "(DOCTOR | MALLOC-STATS | STATS)", Errors),
    ("CONFIG", "RESETSTAT", Exact),
    ("CONFIG", "REWRITE", Exact),
    (
        "MODULE",
        "(HELP | LOAD value | LOADEX value [CONFIG name value] [ARGS value] | UNLOAD value)",
        Exact,
    ),
    ("PUBSUB", "HELP", Exact),
    (
        "FAILOVER",
        "[ABORT | TO name int | TIMEOUT int | NONSENSE | TO name 1 FORCE | TO name 1 FORCE TIMEOUT 100 | FORCE]",
        Exact,
    ),
    ("REPLICAOF", "(NO ONE | name ABC)", Exact),
    ("SLAVEOF", "(NO ONE | name ABC)", Exact),
    (
        "REPLCONF",
        "(LISTENING-PORT (1234 | ABC) | IP-ADDRESS name | CAPA EOF | NONSENSE 1 | RDB-ONLY (0 | ABC) | LISTENING-PORT)",
        Exact,
    ),
    (
        "SHUTDOWN",
        "(ABORT [NOW | FORCE] | NOSAVE SAVE | NONSENSE)",
        Exact,
    ),
    ("SAVE", "", Exact),
    ("BGSAVE", "NONSENSE", Exact),
    ("COMMAND", "NONSENSE", Exact),
];

/// Keys that go to another server; what is there is compared, too. They have no time beyond all
/// clocks, which may have run out on arrival.
pub(crate) const MOVING: &[Row] = &[
    ("SET", "movable value [PX 1000000]", Exact),
    ("RPUSH", "movable element+", Exact),
    ("HSET", "movable (field value)+", Exact),
    ("SADD", "movable setmember+", Exact),
    ("ZADD", "movable (goodscore member)+", Exact),
    ("XADD", "movable 9-* field value", Exact),
    ("DEL", "movable", Exact),
    ("PERSIST", "movable", Exact),
    (
        "MIGRATE",
        "127.0.0.1 @m movable database 10000 <[COPY] [REPLACE]>",
        Exact,
    ),
    (
        "MIGRATE",
        "127.0.0.1 @m movable 0 10000 [COPY] REPLACE",
        Exact,
    ),
    (
        "MIGRATE",
        "127.0.0.1 @m nokey (0 | 1) 10000 <[COPY] [REPLACE]> KEYS movable+",
        Exact,
    ),
    (
        "MIGRATE",
        "127.0.0.1 @m movable 0 10000 [COPY] (AUTH name | AUTH2 name name | AUTH | AUTH2 name | KEYS movable | NONSENSE)",
        Exact,
    ),
    (
        "MIGRATE",
        "127.0.0.1 (1 | ABC) movable (0 | ABC) (100 | ABC)",
        Exact,
    ),
];
