//! The library `bit`: operations on 32-bit integers, with the semantics of Lua BitOp (<https://bitop.luajit.org>).

use mlua::{Lua, MultiValue, Table, Value};

use super::arguments::Arguments;
use super::guard::{Checked, Raise, checked};

/// A number as 32 bits: wrapped, and rounded to the nearest integer, halves to even.
fn to_bit(value: f64) -> u32 {
    // Adding 2^52 + 2^51 leaves the rounded integer in the low bits of the mantissa.
    (value + 6_755_399_441_055_744.0).to_bits() as u32
}

fn number(args: &Arguments<'_>, at: usize) -> Result<u32, Raise> {
    args.number(at).map(to_bit)
}

fn answer(bits: u32) -> Checked {
    Ok(MultiValue::from_iter([Value::Number(f64::from(
        bits as i32,
    ))]))
}

type Unary = (&'static str, fn(u32) -> u32);
type Binary = (&'static str, fn(u32, u32) -> u32);

/// The library.
pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let unary: [Unary; 3] = [
        ("tobit", |a| a),
        ("bnot", |a| !a),
        ("bswap", u32::swap_bytes),
    ];
    for (name, run) in unary {
        let run =
            move |lua: &Lua, args: MultiValue| answer(run(number(&Arguments::new(lua, &args), 1)?));
        table.raw_set(name, checked(lua, run)?)?;
    }
    let folded: [Binary; 3] = [
        ("band", |a, b| a & b),
        ("bor", |a, b| a | b),
        ("bxor", |a, b| a ^ b),
    ];
    for (name, run) in folded {
        let run = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, &args);
            let mut bits = number(&args, 1)?;
            for at in 2..=args.len() {
                bits = run(bits, number(&args, at)?);
            }
            answer(bits)
        };
        table.raw_set(name, checked(lua, run)?)?;
    }
    let shifts: [Binary; 5] = [
        ("lshift", |a, n| a << n),
        ("rshift", |a, n| a >> n),
        ("arshift", |a, n| ((a as i32) >> n) as u32),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ];
    for (name, run) in shifts {
        let run = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, &args);
            answer(run(number(&args, 1)?, number(&args, 2)? & 31))
        };
        table.raw_set(name, checked(lua, run)?)?;
    }
    table.raw_set("tohex", checked(lua, |lua, args| to_hex(lua, &args))?)?;
    Ok(table)
}

/// Hexadecimal digits: as many as the second argument says, in upper case if it is negative.
fn to_hex(lua: &Lua, args: &MultiValue) -> Checked {
    let args = Arguments::new(lua, args);
    let bits = number(&args, 1)?;
    let digits = match args.get(2) {
        None | Some(Value::Nil) => 8,
        Some(_) => number(&args, 2)? as i32,
    };
    let count = (digits.unsigned_abs() as usize).min(8);
    let text = if digits < 0 {
        format!("{bits:08X}")
    } else {
        format!("{bits:08x}")
    };
    let text = text.get(8 - count..).unwrap_or_default();
    Ok(MultiValue::from_iter([Value::String(
        lua.create_string(text)?,
    )]))
}
