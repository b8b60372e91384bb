//! Arguments of functions that scripts call, judged and refused as Lua's own library does.

use mlua::{Lua, MultiValue, Value};

use super::convert::cut_off;
use super::guard::Raise;

/// The arguments of one call, counted from 1 as Lua's messages do.
pub(super) struct Arguments<'a> {
    lua: &'a Lua,
    values: &'a MultiValue,
}

impl<'a> Arguments<'a> {
    pub(super) const fn new(lua: &'a Lua, values: &'a MultiValue) -> Self {
        Self { lua, values }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&'a Value> {
        self.values.get(number.checked_sub(1)?)
    }

    /// `number expected, got nil`.
    pub(super) fn refuse(&self, number: usize, expected: &str) -> Raise {
        let got = self.get(number).map_or("no value", type_name);
        Raise::Argument(number, format!("{expected} expected, got {got}"))
    }

    /// A number, or a string that holds one.
    pub(super) fn number(&self, number: usize) -> Result<f64, Raise> {
        let value = self.get(number).filter(|value| !value.is_nil());
        let value = value.and_then(|value| self.lua.coerce_number(value.clone()).ok().flatten());
        value.ok_or_else(|| self.refuse(number, "number"))
    }

    /// A number cut off to an integer, or `default` where nothing is given.
    pub(super) fn integer_or(&self, number: usize, default: i64) -> Result<i64, Raise> {
        match self.get(number) {
            None | Some(Value::Nil) => Ok(default),
            Some(_) => Ok(cut_off(self.number(number)?)),
        }
    }

    /// A string, or a number as a string.
    pub(super) fn string(&self, number: usize) -> Result<mlua::LuaString, Raise> {
        let value = match self.get(number) {
            Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => value,
            _ => return Err(self.refuse(number, "string")),
        };
        let text = self.lua.coerce_string(value.clone()).ok().flatten();
        text.ok_or_else(|| self.refuse(number, "string"))
    }
}

/// A value's type as Lua's messages name it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        Value::Integer(_) | Value::Number(_) => "number",
        other => other.type_name(),
    }
}
