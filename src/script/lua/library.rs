//! Libraries of functions: what FUNCTION LOAD runs, and what it registers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{Function, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::arguments::Arguments;
use super::convert::{error_table, failure_of};
use super::guard::{Checked, Raise, checked, dress};
use super::{FUNCTION_CHUNK, Host, Interpreter, api, text_of};
use crate::script::flags::ScriptFlags;

const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                        character long";

/// What a library tells of one of its functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredFunction {
    /// As it was written; it is found in any case.
    pub name: Box<[u8]>,
    /// Its description.
    pub description: Option<Box<[u8]>>,
    /// What it may do.
    pub flags: ScriptFlags,
}

/// What has been registered by the library that is being loaded.
type Registered = Arc<Mutex<Vec<(RegisteredFunction, Function)>>>;

/// Whether a library or function may have this name.
#[must_use]
pub(super) fn is_library_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(fits)
}

impl Interpreter {
    /// Runs a library's code and returns what it registers; nothing of it can be called before [`Self::adopt`].
    ///
    /// # Errors
    ///
    /// What is wrong with the code, or what it did that it must not do.
    pub fn load_library(
        &mut self,
        code: &[u8],
        host: &mut dyn Host,
    ) -> Result<LoadedLibrary, String> {
        let chunk = self
            .load(code, FUNCTION_CHUNK)
            .map_err(|text| format!("ERR Error compiling function: {text}"))?;
        let registered = Registered::default();
        let result = self.run_library(&chunk, &registered, host);
        self.wake_from_kill();
        let text = match result {
            Ok(()) => {
                let functions = std::mem::take(&mut *registered.lock());
                return Ok(LoadedLibrary(functions));
            }
            Err(text) => text,
        };
        Err(format!("ERR Error registering functions: {text}"))
    }

    fn run_library(
        &self,
        chunk: &Function,
        registered: &Registered,
        host: &mut dyn Host,
    ) -> Result<(), String> {
        let outcome = self.with_library_globals(registered, || {
            self.shared.host.lend(host, || {
                self.traced_call
                    .call::<(bool, Value)>((&self.handler, chunk))
            })
        });
        match outcome.map_err(|error| error.to_string())? {
            (true, _) => Ok(()),
            (false, Value::Table(error)) => Err(failure_of(&error)
                .map_or_else(|| "ERR unknown error".to_owned(), |failure| failure.text)),
            (false, other) => Err(format!("ERR {}", text_of(&other))),
        }
    }

    /// Runs with the globals of a library that is being loaded: `redis` with `register_function`, and nothing else.
    fn with_library_globals<R>(
        &self,
        registered: &Registered,
        run: impl FnOnce() -> mlua::Result<R>,
    ) -> mlua::Result<R> {
        let lua = &self.lua;
        let table = api::library_table(lua)?;
        let open = Arc::new(AtomicUsize::new(1));
        let (sink, still_open) = (Arc::clone(registered), Arc::clone(&open));
        let register = move |lua: &Lua, args: MultiValue| {
            register_function(lua, &args, &sink, still_open.load(Ordering::Relaxed) == 1)
        };
        table.raw_set("register_function", checked(lua, register)?)?;
        let redis = super::guard::stand_in(lua, &table, Some(&self.missing), None)?;
        let contents = lua.create_table()?;
        contents.raw_set("redis", redis)?;
        dress(lua, &self.globals, &contents, Some(&self.missing), None)?;
        let result = run();
        open.store(0, Ordering::Relaxed);
        dress(
            lua,
            &self.globals,
            &self.contents,
            None,
            Some(&self.shown_globals),
        )?;
        result
    }

    /// Makes the functions of a loaded library callable, in place of others of the same names.
    pub fn adopt(&mut self, library: LoadedLibrary) {
        for (registered, function) in library.0 {
            let name = registered.name.to_ascii_lowercase().into_boxed_slice();
            self.functions.insert(name, function);
        }
    }

    /// Forgets a function.
    pub fn forget(&mut self, name: &[u8]) {
        self.functions.remove(&name.to_ascii_lowercase()[..]);
    }

    /// Whether it can call a function of this name.
    #[must_use]
    pub fn knows(&self, name: &[u8]) -> bool {
        self.functions.contains_key(&name.to_ascii_lowercase()[..])
    }
}

/// A library whose code has run.
#[derive(Debug)]
pub struct LoadedLibrary(Vec<(RegisteredFunction, Function)>);

impl LoadedLibrary {
    /// What it registered.
    pub fn functions(&self) -> impl Iterator<Item = &RegisteredFunction> {
        self.0.iter().map(|(registered, _)| registered)
    }
}

fn refuse<T>(lua: &Lua, text: &str) -> Result<T, Raise> {
    Err(Raise::Value(error_table(
        lua,
        &format!("ERR {text}"),
        false,
    )?))
}

/// `redis.register_function`.
fn register_function(lua: &Lua, args: &MultiValue, sink: &Registered, open: bool) -> Checked {
    if !open {
        return refuse(
            lua,
            "redis.register_function can only be called on FUNCTION LOAD command",
        );
    }
    let (registered, function) = match args.len() {
        1 => named_arguments(lua, args)?,
        2 => plain_arguments(lua, args)?,
        _ => return refuse(lua, "wrong number of arguments to redis.register_function"),
    };
    if !is_library_name(&registered.name) {
        return refuse(lua, BAD_NAME);
    }
    let mut sink = sink.lock();
    let taken = |(other, _): &(RegisteredFunction, Function)| {
        other.name.eq_ignore_ascii_case(&registered.name)
    };
    if sink.iter().any(taken) {
        return refuse(lua, "Function already exists in the library");
    }
    sink.push((registered, function));
    Ok(MultiValue::new())
}

fn plain_arguments(lua: &Lua, args: &MultiValue) -> Result<(RegisteredFunction, Function), Raise> {
    let Ok(name) = Arguments::new(lua, args).string(1) else {
        return refuse(
            lua,
            "first argument to redis.register_function must be a string",
        );
    };
    let Some(Value::Function(function)) = args.get(1) else {
        return refuse(
            lua,
            "second argument to redis.register_function must be a function",
        );
    };
    let registered = RegisteredFunction {
        name: (&*name.as_bytes()).into(),
        description: None,
        flags: ScriptFlags::NONE,
    };
    Ok((registered, function.clone()))
}

fn named_arguments(lua: &Lua, args: &MultiValue) -> Result<(RegisteredFunction, Function), Raise> {
    let Some(Value::Table(table)) = args.front() else {
        return refuse(
            lua,
            "calling redis.register_function with a single argument is only applicable to Lua table (representing \
             named arguments).",
        );
    };
    let (mut name, mut callback, mut description) = (None, None, None);
    let mut flags = ScriptFlags::NONE;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(key) = key else {
            return refuse(
                lua,
                "named argument key given to redis.register_function is not a string",
            );
        };
        match (&*key.as_bytes(), value) {
            (b"function_name", Value::String(value)) => name = Some(value),
            (b"function_name", _) => {
                return refuse(
                    lua,
                    "function_name argument given to redis.register_function must be a string",
                );
            }
            (b"description", Value::String(value)) => description = Some(value),
            (b"description", _) => {
                return refuse(
                    lua,
                    "description argument given to redis.register_function must be a string",
                );
            }
            (b"callback", Value::Function(value)) => callback = Some(value),
            (b"callback", _) => {
                return refuse(
                    lua,
                    "callback argument given to redis.register_function must be a function",
                );
            }
            (b"flags", Value::Table(value)) => flags = flags_of(lua, &value)?,
            (b"flags", _) => {
                return refuse(
                    lua,
                    "flags argument to redis.register_function must be a table representing function flags",
                );
            }
            _ => return refuse(lua, "unknown argument given to redis.register_function"),
        }
    }
    let Some(name) = name else {
        return refuse(
            lua,
            "redis.register_function must get a function name argument",
        );
    };
    let Some(function) = callback else {
        return refuse(lua, "redis.register_function must get a callback argument");
    };
    let registered = RegisteredFunction {
        name: (&*name.as_bytes()).into(),
        description: description.map(|text| (&*text.as_bytes()).into()),
        flags,
    };
    Ok((registered, function))
}

fn flags_of(lua: &Lua, table: &Table) -> Result<ScriptFlags, Raise> {
    let mut flags = ScriptFlags::NONE;
    for index in 1.. {
        let flag = match table.raw_get::<Value>(index)? {
            Value::Nil => break,
            Value::String(name) => ScriptFlags::named(&name.as_bytes()),
            _ => None,
        };
        match flag {
            Some(flag) => flags = flags.and(flag),
            None => return refuse(lua, "unknown flag given"),
        }
    }
    Ok(flags)
}
