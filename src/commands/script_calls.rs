//! What a script calls: commands within the transaction of the command that runs the script, admitted by what the script
//! may do. For native scripts and for Lua alike.

use std::sync::atomic::Ordering;

use super::{Command, Context, Flags, Mode, Outcome, acl, call, lookup, tracking};
use crate::keyspace::txn::HashHint;
use crate::keyspace::{Keyspace, ShardSet, Txn};
use crate::reply::{Response, ResponseReply, SinkReply};
use crate::script::{Caller, ScriptError, ScriptResult};
use crate::services::{Services, SessionState};

/// What the running script may do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rights {
    pub(super) read_only: bool,
    /// It may use memory although it is full.
    pub(super) allow_oom: bool,
}

/// The way back from a script into the commands.
pub(super) struct Nested<'c, 't> {
    pub(super) txn: &'c mut Txn<'t>,
    pub(super) session: &'c mut SessionState,
    pub(super) services: &'c Services,
    pub(super) mode: Mode,
    pub(super) rights: Rights,
    /// The command that runs the script.
    outer: (&'static Command, &'c [&'c [u8]]),
    /// A command runs at this moment.
    pub(super) inside: bool,
    /// A command that may write has run.
    pub(super) wrote: bool,
}

const NOT_FROM_SCRIPT: &str = "ERR This Redis command is not allowed from script";
const READ_ONLY: &str = "ERR Write commands are not allowed from read-only scripts.";
const NO_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const STALE: &str = "ERR Can not execute the command on a stale replica";
const NO_REPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";

/// Why a command does not run, and which it would have been.
pub(super) struct Refused {
    pub(super) text: String,
    pub(super) command: Option<&'static Command>,
}

/// Whether replicas, log and disk allow for writes.
pub(super) fn admit_writes(
    services: &Services,
    session: &SessionState,
    now_ms: i64,
    adds_data: bool,
) -> Result<(), String> {
    if session.is_primary {
        return Ok(());
    }
    if services.primary.forbids_writes() {
        return Err(super::READ_ONLY.to_string());
    }
    if services.lacks_replicas(now_ms) {
        return Err(NO_REPLICAS.into());
    }
    let hooks = services.hooks.read();
    hooks
        .as_ref()
        .map_or(Ok(()), |hooks| hooks.admit_write(adds_data))
}

impl<'c, 't> Nested<'c, 't> {
    pub(super) fn new<'a>(
        context: &'c mut Context<'a, 't>,
        rights: Rights,
    ) -> (Self, &'c mut (dyn crate::reply::Reply + 'a)) {
        let nested = Self {
            txn: context.txn,
            session: context.session,
            services: context.services,
            mode: Mode {
                nested: true,
                script: true,
                ..context.mode
            },
            rights,
            outer: (context.command, context.args),
            inside: false,
            wrote: false,
        };
        (nested, context.reply)
    }

    /// The entry of a command that the script may run.
    pub(super) fn admit(&mut self, args: &[&[u8]]) -> Result<&'static Command, Refused> {
        let refuse = |command, text: &str| Refused {
            text: text.to_owned(),
            command,
        };
        let Ok(command) = lookup(args) else {
            return Err(refuse(None, "ERR Unknown Redis command called from script"));
        };
        let refuse = |text: &str| refuse(Some(command), text);
        if !command.spec.accepts(args.len()) {
            return Err(refuse(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        let flags = command.spec.flags;
        let unrestricted = &self.services.switches.scripts_unrestricted;
        if flags.has(Flags::NOSCRIPT) && !unrestricted.load(Ordering::Relaxed) {
            return Err(refuse(NOT_FROM_SCRIPT));
        }
        if !self.session.user.is_unrestricted() {
            let now_ms = self.txn.now_ms();
            acl::admit_from_script(self.session, self.services, command, args, now_ms)
                .map_err(refuse)?;
        }
        if self.services.primary.is_too_stale() && !flags.has(Flags::STALE) {
            return Err(refuse(STALE));
        }
        self.admit_change(flags)
            .map_err(|text| refuse(&text))
            .map(|()| command)
    }

    fn admit_change(&mut self, flags: Flags) -> Result<(), String> {
        if self.rights.read_only && (flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE)) {
            return Err(READ_ONLY.into());
        }
        if self.wrote || self.mode.loading {
            return Ok(());
        }
        if flags.has(Flags::WRITE) {
            let adds_data = flags.has(Flags::DENYOOM);
            admit_writes(self.services, self.session, self.txn.now_ms(), adds_data)?;
        }
        if flags.has(Flags::DENYOOM) && !self.rights.allow_oom && self.session.out_of_memory {
            return Err(NO_MEMORY.into());
        }
        self.wrote |= flags.has(Flags::WRITE);
        Ok(())
    }

    /// Runs an admitted command. An error is not written to `reply`.
    pub(super) fn run(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut ResponseReply,
    ) -> Result<(), String> {
        self.inside = true;
        let result = call(&mut Context {
            txn: self.txn,
            args,
            reply: &mut *reply,
            session: self.session,
            services: self.services,
            command,
            mode: self.mode,
        });
        self.inside = false;
        // The words are the script's, and their places may be those of others when it goes on.
        self.txn.hint(HashHint::NONE);
        if command.spec.flags.has(Flags::READONLY) {
            self.remember_reads();
        }
        match result {
            Ok(Outcome::Done) => Ok(()),
            Ok(Outcome::Sleep(ms)) => {
                std::thread::sleep(std::time::Duration::from_millis(ms));
                crate::reply::Reply::ok(reply);
                Ok(())
            }
            Ok(_) => Err(NOT_FROM_SCRIPT.into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Notes the keys that the script declares for a client that wants to hear of their changes.
    fn remember_reads(&mut self) {
        let (command, args) = self.outer;
        tracking::remember(&mut Context {
            txn: self.txn,
            args,
            reply: &mut SinkReply::new(),
            session: self.session,
            services: self.services,
            command,
            mode: self.mode,
        });
    }

    /// Locks what an admitted command needs besides what is locked; false if the script may not touch that.
    pub(super) fn reach(&mut self, command: &Command, args: &[&[u8]]) -> bool {
        if self.txn.holds_all() {
            return true;
        }
        if let Some(key) = command.single_key.and_then(|at| args.get(at)) {
            let hash = Keyspace::hash(key);
            let reached = self.txn.reach(1 << self.txn.keyspace().shard_of(hash));
            if reached {
                self.txn.hint(HashHint::new(key, hash));
            }
            return reached;
        }
        self.txn.reach(self.needed_shards(command, args))
    }

    fn needed_shards(&self, command: &Command, args: &[&[u8]]) -> ShardSet {
        let flags = command.spec.flags;
        let keyspace = self.txn.keyspace();
        // Without declared keys only the constant commands (PING, TIME, PUBLISH …) leave the data alone.
        let may_touch_any = command.spec.keys.is_empty() && !flags.has(Flags::FAST);
        if command.needs_all_shards(args) || may_touch_any {
            return keyspace.all_shards();
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        command.key_positions(args, |position| keys.extend(args.get(position)));
        keyspace.shard_set(keys)
    }
}

impl Caller for Nested<'_, '_> {
    fn call(&mut self, args: &[&[u8]]) -> ScriptResult {
        if args.is_empty() {
            return Err(ScriptError::fixed(
                "ERR Please specify at least one argument for this redis lib call",
            ));
        }
        let command = self
            .admit(args)
            .map_err(|refused| ScriptError::new(refused.text))?;
        if !self.reach(command, args) {
            return Err(ScriptError::fixed(
                "ERR a native script may only touch the keys that its call declares",
            ));
        }
        let mut reply = ResponseReply::new(false);
        self.run(command, args, &mut reply)
            .map_err(ScriptError::new)?;
        match reply.take() {
            Some(Response::Error(text)) => Err(ScriptError::new(text)),
            Some(response) => Ok(response),
            None => Ok(Response::Null),
        }
    }

    fn now_ms(&self) -> i64 {
        self.txn.now_ms()
    }

    fn random(&mut self) -> u64 {
        self.txn.random()
    }
}
