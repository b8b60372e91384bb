//! How the debugger shows values of Lua and replies of commands.

use mlua::{Table, Value};

use crate::reply::Response;
use crate::value::lossless;
use crate::value::number::DoubleBuffer;

/// How deep tables are shown.
const MAX_DEPTH: usize = 10;
/// Where nothing is trimmed: tables that hold each other many times would never come to an end.
const MAX_BYTES: usize = 16 << 20;

/// Bytes in quotes.
pub(super) fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            7 => out.extend(b"\\a"),
            8 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            other => out.extend(format!("\\x{other:02x}").bytes()),
        }
    }
    out.push(b'"');
}

/// A value of Lua. What is longer than `limit` may be left out.
pub(super) fn value(out: &mut Vec<u8>, shown: &Value, limit: usize) {
    let limit = if limit == 0 { MAX_BYTES } else { limit };
    nested(out, shown, limit, 0);
}

fn nested(out: &mut Vec<u8>, shown: &Value, limit: usize, depth: usize) {
    if depth == MAX_DEPTH {
        out.extend(b"<max recursion level reached! Nested table?>");
        return;
    }
    match shown {
        Value::Nil => out.extend(b"nil"),
        Value::Boolean(shown) => out.extend(shown.to_string().bytes()),
        Value::Integer(number) => double(out, *number as f64),
        Value::Number(number) => double(out, *number),
        Value::String(text) => quote(out, &text.as_bytes()),
        Value::Table(shown) => table(out, shown, limit, depth),
        other => {
            let kind = match other {
                Value::Function(_) => "function",
                Value::Thread(_) => "thread",
                Value::LightUserData(_) => "light userdata",
                _ => "userdata",
            };
            let text = format!("\"{kind}@{:p}\"", other.to_pointer());
            out.extend(text.bytes());
        }
    }
}

fn double(out: &mut Vec<u8>, number: f64) {
    let mut text = DoubleBuffer::new();
    text.format_c(number);
    out.extend(text.as_bytes());
}

/// A table without gaps shows its values only, any other its keys as well.
fn table(out: &mut Vec<u8>, shown: &Table, limit: usize, depth: usize) {
    let is_next = |(expected, pair): (i64, mlua::Result<(Value, Value)>)| match pair {
        Ok((Value::Integer(key), _)) => key == expected,
        Ok((Value::Number(key), _)) => key == expected as f64,
        _ => false,
    };
    let is_list = (1..).zip(shown.pairs::<Value, Value>()).all(is_next);
    out.push(b'{');
    for (index, pair) in shown.pairs::<Value, Value>().enumerate() {
        let Ok((key, value)) = pair else { break };
        if out.len() > limit {
            break;
        }
        if index > 0 {
            out.extend(b"; ");
        }
        if !is_list {
            out.push(b'[');
            nested(out, &key, limit, depth + 1);
            out.extend(b"]=");
        }
        nested(out, &value, limit, depth + 1);
    }
    out.push(b'}');
}

/// A reply. What Redis has no words for is shown as nothing.
pub(super) fn reply(out: &mut Vec<u8>, shown: &Response, resp3: bool) {
    let line = |kind: u8, text: &str| [&[kind][..], &lossless::bytes(text)].concat();
    let mut items = |open: &str, items: &[Response], close: &str| {
        out.extend(open.bytes());
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            reply(out, item, resp3);
        }
        out.extend(close.bytes());
    };
    match shown {
        Response::Array(shown) | Response::Push(shown) => items("[", shown, "]"),
        Response::Set(shown) => items("~(", shown, ")"),
        Response::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                reply(out, key, resp3);
                out.extend(b" => ");
                reply(out, value, resp3);
            }
            out.push(b'}');
        }
        Response::Int(number) => out.extend(number.to_string().bytes()),
        Response::Bulk(bytes) => quote(out, bytes),
        Response::Simple(text) => quote(out, &line(b'+', text)),
        Response::Error(text) => quote(out, &line(b'-', text)),
        Response::Double(number) => {
            out.extend(b"(double) ");
            double(out, *number);
        }
        Response::Bool(value) => out.extend(format!("#{value}").bytes()),
        Response::Null if resp3 => out.extend(b"(null)"),
        Response::Null => out.extend(b"NULL"),
        Response::BigNumber(_) | Response::Verbatim { .. } | Response::Attribute { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_shown_as_redis_shows_them() {
        let shown = |response: &Response, resp3| {
            let mut out = Vec::new();
            reply(&mut out, response, resp3);
            String::from_utf8(out).expect("it is text")
        };
        let pair = (Response::Bulk(b"f\x01".to_vec()), Response::Double(1.5));
        for (response, text) in [
            (Response::Map(vec![pair]), r#"{"f\x01" => (double) 1.5}"#),
            (
                Response::Set(vec![Response::Int(1), Response::Null]),
                "~(1,(null))",
            ),
            (Response::Array(vec![Response::Bool(true)]), "[#true]"),
            (Response::Simple("OK".into()), r#""+OK""#),
            (Response::Error("ERR x".into()), r#""-ERR x""#),
            (Response::BigNumber("1".into()), ""),
        ] {
            assert_eq!(shown(&response, true), text);
        }
        assert_eq!(shown(&Response::Null, false), "NULL");
    }
}
