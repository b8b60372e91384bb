//! A command that runs a script on a stack of its own, so that its thread can serve others while the script holds the locks
//! for long. It knows no sockets: whoever owns the session resumes it between other work.
//!
//! Most scripts end without ever giving way; then all that this costs is a switch of stacks and a copy of the words.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use smallvec::SmallVec;

use super::Engine;
use super::execute::{Call, execute};
use super::session::{Flow, Session};
use crate::commands::{Command, CommandError, pubsub};
use crate::keyspace::txn::{HashHint, Journal};
use crate::reply::{Reply, RespReply, SinkReply};
use crate::services::SessionState;

/// Address space of a stack; memory is taken as it is used. Lua itself nests at most 200 calls of C, and JSON may be nested
/// a thousand levels deep.
const STACK_SIZE: usize = 16 << 20;
/// Stacks that a thread keeps.
const KEPT_STACKS: usize = 4;

thread_local! {
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    /// Scripts of this thread that have given way: at most one for each engine, since each has the gate.
    static PARKED: RefCell<Vec<(u64, Parked)>> = const { RefCell::new(Vec::new()) };
}

static LAST_ID: AtomicU64 = AtomicU64::new(0);

fn take_stack() -> std::io::Result<DefaultStack> {
    let kept = STACKS.with(|stacks| stacks.borrow_mut().pop());
    kept.map_or_else(|| DefaultStack::new(STACK_SIZE), Ok)
}

fn keep_stack(stack: DefaultStack) {
    // At the end of the thread there is nowhere to keep it.
    let _ = STACKS.try_with(|stacks| {
        let mut stacks = stacks.borrow_mut();
        if stacks.len() < KEPT_STACKS {
            stacks.push(stack);
        }
    });
}

/// The words of a command, which outlive the buffer that they came in, in one piece.
struct Words {
    bytes: Box<[u8]>,
    ends: SmallVec<[usize; 16]>,
}

impl Words {
    fn new(args: &[&[u8]]) -> Self {
        let mut end = 0;
        let ends = args.iter().map(|word| {
            end += word.len();
            end
        });
        let ends = ends.collect();
        Self {
            bytes: args.concat().into(),
            ends,
        }
    }

    fn args(&self) -> SmallVec<[&[u8]; 16]> {
        let mut begin = 0;
        let words = self.ends.iter().map(|end| {
            let word = self.bytes.get(begin..*end).unwrap_or_default();
            begin = *end;
            word
        });
        words.collect()
    }
}

/// What a session lends to the command that runs for it.
struct Work {
    engine: Engine,
    state: SessionState,
    journal: Option<Box<Journal>>,
    logged: u64,
    reply: RespReply,
}

/// What comes back, and how the command ended. The work is large, and is passed from hand to hand.
struct Finished(Box<Work>, Flow);

/// A script that has given way. It stays on its thread, and so must whoever goes on with it.
#[derive(Debug)]
pub struct SuspendedScript {
    id: u64,
    /// CLIENT REPLY: the answer goes nowhere.
    pub(super) silent: bool,
}

impl SuspendedScript {
    fn park(parked: Parked) -> Self {
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
        PARKED.with(|all| all.borrow_mut().push((id, parked)));
        Self { id, silent: false }
    }

    fn unpark(&self) -> Option<Parked> {
        let taken = PARKED.try_with(|all| {
            let mut all = all.borrow_mut();
            let at = all.iter().position(|(id, _)| *id == self.id)?;
            Some(all.swap_remove(at).1)
        });
        taken.ok().flatten()
    }
}

impl Drop for SuspendedScript {
    fn drop(&mut self) {
        drop(self.unpark());
    }
}

/// What a suspended script stands for.
struct Parked {
    coroutine: Option<Coroutine<(), (), Finished>>,
    command: &'static Command,
    words: Arc<Words>,
    started_us: i64,
    engine: Engine,
}

impl Parked {
    /// Lets it run until it gives way again (`None`) or ends.
    fn step(&mut self) -> Option<Finished> {
        match self.coroutine.as_mut()?.resume(()) {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(finished) => {
                if let Some(coroutine) = self.coroutine.take() {
                    keep_stack(coroutine.into_stack());
                }
                Some(finished)
            }
        }
    }
}

impl Drop for Parked {
    /// Its client is gone with its worker: nobody can go on with it, and it must not keep the locks.
    fn drop(&mut self) {
        while self.coroutine.is_some() {
            self.engine.0.services.running_script.force_end();
            if let Some(Finished(mut work, _)) = self.step() {
                self.engine.0.unwatch(&work.state);
                pubsub::unsubscribe_all(&mut work.state, &self.engine.0.services);
            }
        }
    }
}

/// Commands that SCRIPT DEBUG makes a debugging session of.
pub(super) fn is_debugged(command: &Command) -> bool {
    matches!(command.spec.name, "eval" | "eval_ro")
}

impl Session {
    /// Runs a command on a stack of its own.
    pub(super) fn run_in_fiber(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        started_us: i64,
    ) -> Flow {
        let Ok(stack) = take_stack() else {
            return self.run_here(command, args, reply, started_us, HashHint::NONE);
        };
        let engine = match self.debugged_engine(command, args) {
            Ok(engine) => engine,
            Err(error) => {
                self.inner().fail(command, &error, reply);
                return Flow::Continue;
            }
        };
        let words = Arc::new(Words::new(args));
        let stand_in = self.state.stand_in();
        let mut work = Box::new(Work {
            engine: engine.clone(),
            reply: RespReply::new(self.state.resp3),
            state: std::mem::replace(&mut self.state, stand_in),
            journal: self.journal.take(),
            logged: self.logged,
        });
        let shared = Arc::clone(&words);
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            let args = shared.args();
            let give_way = || yielder.suspend(());
            let lent = &mut *work;
            let (flow, _) = execute(
                &lent.engine,
                &mut lent.state,
                (&mut lent.journal, &mut lent.logged),
                Call {
                    command,
                    args: &args,
                    started_us,
                    hint: HashHint::NONE,
                    give_way: Some(&give_way),
                },
                &mut lent.reply,
            );
            Finished(work, flow)
        });
        let script = Parked {
            coroutine: Some(coroutine),
            command,
            words,
            started_us,
            engine,
        };
        self.proceed(script, reply, false)
    }

    /// Where a command runs: a script that is to be debugged, whose session begins with this, on a copy of the data, unless
    /// its client wants the data itself.
    fn debugged_engine(&self, command: &Command, args: &[&[u8]]) -> Result<Engine, CommandError> {
        let debugger = self.state.debugger.as_ref();
        let Some(console) = debugger.filter(|_| is_debugged(command)) else {
            return Ok(self.engine.clone());
        };
        let engine = if console.in_place {
            self.engine.clone()
        } else {
            let copy = self.engine.copied()?;
            // The copy has nobody who watches: what the script calls is seen by nobody, as in Redis.
            let now_ms = self.inner().keyspace.now_ms();
            let services = self.engine.services();
            services.feed_monitors(&self.state, args, now_ms, false);
            copy
        };
        console.begin();
        Ok(engine)
    }

    /// Goes on with a script that has given way; its flow is as that of any command.
    pub fn resume_script(&mut self, script: SuspendedScript, reply: &mut dyn Reply) -> Flow {
        let Some(parked) = script.unpark() else {
            return Flow::Close;
        };
        let (command, words) = (parked.command, Arc::clone(&parked.words));
        let started_us = parked.started_us;
        let flow = if script.silent {
            self.proceed(parked, &mut SinkReply::new(), true)
        } else {
            self.proceed(parked, reply, false)
        };
        if !matches!(flow, Flow::Script(_)) {
            let args = words.args();
            self.tally.count(command.index);
            self.note_call(command, &args, started_us);
        }
        flow
    }

    fn proceed(&mut self, mut script: Parked, reply: &mut dyn Reply, silent: bool) -> Flow {
        let Some(Finished(work, flow)) = script.step() else {
            let mut script = SuspendedScript::park(script);
            script.silent = silent;
            return Flow::Script(script);
        };
        self.state = work.state;
        self.journal = work.journal;
        self.logged = self.logged.max(work.logged);
        reply.encoded(work.reply.buffer());
        flow
    }
}
