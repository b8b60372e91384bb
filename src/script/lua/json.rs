//! The library `cjson`: JSON with the settings, limits and messages of lua-cjson 2.1 (<https://kyne.au/~mark/software/lua-cjson.php>)
//! as Redis configures it.

mod decode;
mod encode;

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::arguments::Arguments;
use super::guard::{Checked, Raise, checked};

/// Where numbers that JSON lacks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InvalidNumbers {
    Refused,
    Written,
    Null,
}

/// What scripts can set.
#[derive(Debug, Clone, Copy)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: i64,
    keep_buffer: bool,
    encode_invalid: InvalidNumbers,
    decode_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: InvalidNumbers::Refused,
            decode_invalid: true,
        }
    }
}

type Shared = Arc<Mutex<Settings>>;

/// The library, with settings of its own.
pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let settings = Shared::default();
    let add = |name: &str, run: fn(&Lua, &MultiValue, &Shared) -> Checked| {
        let settings = Arc::clone(&settings);
        let run = checked(lua, move |lua, args| run(lua, &args, &settings))?;
        table.raw_set(name, run)
    };
    add("encode", encode_value)?;
    add("decode", decode_text)?;
    add("encode_sparse_array", set_sparse_array)?;
    add("encode_max_depth", |lua, args, settings| {
        set_integer(
            lua,
            args,
            &mut settings.lock().encode_depth,
            i64::from(i32::MAX),
        )
    })?;
    add("decode_max_depth", |lua, args, settings| {
        set_integer(
            lua,
            args,
            &mut settings.lock().decode_depth,
            i64::from(i32::MAX),
        )
    })?;
    add("encode_number_precision", |lua, args, settings| {
        set_integer(lua, args, &mut settings.lock().precision, 14)
    })?;
    add("encode_keep_buffer", |lua, args, settings| {
        set_switch(lua, args, &mut settings.lock().keep_buffer)
    })?;
    add("encode_invalid_numbers", set_encode_invalid)?;
    add("decode_invalid_numbers", |lua, args, settings| {
        set_switch(lua, args, &mut settings.lock().decode_invalid)
    })?;
    let new = |lua: &Lua, _: MultiValue| one(Value::Table(self::table(lua)?));
    table.raw_set("new", checked(lua, new)?)?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn one(value: Value) -> Checked {
    Ok(MultiValue::from_iter([value]))
}

fn expect_one(args: &MultiValue) -> Result<&Value, Raise> {
    match (args.front(), args.len()) {
        (Some(value), 1) => Ok(value),
        _ => Err(Raise::Argument(1, "expected 1 argument".into())),
    }
}

fn encode_value(lua: &Lua, args: &MultiValue, settings: &Shared) -> Checked {
    let value = expect_one(args)?;
    let text = encode::encode(value, *settings.lock())?;
    one(Value::String(lua.create_string(text)?))
}

fn decode_text(lua: &Lua, args: &MultiValue, settings: &Shared) -> Checked {
    expect_one(args)?;
    let text = Arguments::new(lua, args).string(1)?;
    one(decode::decode(lua, &text.as_bytes(), *settings.lock())?)
}

/// Whether there are more arguments than a setting takes.
fn at_most(args: &Arguments<'_>, most: usize) -> Result<(), Raise> {
    if args.len() > most {
        return Err(Raise::Argument(most + 1, "found too many arguments".into()));
    }
    Ok(())
}

fn is_given(args: &Arguments<'_>, at: usize) -> bool {
    args.get(at).is_some_and(|value| !value.is_nil())
}

/// An integer setting within limits; nothing given leaves it.
fn integer(
    args: &Arguments<'_>,
    at: usize,
    setting: &mut i64,
    (least, most): (i64, i64),
) -> Result<(), Raise> {
    if is_given(args, at) {
        let value = args.number(at)? as i64;
        if !(least..=most).contains(&value) {
            let text = format!("expected integer between {least} and {most}");
            return Err(Raise::Argument(at, text));
        }
        *setting = value;
    }
    Ok(())
}

fn set_integer(lua: &Lua, args: &MultiValue, setting: &mut i64, most: i64) -> Checked {
    let args = Arguments::new(lua, args);
    at_most(&args, 1)?;
    integer(&args, 1, setting, (1, most))?;
    one(Value::Number(*setting as f64))
}

/// Which of the words an argument is; a boolean is the first or the second.
fn option(args: &Arguments<'_>, at: usize, words: &[&str]) -> Result<Option<usize>, Raise> {
    if !is_given(args, at) {
        return Ok(None);
    }
    if let Some(Value::Boolean(on)) = args.get(at) {
        return Ok(Some(usize::from(*on)));
    }
    let word = args.string(at)?;
    let found = words
        .iter()
        .position(|known| known.as_bytes() == &*word.as_bytes());
    found
        .map(Some)
        .ok_or_else(|| Raise::Argument(at, format!("invalid option '{}'", word.to_string_lossy())))
}

fn set_switch(lua: &Lua, args: &MultiValue, setting: &mut bool) -> Checked {
    let args = Arguments::new(lua, args);
    at_most(&args, 1)?;
    if let Some(on) = option(&args, 1, &["off", "on"])? {
        *setting = on == 1;
    }
    one(Value::Boolean(*setting))
}

fn set_encode_invalid(lua: &Lua, args: &MultiValue, settings: &Shared) -> Checked {
    let args = Arguments::new(lua, args);
    at_most(&args, 1)?;
    let setting = &mut settings.lock().encode_invalid;
    match option(&args, 1, &["off", "on", "null"])? {
        None => {}
        Some(0) => *setting = InvalidNumbers::Refused,
        Some(1) => *setting = InvalidNumbers::Written,
        Some(_) => *setting = InvalidNumbers::Null,
    }
    one(match *setting {
        InvalidNumbers::Refused => Value::Boolean(false),
        InvalidNumbers::Written => Value::Boolean(true),
        InvalidNumbers::Null => Value::String(lua.create_string("null")?),
    })
}

fn set_sparse_array(lua: &Lua, args: &MultiValue, settings: &Shared) -> Checked {
    let args = Arguments::new(lua, args);
    at_most(&args, 3)?;
    let settings = &mut *settings.lock();
    if let Some(on) = option(&args, 1, &["off", "on"])? {
        settings.sparse_convert = on == 1;
    }
    let most = i64::from(i32::MAX);
    integer(&args, 2, &mut settings.sparse_ratio, (0, most))?;
    integer(&args, 3, &mut settings.sparse_safe, (0, most))?;
    Ok(MultiValue::from_iter([
        Value::Boolean(settings.sparse_convert),
        Value::Number(settings.sparse_ratio as f64),
        Value::Number(settings.sparse_safe as f64),
    ]))
}
