//! Transactions.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("MULTI", "", Exact),
    ("MULTI", "", Exact),
    ("EXEC", "", Exact),
    ("EXEC", "", Exact),
    ("EXEC", "", Exact),
    ("DISCARD", "", Exact),
    ("WATCH", "key+", Exact),
    ("WATCH", "key", Exact),
    ("UNWATCH", "", Exact),
];
