//! The server that this one follows as its replica, and how the link to it stands. Knows no socket: the server opens the
//! link and says here how far it is.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::{Mutex, RwLock};

use super::ClientInfo;

/// Where a server listens: its host as it was given, and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address.
    pub host: Box<[u8]>,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.escape_ascii(), self.port)
    }
}

/// How far the link is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LinkStage {
    /// It is to be opened.
    #[default]
    Connect,
    /// It is being opened.
    Connecting,
    /// Both sides introduce themselves.
    Handshake,
    /// The snapshot comes, or is loaded.
    Sync,
    /// The stream comes.
    Connected,
}

impl LinkStage {
    /// As ROLE names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// How much of a snapshot has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes that were announced; 0 where only their end will be.
    pub total: u64,
    /// Bytes that are there.
    pub read: u64,
    /// When the last of them came, in Unix milliseconds.
    pub heard_ms: i64,
}

/// What INFO and ROLE tell.
#[derive(Debug, Clone)]
pub struct LinkFigures {
    /// Whom we follow.
    pub address: Address,
    /// How far the link is.
    pub stage: LinkStage,
    /// When something was last heard over it, in Unix milliseconds, while it is there.
    pub heard_ms: Option<i64>,
    /// Since when there is none, in Unix milliseconds, if there ever was one.
    pub down_since_ms: Option<i64>,
    /// The snapshot that comes.
    pub received: Option<Received>,
}

/// What opens links, where a server does.
pub trait OpensLinks: fmt::Debug + Send + Sync {
    /// There is a server to follow. Called again for another one; what it has begun for the one before ends by itself.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    fn begin(&self) -> Result<(), String>;
}

/// A key and its database.
pub type OwnKey = (usize, Box<[u8]>);

#[derive(Debug, Default)]
struct State {
    address: Option<Address>,
    /// Counts the wishes to follow somebody, or nobody.
    wish: u64,
    stage: LinkStage,
    heard_ms: i64,
    down_since_ms: Option<i64>,
    received: Option<Received>,
    /// Whether the data is what the stream, as far as it has come, makes of it.
    resumable: bool,
    /// The database that the stream is in.
    db: usize,
    /// The link as a client.
    client: Option<Arc<ClientInfo>>,
    waker: Option<Waker>,
}

/// Whom this server follows, if anybody.
#[derive(Debug, Default)]
pub struct Primary {
    /// Whether anybody is followed: looked at by every command.
    followed: AtomicBool,
    /// The link stands.
    connected: AtomicBool,
    /// `replica-read-only`.
    pub(super) read_only: AtomicBool,
    /// `replica-serve-stale-data`.
    pub(super) serves_stale: AtomicBool,
    state: Mutex<State>,
    /// Keys with their databases to which clients of a writable replica have given a time: they are no affair of the
    /// primary's.
    own_keys: Mutex<HashSet<OwnKey>>,
    /// What opens links. None: no server does.
    pub links: RwLock<Option<Box<dyn OpensLinks>>>,
}

impl Primary {
    /// Whether this server is a replica.
    #[must_use]
    #[inline]
    pub fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    /// Whether clients may not write.
    #[must_use]
    pub fn forbids_writes(&self) -> bool {
        self.is_followed() && self.read_only.load(Ordering::Relaxed)
    }

    /// Whether clients may not even read, because the link is down.
    #[must_use]
    pub fn is_too_stale(&self) -> bool {
        self.is_followed()
            && !self.connected.load(Ordering::Relaxed)
            && !self.serves_stale.load(Ordering::Relaxed)
    }

    /// Whom we follow.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.state.lock().address.clone()
    }

    /// What INFO and ROLE tell; nothing of a server that follows nobody.
    #[must_use]
    pub fn figures(&self) -> Option<LinkFigures> {
        let state = self.state.lock();
        let connected = state.stage == LinkStage::Connected;
        Some(LinkFigures {
            address: state.address.clone()?,
            stage: state.stage,
            heard_ms: connected.then_some(state.heard_ms),
            down_since_ms: state.down_since_ms,
            received: state.received,
        })
    }

    /// Follows another server, or nobody. What the last link does is refused from now on. Every shard is locked.
    /// `resumable`: the data is what our own stream makes of it, in database `db`, as it is where we have been a primary.
    pub fn follow(&self, address: Option<Address>, resumable: Option<usize>) {
        let mut state = self.state.lock();
        let is_followed = address.is_some();
        state.address = address;
        state.wish += 1;
        state.stage = LinkStage::Connect;
        state.received = None;
        if let Some(db) = resumable {
            (state.resumable, state.db) = (true, db);
            state.down_since_ms = None;
        }
        if let Some(client) = &state.client {
            state.db = client.db.load(Ordering::Acquire);
        }
        let (client, waker) = (state.client.take(), state.waker.take());
        drop(state);
        self.connected.store(false, Ordering::Relaxed);
        self.followed.store(is_followed, Ordering::SeqCst);
        if let Some(client) = client {
            client.kill();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Keys that run out although the primary does not say so.
impl Primary {
    /// A client has given a key a time.
    pub fn remember_own(&self, key: OwnKey) {
        self.own_keys.lock().insert(key);
    }

    /// The keys that were remembered, of which nothing is remembered any more.
    #[must_use]
    pub fn take_own(&self) -> HashSet<OwnKey> {
        std::mem::take(&mut *self.own_keys.lock())
    }
}

/// What the link tells and asks. `wish` is the one that it serves: for another it changes nothing.
impl Primary {
    /// Whom to follow, if anybody, and the number of this wish.
    #[must_use]
    pub fn wish(&self) -> (u64, Option<Address>) {
        let state = self.state.lock();
        (state.wish, state.address.clone())
    }

    /// Whether somebody else, or nobody, is to be followed now; or a promise to wake.
    pub fn poll_change(&self, wish: u64, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.wish != wish {
            return Poll::Ready(());
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }

    fn update(&self, wish: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        if state.wish == wish {
            change(&mut state);
            let connected = state.stage == LinkStage::Connected;
            self.connected.store(connected, Ordering::Relaxed);
        }
    }

    /// The link has come further.
    pub fn enter(&self, wish: u64, stage: LinkStage, now_ms: i64) {
        self.update(wish, |state| {
            state.stage = stage;
            state.heard_ms = now_ms;
            state.received = (stage == LinkStage::Sync).then(Received::default);
            if stage == LinkStage::Connected {
                state.down_since_ms = None;
            }
        });
    }

    /// Something was heard.
    pub fn heard(&self, wish: u64, now_ms: i64) {
        self.update(wish, |state| state.heard_ms = now_ms);
    }

    /// So much of the snapshot is there.
    pub fn receive(&self, wish: u64, received: Received) {
        self.update(wish, |state| state.received = Some(received));
    }

    /// The link is there: as this client.
    pub fn attach(&self, wish: u64, client: Arc<ClientInfo>) {
        self.update(wish, |state| state.client = Some(client));
    }

    /// The link is gone.
    pub fn detach(&self, wish: u64, now_ms: i64) {
        self.update(wish, |state| {
            if state.stage == LinkStage::Connected {
                state.down_since_ms = Some(now_ms);
            }
            state.stage = LinkStage::Connect;
            state.client = None;
            state.received = None;
        });
    }

    /// The database that the stream goes on in, if the data is what the stream makes of it.
    #[must_use]
    pub fn resumable(&self) -> Option<usize> {
        let state = self.state.lock();
        state.resumable.then_some(state.db)
    }

    /// Whether the data is what the stream makes of it, and the database that it goes on in.
    pub fn set_resumable(&self, db: Option<usize>) {
        let mut state = self.state.lock();
        state.resumable = db.is_some();
        state.db = db.unwrap_or(0);
    }

    /// The database that the stream is in now.
    #[must_use]
    pub fn stream_db(&self) -> usize {
        let state = self.state.lock();
        let client = state.client.as_ref();
        client.map_or(state.db, |client| client.db.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Option<Address> {
        Some(Address {
            host: b"10.0.0.7".as_slice().into(),
            port: 7001,
        })
    }

    #[test]
    fn a_link_that_nobody_wants_any_more_changes_nothing() {
        let primary = Primary::default();
        assert!(!primary.is_followed() && primary.figures().is_none());
        primary.follow(somebody(), Some(3));
        assert!(primary.is_followed());
        let (wish, address) = primary.wish();
        assert_eq!(address.expect("somebody").to_string(), "10.0.0.7:7001");
        assert_eq!(primary.resumable(), Some(3));
        let client = Arc::new(ClientInfo::new(0));
        primary.attach(wish, Arc::clone(&client));
        primary.enter(wish, LinkStage::Connected, 5);
        let figures = primary.figures().expect("somebody is followed");
        assert_eq!(
            (figures.stage.name(), figures.heard_ms),
            ("connected", Some(5))
        );
        let waker = Waker::noop();
        assert!(primary.poll_change(wish, waker).is_pending());

        primary.follow(None, None);
        assert!(client.mailbox.is_killed());
        assert!(primary.poll_change(wish, waker).is_ready());
        primary.enter(wish, LinkStage::Connected, 9);
        assert!(!primary.is_followed() && primary.figures().is_none());
    }

    #[test]
    fn what_is_stale_is_told_by_the_link() {
        let primary = Primary::default();
        primary.read_only.store(true, Ordering::Relaxed);
        assert!(!primary.forbids_writes() && !primary.is_too_stale());
        primary.follow(somebody(), None);
        assert!(primary.forbids_writes() && primary.is_too_stale());
        let (wish, _) = primary.wish();
        primary.enter(wish, LinkStage::Connected, 5);
        assert!(!primary.is_too_stale());
        primary.detach(wish, 7);
        assert!(primary.is_too_stale());
        let figures = primary.figures().expect("somebody is followed");
        assert_eq!((figures.down_since_ms, figures.heard_ms), (Some(7), None));
    }
}
