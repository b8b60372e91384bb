//! The network side of MIGRATE: the keys go to the other server while they are locked here, so that nobody changes them in
//! between. Connections are kept for a while. What the other server answers is hostile.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::Inner;
use super::background::Timer;
use crate::commands::CommandError;
use crate::commands::migrate::{Migration, MovedKey};
use crate::keyspace::txn::encode_command;
use crate::keyspace::{EventClass, Txn};
use crate::value::lossless;

/// How long an unused connection is kept.
const KEPT_MS: i64 = 10_000;
const MAX_KEPT: usize = 64;
/// The longest line that is an answer.
const MAX_LINE: usize = 1024;

/// Connections to other servers, by host and port.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_address: HashMap<(Vec<u8>, Vec<u8>), Peer>,
    /// Wakes whoever closes those that are not used any more.
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    /// The database that it is in, where that is known.
    db: Option<i64>,
    used_ms: i64,
}

/// Closes unused connections when its time has come.
struct Expiry(Weak<Inner>);

impl Wake for Expiry {
    fn wake(self: Arc<Self>) {
        if let Some(engine) = self.0.upgrade() {
            engine.close_unused_peers();
        }
    }
}

/// How an exchange ended before all was answered.
enum Failure {
    Connecting,
    Writing(io::Error),
    Reading(io::Error),
}

impl Failure {
    fn is_timeout(&self) -> bool {
        match self {
            Self::Connecting => true,
            Self::Writing(error) | Self::Reading(error) => matches!(
                error.kind(),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
            ),
        }
    }

    fn to_error(&self) -> CommandError {
        CommandError::text(match self {
            Self::Connecting => "IOERR error or timeout connecting to the client",
            Self::Writing(_) => "IOERR error or timeout writing to target instance",
            Self::Reading(_) => "IOERR error or timeout reading to target instance",
        })
    }
}

/// What the other server has said so far.
#[derive(Default)]
struct Answers {
    accepted: Vec<Vec<u8>>,
    refusal: Option<String>,
}

impl Inner {
    /// Sends the keys, removes here what has arrived there, and says whether all did.
    pub(super) fn migrate(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        migration: &Migration,
    ) -> Result<(), CommandError> {
        let mut answers = Answers::default();
        let mut result = self.attempt(migration, &mut answers);
        // A connection that was kept may have been closed at the other end.
        if let Err((failure, true)) = &result
            && answers.accepted.is_empty()
            && !failure.is_timeout()
        {
            result = self.attempt(migration, &mut answers);
        }
        if !migration.copy {
            self.remove_moved(txn, &answers.accepted);
        }
        match (answers.refusal, result) {
            (Some(refusal), _) => {
                Err(format!("ERR Target instance replied with error: {refusal}").into())
            }
            (None, Err((failure, _))) => Err(failure.to_error()),
            (None, Ok(())) => Ok(()),
        }
    }

    fn remove_moved(&self, txn: &mut Txn<'_>, moved: &[Vec<u8>]) {
        let mut effect: Vec<&[u8]> = vec![b"DEL"];
        for key in moved {
            // A key that was named twice is told of twice.
            txn.remove(key);
            txn.changed(EventClass::GENERIC, "del", key);
            effect.push(key);
        }
        if effect.len() > 1 {
            txn.propagate(&effect);
        }
    }

    /// One try, over a connection that was kept or a new one; a failure tells which.
    fn attempt(
        self: &Arc<Self>,
        migration: &Migration,
        answers: &mut Answers,
    ) -> Result<(), (Failure, bool)> {
        let address = (migration.host.clone(), migration.port.clone());
        let kept = self.peers.0.lock().by_address.remove(&address);
        let was_kept = kept.is_some();
        let peer = match kept {
            Some(peer) => Ok(peer),
            None => connect(migration),
        };
        let result = peer.and_then(|mut peer| {
            exchange(&mut peer, migration, answers)?;
            Ok(peer)
        });
        let result = result.map(|peer| self.keep(address, peer));
        self.count_peers();
        result.map_err(|failure| (failure, was_kept))
    }

    fn keep(self: &Arc<Self>, address: (Vec<u8>, Vec<u8>), mut peer: Peer) {
        let now_ms = self.keyspace.now_ms();
        peer.used_ms = now_ms;
        let mut kept = self.peers.0.lock();
        if kept.by_address.len() >= MAX_KEPT {
            let oldest = kept.by_address.iter().min_by_key(|(_, peer)| peer.used_ms);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                kept.by_address.remove(&oldest);
            }
        }
        kept.by_address.insert(address, peer);
        let waker = Waker::from(Arc::new(Expiry(Arc::downgrade(self))));
        kept.timer = Some(self.background.wake_at(now_ms + KEPT_MS, waker));
    }

    /// Closes the connections that nobody has used for a while.
    fn close_unused_peers(self: &Arc<Self>) {
        let now_ms = self.keyspace.now_ms();
        let mut kept = self.peers.0.lock();
        kept.by_address
            .retain(|_, peer| peer.used_ms + KEPT_MS > now_ms);
        let next = kept.by_address.values().map(|peer| peer.used_ms).min();
        kept.timer = next.map(|used_ms| {
            let waker = Waker::from(Arc::new(Expiry(Arc::downgrade(self))));
            self.background.wake_at(used_ms + KEPT_MS, waker)
        });
        drop(kept);
        self.count_peers();
    }

    fn count_peers(&self) {
        let count = self.peers.0.lock().by_address.len();
        let shown = &self.services.stats.cached_peers;
        shown.store(count, Ordering::Relaxed);
    }
}

fn connect(migration: &Migration) -> Result<Peer, Failure> {
    let host = std::str::from_utf8(&migration.host).map_err(|_| Failure::Connecting)?;
    let port = std::str::from_utf8(&migration.port).unwrap_or_default();
    // As Redis: what is no port is one that nobody listens on.
    let port = port.parse().unwrap_or(0);
    let addresses = (host, port).to_socket_addrs();
    let addresses = addresses.map_err(|_| Failure::Connecting)?;
    let timeout = Duration::from_millis(migration.timeout_ms);
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(Failure::Writing)?;
                return Ok(Peer {
                    stream,
                    db: None,
                    used_ms: 0,
                });
            }
            Err(error) => last = error,
        }
    }
    Err(Failure::Writing(last))
}

/// Sends everything, then takes the answers: to the password, to the database, to each key.
fn exchange(peer: &mut Peer, migration: &Migration, answers: &mut Answers) -> Result<(), Failure> {
    let timeout = Some(Duration::from_millis(migration.timeout_ms));
    let stream = &peer.stream;
    stream
        .set_write_timeout(timeout)
        .and_then(|()| stream.set_read_timeout(timeout))
        .map_err(Failure::Writing)?;
    let mut request = Vec::new();
    let mut preliminaries = 0;
    if let Some(credentials) = &migration.authentication {
        let mut words: Vec<&[u8]> = vec![b"AUTH"];
        words.extend(credentials.iter().map(Vec::as_slice));
        encode_command(&mut request, &words);
        preliminaries += 1;
    }
    // Redis writes -1 for a database that is not known, so that who asks for -1 gets the one that the connection is in.
    if peer.db.unwrap_or(-1) != migration.db {
        let mut digits = itoa::Buffer::new();
        encode_command(
            &mut request,
            &[b"SELECT", digits.format(migration.db).as_bytes()],
        );
        preliminaries += 1;
    }
    let mut out = stream;
    for key in &migration.keys {
        encode_restore(&mut request, key, migration.replace);
        out.write_all(&request).map_err(Failure::Writing)?;
        request.clear();
    }
    let mut input = io::BufReader::new(stream);
    let mut refused = None;
    for _ in 0..preliminaries {
        let line = read_line(&mut input).map_err(Failure::Reading)?;
        refused = refused.or(refusal(&line));
    }
    for key in &migration.keys {
        let line = read_line(&mut input).map_err(Failure::Reading)?;
        match refused.clone().or_else(|| refusal(&line)) {
            Some(text) => {
                answers.refusal.get_or_insert(text);
            }
            None => answers.accepted.push(key.name.clone()),
        }
    }
    peer.db = answers.refusal.is_none().then_some(migration.db);
    Ok(())
}

fn encode_restore(out: &mut Vec<u8>, key: &MovedKey, replace: bool) {
    let mut digits = itoa::Buffer::new();
    let ttl = digits.format(key.ttl_ms).as_bytes();
    let mut words: Vec<&[u8]> = vec![b"RESTORE", &key.name, ttl, &key.payload];
    if replace {
        words.push(b"REPLACE");
    }
    encode_command(out, &words);
}

/// What an error says, on one line.
fn refusal(line: &[u8]) -> Option<String> {
    let text = line.strip_prefix(b"-")?;
    Some(lossless::text(text).replace(['\r', '\n'], " "))
}

fn read_line(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE {
        input.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            [byte] => line.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
