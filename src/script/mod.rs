//! Native scripts: Rust functions that clients run as they run Lua. A script sees its keys, its arguments and a
//! [`Caller`]; it must not know the engine, a transaction or a session.

pub mod builtin;
pub mod flags;
#[cfg(feature = "lua")]
pub mod lua;
#[cfg(not(feature = "lua"))]
pub mod no_lua;
pub mod registry;
pub mod store;
pub mod twins;

use std::borrow::Cow;
use std::fmt;

#[cfg(not(feature = "lua"))]
pub use no_lua as lua;
pub use registry::{RegisterError, Registry, Sha1, parse_sha1, sha1_of};

use crate::reply::Response;
use crate::value::lossless;
use crate::value::number::{parse_f64, parse_i64};

/// What a script calls back: one command at a time, within the transaction that the script runs in.
pub trait Caller {
    /// Runs a command and returns its reply in the shapes of RESP2.
    ///
    /// # Errors
    ///
    /// What the command refused, or why a script may not run it.
    fn call(&mut self, args: &[&[u8]]) -> Result<Response, ScriptError>;
    /// Unix time in milliseconds; it stands still while the script runs.
    fn now_ms(&self) -> i64;
    /// The next number of the engine's random source.
    fn random(&mut self) -> u64;
}

/// Why a script failed: an error reply without the leading dash. It begins with its code (`ERR …`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError(Cow<'static, str>);

impl ScriptError {
    /// An error reply; `text` begins with its code.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    /// An error reply with a fixed text.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScriptError {}

/// What a script answers.
pub type ScriptResult = Result<Response, ScriptError>;

type Run = dyn Fn(&mut ScriptContext<'_>) -> ScriptResult + Send + Sync;

/// A native script: a Rust function with a name. Clients reach it by `FCALL name`, by EVAL with its name as the body, and,
/// unchanged, by EVAL or EVALSHA with the Lua source that it stands for.
pub struct Script {
    name: Cow<'static, str>,
    description: Cow<'static, str>,
    lua_sources: Vec<Cow<'static, str>>,
    read_only: bool,
    run: Box<Run>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("name", &self.name)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

impl Script {
    /// A script that may write. It runs with the keys that the call declares locked, and may touch only those. A panic in
    /// it is answered as an error; what it had written by then stays, as with any script that fails half-way.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        run: impl Fn(&mut ScriptContext<'_>) -> ScriptResult + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            description: Cow::Borrowed(""),
            lua_sources: Vec::new(),
            read_only: false,
            run: Box::new(run),
        }
    }

    /// One line for FUNCTION LIST.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = text.into();
        self
    }

    /// A Lua source that this script stands for, byte for byte as clients send it. There may be several.
    #[must_use]
    pub fn lua_source(mut self, source: impl Into<Cow<'static, str>>) -> Self {
        self.lua_sources.push(source.into());
        self
    }

    /// It only reads: EVAL_RO and FCALL_RO may run it, and its writes are refused.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Whether it only reads.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// What the script answers as an error.
    pub fn run(&self, context: &mut ScriptContext<'_>) -> ScriptResult {
        (self.run)(context)
    }

    /// Every body of EVAL that means this script.
    fn bodies(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.lua_sources)
            .map(|body| &**body)
    }
}

/// What a script works with.
pub struct ScriptContext<'a> {
    keys: &'a [&'a [u8]],
    args: &'a [&'a [u8]],
    caller: &'a mut dyn Caller,
}

impl fmt::Debug for ScriptContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptContext")
            .field("keys", &self.keys.len())
            .field("args", &self.args.len())
            .finish_non_exhaustive()
    }
}

impl<'a> ScriptContext<'a> {
    /// A script's view of one call.
    pub fn new(keys: &'a [&'a [u8]], args: &'a [&'a [u8]], caller: &'a mut dyn Caller) -> Self {
        Self { keys, args, caller }
    }

    /// `KEYS`.
    #[must_use]
    pub const fn keys(&self) -> &'a [&'a [u8]] {
        self.keys
    }

    /// `ARGV`.
    #[must_use]
    pub const fn args(&self) -> &'a [&'a [u8]] {
        self.args
    }

    /// Unix time in milliseconds; it stands still while the script runs.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.caller.now_ms()
    }

    /// The next number of the engine's random source.
    pub fn random(&mut self) -> u64 {
        self.caller.random()
    }

    /// Runs a command on declared keys; its reply has the shapes of RESP2.
    ///
    /// # Errors
    ///
    /// What the command refused, or why a script may not run it.
    pub fn call(&mut self, args: &[&[u8]]) -> ScriptResult {
        self.caller.call(args)
    }

    /// Runs a command that answers an integer.
    ///
    /// # Errors
    ///
    /// As [`Self::call`], and when the reply is something else.
    pub fn call_int(&mut self, args: &[&[u8]]) -> Result<i64, ScriptError> {
        match self.call(args)? {
            Response::Int(value) => Ok(value),
            _ => Err(unexpected_reply(args)),
        }
    }

    /// Runs a command that answers a string or nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::call`], and when the reply is something else.
    pub fn call_bulk(&mut self, args: &[&[u8]]) -> Result<Option<Vec<u8>>, ScriptError> {
        match self.call(args)? {
            Response::Bulk(bytes) => Ok(Some(bytes)),
            Response::Null => Ok(None),
            _ => Err(unexpected_reply(args)),
        }
    }

    /// Runs a command that answers strings; where one is missing it is `None`.
    ///
    /// # Errors
    ///
    /// As [`Self::call`], and when the reply is something else.
    pub fn call_strings(&mut self, args: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, ScriptError> {
        let Response::Array(items) = self.call(args)? else {
            return Err(unexpected_reply(args));
        };
        let strings = items.into_iter().map(|item| match item {
            Response::Bulk(bytes) => Ok(Some(bytes)),
            Response::Null => Ok(None),
            _ => Err(unexpected_reply(args)),
        });
        strings.collect()
    }

    /// A key, counted from 0.
    ///
    /// # Errors
    ///
    /// The caller declared fewer.
    pub fn key(&self, index: usize) -> Result<&'a [u8], ScriptError> {
        self.keys.get(index).copied().ok_or_else(|| {
            let (needed, given) = (index + 1, self.keys.len());
            ScriptError::new(format!(
                "ERR this script needs {needed} keys, {given} are given"
            ))
        })
    }

    /// An argument, counted from 0.
    ///
    /// # Errors
    ///
    /// The caller gave fewer; `name` says what is missing.
    pub fn arg(&self, index: usize, name: &str) -> Result<&'a [u8], ScriptError> {
        self.args.get(index).copied().ok_or_else(|| {
            let position = index + 1;
            ScriptError::new(format!("ERR ARGV[{position}], {name}, is missing"))
        })
    }

    /// An argument that is an integer not below `least`.
    ///
    /// # Errors
    ///
    /// It is missing, no integer, or below `least`.
    pub fn int_arg(&self, index: usize, name: &str, least: i64) -> Result<i64, ScriptError> {
        let value = parse_i64(self.arg(index, name)?).filter(|value| *value >= least);
        value.ok_or_else(|| {
            let position = index + 1;
            ScriptError::new(format!(
                "ERR ARGV[{position}], {name}, is no integer of at least {least}"
            ))
        })
    }

    /// An optional [`Self::int_arg`].
    ///
    /// # Errors
    ///
    /// It is there, and no integer or below `least`.
    pub fn int_arg_or(
        &self,
        index: usize,
        name: &str,
        least: i64,
        default: i64,
    ) -> Result<i64, ScriptError> {
        if index < self.args.len() {
            self.int_arg(index, name, least)
        } else {
            Ok(default)
        }
    }

    /// An argument that is a number above zero.
    ///
    /// # Errors
    ///
    /// It is missing, no number, or not above zero.
    pub fn positive_arg(&self, index: usize, name: &str) -> Result<f64, ScriptError> {
        let value = parse_f64(self.arg(index, name)?);
        let value = value.filter(|value| value.is_finite() && *value > 0.0);
        value.ok_or_else(|| {
            let position = index + 1;
            ScriptError::new(format!(
                "ERR ARGV[{position}], {name}, is no number above zero"
            ))
        })
    }
}

fn unexpected_reply(args: &[&[u8]]) -> ScriptError {
    let name = lossless::text(args.first().copied().unwrap_or_default());
    ScriptError::new(format!(
        "ERR '{name}' answered a script something unexpected"
    ))
}
