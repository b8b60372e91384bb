//! What the table says about one parameter: names, kind, limits, defaults. Knows no current values.

/// How a parameter's text is read and printed.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`, in any case.
    Bool,
    /// A decimal number between the bounds, both included. What passes is then moved into `clamp`.
    Integer {
        min: i64,
        max: i64,
        clamp: (i64, i64),
    },
    /// A power of two from 1 to `max`.
    PowerOfTwo {
        max: i64,
    },
    /// A file mode in octal digits.
    Octal {
        max: i64,
    },
    /// A number of bytes, with or without a unit. What passes is raised to `at_least`.
    Memory {
        min: u64,
        max: u64,
        at_least: u64,
    },
    /// A number of bytes, or a percentage of `maxmemory`.
    MemoryOrPercent,
    /// One word of a list, in any case. `synonym` is a word of the list that means
    /// another one, which is what is kept.
    Choice {
        words: &'static [&'static str],
        synonym: Option<(&'static str, &'static str)>,
    },
    /// Several words of a list; the first of the list stands for none.
    Words {
        words: &'static [&'static str],
    },
    /// Any bytes. `optional` text is absent when it is empty: it then has no line in a file.
    Text {
        check: TextCheck,
        optional: bool,
    },
    Bind,
    Save,
    OutputBufferLimits,
    OomScoreAdjValues,
    Percentiles,
    KeyspaceEvents,
    ReplicaOf,
}

/// What a text must be, beside bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextCheck {
    Any,
    /// No path; may be empty.
    FileName,
    /// No path, and not empty. The text names the thing in the error.
    NonEmptyFileName,
    NonEmptyDirectoryName,
    HostName,
    ProcessTitle,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    /// A second name with the same value.
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// The default of a server called `redis-server`.
    pub default: &'static str,
    /// The default under our own name, where it differs.
    pub own_default: Option<&'static str>,
    /// Cannot be changed by `CONFIG SET`.
    pub immutable: bool,
    /// Can be changed by `CONFIG SET` only where `enable-protected-configs` lets it.
    pub protected: bool,
    /// `CONFIG GET` shows it only to whoever spells its name out.
    pub hidden: bool,
    /// Its value must not be seen in the slow log.
    pub sensitive: bool,
    /// Cannot be changed while the data is loaded.
    pub denied_while_loading: bool,
}

impl Parameter {
    const fn new(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            name,
            alias: None,
            kind,
            default,
            own_default: None,
            immutable: false,
            protected: false,
            hidden: false,
            sensitive: false,
            denied_while_loading: false,
        }
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// The default under our own name.
    pub(super) const fn own(mut self, default: &'static str) -> Self {
        self.own_default = Some(default);
        self
    }

    pub(super) const fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    pub(super) const fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(super) const fn denied_while_loading(mut self) -> Self {
        self.denied_while_loading = true;
        self
    }

    /// Moves accepted numbers into these bounds.
    pub(super) const fn clamp(mut self, low: i64, high: i64) -> Self {
        if let Kind::Integer { min, max, .. } = self.kind {
            self.kind = Kind::Integer {
                min,
                max,
                clamp: (low, high),
            };
        }
        self
    }

    /// Raises accepted sizes to this many bytes.
    pub(super) const fn at_least(mut self, bytes: u64) -> Self {
        if let Kind::Memory { min, max, .. } = self.kind {
            self.kind = Kind::Memory {
                min,
                max,
                at_least: bytes,
            };
        }
        self
    }

    pub(super) const fn synonym(mut self, word: &'static str, meaning: &'static str) -> Self {
        if let Kind::Choice { words, .. } = self.kind {
            self.kind = Kind::Choice {
                words,
                synonym: Some((word, meaning)),
            };
        }
        self
    }

    pub(super) const fn check(mut self, check: TextCheck) -> Self {
        if let Kind::Text { optional, .. } = self.kind {
            self.kind = Kind::Text { check, optional };
        }
        self
    }

    /// Whether a word of its value ends at a NUL byte, as a C string does. Numbers and texts hold on to theirs.
    pub(super) const fn ends_at_nul(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Integer { .. }
                | Kind::PowerOfTwo { .. }
                | Kind::Octal { .. }
                | Kind::Percentiles
                | Kind::Text { .. }
        )
    }

    /// Whether `CONFIG SET` and configuration files may give it several words.
    pub(super) const fn takes_words(&self) -> bool {
        matches!(
            self.kind,
            Kind::Words { .. }
                | Kind::Bind
                | Kind::Save
                | Kind::OutputBufferLimits
                | Kind::OomScoreAdjValues
                | Kind::Percentiles
                | Kind::ReplicaOf
        )
    }
}

pub(super) const fn yes_no(name: &'static str, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Bool, default)
}

pub(super) const fn integer(
    name: &'static str,
    min: i64,
    max: i64,
    default: &'static str,
) -> Parameter {
    let clamp = (min, max);
    Parameter::new(name, Kind::Integer { min, max, clamp }, default)
}

pub(super) const fn memory(
    name: &'static str,
    min: u64,
    max: u64,
    default: &'static str,
) -> Parameter {
    let at_least = 0;
    Parameter::new(name, Kind::Memory { min, max, at_least }, default)
}

pub(super) const fn choice(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
) -> Parameter {
    let synonym = None;
    Parameter::new(name, Kind::Choice { words, synonym }, default)
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Parameter {
    let (check, optional) = (TextCheck::Any, false);
    Parameter::new(name, Kind::Text { check, optional }, default)
}

/// A text that is absent when it is empty, and empty by default.
pub(super) const fn optional(name: &'static str) -> Parameter {
    let (check, optional) = (TextCheck::Any, true);
    Parameter::new(name, Kind::Text { check, optional }, "")
}

pub(super) const fn special(name: &'static str, kind: Kind, default: &'static str) -> Parameter {
    Parameter::new(name, kind, default)
}
