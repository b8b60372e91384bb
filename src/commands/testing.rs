//! What unit tests of handlers share: an engine's parts without an engine.

use std::sync::Arc;

use super::{Context, Mode, Outcome, call, lookup, table};
use crate::config::Config;
use crate::keyspace::txn::{Journal, TxnOptions};
use crate::keyspace::{EventClass, Keyspace};
use crate::reply::{Reply, Response, ResponseReply};
use crate::services::{ClientInfo, Services, SessionState};

/// A keyspace with a stopped clock, and a session on it.
#[derive(Debug)]
pub struct Harness {
    /// The data.
    pub keyspace: Keyspace,
    /// The rest.
    pub services: Services,
    /// Who asks.
    pub session: SessionState,
    /// What the last command collected.
    pub journal: Journal,
    /// What the last command answered to the engine.
    pub outcome: Option<Outcome>,
}

impl Harness {
    /// Four shards, two databases, the time at one million seconds.
    pub fn new() -> Self {
        let keyspace = Keyspace::new(4, 2, 7);
        keyspace.set_now_ms(Some(1_000_000_000));
        let commands = table::table().all.len();
        let services = Services::new(Config::default(), commands, 1_000_000_000);
        let info = Arc::new(ClientInfo {
            id: 1,
            ..ClientInfo::default()
        });
        let session = SessionState::new(info, true);
        Self {
            keyspace,
            services,
            session,
            journal: Journal::default(),
            outcome: None,
        }
    }

    /// Runs a command line whose words are separated by blanks; `""` is an empty word.
    pub fn run(&mut self, line: &str) -> Response {
        let words: Vec<&[u8]> = line
            .split(' ')
            .map(|word| {
                if word == "\"\"" {
                    &b""[..]
                } else {
                    word.as_bytes()
                }
            })
            .collect();
        self.run_words(&words)
    }

    /// Runs a command with every shard locked; `Response::Null` when it would block.
    pub fn run_words(&mut self, args: &[&[u8]]) -> Response {
        let options = TxnOptions {
            propagate: true,
            events: EventClass(u32::MAX),
            keep_expired: false,
        };
        let mut reply = ResponseReply::new(self.session.resp3);
        let mut txn = self.keyspace.begin(
            self.keyspace.all_shards(),
            self.session.db,
            options,
            Journal::default(),
        );
        let result = lookup(args).and_then(|command| {
            let (session, services) = (&mut self.session, &self.services);
            let mode = Mode::default();
            call(&mut Context {
                txn: &mut txn,
                args,
                reply: &mut reply,
                session,
                services,
                command,
                mode,
            })
        });
        self.journal = std::mem::take(&mut txn.journal);
        match result {
            Ok(outcome) => self.outcome = Some(outcome),
            Err(error) => {
                assert!(reply.is_empty(), "{error} after a reply to {args:?}");
                reply.error(&error.to_string());
            }
        }
        reply.take().unwrap_or(Response::Null)
    }

    /// The effects that the last command logged, one line each, words separated by blanks.
    pub fn effects(&self) -> Vec<String> {
        let bytes = &self.journal.effects.bytes;
        let mut start = 0;
        let mut lines = Vec::new();
        for (_, end) in &self.journal.effects.commands {
            let words: Vec<String> = String::from_utf8_lossy(&bytes[start..*end])
                .split("\r\n")
                .skip(2)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            lines.push(words.join(" "));
            start = *end;
        }
        lines
    }

    /// The events of the last command: `name key`.
    pub fn events(&self) -> Vec<String> {
        let events = self.journal.events.iter();
        events
            .map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)))
            .collect()
    }
}
