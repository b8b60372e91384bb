//! The Lua of an engine: which scripts are cached, which libraries are loaded, and the interpreters that run them. An
//! interpreter is lent to one script at a time; what is compiled in it can be made again from what is kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::flags::{ScriptFlags, library_header, script_header};
use super::lua::{Failure, Host, Interpreter, RegisteredFunction, hex};
use super::twins::{self, Twin};
use super::{Sha1, sha1_of};
use crate::reply::{Reply, Response};
use crate::value::lossless;

/// A script that EVALSHA finds.
#[derive(Debug)]
pub struct CachedScript {
    /// What it is found by.
    pub sha1: Sha1,
    /// The same in hexadecimal digits.
    pub name: String,
    /// What its first line says.
    pub flags: ScriptFlags,
    /// The Rust that may run in its place.
    pub twin: Option<&'static Twin>,
    /// What is compiled.
    source: Box<[u8]>,
}

/// A library of functions.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// All of its text.
    pub code: Box<[u8]>,
    /// What it has registered.
    pub functions: Vec<RegisteredFunction>,
}

/// How FUNCTION RESTORE treats what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestorePolicy {
    /// All of it goes first.
    Flush,
    /// A name that is taken refuses everything.
    Append,
    /// A library of the same name goes.
    Replace,
}

/// A Lua state that is lent out, and how much memory it took when it came back.
#[derive(Debug, Default)]
struct Lent {
    state: Mutex<Option<Box<Interpreter>>>,
    /// Flushes so far: a state that was out during one is dropped when it comes back.
    flushes: AtomicU64,
    memory: AtomicUsize,
}

impl Lent {
    fn with<R>(
        &self,
        make: impl FnOnce() -> Result<Interpreter, Failure>,
        work: impl FnOnce(&mut Interpreter) -> R,
    ) -> Result<R, Failure> {
        let flushes = self.flushes.load(Ordering::Acquire);
        let kept = self.state.lock().take();
        let mut state = match kept {
            Some(state) => state,
            None => Box::new(make()?),
        };
        let result = work(&mut state);
        let used = state.tidy_up();
        self.memory.store(used, Ordering::Relaxed);
        let mut kept = self.state.lock();
        if kept.is_none() && self.flushes.load(Ordering::Acquire) == flushes {
            *kept = Some(state);
        }
        Ok(result)
    }

    fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        let state = self.state.lock().take();
        self.memory.store(0, Ordering::Relaxed);
        drop(state);
    }
}

/// Figures for INFO.
#[derive(Debug, Clone, Copy, Default)]
pub struct LuaFigures {
    /// Bytes of the state that runs scripts.
    pub eval_memory: usize,
    /// Bytes of the state that runs functions.
    pub function_memory: usize,
    /// Bytes of the cached scripts.
    pub scripts_memory: usize,
    /// Bytes of the libraries.
    pub libraries_memory: usize,
    /// Cached scripts.
    pub scripts: usize,
    /// Loaded libraries.
    pub libraries: usize,
    /// Their functions.
    pub functions: usize,
}

/// All Lua of an engine.
#[derive(Debug, Default)]
pub struct LuaStore {
    scripts: RwLock<HashMap<Sha1, Arc<CachedScript>>>,
    /// In the order in which they were loaded.
    libraries: RwLock<Vec<Arc<Library>>>,
    eval: Lent,
    functions: Lent,
    /// `lua-enable-deprecated-api`.
    deprecated: std::sync::OnceLock<bool>,
    /// `lua-memory-limit`.
    memory_limit: AtomicUsize,
    /// `native-scripts no`.
    without_twins: AtomicBool,
}

/// Bytes that an entry of a cache takes besides its text.
const ENTRY_SIZE: usize = 96;

impl LuaStore {
    /// Whether the functions of `lua-enable-deprecated-api` are there; the first word holds.
    pub fn set_deprecated(&self, deprecated: bool) {
        self.deprecated.get_or_init(|| deprecated);
    }

    /// How many bytes a state may take, 0 for no limit. A script that runs meanwhile keeps the limit that it began with.
    pub fn set_memory_limit(&self, bytes: usize) {
        self.memory_limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether native twins run in the place of the Lua that they stand for.
    pub fn set_twins(&self, allowed: bool) {
        self.without_twins.store(!allowed, Ordering::Relaxed);
    }

    /// Whether they do.
    #[must_use]
    pub fn has_twins(&self) -> bool {
        !self.without_twins.load(Ordering::Relaxed)
    }

    fn interpreter(&self, seed: u64) -> Result<Interpreter, Failure> {
        let deprecated = self.deprecated.get().copied().unwrap_or(false);
        Interpreter::new(seed, deprecated).map_err(|error| failure(format!("ERR {error}")))
    }

    /// The cached script of a SHA1.
    #[must_use]
    pub fn find(&self, sha1: &Sha1) -> Option<Arc<CachedScript>> {
        self.scripts.read().get(sha1).cloned()
    }

    /// The script of a body, compiled and cached unless it is already.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn cache(&self, body: &[u8], seed: u64) -> Result<Arc<CachedScript>, Failure> {
        let sha1 = sha1_of(body);
        if let Some(script) = self.scripts.read().get(&sha1) {
            return Ok(Arc::clone(script));
        }
        let (flags, source) = script_header(body).map_err(failure)?;
        let twin = twins::of(body);
        // Where there is no Lua, twins still run.
        if cfg!(feature = "lua") || twin.is_none() {
            self.compile(&sha1, source, seed)?;
        }
        let script = Arc::new(CachedScript {
            sha1,
            name: hex(&sha1),
            flags,
            twin,
            source: source.into(),
        });
        self.scripts.write().insert(sha1, Arc::clone(&script));
        Ok(script)
    }

    fn compile(&self, sha1: &Sha1, source: &[u8], seed: u64) -> Result<(), Failure> {
        let compiled = self.eval.with(
            || self.interpreter(seed),
            |lua| {
                lua.limit_memory(self.memory_limit.load(Ordering::Relaxed));
                lua.compile(sha1, source)
            },
        )?;
        compiled
            .map_err(|text| failure(format!("ERR Error compiling script (new function): {text}")))
    }

    /// Runs a cached script and writes what it returns.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn run(
        &self,
        script: &CachedScript,
        (keys, args): (&[&[u8]], &[&[u8]]),
        seed: u64,
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        self.eval.with(
            || self.interpreter(seed),
            |lua| {
                lua.limit_memory(self.memory_limit.load(Ordering::Relaxed));
                let compiled = lua.compile(&script.sha1, &script.source);
                compiled.map_err(|text| failure(format!("ERR {text}")))?;
                lua.run_script(&script.sha1, keys, args, host, reply)
            },
        )?
    }

    /// Runs a cached script under the debugger, in a state of its own, and writes what it returns.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn debug(
        &self,
        script: &CachedScript,
        (body, patience): (&[u8], Duration),
        words: (&[&[u8]], &[&[u8]]),
        seed: u64,
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        let mut lua = self.interpreter(seed)?;
        lua.limit_memory(self.memory_limit.load(Ordering::Relaxed));
        let compiled = lua.compile(&script.sha1, &script.source);
        compiled.map_err(|text| failure(format!("ERR {text}")))?;
        lua.debug_script(&script.sha1, (body, patience), words, host, reply)
    }

    /// SCRIPT FLUSH.
    pub fn flush_scripts(&self) {
        self.scripts.write().clear();
        self.eval.flush();
    }

    /// Figures for INFO.
    #[must_use]
    pub fn figures(&self) -> LuaFigures {
        let (scripts, libraries) = (self.scripts.read(), self.libraries.read());
        let sizes = scripts
            .values()
            .map(|script| script.source.len() + ENTRY_SIZE);
        let codes = libraries
            .iter()
            .map(|library| library.code.len() + ENTRY_SIZE);
        LuaFigures {
            eval_memory: self.eval.memory.load(Ordering::Relaxed),
            function_memory: self.functions.memory.load(Ordering::Relaxed),
            scripts_memory: sizes.sum(),
            libraries_memory: codes.sum(),
            scripts: scripts.len(),
            libraries: libraries.len(),
            functions: libraries
                .iter()
                .map(|library| library.functions.len())
                .sum(),
        }
    }
}

fn failure(text: impl Into<String>) -> Failure {
    Failure {
        text: text.into(),
        counted: false,
    }
}

// ------------------------------------------------------------------------------------------------ libraries

impl LuaStore {
    /// Every library, oldest first.
    #[must_use]
    pub fn libraries(&self) -> Vec<Arc<Library>> {
        self.libraries.read().clone()
    }

    /// The function of a name in any case, and its library.
    #[must_use]
    pub fn function(&self, name: &[u8]) -> Option<(Arc<Library>, ScriptFlags)> {
        let libraries = self.libraries.read();
        libraries.iter().find_map(|library| {
            let function = library
                .functions
                .iter()
                .find(|function| function.name.eq_ignore_ascii_case(name))?;
            Some((Arc::clone(library), function.flags))
        })
    }

    /// FUNCTION LOAD: runs a library's code and adds what it registers. Returns its name.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then nothing has changed.
    pub fn load(
        &self,
        code: &[u8],
        replace: bool,
        seed: u64,
        host: &mut dyn Host,
    ) -> Result<String, Failure> {
        let (name, source) = library_header(code).map_err(failure)?;
        let taken = self
            .libraries
            .read()
            .iter()
            .any(|library| library.name == name);
        if taken && !replace {
            return Err(failure(format!("ERR Library '{name}' already exists")));
        }
        self.functions.with(
            || self.interpreter(seed),
            |lua| {
                lua.limit_memory(self.memory_limit.load(Ordering::Relaxed));
                let loaded = lua.load_library(source, host).map_err(|text| {
                    if lua.is_exhausted() {
                        // The libraries are loaded anew when one of their functions is called.
                        self.functions.flush();
                    }
                    failure(text)
                })?;
                let functions: Vec<_> = loaded.functions().cloned().collect();
                if functions.is_empty() {
                    return Err(failure("ERR No functions registered"));
                }
                let mut libraries = self.libraries.write();
                let others = libraries.iter().filter(|library| library.name != name);
                if let Some(taken) = first_taken(&functions, others) {
                    let taken = lossless::text(&taken.name).into_owned();
                    return Err(failure(format!("ERR Function {taken} already exists")));
                }
                let library = Arc::new(Library {
                    name: name.clone(),
                    code: code.into(),
                    functions,
                });
                let old = libraries.iter().position(|library| library.name == name);
                if let Some(at) = old {
                    libraries[at]
                        .functions
                        .iter()
                        .for_each(|old| lua.forget(&old.name));
                    libraries[at] = library;
                } else {
                    libraries.push(library);
                }
                lua.adopt(loaded);
                Ok(name)
            },
        )?
    }

    /// Loads a library that was loaded before, from a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn load_saved(&self, code: &[u8], replace: bool) -> Result<(), String> {
        self.load(code, replace, 0, &mut Alone)
            .map(|_| ())
            .map_err(|failure| failure.text)
    }

    /// FUNCTION DELETE; false if there is no such library.
    pub fn delete(&self, name: &[u8]) -> bool {
        let mut libraries = self.libraries.write();
        let Some(at) = libraries
            .iter()
            .position(|library| library.name.as_bytes() == name)
        else {
            return false;
        };
        let library = libraries.remove(at);
        if let Some(lua) = &mut *self.functions.state.lock() {
            library
                .functions
                .iter()
                .for_each(|old| lua.forget(&old.name));
        }
        true
    }

    /// FUNCTION FLUSH.
    pub fn flush_functions(&self) {
        self.libraries.write().clear();
        self.functions.flush();
    }

    /// FUNCTION RESTORE: loads all of these, or changes nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, or which name is taken.
    pub fn restore(
        &self,
        codes: &[&[u8]],
        policy: RestorePolicy,
        seed: u64,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        let fresh = Self::default();
        fresh.set_deprecated(self.deprecated.get().copied().unwrap_or(false));
        for code in codes {
            fresh.load(code, false, seed, host)?;
        }
        let restored = fresh.libraries();
        let mut libraries = self.libraries.write();
        let named = |name: &str| restored.iter().any(|library| library.name == *name);
        let mut kept: Vec<Arc<Library>> = match policy {
            RestorePolicy::Flush => Vec::new(),
            RestorePolicy::Append => libraries.clone(),
            RestorePolicy::Replace => {
                let stays = |library: &&Arc<Library>| !named(&library.name);
                libraries.iter().filter(stays).cloned().collect()
            }
        };
        for library in &restored {
            if kept.iter().any(|other| other.name == library.name) {
                let name = &library.name;
                return Err(failure(format!("ERR Library {name} already exists")));
            }
            if let Some(taken) = first_taken(&library.functions, kept.iter()) {
                let taken = lossless::text(&taken.name).into_owned();
                return Err(failure(format!("ERR Function {taken} already exists")));
            }
        }
        kept.extend(restored);
        *libraries = kept;
        drop(libraries);
        // The libraries that stay are loaded anew when one of their functions is called.
        self.functions.flush();
        Ok(())
    }

    /// Calls a function of a library and writes what it returns.
    ///
    /// # Errors
    ///
    /// The error that it raised or returned.
    pub fn call(
        &self,
        (library, name): (&Library, &[u8]),
        (keys, args): (&[&[u8]], &[&[u8]]),
        seed: u64,
        host: &mut dyn Host,
        reply: &mut dyn Reply,
    ) -> Result<(), Failure> {
        self.functions.with(
            || self.interpreter(seed),
            |lua| {
                lua.limit_memory(self.memory_limit.load(Ordering::Relaxed));
                if !lua.knows(name) {
                    let (_, source) = library_header(&library.code).map_err(failure)?;
                    let loaded = lua.load_library(source, host).map_err(failure)?;
                    lua.adopt(loaded);
                }
                lua.run_function(name, keys, args, host, reply)
            },
        )?
    }
}

/// Serves the code of a library that has been loaded before: it calls nothing, and it ends.
struct Alone;

impl Host for Alone {
    fn call(&mut self, _: &[&[u8]], _: bool) -> Response {
        Response::Error("ERR redis.call can only be called inside a script invocation".into())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn set_logging(&mut self, _: bool) {}

    fn tick(&mut self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The first of these functions whose name another library has.
fn first_taken<'a>(
    functions: &'a [RegisteredFunction],
    libraries: impl Iterator<Item = &'a Arc<Library>> + Clone,
) -> Option<&'a RegisteredFunction> {
    functions.iter().find(|function| {
        let same = |other: &RegisteredFunction| other.name.eq_ignore_ascii_case(&function.name);
        libraries
            .clone()
            .any(|library| library.functions.iter().any(same))
    })
}
