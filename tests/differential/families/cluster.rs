//! What belongs to a cluster, which neither server is.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    (
        "CLUSTER",
        "(ADDSLOTS int | ADDSLOTSRANGE int int | BUMPEPOCH | COUNT-FAILURE-REPORTS name | COUNTKEYSINSLOT int | DELSLOTS int | DELSLOTSRANGE int int | FAILOVER [FORCE | TAKEOVER] | FLUSHSLOTS | FORGET name | GETKEYSINSLOT int int | HELP | INFO | KEYSLOT key | LINKS | MEET name int | MYID | NODES | REPLICAS name | REPLICATE name | RESET [HARD | SOFT] | SAVECONFIG | SET-CONFIG-EPOCH int | SETSLOT int (IMPORTING name | MIGRATING name | NODE name | STABLE) | SHARDS | SLAVES name | SLOTS | NONSENSE)",
        Exact,
    ),
    ("ASKING", "", Exact),
    ("READONLY", "", Exact),
    ("READWRITE", "", Exact),
];

pub(crate) const NEWER: &[Row] = &[(
    "CLUSTER",
    "(MYSHARDID | SLOT-STATS SLOTSRANGE 0 1 | SLOT-STATS ORDERBY KEY-COUNT [LIMIT 1] [ASC | DESC])",
    Exact,
)];
