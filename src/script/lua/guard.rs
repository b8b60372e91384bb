//! What safe Rust cannot do to a Lua state: functions that raise Lua values, stand-ins for tables that nobody may change,
//! and the base functions that know stand-ins. It knows nothing of scripts, commands or Redis.
//!
//! A stand-in is an empty table. Its metatable refers to the contents by [`CONTENTS`], a key that no script can make, so
//! every write reaches `__newindex` and every base function that works on raw tables is wrapped to look behind it.
//!
//! The `unsafe` of this file is calls to Lua's C interface. The functions below hold no value with a destructor while they
//! call it, so that an error, which leaves them by a long jump, skips nothing; and each stays within the stack slots that
//! Lua gives a C function (`LUA_MINSTACK`, 20), or asks for more.
#![expect(
    unsafe_code,
    reason = "raising Lua values and looking behind stand-ins need Lua's C interface"
)]

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::{self, lua_State};
use mlua::{Function, IntoLua, Lua, MultiValue, Table, Value};

/// Its address is the key of the contents in a stand-in's metatable.
static CONTENTS: u8 = 0;
/// Its address is the key of what `getmetatable` shows for a stand-in.
static SHOWN: u8 = 1;

const READ_ONLY: &CStr = c"Attempt to modify a readonly table";
/// How a checked function says that it succeeded; results follow.
const RETURN: i64 = 0;
/// The error value follows.
const RAISE: i64 = 1;
/// A text follows, to which the caller's position is added.
const RAISE_AT: i64 = 2;
/// The number of an argument and what is wrong with it follow.
const RAISE_ARGUMENT: i64 = 3;

/// Why a checked function fails, as Lua will see it.
#[derive(Debug)]
pub(super) enum Raise {
    /// This value.
    Value(Value),
    /// This text behind the caller's position.
    Text(String),
    /// `bad argument #n to 'name' (text)`.
    Argument(usize, String),
}

impl From<mlua::Error> for Raise {
    fn from(error: mlua::Error) -> Self {
        Self::Text(error.to_string())
    }
}

/// What a checked function answers.
pub(super) type Checked = Result<MultiValue, Raise>;

fn key_of(mark: &'static u8) -> *mut c_void {
    std::ptr::from_ref(mark).cast_mut().cast()
}

/// Makes a function that raises real Lua values, from one that returns them.
pub(super) fn checked(
    lua: &Lua,
    run: impl Fn(&Lua, MultiValue) -> Checked + Send + 'static,
) -> mlua::Result<Function> {
    let inner = lua.create_function(move |lua, args: MultiValue| {
        let answer = |kind: i64, values: [Value; 2]| {
            let values = std::iter::once(Value::Integer(kind)).chain(values);
            Ok(values.collect::<MultiValue>())
        };
        match run(lua, args) {
            Ok(mut results) => {
                results.push_front(Value::Integer(RETURN));
                Ok(results)
            }
            Err(Raise::Value(value)) => answer(RAISE, [value, Value::Nil]),
            Err(Raise::Text(text)) => answer(RAISE_AT, [text.into_lua(lua)?, Value::Nil]),
            Err(Raise::Argument(number, text)) => answer(
                RAISE_ARGUMENT,
                [Value::Integer(number as i64), text.into_lua(lua)?],
            ),
        }
    })?;
    // SAFETY: the closure takes the one value that `exec_raw` has pushed and leaves one function.
    unsafe {
        lua.exec_raw(inner, |state| {
            ffi::lua_pushcclosure(state, return_or_raise, 1);
        })
    }
}

/// SAFETY: called by Lua with a valid state; upvalue 1 is the function of [`checked`].
unsafe extern "C-unwind" fn return_or_raise(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        let kind = ffi::lua_tointeger(state, 1);
        if kind == RETURN as ffi::lua_Integer {
            return ffi::lua_gettop(state) - 1;
        }
        if kind == RAISE_ARGUMENT as ffi::lua_Integer {
            let number = ffi::lua_tointeger(state, 2);
            let text = ffi::lua_tostring(state, 3);
            return ffi::luaL_argerror(state, number as c_int, text);
        }
        ffi::lua_settop(state, 2);
        if kind == RAISE_AT as ffi::lua_Integer {
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, -2);
            ffi::lua_concat(state, 2);
        }
        ffi::lua_error(state)
    }
}

/// A table that reads like `contents` and cannot be changed. `missing` is called for what is not there, where given;
/// `shown` is what `getmetatable` tells.
pub(super) fn stand_in(
    lua: &Lua,
    contents: &Table,
    missing: Option<&Function>,
    shown: Option<&Table>,
) -> mlua::Result<Table> {
    let proxy = lua.create_table()?;
    dress(lua, &proxy, contents, missing, shown)?;
    Ok(proxy)
}

/// The same for an empty table that exists already.
pub(super) fn dress(
    lua: &Lua,
    proxy: &Table,
    contents: &Table,
    missing: Option<&Function>,
    shown: Option<&Table>,
) -> mlua::Result<()> {
    if let Some(missing) = missing {
        let behind = lua.create_table()?;
        behind.raw_set("__index", missing)?;
        contents.set_metatable(Some(behind))?;
    }
    let meta = lua.create_table()?;
    meta.raw_set("__index", contents)?;
    // SAFETY: the closure leaves one function on the stack.
    let refuse: Function =
        unsafe { lua.exec_raw((), |state| ffi::lua_pushcclosure(state, refuse_at, 0))? };
    meta.raw_set("__newindex", refuse)?;
    let shown = shown.map_or(Value::Nil, |shown| Value::Table(shown.clone()));
    // SAFETY: three values are pushed; the closure stores two of them in the first and leaves nothing. Light userdata
    // that nobody reads through is only an address.
    unsafe {
        lua.exec_raw::<()>((&meta, contents, shown), |state| {
            for mark in [&SHOWN, &CONTENTS] {
                ffi::lua_pushlightuserdata(state, key_of(mark));
                ffi::lua_insert(state, -2);
                ffi::lua_rawset(state, if ffi::lua_gettop(state) == 4 { -4 } else { -3 });
            }
            ffi::lua_settop(state, 0);
        })?;
    }
    proxy.set_metatable(Some(meta))
}

/// SAFETY: called by Lua with a valid state.
unsafe extern "C-unwind" fn refuse_at(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_pushstring(state, READ_ONLY.as_ptr());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// Pushes what stands at `mark` in the metatable of a stand-in; pushes nothing for any other value.
///
/// SAFETY: `state` is valid, with room for three values.
unsafe fn push_behind(state: *mut lua_State, index: c_int, mark: &'static u8) -> bool {
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TTABLE
            || ffi::lua_getmetatable(state, index) == 0
        {
            return false;
        }
        ffi::lua_pushlightuserdata(state, key_of(&CONTENTS));
        ffi::lua_rawget(state, -2);
        if ffi::lua_type(state, -1) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, -3);
            return false;
        }
        ffi::lua_settop(state, -2);
        ffi::lua_pushlightuserdata(state, key_of(mark));
        ffi::lua_rawget(state, -2);
        ffi::lua_remove(state, -2);
        true
    }
}

/// Calls the C function that the running one wraps, in its place.
///
/// SAFETY: `state` is valid, and upvalue 1 of the running function is a C function without upvalues.
unsafe fn call_wrapped(state: *mut lua_State) -> c_int {
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(wrapped) => wrapped(state),
            None => 0,
        }
    }
}

/// A function that changes its first argument. SAFETY: as [`call_wrapped`].
unsafe extern "C-unwind" fn changing(state: *mut lua_State) -> c_int {
    unsafe {
        if push_behind(state, 1, &CONTENTS) {
            ffi::lua_pushstring(state, READ_ONLY.as_ptr());
            ffi::lua_error(state);
        }
        call_wrapped(state)
    }
}

/// `table.sort`, which compares in Lua where the table is long, so that whoever watches the script gets his turn.
/// SAFETY: as [`call_wrapped`]; upvalue 2 is the comparison.
unsafe extern "C-unwind" fn sorting(state: *mut lua_State) -> c_int {
    /// Shorter tables are sorted before anybody misses a turn.
    const LONG: usize = 100_000;
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE
            && ffi::lua_isnoneornil(state, 2) != 0
            && ffi::lua_objlen(state, 1) > LONG
        {
            ffi::lua_settop(state, 1);
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        }
        changing(state)
    }
}

/// A function that reads its first argument. SAFETY: as [`call_wrapped`].
unsafe extern "C-unwind" fn reading(state: *mut lua_State) -> c_int {
    unsafe {
        if push_behind(state, 1, &CONTENTS) {
            ffi::lua_replace(state, 1);
        }
        call_wrapped(state)
    }
}

/// `pairs`, with a `next` that looks behind stand-ins. SAFETY: called by Lua; upvalue 1 is that `next`.
unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

/// `getmetatable`. SAFETY: as [`call_wrapped`]; upvalue 2 is what is shown for strings.
unsafe extern "C-unwind" fn getmetatable(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
            return 1;
        }
        if push_behind(state, 1, &SHOWN) {
            return 1;
        }
        call_wrapped(state)
    }
}

/// `pcall`, which gives the text of an error that is a table of Redis's; after any other table comes what its field `err`
/// holds. SAFETY: called by Lua with a valid state.
unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checkstack(state, 3, c"".as_ptr());
        if ffi::lua_gettop(state) == 0 {
            ffi::lua_pushboolean(state, 0);
            ffi::lua_pushstring(state, c"attempt to call a boolean value".as_ptr());
            return 2;
        }
        let status = ffi::lua_pcall(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET, 0);
        if status != ffi::LUA_OK && ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushstring(state, c"err".as_ptr());
            ffi::lua_gettable(state, -2);
            let text = ffi::lua_type(state, -1);
            if text == ffi::LUA_TSTRING || text == ffi::LUA_TNUMBER {
                ffi::lua_replace(state, -2);
            }
        }
        ffi::luaL_checkstack(state, 1, c"".as_ptr());
        ffi::lua_pushboolean(state, c_int::from(status == ffi::LUA_OK));
        ffi::lua_insert(state, 1);
        ffi::lua_gettop(state)
    }
}

/// `unpack`, whose own check of its range overflows. SAFETY: called by Lua with a valid state; the stack is asked for
/// room before values are pushed.
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let first = ffi::luaL_optinteger(state, 2, 1) as c_int;
        let last = if ffi::lua_isnoneornil(state, 3) != 0 {
            ffi::lua_objlen(state, 1) as c_int
        } else {
            ffi::luaL_checkinteger(state, 3) as c_int
        };
        if first > last {
            return 0;
        }
        let count = i64::from(last) - i64::from(first) + 1;
        let fits = c_int::try_from(count);
        if fits.is_err() || ffi::lua_checkstack(state, fits.unwrap_or(0)) == 0 {
            ffi::luaL_where(state, 1);
            ffi::lua_pushstring(state, c"too many results to unpack".as_ptr());
            ffi::lua_concat(state, 2);
            ffi::lua_error(state);
        }
        for index in first..=last {
            ffi::lua_rawgeti(state, 1, index as _);
        }
        count as c_int
    }
}

/// `tonumber`, which most scripts call on their arguments: a few decimal digits need no general parser. SAFETY: as
/// [`call_wrapped`].
unsafe extern "C-unwind" fn tonumber(state: *mut lua_State) -> c_int {
    /// So many digits are exact in a double.
    const EXACT: usize = 15;
    unsafe {
        if ffi::lua_gettop(state) == 1 && ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            let mut length = 0;
            let text = ffi::lua_tolstring(state, 1, &raw mut length).cast::<u8>();
            if (1..=EXACT).contains(&length) {
                let digits = std::slice::from_raw_parts(text, length);
                if digits.iter().all(u8::is_ascii_digit) {
                    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
                    ffi::lua_pushnumber(state, digits.iter().fold(0, add) as f64);
                    return 1;
                }
            }
        }
        call_wrapped(state)
    }
}

/// `loadstring` without bytecode, which could do anything to the state. SAFETY: as [`call_wrapped`].
unsafe extern "C-unwind" fn load_text(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            let first = ffi::lua_tolstring(state, 1, std::ptr::null_mut());
            if *first == 0x1b {
                let name = ffi::luaL_optstring(state, 2, c"[string \"\x1bLuaQ\"]".as_ptr());
                let name = if *name == b'=' as std::ffi::c_char || *name == b'@' as std::ffi::c_char
                {
                    name.add(1)
                } else {
                    name
                };
                ffi::lua_pushnil(state);
                ffi::lua_pushstring(state, name);
                ffi::lua_pushstring(state, c":1: unexpected symbol near 'char(27)'".as_ptr());
                ffi::lua_concat(state, 2);
                return 2;
            }
        }
        call_wrapped(state)
    }
}

/// Replaces the base functions that work on raw tables or load bytecode by wrappers; `globals` holds the originals, and
/// `string_view` is what `getmetatable` shows for strings.
pub(super) fn wrap_base(lua: &Lua, globals: &Table, string_view: &Table) -> mlua::Result<()> {
    let wrap_with = |table: &Table, name: &str, wrapper: ffi::lua_CFunction, second: Value| {
        let original: Function = table.raw_get(name)?;
        // SAFETY: two values are pushed and become the upvalues of the one function that is left.
        let wrapped: Function = unsafe {
            lua.exec_raw((original, second), move |state| {
                ffi::lua_pushcclosure(state, wrapper, 2);
            })?
        };
        table.raw_set(name, wrapped)
    };
    let wrap = |table: &Table, name: &str, wrapper: ffi::lua_CFunction| {
        wrap_with(table, name, wrapper, Value::Table(string_view.clone()))
    };
    for name in ["rawset", "setmetatable"] {
        wrap(globals, name, changing)?;
    }
    for name in ["rawget", "next"] {
        wrap(globals, name, reading)?;
    }
    wrap(globals, "getmetatable", getmetatable)?;
    wrap(globals, "loadstring", load_text)?;
    wrap(globals, "tonumber", tonumber)?;
    let table: Table = globals.raw_get("table")?;
    for name in ["insert", "remove", "setn"] {
        wrap(&table, name, changing)?;
    }
    let less = lua.load("return function(a, b) return a < b end");
    let less: Value = less.set_name("@user_script").call(())?;
    wrap_with(&table, "sort", sorting, less)?;
    for name in ["foreach", "foreachi", "getn", "maxn", "concat"] {
        wrap(&table, name, reading)?;
    }
    let next: Function = globals.raw_get("next")?;
    // SAFETY: one value is pushed and becomes the upvalue of the one function that is left.
    let pairs: Function =
        unsafe { lua.exec_raw(next, |state| ffi::lua_pushcclosure(state, pairs, 1))? };
    globals.raw_set("pairs", pairs)?;
    // SAFETY: the closure leaves one function on the stack.
    let pcall: Function =
        unsafe { lua.exec_raw((), |state| ffi::lua_pushcclosure(state, pcall, 0))? };
    globals.raw_set("pcall", pcall)?;
    // SAFETY: the closure leaves one function on the stack.
    let unpack: Function =
        unsafe { lua.exec_raw((), |state| ffi::lua_pushcclosure(state, unpack, 0))? };
    globals.raw_set("unpack", unpack)
}

/// A function that calls its second argument with the rest, under its first as the error handler, and returns whether
/// that succeeded before what it returned.
pub(super) fn traced_call(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: the closure leaves one function on the stack.
    unsafe { lua.exec_raw((), |state| ffi::lua_pushcclosure(state, call_traced, 0)) }
}

/// SAFETY: called by Lua with a valid state.
unsafe extern "C-unwind" fn call_traced(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state) - 2;
        let status = ffi::lua_pcall(state, arguments, 1, 1);
        ffi::lua_pushboolean(state, c_int::from(status == ffi::LUA_OK));
        ffi::lua_insert(state, -2);
        2
    }
}
