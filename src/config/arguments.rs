//! The command line of the server, as `redis-server` takes it. Knows how arguments become lines of a configuration, and
//! not what the lines mean.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file::{LoadError, Loaded, include_paths, read};
use super::value::quote;
use super::{Config, Identity};
use crate::value::glob;
use crate::value::split::split_args;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: innkeep [/path/to/redis.conf] [options] [-]
       innkeep - (read config from stdin)
       innkeep -v or --version
       innkeep -h or --help
       innkeep --check-system

Examples:
       innkeep (run the server with default conf)
       echo 'maxmemory 128mb' | innkeep -
       innkeep /etc/redis/6379.conf
       innkeep --port 7777
       innkeep --port 7777 --replicaof 127.0.0.1 8888
       innkeep /etc/myredis.conf --loglevel verbose -
       innkeep /etc/myredis.conf --loglevel verbose
";

/// What the arguments ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    Run(Source),
    Version,
    Help,
    CheckSystem,
    /// A mode of `redis-server` that does not exist here, by its option.
    Unsupported(&'static str),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    pub identity: Identity,
    /// As it was given: a path, or a pattern.
    pub file: Option<PathBuf>,
    pub standard_input: bool,
    /// The options, as lines of a configuration file.
    pub options: Vec<u8>,
}

/// Reads the arguments; the first is the name of the program.
#[must_use]
pub fn parse_arguments(arguments: impl IntoIterator<Item = OsString>) -> Invocation {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let mut arguments: Vec<OsString> = arguments.collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some("-v" | "--version") => return Invocation::Version,
        Some("-h" | "--help") => return Invocation::Help,
        Some("--check-system") => return Invocation::CheckSystem,
        Some("--test-memory") => return Invocation::Unsupported("--test-memory"),
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--sentinel") {
        return Invocation::Unsupported("--sentinel");
    }
    let mut source = Source {
        identity: Identity::of_program(Path::new(&program)),
        ..Source::default()
    };
    if arguments.first().is_some_and(|first| first == "-") {
        source.standard_input = true;
        arguments.remove(0);
    } else if arguments
        .first()
        .is_some_and(|first| !first.as_encoded_bytes().starts_with(b"-"))
    {
        let file = arguments.remove(0);
        source.file = (!file.is_empty()).then(|| PathBuf::from(file));
    }
    if arguments.last().is_some_and(|last| last == "-") {
        source.standard_input = true;
        arguments.pop();
    }
    source.options = option_lines(&arguments);
    Invocation::Run(source)
}

/// The option lines: `--name` begins one, everything else is a value. An option that has no value yet takes the next
/// argument, whatever it looks like; only `--save` may stay without.
fn option_lines(arguments: &[OsString]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut waits_for_value = false;
    let mut is_save = false;
    for argument in arguments {
        let argument = argument.as_encoded_bytes();
        match argument.strip_prefix(b"--") {
            Some(option) if !waits_for_value || is_save => {
                if waits_for_value {
                    lines.extend_from_slice(b" \"\"");
                }
                if !lines.is_empty() {
                    lines.push(b'\n');
                }
                lines.extend_from_slice(option);
                waits_for_value = split_args(option).is_some_and(|words| words.len() <= 1);
                is_save = super::file::trim(option).eq_ignore_ascii_case(b"save");
            }
            _ => {
                if !lines.is_empty() {
                    lines.push(b' ');
                }
                lines.extend_from_slice(&quote(argument));
                waits_for_value = false;
            }
        }
    }
    if waits_for_value && is_save {
        lines.extend_from_slice(b" \"\"");
    }
    lines
}

impl Source {
    /// Reads the file, then the standard input, then the options, each on top of the one before. Lines are counted
    /// through all of them, with a blank line before the options, as Redis counts.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or the first line that cannot be understood.
    pub fn load(&self, standard_input: &mut dyn Read) -> Result<Loaded, LoadError> {
        let mut config = Config::new(self.identity);
        let mut text = Vec::new();
        if let Some(path) = &self.file {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            for file in files(&path) {
                append_lines(&mut text, &read(&file)?);
            }
            config.file = Some(path);
        }
        if self.standard_input {
            let mut input = Vec::new();
            let read = standard_input.read_to_end(&mut input);
            read.map_err(|error: io::Error| LoadError::Unreadable {
                path: PathBuf::from("-"),
                error,
            })?;
            append_lines(&mut text, &input);
        }
        if !self.options.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(&self.options);
        }
        let warnings = config.load_text(&text)?;
        Ok(Loaded { config, warnings })
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let pattern = path.as_os_str().as_encoded_bytes();
    if glob::is_literal(pattern) {
        return vec![path.to_path_buf()];
    }
    include_paths(pattern)
}

/// What follows a file begins on a line of its own.
fn append_lines(text: &mut Vec<u8>, more: &[u8]) {
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(more);
}
