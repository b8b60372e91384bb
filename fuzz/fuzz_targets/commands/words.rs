//! Single words: keys, numbers at their edges, and what arguments of certain names are given.

use crate::bytes::Bytes;

const NUMBERS: &[&str] = &[
    "1",
    "0",
    "2",
    "3",
    "-1",
    "-2",
    "5",
    "10",
    "17",
    "100",
    "127",
    "128",
    "255",
    "256",
    "4095",
    "4096",
    "8191",
    "-5",
    "-100",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1.5",
    "-0",
    "+1",
    "01",
    "",
    " 1",
    "1e3",
    "0x10",
    "a",
];

const DOUBLES: &[&str] = &[
    "1",
    "0",
    "-1",
    "1.5",
    "2",
    "3",
    "-0",
    "inf",
    "-inf",
    "nan",
    "1e308",
    "-1e308",
    "1e-320",
    "0.1",
    "3.0000000000000004",
    "17179869184",
    "-90",
    "85.05",
    "180",
    "9007199254740993",
    "1e400",
    "",
    "a",
    "0x1p3",
    "(1",
];

const IDS: &[&str] = &[
    "*",
    "0",
    "1-1",
    "0-1",
    "2-1",
    "3-*",
    "2-2",
    "5",
    ">",
    "$",
    "-",
    "+",
    "(1-1",
    "10-0",
    "4000000000000-0",
    "4000000000000-*",
    "4000000000001-5",
    "18446744073709551615-18446744073709551615",
    "18446744073709551615-18446744073709551614",
    "18446744073709551615",
    "1-18446744073709551615",
    "(-",
    "0-0",
    "",
    "a-b",
];

const RANGES: &[&str] = &[
    "-inf", "+inf", "0", "(1", "2", "-", "+", "[a", "(a", "[", "(", "[m5", "(inf", "-1", "1", "5",
    "nan", "0-0", "1-1",
];

const SCRIPTS: &[&str] = &[
    "return 1",
    "return redis.call('SET', KEYS[1] or 's0', ARGV[1] or 'x')",
    "redis.call('RPUSH', 'l0', 'a', 'b'); redis.call('SADD', 's9', redis.call('TIME')[1]); return redis.call('LPOP', 'l0')",
    "redis.call('DEL', KEYS[1] or 'z0'); return redis.pcall('INCR', 'h0')",
    "for i = 1, 300 do redis.call('HSET', KEYS[1] or 'h0', i, i) end return redis.status_reply('fine')",
    "return redis.pcall(unpack(ARGV))",
    "return redis.call(unpack(ARGV))",
    "redis.setresp(3); return redis.call('HGETALL', KEYS[1] or 'h0')",
    "return {1, {2, {false, 'x'}}, {err = 'E'}, {double = 1.5}}",
    "redis.call('EXPIRE', KEYS[1] or 's0', 1); redis.replicate_commands(); return redis.call('GET', KEYS[1] or 's0')",
    "#!lua flags=no-writes\nreturn redis.call('SET', 's0', 'no')",
    "return cjson.decode(ARGV[1] or '[1]')",
    "return cmsgpack.unpack(ARGV[1] or 'a')",
    "return struct.unpack(ARGV[1] or 'I', ARGV[2] or 'abcd')",
    "return string.format(ARGV[1] or '%d', ARGV[2] or 1)",
    "return string.gsub(ARGV[1] or 'abc', ARGV[2] or '(b)', '%1%1')",
    "return bit.tohex(tonumber(ARGV[1]) or 1, tonumber(ARGV[2]) or 8)",
];

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function(keys, args) return redis.call('INCR', keys[1] or 's0') end)\nredis.register_function{function_name='g', callback=function() return 1 end, flags={'no-writes'}}";

/// What can be set while the server runs and makes no difference to what the next start, which has it not, loads. So not
/// `hll-sparse-max-bytes`, on which the bytes of a counter depend.
pub const SETTINGS: &[(&str, &str)] = &[
    ("list-max-listpack-size", "3"),
    ("list-max-listpack-size", "-1"),
    ("hash-max-listpack-entries", "2"),
    ("hash-max-listpack-value", "4"),
    ("hash-max-listpack-entries", "600"),
    ("set-max-intset-entries", "2"),
    ("set-max-listpack-entries", "2"),
    ("zset-max-listpack-entries", "2"),
    ("zset-max-listpack-value", "4"),
    ("stream-node-max-entries", "2"),
    ("stream-node-max-bytes", "64"),
    ("notify-keyspace-events", "KEA"),
    ("tracking-table-max-keys", "2"),
    ("slowlog-log-slower-than", "0"),
    ("latency-monitor-threshold", "1"),
    ("lazyfree-lazy-user-del", "yes"),
    ("rdbcompression", "no"),
    ("aof-use-rdb-preamble", "yes"),
    ("proto-max-bulk-len", "2mb"),
    ("maxmemory-policy", "allkeys-lfu"),
    ("busy-reply-threshold", "1"),
];

fn any<'a>(bytes: &mut Bytes<'_>, from: &[&'a str]) -> &'a str {
    bytes.pick(from)
}

/// A key that mostly holds what the commands of the group expect.
pub fn key(bytes: &mut Bytes<'_>, group: &str) -> Vec<u8> {
    let kinds = ["s", "l", "h", "t", "z", "x", "p"];
    let own = match group {
        "string" | "bitmap" => "s",
        "list" => "l",
        "hash" => "h",
        "set" => "t",
        "sorted-set" | "geo" => "z",
        "stream" => "x",
        "hyperloglog" => "p",
        _ => any(bytes, &kinds),
    };
    let kind = if bytes.chance(10) {
        any(bytes, &kinds)
    } else {
        own
    };
    format!("{kind}{}", bytes.below(3)).into_bytes()
}

pub fn number(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.below(8) {
        0..3 => bytes.below(12).to_string().into_bytes(),
        3 => bytes.byte().cast_signed().to_string().into_bytes(),
        _ => any(bytes, NUMBERS).as_bytes().to_vec(),
    }
}

pub fn double(bytes: &mut Bytes<'_>) -> Vec<u8> {
    any(bytes, DOUBLES).as_bytes().to_vec()
}

/// A moment near the clock, or a number.
pub fn time(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.below(4) {
        0 => number(bytes),
        1 => format!("{}", 4_000_000_000 + bytes.below(100)).into_bytes(),
        _ => format!("{}", 4_000_000_000_000_u64 + bytes.below(5000) as u64).into_bytes(),
    }
}

/// An element of a collection: few, so that they meet; short and long.
fn element(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.below(12) {
        0..5 => format!("m{}", bytes.below(8)).into_bytes(),
        5..7 => bytes.below(30).to_string().into_bytes(),
        7 => any(bytes, NUMBERS).as_bytes().to_vec(),
        8 => {
            let size = [0, 64, 65, 254, 255, 1000, 3000, 9000][bytes.below(8)];
            let letter = b'a' + bytes.byte() % 4;
            vec![letter; size]
        }
        9 => any(bytes, DOUBLES).as_bytes().to_vec(),
        _ => bytes.raw(),
    }
}

/// A word for an argument of this name.
pub fn named(bytes: &mut Bytes<'_>, name: &str) -> Vec<u8> {
    if bytes.chance(16) {
        return element(bytes);
    }
    let text = match name {
        "id" | "last-id" | "start" | "end" | "lastid" | "max_deleted_entry_id" => any(bytes, IDS),
        "min" | "max" | "stop" | "pivot" => any(bytes, RANGES),
        "group" | "groupname" => any(bytes, &["g0", "g1"]),
        "consumer" | "consumername" => any(bytes, &["c0", "c1"]),
        "script" => any(bytes, SCRIPTS),
        "function-code" => LIBRARY,
        "function" => any(bytes, &["f", "g", "h"]),
        "library-name" => "lib",
        "channel" | "shardchannel" => any(bytes, &["a", "b"]),
        "username" => any(bytes, &["u", "v"]),
        "rule" => any(
            bytes,
            &[
                "on",
                "off",
                "+@all",
                "-get",
                "~*",
                "~a*",
                "&*",
                ">p",
                "nopass",
                "reset",
                "(+get ~b)",
                "clearselectors",
                "%R~x",
            ],
        ),
        "threshold" => any(bytes, NUMBERS),
        "encoding" => any(bytes, &["u8", "i8", "u1", "i64", "u63", "u64", "i0", "i5"]),
        "path" => any(bytes, &["/data/backup.rdb", "/data/other"]),
        "type" => any(
            bytes,
            &[
                "string", "list", "hash", "zset", "set", "stream", "normal", "pubsub",
            ],
        ),
        "min-idle-time" => any(bytes, NUMBERS),
        _ => return element(bytes),
    };
    text.as_bytes().to_vec()
}

pub fn pattern(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let patterns = [
        "*",
        "m*",
        "?0",
        "[a-m]*",
        "x*y",
        "h*",
        "#",
        "h0->*",
        "*->f",
        "[",
        "\\",
        "**********b",
    ];
    any(bytes, &patterns).as_bytes().to_vec()
}
