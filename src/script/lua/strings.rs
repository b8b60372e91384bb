//! The functions of `string` that can take for ever or fill memory in one call: `find`, `match`, `gmatch`, `gsub` and `rep`.
//! They answer as Lua's own do, and give the host its turn as they work.
//!
//! The `unsafe` of this file is calls to Lua's C interface. As in `guard.rs`, no value with a destructor is held where
//! Lua may leave by a long jump; texts and patterns are arguments or upvalues of the running function and stay where they are.
#![expect(
    unsafe_code,
    reason = "results are pushed and errors raised by Lua's C interface, without handles that are counted and locked"
)]

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, Table};

use super::api::Shared;
use super::pattern::{Captured, MAX_CAPTURES, Matcher, Stop};

/// What makes a text a pattern.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Puts the functions in the place of Lua's own.
pub(super) fn register(lua: &Lua, string: &Table, shared: &Shared) -> mlua::Result<()> {
    let functions: [(&str, ffi::lua_CFunction); 5] = [
        ("find", find),
        ("match", match_),
        ("gmatch", gmatch),
        ("gsub", gsub),
        ("rep", rep),
    ];
    for (name, run) in functions {
        let address: *const Shared = shared;
        // SAFETY: one value is pushed and becomes the upvalue of the one function that is left.
        let function: Function = unsafe {
            lua.exec_raw((), move |state| {
                ffi::lua_pushlightuserdata(state, address.cast_mut().cast());
                ffi::lua_pushcclosure(state, run, 1);
            })?
        };
        string.raw_set(name, &function)?;
        if name == "gmatch" && string.contains_key("gfind")? {
            string.raw_set("gfind", function)?;
        }
    }
    Ok(())
}

/// Gives the host its turn. SAFETY: called by a function whose upvalue 1 is the address of a living [`Shared`].
unsafe fn turn(state: *mut lua_State) -> Result<(), &'static str> {
    let shared = unsafe { ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)) };
    // SAFETY: the interpreter keeps it for as long as its Lua lives.
    unsafe { (*shared.cast::<Shared>()).turn() }
}

/// Raises a text behind the caller's position. SAFETY: the state is valid; no value with a destructor is held.
unsafe fn raise(state: *mut lua_State, text: &str) -> ! {
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len() as _);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state);
    }
}

/// SAFETY: as [`raise`].
unsafe fn stop(state: *mut lua_State, stop: Stop) -> ! {
    unsafe {
        match stop {
            Stop::Malformed(text) => raise(state, text),
            Stop::Ended(text) => {
                ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len() as _);
                ffi::lua_error(state)
            }
        }
    }
}

/// Raises the error of a script that must end. SAFETY: as [`raise`] and [`turn`].
unsafe fn go_on(state: *mut lua_State) {
    unsafe {
        let shared = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Shared>();
        let may = (*shared).may_go_on().map_err(Stop::Ended);
        or_stop(state, may);
    }
}

/// SAFETY: as [`raise`].
unsafe fn or_stop<T>(state: *mut lua_State, result: Result<T, Stop>) -> T {
    match result {
        Ok(value) => value,
        Err(reason) => unsafe { stop(state, reason) },
    }
}

/// A string argument. SAFETY: the state is valid; the slice may be used while the argument stays where it is.
unsafe fn text_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    unsafe {
        let mut length = 0;
        let text = ffi::luaL_checklstring(state, index, &raw mut length);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    }
}

/// A string upvalue. SAFETY: as [`text_at`].
unsafe fn upvalue_text<'a>(state: *mut lua_State, number: c_int) -> &'a [u8] {
    unsafe {
        let mut length = 0;
        let text = ffi::lua_tolstring(state, ffi::lua_upvalueindex(number), &raw mut length);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    }
}

/// Pushes a part of the text, or a place in it. SAFETY: the state is valid, with room for a value.
unsafe fn push_captured(state: *mut lua_State, text: &[u8], captured: Captured) {
    unsafe {
        match captured {
            Captured::Position(at) => ffi::lua_pushnumber(state, at as f64),
            Captured::Range(from, to) => {
                let part = text.get(from..to).unwrap_or_default();
                ffi::lua_pushlstring(state, part.as_ptr().cast(), part.len() as _);
            }
        }
    }
}

/// Pushes what a match has captured; the whole match where it has captured nothing and that is `wanted`.
///
/// SAFETY: the state is valid.
unsafe fn push_captures(
    state: *mut lua_State,
    text: &[u8],
    matcher: &Matcher<'_>,
    range: (usize, usize),
    wanted: bool,
) -> c_int {
    let count = matcher.level().max(usize::from(wanted));
    unsafe {
        ffi::luaL_checkstack(state, MAX_CAPTURES as c_int, c"too many captures".as_ptr());
        for index in 0..count {
            let captured = or_stop(state, matcher.capture(index, range));
            push_captured(state, text, captured);
        }
    }
    count as c_int
}

/// SAFETY: as [`look`].
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    unsafe { look(state, true) }
}

/// SAFETY: as [`look`].
unsafe extern "C-unwind" fn match_(state: *mut lua_State) -> c_int {
    unsafe { look(state, false) }
}

/// Where a search begins.
fn start_of(given: i64, length: usize) -> usize {
    let from_end = given.saturating_add(length as i64).saturating_add(1);
    let start = if given < 0 { from_end } else { given };
    usize::try_from(start.saturating_sub(1)).map_or(0, |start| start.min(length))
}

/// `string.find` and `string.match`.
///
/// SAFETY: called by Lua with a valid state; upvalue 1 is the address of a living [`Shared`].
unsafe fn look(state: *mut lua_State, finds: bool) -> c_int {
    unsafe {
        go_on(state);
        let (text, pattern) = (text_at(state, 1), text_at(state, 2));
        let start = start_of(ffi::luaL_optinteger(state, 3, 1), text.len());
        let until_nul = pattern.split(|byte| *byte == 0).next().unwrap_or_default();
        let plain = || !until_nul.iter().any(|byte| SPECIALS.contains(byte));
        if finds && (ffi::lua_toboolean(state, 4) != 0 || plain()) {
            let Some(at) = position(text.get(start..).unwrap_or_default(), pattern) else {
                ffi::lua_pushnil(state);
                return 1;
            };
            ffi::lua_pushnumber(state, (start + at + 1) as f64);
            ffi::lua_pushnumber(state, (start + at + pattern.len()) as f64);
            return 2;
        }
        let (anchored, pattern) = without_anchor(pattern);
        let turn = || turn(state);
        let mut matcher = Matcher::new(text, pattern, &turn);
        for at in start..=text.len() {
            if let Some(end) = or_stop(state, matcher.match_at(at)) {
                if finds {
                    ffi::lua_pushnumber(state, (at + 1) as f64);
                    ffi::lua_pushnumber(state, end as f64);
                    return push_captures(state, text, &matcher, (at, end), false) + 2;
                }
                return push_captures(state, text, &matcher, (at, end), true);
            }
            if anchored {
                break;
            }
        }
        ffi::lua_pushnil(state);
        1
    }
}

fn without_anchor(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern {
        [b'^', rest @ ..] => (true, rest),
        pattern => (false, pattern),
    }
}

/// Where a text first stands in another. A text of the same bytes is compared once for each that begins it.
fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some((first, rest)) = wanted.split_first() else {
        return Some(0);
    };
    let last = text.len().checked_sub(wanted.len())?;
    let mut at = 0;
    while at <= last {
        let here = text.get(at..=last)?.iter().position(|byte| byte == first)?;
        at += here + 1;
        if text.get(at..at + rest.len()) == Some(rest) {
            return Some(at - 1);
        }
    }
    None
}

/// SAFETY: as [`look`].
unsafe extern "C-unwind" fn gmatch(state: *mut lua_State) -> c_int {
    unsafe {
        text_at(state, 1);
        text_at(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_pushnumber(state, 0.0);
        ffi::lua_pushcclosure(state, next_match, 4);
        1
    }
}

/// SAFETY: called by Lua; its upvalues are as [`gmatch`] has made them: the host's, text, pattern, and where to go on.
unsafe extern "C-unwind" fn next_match(state: *mut lua_State) -> c_int {
    unsafe {
        go_on(state);
        let (text, pattern) = (upvalue_text(state, 2), upvalue_text(state, 3));
        let start = ffi::lua_tonumber(state, ffi::lua_upvalueindex(4)) as usize;
        let turn = || turn(state);
        let mut matcher = Matcher::new(text, pattern, &turn);
        for at in start..=text.len() {
            if let Some(end) = or_stop(state, matcher.match_at(at)) {
                let next = end + usize::from(end == at);
                ffi::lua_pushnumber(state, next as f64);
                ffi::lua_replace(state, ffi::lua_upvalueindex(4));
                return push_captures(state, text, &matcher, (at, end), true);
            }
        }
        0
    }
}

/// SAFETY: as [`look`].
unsafe extern "C-unwind" fn gsub(state: *mut lua_State) -> c_int {
    unsafe {
        go_on(state);
        let (text, pattern) = (text_at(state, 1), text_at(state, 2));
        let kind = ffi::lua_type(state, 3);
        let most = ffi::luaL_optinteger(state, 4, text.len() as ffi::lua_Integer + 1) as c_int;
        let (anchored, pattern) = without_anchor(pattern);
        if !matches!(
            kind,
            ffi::LUA_TNUMBER | ffi::LUA_TSTRING | ffi::LUA_TFUNCTION | ffi::LUA_TTABLE
        ) {
            return ffi::luaL_argerror(state, 3, c"string/function/table expected".as_ptr());
        }
        let turn = || turn(state);
        let mut matcher = Matcher::new(text, pattern, &turn);
        let mut buffer = MaybeUninit::<ffi::luaL_Buffer>::uninit();
        let buffer = buffer.as_mut_ptr();
        ffi::luaL_buffinit(state, buffer);
        let (mut at, mut count) = (0, 0);
        while count < most {
            let end = or_stop(state, matcher.match_at(at));
            if let Some(end) = end {
                count += 1;
                add_value(state, buffer, text, &matcher, (at, end));
            }
            match (end, text.get(at)) {
                (Some(end), _) if end > at => at = end,
                (_, Some(byte)) => {
                    ffi::luaL_addchar(buffer, *byte as c_char);
                    at += 1;
                }
                (_, None) => break,
            }
            if anchored {
                break;
            }
        }
        add(buffer, text.get(at..).unwrap_or_default());
        ffi::luaL_pushresult(buffer);
        ffi::lua_pushnumber(state, f64::from(count));
        2
    }
}

/// SAFETY: the buffer is that of the running function, and on top of its stack.
unsafe fn add(buffer: *mut ffi::luaL_Buffer, bytes: &[u8]) {
    unsafe { ffi::luaL_addlstring(buffer, bytes.as_ptr().cast(), bytes.len()) };
}

/// Adds what stands for a match. SAFETY: as [`add`]; the third argument says what that is.
unsafe fn add_value(
    state: *mut lua_State,
    buffer: *mut ffi::luaL_Buffer,
    text: &[u8],
    matcher: &Matcher<'_>,
    range: (usize, usize),
) {
    unsafe {
        match ffi::lua_type(state, 3) {
            ffi::LUA_TTABLE => {
                push_captured(state, text, or_stop(state, matcher.capture(0, range)));
                ffi::lua_gettable(state, 3);
            }
            ffi::LUA_TFUNCTION => {
                ffi::lua_pushvalue(state, 3);
                let count = push_captures(state, text, matcher, range, true);
                ffi::lua_call(state, count, 1);
            }
            _ => return add_replacement(state, buffer, text, matcher, range),
        }
        if ffi::lua_toboolean(state, -1) == 0 {
            ffi::lua_settop(state, -2);
            push_captured(state, text, Captured::Range(range.0, range.1));
        } else if ffi::lua_isstring(state, -1) == 0 {
            let name = ffi::luaL_typename(state, -1);
            ffi::luaL_where(state, 1);
            ffi::lua_pushstring(state, c"invalid replacement value (a ".as_ptr());
            ffi::lua_pushstring(state, name);
            ffi::lua_pushstring(state, c")".as_ptr());
            ffi::lua_concat(state, 4);
            ffi::lua_error(state);
        }
        ffi::luaL_addvalue(buffer);
    }
}

/// Adds a replacement text, in which `%0` to `%9` stand for captures. SAFETY: as [`add_value`].
unsafe fn add_replacement(
    state: *mut lua_State,
    buffer: *mut ffi::luaL_Buffer,
    text: &[u8],
    matcher: &Matcher<'_>,
    range: (usize, usize),
) {
    unsafe {
        let replacement = text_at(state, 3);
        let mut bytes = replacement.iter();
        while let Some(byte) = bytes.next() {
            if *byte != b'%' {
                ffi::luaL_addchar(buffer, *byte as c_char);
                continue;
            }
            // Behind the last byte of a string of Lua's stands a zero.
            match bytes.next().copied().unwrap_or(0) {
                b'0' => add(buffer, text.get(range.0..range.1).unwrap_or_default()),
                digit @ b'1'..=b'9' => {
                    let captured = matcher.capture(usize::from(digit - b'1'), range);
                    push_captured(state, text, or_stop(state, captured));
                    ffi::luaL_addvalue(buffer);
                }
                other => ffi::luaL_addchar(buffer, other as c_char),
            }
        }
    }
}

const TOO_LONG: &CStr = c"not enough memory";

/// `string.rep`, which asks for all the memory at once. SAFETY: as [`look`].
unsafe extern "C-unwind" fn rep(state: *mut lua_State) -> c_int {
    unsafe {
        go_on(state);
        let text = text_at(state, 1);
        let count = ffi::luaL_checkinteger(state, 2) as c_int;
        let count = usize::try_from(count).unwrap_or(0);
        let length = text.len().checked_mul(count);
        let length = length.filter(|length| isize::try_from(*length).is_ok());
        let Some(length) = length else {
            ffi::lua_pushstring(state, TOO_LONG.as_ptr());
            ffi::lua_error(state);
        };
        let memory = ffi::lua_newuserdata(state, length.max(1)).cast::<u8>();
        let mut filled = text.len().min(length);
        std::ptr::copy_nonoverlapping(text.as_ptr(), memory, filled);
        while filled < length && filled > 0 {
            let more = filled.min(length - filled);
            std::ptr::copy_nonoverlapping(memory, memory.add(filled), more);
            filled += more;
        }
        ffi::lua_pushlstring(state, memory.cast::<c_char>(), length as _);
        1
    }
}
