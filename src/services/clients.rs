//! The connected clients: what others may know of each, and the mailbox through which they are reached.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::task::{Poll, Waker};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;

use super::acl::User;
use crate::keyspace::{Waiter, WatchFlag};

/// Bits of [`ClientInfo::flags`], with the letters of CLIENT LIST.
#[derive(Debug, Clone, Copy)]
pub struct ClientFlags;

impl ClientFlags {
    /// `b`: waits in a blocking command.
    pub const BLOCKED: u32 = 1;
    /// `x`: inside MULTI.
    pub const MULTI: u32 = 1 << 1;
    /// `O`: runs MONITOR.
    pub const MONITOR: u32 = 1 << 2;
    /// `P`: subscribed.
    pub const PUBSUB: u32 = 1 << 3;
    /// `U`: over a Unix socket.
    pub const UNIX: u32 = 1 << 4;
    /// `A`: to be closed as soon as possible.
    pub const CLOSE_ASAP: u32 = 1 << 5;
    /// `c`: to be closed after its reply.
    pub const CLOSE_AFTER_REPLY: u32 = 1 << 6;
    /// It watches keys; `d` when one of them has changed.
    pub const WATCHES: u32 = 1 << 7;
    /// `e`: CLIENT NO-EVICT.
    pub const NO_EVICT: u32 = 1 << 8;
    /// `T`: CLIENT NO-TOUCH.
    pub const NO_TOUCH: u32 = 1 << 9;
    /// `S`: a replica.
    pub const REPLICA: u32 = 1 << 10;
    /// `t`: CLIENT TRACKING.
    pub const TRACKING: u32 = 1 << 11;
    /// `R`: the client that its invalidations go to is gone.
    pub const BROKEN_REDIRECT: u32 = 1 << 12;
    /// `B`: CLIENT TRACKING in BCAST mode.
    pub const BROADCAST: u32 = 1 << 13;
    /// `M`: the server that this one follows.
    pub const PRIMARY: u32 = 1 << 14;
}

/// What is known of one client. The session writes, anybody reads.
#[derive(Debug, Default)]
pub struct ClientInfo {
    /// Grows with every connection.
    pub id: u64,
    /// `ip:port`, or `path:0` for a Unix socket; empty in-process.
    pub addr: String,
    /// Local end.
    pub laddr: String,
    /// File descriptor, -1 in-process.
    pub fd: i32,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// CLIENT SETNAME.
    pub name: Mutex<Vec<u8>>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Mutex<Vec<u8>>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Mutex<Vec<u8>>,
    /// The user it is authenticated as.
    pub user: Mutex<Arc<User>>,
    /// Unix milliseconds of its last command.
    pub last_active_ms: AtomicI64,
    /// Selected database.
    pub db: AtomicUsize,
    /// See [`ClientFlags`].
    pub flags: AtomicU32,
    /// Channels subscribed to.
    pub channels: AtomicUsize,
    /// Patterns subscribed to.
    pub patterns: AtomicUsize,
    /// Shard channels subscribed to.
    pub shard_channels: AtomicUsize,
    /// Commands queued in MULTI, -1 outside.
    pub multi: AtomicI64,
    /// Bytes read and not executed.
    pub query_buffer: AtomicUsize,
    /// Free bytes of the read buffer.
    pub query_buffer_free: AtomicUsize,
    /// Whether its commands are being executed, so that its input is about to be let go of.
    pub is_served: AtomicBool,
    /// Bytes queued in MULTI.
    pub multi_memory: AtomicUsize,
    /// Capacity of the buffer that it keeps for its replies.
    pub reply_buffer: AtomicUsize,
    /// Recent peak of what was in it.
    pub reply_buffer_peak: AtomicUsize,
    /// Bytes that unsent replies take besides that buffer.
    pub reply_overflow: AtomicUsize,
    /// Bytes of replies that are not yet sent.
    pub output: AtomicUsize,
    /// Bytes that remember watched keys.
    pub watch_memory: AtomicUsize,
    /// Bytes that remember subscriptions.
    pub subscription_memory: AtomicUsize,
    /// Bytes that remember the prefixes of CLIENT TRACKING.
    pub tracking_memory: AtomicUsize,
    /// Its part of what `maxmemory-clients` limits, as far as it is accounted.
    pub accounted: AtomicUsize,
    /// What it takes until its session notices that it is cut off.
    pub leaving: AtomicUsize,
    /// Index of the last command in the command table, plus one.
    pub last_command: AtomicUsize,
    /// 2 or 3.
    pub resp: AtomicU8,
    /// Who gets its invalidations: -1 without CLIENT TRACKING, 0 for itself. Means nothing unless it tracks.
    pub tracking_redirect: AtomicI64,
    /// What it waits for while it is blocked, so that CLIENT UNBLOCK can claim it. Set and cleared by its session.
    pub blocked: Mutex<Option<Arc<Waiter>>>,
    /// Raised when a key that it watches has changed. Set and cleared by its session.
    pub watched: Mutex<Option<Arc<WatchFlag>>>,
    /// Messages for it from others.
    pub mailbox: Mailbox,
}

/// What CLIENT UNBLOCK delivers to the waiter that it claimed, instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnblockKind {
    /// As if the time were over.
    Timeout,
    /// The error `UNBLOCKED client unblocked via CLIENT UNBLOCK`.
    Error,
    /// This server has become a replica; the connection is closed behind the error that says so.
    RoleChanged,
}

impl ClientInfo {
    /// A client that has done nothing yet.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            fd: -1,
            created_ms: now_ms,
            last_active_ms: AtomicI64::new(now_ms),
            multi: AtomicI64::new(-1),
            resp: AtomicU8::new(2),
            ..Self::default()
        }
    }

    /// Sets or clears flags.
    pub fn set_flag(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has_flag(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Bytes that it takes. A read buffer that holds nothing is its worker's.
    #[must_use]
    pub fn memory(&self) -> usize {
        let get = |part: &AtomicUsize| part.load(Ordering::Relaxed);
        let input = match get(&self.query_buffer) {
            0 => 0,
            used => used + get(&self.query_buffer_free),
        };
        input + self.memory_without_input()
    }

    /// Bytes that it takes when the commands that it runs now, if it runs any, are over.
    fn memory_between_commands(&self) -> usize {
        if self.is_served.load(Ordering::Relaxed) {
            self.memory_without_input()
        } else {
            self.memory()
        }
    }

    fn memory_without_input(&self) -> usize {
        let get = |part: &AtomicUsize| part.load(Ordering::Relaxed);
        let parts = [
            &self.multi_memory,
            &self.reply_buffer,
            &self.reply_overflow,
            &self.watch_memory,
            &self.subscription_memory,
            &self.tracking_memory,
        ];
        let parts: usize = parts.into_iter().map(get).sum();
        size_of::<Self>() + parts + self.mailbox.pending()
    }

    /// Ends its waiting, if it waits in a blocking command and nobody has answered it yet.
    #[must_use]
    pub fn unblock(&self, kind: UnblockKind) -> bool {
        let waiter = self.blocked.lock().clone();
        waiter.is_some_and(|waiter| {
            let claimed = waiter.claim();
            if claimed {
                waiter.deliver(Box::new(kind));
            }
            claimed
        })
    }

    /// Asks the connection to close, now. Its session notices at the next look at its mailbox.
    pub fn kill(&self) {
        self.set_flag(ClientFlags::CLOSE_ASAP, true);
        self.mailbox.kill();
    }
}

/// What waits in a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Mail {
    /// A message, encoded for this client's protocol.
    Message(Bytes),
    /// Close the connection.
    Killed,
}

/// Messages that other sessions push to a client: published messages, MONITOR lines, invalidations. Bounded by the
/// client's output limit: whoever goes beyond it is cut off.
#[derive(Debug)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    /// Bytes waiting; read without the lock.
    pending: AtomicUsize,
    killed: AtomicBool,
    /// Hard limit in bytes; 0: none.
    pub hard_limit: AtomicU64,
    /// Soft limit in bytes; 0: none.
    pub soft_limit: AtomicU64,
    /// How long, in milliseconds, the soft limit may be exceeded.
    pub soft_ms: AtomicU64,
    over_soft_since_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    waker: Option<Waker>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            pending: AtomicUsize::new(0),
            killed: AtomicBool::new(false),
            hard_limit: AtomicU64::new(0),
            soft_limit: AtomicU64::new(0),
            soft_ms: AtomicU64::new(0),
            over_soft_since_ms: AtomicI64::new(-1),
        }
    }
}

impl Mailbox {
    /// Queues a message and wakes the session; true when the client has to be cut off because it does not read.
    pub fn push(&self, message: Bytes, now_ms: i64) -> bool {
        if self.killed.load(Ordering::Acquire) {
            return false;
        }
        let pending = self.pending.fetch_add(message.len(), Ordering::Relaxed) + message.len();
        if self.is_over_limit(pending, now_ms) {
            self.kill();
            return true;
        }
        let waker = {
            let mut queue = self.queue.lock();
            queue.messages.push_back(message);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        false
    }

    /// Whether so many unread bytes are more than the client's class may have, now or for so long.
    #[must_use]
    pub fn is_over_limit(&self, pending: usize, now_ms: i64) -> bool {
        let (hard, soft) = (
            self.hard_limit.load(Ordering::Relaxed),
            self.soft_limit.load(Ordering::Relaxed),
        );
        if hard > 0 && pending as u64 > hard {
            return true;
        }
        if soft == 0 || pending as u64 <= soft {
            self.over_soft_since_ms.store(-1, Ordering::Relaxed);
            return false;
        }
        let since = self.over_soft_since_ms.load(Ordering::Relaxed);
        if since < 0 {
            self.over_soft_since_ms.store(now_ms, Ordering::Relaxed);
        }
        since >= 0 && now_ms - since > self.soft_ms.load(Ordering::Relaxed) as i64
    }

    /// Closes the mailbox: what waits is dropped, the session is woken.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        let waker = {
            let mut queue = self.queue.lock();
            queue.messages.clear();
            self.pending.store(0, Ordering::Relaxed);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.lock().messages.len()
    }

    /// Whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The next message, without waiting.
    pub fn try_pop(&self) -> Option<Bytes> {
        if self.pending() == 0 {
            return None;
        }
        let message = self.queue.lock().messages.pop_front()?;
        self.pending.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// The next message, if it has no more than so many bytes.
    pub fn pop_within(&self, room: usize) -> Option<Bytes> {
        if self.pending() == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let fits = queue
            .messages
            .front()
            .is_some_and(|message| message.len() <= room);
        let message = if fits {
            queue.messages.pop_front()
        } else {
            None
        }?;
        self.pending.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// Whether it was closed, or a promise to wake; messages stay where they are.
    pub fn poll_killed(&self, waker: &Waker) -> Poll<()> {
        let mut queue = self.queue.lock();
        if self.is_killed() {
            return Poll::Ready(());
        }
        if queue.waker.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// The next message or the order to close, or a promise to wake.
    pub fn poll(&self, waker: &Waker) -> Poll<Mail> {
        if self.is_killed() {
            return Poll::Ready(Mail::Killed);
        }
        let mut queue = self.queue.lock();
        if let Some(message) = queue.messages.pop_front() {
            self.pending.fetch_sub(message.len(), Ordering::Relaxed);
            return Poll::Ready(Mail::Message(message));
        }
        if queue.waker.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
        drop(queue);
        if self.is_killed() {
            Poll::Ready(Mail::Killed)
        } else {
            Poll::Pending
        }
    }
}

/// Who has one of these is never evicted.
const STAYS: u32 = ClientFlags::NO_EVICT | ClientFlags::REPLICA | ClientFlags::PRIMARY;

/// Every client of the engine, by id.
#[derive(Debug, Default)]
pub struct Clients {
    all: DashMap<u64, Arc<ClientInfo>>,
    last_id: AtomicU64,
    /// `maxmemory-clients` in bytes; 0: no limit, and nothing is accounted.
    memory_limit: AtomicUsize,
    /// Bytes that all clients take together, as far as they are accounted.
    memory: AtomicUsize,
    /// Bytes of those that are cut off and whose sessions have yet to notice.
    leaving: AtomicUsize,
    /// Held by who evicts, so that others do not evict for the same bytes.
    evicting: Mutex<()>,
    /// Clients that run MONITOR; looked at by every command.
    pub monitors: AtomicUsize,
}

impl Clients {
    /// An id that no client had before.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Registers a client.
    pub fn add(&self, client: Arc<ClientInfo>) {
        self.all.insert(client.id, client);
    }

    /// Forgets a client whose session ends.
    pub fn leave(&self, client: &ClientInfo) {
        // Waits for whoever cuts it off at this moment.
        self.all.remove(&client.id);
        self.close_account(client);
        let freed = client.leaving.swap(0, Ordering::Relaxed);
        self.leaving.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Ends a client for good: from now on nobody finds it, though its session has yet to notice. What it waits for
    /// goes to others.
    pub fn cut_off(&self, client: &ClientInfo) {
        client.kill();
        self.all.remove_if(&client.id, |_, _| {
            self.close_account(client);
            let bytes = client.memory();
            client.leaving.store(bytes, Ordering::Relaxed);
            self.leaving.fetch_add(bytes, Ordering::Relaxed);
            true
        });
    }

    fn close_account(&self, client: &ClientInfo) {
        let accounted = client.accounted.swap(0, Ordering::Relaxed);
        self.memory.fetch_sub(accounted, Ordering::Relaxed);
    }

    /// Bytes of clients that are cut off, which are freed as soon as their sessions notice.
    #[must_use]
    pub fn leaving_bytes(&self) -> usize {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Sets `maxmemory-clients` and accounts every client anew; returns those that are evicted.
    pub fn set_memory_limit(&self, limit: usize) -> Vec<Arc<ClientInfo>> {
        self.memory_limit.store(limit, Ordering::Relaxed);
        if limit > 0 {
            // Nobody is evicted for the command that sets the limit.
            self.all
                .iter()
                .for_each(|client| self.note_memory(&client, client.memory_between_commands()));
        }
        self.evict()
    }

    /// Whether clients are accounted at all.
    #[must_use]
    #[inline]
    pub fn has_memory_limit(&self) -> bool {
        self.memory_limit.load(Ordering::Relaxed) > 0
    }

    /// Accounts a client whose memory may have changed; returns the clients that are evicted for it.
    pub fn account(&self, client: &ClientInfo) -> Vec<Arc<ClientInfo>> {
        // Who is not on the list any more has been taken off the account; meanwhile nobody is.
        if let Some(listed) = self.all.get(&client.id) {
            self.note_memory(&listed, listed.memory());
        }
        self.evict()
    }

    fn note_memory(&self, client: &ClientInfo, now: usize) {
        let before = client.accounted.swap(now, Ordering::Relaxed);
        self.memory
            .fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Cuts off the largest clients, until all together keep the limit.
    fn evict(&self) -> Vec<Arc<ClientInfo>> {
        let mut evicted = Vec::new();
        let exceeds = || {
            let limit = self.memory_limit.load(Ordering::Relaxed);
            limit > 0 && self.memory.load(Ordering::Relaxed) > limit
        };
        if !exceeds() {
            return evicted;
        }
        let Some(_one_at_a_time) = self.evicting.try_lock() else {
            return evicted;
        };
        let mut largest = self.list();
        largest.retain(|client| !client.has_flag(STAYS));
        largest.sort_by_key(|client| client.accounted.load(Ordering::Relaxed));
        while exceeds()
            && let Some(client) = largest.pop()
        {
            self.cut_off(&client);
            evicted.push(client);
        }
        evicted
    }

    /// Bytes of each client that may be evicted, as far as they are accounted.
    #[must_use]
    pub fn accounts(&self) -> Vec<usize> {
        let evictable = self.all.iter().filter(|client| !client.has_flag(STAYS));
        evictable
            .map(|client| client.accounted.load(Ordering::Relaxed))
            .collect()
    }

    /// One client.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.all.get(&id).map(|client| Arc::clone(&client))
    }

    /// All of them, in order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<ClientInfo>> {
        let mut list: Vec<_> = self.all.iter().map(|client| Arc::clone(&client)).collect();
        list.sort_unstable_by_key(|client| client.id);
        list
    }

    /// The id that was given last.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_is_accounted_until_its_session_ends() {
        let clients = Clients::default();
        let add = |bytes| {
            let client = Arc::new(ClientInfo {
                id: clients.next_id(),
                ..ClientInfo::new(0)
            });
            client.reply_overflow.store(bytes, Ordering::Relaxed);
            clients.add(Arc::clone(&client));
            client
        };
        let (small, large) = (add(100), add(50_000));
        assert!(clients.set_memory_limit(60_000).is_empty());
        small.reply_overflow.store(40_000, Ordering::Relaxed);
        let evicted = clients.account(&small);
        assert_eq!(evicted.len(), 1);
        assert!(Arc::ptr_eq(&evicted[0], &large));
        assert!(large.mailbox.is_killed() && !small.mailbox.is_killed());
        assert_eq!(clients.leaving_bytes(), large.memory());

        // What it answers before it notices is nobody's account.
        large.reply_overflow.store(90_000, Ordering::Relaxed);
        assert!(clients.account(&large).is_empty());
        clients.cut_off(&large);
        clients.leave(&large);
        assert_eq!(clients.leaving_bytes(), 0);
        assert_eq!(clients.memory.load(Ordering::Relaxed), small.memory());
        clients.leave(&small);
        assert_eq!(clients.memory.load(Ordering::Relaxed), 0);
        assert!(clients.is_empty());
    }
}
