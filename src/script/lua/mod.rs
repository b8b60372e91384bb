//! Real Lua 5.1: an interpreter with Redis's API and sandbox. It sees a [`Host`], and nothing of commands, transactions or
//! sessions.

mod answers;
mod api;
mod arguments;
mod bit;
mod calls;
mod convert;
mod debugger;
mod guard;
mod host;
mod json;
mod library;
mod msgpack;
mod pack;
mod pattern;
mod random;
mod strings;

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

pub use convert::Failure;
pub use host::Host;
pub use library::RegisteredFunction;

use self::api::Shared;
use self::calls::Called;
use self::convert::{error_table, failure_of, write_reply};
use self::guard::{Checked, Raise, checked};
use super::Sha1;
use crate::reply::Reply;
use crate::value::lossless;

/// Instructions between two looks at the clock.
const TICK: u32 = 100_000;
/// A state with its libraries takes less.
const LEAST_LIMIT: usize = 1 << 20;
/// A state that takes more is collected when a script has ended.
const MUCH: usize = 32 << 20;
/// How error messages and tracebacks name what clients send.
const SCRIPT_CHUNK: &str = "@user_script";
const FUNCTION_CHUNK: &str = "@user_function";

/// One Lua state with what was compiled in it.
#[derive(Debug)]
pub struct Interpreter {
    /// Before `shared`, so that it ends first: its functions follow the address of `shared`.
    lua: Lua,
    shared: Arc<Shared>,
    /// The globals, as scripts see them.
    globals: Table,
    /// What is behind them.
    contents: Table,
    /// Raises the error about a global that does not exist.
    missing: Function,
    /// What `getmetatable` shows for the globals.
    shown_globals: Table,
    /// Runs the code of a library under the error handler.
    traced_call: Function,
    handler: Function,
    /// Where each compiled script stands in `compiled`.
    scripts: HashMap<Sha1, c_int>,
    /// The compiled scripts. Lua has room for some thousands of values outside its tables, and no more.
    compiled: Table,
    functions: HashMap<Box<[u8]>, Function>,
    /// Bytes that it may take, 0 for no limit.
    limit: usize,
    /// Bytes that it took when it was last tidied up.
    tidy: usize,
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

impl Interpreter {
    /// A new state. `seed` begins its random numbers; `deprecated` adds what `lua-enable-deprecated-api` adds.
    ///
    /// # Errors
    ///
    /// Out of memory.
    pub fn new(seed: u64, deprecated: bool) -> Result<Self, String> {
        Self::make(seed, deprecated).map_err(|error| error.to_string())
    }

    fn make(seed: u64, deprecated: bool) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let shared = Arc::new(Shared::default());
        let sandbox = Sandbox::new(&lua, &shared, seed, deprecated)?;
        let ticking = Arc::clone(&shared);
        lua.set_global_hook(tick_every(TICK), move |lua, _| tick(lua, &ticking))?;
        let handler = lua.create_function(describe_error)?;
        Ok(Self {
            traced_call: guard::traced_call(&lua)?,
            handler,
            globals: sandbox.globals,
            contents: sandbox.contents,
            missing: sandbox.missing,
            shown_globals: sandbox.shown_globals,
            shared,
            scripts: HashMap::new(),
            compiled: lua.create_table()?,
            functions: HashMap::new(),
            limit: 0,
            tidy: 0,
            lua,
        })
    }

    /// How many bytes the state may take from now on; 0 for no limit.
    pub fn limit_memory(&mut self, bytes: usize) {
        if self.limit != bytes {
            self.limit = bytes;
            self.apply_limit();
        }
    }

    fn apply_limit(&self) {
        let bytes = match self.limit {
            0 => 0,
            bytes => bytes.max(LEAST_LIMIT),
        };
        self.lua
            .set_memory_limit(bytes)
            .expect("this state counts its memory");
    }

    /// Collects what a script has left behind if that is much. Bytes that the state takes.
    pub fn tidy_up(&mut self) -> usize {
        let used = self.lua.used_memory();
        let limit = if self.limit == 0 {
            usize::MAX
        } else {
            self.limit
        };
        let much = MUCH.min(limit / 4).max(self.tidy.saturating_mul(2));
        if used < much.min(limit / 4 * 3) {
            return used;
        }
        // A collection makes tables smaller, which takes memory first.
        let limit = std::mem::take(&mut self.limit);
        self.apply_limit();
        if self.lua.gc_collect().is_err() {
            log::warn!("The memory of Lua could not be collected");
        }
        self.limit = limit;
        self.apply_limit();
        self.tidy = self.lua.used_memory();
        self.tidy
    }

    /// Whether no value finds room outside of Lua's tables any more: then nothing can be run.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.lua.create_table().is_err()
    }

    /// Compiles a script, if it is not compiled already.
    ///
    /// # Errors
    ///
    /// What is wrong with the source.
    pub fn compile(&mut self, sha1: &Sha1, source: &[u8]) -> Result<(), String> {
        if !self.scripts.contains_key(sha1) {
            let function = self.load(source, SCRIPT_CHUNK)?;
            let place =
                c_int::try_from(self.scripts.len() + 1).map_err(|error| error.to_string())?;
            self.compiled
                .raw_set(place, function)
                .map_err(|error| error.to_string())?;
            self.scripts.insert(*sha1, place);
        }
        Ok(())
    }

    fn load(&self, source: &[u8], name: &str) -> Result<Function, String> {
        if source.first() == Some(&0x1b) {
            let name = name.trim_start_matches('@');
            return Err(format!("{name}:1: unexpected symbol near 'char(27)'"));
        }
        let chunk = self.lua.load(source).set_name(name);
        chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => self.fault(source, name, message),
            other => other.to_string(),
        })
    }

    /// What is wrong with this source, of which `message` is the text: where that has lost bytes which are no UTF-8, Lua's own
    /// compiler is asked once more.
    fn fault(&self, source: &[u8], name: &str, message: String) -> String {
        let again = || -> mlua::Result<(Value, Value)> {
            let compiler: Function = self.contents.raw_get("loadstring")?;
            compiler.call((self.lua.create_string(source)?, name))
        };
        match message.contains(char::REPLACEMENT_CHARACTER).then(again) {
            Some(Ok((Value::Nil, whole @ Value::String(_)))) => text_of(&whole),
            _ => message,
        }
    }

    /// Runs a compiled script and writes what it returns.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn run_script(
        &mut self,
        sha1: &Sha1,
        keys: &[&[u8]],
        args: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        let Some(place) = self.scripts.get(sha1) else {
            return Err(broken("ERR the script was not compiled".into()));
        };
        let name = || hex(sha1);
        let called = Called::Script(&self.compiled, *place);
        self.run(&name, called, (keys, args), host, reply)
    }

    /// Runs a compiled script under the debugger, which stops it before its first line, and when it has run for `patience`;
    /// `body` is what is shown of it. The state is of no use afterwards.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn debug_script(
        &mut self,
        sha1: &Sha1,
        (body, patience): (&[u8], Duration),
        (keys, args): (&[&[u8]], &[&[u8]]),
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        let session = debugger::attach(&self.lua, &self.shared, body, patience)
            .map_err(|error| broken(format!("ERR {error}")))?;
        let mut observed = debugger::Observed {
            host,
            session: Arc::clone(&session),
        };
        let result = self.run_script(sha1, keys, args, &mut observed, reply);
        debugger::end(&self.shared, &session, host);
        result
    }

    /// Runs a function of a library and writes what it returns.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn run_function(
        &mut self,
        name: &[u8],
        keys: &[&[u8]],
        args: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        let Some(function) = self.functions.get(&name.to_ascii_lowercase()[..]) else {
            return Err(broken("ERR the function was not loaded".into()));
        };
        let name = || lossless::text(name).into_owned();
        let called = Called::Function(function);
        self.run(&name, called, (keys, args), host, reply)
    }

    fn run(
        &self,
        name: &dyn Fn() -> String,
        called: Called<'_>,
        words: (&[&[u8]], &[&[u8]]),
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        self.shared.resp3.store(false, Ordering::Relaxed);
        let resp3 = &self.shared.resp3;
        let answer = calls::Answering { resp3, reply };
        let result = self.shared.host.lend(host, || {
            let tables = (&self.contents, &self.handler);
            calls::run(&self.lua, tables, called, words, answer)
        });
        self.shared.kept.lock().clear();
        self.wake_from_kill();
        let resp3 = self.shared.resp3.load(Ordering::Relaxed);
        let failed = |text: String| {
            let name = name();
            broken(format!("ERR Error running script {name}, {text}"))
        };
        match result {
            Ok(calls::Ended::Answered) => Ok(()),
            Ok(calls::Ended::Returned(value)) => write_reply(value, resp3, reply),
            Ok(calls::Ended::Raised(Value::Table(error))) => Err(raised(&name(), &error)),
            Ok(calls::Ended::Raised(other)) => Err(failed(other.to_string().unwrap_or_default())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// A script that was killed has left a hook behind that raises at every instruction.
    fn wake_from_kill(&self) {
        if !self.shared.ended.load(Ordering::Relaxed) {
            return;
        }
        self.shared.ended.store(false, Ordering::Relaxed);
        self.shared.killed.lock().take();
        if self.shared.take_hurry() {
            let ticking = Arc::clone(&self.shared);
            self.lua
                .set_global_hook(tick_every(TICK), move |lua, _| tick(lua, &ticking))
                .expect("setting a hook needs no memory of Lua's");
        }
    }
}

const fn tick_every(instructions: u32) -> HookTriggers {
    HookTriggers::new().every_nth_instruction(instructions)
}

/// Gives the host its turn. A script that must end gets an error at every instruction from now on, so that no `pcall` of
/// its own can keep it alive.
fn tick(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<VmState> {
    let Err(reason) = shared.turn() else {
        return Ok(VmState::Continue);
    };
    if !shared.hurry() {
        let ticking = Arc::clone(shared);
        lua.set_global_hook(tick_every(1), move |lua, _| tick(lua, &ticking))?;
    }
    Err(mlua::Error::runtime(reason))
}

fn broken(text: String) -> Failure {
    Failure {
        text,
        counted: false,
    }
}

/// The reply to a script that raised an error.
fn raised(name: &str, error: &Table) -> Failure {
    let mut failure = failure_of(error)
        .unwrap_or_else(|| broken("ERR the script raised a table without 'err'".into()));
    let source = error.raw_get::<Option<String>>("source").ok().flatten();
    let line = error.raw_get::<Option<i64>>("line").ok().flatten();
    if let (Some(source), Some(line)) = (source, line) {
        let text = &failure.text;
        failure.text = format!("{text} script: {name}, on {source}:{line}.");
    }
    failure
}

/// The error handler: any error as a table with `err`, and where it was raised.
fn describe_error(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let place = |level| {
        lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let line = debug.current_line();
            (
                source.what == "C",
                source.source.map(|name| name.into_owned()),
                line,
            )
        })
    };
    let place = match place(1) {
        Some((true, ..)) => place(2).or_else(|| place(1)),
        place => place,
    };
    let error = match error {
        Value::Table(error) => error,
        other => {
            let text = format!("ERR {}", text_of(&other));
            match error_table(lua, "", false)? {
                Value::Table(table) => {
                    table.raw_set("err", lua.create_string(&*lossless::bytes(&text))?)?;
                    table
                }
                _ => return Ok(Value::Nil),
            }
        }
    };
    if let Some((_, source, line)) = place {
        // A table that its script protects keeps what it says.
        error.raw_set("source", source)?;
        error.raw_set("line", line.map_or(-1, |line| line as i64))?;
    }
    Ok(Value::Table(error))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Error(error) => {
            let mut cause: &mlua::Error = error;
            while let mlua::Error::CallbackError { cause: inner, .. } = cause {
                cause = inner;
            }
            match cause {
                mlua::Error::RuntimeError(text) => text.clone(),
                other => other.to_string(),
            }
        }
        Value::String(text) => lossless::text(&text.as_bytes()).into_owned(),
        other => other.to_string().unwrap_or_default(),
    }
}

/// What a new state is made safe with.
struct Sandbox {
    globals: Table,
    contents: Table,
    missing: Function,
    shown_globals: Table,
}

impl Sandbox {
    fn new(lua: &Lua, shared: &Arc<Shared>, seed: u64, deprecated: bool) -> mlua::Result<Self> {
        let contents = lua.globals();
        for name in [
            "dofile", "loadfile", "print", "require", "module", "package",
        ] {
            contents.raw_remove(name)?;
        }
        if !deprecated {
            for name in ["getfenv", "setfenv", "newproxy"] {
                contents.raw_remove(name)?;
            }
        }
        let libraries = [
            ("redis", api::table(lua, shared)?),
            ("cjson", json::table(lua)?),
            ("cmsgpack", msgpack::table(lua)?),
            ("bit", bit::table(lua)?),
            ("struct", pack::table(lua)?),
        ];
        for (name, library) in libraries {
            contents.raw_set(name, library)?;
        }
        let math: Table = contents.raw_get("math")?;
        random::register(lua, &math, seed)?;
        strings::register(lua, &contents.raw_get("string")?, shared)?;
        let shown_string = lua.create_table()?;
        let shown = guard::stand_in(lua, &shown_string, None, None)?;
        guard::wrap_base(lua, &contents, &shown)?;
        contents.raw_set("load", checked(lua, load_pieces)?)?;
        for name in PROTECTED {
            if let Value::Table(library) = contents.raw_get::<Value>(name)? {
                contents.raw_set(name, guard::stand_in(lua, &library, None, None)?)?;
            }
        }
        shown_string.raw_set("__index", contents.raw_get::<Value>("string")?)?;
        let missing = checked(lua, missing_global)?;
        let shown_globals = lua.create_table()?;
        shown_globals.raw_set("__index", &missing)?;
        let shown_globals = guard::stand_in(lua, &shown_globals, None, None)?;
        let globals = guard::stand_in(lua, &contents, Some(&missing), Some(&shown_globals))?;
        contents.raw_set("_G", &globals)?;
        lua.set_globals(globals.clone())?;
        Ok(Self {
            globals,
            contents,
            missing,
            shown_globals,
        })
    }
}

/// The tables that no script may change.
const PROTECTED: [&str; 9] = [
    "redis",
    "string",
    "table",
    "math",
    "coroutine",
    "cjson",
    "cmsgpack",
    "bit",
    "struct",
];

fn missing_global(_: &Lua, args: MultiValue) -> Checked {
    let name = match args.get(1) {
        Some(name @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => text_of(name),
        _ => {
            let text = "Second argument to luaProtectedTableError must be a string or number";
            return Err(Raise::Text(text.into()));
        }
    };
    let name = name.split('\0').next().unwrap_or_default();
    Err(Raise::Text(format!(
        "Script attempted to access nonexistent global variable '{name}'"
    )))
}

/// `load`: the pieces that a function gives, as one text. Bytecode is refused as `loadstring` refuses it.
fn load_pieces(lua: &Lua, args: MultiValue) -> Checked {
    let arguments = arguments::Arguments::new(lua, &args);
    let Some(Value::Function(reader)) = arguments.get(1) else {
        return Err(arguments.refuse(1, "function"));
    };
    let name = match arguments.get(2) {
        Some(Value::Nil) | None => lua.create_string("=(load)")?,
        Some(_) => arguments.string(2)?,
    };
    let mut text = Vec::new();
    let failed = |text: String| {
        Ok(MultiValue::from_iter([
            Value::Nil,
            Value::String(lua.create_string(text)?),
        ]))
    };
    // Bytecode is refused by its first byte: a reader need not end.
    while text.first() != Some(&0x1b) {
        match reader.call::<Value>(()) {
            Ok(Value::Nil) => break,
            Ok(Value::String(piece)) if piece.as_bytes().is_empty() => break,
            Ok(Value::String(piece)) => text.extend_from_slice(&piece.as_bytes()),
            Ok(Value::Integer(piece)) => text.extend_from_slice(piece.to_string().as_bytes()),
            Ok(_) => return failed("reader function must return a string".into()),
            Err(error) => return failed(error.to_string()),
        }
    }
    let load: Function = lua.globals().get("loadstring")?;
    Ok(load.call((lua.create_string(text)?, name))?)
}
