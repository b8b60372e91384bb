//! JSON as Lua values. The text is hostile: its depth is limited, and nothing is indexed.

use mlua::{Lua, Value};

use super::Settings;
use crate::script::lua::guard::Raise;
use crate::value::number::parse_f64;

/// The value of a text.
pub(super) fn decode(lua: &Lua, text: &[u8], settings: Settings) -> Result<Value, Raise> {
    if matches!(text, [0, _, ..] | [_, 0, ..]) {
        return Err(Raise::Text(
            "JSON parser does not support UTF-16 or UTF-32".into(),
        ));
    }
    // As a string of C's, it ends with the first zero.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut decoder = Decoder {
        lua,
        text,
        at: 0,
        depth: 0,
        settings,
    };
    let token = decoder.next();
    let value = decoder.value(token)?;
    let token = decoder.next();
    match token.kind {
        Kind::End => Ok(value),
        _ => Err(token.unexpected("the end")),
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Invalid(&'static str),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    /// Where it begins.
    at: usize,
}

impl Token {
    fn unexpected(&self, expected: &str) -> Raise {
        let found = match &self.kind {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::Text(_) => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::Colon => "T_COLON",
            Kind::Comma => "T_COMMA",
            Kind::End => "T_END",
            Kind::Invalid(what) => what,
        };
        let at = self.at + 1;
        Raise::Text(format!(
            "Expected {expected} but found {found} at character {at}"
        ))
    }
}

struct Decoder<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: i64,
    settings: Settings,
}

impl Decoder<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn value(&mut self, token: Token) -> Result<Value, Raise> {
        match token.kind {
            Kind::Text(text) => Ok(Value::String(self.lua.create_string(text)?)),
            Kind::Number(number) => Ok(Value::Number(number)),
            Kind::Boolean(value) => Ok(Value::Boolean(value)),
            Kind::Null => Ok(Value::NULL),
            Kind::ObjectBegin => self.object(),
            Kind::ArrayBegin => self.array(),
            _ => Err(token.unexpected("value")),
        }
    }

    fn descend(&mut self) -> Result<(), Raise> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth {
            return Err(Raise::Text(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            )));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<Value, Raise> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token.kind == Kind::ObjectEnd {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        loop {
            let Kind::Text(key) = token.kind else {
                return Err(token.unexpected("object key string"));
            };
            let colon = self.next();
            if colon.kind != Kind::Colon {
                return Err(colon.unexpected("colon"));
            }
            let token_of_value = self.next();
            let value = self.value(token_of_value)?;
            table.raw_set(self.lua.create_string(key)?, value)?;
            let after = self.next();
            match after.kind {
                Kind::ObjectEnd => break,
                Kind::Comma => token = self.next(),
                _ => return Err(after.unexpected("comma or object end")),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> Result<Value, Raise> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token.kind == Kind::ArrayEnd {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        for index in 1_i64.. {
            let value = self.value(token)?;
            table.raw_set(index, value)?;
            let after = self.next();
            match after.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.next(),
                _ => return Err(after.unexpected("comma or array end")),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn next(&mut self) -> Token {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let skipped = self.rest().iter().take_while(|byte| blank(byte)).count();
        self.at += skipped;
        let at = self.at;
        let single = |kind| Token { kind, at };
        let Some(first) = self.rest().first().copied() else {
            return single(Kind::End);
        };
        let kind = match first {
            b'{' => Kind::ObjectBegin,
            b'}' => Kind::ObjectEnd,
            b'[' => Kind::ArrayBegin,
            b']' => Kind::ArrayEnd,
            b':' => Kind::Colon,
            b',' => Kind::Comma,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        single(kind)
    }

    fn word(&mut self) -> Token {
        let at = self.at;
        let words = [
            (&b"true"[..], Kind::Boolean(true)),
            (b"false", Kind::Boolean(false)),
            (b"null", Kind::Null),
        ];
        for (word, kind) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Token { kind, at };
            }
        }
        if self.settings.decode_invalid && is_unusual(self.rest()) {
            return self.number();
        }
        let kind = Kind::Invalid("invalid token");
        Token { kind, at }
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        let allowed = self.settings.decode_invalid || !is_unusual(self.rest());
        let found = number_prefix(self.rest()).filter(|_| allowed);
        let kind = match found {
            Some((number, len)) => {
                self.at += len;
                Kind::Number(number)
            }
            None => Kind::Invalid("invalid number"),
        };
        Token { kind, at }
    }

    fn string(&mut self) -> Token {
        let start = self.at;
        let mut text = Vec::new();
        let mut at = start + 1;
        let invalid = |what, at| Token {
            kind: Kind::Invalid(what),
            at,
        };
        loop {
            match self.text.get(at) {
                None => return invalid("unexpected end of string", at),
                Some(b'"') => break,
                Some(b'\\') => match self.escape(at, &mut text) {
                    Ok(len) => at += len,
                    Err(what) => return invalid(what, at),
                },
                Some(byte) => {
                    text.push(*byte);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        Token {
            kind: Kind::Text(text),
            at: start,
        }
    }

    /// Appends what the escape at this place stands for, and returns its length.
    fn escape(&self, at: usize, text: &mut Vec<u8>) -> Result<usize, &'static str> {
        let byte = match self.text.get(at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let escapes = self.text.get(at..).unwrap_or_default();
                let (letter, len) = unicode(escapes).ok_or("invalid unicode escape code")?;
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(len);
            }
            _ => return Err("invalid escape code"),
        };
        text.push(byte);
        Ok(2)
    }
}

/// The letter of `\uXXXX`, or of two of them that are surrogates, and how long that is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0_u32, |value, digit| {
            Some(value << 4 | char::from(*digit).to_digit(16)?)
        })
    };
    let first = unit(text)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, 6));
    }
    let second = unit(text.get(6..)?)?;
    if first & 0xfc00 != 0xd800 || second & 0xfc00 != 0xdc00 {
        return None;
    }
    let letter = 0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff);
    Some((char::from_u32(letter)?, 12))
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Whether C reads a number here that JSON does not have: hexadecimal, leading zeros, a plus, infinity, NaN.
fn is_unusual(text: &[u8]) -> bool {
    match text {
        [b'+', ..] => true,
        [b'-', rest @ ..] | rest => match rest {
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            [b'0'..=b'9', ..] => false,
            _ => starts_with_word(rest, b"inf") || starts_with_word(rest, b"nan"),
        },
    }
}

/// The longest number that C reads at the start of a text, and its length.
fn number_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let rest = text.get(sign..)?;
    let negative = text.first() == Some(&b'-');
    let signed = |value: f64| if negative { -value } else { value };
    for (word, value) in [
        (&b"infinity"[..], f64::INFINITY),
        (b"inf", f64::INFINITY),
        (b"nan", f64::NAN),
    ] {
        if starts_with_word(rest, word) {
            return Some((signed(value), sign + word.len()));
        }
    }
    if starts_with_word(rest, b"0x") && rest.get(2).is_some_and(u8::is_ascii_hexdigit) {
        let digits = rest
            .iter()
            .skip(2)
            .take_while(|byte| byte.is_ascii_hexdigit());
        let (mut value, mut len) = (0.0, sign + 2);
        for digit in digits {
            value = value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0));
            len += 1;
        }
        return Some((signed(value), len));
    }
    let len = decimal_len(rest)?;
    let value = parse_f64(rest.get(..len)?).or_else(|| {
        let text = std::str::from_utf8(rest.get(..len)?).ok()?;
        text.parse().ok()
    })?;
    Some((signed(value), sign + len))
}

/// How long the decimal number without a sign is that begins here.
fn decimal_len(text: &[u8]) -> Option<usize> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let mut len = whole;
    let mut seen = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = digits(text.get(len + 1..).unwrap_or_default());
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
        seen += fraction;
    }
    if seen == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(text.get(len + 1 + sign..).unwrap_or_default());
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    Some(len)
}
