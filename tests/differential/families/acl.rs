//! Users and their rights. Nobody becomes one of these users: what they may is asked by ACL DRYRUN. In which words commands
//! are told that a user may run is not compared: 7.2 keeps categories as they were given, 7.0 takes them apart.

use crate::grammar::Compare::{Exact, Shape, Unordered};
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("ACL", "CAT", Unordered),
    ("ACL", "CAT NONSENSE", Exact),
    (
        "ACL",
        "GENPASS [(1 | 5 | 256 | 1000 | 0 | -1 | 4097 | ABC)]",
        Shape,
    ),
    ("ACL", "LOG (RESET | 0 | ABC)", Exact),
    ("ACL", "LOG NONSENSE 1", Exact),
    ("ACL", "(LOAD | SAVE | HELP)", Exact),
    ("ACL", "SETUSER user aclrule+", Exact),
    ("ACL", "SETUSER user goodrule+", Exact),
    ("ACL", "SETUSER user goodrule+", Exact),
    ("ACL", "SETUSER user goodrule+", Exact),
    ("ACL", "DELUSER user+", Exact),
    ("ACL", "GETUSER (user | DEFAULT)", Shape),
    ("ACL", "LIST", Shape),
    ("ACL", "USERS", Unordered),
    (
        "ACL",
        "DRYRUN user (GET key | SET key value | SET key value GET | DEL key+ | MGET key+ | LMOVE key key LEFT RIGHT | SORT key STORE key | PUBLISH channel message | SUBSCRIBE channel+ | PSUBSCRIBE channelpattern | CONFIG GET SAVE | CLIENT ID | NONSENSE | GET | EVAL message #key | ZUNIONSTORE key #key+ | COPY key key | XREAD STREAMS key 0)",
        Exact,
    ),
    ("ACL", "DRYRUN (NONSENSE | DEFAULT) (PING | GET key)", Exact),
];
