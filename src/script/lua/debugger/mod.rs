//! The Lua debugger of SCRIPT DEBUG: a script stops between its lines and answers who debugs it, in the protocol that
//! `redis-cli --ldb` speaks. It reaches who that is through the [`Host`].

mod requests;
mod session;
mod shown;
mod stack;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mlua::debug::DebugEvent;
use mlua::{Function, HookTriggers, Lua, Value, VmState};
use parking_lot::Mutex;

use self::requests::NoCommand;
pub(super) use self::session::Session;
use self::session::Stop;
use super::api::Shared;
use super::host::Host;
use super::{SCRIPT_CHUNK, TICK, text_of, tick};
use crate::reply::Response;

/// How code of who debugs is named.
const EVAL_CHUNK: &str = "@ldb_eval";
const ABORTED: &str = "script aborted for user request";
const NO_PROTOCOL: &str = "protocol error";
const GONE: &str = "timeout during Lua debugging with client closing connection";
const UNKNOWN: &str = "<error> Unknown Redis Lua debugger command or wrong number of arguments.";
/// Words of a command that are shown.
const SHOWN_WORDS: usize = 10;

const HELP: [&str; 30] = [
    "Redis Lua debugger help:",
    "[h]elp               Show this help.",
    "[s]tep               Run current line and stop again.",
    "[n]ext               Alias for step.",
    "[c]ontinue           Run till next breakpoint.",
    "[l]ist               List source code around current line.",
    "[l]ist [line]        List source code around [line].",
    "                     line = 0 means: current position.",
    "[l]ist [line] [ctx]  In this form [ctx] specifies how many lines",
    "                     to show before/after [line].",
    "[w]hole              List all source code. Alias for 'list 1 1000000'.",
    "[p]rint              Show all the local variables.",
    "[p]rint <var>        Show the value of the specified variable.",
    "                     Can also show global vars KEYS and ARGV.",
    "[b]reak              Show all breakpoints.",
    "[b]reak <line>       Add a breakpoint to the specified line.",
    "[b]reak -<line>      Remove breakpoint from the specified line.",
    "[b]reak 0            Remove all breakpoints.",
    "[t]race              Show a backtrace.",
    "[e]val <code>        Execute some Lua code (in a different callframe).",
    "[r]edis <cmd>        Execute a Redis command.",
    "[m]axlen [len]       Trim logged Redis replies and Lua var dumps to len.",
    "                     Specifying zero as <len> means unlimited.",
    "[a]bort              Stop the execution of the script. In sync",
    "                     mode dataset changes will be retained.",
    "",
    "Debugger functions you can call from Lua scripts:",
    "redis.debug()        Produce logs in the debugger console.",
    "redis.breakpoint()   Stop execution like if there was a breakpoint in the",
    "                     next line of code.",
];

/// A session, as the parts of the interpreter share it.
pub(super) type SharedSession = Arc<Mutex<Session>>;

/// Begins a session for the script that runs next in this state: it stops before its first line.
pub(super) fn attach(
    lua: &Lua,
    shared: &Arc<Shared>,
    source: &[u8],
    patience: Duration,
) -> mlua::Result<SharedSession> {
    let session = Arc::new(Mutex::new(Session::new(source, patience)));
    *shared.debugger.lock() = Some(Arc::clone(&session));
    let (shared, hooked) = (Arc::clone(shared), Arc::clone(&session));
    let triggers = HookTriggers::new().every_line().every_nth_instruction(TICK);
    lua.set_global_hook(triggers, move |lua, debug| {
        let stop = if debug.event() == DebugEvent::Count {
            tick(lua, &shared)?;
            hooked.lock().is_late().then_some(Stop::Late)
        } else if debug.source().source.as_deref() == Some(SCRIPT_CHUNK) {
            let line = debug.current_line().map_or(-1, |line| line as i64);
            hooked.lock().reach(line)
        } else {
            None
        };
        if let Some(why) = stop {
            hooked.lock().stop(why);
            Attached {
                lua,
                shared: &shared,
                session: &hooked,
            }
            .talk()?;
        }
        Ok(VmState::Continue)
    })?;
    Ok(session)
}

/// The script has ended: what is left to say is said, and that this is all.
pub(super) fn end(shared: &Shared, session: &SharedSession, host: &mut dyn Host) {
    shared.debugger.lock().take();
    let said = {
        let mut session = session.lock();
        session.end();
        session.take_log()
    };
    // Whoever has gone does not miss it.
    let _ = host.converse(&said, false);
}

/// What a command leaves to do.
enum Next {
    Stay,
    GoOn,
    Abort,
}

/// A script that stands still.
struct Attached<'a> {
    lua: &'a Lua,
    shared: &'a Arc<Shared>,
    session: &'a SharedSession,
}

impl Attached<'_> {
    /// Answers commands until the script is to go on.
    fn talk(&self) -> mlua::Result<()> {
        loop {
            let bytes = self.hear()?;
            let Ok(Some(words)) = requests::parse(&bytes) else {
                return Err(mlua::Error::runtime(NO_PROTOCOL));
            };
            match self.run(&words)? {
                Next::Stay => {}
                Next::GoOn => return Ok(()),
                Next::Abort => return Err(mlua::Error::runtime(ABORTED)),
            }
        }
    }

    /// Sends what was logged; the bytes of the next command.
    fn hear(&self) -> mlua::Result<Vec<u8>> {
        let mut said = self.session.lock().take_log();
        let mut heard = Vec::new();
        loop {
            let more = self.shared.host.with(|host| host.converse(&said, true));
            said.clear();
            let Some(more) = more.flatten() else {
                self.shared.turn().map_err(mlua::Error::runtime)?;
                return Err(mlua::Error::runtime(GONE));
            };
            heard.extend(more);
            match requests::parse(&heard) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(heard),
                Err(NoCommand) => return Err(mlua::Error::runtime(NO_PROTOCOL)),
            }
        }
    }

    fn run(&self, words: &[&[u8]]) -> mlua::Result<Next> {
        let Some((name, rest)) = words.split_first() else {
            return Ok(Next::Stay);
        };
        let mut session = self.session.lock();
        match name.to_ascii_lowercase().as_slice() {
            b"h" | b"help" => HELP.iter().for_each(|line| session.log(*line)),
            b"s" | b"step" | b"n" | b"next" => {
                session.go_on(true);
                return Ok(Next::GoOn);
            }
            b"c" | b"continue" => {
                session.go_on(false);
                return Ok(Next::GoOn);
            }
            b"a" | b"abort" => return Ok(Next::Abort),
            b"l" | b"list" => session.list(words),
            b"w" | b"whole" => session.list_all(),
            b"b" | b"break" => session.change_breakpoints(rest),
            b"m" | b"maxlen" if rest.len() <= 1 => session.limit_shown(rest.first().copied()),
            b"t" | b"trace" => stack::trace(self.lua, &mut session),
            b"p" | b"print" => match rest {
                [name] => stack::print_variable(self.lua, &mut session, name)?,
                _ => stack::print_locals(self.lua, &mut session)?,
            },
            b"e" | b"eval" => {
                session.evaluating = true;
                drop(session);
                let result = self.evaluate(&rest.join(&b' '));
                self.session.lock().evaluating = false;
                result?;
                // A script that has to end is not kept alive by what was asked.
                self.shared.may_go_on().map_err(mlua::Error::runtime)?;
            }
            b"r" | b"redis" if !rest.is_empty() => {
                session.stepping = true;
                drop(session);
                let resp3 = self.shared.resp3.load(Ordering::Relaxed);
                self.shared.host.with(|host| host.call(rest, resp3));
                self.session.lock().stepping = false;
            }
            _ => session.log(UNKNOWN),
        }
        Ok(Next::Stay)
    }

    /// Runs code, as an expression if it is one, in a coroutine of its own, where it can be interrupted.
    fn evaluate(&self, code: &[u8]) -> mlua::Result<()> {
        let failed = |text: &str| {
            let line = format!("<error> {text}");
            self.session.lock().log(line);
            Ok(())
        };
        if code.first() == Some(&0x1b) {
            return failed("ldb_eval:1: unexpected symbol near 'char(27)'");
        }
        let load = |code: &[u8]| {
            let chunk = self.lua.load(code).set_name(EVAL_CHUNK);
            chunk.into_function()
        };
        let expression = [b"return ", code].concat();
        let function = match load(&expression).or_else(|_| load(code)) {
            Ok(function) => function,
            Err(mlua::Error::SyntaxError { message, .. }) => return failed(&message),
            Err(other) => return failed(&other.to_string()),
        };
        let protected: Function = self.lua.globals().get("pcall")?;
        let thread = self.lua.create_thread(protected)?;
        match thread.resume::<(bool, Value)>(function) {
            Ok((true, value)) => {
                self.session.lock().log_value(b"<retval> ", &value);
                Ok(())
            }
            Ok((false, Value::Table(error))) => {
                let text = error.raw_get::<Value>("err")?;
                failed(&text_of(&text))
            }
            Ok((false, error)) => failed(&text_of(&error)),
            Err(error) => failed(&error.to_string()),
        }
    }
}

/// Serves a script that is debugged: says what it calls while it goes step by step.
pub(super) struct Observed<'h> {
    pub(super) host: &'h mut dyn Host,
    pub(super) session: SharedSession,
}

impl Observed<'_> {
    fn log(&self, what: impl FnOnce(&mut Session)) {
        let mut session = self.session.lock();
        if session.stepping {
            what(&mut session);
        }
    }
}

impl Host for Observed<'_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Response {
        self.log(|session| {
            let mut line = b"<redis> ".to_vec();
            let shown: Vec<&[u8]> = args.iter().take(SHOWN_WORDS).copied().collect();
            line.extend(shown.join(&b' '));
            if args.len() > SHOWN_WORDS {
                let more = args.len() - SHOWN_WORDS - 1;
                line.extend(format!(" ... ({more} more)").bytes());
            }
            session.log(line);
        });
        let response = self.host.call(args, resp3);
        let refused = self.host.take_refused();
        self.log(|session| {
            if let Response::Error(text) = &response {
                let text = match refused {
                    true => text.strip_prefix("ERR ").unwrap_or(text).to_owned(),
                    false => format!("-{text}"),
                };
                session.log(format!("<error> {text}"));
            }
            if !refused {
                let mut line = b"<reply> ".to_vec();
                shown::reply(&mut line, &response, resp3);
                session.log_trimmed(line);
            }
        });
        response
    }

    fn is_due(&self) -> bool {
        self.host.is_due()
    }

    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool> {
        self.host.may_run(args)
    }

    fn set_logging(&mut self, log: bool) {
        self.host.set_logging(log);
    }

    fn tick(&mut self) -> Result<(), &'static str> {
        self.host.tick()
    }

    fn note_error(&mut self, text: &str) {
        self.log(|session| session.log(format!("<error> {text}")));
    }

    fn converse(&mut self, said: &[u8], wait: bool) -> Option<Vec<u8>> {
        self.host.converse(said, wait)
    }
}
