//! The table `redis` of scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlua::{BorrowedBytes, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::arguments::Arguments;
use super::calls;
use super::convert::{cut_off_to_int, error_table};
use super::debugger::SharedSession;
use super::guard::{Checked, Raise, checked};
use super::host::Slot;
use crate::reply::Response;
use crate::script::sha1_of;
use crate::value::number::DoubleBuffer;

/// The version of Redis whose Lua API this is.
const VERSION: (&str, u32) = ("7.0.15", 7 << 16 | 15);
/// `redis.REPL_AOF`.
const REPL_AOF: i32 = 1;
const REPL_ALL: i32 = 3;

/// What the functions of the table share with the interpreter.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) host: Slot,
    /// `redis.setresp(3)`.
    pub(super) resp3: AtomicBool,
    /// Why the script must end: whatever gives the host its turn raises this error from now on.
    pub(super) killed: Mutex<Option<&'static str>>,
    /// Whether it must.
    pub(super) ended: AtomicBool,
    /// A script that must end gets its error at every instruction by now.
    hurried: AtomicBool,
    /// The session of the debugger, if there is one.
    pub(super) debugger: Mutex<Option<SharedSession>>,
    /// Replies on their way into Lua. An address into one holds while another comes.
    #[expect(
        clippy::vec_box,
        reason = "a reply stays where it is while another is kept"
    )]
    pub(super) kept: Mutex<Vec<Box<Response>>>,
}

impl Shared {
    /// Gives the host its turn.
    ///
    /// # Errors
    ///
    /// Why the script must end.
    pub(super) fn turn(&self) -> Result<(), &'static str> {
        self.may_go_on()?;
        let Some(Err(reason)) = self.host.with(|host| host.tick()) else {
            return Ok(());
        };
        *self.killed.lock() = Some(reason);
        self.ended.store(true, Ordering::Relaxed);
        Err(reason)
    }

    /// Whether the script need not end, as far as is known.
    ///
    /// # Errors
    ///
    /// Why it must.
    pub(super) fn may_go_on(&self) -> Result<(), &'static str> {
        if !self.ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let killed = *self.killed.lock();
        killed.map_or(Ok(()), Err)
    }

    /// A function of the API has failed with this text.
    pub(super) fn note_error(&self, text: &str) {
        let text = text.strip_prefix("ERR ").unwrap_or(text);
        self.host.with(|host| host.note_error(text));
    }

    /// `redis.error_reply`, with these arguments.
    fn note_error_reply(&self, args: &MultiValue) {
        if self.debugger.lock().is_none() {
            return;
        }
        match (args.front(), args.len()) {
            (Some(Value::String(text)), 1) => {
                let text = text.to_string_lossy();
                let bare = text.strip_prefix('-').unwrap_or(&text);
                self.note_error(&format!("-{bare}"));
            }
            _ => self.note_error("wrong number or type of arguments"),
        }
    }

    /// `redis.breakpoint()`: whether there is a debugger, which then stops at the next line.
    fn call_breakpoint(&self) -> bool {
        let debugger = self.debugger.lock();
        let session = debugger.as_ref();
        session
            .map(|session| session.lock().call_breakpoint())
            .is_some()
    }

    /// Notes that the script gets its error at every instruction from now on; tells whether it did already.
    pub(super) fn hurry(&self) -> bool {
        self.hurried.swap(true, Ordering::Relaxed)
    }

    /// Whether the last script got its error at every instruction.
    pub(super) fn take_hurry(&self) -> bool {
        self.hurried.swap(false, Ordering::Relaxed)
    }
}

/// A word of a command: a string of Lua's, or a number as text.
enum Word {
    Text(BorrowedBytes),
    Number(DoubleBuffer),
}

/// The table with all its functions and constants.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let table = constants(lua)?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        table.raw_set(name, calls::function(lua, shared, raises)?)?;
    }
    let shared_here = Arc::clone(shared);
    let may_run = move |lua: &Lua, args: MultiValue| may_run(lua, &shared_here, &args);
    table.raw_set("acl_check_cmd", checked(lua, may_run)?)?;
    let shared_here = Arc::clone(shared);
    let set_resp = move |lua: &Lua, args: MultiValue| set_resp(lua, &shared_here, &args);
    table.raw_set("setresp", checked(lua, set_resp)?)?;
    let shared_here = Arc::clone(shared);
    let set_repl = move |lua: &Lua, args: MultiValue| set_repl(lua, &shared_here, &args);
    table.raw_set("set_repl", checked(lua, set_repl)?)?;
    let shared_here = Arc::clone(shared);
    let error_reply = move |lua: &Lua, args: MultiValue| {
        let table = reply_table(lua, &args, "err");
        shared_here.note_error_reply(&args);
        table
    };
    table.raw_set("error_reply", checked(lua, error_reply)?)?;
    table.raw_set(
        "status_reply",
        checked(lua, |lua, args| reply_table(lua, &args, "ok"))?,
    )?;
    table.raw_set("sha1hex", checked(lua, |lua, args| sha1hex(lua, &args))?)?;
    table.raw_set("log", checked(lua, |lua, args| log(lua, &args))?)?;
    table.raw_set(
        "replicate_commands",
        checked(lua, |_, _| one(Value::Boolean(true)))?,
    )?;
    let shared_here = Arc::clone(shared);
    let breakpoint = move |_: &Lua, _| one(Value::Boolean(shared_here.call_breakpoint()));
    table.raw_set("breakpoint", checked(lua, breakpoint)?)?;
    let shared_here = Arc::clone(shared);
    let debug = move |_: &Lua, args: MultiValue| {
        if let Some(session) = &*shared_here.debugger.lock() {
            session.lock().log_values(args.iter());
        }
        Ok(MultiValue::new())
    };
    table.raw_set("debug", checked(lua, debug)?)?;
    Ok(table)
}

/// What a library sees while FUNCTION LOAD runs it, besides `register_function`.
pub(super) fn library_table(lua: &Lua) -> mlua::Result<Table> {
    let table = constants(lua)?;
    for name in [
        "REPL_ALL",
        "REPL_AOF",
        "REPL_NONE",
        "REPL_REPLICA",
        "REPL_SLAVE",
    ] {
        table.raw_remove(name)?;
    }
    table.raw_set("log", checked(lua, |lua, args| log(lua, &args))?)?;
    Ok(table)
}

fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("REDIS_VERSION", VERSION.0)?;
    table.raw_set("REDIS_VERSION_NUM", VERSION.1)?;
    let numbers = [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", REPL_AOF),
        ("REPL_REPLICA", 2),
        ("REPL_SLAVE", 2),
        ("REPL_ALL", REPL_ALL),
    ];
    for (name, number) in numbers {
        table.raw_set(name, number)?;
    }
    Ok(table)
}

fn one(value: Value) -> Checked {
    Ok(MultiValue::from_iter([value]))
}

/// Raises a table with this error.
fn refuse<T>(lua: &Lua, text: &str) -> Result<T, Raise> {
    Err(Raise::Value(error_table(lua, text, false)?))
}

/// The same, and a debugger hears of it.
fn refuse_heard<T>(lua: &Lua, shared: &Shared, text: &str) -> Result<T, Raise> {
    shared.note_error(text);
    refuse(lua, text)
}

/// The words of a command, or why they are none.
fn words_of(args: &MultiValue) -> Result<SmallVec<[Word; 8]>, &'static str> {
    if args.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    let number = |value: f64| {
        let mut text = DoubleBuffer::new();
        text.format_c(value);
        Word::Number(text)
    };
    let word = |value: &Value| match value {
        Value::String(text) => Ok(Word::Text(text.as_bytes())),
        Value::Integer(value) => Ok(number(*value as f64)),
        Value::Number(value) => Ok(number(*value)),
        _ => Err("ERR Lua redis lib command arguments must be strings or integers"),
    };
    args.iter().map(word).collect()
}

fn bytes_of(words: &[Word]) -> SmallVec<[&[u8]; 8]> {
    let bytes = words.iter().map(|word| match word {
        Word::Text(text) => &**text,
        Word::Number(text) => text.as_bytes(),
    });
    bytes.collect()
}

fn may_run(lua: &Lua, shared: &Shared, args: &MultiValue) -> Checked {
    let words = match words_of(args) {
        Ok(words) => words,
        Err(text) => return refuse_heard(lua, shared, text),
    };
    let allowed = shared.host.with(|host| host.may_run(&bytes_of(&words)));
    match allowed.flatten() {
        Some(allowed) => one(Value::Boolean(allowed)),
        None => refuse_heard(
            lua,
            shared,
            "ERR Invalid command passed to redis.acl_check_cmd()",
        ),
    }
}

fn set_resp(lua: &Lua, shared: &Shared, args: &MultiValue) -> Checked {
    let arguments = Arguments::new(lua, args);
    if arguments.len() != 1 {
        return refuse_heard(lua, shared, "ERR redis.setresp() requires one argument.");
    }
    match cut_off_to_int(arguments.number(1).unwrap_or(0.0)) {
        2 => shared.resp3.store(false, Ordering::Relaxed),
        3 => shared.resp3.store(true, Ordering::Relaxed),
        _ => return refuse_heard(lua, shared, "ERR RESP version must be 2 or 3."),
    }
    Ok(MultiValue::new())
}

fn set_repl(lua: &Lua, shared: &Shared, args: &MultiValue) -> Checked {
    let arguments = Arguments::new(lua, args);
    if arguments.len() != 1 {
        return refuse_heard(lua, shared, "ERR redis.set_repl() requires two arguments.");
    }
    let flags = cut_off_to_int(arguments.number(1).unwrap_or(0.0));
    if flags & !REPL_ALL != 0 {
        return refuse_heard(
            lua,
            shared,
            "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        );
    }
    shared
        .host
        .with(|host| host.set_logging(flags & REPL_AOF != 0));
    Ok(MultiValue::new())
}

/// `redis.error_reply` and `redis.status_reply`.
fn reply_table(lua: &Lua, args: &MultiValue, field: &str) -> Checked {
    let (Some(Value::String(text)), 1) = (args.front(), args.len()) else {
        let text = "ERR wrong number or type of arguments";
        return one(error_table(lua, text, false)?);
    };
    let table = lua.create_table_with_capacity(0, 1)?;
    if field != "err" {
        table.raw_set(field, text)?;
        return one(Value::Table(table));
    }
    let bytes = text.as_bytes();
    let bare = bytes.strip_prefix(b"-").unwrap_or(&bytes);
    let bare = bare.split(|byte| *byte == 0).next().unwrap_or_default();
    let code: &[u8] = if bare.contains(&b' ') { b"" } else { b"ERR " };
    let mut text = [code, bare].concat();
    while text
        .last()
        .is_some_and(|last| matches!(last, b'\r' | b'\n'))
    {
        text.pop();
    }
    table.raw_set(field, lua.create_string(text)?)?;
    one(Value::Table(table))
}

fn sha1hex(lua: &Lua, args: &MultiValue) -> Checked {
    let arguments = Arguments::new(lua, args);
    if arguments.len() != 1 {
        return refuse(lua, "ERR wrong number of arguments");
    }
    let sha1 = match arguments.string(1) {
        Ok(text) => sha1_of(&text.as_bytes()),
        Err(_) => sha1_of(b""),
    };
    one(Value::String(lua.create_string(super::hex(&sha1))?))
}

fn log(lua: &Lua, args: &MultiValue) -> Checked {
    let arguments = Arguments::new(lua, args);
    if arguments.len() < 2 {
        return refuse(lua, "ERR redis.log() requires two arguments or more.");
    }
    let Ok(level) = arguments.number(1) else {
        return refuse(lua, "ERR First argument must be a number (log level).");
    };
    let level = match cut_off_to_int(level) {
        0 => log::Level::Debug,
        1 | 2 => log::Level::Info,
        3 => log::Level::Warn,
        _ => return refuse(lua, "ERR Invalid debug level."),
    };
    let texts = (2..=arguments.len()).filter_map(|number| arguments.string(number).ok());
    let texts: Vec<String> = texts.map(|text| text.to_string_lossy()).collect();
    log::log!(level, "{}", texts.join(" "));
    Ok(MultiValue::new())
}
