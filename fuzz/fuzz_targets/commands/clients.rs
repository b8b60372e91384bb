//! Three clients that take turns. One that waits is asked at its turn whether it was served, or gives up.

use std::task::{Poll, Waker};

use innkeep::engine::session::{Blocked, Flow};
use innkeep::reply::ResponseReply;
use innkeep::{Engine, Response, Session};

use crate::bytes::Bytes;
use crate::lines::{Line, command, line};
use crate::words::{self, SETTINGS};

struct Client {
    session: Session,
    blocked: Option<Blocked>,
}

pub struct Clients<'a> {
    engine: &'a Engine,
    clients: [Client; 3],
    /// What DUMP gave last.
    payload: Vec<u8>,
}

impl Client {
    fn new(engine: &Engine) -> Self {
        Self {
            session: engine.session(),
            blocked: None,
        }
    }

    /// Ends a wait in one of the ways in which waits end.
    fn end_wait(&mut self, gives_up: bool) {
        let Some(blocked) = self.blocked.take() else {
            return;
        };
        let mut reply = ResponseReply::new(false);
        if let Poll::Ready(outcome) = blocked.waiter.poll(Waker::noop()) {
            self.session.resume(&blocked, outcome, &mut reply);
        } else if gives_up || self.session.is_closed() {
            self.session.abandon(&blocked);
        } else if !self.session.time_out(&blocked, &mut reply) {
            panic!("it was not served, and cannot be taken off its keys");
        }
    }
}

impl<'a> Clients<'a> {
    pub fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            clients: [(); 3].map(|()| Client::new(engine)),
            payload: Vec::new(),
        }
    }

    pub fn step(&mut self, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let client = usize::from(choice >> 6) % 3;
        let line = match choice & 0x3f {
            0..46 => command(bytes),
            46 => line(&["MULTI"]),
            47..49 => line(&["EXEC"]),
            49 => {
                let keyspace = self.engine.keyspace();
                keyspace.set_now_ms(Some(keyspace.now_ms() + 1 + bytes.below(60_000) as i64));
                return;
            }
            50..52 => {
                let (name, value) = bytes.pick(SETTINGS);
                line(&["CONFIG", "SET", name, value])
            }
            52..54 => [line(&["DUMP"]), vec![words::key(bytes, "generic")]].concat(),
            54..57 => self.restore(bytes),
            57 => line(&["BGREWRITEAOF"]),
            58 => line(&[
                "DEBUG",
                bytes.pick(&["LOADAOF", "RELOAD", "DIGEST", "CHANGE-REPL-ID", "STRUCTSIZE"]),
            ]),
            59 => [
                line(&[
                    "DEBUG",
                    bytes.pick(&["OBJECT", "HTSTATS-KEY", "DIGEST-VALUE"]),
                ]),
                vec![words::key(bytes, "generic")],
            ]
            .concat(),
            60 => line(&["SELECT", bytes.pick(&["0", "1", "2", "3"])]),
            61 => grow(bytes),
            62 => return self.clients[client].end_wait(bytes.chance(2)),
            _ => {
                let count = 1 + bytes.below(6);
                (0..count).map(|_| bytes.raw()).collect()
            }
        };
        self.run(client, &line);
    }

    /// The last payload with a byte changed.
    fn restore(&mut self, bytes: &mut Bytes<'_>) -> Line {
        let mut payload = self.payload.clone();
        if bytes.chance(2) && !payload.is_empty() {
            let at = bytes.below(payload.len());
            payload[at] = bytes.byte();
        }
        let key = words::key(bytes, "generic");
        let ttl = words::number(bytes);
        vec![b"RESTORE".to_vec(), key, ttl, payload, b"REPLACE".to_vec()]
    }

    fn run(&mut self, at: usize, line: &Line) {
        let client = &mut self.clients[at];
        client.end_wait(line.len() % 2 == 0);
        if client.session.is_closed() {
            *client = Client::new(self.engine);
        }
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        if words.is_empty() || is_forbidden(&words) {
            return;
        }
        if std::env::var_os("SHOW").is_some() {
            let shown: Vec<String> = line
                .iter()
                .map(|word| word.escape_ascii().to_string().chars().take(60).collect())
                .collect();
            eprintln!("{at}: {}", shown.join(" "));
        }
        let mut reply = ResponseReply::new(false);
        match client.session.execute_into(&words, &mut reply) {
            Flow::Continue => {}
            Flow::Wait(blocked) => client.blocked = Some(blocked),
            Flow::Paused(_) => {
                self.engine.session().execute(&[b"CLIENT", b"UNPAUSE"]);
            }
            _ => *client = Client::new(self.engine),
        }
        if words[0].eq_ignore_ascii_case(b"dump")
            && let Some(Response::Bulk(payload)) = reply.take()
        {
            self.payload = payload;
        }
    }

    /// All go; whoever waits gives up.
    pub fn leave(mut self) {
        for client in &mut self.clients {
            client.end_wait(true);
        }
        drop(self.clients);
        self.engine.session().execute(&[b"CLIENT", b"UNPAUSE"]);
    }
}

/// Words as they come may be any command.
fn is_forbidden(words: &[&[u8]]) -> bool {
    let first = words[0].to_ascii_lowercase();
    [&b"shutdown"[..], b"migrate"].contains(&first.as_slice())
}

/// A collection becomes large at once.
fn grow(bytes: &mut Bytes<'_>) -> Line {
    let count = [10, 130, 600, 1500][bytes.below(4)];
    let first = bytes.below(200);
    let numbers = (first..first + count).map(|number| number.to_string().into_bytes());
    let (name, kind) = bytes.pick(&[
        ("SADD", "set"),
        ("RPUSH", "list"),
        ("HSET", "hash"),
        ("ZADD", "sorted-set"),
        ("PFADD", "hyperloglog"),
        ("LPUSH", "list"),
    ]);
    let pairs = ["HSET", "ZADD"].contains(&name);
    let words = numbers.flat_map(|number| vec![number; if pairs { 2 } else { 1 }]);
    [name.as_bytes().to_vec(), words::key(bytes, kind)]
        .into_iter()
        .chain(words)
        .collect()
}
