//! The replicas: who follows the stream of effects, how far each has come, and who waits to hear of that (WAIT). Knows
//! neither what effects mean nor how a snapshot is made.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::ClientInfo;
use super::stats::random_id;
use crate::keyspace::Waiter;
use crate::keyspace::txn::{Audience, Effects, encode_command};

/// How far a replica is with its first synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its snapshot is being written.
    WaitsForSnapshot,
    /// It receives the snapshot.
    ReceivesSnapshot,
    /// It follows the stream.
    Online,
}

impl Stage {
    const ALL: [Self; 3] = [Self::WaitsForSnapshot, Self::ReceivesSnapshot, Self::Online];

    /// As INFO names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaitsForSnapshot => "wait_bgsave",
            Self::ReceivesSnapshot => "send_bulk",
            Self::Online => "online",
        }
    }
}

/// What a client says of itself by REPLCONF before it synchronises.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Where it listens itself.
    pub port: u16,
    /// Under which address it wants to be shown; empty: that of its connection.
    pub address: String,
    /// It wants a snapshot and no stream.
    pub snapshot_only: bool,
    /// Of the snapshot it wants the functions only.
    pub functions_only: bool,
    /// It can go on under another name of the stream.
    pub psync2: bool,
}

/// A client that follows the stream.
#[derive(Debug)]
pub struct Replica {
    /// Its connection.
    pub client: Arc<ClientInfo>,
    /// What it has said of itself.
    pub announced: Announced,
    /// Whether it acknowledges what it has (PSYNC, but not SYNC).
    pub acknowledges: bool,
    stage: AtomicU8,
    /// Offset in the stream up to which it has told to have everything.
    acknowledged: AtomicU64,
    /// Offset in the stream up to which it has told to have everything on its disk.
    on_disk: AtomicU64,
    /// When it said so, in Unix milliseconds.
    acknowledged_ms: AtomicI64,
}

impl Replica {
    /// A client that is to follow, as it stands before its snapshot.
    #[must_use]
    pub fn new(client: Arc<ClientInfo>, announced: Announced, acknowledges: bool) -> Self {
        Self {
            client,
            announced,
            acknowledges,
            stage: AtomicU8::new(0),
            acknowledged: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            acknowledged_ms: AtomicI64::new(0),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let stage = usize::from(self.stage.load(Ordering::Acquire));
        Stage::ALL.get(stage).copied().unwrap_or(Stage::Online)
    }

    /// It has come further.
    pub fn enter(&self, stage: Stage, now_ms: i64) {
        self.stage.store(stage as u8, Ordering::Release);
        self.acknowledged_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Offset up to which it has told to have everything.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Milliseconds since it was last heard of.
    #[must_use]
    pub fn silent_ms(&self, now_ms: i64) -> i64 {
        (now_ms - self.acknowledged_ms.load(Ordering::Relaxed)).max(0)
    }

    /// The address under which it is shown.
    #[must_use]
    pub fn address(&self) -> &str {
        if !self.announced.address.is_empty() {
            return &self.announced.address;
        }
        let addr = &self.client.addr;
        addr.rsplit_once(':').map_or(addr.as_str(), |(ip, _)| ip)
    }
}

/// What was fed last, for replicas that come back after a short absence.
#[derive(Debug, Default)]
struct Backlog {
    bytes: VecDeque<u8>,
    size: usize,
}

impl Backlog {
    fn keep(&mut self, fed: &[u8]) {
        let fed = fed.get(fed.len().saturating_sub(self.size)..);
        let fed = fed.unwrap_or_default();
        let excess = (self.bytes.len() + fed.len()).saturating_sub(self.size);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend(fed);
    }
}

#[derive(Debug)]
struct Stream {
    /// Its name (40 characters), by which who followed it before knows it.
    name: String,
    /// The name that it had before, and the offset of its first byte under the present one.
    former: Option<(String, u64)>,
    /// Whether it is that of the server that this one follows, passed on as it comes.
    relaying: bool,
    /// Bytes fed since it began.
    offset: u64,
    /// The database that its readers are in.
    selected: Option<usize>,
    followers: Vec<Arc<Replica>>,
    /// There from the first replica on, until nobody has followed for long.
    backlog: Option<Backlog>,
    /// Since when nobody follows, in Unix milliseconds.
    alone_since_ms: i64,
    last_ping_ms: i64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            name: random_id(),
            former: None,
            relaying: false,
            offset: 0,
            selected: None,
            followers: Vec::new(),
            backlog: None,
            alone_since_ms: 0,
            last_ping_ms: 0,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    waiter: Arc<Waiter>,
    wanted: Wanted,
    /// The position that our own log still has to come to.
    log: Option<u64>,
}

/// What WAIT and WAITAOF wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// So many replicas have to have everything.
    pub replicas: usize,
    /// Up to this offset of the stream.
    pub offset: u64,
    /// WAITAOF: on their disks, and perhaps ours.
    pub disk: Option<OnDisk>,
}

/// What WAITAOF wants of our own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDisk {
    /// The position of the log that covers everything; `None` where there is no log.
    pub log: Option<u64>,
    /// Whether that is waited for, or only told.
    pub here: bool,
}

/// What INFO shows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StreamFigures {
    /// The stream's name.
    pub name: String,
    /// The name that it had before, and the offset of its first byte under the present one.
    pub former: Option<(String, u64)>,
    /// Bytes fed since the stream began.
    pub offset: u64,
    /// Whether there is a backlog, and the bytes that it holds.
    pub backlog: Option<usize>,
}

/// What becomes of a replica's wish to go on where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It goes on.
    Continues,
    /// It needs a snapshot.
    TooLate,
}

/// All replicas.
#[derive(Debug, Default)]
pub struct Replicas {
    /// Whether the stream is fed: looked at by every command.
    fed: AtomicBool,
    stream: Mutex<Stream>,
    waiting: Mutex<Vec<Waiting>>,
}

impl Replicas {
    /// Whether anybody wants effects.
    #[must_use]
    #[inline]
    pub fn is_fed(&self) -> bool {
        self.fed.load(Ordering::Relaxed)
    }

    /// Has a replica follow from here on; answers the offset of here. Every shard is locked, so that no effect is on its
    /// way. `backlog_size` in bytes.
    pub fn attach(&self, replica: Arc<Replica>, backlog_size: usize) -> u64 {
        let mut stream = self.stream.lock();
        stream.selected = None;
        if !replica.announced.snapshot_only {
            stream.backlog.get_or_insert_default().size = backlog_size;
            self.feed_or_not(&stream);
        }
        stream.followers.push(replica);
        stream.offset
    }

    /// Effects are fed for whoever may follow, unless the stream is another server's.
    fn feed_or_not(&self, stream: &Stream) {
        let fed = stream.backlog.is_some() && !stream.relaying;
        self.fed.store(fed, Ordering::Release);
    }

    /// The same for one that has everything before the byte `from` (the first one is 1) of the stream of this name, if that
    /// can still be told.
    pub fn resume(&self, replica: Arc<Replica>, name: &[u8], from: u64, now_ms: i64) -> Resumed {
        let mut stream = self.stream.lock();
        if !stream.knows(name, from) {
            return Resumed::TooLate;
        }
        let next = stream.offset + 1;
        let Some(backlog) = &stream.backlog else {
            return Resumed::TooLate;
        };
        let first = next - backlog.bytes.len() as u64;
        if from < first || from > next {
            return Resumed::TooLate;
        }
        let known = usize::try_from(from - first).unwrap_or(usize::MAX);
        let missed: Vec<u8> = backlog.bytes.iter().skip(known).copied().collect();
        if !missed.is_empty() {
            replica.client.mailbox.push(missed.into(), now_ms);
        }
        replica.enter(Stage::Online, now_ms);
        stream.followers.push(replica);
        Resumed::Continues
    }

    /// A client is gone.
    pub fn detach(&self, client: u64, now_ms: i64) {
        let mut stream = self.stream.lock();
        stream
            .followers
            .retain(|replica| replica.client.id != client);
        if stream.followers.is_empty() {
            stream.alone_since_ms = now_ms;
        }
    }

    /// Feeds effects. Together: as one transaction.
    pub fn feed(&self, effects: &Effects, together: bool, now_ms: i64) {
        let mut stream = self.stream.lock();
        let mut bytes = Vec::new();
        let selected = &mut stream.selected;
        effects.encode_for(Audience::Replicas, together, selected, &mut bytes);
        stream.feed(bytes.into(), now_ms);
    }

    fn feed_command(&self, words: &[&[u8]], now_ms: i64) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, words);
        self.stream.lock().feed(bytes.into(), now_ms);
    }

    /// What has to be done now and then: a PING every `ping_ms`, an end to who was silent for `timeout_ms` and to a
    /// backlog that nobody has followed for `backlog_ms` (0: it stays). False when nothing is left to do.
    pub fn beat(&self, now_ms: i64, ping_ms: i64, timeout_ms: i64, backlog_ms: i64) -> bool {
        let mut stream = self.stream.lock();
        let pings = stream
            .followers
            .iter()
            .any(|one| one.stage() == Stage::Online);
        if pings && !stream.relaying && now_ms - stream.last_ping_ms >= ping_ms {
            stream.last_ping_ms = now_ms;
            stream.feed(Bytes::from_static(b"*1\r\n$4\r\nPING\r\n"), now_ms);
        }
        for replica in &stream.followers {
            let expected = replica.acknowledges && replica.stage() == Stage::Online;
            if expected && timeout_ms > 0 && replica.silent_ms(now_ms) > timeout_ms {
                replica.client.kill();
            }
        }
        let alone = stream.followers.is_empty();
        let forgets = alone && !stream.relaying && stream.backlog.is_some();
        if forgets && backlog_ms > 0 && now_ms - stream.alone_since_ms > backlog_ms {
            stream.backlog = None;
            // What happens from now on is in no stream, so that nobody may go on with this one.
            (stream.name, stream.former) = (random_id(), None);
            self.feed_or_not(&stream);
        }
        !alone || stream.backlog.is_some()
    }

    /// The database that the readers of the stream are in.
    #[must_use]
    pub fn selected(&self) -> usize {
        self.stream.lock().selected.unwrap_or(0)
    }

    /// The replicas, in the order in which they came.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Replica>> {
        self.stream.lock().followers.clone()
    }

    /// Bytes that wait to be sent to the replica that is furthest behind; they are shared by all.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        let stream = self.stream.lock();
        let pending = stream
            .followers
            .iter()
            .map(|one| one.client.mailbox.pending());
        pending.max().unwrap_or(0)
    }

    /// What INFO shows.
    #[must_use]
    pub fn figures(&self) -> StreamFigures {
        let stream = self.stream.lock();
        StreamFigures {
            name: stream.name.clone(),
            former: stream.former.clone(),
            offset: stream.offset,
            backlog: stream.backlog.as_ref().map(|backlog| backlog.bytes.len()),
        }
    }

    /// `repl-backlog-size` has changed.
    pub fn set_backlog_size(&self, size: usize) {
        if let Some(backlog) = &mut self.stream.lock().backlog {
            backlog.size = size;
            backlog.keep(&[]);
        }
    }

    /// How many replicas follow and have not confirmed everything, of those that confirm at all.
    #[must_use]
    pub fn lagging(&self) -> usize {
        let stream = self.stream.lock();
        let lags = |replica: &&Arc<Replica>| {
            replica.stage() == Stage::Online
                && replica.acknowledges
                && replica.acknowledged() < stream.offset
        };
        stream.followers.iter().filter(lags).count()
    }

    /// How many replicas follow and were heard of within so many seconds.
    #[must_use]
    pub fn good(&self, max_lag_s: i64, now_ms: i64) -> usize {
        let good = |replica: &&Arc<Replica>| {
            replica.stage() == Stage::Online && replica.silent_ms(now_ms) / 1000 <= max_lag_s
        };
        self.stream.lock().followers.iter().filter(good).count()
    }
}

impl Stream {
    /// Whether it went under this name when its byte `from` was due.
    fn knows(&self, name: &[u8], from: u64) -> bool {
        let is_former =
            |(former, until): &(String, u64)| former.as_bytes() == name && from <= *until;
        self.name.as_bytes() == name || self.former.as_ref().is_some_and(is_former)
    }

    /// Goes on under another name, as which nobody follows yet.
    fn rename(&mut self, name: String) {
        let before = std::mem::replace(&mut self.name, name);
        self.former = Some((before, self.offset + 1));
        self.leave_all();
    }

    /// Who follows has to come again.
    fn leave_all(&self) {
        self.followers.iter().for_each(|one| one.client.kill());
    }

    /// Followers that do not read are cut off at their output limits.
    fn feed(&mut self, bytes: Bytes, now_ms: i64) {
        if bytes.is_empty() {
            return;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.keep(&bytes);
        }
        self.offset += bytes.len() as u64;
        for replica in &self.followers {
            if !replica.announced.snapshot_only {
                replica.client.mailbox.push(bytes.clone(), now_ms);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ another's stream

impl Replicas {
    /// From now on the stream is that of the server that this one follows. What happens here is no part of it.
    pub fn begin_relaying(&self) {
        let mut stream = self.stream.lock();
        stream.relaying = true;
        self.feed_or_not(&stream);
    }

    /// From now on it is our own, which goes on where the other one was, under a new name.
    pub fn end_relaying(&self, now_ms: i64) {
        let mut stream = self.stream.lock();
        stream.alone_since_ms = now_ms;
        stream.relaying = false;
        stream.selected = None;
        stream.rename(random_id());
        self.feed_or_not(&stream);
    }

    /// The data is that of a stream at this offset. Who followed has to begin anew.
    pub fn adopt(&self, name: String, offset: u64, backlog_size: usize) {
        let mut stream = self.stream.lock();
        stream.leave_all();
        (stream.name, stream.former) = (name, None);
        stream.offset = offset;
        stream.backlog = Some(Backlog {
            bytes: VecDeque::new(),
            size: backlog_size,
        });
    }

    /// The stream goes on where it was, perhaps under another name.
    pub fn go_on(&self, name: Option<String>, backlog_size: usize) {
        let mut stream = self.stream.lock();
        if let Some(name) = name.filter(|name| *name != stream.name) {
            stream.rename(name);
        }
        stream.backlog.get_or_insert_default().size = backlog_size;
    }

    /// Passes a part of the stream on.
    pub fn relay(&self, bytes: Bytes, now_ms: i64) {
        let mut stream = self.stream.lock();
        if stream.relaying {
            stream.feed(bytes, now_ms);
        }
    }

    /// Goes on under a new name that nobody has heard of (DEBUG CHANGE-REPL-ID).
    pub fn forget_name(&self) {
        let mut stream = self.stream.lock();
        (stream.name, stream.former) = (random_id(), None);
    }
}

// ------------------------------------------------------------------------------------------------ acknowledgements

impl Replicas {
    /// A replica has everything up to `offset`, and on its disk what it tells besides; those who waited for it are told.
    pub fn acknowledge(&self, client: u64, offset: u64, on_disk: Option<u64>, now_ms: i64) {
        let found = {
            let stream = self.stream.lock();
            let mut followers = stream.followers.iter();
            followers.find(|one| one.client.id == client).cloned()
        };
        let Some(replica) = found else { return };
        replica.acknowledged.fetch_max(offset, Ordering::AcqRel);
        if let Some(on_disk) = on_disk {
            replica.on_disk.fetch_max(on_disk, Ordering::AcqRel);
        }
        replica.acknowledged_ms.store(now_ms, Ordering::Relaxed);
        self.tell_waiting(&mut self.waiting.lock());
    }

    /// Tells those who have what they waited for.
    fn tell_waiting(&self, waiting: &mut Vec<Waiting>) {
        waiting.retain(|waiting| {
            let wanted = &waiting.wanted;
            let count = self.count(wanted.offset, wanted.disk.is_some());
            let done = waiting.log.is_none() && count >= wanted.replicas && waiting.waiter.claim();
            if done {
                waiting.waiter.deliver(Box::new(Acknowledged(count)));
            }
            !done && !waiting.waiter.is_claimed()
        });
    }

    /// How many replicas have everything up to this offset, in memory or on their disks.
    #[must_use]
    pub fn count(&self, offset: u64, on_disk: bool) -> usize {
        let stream = self.stream.lock();
        let followers = stream.followers.iter();
        let has_come_to = |one: &&Arc<Replica>| match on_disk {
            true => one.on_disk.load(Ordering::Acquire) >= offset,
            false => one.acknowledged() >= offset,
        };
        followers
            .filter(|one| one.stage() == Stage::Online)
            .filter(has_come_to)
            .count()
    }

    /// Tells a waiter when it has what it wants, and asks the replicas.
    pub fn wait(&self, waiter: Arc<Waiter>, wanted: Wanted, now_ms: i64) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|waiting| !waiting.waiter.is_claimed());
        let log = wanted
            .disk
            .filter(|disk| disk.here)
            .and_then(|disk| disk.log);
        waiting.push(Waiting {
            waiter,
            wanted,
            log,
        });
        drop(waiting);
        self.ask_acknowledgements(now_ms);
    }

    /// Has the replicas say how far they are, if there are any.
    pub fn ask_acknowledgements(&self, now_ms: i64) {
        let stream = self.stream.lock();
        let asks = !stream.followers.is_empty() && !stream.relaying;
        drop(stream);
        if asks {
            self.feed_command(&[b"REPLCONF", b"GETACK", b"*"], now_ms);
        }
    }

    /// Who waits for our own log, and up to which position.
    #[must_use]
    pub fn waiting_for_log(&self) -> Vec<(Arc<Waiter>, u64)> {
        let waiting = self.waiting.lock();
        let open = waiting
            .iter()
            .filter(|waiting| !waiting.waiter.is_claimed());
        open.filter_map(|waiting| Some((Arc::clone(&waiting.waiter), waiting.log?)))
            .collect()
    }

    /// Our own log is on disk up to this position; those who waited for it are told.
    pub fn log_is_on_disk(&self, position: u64) {
        let mut waiting = self.waiting.lock();
        for Waiting { log, .. } in waiting.iter_mut() {
            *log = log.filter(|wanted| *wanted > position);
        }
        self.tell_waiting(&mut waiting);
    }
}

/// What the waiter of WAIT and WAITAOF is handed: how many replicas have acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged(pub usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u64) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            id,
            addr: "10.0.0.7:4000".into(),
            ..ClientInfo::new(0)
        })
    }

    fn follower(replicas: &Replicas, id: u64) -> Arc<Replica> {
        let replica = Arc::new(Replica::new(client(id), Announced::default(), true));
        replicas.attach(Arc::clone(&replica), 64);
        replica.enter(Stage::Online, 0);
        replica
    }

    fn effects(commands: &[&[&[u8]]]) -> Effects {
        let mut effects = Effects::default();
        for words in commands {
            effects.push(0, words);
        }
        effects
    }

    fn received(replica: &Replica) -> String {
        let mut all = Vec::new();
        while let Some(message) = replica.client.mailbox.try_pop() {
            all.extend_from_slice(&message);
        }
        String::from_utf8(all).expect("these commands are text")
    }

    #[test]
    fn who_follows_is_fed_from_a_selected_database_on() {
        let replicas = Replicas::default();
        assert!(!replicas.is_fed());
        let first = follower(&replicas, 1);
        assert!(replicas.is_fed());
        replicas.feed(&effects(&[&[b"DEL", b"a"]]), true, 0);
        let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
        let del = |key: &str| format!("*2\r\n$3\r\nDEL\r\n$1\r\n{key}\r\n");
        assert_eq!(received(&first), format!("{select}{}", del("a")));
        replicas.feed(&effects(&[&[b"DEL", b"b"]]), true, 0);
        assert_eq!(received(&first), del("b"));

        let second = follower(&replicas, 2);
        replicas.feed(&effects(&[&[b"DEL", b"c"], &[b"DEL", b"d"]]), true, 0);
        let transaction = format!(
            "{select}*1\r\n$5\r\nMULTI\r\n{}{}*1\r\n$4\r\nEXEC\r\n",
            del("c"),
            del("d")
        );
        assert_eq!(received(&second), transaction);
        assert_eq!(received(&first), transaction);
        assert_eq!(first.address(), "10.0.0.7");
    }

    #[test]
    fn a_short_absence_is_made_up_for() {
        let replicas = Replicas::default();
        let replica = follower(&replicas, 1);
        replicas.feed(&effects(&[&[b"DEL", b"a"]]), true, 0);
        let before = replicas.figures().offset;
        let name = replicas.figures().name.into_bytes();
        drop(received(&replica));
        replicas.detach(1, 0);
        replicas.feed(&effects(&[&[b"DEL", b"b"]]), true, 0);

        let back = || Arc::new(Replica::new(client(2), Announced::default(), true));
        let replica = back();
        let resumed = replicas.resume(Arc::clone(&replica), &name, before + 1, 0);
        assert_eq!(resumed, Resumed::Continues);
        assert_eq!(received(&replica), "*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n");
        let after = replicas.figures().offset;
        assert_eq!(
            replicas.resume(back(), &name, after + 2, 0),
            Resumed::TooLate
        );

        replicas.feed(&effects(&[&[b"SET", b"k", &[b'x'; 100]]]), true, 0);
        assert_eq!(replicas.figures().backlog, Some(64));
        assert_eq!(
            replicas.resume(back(), b"another", after + 1, 0),
            Resumed::TooLate
        );
        assert_eq!(
            replicas.resume(back(), &name, before + 1, 0),
            Resumed::TooLate
        );
    }

    #[test]
    fn who_waits_is_told_when_enough_have_acknowledged() {
        let replicas = Replicas::default();
        let (first, second) = (follower(&replicas, 1), follower(&replicas, 2));
        let waiter = Arc::new(Waiter::new(9, &[], 0, false, 0, Vec::new()));
        let wanted = Wanted {
            replicas: 2,
            offset: 10,
            disk: None,
        };
        replicas.wait(Arc::clone(&waiter), wanted, 0);
        assert!(received(&first).contains("GETACK"));
        replicas.acknowledge(1, 10, None, 5);
        replicas.acknowledge(2, 9, None, 5);
        assert!(!waiter.is_claimed());
        assert_eq!(replicas.count(10, false), 1);
        replicas.acknowledge(2, 12, None, 5);
        assert!(waiter.is_claimed());
        assert_eq!(second.silent_ms(1005), 1000);
        assert_eq!(replicas.good(1, 1005), 2);
        assert_eq!(replicas.good(1, 2005), 0);
    }

    #[test]
    fn who_waits_for_disks_is_told_when_ours_and_theirs_have_it() {
        let replicas = Replicas::default();
        let _first = follower(&replicas, 1);
        let waiter = Arc::new(Waiter::new(9, &[], 0, false, 0, Vec::new()));
        let disk = OnDisk {
            log: Some(70),
            here: true,
        };
        let wanted = Wanted {
            replicas: 1,
            offset: 10,
            disk: Some(disk),
        };
        replicas.wait(Arc::clone(&waiter), wanted, 0);
        replicas.acknowledge(1, 12, None, 5);
        assert_eq!(
            (replicas.count(10, false), replicas.count(10, true)),
            (1, 0)
        );
        replicas.log_is_on_disk(69);
        replicas.acknowledge(1, 12, Some(10), 5);
        assert!(!waiter.is_claimed());
        assert_eq!(replicas.waiting_for_log().len(), 1);
        replicas.log_is_on_disk(70);
        assert!(waiter.is_claimed());
        assert!(replicas.waiting_for_log().is_empty());
    }

    #[test]
    fn another_server_s_stream_goes_on_as_our_own() {
        let replicas = Replicas::default();
        let replica = follower(&replicas, 1);
        replicas.begin_relaying();
        assert!(!replicas.is_fed());
        replicas.adopt("theirs".into(), 100, 64);
        assert!(replica.client.mailbox.is_killed());
        replicas.detach(1, 0);
        replicas.relay(Bytes::from_static(b"12345"), 0);
        let back = || Arc::new(Replica::new(client(2), Announced::default(), true));
        let resumed = replicas.resume(back(), b"theirs", 101, 0);
        assert_eq!(resumed, Resumed::Continues);
        replicas.end_relaying(0);
        assert!(replicas.is_fed());
        replicas.relay(Bytes::from_static(b"too late"), 0);
        let figures = replicas.figures();
        assert_eq!(
            (figures.offset, figures.former),
            (105, Some(("theirs".into(), 106)))
        );
        assert_eq!(
            replicas.resume(back(), b"theirs", 106, 0),
            Resumed::Continues
        );
        replicas.feed(&effects(&[&[b"DEL", b"a"]]), true, 0);
        assert_eq!(replicas.resume(back(), b"theirs", 107, 0), Resumed::TooLate);
        let name = figures.name.into_bytes();
        assert_eq!(replicas.resume(back(), &name, 107, 0), Resumed::Continues);
        replicas.go_on(Some("another".into()), 64);
        assert_eq!(replicas.figures().name, "another");
    }

    #[test]
    fn silence_ends_a_replica_and_later_the_backlog() {
        let replicas = Replicas::default();
        let replica = follower(&replicas, 1);
        assert!(replicas.beat(10_000, 10_000, 60_000, 5_000));
        assert_eq!(received(&replica), "*1\r\n$4\r\nPING\r\n");
        assert!(replicas.beat(11_000, 10_000, 60_000, 5_000));
        assert_eq!(received(&replica), "");
        assert!(replicas.beat(60_001, 100_000, 60_000, 5_000));
        assert!(replica.client.mailbox.is_killed());
        replicas.detach(1, 60_001);
        assert!(replicas.beat(65_001, 10_000, 60_000, 5_000));
        assert!(!replicas.beat(65_002, 10_000, 60_000, 5_000));
        assert!(!replicas.is_fed());
    }
}
