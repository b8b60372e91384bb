//! Configuration files: lines of directives, includes, and the errors that name a line. Knows the syntax and which
//! directives are no parameters; what users, renamed commands and modules mean is not known here.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::value::Refusal;
use super::{Config, FOREIGN_DIRECTIVES, PARAMETERS, place_of};
use crate::value::glob;
use crate::value::split::split_args;

/// The release whose behaviour and wording the configuration has.
const REDIS_VERSION: &str = "7.0.15";
/// Files that include each other end here.
const MAX_INCLUDE_DEPTH: usize = 16;
const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

/// A line that is no parameter, kept for whoever knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Counted from 1.
    pub line: usize,
    /// The line, trimmed.
    pub text: Vec<u8>,
    /// What follows the first word.
    pub args: Vec<Vec<u8>>,
}

impl Directive {
    /// The error that names this line.
    #[must_use]
    pub fn refuse(&self, reason: impl Into<Refusal>) -> LoadError {
        LoadError::Line {
            line: self.line,
            text: self.text.clone(),
            reason: reason.into(),
        }
    }
}

/// Why a configuration could not be read. Displays as Redis prints it before it exits.
#[derive(Debug)]
pub enum LoadError {
    Line {
        line: usize,
        text: Vec<u8>,
        reason: Refusal,
    },
    Unreadable {
        path: PathBuf,
        error: io::Error,
    },
    Nested {
        path: PathBuf,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, text, reason } => write!(
                f,
                "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n\
                 Reading the configuration file, at line {line}\n>>> '{}'\n{reason}",
                String::from_utf8_lossy(text)
            ),
            Self::Unreadable { path, error } => {
                let error = error.to_string();
                // The system's words alone, as C prints them.
                let reason = error.split(" (os error").next().unwrap_or(&error);
                write!(
                    f,
                    "Fatal error, can't open config file '{}': {reason}",
                    path.display()
                )
            }
            Self::Nested { path } => write!(
                f,
                "Fatal error, config file '{}': more than {MAX_INCLUDE_DEPTH} files include each other",
                path.display()
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// A configuration, and what the log should say about how it was read.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads directives on top of the present values. Included files are read from disk, relative to the current
    /// directory. Answers what the log should warn of.
    ///
    /// # Errors
    ///
    /// The first line that cannot be understood; the values are then of no use.
    pub fn load_text(&mut self, text: &[u8]) -> Result<Vec<String>, LoadError> {
        let mut warnings = Vec::new();
        self.load_lines(text, 0, &mut warnings)?;
        Ok(warnings)
    }

    fn load_lines(
        &mut self,
        text: &[u8],
        depth: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(), LoadError> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line);
            if matches!(line, [] | [b'#', ..]) {
                continue;
            }
            let mut directive = Directive {
                line: index + 1,
                text: line.to_vec(),
                args: Vec::new(),
            };
            let Some(mut words) = split_args(line) else {
                return Err(directive.refuse("Unbalanced quotes in configuration line"));
            };
            if words.is_empty() {
                continue;
            }
            directive.args = words.split_off(1);
            let name = words.pop().unwrap_or_default().to_ascii_lowercase();
            self.load_directive(&name, directive, depth, warnings)?;
        }
        Ok(())
    }

    fn load_directive(
        &mut self,
        name: &[u8],
        directive: Directive,
        depth: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(), LoadError> {
        if let Some(place) = place_of(name) {
            return self
                .load_parameter(place, &directive.args)
                .map_err(|reason| directive.refuse(reason));
        }
        match (name, directive.args.as_slice()) {
            (b"include", [pattern]) => {
                return include_paths(pattern)
                    .into_iter()
                    .try_for_each(|path| self.load_include(&path, depth, warnings));
            }
            (b"rename-command", [_, _]) => self.renamed_commands.push(directive),
            (b"user", [user, ..]) => {
                let is_same = |other: &Directive| other.args.first() == Some(user);
                if self.users.iter().any(is_same) {
                    return Err(directive.refuse(format!(
                        "Error in user declaration '{}': Duplicate user found. A user can only be defined once in config files",
                        String::from_utf8_lossy(user)
                    )));
                }
                self.users.push(directive);
            }
            (b"loadmodule", [_, ..]) => self.modules.push(directive),
            (b"sentinel", _) => {
                return Err(directive.refuse("sentinel directive while not in sentinel mode"));
            }
            (name, []) if name.contains(&b'.') => {
                return Err(directive.refuse("Module config specified without value"));
            }
            _ if is_foreign(name) => warnings.push(format!(
                "Configuration line {}: '{}' has no effect here",
                directive.line,
                String::from_utf8_lossy(name)
            )),
            _ => return Err(directive.refuse(BAD_DIRECTIVE)),
        }
        Ok(())
    }

    fn load_parameter(&mut self, place: usize, args: &[Vec<u8>]) -> Result<(), Refusal> {
        let Some(parameter) = PARAMETERS.get(place) else {
            return Err(BAD_DIRECTIVE.into());
        };
        let args: Vec<&[u8]> = match args {
            [one] => super::set::words_of(parameter, one),
            _ => args.iter().map(Vec::as_slice).collect(),
        };
        if parameter.name != "save" {
            return self.assign_words(place, &args);
        }
        let before = self.values.get(place).cloned();
        self.assign_words(place, &args)?;
        let first = !std::mem::replace(&mut self.save_was_given, true);
        if !first
            && let (Some(super::Value::Save(before)), Some(super::Value::Save(points))) =
                (before, self.values.get_mut(place))
            && !points.is_empty()
        {
            points.splice(0..0, before);
        }
        Ok(())
    }

    fn load_include(
        &mut self,
        path: &Path,
        depth: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(), LoadError> {
        if depth >= MAX_INCLUDE_DEPTH {
            return Err(LoadError::Nested { path: path.into() });
        }
        let text = read(path)?;
        self.load_lines(&text, depth + 1, warnings)
    }
}

fn is_foreign(name: &[u8]) -> bool {
    FOREIGN_DIRECTIVES
        .iter()
        .any(|foreign| foreign.as_bytes() == name)
}

pub(super) fn trim(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| b" \t\r\n".contains(byte);
    let start = line.iter().position(|byte| !is_space(byte));
    let end = line.iter().rposition(|byte| !is_space(byte));
    match (start, end) {
        (Some(start), Some(end)) => &line[start..=end],
        _ => &[],
    }
}

/// The bytes of a file.
///
/// # Errors
///
/// What the system said.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|error| LoadError::Unreadable {
        path: path.into(),
        error,
    })
}

/// The path that these bytes name.
pub(super) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// The files that a pattern names, sorted. A pattern without wildcards is a path, whether it exists or not.
pub(super) fn include_paths(pattern: &[u8]) -> Vec<PathBuf> {
    if glob::is_literal(pattern) {
        return vec![path_from_bytes(pattern)];
    }
    let mut paths = vec![match pattern {
        [b'/', ..] => PathBuf::from("/"),
        _ => PathBuf::new(),
    }];
    for part in pattern.split(|byte| *byte == b'/') {
        if part.is_empty() {
            continue;
        }
        paths = if glob::is_literal(part) {
            let part = path_from_bytes(part);
            paths.iter().map(|path| path.join(&part)).collect()
        } else {
            paths
                .iter()
                .flat_map(|path| matching_entries(path, part))
                .collect()
        };
    }
    paths.retain(|path| path.exists());
    paths.sort();
    paths
}

fn matching_entries(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let here = Path::new(".");
    let listed = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(listed) else {
        return Vec::new();
    };
    let matches = |name: &[u8]| {
        // A hidden file is named, or not meant.
        (!name.starts_with(b".") || pattern.starts_with(b"."))
            && glob::matches(pattern, name, false)
    };
    entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| matches(name.as_encoded_bytes()))
        .map(|name| folder.join(name))
        .collect()
}
