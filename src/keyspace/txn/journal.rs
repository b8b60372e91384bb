//! What a transaction collects while its commands run: effects for the log and replicas, events, keys to be served.

use smallvec::SmallVec;

use crate::keyspace::waiter::WaitKey;
use crate::keyspace::{Database, Event, Value};

/// Bytes of effects for which a session keeps room.
const KEPT_EFFECTS: usize = 64 << 10;

/// What a command changed, as commands that the loader can run: RESP, one after the other.
#[derive(Debug, Default)]
pub struct Effects {
    /// Encoded commands.
    pub bytes: Vec<u8>,
    /// Database and end offset in `bytes` of each command.
    pub commands: SmallVec<[(usize, usize); 2]>,
    /// Which of the commands, by number, are for replicas and not for the log.
    pub for_replicas: Vec<usize>,
}

/// Who effects are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The log on disk.
    Log,
    /// Replicas, who also hear what is published.
    Replicas,
}

impl Effects {
    /// Adds a command.
    pub fn push(&mut self, db: usize, args: &[&[u8]]) {
        encode_command(&mut self.bytes, args);
        self.commands.push((db, self.bytes.len()));
    }

    /// Forgets all of it, keeping the memory, unless it was unusually large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_EFFECTS);
        self.commands.clear();
        self.for_replicas.clear();
    }

    /// Whether there is nothing for the log.
    #[must_use]
    pub fn is_empty_for_log(&self) -> bool {
        self.commands.len() == self.for_replicas.len()
    }

    /// Appends them as a reader takes them that is in the database `selected`, which is brought up to date. Together:
    /// several are one transaction.
    pub fn encode_for(
        &self,
        audience: Audience,
        together: bool,
        selected: &mut Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let hears =
            |index: &usize| audience == Audience::Replicas || !self.for_replicas.contains(index);
        let transaction = together && (0..self.commands.len()).filter(hears).count() > 1;
        let (mut start, mut begun) = (0, false);
        for (index, (db, end)) in self.commands.iter().enumerate() {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            if !hears(&index) {
                continue;
            }
            if *selected != Some(*db) {
                let mut digits = itoa::Buffer::new();
                encode_command(out, &[b"SELECT", digits.format(*db).as_bytes()]);
                *selected = Some(*db);
            }
            if transaction && !begun {
                encode_command(out, &[b"MULTI"]);
                begun = true;
            }
            out.extend_from_slice(bytes);
        }
        if transaction {
            encode_command(out, &[b"EXEC"]);
        }
    }
}

/// Appends a command as a RESP array of bulk strings.
pub fn encode_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    begin_command(out, args.len());
    args.iter().for_each(|arg| encode_word(out, arg));
}

/// Begins a command of so many words; each of them follows by [`encode_word`].
pub fn begin_command(out: &mut Vec<u8>, words: usize) {
    out.push(b'*');
    out.extend_from_slice(itoa::Buffer::new().format(words).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a word of a command.
pub fn encode_word(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'$');
    out.extend_from_slice(itoa::Buffer::new().format(word.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// What a transaction collects for the engine while its commands run.
#[derive(Debug, Default)]
pub struct Journal {
    /// Effects for the log.
    pub effects: Effects,
    /// Keyspace events of the wanted classes.
    pub events: Vec<Event>,
    /// Keys with waiters that changed, in the order in which they did.
    pub ready: Vec<WaitKey>,
    /// Whether the effects stand each for itself, as the removal of keys that a read found expired; otherwise they are
    /// one transaction of the log.
    pub apart: bool,
    /// Changes since the transaction began.
    pub dirty: u64,
    /// The earliest expiry that was set, in Unix milliseconds.
    pub earliest_expiry_ms: Option<i64>,
    /// Keys that changed while somebody tracks them, and whether the client did it.
    pub invalidated: Vec<(Box<[u8]>, bool)>,
    /// How many of them are settled: reads that came after have been noted.
    pub settled: usize,
    /// Each time that databases were emptied while somebody tracks keys: how many keys had changed by then.
    pub flushed: Vec<usize>,
    /// Large values to be dropped outside the locks.
    pub discarded: Vec<Value>,
    /// Databases to be dropped outside the locks.
    pub emptied: Vec<Database>,
    /// Bytes in use before databases were dropped at once; 0: none were.
    pub used_before: usize,
}

impl Journal {
    /// Whether there is nothing for the engine to do, but perhaps to drop values.
    #[must_use]
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.dirty == 0
            && self.effects.commands.is_empty()
            && self.events.is_empty()
            && self.ready.is_empty()
            && self.earliest_expiry_ms.is_none()
            && !self.concerns_trackers()
    }

    /// Whether there is something to drop, or to look after because it was dropped.
    #[must_use]
    #[inline]
    pub const fn leaves_garbage(&self) -> bool {
        !self.discarded.is_empty() || !self.emptied.is_empty() || self.used_before > 0
    }

    /// Whether anything is to be told to those who track keys.
    #[must_use]
    #[inline]
    pub fn concerns_trackers(&self) -> bool {
        !self.invalidated.is_empty() || !self.flushed.is_empty()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.events.clear();
        self.ready.clear();
        self.discarded.clear();
        self.emptied.clear();
        self.used_before = 0;
        self.invalidated.clear();
        self.flushed.clear();
        self.settled = 0;
        (self.apart, self.dirty, self.earliest_expiry_ms) = (false, 0, None);
    }
}
