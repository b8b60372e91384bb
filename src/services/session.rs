//! What a session remembers between its commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::acl::User;
use super::debugging::DebugConsole;
use super::replicas::Announced;
use super::subscriptions::Subscriptions;
use super::tracking::TrackingMode;
use super::{ClientFlags, ClientInfo};
use crate::keyspace::WatchFlag;

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Every command is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The next one is not.
    SkipNext,
    /// This one is not.
    Skip,
}

/// A command queued by MULTI.
#[derive(Debug, Clone)]
pub struct QueuedCommand {
    /// Its words.
    pub args: Vec<Box<[u8]>>,
}

/// An open MULTI.
#[derive(Debug, Default)]
pub struct Multi {
    /// What EXEC will run.
    pub queue: Vec<QueuedCommand>,
    /// A command could not be queued: EXEC answers `EXECABORT`.
    pub aborted: bool,
    /// Something in the queue may change the data.
    pub may_write: bool,
    /// Something in the queue runs a script.
    pub runs_scripts: bool,
    /// Something in the queue is refused by a replica that shall not serve old data.
    pub needs_link: bool,
    /// Something in the queue is refused when memory is full.
    pub uses_memory: bool,
}

/// A watched key.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Database.
    pub db: usize,
    /// Key.
    pub key: Box<[u8]>,
}

impl Watched {
    /// Bytes that it takes to watch a key, here and in the keyspace.
    #[must_use]
    pub fn memory(key: &[u8]) -> usize {
        2 * (size_of::<Self>() + key.len()) + size_of::<usize>()
    }
}

/// A session's own state.
#[derive(Debug)]
pub struct SessionState {
    /// What others may know.
    pub info: Arc<ClientInfo>,
    /// Selected database.
    pub db: usize,
    /// Whether replies are RESP3.
    pub resp3: bool,
    /// Whose rights it has.
    pub user: Arc<User>,
    /// Whether the password was given, or none is needed.
    pub authenticated: bool,
    /// The open MULTI.
    pub multi: Option<Multi>,
    /// Watched keys.
    pub watched: Vec<Watched>,
    /// Raised when a watched key changes.
    pub watch_flag: Arc<WatchFlag>,
    /// SUBSCRIBE.
    pub channels: Subscriptions,
    /// PSUBSCRIBE.
    pub patterns: Subscriptions,
    /// SSUBSCRIBE.
    pub shard_channels: Subscriptions,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Whether `maxmemory` was exceeded when the running command began: scripts are judged by it.
    pub out_of_memory: bool,
    /// SCRIPT DEBUG YES or SYNC.
    pub debugger: Option<Arc<DebugConsole>>,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<TrackingMode>>,
    /// REPLCONF: what it says of itself as a replica.
    pub announced: Option<Box<Announced>>,
    /// Whether it is the link to the server that this one follows: its commands run whatever clients may do.
    pub is_primary: bool,
    /// The bytes of the stream that the next command of a link is, for those who follow this server.
    pub relayed: Option<Bytes>,
}

impl SessionState {
    /// A new session's state.
    #[must_use]
    pub fn new(info: Arc<ClientInfo>, authenticated: bool) -> Self {
        let user = Arc::clone(&info.user.lock());
        Self {
            info,
            db: 0,
            resp3: false,
            user,
            authenticated,
            multi: None,
            watched: Vec::new(),
            watch_flag: Arc::default(),
            channels: Subscriptions::default(),
            patterns: Subscriptions::default(),
            shard_channels: Subscriptions::default(),
            reply_mode: ReplyMode::On,
            no_touch: false,
            out_of_memory: false,
            debugger: None,
            tracking: None,
            announced: None,
            is_primary: false,
            relayed: None,
        }
    }

    /// What stands in for this state while a script has it.
    #[must_use]
    pub fn stand_in(&self) -> Self {
        let mut state = Self::new(Arc::clone(&self.info), self.authenticated);
        (state.db, state.resp3) = (self.db, self.resp3);
        state.reply_mode = self.reply_mode;
        state.is_primary = self.is_primary;
        state.debugger.clone_from(&self.debugger);
        state
    }

    /// Closes the open MULTI, if any, and returns it; what was watched is forgotten. The keyspace is not touched: the
    /// caller takes the session off its watched keys first.
    pub fn end_transaction(&mut self) -> Option<Multi> {
        self.info.multi.store(-1, Ordering::Relaxed);
        self.info.multi_memory.store(0, Ordering::Relaxed);
        self.info.set_flag(ClientFlags::MULTI, false);
        self.forget_watched();
        self.multi.take()
    }

    /// Forgets what was watched, with a new flag: whoever still holds the old one raises it in vain.
    pub fn forget_watched(&mut self) {
        if self.info.has_flag(ClientFlags::WATCHES) {
            self.info.set_flag(ClientFlags::WATCHES, false);
            *self.info.watched.lock() = None;
        }
        self.watched.clear();
        self.info.watch_memory.store(0, Ordering::Relaxed);
        // A flag that nobody else saw is as good as a new one.
        if Arc::weak_count(&self.watch_flag) > 0 || self.watch_flag.is_raised() {
            self.watch_flag = Arc::default();
        }
    }

    /// Gives it the rights of a user.
    pub fn set_user(&mut self, user: Arc<User>) {
        *self.info.user.lock() = Arc::clone(&user);
        self.user = user;
    }

    /// CLIENT CACHING holds for one command, or for one transaction; other CLIENT commands do not count.
    pub fn forget_caching(&mut self, command: &str) {
        if let Some(mode) = &mut self.tracking
            && self.multi.is_none()
            && !command.starts_with("client|")
        {
            mode.caching = false;
        }
    }

    /// Switches the protocol.
    pub fn set_protocol(&mut self, resp3: bool) {
        self.resp3 = resp3;
        let version = if resp3 { 3 } else { 2 };
        self.info.resp.store(version, Ordering::Relaxed);
    }

    /// Whether it is subscribed to anything.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        !(self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty())
    }

    /// Channels and patterns subscribed to, as the replies of SUBSCRIBE count them.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}
