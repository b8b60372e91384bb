//! What stands on the stack of a script that stands still: its calls and their local variables.
#![expect(
    unsafe_code,
    reason = "local variables are reached by Lua's C interface only"
)]

use std::ffi::c_int;

use mlua::ffi;
use mlua::{Lua, MultiValue, Value};

use super::session::Session;
use crate::script::lua::SCRIPT_CHUNK;
use crate::value::lossless;

/// `trace`.
pub(super) fn trace(lua: &Lua, session: &mut Session) {
    for level in 0.. {
        let call = lua.inspect_stack(level, |debug| {
            let in_script = debug.source().source.as_deref() == Some(SCRIPT_CHUNK);
            let name = debug.names().name.map(std::borrow::Cow::into_owned);
            let line = debug.current_line().map_or(-1, |line| line as i64);
            in_script.then_some((name, line))
        });
        let Some(call) = call else { return };
        if let Some((name, line)) = call {
            let preposition = if level == 0 { "In" } else { "From" };
            let name = name.as_deref().unwrap_or("top level");
            session.log(format!("{preposition} {name}:"));
            session.log_line(line);
        }
    }
}

/// `print`: the local variables of the innermost call.
pub(super) fn print_locals(lua: &Lua, session: &mut Session) -> mlua::Result<()> {
    let locals = locals_at(lua, 0)?.unwrap_or_default();
    // What Lua keeps for itself has names in brackets; of it, only the temporary values are without interest.
    let named = locals.iter().filter(|(name, _)| name != b"(*temporary)");
    let mut count = 0;
    for (name, value) in named {
        count += 1;
        session.log_value(&[b"<value> ", &name[..], b" = "].concat(), value);
    }
    if count == 0 {
        session.log("No local variables in the current context.");
    }
    Ok(())
}

/// `print` with a name: a local variable of any call, innermost first, or the words of the script.
pub(super) fn print_variable(lua: &Lua, session: &mut Session, name: &[u8]) -> mlua::Result<()> {
    for level in 0.. {
        let Some(locals) = locals_at(lua, level)? else {
            break;
        };
        if let Some((_, value)) = locals.iter().find(|(other, _)| other == name) {
            session.log_value(b"<value> ", value);
            return Ok(());
        }
    }
    if matches!(name, b"KEYS" | b"ARGV") {
        let value: Value = lua.globals().get(&*lossless::text(name))?;
        session.log_value(b"<value> ", &value);
    } else {
        session.log("No such variable.");
    }
    Ok(())
}

/// A local variable: its name and its value.
type Local = (Vec<u8>, Value);

/// The local variables of a call, outermost first; `None` where the stack ends.
fn locals_at(lua: &Lua, level: c_int) -> mlua::Result<Option<Vec<Local>>> {
    // SAFETY: the closure holds nothing with a destructor. Lua asks for room before anything is pushed; `ar` is filled by
    // `lua_getstack` before it is used, and means a call that is on the stack all the while.
    let values = unsafe {
        lua.exec_raw::<MultiValue>((), |state| {
            let mut ar: ffi::lua_Debug = std::mem::zeroed();
            // The innermost call is this closure's own.
            if ffi::lua_getstack(state, level + 1, &raw mut ar) == 0 {
                return;
            }
            ffi::lua_pushboolean(state, 1);
            for index in 1.. {
                ffi::luaL_checkstack(state, 4, c"too many variables".as_ptr());
                let name = ffi::lua_getlocal(state, &raw const ar, index);
                if name.is_null() {
                    return;
                }
                ffi::lua_pushstring(state, name);
                ffi::lua_insert(state, -2);
            }
        })
    }?;
    let mut values = values.into_iter();
    if values.next().is_none() {
        return Ok(None);
    }
    let mut locals = Vec::new();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        if let Value::String(name) = name {
            locals.push((name.as_bytes().to_vec(), value));
        }
    }
    Ok(Some(locals))
}
