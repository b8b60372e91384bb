//! Values of Lua's, written in Lua. They know no server.

use crate::random::Random;

/// A string in Lua, whatever its bytes are.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('"');
    text
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "100",
    "127",
    "128",
    "255",
    "256",
    "-128",
    "-129",
    "32767",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740992",
    "9007199254740993",
    "1e15",
    "1e16",
    "1e17",
    "1e18",
    "9.3e18",
    "-9.3e18",
    "1e19",
    "1e20",
    "1e100",
    "1e308",
    "0.1",
    "-0.1",
    "0.5",
    "2.5",
    "1.9999",
    "-1.9999",
    "1/3",
    "3.14159265358979",
    "1e-5",
    "1e-320",
    "-0",
    "0*-1",
    "1/0",
    "-1/0",
    "0/0",
    "-(0/0)",
    "1e14+0.5",
    "123456789012345",
    "16777217",
    "3.4e38",
    "1.5e300",
];

pub(super) fn number(random: &mut Random) -> &'static str {
    random.pick::<&str>(NUMBERS)
}

const STRINGS: &[&[u8]] = &[
    b"",
    b"a",
    b"x y",
    b"10",
    b"-1.5",
    b"0x10",
    b" 12 ",
    b"1e3",
    b"nan",
    b"inf",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"\"\\/\x08\x0c\n\r\t",
    b"\x7f",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"OK",
    b"ERR text",
    b"{}",
    b"[1,2]",
    b"%d%s%q",
    b"hello world",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// A string.
pub(super) fn string(random: &mut Random) -> String {
    text(random.pick::<&[u8]>(STRINGS))
}

const SPECIAL: &[&str] = &[
    "{ok = 'FINE'}",
    "{ok = 'two\\r\\nlines'}",
    "{ok = 1}",
    "{ok = {}}",
    "{err = 'MINE text'}",
    "{err = 'Word'}",
    "{err = 1}",
    "{err = 'a\\nb'}",
    "{err = ''}",
    "{ok = ''}",
    "{double = 3.25}",
    "{double = 'x'}",
    "{double = 1/0}",
    "{map = {a = 1}}",
    "{map = {}}",
    "{map = 1}",
    "{set = {a = true}}",
    "{set = {}}",
    "{set = {1}}",
    "{big_number = '123456789012345678901234567890'}",
    "{big_number = 12}",
    "{big_number = 'a\\nb'}",
    "{verbatim_string = {format = 'txt', string = 'hello'}}",
    "{verbatim_string = {format = 'toolong', string = 'x'}}",
    "{verbatim_string = {string = 'x'}}",
    "{verbatim_string = {}}",
    "{1, nil, 3}",
    "{nil, 2}",
    "{[0] = 1, 2}",
    "{1, 2, x = 3}",
    "{[1] = 'a', [3] = 'c'}",
    "{[1.5] = 1}",
    "redis.error_reply('MY error')",
    "redis.error_reply('-MY error')",
    "redis.error_reply('short')",
    "redis.error_reply('')",
    "redis.status_reply('YES')",
    "redis.status_reply('')",
    "setmetatable({}, {__index = function() return 1 end})",
    "setmetatable({1, 2}, {__len = function() return 9 end})",
    "print == nil",
    "function() end",
    "coroutine.create(function() end)",
    "cjson.null",
    "KEYS",
    "ARGV",
    "#KEYS",
    "ARGV[1]",
    "KEYS[1]",
];

/// Any value, no deeper than `depth`.
pub(super) fn value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 60 } else { 100 }) {
        0..5 => "nil".to_owned(),
        5..10 => "true".to_owned(),
        10..15 => "false".to_owned(),
        15..35 => number(random).to_owned(),
        35..52 => string(random),
        52..60 => (*random.pick(SPECIAL)).to_owned(),
        60..85 => {
            let items: Vec<String> = (0..random.below(5))
                .map(|_| value(random, depth - 1))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
        85..95 => {
            let key = if random.chance(70) {
                string(random)
            } else {
                number_key(random).to_owned()
            };
            format!("{{[{key}] = {}}}", value(random, depth - 1))
        }
        _ => format!(
            "{{{}, [{}] = {}}}",
            value(random, depth - 1),
            string(random),
            value(random, depth - 1)
        ),
    }
}

/// A number that may be a key.
fn number_key(random: &mut Random) -> &'static str {
    random.pick::<&str>(&["1", "2", "10", "-1", "0", "1.5", "1e10", "100", "3"])
}
