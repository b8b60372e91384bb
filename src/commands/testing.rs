//! What unit tests of handlers share: an engine's parts without an engine.

use std::sync::Arc;

use super::{Context, Mode, Outcome, call, lookup, table};
use crate::config::Config;
use crate::keyspace::txn::{Journal, TxnOptions};
use crate::keyspace::{EventClass, Keyspace};
use crate::reply::{Reply, Response, ResponseReply};
use crate::services::{ClientInfo, Services, SessionState};
use crate::value::number::format_double;

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
    /// How commands run.
    pub mode: Mode,
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
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
            mode: Mode::default(),
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
            frozen: false,
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
            let last = &session.info.last_command;
            last.store(command.index + 1, std::sync::atomic::Ordering::Relaxed);
            let mode = self.mode;
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
        self.journal = *txn.into_journal();
        match result {
            Ok(outcome) => self.outcome = Some(outcome),
            Err(error) => {
                assert!(reply.is_empty(), "{error} after a reply to {args:?}");
                reply.error(&error.to_string());
            }
        }
        reply.take().unwrap_or(Response::Null)
    }

    /// Runs command lines, one after the other, and compares each answer as [`shown`] prints it.
    pub fn expect(&mut self, cases: &[(&str, &str)]) {
        for (line, expected) in cases {
            let answer = self.run(line);
            assert_eq!(shown(&answer), *expected, "{line}");
        }
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

    /// Runs a transcript of a real server: a line is `command => reply`, and where something changed ` ; events ;
    /// effects`. A command that begins with `3 ` is asked in RESP3.
    pub fn check(&mut self, transcript: &str) {
        for line in transcript.lines().filter(|line| line.contains(" => ")) {
            let (command, expected) = line.split_once(" => ").expect("the line was chosen for it");
            self.session.resp3 = command.starts_with("3 ");
            let mut answer = shown(&self.run(command.trim_start_matches("3 ")));
            let mut events = self.events();
            events.retain(|event| !event.starts_with("keymiss ") && !event.starts_with("new "));
            let effects = self.effects();
            if !events.is_empty() || !effects.is_empty() {
                let (events, effects) = (events.join(", "), effects.join(" / "));
                answer.push_str(&format!(" ; {events} ; {effects}"));
            }
            assert_eq!(answer, expected, "{command}");
        }
    }
}

/// A reply on one line: strings in quotes, arrays in brackets, maps in braces, doubles behind a comma.
pub fn shown(response: &Response) -> String {
    let list = |items: &[Response]| items.iter().map(shown).collect::<Vec<_>>().join(" ");
    match response {
        Response::Null => "nil".to_owned(),
        Response::Int(value) => value.to_string(),
        Response::Bulk(bytes) => format!("\"{}\"", String::from_utf8_lossy(bytes)),
        Response::Simple(text) => format!("+{text}"),
        Response::Error(text) => format!("-{text}"),
        Response::Array(items) => format!("[{}]", list(items)),
        Response::Set(items) => format!("~{}~", list(items)),
        Response::Map(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{} {}", shown(key), shown(value)))
                .collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Response::Double(value) => {
            let mut text = b",".to_vec();
            format_double(*value, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
        other => format!("{other:?}"),
    }
}
