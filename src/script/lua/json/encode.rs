//! Lua values as JSON.

use mlua::{Table, Value};

use super::{InvalidNumbers, Settings};
use crate::script::lua::arguments::type_name;
use crate::script::lua::guard::Raise;

/// The text of a value.
pub(super) fn encode(value: &Value, settings: Settings) -> Result<Vec<u8>, Raise> {
    let mut encoder = Encoder {
        out: Vec::new(),
        settings,
    };
    encoder.value(value, 0)?;
    Ok(encoder.out)
}

/// A table that stands in itself many times can be a text without end.
const MAX_LENGTH: usize = 1 << 29;

const fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | 0..0x20 | 0x7f)
}

struct Encoder {
    out: Vec<u8>,
    settings: Settings,
}

fn refuse<T>(value: &Value, reason: &str) -> Result<T, Raise> {
    let kind = type_name(value);
    Err(Raise::Text(format!("Cannot serialise {kind}: {reason}")))
}

impl Encoder {
    fn value(&mut self, value: &Value, depth: i64) -> Result<(), Raise> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(number) => self.number(*number as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return refuse(other, "type not supported"),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
            let (plain, from) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            let Some((byte, after)) = from.split_first() else {
                break;
            };
            self.escape(*byte);
            rest = after;
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0..0x20 | 0x7f => {
                let digits = format!("\\u{byte:04x}");
                return self.out.extend_from_slice(digits.as_bytes());
            }
            _ => byte,
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    fn number(&mut self, number: f64, value: &Value) -> Result<(), Raise> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                InvalidNumbers::Refused => return refuse(value, "must not be NaN or Inf"),
                InvalidNumbers::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                InvalidNumbers::Written => {}
            }
        }
        let precision = usize::try_from(self.settings.precision).unwrap_or(14);
        push_general(&mut self.out, number, precision);
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i64) -> Result<(), Raise> {
        if self.out.len() > MAX_LENGTH {
            return Err(Raise::Text("not enough memory".into()));
        }
        if depth > self.settings.encode_depth {
            return Err(Raise::Text(format!(
                "Cannot serialise, excessive nesting ({depth})"
            )));
        }
        match self.array_len(table)? {
            Some(len) if len > 0 => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    /// The largest key of a table whose keys are all positive integers.
    fn array_len(&self, table: &Table) -> Result<Option<i64>, Raise> {
        let (mut items, mut largest) = (0_i64, 0_i64);
        for pair in table.pairs::<Value, Value>() {
            let key = match pair?.0 {
                Value::Integer(key) => key,
                Value::Number(key) if key.floor() == key => key as i64,
                _ => return Ok(None),
            };
            if key < 1 {
                return Ok(None);
            }
            if key > largest {
                // Redis keeps it in an int, and what does not fit becomes the least of all.
                largest = i32::try_from(key).map_or(i64::from(i32::MIN), i64::from);
            }
            items += 1;
        }
        let Settings {
            sparse_ratio: ratio,
            sparse_safe: safe,
            ..
        } = self.settings;
        if ratio > 0 && largest > items.saturating_mul(ratio) && largest > safe {
            if !self.settings.sparse_convert {
                return refuse(&Value::Table(table.clone()), "excessively sparse array");
            }
            return Ok(None);
        }
        Ok(Some(largest))
    }

    fn array(&mut self, table: &Table, len: i64, depth: i64) -> Result<(), Raise> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(index)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> Result<(), Raise> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.string(&text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                other => return refuse(other, "table key must be a number or string"),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Appends a number as C's `%.<precision>g` prints it.
fn push_general(out: &mut Vec<u8>, number: f64, precision: usize) {
    if number.is_nan() {
        out.extend_from_slice(if number.is_sign_negative() {
            b"-nan"
        } else {
            b"nan"
        });
        return;
    }
    if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let cut = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let text = if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", cut(mantissa), exponent.abs())
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        cut(&format!("{number:.decimals$}"))
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_printf_prints_them() {
        for (number, expected) in [
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (1.0 / 3.0, "0.33333333333333"),
            (-0.0, "-0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (100.0, "100"),
            (1e100, "1e+100"),
        ] {
            let mut out = Vec::new();
            push_general(&mut out, number, 14);
            // The last digit of a half is rounded to even by both.
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
