//! Replies as Lua values and Lua values as replies, by the rules of Redis's Lua API in RESP2 and RESP3.

use mlua::{Lua, Table, Value};

use crate::reply::Reply;
use crate::value::lossless;

/// Tables nested deeper are answered as an error where Redis runs out of Lua's stack.
const MAX_DEPTH: usize = 3998;
const TOO_DEEP: &str = "ERR reached lua stack limit";
/// A table that stands in itself many times can be a reply without end: beyond so many bytes each value is this error.
const MAX_REPLY: usize = 1 << 30;
pub(super) const TOO_LARGE: &str = "ERR the reply of the script is too large";
/// Bytes that a value takes besides its text, at least.
const VALUE_SIZE: usize = 4;

/// An error that a script returns or raises, and whether a command has counted it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Begins with its code.
    pub text: String,
    /// INFO has counted it already.
    pub counted: bool,
}

/// The table of an error; `counted` says that a command has counted it.
pub(super) fn error_table(lua: &Lua, text: &str, counted: bool) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", lua.create_string(&*lossless::bytes(text))?)?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(Value::Table(table))
}

/// A field as Redis looks it up: raw, and only if it is of the wanted kind.
fn field<T>(table: &Table, name: &str, wanted: impl FnOnce(Value) -> Option<T>) -> Option<T> {
    table.raw_get::<Value>(name).ok().and_then(wanted)
}

fn string(value: Value) -> Option<mlua::LuaString> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn table(value: Value) -> Option<Table> {
    match value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn number(value: Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(value as f64),
        Value::Number(value) => Some(value),
        _ => None,
    }
}

/// A text on one line.
fn one_line(text: &mlua::LuaString) -> String {
    let text = text.as_bytes();
    lossless::text(&text).replace(['\r', '\n'], " ")
}

/// The error that a table stands for, if it does.
pub(super) fn failure_of(table: &Table) -> Option<Failure> {
    let text = field(table, "err", string)?;
    let counted = field(table, "ignore_error_stats_update", |value| {
        value.as_boolean()
    });
    Some(Failure {
        text: one_line(&text),
        counted: counted.unwrap_or(false),
    })
}

/// How large a reply has become.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Bytes that have been written, or a few less.
    size: usize,
}

impl Budget {
    /// Counts a value without its text.
    pub(super) const fn add_value(&mut self) {
        self.size += VALUE_SIZE;
    }

    /// Counts the bytes of a text.
    pub(super) const fn add_text(&mut self, len: usize) {
        self.size += len;
    }

    /// Whether no text and no table fits in any more.
    pub(super) const fn is_spent(&self) -> bool {
        self.size > MAX_REPLY
    }
}

/// Writes what a script returned. `resp3` is what the script chose with `redis.setresp`.
pub(super) fn write_reply(value: Value, resp3: bool, reply: &mut dyn Reply) -> Result<(), Failure> {
    if let Value::Table(table) = &value
        && let Some(failure) = failure_of(table)
    {
        return Err(failure);
    }
    let mut writer = Writer {
        resp3,
        reply,
        budget: Budget::default(),
    };
    writer.write(value, 0);
    Ok(())
}

struct Writer<'a> {
    resp3: bool,
    reply: &'a mut dyn Reply,
    budget: Budget,
}

impl Writer<'_> {
    fn write(&mut self, value: Value, depth: usize) {
        self.budget.add_value();
        match value {
            Value::String(_) | Value::Table(_) if self.budget.is_spent() => {
                self.reply.error(TOO_LARGE);
            }
            Value::String(text) => {
                let text = text.as_bytes();
                self.budget.add_text(text.len());
                self.reply.bulk(&text);
            }
            Value::Boolean(value) if self.resp3 => self.reply.bool(value),
            Value::Boolean(true) => self.reply.int(1),
            Value::Integer(value) => self.reply.int(value),
            Value::Number(value) => self.reply.int(cut_off(value)),
            Value::Table(_) if depth >= MAX_DEPTH => self.reply.error(TOO_DEEP),
            Value::Table(table) => self.table(&table, depth),
            _ => self.reply.null(),
        }
    }

    fn table(&mut self, from: &Table, depth: usize) {
        if let Some(failure) = failure_of(from) {
            self.reply.error(&failure.text);
        } else if let Some(text) = field(from, "ok", string) {
            self.reply.simple(&one_line(&text));
        } else if let Some(value) = field(from, "double", number) {
            self.reply.double(value);
        } else if let Some(map) = field(from, "map", table) {
            self.map(&map, depth);
        } else if let Some(set) = field(from, "set", table) {
            self.reply
                .set(set.pairs::<Value, Value>().flatten().count());
            for (item, _) in set.pairs::<Value, Value>().flatten() {
                self.write(item, depth + 1);
            }
        } else if let Some(digits) = field(from, "big_number", string) {
            self.reply.big_number(&one_line(&digits));
        } else if let Some((format, text)) = verbatim(from) {
            self.reply.verbatim(&format, &text.as_bytes());
        } else {
            self.array(from, depth);
        }
    }

    fn map(&mut self, map: &Table, depth: usize) {
        self.reply
            .map(map.pairs::<Value, Value>().flatten().count());
        for (key, value) in map.pairs::<Value, Value>().flatten() {
            self.write(key, depth + 1);
            self.write(value, depth + 1);
        }
    }

    /// The elements up to the first that is nil. They are fetched one by one: Lua has room for some thousands of values
    /// outside its tables, and no more.
    fn array(&mut self, from: &Table, depth: usize) {
        let item = |index: usize| from.raw_get::<Value>(index).unwrap_or(Value::Nil);
        let len = (1..).take_while(|index| !item(*index).is_nil()).count();
        self.reply.array(len);
        for index in 1..=len {
            self.write(item(index), depth + 1);
        }
    }
}

fn verbatim(from: &Table) -> Option<(String, mlua::LuaString)> {
    let verbatim = field(from, "verbatim_string", table)?;
    let format = field(&verbatim, "format", string)?;
    let text = field(&verbatim, "string", string)?;
    let format: String = format.to_string_lossy().chars().take(3).collect();
    Some((format, text))
}

/// A number as an integer, as the processor that Redis runs on cuts it off.
pub(super) fn cut_off(value: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// A number as C's `int`, as that processor cuts it off.
pub(super) fn cut_off_to_int(value: f64) -> i32 {
    i32::try_from(cut_off(value)).unwrap_or(i32::MIN)
}
