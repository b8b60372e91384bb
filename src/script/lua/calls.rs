//! `redis.call` and `redis.pcall`, and the start of a script, by Lua's C interface: nothing is allocated for the words of a
//! command, and a reply becomes a value in one step.
//!
//! Each function works in two parts. In the first, Rust runs and holds values with destructors, and of Lua only functions
//! are called that cannot raise. In the second, values are pushed, which may raise: what is pushed is kept in [`Shared`]
//! or on the caller's side meanwhile, and no value with a destructor is on the stack that a long jump would leave.
#![expect(
    unsafe_code,
    reason = "the way of every redis.call is too hot for handles that are counted and locked"
)]

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, Table, Value};
use smallvec::SmallVec;

use super::answers;
use super::api::Shared;
use crate::reply::{Reply, Response};
use crate::value::lossless;
use crate::value::number::DoubleBuffer;

const NO_SCRIPT_RUNS: &str = "ERR redis.call can only be called inside a script invocation";
const NO_WORDS: &str = "ERR Please specify at least one argument for this redis lib call";
const NO_TEXT: &str = "ERR Lua redis lib command arguments must be strings or integers";
const PANICKED: &str = "ERR the command has panicked";

/// A command's outcome on its way into Lua.
#[derive(Clone, Copy)]
enum Outcome {
    Int(i64),
    Nothing,
    /// An error that no command has counted.
    Refused(&'static str),
    /// The reply that was kept last.
    Kept(*const Response),
    /// The script must end, and why.
    Ended(&'static str),
}

/// `redis.call` where `raises`, else `redis.pcall`. The interpreter keeps `shared` for as long as its Lua lives.
pub(super) fn function(lua: &Lua, shared: &Shared, raises: bool) -> mlua::Result<Function> {
    let address: *const Shared = shared;
    let run = if raises { call_raising } else { call_catching };
    // SAFETY: one value is pushed and becomes the upvalue of the one function that is left.
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushlightuserdata(state, address.cast_mut().cast());
            ffi::lua_pushcclosure(state, run, 1);
        })
    }
}

/// SAFETY: called by Lua with a valid state; upvalue 1 is the address of a living [`Shared`].
unsafe extern "C-unwind" fn call_raising(state: *mut lua_State) -> c_int {
    unsafe {
        match answer(state) {
            Answer::Reply => 1,
            Answer::Error | Answer::End => ffi::lua_error(state),
        }
    }
}

/// SAFETY: as [`call_raising`].
unsafe extern "C-unwind" fn call_catching(state: *mut lua_State) -> c_int {
    unsafe {
        match answer(state) {
            Answer::Reply | Answer::Error => 1,
            Answer::End => ffi::lua_error(state),
        }
    }
}

/// What [`answer`] has pushed.
enum Answer {
    Reply,
    Error,
    /// An error that no script may catch.
    End,
}

/// Runs the command that the arguments are and pushes its reply; tells what that is.
///
/// SAFETY: as [`call_raising`].
unsafe fn answer(state: *mut lua_State) -> Answer {
    unsafe {
        let shared = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Shared>();
        let resp3 = (*shared).resp3.load(Ordering::Relaxed);
        let outcome = run_command(state, &*shared, resp3);
        // There may be as many words as a function can have values.
        ffi::lua_settop(state, 0);
        match outcome {
            Outcome::Int(value) => ffi::lua_pushnumber(state, value as f64),
            Outcome::Nothing if resp3 => ffi::lua_pushnil(state),
            Outcome::Nothing => ffi::lua_pushboolean(state, 0),
            Outcome::Refused(text) => {
                push_error(state, text, false);
                return Answer::Error;
            }
            Outcome::Ended(reason) => {
                push_text(state, reason.as_bytes());
                return Answer::End;
            }
            Outcome::Kept(response) => {
                push(state, &*response, resp3);
                let failed = matches!(&*response, Response::Error(_));
                (*shared).kept.lock().pop();
                if failed {
                    return Answer::Error;
                }
            }
        }
        Answer::Reply
    }
}

/// The first part of a call: runs the command. Calls nothing of Lua's that can raise.
///
/// SAFETY: as [`call_raising`].
unsafe fn run_command(state: *mut lua_State, shared: &Shared, resp3: bool) -> Outcome {
    let count = unsafe { ffi::lua_gettop(state) };
    if count == 0 {
        shared.note_error(NO_WORDS);
        return Outcome::Refused(NO_WORDS);
    }
    // SAFETY: the strings are arguments of the running function and stay on its stack, which the command does not see.
    let Some(numbers) = (unsafe { numbers_of(state, count) }) else {
        shared.note_error(NO_TEXT);
        return Outcome::Refused(NO_TEXT);
    };
    let words = unsafe { words_of(state, count, &numbers) };
    if let Err(reason) = shared.may_go_on() {
        return Outcome::Ended(reason);
    }
    let run = || {
        shared
            .host
            .with(|host| (host.call(&words, resp3), host.is_due()))
    };
    // The host knows that a command has not come back, and panics anew when the script has ended.
    let result = catch_unwind(AssertUnwindSafe(run));
    if let Ok(Some((_, true))) = result
        && let Err(reason) = shared.turn()
    {
        return Outcome::Ended(reason);
    }
    match result.map(|called| called.map(|(response, _)| response)) {
        Ok(Some(Response::Int(value))) => Outcome::Int(value),
        Ok(Some(Response::Null)) => Outcome::Nothing,
        Ok(Some(response)) => {
            let response = Box::new(response);
            let address: *const Response = &*response;
            shared.kept.lock().push(response);
            Outcome::Kept(address)
        }
        Ok(None) => Outcome::Refused(NO_SCRIPT_RUNS),
        Err(_) => Outcome::Refused(PANICKED),
    }
}

/// The arguments that are numbers, as text; `None` if one is neither a string nor a number.
///
/// SAFETY: the state is valid and has `count` arguments.
unsafe fn numbers_of(state: *mut lua_State, count: c_int) -> Option<SmallVec<[DoubleBuffer; 2]>> {
    let mut numbers = SmallVec::new();
    for index in 1..=count {
        match unsafe { ffi::lua_type(state, index) } {
            ffi::LUA_TSTRING => {}
            ffi::LUA_TNUMBER => {
                let mut text = DoubleBuffer::new();
                text.format_c(unsafe { ffi::lua_tonumber(state, index) });
                numbers.push(text);
            }
            _ => return None,
        }
    }
    Some(numbers)
}

/// The arguments as words; `numbers` are those of them that are numbers.
///
/// SAFETY: as [`numbers_of`], which has found strings and numbers only; the strings stay on the stack while the words live.
unsafe fn words_of(
    state: *mut lua_State,
    count: c_int,
    numbers: &[DoubleBuffer],
) -> SmallVec<[&[u8]; 16]> {
    let mut numbers = numbers.iter();
    let word = |index| unsafe {
        if ffi::lua_type(state, index) == ffi::LUA_TNUMBER {
            return numbers.next().map_or(&b""[..], DoubleBuffer::as_bytes);
        }
        let mut length = 0;
        // A string is not converted, and so nothing is allocated.
        let text = ffi::lua_tolstring(state, index, &raw mut length);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    };
    (1..=count).map(word).collect()
}

/// Pushes a string. SAFETY: the state is valid, with room for one value; called without values that have destructors.
unsafe fn push_text(state: *mut lua_State, text: &[u8]) {
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len() as _) };
}

/// Gives the table on top a field. SAFETY: as [`push_text`], with room for two values.
unsafe fn set_text(state: *mut lua_State, name: &CStr, text: &[u8]) {
    unsafe {
        push_text(state, name.to_bytes());
        push_text(state, text);
        ffi::lua_rawset(state, -3);
    }
}

/// Pushes the table of an error. SAFETY: as [`push_text`], with room for three values.
unsafe fn push_error(state: *mut lua_State, text: &str, counted: bool) {
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        set_text(state, c"err", &lossless::bytes(text));
        if counted {
            push_text(state, b"ignore_error_stats_update");
            ffi::lua_pushboolean(state, 1);
            ffi::lua_rawset(state, -3);
        }
    }
}

/// Puts the value on top into a new table, under this name. SAFETY: as [`push_text`], with room for three values.
unsafe fn wrap(state: *mut lua_State, name: &CStr) {
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_insert(state, -2);
        push_text(state, name.to_bytes());
        ffi::lua_insert(state, -2);
        ffi::lua_rawset(state, -3);
    }
}

/// Pushes a reply as the script sees it. Where nothing is, RESP2 shows `false`, and RESP3 nil.
///
/// SAFETY: as [`push_text`], with room for three values; deeper replies ask for their own.
unsafe fn push(state: *mut lua_State, response: &Response, resp3: bool) {
    unsafe {
        ffi::luaL_checkstack(state, 5, c"too deep".as_ptr());
        match response {
            Response::Int(value) => ffi::lua_pushnumber(state, *value as f64),
            Response::Bulk(bytes) => push_text(state, bytes),
            Response::Simple(text) => {
                ffi::lua_createtable(state, 0, 1);
                set_text(state, c"ok", &lossless::bytes(text));
            }
            Response::Error(text) => push_error(state, text, true),
            Response::Array(items) | Response::Push(items) => push_array(state, items, resp3),
            Response::Map(pairs) => push_map(state, pairs),
            Response::Set(items) => push_set(state, items),
            Response::Double(value) => {
                ffi::lua_pushnumber(state, *value);
                wrap(state, c"double");
            }
            Response::Bool(value) => ffi::lua_pushboolean(state, c_int::from(*value)),
            Response::BigNumber(digits) => {
                push_text(state, digits.as_bytes());
                wrap(state, c"big_number");
            }
            Response::Verbatim { format, text } => {
                ffi::lua_createtable(state, 0, 2);
                set_text(state, c"format", format);
                set_text(state, c"string", text);
                wrap(state, c"verbatim_string");
            }
            Response::Attribute { value, .. } => push(state, value, resp3),
            Response::Null if resp3 => ffi::lua_pushnil(state),
            Response::Null => ffi::lua_pushboolean(state, 0),
        }
    }
}

/// SAFETY: as [`push`].
unsafe fn push_array(state: *mut lua_State, items: &[Response], resp3: bool) {
    unsafe {
        ffi::lua_createtable(state, c_int::try_from(items.len()).unwrap_or(0), 0);
        for (index, item) in (1..).zip(items) {
            push(state, item, resp3);
            ffi::lua_rawseti(state, -2, index);
        }
    }
}

/// A map, in which a key that is nothing has no place. SAFETY: as [`push`].
unsafe fn push_map(state: *mut lua_State, pairs: &[(Response, Response)]) {
    unsafe {
        ffi::lua_createtable(state, 0, c_int::try_from(pairs.len()).unwrap_or(0));
        for (key, value) in pairs {
            push(state, key, true);
            if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                ffi::lua_settop(state, -2);
                continue;
            }
            push(state, value, true);
            ffi::lua_rawset(state, -3);
        }
        wrap(state, c"map");
    }
}

/// SAFETY: as [`push`].
unsafe fn push_set(state: *mut lua_State, items: &[Response]) {
    unsafe {
        ffi::lua_createtable(state, 0, c_int::try_from(items.len()).unwrap_or(0));
        for item in items {
            push(state, item, true);
            if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                ffi::lua_settop(state, -2);
                continue;
            }
            ffi::lua_pushboolean(state, 1);
            ffi::lua_rawset(state, -3);
        }
        wrap(state, c"set");
    }
}

/// What is called, and so where it finds its words.
#[derive(Debug, Clone, Copy)]
pub(super) enum Called<'a> {
    /// The script at this place of the table; its words are the globals `KEYS` and `ARGV`.
    Script(&'a Table, c_int),
    /// A function, whose arguments they are.
    Function(&'a Function),
}

/// How a script or a function has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// What it returned is written.
    Answered,
    /// What is to be written yet.
    Returned(Value),
    Raised(Value),
}

/// Where a reply goes, and whether the script chose RESP3 for it.
pub(super) struct Answering<'a> {
    pub(super) resp3: &'a AtomicBool,
    pub(super) reply: &'a mut dyn Reply,
}

/// Calls a script or a function with its keys and arguments, under an error handler, and writes what it returns if that is
/// simple; `globals` is the table behind the globals.
pub(super) fn run(
    lua: &Lua,
    (globals, handler): (&Table, &Function),
    called: Called<'_>,
    (keys, args): (&[&[u8]], &[&[u8]]),
    mut answering: Answering<'_>,
) -> mlua::Result<Ended> {
    let (mut answered, answering) = (false, &mut answering);
    // SAFETY: the three values are pushed and nothing else, in a protected call; the closures have only references.
    let (succeeded, value) = unsafe {
        match called {
            Called::Script(scripts, place) => {
                lua.exec_raw::<(bool, Value)>((globals, handler, scripts), |state| {
                    ffi::luaL_checkstack(state, 8, c"too deep".as_ptr());
                    ffi::lua_rawgeti(state, 3, place as _);
                    for (name, words) in [(c"KEYS", keys), (c"ARGV", args)] {
                        push_text(state, name.to_bytes());
                        push_words(state, words);
                        ffi::lua_rawset(state, 1);
                    }
                    answered = call(state, 0, answering);
                })?
            }
            Called::Function(function) => {
                lua.exec_raw::<(bool, Value)>((globals, handler, function), |state| {
                    ffi::luaL_checkstack(state, 8, c"too deep".as_ptr());
                    push_words(state, keys);
                    push_words(state, args);
                    answered = call(state, 2, answering);
                })?
            }
        }
    };
    Ok(match succeeded {
        _ if answered => Ended::Answered,
        true => Ended::Returned(value),
        false => Ended::Raised(value),
    })
}

/// Calls the function below its arguments, under the second value of the stack as the error handler, and leaves behind
/// whether that succeeded and what came of it. True if that is written, and then nothing of it is left.
///
/// SAFETY: the state is valid, and holds what is called.
unsafe fn call(state: *mut lua_State, arguments: c_int, to: &mut Answering<'_>) -> bool {
    unsafe {
        let status = ffi::lua_pcall(state, arguments, 1, 2);
        let succeeded = status == ffi::LUA_OK;
        let resp3 = to.resp3.load(Ordering::Relaxed);
        let answered = succeeded && answers::write(state, resp3, to.reply);
        if answered {
            ffi::lua_pushnil(state);
            ffi::lua_replace(state, -2);
        }
        ffi::lua_pushboolean(state, c_int::from(succeeded));
        ffi::lua_replace(state, 1);
        ffi::lua_replace(state, 2);
        ffi::lua_settop(state, 2);
        answered
    }
}

/// SAFETY: as [`push_text`], with room for two values.
unsafe fn push_words(state: *mut lua_State, words: &[&[u8]]) {
    unsafe {
        ffi::lua_createtable(state, c_int::try_from(words.len()).unwrap_or(0), 0);
        for (index, word) in (1..).zip(words) {
            push_text(state, word);
            ffi::lua_rawseti(state, -2, index);
        }
    }
}
