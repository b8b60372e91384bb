//! The library `struct`: values as binary structures after a format, as Roberto Ierusalimschy's `struct` for Lua writes and
//! reads them (<http://www.inf.puc-rio.br/~roberto/struct/>), with its limits and messages.

use mlua::{Lua, MultiValue, Table, Value};

use super::arguments::Arguments;
use super::guard::{Checked, Raise, checked};

/// Largest integer in bytes, and largest alignment.
const MAX_INT: usize = 32;
const MAX_ALIGN: usize = 8;

/// The library.
pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", checked(lua, |lua, args| pack(lua, &args))?)?;
    table.raw_set("unpack", checked(lua, |lua, args| unpack(lua, &args))?)?;
    table.raw_set("size", checked(lua, |lua, args| size(lua, &args))?)?;
    Ok(table)
}

/// One option of a format that stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    option: u8,
    size: usize,
    big_endian: bool,
    /// Bytes of padding before it.
    padding: usize,
}

/// Reads a format option by option.
struct Format<'a> {
    text: &'a [u8],
    big_endian: bool,
    align: usize,
    /// Letters and digits that are no option stand for nothing, as `size` has it.
    lenient: bool,
}

fn refuse<T>(text: impl Into<String>) -> Result<T, Raise> {
    Err(Raise::Text(text.into()))
}

impl<'a> Format<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            big_endian: false,
            align: 1,
            lenient: false,
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.text.split_first()?;
        self.text = rest;
        Some(*first)
    }

    /// Digits that follow, or a default.
    fn number(&mut self, default: usize) -> Result<usize, Raise> {
        if !self.text.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut value = 0_usize;
        while let Some(digit) = self.text.first().filter(|byte| byte.is_ascii_digit()) {
            let digit = usize::from(digit - b'0');
            if value > (i32::MAX as usize - digit) / 10 {
                return refuse("integral size overflow");
            }
            value = value * 10 + digit;
            self.take();
        }
        Ok(value)
    }

    fn integer_size(&mut self) -> Result<usize, Raise> {
        let size = self.number(4)?;
        if size > MAX_INT {
            return refuse(format!(
                "integral size {size} is larger than limit of {MAX_INT}"
            ));
        }
        Ok(size)
    }

    /// The next option that stands for bytes, at offset `total`.
    fn next(&mut self, total: usize) -> Result<Option<Field>, Raise> {
        while let Some(option) = self.take() {
            let size = match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' | b'n' => 8,
                b'f' => 4,
                b'c' => self.number(1)?,
                b'i' | b'I' => self.integer_size()?,
                b's' => 0,
                b' ' => continue,
                b'>' => {
                    self.big_endian = true;
                    continue;
                }
                b'<' => {
                    self.big_endian = false;
                    continue;
                }
                b'!' => {
                    let align = self.number(MAX_ALIGN)?;
                    if align == 0 || align & (align - 1) != 0 {
                        return refuse(format!("alignment {align} is not a power of 2"));
                    }
                    self.align = align;
                    continue;
                }
                other if self.lenient && other.is_ascii_alphanumeric() => continue,
                other => {
                    let text = format!("invalid format option '{}'", char::from(other));
                    return Err(Raise::Argument(1, text));
                }
            };
            let align = size.min(self.align);
            let aligned = !matches!(option, b'c' | b'x' | b's') && align > 1;
            let padding = match aligned {
                true => (align - (total & (align - 1))) & (align - 1),
                false => 0,
            };
            return Ok(Some(Field {
                option,
                size,
                big_endian: self.big_endian,
                padding,
            }));
        }
        Ok(None)
    }
}

impl Format<'_> {
    /// Beyond the data there is nothing to read, so that nothing may come in the format. Only the size of what comes is
    /// judged before.
    fn end_beyond_data(&mut self) -> Result<(), Raise> {
        if self.text.is_empty() {
            return Ok(());
        }
        if matches!(self.text.first(), Some(b'i' | b'I' | b'c')) {
            self.next(0)?;
        }
        Err(Raise::Argument(2, "data string too short".into()))
    }
}

fn pack(lua: &Lua, args: &MultiValue) -> Checked {
    // A value that is missing is nil.
    let mut args = args.clone();
    if !args.is_empty() {
        args.push_back(Value::Nil);
    }
    let args = Arguments::new(lua, &args);
    let text = args.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let mut out = Vec::new();
    let mut at = 2;
    while let Some(field) = format.next(out.len())? {
        out.resize(out.len() + field.padding, 0);
        match field.option {
            b'x' => out.push(0),
            b's' | b'c' => {
                pack_string(&args, at, field, &mut out)?;
                at += 1;
            }
            b'f' => {
                let bytes = (args.number(at)? as f32).to_le_bytes();
                push_ordered(&bytes, field.big_endian, &mut out);
                at += 1;
            }
            b'd' | b'n' => {
                push_ordered(&args.number(at)?.to_le_bytes(), field.big_endian, &mut out);
                at += 1;
            }
            _ => {
                let value = integer_of(args.number(at)?);
                let mut bytes = vec![0_u8; field.size];
                for (byte, value) in bytes.iter_mut().zip(value.to_le_bytes()) {
                    *byte = value;
                }
                push_ordered(&bytes, field.big_endian, &mut out);
                at += 1;
            }
        }
    }
    let packed = lua.create_string(out)?;
    Ok(MultiValue::from_iter([Value::String(packed)]))
}

/// A number as an integer, as the processor that Redis runs on converts it: cut off; above the signed range it is taken
/// as unsigned, and beyond that range nothing is left.
fn integer_of(value: f64) -> u64 {
    if value.is_nan() {
        1 << 63
    } else if value >= 18_446_744_073_709_551_616.0 {
        0
    } else if value < 0.0 {
        value as i64 as u64
    } else {
        value as u64
    }
}

fn push_ordered(little: &[u8], big_endian: bool, out: &mut Vec<u8>) {
    if big_endian {
        out.extend(little.iter().rev());
    } else {
        out.extend_from_slice(little);
    }
}

fn pack_string(
    args: &Arguments<'_>,
    at: usize,
    field: Field,
    out: &mut Vec<u8>,
) -> Result<(), Raise> {
    let text = args.string(at)?;
    let text = text.as_bytes();
    // `c0` takes all of the string.
    let size = match (field.option, field.size) {
        (b's', _) | (_, 0) => text.len(),
        (_, size) => size,
    };
    let Some(part) = text.get(..size) else {
        return Err(Raise::Argument(at + 1, "string too short".into()));
    };
    out.extend_from_slice(part);
    if field.option == b's' {
        out.push(0);
    }
    Ok(())
}

fn unpack(lua: &Lua, args: &MultiValue) -> Checked {
    let args = Arguments::new(lua, args);
    let (text, data) = (args.string(1)?, args.string(2)?);
    let (text, data) = (text.as_bytes(), data.as_bytes());
    let start = args.integer_or(3, 1)?;
    let mut format = Format::new(&text);
    let mut values: Vec<Value> = Vec::new();
    let short = || Raise::Argument(2, "data string too short".into());
    if start == 0 {
        return Err(Raise::Argument(3, "offset must be 1 or greater".into()));
    }
    let Ok(mut position) = usize::try_from(start - 1) else {
        // What is below is beyond all data.
        format.end_beyond_data()?;
        return Ok(MultiValue::from_iter([Value::Number(start as f64)]));
    };
    loop {
        if position > data.len() {
            format.end_beyond_data()?;
        }
        let Some(field) = format.next(position)? else {
            break;
        };
        position += field.padding;
        let part = position
            .checked_add(field.size)
            .and_then(|end| data.get(position..end))
            .ok_or_else(short)?;
        let mut consumed = field.size;
        match field.option {
            b'x' => {}
            b'f' => values.push(Value::Number(f64::from(f32::from_le_bytes(ordered(
                part,
                field.big_endian,
            ))))),
            b'd' | b'n' => values.push(Value::Number(f64::from_le_bytes(ordered(
                part,
                field.big_endian,
            )))),
            b'c' => {
                consumed = if field.size == 0 {
                    counted(values.pop())?
                } else {
                    field.size
                };
                let part = position
                    .checked_add(consumed)
                    .and_then(|end| data.get(position..end))
                    .ok_or_else(short)?;
                values.push(Value::String(lua.create_string(part)?));
            }
            b's' => {
                let rest = data.get(position..).unwrap_or_default();
                let end = rest.iter().position(|byte| *byte == 0);
                let Some(part) = end.and_then(|end| rest.get(..end)) else {
                    return refuse("unfinished string in data");
                };
                consumed = part.len() + 1;
                values.push(Value::String(lua.create_string(part)?));
            }
            option => values.push(Value::Number(read_integer(part, field, option))),
        }
        position += consumed;
    }
    values.push(Value::Number((position + 1) as f64));
    Ok(values.into_iter().collect())
}

/// The length of a string that the value before it gives.
fn counted(before: Option<Value>) -> Result<usize, Raise> {
    let number = match before {
        Some(Value::Integer(number)) => number as f64,
        Some(Value::Number(number)) => number,
        _ => return refuse("format 'c0' needs a previous size"),
    };
    if number < 0.0 {
        return refuse("format 'c0' needs a previous size");
    }
    Ok(number as usize)
}

fn ordered<const N: usize>(part: &[u8], big_endian: bool) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, from) in bytes.iter_mut().zip(part) {
        *byte = *from;
    }
    if big_endian {
        bytes.reverse();
    }
    bytes
}

fn read_integer(part: &[u8], field: Field, option: u8) -> f64 {
    let mut little = [0_u8; 8];
    let significant: &mut dyn Iterator<Item = &u8> = if field.big_endian {
        &mut part.iter().rev()
    } else {
        &mut part.iter()
    };
    for (byte, from) in little.iter_mut().zip(significant) {
        *byte = *from;
    }
    let value = u64::from_le_bytes(little);
    if option.is_ascii_uppercase() {
        return value as f64;
    }
    let unused = 64 - 8 * part.len().clamp(1, 8) as u32;
    ((value << unused) as i64 >> unused) as f64
}

fn size(lua: &Lua, args: &MultiValue) -> Checked {
    let args = Arguments::new(lua, args);
    let text = args.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    format.lenient = true;
    let mut total = 0_usize;
    while let Some(field) = format.next(total)? {
        total += field.padding;
        if field.option == b's' {
            return Err(Raise::Argument(1, "option 's' has no fixed size".into()));
        }
        if field.option == b'c' && field.size == 0 {
            return Err(Raise::Argument(1, "option 'c0' has no fixed size".into()));
        }
        total = match total.checked_add(field.size) {
            Some(total) if total <= i32::MAX as usize => total,
            _ => return refuse("integral size overflow"),
        };
    }
    Ok(MultiValue::from_iter([Value::Number(total as f64)]))
}
