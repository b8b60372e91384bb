//! The one list of differences that stay, each with its reason: innkeep answers as Redis 7.2, the reference is
//! 7.0.15, and what a process says about itself is its own. Anything else that differs is a fault of ours.

/// Commands, or a command's subcommands as `name|sub`, that the sweep of wrong input leaves out.
pub(crate) const NOT_SWEPT: &[(&str, &str)] = &[
    ("shutdown", "ends the server"),
    ("debug", "crashes the reference with the right word"),
    ("monitor", "what follows is no reply; a step of its own"),
    ("quit", "ends the connection; a step of its own"),
    ("subscribe", "a reply for each word; a step of its own"),
    ("psubscribe", "a reply for each word; a step of its own"),
    ("ssubscribe", "a reply for each word; a step of its own"),
    ("unsubscribe", "a reply for each word; a step of its own"),
    ("punsubscribe", "a reply for each word; a step of its own"),
    ("sunsubscribe", "a reply for each word; a step of its own"),
    ("client|reply", "ends the replies that would be compared"),
    ("client|kill", "ends the connection; a step of its own"),
    ("client|pause", "ends all replies; a step of its own"),
    ("client|help", "Redis 7.2 has more subcommands"),
    ("client|list", "a process tells of itself"),
    ("client|info", "a process tells of itself"),
    ("client|id", "connections are counted by each server"),
    ("acl|genpass", "random"),
    ("acl|help", "there is nothing but a default user"),
    (
        "script|debug",
        "whether it came in a pipeline is not told to commands",
    ),
    (
        "command|count",
        "each server has commands that the other has not",
    ),
    ("command|docs", "the whole table; a test of its own"),
    ("command|info", "the whole table; a test of its own"),
    ("command|list", "the whole table; a test of its own"),
    ("time", "the clock"),
    ("info", "a process tells of itself; a test of its own"),
    ("memory|doctor", "a process tells of itself"),
    ("memory|stats", "a process tells of itself"),
    (
        "memory|usage",
        "another layout in memory; a grammar of its own",
    ),
    ("memory|malloc-stats", "another allocator"),
    ("latency|histogram", "measured times"),
    ("latency|doctor", "measured times"),
    ("slowlog|get", "measured times"),
    ("lastsave", "the clock"),
    ("save", "files; the tests of durability have them"),
    ("bgsave", "files; the tests of durability have them"),
    ("bgrewriteaof", "files; the tests of durability have them"),
    ("lolwut", "the version is told; what is drawn is random"),
    ("hello", "the version is told; a grammar of its own"),
    (
        "replicaof",
        "replicas refuse what follows; tests of their own",
    ),
    (
        "slaveof",
        "replicas refuse what follows; tests of their own",
    ),
    ("sync", "what follows is no reply; a test of its own"),
    ("psync", "what follows is no reply; a test of its own"),
    (
        "replconf",
        "acknowledgements are not answered; a test of its own",
    ),
    ("role", "offsets of a log that the reference does not keep"),
    ("wait", "waits for as long as it is told"),
    ("waitaof", "waits for as long as it is told"),
    ("command", "the whole table; a test of its own"),
    ("config|rewrite", "files"),
    ("eval", "the text is a script; a grammar of its own"),
    ("eval_ro", "the text is a script; a grammar of its own"),
    ("script|load", "the text is a script; a grammar of its own"),
    (
        "function|load",
        "the text is a library; a grammar of its own",
    ),
    ("function|list", "native scripts are listed"),
    ("function|stats", "native scripts are counted"),
    ("function|dump", "native scripts are no payload"),
    ("function|restore", "payloads"),
    ("module|help", "there are no modules to load"),
];

/// What no grammar makes, as `name`, `name|sub` or `name OPTION`, and why.
pub(crate) const NOT_MADE: &[(&str, &str)] = &[
    ("backup", "no Redis has it; the tests of durability do"),
    ("bgrewriteaof", "files; the tests of durability have them"),
    (
        "bgsave SCHEDULE",
        "files; the tests of durability have them",
    ),
    ("client|help", "each version has more subcommands"),
    ("client|reply OFF", "streams of raw bytes have it"),
    ("client|reply SKIP", "streams of raw bytes have it"),
    ("monitor", "a connection of its own hears each sequence"),
    (
        "pfselftest",
        "fails in the reference where there are no sparse forms",
    ),
    ("psync", "what follows is no reply; a test of its own"),
    ("quit", "streams of raw bytes have it"),
    (
        "script|debug SYNC",
        "every EVAL after it is a session of its own",
    ),
    (
        "script|debug YES",
        "every EVAL after it is a session of its own",
    ),
    ("sync", "what follows is no reply; a test of its own"),
    ("xadd *", "the clock makes the id"),
];

/// A difference of two answers to one command line that may stand.
pub(crate) struct Reason {
    /// What the command's name begins with.
    pub(crate) command: &'static str,
    /// Whether these words bring the difference about.
    pub(crate) applies: fn(&[Vec<u8>]) -> bool,
    /// Why it stays.
    pub(crate) why: &'static str,
}

/// The position of the time-out of a command that waits.
fn timeout(words: &[Vec<u8>]) -> &[u8] {
    let first = has(&words[..1], "BLMPOP") || has(&words[..1], "BZMPOP");
    let word = if first { words.get(1) } else { words.last() };
    word.map_or(b"", Vec::as_slice)
}

/// Differences of single command lines.
pub(crate) const REASONS: &[Reason] = &[
    Reason {
        command: "zrank",
        applies: |words| words.len() > 3,
        why: "Redis 7.2 takes WITHSCORE",
    },
    Reason {
        command: "zrevrank",
        applies: |words| words.len() > 3,
        why: "Redis 7.2 takes WITHSCORE",
    },
    Reason {
        command: "lpos",
        applies: |words| has(words, "-9223372036854775808"),
        why: "Redis 7.2 refuses a rank that has no opposite",
    },
    Reason {
        command: "xread",
        applies: |words| has(words, "+"),
        why: "Redis 7.4 takes + for the last entry",
    },
    Reason {
        command: "xadd",
        applies: |words| has(words, "*"),
        why: "the clock makes the id",
    },
    Reason {
        command: "dump",
        applies: |words| words.len() == 2 && words[1] == b"t",
        why: "a large set is written in its own order",
    },
    Reason {
        command: "sort",
        applies: |words| words.len() > 2 && words[1] == b"t",
        why: "a large set that is not sorted comes in its own order",
    },
    Reason {
        command: "acl",
        applies: |words| has(words, "LIST"),
        why: "Redis 7.2 shows the rules that were given, 7.0 those that come to the same",
    },
    Reason {
        command: "memory",
        applies: |words| has(words, "STATS") || has(words, "MALLOC-STATS") || has(words, "DOCTOR"),
        why: "a process tells of itself",
    },
    Reason {
        command: "function",
        applies: |words| has(words, "LIST") || has(words, "STATS"),
        why: "native scripts are listed",
    },
    Reason {
        command: "client",
        applies: |words| has(words, "REDIRECT"),
        why: "connections are counted by each server",
    },
    Reason {
        command: "client",
        applies: |words| has(words, "MAXAGE"),
        why: "Redis 7.4 takes MAXAGE",
    },
    Reason {
        command: "b",
        applies: |words| {
            let timeout = timeout(words).to_ascii_lowercase();
            timeout.len() > 15
                || timeout.starts_with(b"1e")
                || timeout.ends_with(b"inf")
                || timeout == b"infinity"
        },
        why: "Redis 7.2 says that a time-out is out of range, 7.0 takes it for a negative one",
    },
    Reason {
        command: "config",
        applies: |words| {
            has(words, "GET")
                && (words.len() > 3 || words[2].iter().any(|byte| b"*?[".contains(byte)))
        },
        why: "the order of several parameters is that of a table's hashes",
    },
];

/// Whether what a command does hangs on the moment: it gives something a life so short that one server may see the end
/// of it and the other not.
pub(crate) fn runs_out_soon(words: &[Vec<u8>]) -> bool {
    const IN_MILLISECONDS: &[&str] = &["PSETEX", "PEXPIRE", "HPEXPIRE", "RESTORE"];
    const IN_SECONDS: &[&str] = &["SETEX", "EXPIRE", "HEXPIRE"];
    const OPTIONAL: &[&str] = &["SET", "GETEX", "HSETEX", "HGETEX"];
    let is = |names: &[&str]| names.iter().any(|name| has(&words[..1], name));
    let is_short = |word: Option<&Vec<u8>>, end: i64| {
        let text = word.and_then(|word| std::str::from_utf8(word).ok());
        text.and_then(|text| text.parse().ok())
            .is_some_and(|number: i64| (1..end).contains(&number))
    };
    let after = |option: &str| {
        let at = words
            .iter()
            .position(|word| has(std::slice::from_ref(word), option));
        at.and_then(|at| words.get(at + 1))
    };
    is(IN_MILLISECONDS) && is_short(words.get(2), 100_000)
        || is(IN_SECONDS) && is_short(words.get(2), 100)
        || is(OPTIONAL) && (is_short(after("PX"), 100_000) || is_short(after("EX"), 100))
}

/// Whether `words` hold this word.
pub(crate) fn has(words: &[Vec<u8>], word: &str) -> bool {
    words
        .iter()
        .any(|given| given.eq_ignore_ascii_case(word.as_bytes()))
}

/// Why a difference in the answers to these words stands, if it does.
pub(crate) fn reason(words: &[Vec<u8>]) -> Option<&'static str> {
    let name = words.first()?;
    REASONS
        .iter()
        .find(|reason| {
            let name = name.get(..reason.command.len());
            name.is_some_and(|name| name.eq_ignore_ascii_case(reason.command.as_bytes()))
                && (reason.applies)(words)
        })
        .map(|reason| reason.why)
}

const ACTIVE_CONSUMERS: &str = "Redis 7.2 tells when consumers last got something";

const TRIMMED_REFERENCES: &str = "Redis 8.2 takes KEEPREF, DELREF and ACKED";

/// Questions about the command table that are answered otherwise, and why.
const TOLD_OTHERWISE: &[(&[&str], &str)] = &[
    (&["COMMAND", "INFO", "zrank"], "Redis 7.2 takes WITHSCORE"),
    (
        &["COMMAND", "INFO", "zrevrank"],
        "Redis 7.2 takes WITHSCORE",
    ),
    (&["COMMAND", "DOCS", "hscan"], "Redis 7.4 takes NOVALUES"),
    (&["COMMAND", "DOCS", "zrank"], "Redis 7.2 takes WITHSCORE"),
    (
        &["COMMAND", "DOCS", "zrevrank"],
        "Redis 7.2 takes WITHSCORE",
    ),
    (&["COMMAND", "DOCS", "xadd"], TRIMMED_REFERENCES),
    (&["COMMAND", "DOCS", "xtrim"], TRIMMED_REFERENCES),
    (&["COMMAND", "DOCS", "xinfo"], ACTIVE_CONSUMERS),
    (&["COMMAND", "DOCS", "xinfo|consumers"], ACTIVE_CONSUMERS),
    (&["COMMAND", "DOCS", "xinfo|stream"], ACTIVE_CONSUMERS),
];

/// Why the answer to a question about the command table differs, if it may.
pub(crate) fn tells_otherwise(words: &[&str]) -> Option<&'static str> {
    let found = TOLD_OTHERWISE
        .iter()
        .find(|(question, _)| *question == words);
    found.map(|(_, why)| *why)
}

/// Fields of CLIENT LIST that only the process itself can tell.
#[rustfmt::skip]
pub(crate) const OWN_FIELDS: &[&str] = &[
    "id", "addr", "laddr", "fd", "age", "idle", "qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp", "obl", "oll",
    "omem", "tot-mem", "events",
];

/// Fields of CLIENT LIST that Redis 7.2 has added.
pub(crate) const NEWER_FIELDS: &[&str] = &["lib-name", "lib-ver"];

/// Fields of XINFO that Redis 7.2 has added: [`ACTIVE_CONSUMERS`].
pub(crate) const NEWER_CONSUMER_FIELDS: &[&[u8]] = &[b"inactive", b"active-time"];

/// Commands that the test asks one server more often than the other, until something has come about or an iteration
/// has ended; as MONITOR shows them.
pub(crate) const ASKED_UNEVENLY: &[&str] = &[
    "\"client\" \"list\"",
    "\"scan\"",
    "\"hscan\"",
    "\"sscan\"",
    "\"zscan\"",
];

// A destination that has run out and gets no result (SINTERSTORE of nothing): Redis deletes it with the event `del`, here
// it expires with `expired`, as every key does that is found so. The steps in which keys run out have no such commands.

/// Fields of INFO that only one of the servers has or that count something else, and why.
const FIELDS: &[(&str, &str)] = &[
    (
        "cmdstat_client|unblock",
        "the reference takes the error that it gives another client for its own",
    ),
    (
        "start_report",
        "what was loaded and what is at risk, in words of ours",
    ),
];

/// Fields of INFO that Redis 7.2 has added.
const NEWER_INFO: &[&str] = &[
    "pubsub_clients",
    "total_blocking_keys",
    "total_blocking_keys_on_nokey",
    "total_watched_keys",
    "watching_clients",
    "listener0",
    "listener1",
    "acl_access_denied_auth",
    "acl_access_denied_channel",
    "acl_access_denied_cmd",
    "acl_access_denied_key",
];

/// Whether a field of INFO may differ or be missing.
pub(crate) fn is_field_of_its_own(name: &str) -> bool {
    NEWER_INFO.contains(&name) || FIELDS.iter().any(|(field, _)| *field == name)
}

/// Whether a section of INFO tells of measured times only.
pub(crate) fn has_fields_of_its_own(section: &str) -> bool {
    section == "Latencystats"
}

/// The flag of CLIENT NO-EVICT, which RESET takes away in later versions but not in the reference.
pub(crate) const OWN_FLAG: &str = "e";

/// The subcommand of CLIENT that no play has which also pauses: Redis 7.0 unblocks a client whose command is held back,
/// answers it with an error and then executes the command all the same; later versions leave it alone.
pub(crate) const NOT_WITH_PAUSES: &str = "UNBLOCK";
