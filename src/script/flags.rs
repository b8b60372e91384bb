//! What a script says of itself: the first line (`#!lua flags=…`) of a script, and flags of functions.

/// What a script may do, as its first line or its registration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptFlags(u8);

/// The flags by name, in the order in which FUNCTION LIST shows them.
const NAMES: [(&str, ScriptFlags); 5] = [
    ("no-writes", ScriptFlags::NO_WRITES),
    ("allow-oom", ScriptFlags::ALLOW_OOM),
    ("allow-stale", ScriptFlags::ALLOW_STALE),
    ("no-cluster", ScriptFlags::NO_CLUSTER),
    ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
];

impl ScriptFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// It writes nothing.
    pub const NO_WRITES: Self = Self(1);
    /// It may run when memory is full.
    pub const ALLOW_OOM: Self = Self(2);
    /// It may run on a replica that lost its master.
    pub const ALLOW_STALE: Self = Self(4);
    /// It must not run in a cluster.
    pub const NO_CLUSTER: Self = Self(8);
    /// Its keys may be in several slots of a cluster.
    pub const ALLOW_CROSS_SLOT_KEYS: Self = Self(16);
    /// It says nothing of itself: each of its commands is judged as it comes.
    pub const UNDECLARED: Self = Self(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has all of these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flag of a name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, flag)| *flag)
    }

    /// Names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = NAMES.iter().filter(move |(_, flag)| self.has(*flag));
        set.map(|(name, _)| *name)
    }
}

/// What the first line of a script says, and where the rest begins (with the end of that line, so that line numbers
/// stay).
///
/// # Errors
///
/// What is wrong with the line.
pub fn script_header(body: &[u8]) -> Result<(ScriptFlags, &[u8]), String> {
    if !body.starts_with(b"#!") {
        return Ok((ScriptFlags::UNDECLARED, body));
    }
    let Some((words, rest)) = first_line(body) else {
        return Err("ERR Invalid script shebang".into());
    };
    let mut words = words.into_iter();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(format!("ERR Unexpected engine in script shebang: {engine}"));
    }
    let mut flags = ScriptFlags::NONE;
    for word in words {
        let Some(names) = word.strip_prefix("flags=") else {
            return Err(format!("ERR Unknown lua shebang option: {word}"));
        };
        for name in names.split(',').filter(|_| !names.is_empty()) {
            match ScriptFlags::named(name.as_bytes()) {
                Some(flag) => flags = flags.and(flag),
                None => return Err(format!("ERR Unexpected flag in script shebang: {name}")),
            }
        }
    }
    Ok((flags, rest))
}

/// The name that the first line of a library gives, and where the code begins.
///
/// # Errors
///
/// What is wrong with the line.
pub fn library_header(code: &[u8]) -> Result<(String, &[u8]), String> {
    if !code.starts_with(b"#!") {
        return Err("ERR Missing library metadata".into());
    }
    let Some((words, rest)) = first_line(code) else {
        return Err("ERR Invalid library metadata".into());
    };
    let mut words = words.into_iter();
    let engine = words.next().unwrap_or_default();
    let engine = engine.get(2..).unwrap_or_default().to_owned();
    let mut name = None;
    for word in words {
        match word.strip_prefix("name=") {
            Some(given) if name.is_none() => name = Some(given.to_owned()),
            Some(_) => {
                return Err(
                    "ERR Invalid metadata value, name argument was given multiple times".into(),
                );
            }
            None => return Err(format!("ERR Invalid metadata value given: {word}")),
        }
    }
    let name = name.ok_or("ERR Library name was not given")?;
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err("ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                    character long"
            .into());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("ERR Engine '{engine}' not found"));
    }
    Ok((name, rest))
}

/// The words of the first line, in quotes or not, and the rest with the line's end.
fn first_line(text: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = text.split_at(end);
    let words = crate::value::split::split_args(line)?;
    let words = words
        .iter()
        .map(|word| crate::value::lossless::text(word).into_owned());
    Some((words.collect(), rest))
}
