//! The parameters: their table, their current values, `CONFIG GET`, `SET` and `REWRITE`, configuration files, and the
//! command line. Knows names, types, limits, defaults and texts; what a value does is not known here.

mod arguments;
mod events;
mod file;
mod memory;
mod parameter;
mod rewrite;
mod set;
mod table;
mod value;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub use arguments::{Invocation, Source, USAGE, parse_arguments};
pub use events::KeyspaceEvents;
pub use file::{Directive, LoadError, Loaded, read_file};
pub use memory::{format_memory, parse_memory};
pub use parameter::{Kind, Parameter, TextCheck};
pub use rewrite::{RewriteError, replace_file};
pub use set::{Change, Changes, SetContext, SetError};
pub use table::{FOREIGN_DIRECTIVES, PARAMETERS};
pub use value::{OutputBufferLimit, OutputBufferLimits, Refusal, SavePoint, Value, quote};

use crate::value::glob;

/// Whose defaults hold, which the file name of the program decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// Our own: one address, a data directory, and the log switched on.
    #[default]
    Innkeep,
    /// A drop-in for `redis-server`: its defaults.
    RedisServer,
}

impl Identity {
    /// The identity of a program that was started under this path.
    #[must_use]
    pub fn of_program(path: &Path) -> Self {
        let name = path.file_stem().and_then(|name| name.to_str());
        match name {
            Some("redis-server") => Self::RedisServer,
            _ => Self::Innkeep,
        }
    }
}

/// The current value of every parameter, and what a configuration file says beside parameters.
#[derive(Debug, Clone)]
pub struct Config {
    identity: Identity,
    /// One for each of [`PARAMETERS`], in that order.
    values: Vec<Value>,
    /// Whether a `save` directive was read: the first replaces the default, the others add to it.
    save_was_given: bool,
    /// `rename-command FROM TO`: the arguments are the two names. For the engine to check and apply.
    pub renamed_commands: Vec<Directive>,
    /// `user NAME RULE…`: the arguments are the name and the rules.
    pub users: Vec<Directive>,
    /// `loadmodule PATH ARGUMENT…`.
    pub modules: Vec<Directive>,
    /// The file that was read, absolute: what `CONFIG REWRITE` rewrites.
    pub file: Option<PathBuf>,
}

struct Index {
    /// Lower-case names and aliases, with their place in the table.
    places: HashMap<&'static str, usize>,
    own_defaults: Vec<Value>,
    redis_defaults: Vec<Value>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let names = |(place, parameter): (usize, &Parameter)| {
        let alias = parameter.alias.map(|alias| (alias, place));
        [Some((parameter.name, place)), alias].into_iter().flatten()
    };
    Index {
        places: PARAMETERS.iter().enumerate().flat_map(names).collect(),
        own_defaults: defaults(|parameter| parameter.own_default.unwrap_or(parameter.default)),
        redis_defaults: defaults(|parameter| parameter.default),
    }
});

fn defaults(text: impl Fn(&Parameter) -> &'static str) -> Vec<Value> {
    let parse = |parameter: &Parameter| {
        let args = set::words_of(parameter, text(parameter).as_bytes());
        Value::parse(&parameter.kind, &args, None)
            .expect("the defaults in the table are valid, as a test checks")
    };
    PARAMETERS.iter().map(parse).collect()
}

/// The place in the table of a name or an alias, in any case.
fn place_of(name: &[u8]) -> Option<usize> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    INDEX.places.get(name.as_str()).copied()
}

/// The parameter of this name or alias, in any case.
#[must_use]
pub fn find_parameter(name: &[u8]) -> Option<&'static Parameter> {
    PARAMETERS.get(place_of(name)?)
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Identity::default())
    }
}

impl Config {
    /// All defaults.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            values: Self::defaults(identity).to_vec(),
            save_was_given: false,
            renamed_commands: Vec::new(),
            users: Vec::new(),
            modules: Vec::new(),
            file: None,
        }
    }

    fn defaults(identity: Identity) -> &'static [Value] {
        match identity {
            Identity::Innkeep => &INDEX.own_defaults,
            Identity::RedisServer => &INDEX.redis_defaults,
        }
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The value of a parameter or alias. O(1), one hash lookup: what is needed for each command is copied elsewhere.
    ///
    /// # Panics
    ///
    /// Where no parameter has this name: names are literals in the code, as in the getters below.
    #[must_use]
    pub fn get(&self, name: &'static str) -> &Value {
        let place = INDEX.places.get(name).copied();
        place
            .and_then(|place| self.values.get(place))
            .unwrap_or_else(|| panic!("no parameter is called {name}"))
    }

    /// The value of a yes/no parameter; panics where it is of another kind, as all typed getters do.
    #[must_use]
    pub fn bool(&self, name: &'static str) -> bool {
        match self.get(name) {
            Value::Bool(value) => *value,
            _ => wrong_kind(name),
        }
    }

    /// The value of a number.
    #[must_use]
    pub fn i64(&self, name: &'static str) -> i64 {
        match self.get(name) {
            Value::Integer(value) => *value,
            _ => wrong_kind(name),
        }
    }

    /// The value of a number that is never negative, or of a size in bytes, or of a file mode.
    #[must_use]
    pub fn u64(&self, name: &'static str) -> u64 {
        match self.get(name) {
            Value::Integer(value) => u64::try_from(*value).unwrap_or(0),
            Value::Memory(bytes) => *bytes,
            Value::Mode(mode) => u64::from(*mode),
            _ => wrong_kind(name),
        }
    }

    /// As [`Self::u64`]; what does not fit is the largest `usize`.
    #[must_use]
    pub fn usize(&self, name: &'static str) -> usize {
        usize::try_from(self.u64(name)).unwrap_or(usize::MAX)
    }

    /// The value of a word out of a list, such as `maxmemory-policy`.
    #[must_use]
    pub fn word(&self, name: &'static str) -> &'static str {
        match self.get(name) {
            Value::Word(word) => word,
            _ => wrong_kind(name),
        }
    }

    /// The value of a text.
    #[must_use]
    pub fn text(&self, name: &'static str) -> &[u8] {
        match self.get(name) {
            Value::Text(text) => text,
            _ => wrong_kind(name),
        }
    }

    /// A text as a path or name for the system: bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn path(&self, name: &'static str) -> PathBuf {
        file::path_from_bytes(self.text(name))
    }

    /// The addresses of `bind`. A leading `-` means that it may be missing.
    #[must_use]
    pub fn bind(&self) -> &[Box<[u8]>] {
        match self.get("bind") {
            Value::Addresses(addresses) => addresses,
            _ => wrong_kind("bind"),
        }
    }

    #[must_use]
    pub fn save_points(&self) -> &[SavePoint] {
        match self.get("save") {
            Value::Save(points) => points,
            _ => wrong_kind("save"),
        }
    }

    /// The words of `shutdown-on-sigterm` or `shutdown-on-sigint`; `default` stands for none.
    #[must_use]
    pub fn words(&self, name: &'static str) -> &[&'static str] {
        match self.get(name) {
            Value::Words(words) => words,
            _ => wrong_kind(name),
        }
    }

    #[must_use]
    pub fn output_buffer_limits(&self) -> OutputBufferLimits {
        match self.get("client-output-buffer-limit") {
            Value::OutputBufferLimits(limits) => *limits,
            _ => wrong_kind("client-output-buffer-limit"),
        }
    }

    #[must_use]
    pub fn keyspace_events(&self) -> KeyspaceEvents {
        match self.get("notify-keyspace-events") {
            Value::KeyspaceEvents(events) => *events,
            _ => wrong_kind("notify-keyspace-events"),
        }
    }

    /// The percentiles of `latency-tracking-info-percentiles`.
    #[must_use]
    pub fn percentiles(&self) -> &[f64] {
        match self.get("latency-tracking-info-percentiles") {
            Value::Percentiles(percentiles) => percentiles,
            _ => wrong_kind("latency-tracking-info-percentiles"),
        }
    }

    /// `maxmemory-clients` in bytes, 0 for no limit, where a percentage is one of `maxmemory`.
    #[must_use]
    pub fn maxmemory_clients(&self) -> u64 {
        match self.get("maxmemory-clients") {
            Value::Memory(bytes) => *bytes,
            Value::Percent(percent) => self.u64("maxmemory") / 100 * u64::from(*percent),
            _ => wrong_kind("maxmemory-clients"),
        }
    }

    /// Host and port of the server that this one is a replica of.
    #[must_use]
    pub fn replicaof(&self) -> Option<(&[u8], u16)> {
        match self.get("replicaof") {
            Value::ReplicaOf(primary) => primary.as_ref().map(|(host, port)| (&**host, *port)),
            _ => wrong_kind("replicaof"),
        }
    }

    /// Sets a parameter whatever its flags say: for what the server itself decides, such as `dir` made absolute, the
    /// `replicaof` of a `REPLICAOF` command, or options of an embedding program. `text` is as for `CONFIG SET`.
    ///
    /// # Errors
    ///
    /// The refusal, without the name.
    pub fn assign(&mut self, name: &[u8], text: &[u8]) -> Result<(), Refusal> {
        let unknown = || Refusal::from("unknown parameter");
        let place = place_of(name).ok_or_else(unknown)?;
        let parameter = PARAMETERS.get(place).ok_or_else(unknown)?;
        let args = set::words_of(parameter, text);
        self.assign_words(place, &args)
    }

    fn assign_words(&mut self, place: usize, args: &[&[u8]]) -> Result<(), Refusal> {
        if let (Some(parameter), Some(value)) = (PARAMETERS.get(place), self.values.get_mut(place))
        {
            *value = Value::parse(&parameter.kind, args, Some(value))?;
        }
        Ok(())
    }

    /// `CONFIG GET`: names and values. A pattern without wildcards is one name, answered as it was written, and may be
    /// a hidden parameter. Nothing is answered twice.
    #[must_use]
    pub fn matching(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let mut seen = vec![[false; 2]; PARAMETERS.len()];
        for pattern in patterns {
            let is_name = !pattern.iter().any(|byte| b"[*?".contains(byte));
            for ((parameter, value), seen) in PARAMETERS.iter().zip(&self.values).zip(&mut seen) {
                let names = [Some(parameter.name), parameter.alias];
                for (name, seen) in names.iter().zip(seen) {
                    let Some(name) = name.filter(|_| !*seen) else {
                        continue;
                    };
                    let matches = if is_name {
                        pattern.eq_ignore_ascii_case(name.as_bytes())
                    } else {
                        !parameter.hidden && glob::matches(pattern, name.as_bytes(), true)
                    };
                    if matches {
                        *seen = true;
                        let shown = if is_name { *pattern } else { name.as_bytes() };
                        found.push((shown.to_vec(), value.to_text()));
                    }
                }
            }
        }
        found
    }
}

fn wrong_kind(name: &str) -> ! {
    panic!("the parameter {name} is of another kind")
}

#[cfg(test)]
mod tests;
