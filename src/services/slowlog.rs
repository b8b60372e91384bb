//! The slow log: the last commands that took longer than `slowlog-log-slower-than`. Knows no reply and no clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ClientInfo;

/// Words kept of a command; the last says how many more there were.
const MAX_WORDS: usize = 32;
/// Bytes kept of a word.
const MAX_WORD: usize = 128;

/// One slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowEntry {
    /// Grows, and is not reset.
    pub id: u64,
    /// Unix seconds.
    pub at: i64,
    /// Microseconds.
    pub duration_us: u64,
    /// Its words, cut.
    pub args: Vec<Box<[u8]>>,
    /// `ip:port` of its client.
    pub addr: String,
    /// Name of its client.
    pub name: Vec<u8>,
}

/// The entries, newest first.
#[derive(Debug)]
pub struct SlowLog {
    entries: Mutex<(u64, VecDeque<SlowEntry>)>,
    /// Microseconds above which a command is logged; negative: none is. Read by every command.
    pub slower_than_us: AtomicI64,
    /// Most entries.
    pub max_len: AtomicUsize,
}

impl Default for SlowLog {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            slower_than_us: AtomicI64::new(10_000),
            max_len: AtomicUsize::new(128),
        }
    }
}

impl SlowLog {
    /// Whether a command of this duration belongs here.
    #[must_use]
    pub fn wants(&self, duration_us: u64) -> bool {
        let threshold = self.slower_than_us.load(Ordering::Relaxed);
        u64::try_from(threshold).is_ok_and(|threshold| duration_us >= threshold)
    }

    /// Adds a command if it took long enough.
    pub fn record(&self, client: &ClientInfo, args: &[&[u8]], duration_us: u64, now_ms: i64) {
        if !self.wants(duration_us) {
            return;
        }
        let mut entries = self.entries.lock();
        let (next_id, list) = &mut *entries;
        list.push_front(SlowEntry {
            id: *next_id,
            at: now_ms / 1000,
            duration_us,
            args: cut(args),
            addr: client.addr.clone(),
            name: client.name.lock().clone(),
        });
        *next_id += 1;
        list.truncate(self.max_len.load(Ordering::Relaxed));
    }

    /// The newest entries.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        self.entries.lock().1.iter().take(count).cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().1.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what is too much after the limit has shrunk.
    pub fn trim(&self) {
        let max = self.max_len.load(Ordering::Relaxed);
        self.entries.lock().1.truncate(max);
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.entries.lock().1.clear();
    }
}

fn cut(args: &[&[u8]]) -> Vec<Box<[u8]>> {
    let shown = if args.len() > MAX_WORDS {
        MAX_WORDS - 1
    } else {
        args.len()
    };
    let mut words: Vec<Box<[u8]>> = args.iter().take(shown).map(|word| cut_word(word)).collect();
    if args.len() > shown {
        let more = format!("... ({} more arguments)", args.len() - shown);
        words.push(more.into_bytes().into());
    }
    words
}

fn cut_word(word: &[u8]) -> Box<[u8]> {
    match word.split_at_checked(MAX_WORD) {
        Some((head, rest)) if !rest.is_empty() => {
            let mut text = head.to_vec();
            text.extend_from_slice(format!("... ({} more bytes)", rest.len()).as_bytes());
            text.into()
        }
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_cut() {
        let log = SlowLog::default();
        log.slower_than_us.store(0, Ordering::Relaxed);
        let (long, client) = (vec![b'x'; 130], ClientInfo::default());
        let args: Vec<&[u8]> = std::iter::repeat_n(&long[..], 33).collect();
        log.record(&client, &args, 7, 5_000);
        let entries = log.newest(10);
        let words = &entries.first().expect("one was recorded").args;
        assert_eq!(words.len(), 32);
        assert!(words[0].ends_with(b"xxx... (2 more bytes)"));
        assert_eq!(&*words[31], b"... (2 more arguments)");
    }

    #[test]
    fn a_negative_threshold_logs_nothing() {
        let log = SlowLog::default();
        log.slower_than_us.store(-1, Ordering::Relaxed);
        log.record(&ClientInfo::default(), &[b"PING"], u64::MAX, 0);
        assert!(log.is_empty());
        log.slower_than_us.store(0, Ordering::Relaxed);
        log.max_len.store(2, Ordering::Relaxed);
        for _ in 0..3 {
            log.record(&ClientInfo::default(), &[b"PING"], 0, 0);
        }
        let ids: Vec<u64> = log.newest(9).iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [2, 1]);
    }
}
