//! Places. Where several are equally far, which of them a COUNT keeps is the server's own, so places do not repeat
//! there; STOREDIST shows distances to the last digit.

use crate::grammar::Compare::Exact;
use crate::grammar::Row;

pub(crate) const COMMANDS: &[Row] = &[
    ("GEOADD", "key (longitude latitude place)+", Exact),
    ("GEOADD", "key (longitude latitude place)+", Exact),
    (
        "GEOADD",
        "key <[NX | XX] [CH]> (longitude latitude place)+",
        Exact,
    ),
    ("GEOADD", "key float float place", Exact),
    ("GEODIST", "key place place [unit]", Exact),
    ("GEOPOS", "key place+", Exact),
    ("GEOPOS", "other member", Exact),
    ("GEOHASH", "key place+", Exact),
    (
        "GEOSEARCH",
        "key <(FROMMEMBER place | FROMLONLAT longitude latitude) (BYRADIUS distance unit | BYBOX distance distance unit) [ASC | DESC] [WITHCOORD] [WITHDIST] [WITHHASH]>",
        Exact,
    ),
    (
        "GEOSEARCH",
        "key <FROMLONLAT longitude latitude BYRADIUS distance unit [COUNT count ANY]>",
        Exact,
    ),
    (
        "GEOSEARCH",
        "key <FROMMEMBER place BYBOX distance distance unit [COUNT count ANY] [WITHDIST]>",
        Exact,
    ),
    (
        "GEOSEARCHSTORE",
        "key key <(FROMMEMBER place | FROMLONLAT longitude latitude) (BYRADIUS distance unit | BYBOX distance distance unit) [ASC | DESC] [STOREDIST]>",
        Exact,
    ),
    (
        "GEORADIUS",
        "key longitude latitude distance unit <[ASC | DESC] [WITHCOORD] [WITHDIST] [WITHHASH]>",
        Exact,
    ),
    (
        "GEORADIUS",
        "key longitude latitude distance unit <[ASC | DESC] [COUNT count ANY] (STORE key | STOREDIST key | STORE key STOREDIST key)>",
        Exact,
    ),
    (
        "GEORADIUS_RO",
        "key longitude latitude distance unit <[ASC | DESC] [WITHDIST]>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER",
        "key place distance unit <[ASC | DESC] [WITHCOORD] [WITHDIST] [WITHHASH]>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER",
        "key place distance unit <[ASC | DESC] (STORE key | STOREDIST key)>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER_RO",
        "key place distance unit <[ASC | DESC] [STORE key]>",
        Exact,
    ),
    (
        "GEOSEARCHSTORE",
        "key key <FROMLONLAT longitude latitude BYRADIUS distance unit COUNT count ANY [STOREDIST]>",
        Exact,
    ),
    (
        "GEORADIUS_RO",
        "key longitude latitude distance unit <[ASC | DESC] [WITHCOORD] [WITHDIST] [WITHHASH]>",
        Exact,
    ),
    (
        "GEORADIUS_RO",
        "key longitude latitude distance unit <COUNT count ANY [WITHHASH]>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER",
        "key place distance unit <COUNT count ANY [WITHCOORD]>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER_RO",
        "key place distance unit <[ASC | DESC] [WITHCOORD] [WITHDIST] [WITHHASH]>",
        Exact,
    ),
    (
        "GEORADIUSBYMEMBER_RO",
        "key place distance unit <COUNT count ANY>",
        Exact,
    ),
    ("ZRANGE", "key 0 -1 WITHSCORES", Exact),
    ("ZREM", "key place", Exact),
    ("ZADD", "key goodscore place", Exact),
];
