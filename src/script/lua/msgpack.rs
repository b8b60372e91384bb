//! The library `cmsgpack`: Lua values as MessagePack (<https://msgpack.org>) and back, with the choices of Redis's
//! lua-cmsgpack: arrays are tables whose keys are 1 to n, tables below 16 levels become nil, and numbers that are integers
//! take the shortest integer form.

use mlua::{Lua, MultiValue, Table, Value};

use super::arguments::Arguments;
use super::convert::cut_off;
use super::guard::{Checked, Raise, checked};

/// Tables nested deeper are packed as nil.
const MAX_NESTING: usize = 16;
/// Containers that are nested deeper than this in the input are refused.
const MAX_UNPACK_DEPTH: usize = 1000;

/// The library.
pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", checked(lua, |lua, args| pack(lua, &args))?)?;
    table.raw_set("unpack", checked(lua, |lua, args| unpack(lua, &args))?)?;
    table.raw_set(
        "unpack_one",
        checked(lua, |lua, args| unpack_one(lua, &args))?,
    )?;
    table.raw_set(
        "unpack_limit",
        checked(lua, |lua, args| unpack_limit(lua, &args))?,
    )?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

// ------------------------------------------------------------------------------------------------ packing

fn pack(lua: &Lua, args: &MultiValue) -> Checked {
    if args.is_empty() {
        return Err(Raise::Argument(0, "MessagePack pack needs input.".into()));
    }
    let mut out = Vec::new();
    for value in args {
        encode(&mut out, value, 0)?;
    }
    let packed = lua.create_string(out)?;
    Ok(MultiValue::from_iter([Value::String(packed)]))
}

fn encode(out: &mut Vec<u8>, value: &Value, level: usize) -> Result<(), Raise> {
    match value {
        Value::String(text) => encode_bytes(out, &text.as_bytes()),
        Value::Boolean(value) => out.push(0xc2 | u8::from(*value)),
        Value::Integer(value) => encode_integer(out, *value),
        Value::Number(value) => encode_number(out, *value),
        Value::Table(table) if level < MAX_NESTING => encode_table(out, table, level)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn encode_number(out: &mut Vec<u8>, value: f64) {
    let integer = value as i64;
    if integer as f64 == value && integer != i64::MAX {
        return encode_integer(out, integer);
    }
    let short = value as f32;
    if f64::from(short) == value {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn encode_integer(out: &mut Vec<u8>, value: i64) {
    match value {
        -32..=127 => out.push(value as u8),
        128..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
        -128..=-33 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..=-129 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// The head of an array (`small` 0x90, `large` 0xdc) or a map (0x80, 0xde).
fn encode_head(out: &mut Vec<u8>, len: usize, (small, large): (u8, u8)) {
    match len {
        0..16 => out.push(small | len as u8),
        16..=0xffff => {
            out.push(large);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(large + 1);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

/// A table that stands in itself many times can be a text without end.
const MAX_LENGTH: usize = 1 << 29;

fn encode_table(out: &mut Vec<u8>, table: &Table, level: usize) -> Result<(), Raise> {
    if out.len() > MAX_LENGTH {
        return Err(Raise::Text("not enough memory".into()));
    }
    if let Some(len) = array_len(table) {
        encode_head(out, len, (0x90, 0xdc));
        for index in 1..=len {
            encode(out, &table.raw_get(index)?, level + 1)?;
        }
        return Ok(());
    }
    // One pair at a time: Lua has room for some thousands of values outside its tables, and no more.
    encode_head(out, table.pairs::<Value, Value>().count(), (0x80, 0xde));
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        encode(out, &key, level + 1)?;
        encode(out, &value, level + 1)?;
    }
    Ok(())
}

/// The length of a table whose keys are 1 to n; an empty one is an array.
fn array_len(table: &Table) -> Option<usize> {
    let (mut count, mut largest) = (0_usize, 0_i64);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair.ok()?.0 {
            Value::Integer(key) => key,
            Value::Number(key) if key.fract() == 0.0 => key as i64,
            _ => return None,
        };
        if key <= 0 {
            return None;
        }
        count += 1;
        largest = largest.max(key);
    }
    (usize::try_from(largest) == Ok(count)).then_some(count)
}

// ------------------------------------------------------------------------------------------------ unpacking

fn unpack(lua: &Lua, args: &MultiValue) -> Checked {
    let data = Arguments::new(lua, args).string(1)?;
    decode_all(lua, &data.as_bytes(), 0, 0)
}

fn unpack_one(lua: &Lua, args: &MultiValue) -> Checked {
    let args = Arguments::new(lua, args);
    let data = args.string(1)?;
    let offset = args.integer_or(2, 0)?;
    decode_all(lua, &data.as_bytes(), 1, offset)
}

fn unpack_limit(lua: &Lua, args: &MultiValue) -> Checked {
    let args = Arguments::new(lua, args);
    let data = args.string(1)?;
    let limit = cut_off(args.number(2)?);
    let offset = args.integer_or(3, 0)?;
    decode_all(lua, &data.as_bytes(), limit, offset)
}

/// Decodes up to `limit` values, behind the next offset, -1 at the end; or all values, if limit and offset are zero.
fn decode_all(lua: &Lua, data: &[u8], limit: i64, offset: i64) -> Checked {
    if offset < 0 || limit < 0 {
        return Err(Raise::Text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            data.len()
        )));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(mut rest) = data.get(start..) else {
        return Err(Raise::Text(format!(
            "Start offset {offset} greater than input length {}.",
            data.len()
        )));
    };
    let mut values = MultiValue::new();
    let all = limit == 0 && offset == 0;
    let mut decoded = 0;
    while !rest.is_empty() && (all || decoded < limit) {
        let value = decode(lua, &mut rest, 0)?;
        values.push_back(value);
        decoded += 1;
    }
    if !all {
        let next = if rest.is_empty() {
            -1.0
        } else {
            (data.len() - rest.len()) as f64
        };
        values.push_front(Value::Number(next));
    }
    Ok(values)
}

fn missing() -> Raise {
    Raise::Text("Missing bytes in input.".into())
}

fn bad() -> Raise {
    Raise::Text("Bad data format in input.".into())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Raise> {
    let (part, after) = rest.split_at_checked(len).ok_or_else(missing)?;
    *rest = after;
    Ok(part)
}

/// A big-endian number of `len` bytes.
fn unsigned(rest: &mut &[u8], len: usize) -> Result<u64, Raise> {
    let part = take(rest, len)?;
    Ok(part
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn signed(rest: &mut &[u8], len: usize) -> Result<f64, Raise> {
    let unused = 64 - 8 * len as u32;
    let value = unsigned(rest, len)?;
    Ok(((value << unused) as i64 >> unused) as f64)
}

fn decode(lua: &Lua, rest: &mut &[u8], depth: usize) -> Result<Value, Raise> {
    let kind = *take(rest, 1)?.first().ok_or_else(missing)?;
    let length = |rest: &mut &[u8], bytes| Ok::<_, Raise>(unsigned(rest, bytes)? as usize);
    Ok(match kind {
        0x00..=0x7f => Value::Number(f64::from(kind)),
        0xe0..=0xff => Value::Number(f64::from(kind as i8)),
        0xcc => Value::Number(unsigned(rest, 1)? as f64),
        0xcd => Value::Number(unsigned(rest, 2)? as f64),
        0xce => Value::Number(unsigned(rest, 4)? as f64),
        // Lua's integers have a sign.
        0xcf => Value::Number(signed(rest, 8)?),
        0xd0 => Value::Number(signed(rest, 1)?),
        0xd1 => Value::Number(signed(rest, 2)?),
        0xd2 => Value::Number(signed(rest, 4)?),
        0xd3 => Value::Number(signed(rest, 8)?),
        0xc0 => Value::Nil,
        0xc2 => Value::Boolean(false),
        0xc3 => Value::Boolean(true),
        0xca => Value::Number(f64::from(f32::from_bits(unsigned(rest, 4)? as u32))),
        0xcb => Value::Number(f64::from_bits(unsigned(rest, 8)?)),
        0xa0..=0xbf => text(lua, rest, usize::from(kind & 31))?,
        0xd9 => {
            let len = length(rest, 1)?;
            text(lua, rest, len)?
        }
        0xda => {
            let len = length(rest, 2)?;
            text(lua, rest, len)?
        }
        0xdb => {
            let len = length(rest, 4)?;
            text(lua, rest, len)?
        }
        0x90..=0x9f => array(lua, rest, usize::from(kind & 15), depth)?,
        0xdc | 0xdd => {
            let len = length(rest, if kind == 0xdc { 2 } else { 4 })?;
            array(lua, rest, len, depth)?
        }
        0x80..=0x8f => map(lua, rest, usize::from(kind & 15), depth)?,
        0xde | 0xdf => {
            let len = length(rest, if kind == 0xde { 2 } else { 4 })?;
            map(lua, rest, len, depth)?
        }
        _ => return Err(bad()),
    })
}

fn text(lua: &Lua, rest: &mut &[u8], len: usize) -> Result<Value, Raise> {
    let bytes = take(rest, len)?;
    Ok(Value::String(lua.create_string(bytes)?))
}

fn array(lua: &Lua, rest: &mut &[u8], len: usize, depth: usize) -> Result<Value, Raise> {
    if depth >= MAX_UNPACK_DEPTH {
        return Err(bad());
    }
    let table = lua.create_table()?;
    for index in 1..=len {
        let value = decode(lua, rest, depth + 1)?;
        table.raw_set(index, value)?;
    }
    Ok(Value::Table(table))
}

/// Lua itself says this, and without a position.
fn no_index(lua: &Lua, text: &str) -> Raise {
    lua.create_string(text)
        .map_or_else(Raise::from, |text| Raise::Value(Value::String(text)))
}

fn map(lua: &Lua, rest: &mut &[u8], len: usize, depth: usize) -> Result<Value, Raise> {
    if depth >= MAX_UNPACK_DEPTH {
        return Err(bad());
    }
    let table = lua.create_table()?;
    for _ in 0..len {
        let key = decode(lua, rest, depth + 1)?;
        let value = decode(lua, rest, depth + 1)?;
        match key {
            Value::Nil => return Err(no_index(lua, "table index is nil")),
            Value::Number(number) if number.is_nan() => {
                return Err(no_index(lua, "table index is NaN"));
            }
            key => table.raw_set(key, value)?,
        }
    }
    Ok(Value::Table(table))
}
