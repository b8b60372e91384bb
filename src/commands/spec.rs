//! What an entry of the command table says. COMMAND, COMMAND DOCS, COMMAND GETKEYS, ACL and the locks are derived
//! from it; nothing about a command is written down a second time.

use super::{CommandResult, Context};

/// A command's handler.
pub type Handler = for<'a, 't> fn(&mut Context<'a, 't>) -> CommandResult;

/// Finds the keys of a command line where no [`KeySpec`] can: calls `visit` with the position of each and with what
/// happens to it. True when the command reaches further keys, whose names depend on the data.
pub type KeyFinder = fn(args: &[&[u8]], visit: &mut dyn FnMut(usize, &'static str)) -> bool;

/// One command, or one subcommand of a container.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpec {
    /// Lower case; a subcommand's own word only.
    pub name: &'static str,
    /// Number of words with the name; negative: at least that many.
    pub arity: i32,
    /// See [`Flags`].
    pub flags: Flags,
    /// ACL categories, as `ACL CAT` names them, separated by blanks.
    pub acl: &'static str,
    /// Where its keys stand.
    pub keys: &'static [KeySpec],
    /// What finds its keys for the locks instead, where the rules fall short.
    pub find_keys: Option<KeyFinder>,
    /// Documentation group: `string`, `list`, `server`, …
    pub group: &'static str,
    /// First Redis version that had it.
    pub since: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// Command tips, separated by blanks.
    pub tips: &'static str,
    /// Version and what changed.
    pub history: &'static [(&'static str, &'static str)],
    /// Since when it is deprecated, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// `syscmd`, or nothing.
    pub doc_flags: &'static str,
    /// The arguments in the notation of [`super::docs`].
    pub arguments: &'static str,
    /// The subcommands of a container.
    pub subcommands: &'static [CommandSpec],
    /// What runs it.
    pub handler: Handler,
}

impl CommandSpec {
    /// An entry with nothing but a name, an arity, flags and its handler; the rest is filled with struct update syntax.
    #[must_use]
    pub const fn new(name: &'static str, arity: i32, flags: Flags, handler: Handler) -> Self {
        Self {
            name,
            arity,
            flags,
            acl: "",
            keys: &[],
            find_keys: None,
            group: "generic",
            since: "1.0.0",
            summary: "",
            complexity: "",
            tips: "",
            history: &[],
            deprecated: None,
            doc_flags: "",
            arguments: "",
            subcommands: &[],
            handler,
        }
    }

    /// Whether `count` words (name included) are as many as it takes.
    #[must_use]
    pub const fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 {
            count == self.arity as usize
        } else {
            count >= self.arity.unsigned_abs() as usize
        }
    }
}

/// The flags of a command, as `COMMAND INFO` names them, and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// Name of each flag, in the order in which `COMMAND INFO` lists them; our own have none.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

flags! {
    /// May change the data.
    WRITE = 0, "write";
    /// Never changes the data.
    READONLY = 1, "readonly";
    /// Refused when memory is full.
    DENYOOM = 2, "denyoom";
    /// A module's.
    MODULE = 3, "module";
    /// An administrator's.
    ADMIN = 4, "admin";
    /// Pub/sub.
    PUBSUB = 5, "pubsub";
    /// Not from scripts.
    NOSCRIPT = 6, "noscript";
    /// May block.
    BLOCKING = 8, "blocking";
    /// Answered while the data is loading.
    LOADING = 9, "loading";
    /// Answered by a replica that lost its master.
    STALE = 10, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 11, "skip_monitor";
    /// Not in the slow log.
    SKIP_SLOWLOG = 12, "skip_slowlog";
    /// Cluster: allowed while importing.
    ASKING = 13, "asking";
    /// Constant or logarithmic.
    FAST = 14, "fast";
    /// Answered before AUTH.
    NO_AUTH = 15, "no_auth";
    /// May be replicated although it reads. `COMMAND INFO` does not name it.
    MAY_REPLICATE = 16, "";
    /// Sentinel only.
    SENTINEL = 17, "sentinel";
    /// Any key.
    NO_MANDATORY_KEYS = 20, "no_mandatory_keys";
    /// Refused while a replica loads its data beside the old.
    NO_ASYNC_LOADING = 23, "no_async_loading";
    /// Not inside MULTI.
    NO_MULTI = 24, "no_multi";
    /// Its keys cannot be told from their position alone.
    MOVABLEKEYS = 25, "movablekeys";
    /// Answered while a script is busy.
    ALLOW_BUSY = 26, "allow_busy";
    /// Refused unless a parameter of files allows it. `COMMAND INFO` does not name it.
    PROTECTED = 27, "";
    /// Ours: runs a script, which may lock further shards and is admitted by what it declares.
    RUNS_SCRIPT = 28, "";
    /// Ours: may change the data although it is not flagged so, because of what it runs (EVAL, FCALL).
    MAY_WRITE = 29, "";
    /// Ours: runs with every shard locked.
    ALL_SHARDS = 30, "";
    /// Ours: does not wait behind CLIENT PAUSE and is not queued by MULTI (EXEC, DISCARD, …).
    IMMEDIATE = 31, "";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a command with these flags may change the data.
    #[must_use]
    pub const fn may_write(self) -> bool {
        self.0 & (Self::WRITE.0 | Self::MAY_WRITE.0) != 0
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where keys begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At this word (the name is word 0).
    Index(usize),
    /// After this word, searched from this position on (from the end when negative).
    Keyword(&'static str, i32),
    /// Cannot be told.
    Unknown,
}

/// Which keys follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` (relative to the first; negative from the end of the words), every `step`; with a `limit` of 2 only
    /// the first half of the words.
    Range {
        /// Last key, relative.
        last: i32,
        /// Distance of keys.
        step: usize,
        /// 0, or the fraction of the words that are keys.
        limit: usize,
    },
    /// A number of keys stands at `count`, the first key at `first`, both relative.
    KeyNum {
        /// Position of the number.
        count: usize,
        /// Position of the first key.
        first: usize,
        /// Distance of keys.
        step: usize,
    },
    /// Cannot be told.
    Unknown,
}

/// One rule that finds keys among a command's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// `RW`, `RO`, `OW`, `RM`, and `access`, `update`, `insert`, `delete`, `not_key`, `incomplete`, `variable_flags`,
    /// separated by blanks.
    pub flags: &'static str,
    /// A remark, often empty.
    pub notes: &'static str,
    /// Where keys begin.
    pub begin: Begin,
    /// Which follow.
    pub find: Find,
}

/// One key at word 1, by far the most frequent rule.
#[must_use]
pub const fn one_key(flags: &'static str) -> KeySpec {
    key_range(flags, 1, 0, 1)
}

/// Keys from word `first` to `first + last` (or from the end when negative), every `step`.
#[must_use]
pub const fn key_range(flags: &'static str, first: usize, last: i32, step: usize) -> KeySpec {
    KeySpec {
        flags,
        notes: "",
        begin: Begin::Index(first),
        find: Find::Range {
            last,
            step,
            limit: 0,
        },
    }
}

impl KeySpec {
    /// Calls `visit` with the position of each key among `args`. False when the words break the rule (a number of keys
    /// that is none, or more keys than words).
    pub fn positions(&self, args: &[&[u8]], mut visit: impl FnMut(usize)) -> bool {
        let first = match self.begin {
            Begin::Index(index) => index,
            Begin::Keyword(word, from) => match find_keyword(args, word, from) {
                Some(at) => at + 1,
                None => return true,
            },
            Begin::Unknown => return true,
        };
        match self.find {
            Find::Range { last, step, limit } => {
                let Some(end) = range_end(args.len(), first, last, limit) else {
                    return false;
                };
                (first..=end).step_by(step.max(1)).for_each(visit);
                true
            }
            Find::KeyNum {
                count,
                first: offset,
                step,
            } => {
                let Some(keys) = args
                    .get(first + count)
                    .and_then(|n| crate::value::number::parse_i64(n))
                else {
                    return false;
                };
                let start = first + offset;
                let room = args.len().saturating_sub(start).div_ceil(step.max(1));
                match usize::try_from(keys) {
                    Ok(keys) if keys <= room => {
                        (0..keys).for_each(|i| visit(start + i * step.max(1)));
                        true
                    }
                    _ => false,
                }
            }
            Find::Unknown => true,
        }
    }
}

fn range_end(words: usize, first: usize, last: i32, limit: usize) -> Option<usize> {
    if first >= words {
        return None;
    }
    let end = if last >= 0 {
        first + last as usize
    } else if limit <= 1 {
        words.checked_sub(last.unsigned_abs() as usize)?
    } else {
        first + (words - first) / limit + 1 - (last.unsigned_abs() as usize) - 1
    };
    (end < words && end >= first).then_some(end)
}

fn find_keyword(args: &[&[u8]], word: &str, from: i32) -> Option<usize> {
    let matches = |i: &usize| {
        args.get(*i)
            .is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()))
    };
    if from >= 0 {
        (from as usize..args.len()).find(matches)
    } else {
        let start = args.len().checked_sub(from.unsigned_abs() as usize)?;
        (1..=start).rev().find(matches)
    }
}
