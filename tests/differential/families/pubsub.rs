//! Publishing, subscribing, and asking who listens.

use crate::grammar::Compare::{Exact, Unordered};
use crate::grammar::Row;

pub(crate) const INTROSPECTION: &[Row] = &[
    ("PUBSUB", "CHANNELS [channelpattern]", Unordered),
    ("PUBSUB", "NUMSUB [channel+]", Exact),
    ("PUBSUB", "NUMPAT", Exact),
    ("PUBSUB", "SHARDCHANNELS [channelpattern]", Unordered),
    ("PUBSUB", "SHARDNUMSUB [channel+]", Exact),
    ("PUBSUB", "NONSENSE", Exact),
];

pub(crate) const SUBSCRIPTIONS: &[Row] = &[
    ("SUBSCRIBE", "channel+", Exact),
    ("SUBSCRIBE", "channel+", Exact),
    ("PSUBSCRIBE", "channelpattern+", Exact),
    ("SSUBSCRIBE", "channel+", Exact),
    ("UNSUBSCRIBE", "channel+", Exact),
    ("PUNSUBSCRIBE", "channelpattern+", Exact),
    ("SUNSUBSCRIBE", "channel+", Exact),
    // The order in which all channels are left is the server's own.
    ("UNSUBSCRIBE", "", Unordered),
    ("PUNSUBSCRIBE", "", Unordered),
    ("SUNSUBSCRIBE", "", Unordered),
    ("GET", "key", Exact),
    ("PING", "[message]", Exact),
];

pub(crate) const PUBLICATIONS: &[Row] = &[
    ("PUBLISH", "channel message", Exact),
    ("PUBLISH", "channel message", Exact),
    ("SPUBLISH", "channel message", Exact),
    ("PUBSUB", "NUMSUB [channel+]", Exact),
];
