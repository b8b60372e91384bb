//! What most scripts return, written straight from Lua's stack: text, numbers, and plain lists of them. Whatever has fields,
//! or is nested deeply, takes the general way (`convert.rs`).
//!
//! Nothing is written before it is known that all of it can be: [`write`] asks for room and pushes names first, which may
//! raise; then come only functions of Lua's that cannot.
#![expect(
    unsafe_code,
    reason = "handles of every element that a script returns cost more than the script"
)]

use std::ffi::{CStr, c_int};

use mlua::ffi::{self, lua_State};

use super::convert::{Budget, TOO_LARGE, cut_off};
use crate::reply::Reply;

/// Lists in lists in a list; what is nested deeper takes the general way.
const MAX_DEPTH: c_int = 3;
/// So many values are looked at: a list that stands in itself many times is short for Lua, and has more.
const MAX_VALUES: usize = 1 << 16;
/// The fields that make a table something else than a list.
const FIELDS: [&CStr; 7] = [
    c"err",
    c"ok",
    c"double",
    c"map",
    c"set",
    c"big_number",
    c"verbatim_string",
];

/// Writes the value on top of the stack, if it is of the simple kinds; tells whether it is. Leaves the stack as it was, and
/// raises only before anything is written. O(values), and twice that for each level of a list.
///
/// SAFETY: called in a protected call with a valid state that has a value; the caller has no value with a destructor.
pub(super) unsafe fn write(state: *mut lua_State, resp3: bool, reply: &mut dyn Reply) -> bool {
    unsafe {
        let value = ffi::lua_gettop(state);
        if ffi::lua_type(state, value) == ffi::LUA_TTABLE {
            ffi::luaL_checkstack(
                state,
                FIELDS.len() as c_int + MAX_DEPTH + 2,
                c"too deep".as_ptr(),
            );
            for name in FIELDS {
                ffi::lua_pushlstring(state, name.as_ptr(), name.to_bytes().len() as _);
            }
            ffi::lua_pushvalue(state, value);
        }
        let mut writer = Writer {
            state,
            names: value + 1,
            resp3,
            reply,
            budget: Budget::default(),
            seen: 0,
        };
        let simple = writer.is_simple(1);
        if simple {
            writer.write();
        }
        ffi::lua_settop(state, value);
        simple
    }
}

struct Writer<'a> {
    state: *mut lua_State,
    /// Where the names of the fields begin on the stack.
    names: c_int,
    resp3: bool,
    reply: &'a mut dyn Reply,
    budget: Budget,
    /// Values that were looked at.
    seen: usize,
}

impl Writer<'_> {
    /// Whether the value on top is no table, or a list whose values are simple.
    ///
    /// SAFETY: as of all functions here: the stack has room for one value at each level of lists, and one more.
    unsafe fn is_simple(&mut self, depth: c_int) -> bool {
        unsafe {
            let (state, table) = (self.state, ffi::lua_gettop(self.state));
            self.seen += 1;
            if self.seen > MAX_VALUES {
                return false;
            }
            if ffi::lua_type(state, table) != ffi::LUA_TTABLE {
                return true;
            }
            if depth > MAX_DEPTH || self.has_fields(table) {
                return false;
            }
            for index in 1_usize.. {
                ffi::lua_rawgeti(state, table, index as _);
                let (kind, simple) = (ffi::lua_type(state, -1), self.is_simple(depth + 1));
                ffi::lua_settop(state, table);
                if kind == ffi::LUA_TNIL || !simple {
                    return simple;
                }
            }
            true
        }
    }

    unsafe fn has_fields(&self, table: c_int) -> bool {
        (self.names..).take(FIELDS.len()).any(|name| unsafe {
            ffi::lua_pushvalue(self.state, name);
            ffi::lua_rawget(self.state, table);
            let found = ffi::lua_type(self.state, -1) != ffi::LUA_TNIL;
            ffi::lua_settop(self.state, table);
            found
        })
    }

    unsafe fn write(&mut self) {
        unsafe {
            let state = self.state;
            self.budget.add_value();
            let kind = ffi::lua_type(state, -1);
            match kind {
                ffi::LUA_TSTRING | ffi::LUA_TTABLE if self.budget.is_spent() => {
                    self.reply.error(TOO_LARGE);
                }
                ffi::LUA_TSTRING => {
                    let mut length = 0;
                    let text = ffi::lua_tolstring(state, -1, &raw mut length);
                    self.budget.add_text(length);
                    let text = std::slice::from_raw_parts(text.cast::<u8>(), length);
                    self.reply.bulk(text);
                }
                ffi::LUA_TNUMBER => self.reply.int(cut_off(ffi::lua_tonumber(state, -1))),
                ffi::LUA_TBOOLEAN => match ffi::lua_toboolean(state, -1) != 0 {
                    value if self.resp3 => self.reply.bool(value),
                    true => self.reply.int(1),
                    false => self.reply.null(),
                },
                ffi::LUA_TTABLE => self.write_list(),
                _ => self.reply.null(),
            }
        }
    }

    /// The elements up to the first that is nil.
    unsafe fn write_list(&mut self) {
        unsafe {
            let (state, table) = (self.state, ffi::lua_gettop(self.state));
            let is_there = |index: &usize| {
                ffi::lua_rawgeti(state, table, *index as _);
                let there = ffi::lua_type(state, -1) != ffi::LUA_TNIL;
                ffi::lua_settop(state, table);
                there
            };
            let len = (1..).take_while(is_there).count();
            self.reply.array(len);
            for index in 1..=len {
                ffi::lua_rawgeti(state, table, index as _);
                self.write();
                ffi::lua_settop(state, table);
            }
        }
    }
}
