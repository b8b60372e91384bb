//! What can go wrong with a log, in words an operator can act on: each error names the file, the offset and what to do.
//! Knows no file layout.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a log could not be opened, checked, started or rewritten.
#[derive(Debug)]
#[non_exhaustive]
pub enum AofError {
    /// The system refused an operation on a file.
    Io {
        /// What was tried: `open`, `write`, `fsync` …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The manifest cannot be trusted; the reason is in Redis's words.
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// 1-based line; 0 when no single line is at fault.
        line: usize,
        /// The line itself, at most 128 characters of it.
        text: String,
        /// Redis's words, such as `Found a non-monotonic sequence number`.
        reason: &'static str,
    },
    /// Data that was known to be safe on disk is damaged. Never loaded past in silence.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage (or the batch that holds it) begins.
        offset: u64,
        /// What was found there.
        reason: &'static str,
    },
    /// The last file ends in the middle of a command or transaction and `aof-load-truncated` is `no`.
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where the unfinished command or transaction begins.
        offset: u64,
    },
    /// A rewrite is under way already.
    RewriteInProgress,
    /// The log's writer stands still because of this error.
    Log(LogError),
}

impl AofError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: &'static str) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            offset,
            reason,
        }
    }
}

impl fmt::Display for AofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                action: "open",
                path,
                source,
            } => write!(
                f,
                "can't open the append only file {} for reading: {}",
                path.display(),
                cause(source)
            ),
            Self::Io {
                action,
                path,
                source,
            } => {
                write!(f, "cannot {action} {}: {}", path.display(), cause(source))
            }
            Self::Manifest {
                path,
                line: 0,
                reason,
                ..
            } => {
                write!(f, "AOF manifest file error in {}: {reason}", path.display())
            }
            Self::Manifest {
                path,
                line,
                text,
                reason,
            } => {
                write!(
                    f,
                    "AOF manifest file error in {}, at line {line}: {reason} >>> '{text}'",
                    path.display()
                )
            }
            Self::Corrupt {
                path,
                offset,
                reason,
            } => write!(
                f,
                "Bad file format reading the append only file: {} is damaged at offset {offset} ({reason}). \
                 Make a backup of your AOF file, then use innkeep check --fix {}",
                path.display(),
                path.display()
            ),
            Self::Truncated { path, offset } => write!(
                f,
                "Unexpected end of file reading the append only file {} at offset {offset}. You can: \
                 1) Make a backup of your AOF file, then use innkeep check --fix {}. \
                 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.",
                path.display(),
                path.display()
            ),
            Self::RewriteInProgress => {
                f.write_str("Background append only file rewriting already in progress")
            }
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AofError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<LogError> for AofError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// Why the writer stands still, cheap to clone. The cause is the system's own text (`No space left on device`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError {
    action: &'static str,
    cause: Arc<str>,
}

impl LogError {
    pub(crate) fn new(action: &'static str, cause: &str) -> Self {
        Self {
            action,
            cause: cause.into(),
        }
    }

    pub(crate) fn closed() -> Self {
        Self::new("append", "the log is closed")
    }

    /// What was tried: `write`, `fsync`, `rename` …
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// The system's own text, such as `No space left on device`.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl From<&AofError> for LogError {
    fn from(error: &AofError) -> Self {
        match error {
            AofError::Io { action, source, .. } => Self::new(action, &cause(source)),
            AofError::Log(error) => error.clone(),
            other => Self::new("write", &other.to_string()),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} the append only file: {}",
            self.action, self.cause
        )
    }
}

impl std::error::Error for LogError {}

/// The system's text without Rust's ` (os error 28)`, which Redis does not print.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_systems_own_text() {
        let error = AofError::io("write", Path::new("a"))(io::Error::from_raw_os_error(28));
        assert_eq!(LogError::from(&error).cause(), "No space left on device");
        assert_eq!(error.to_string(), "cannot write a: No space left on device");
    }

    #[test]
    fn corruption_names_file_offset_and_command() {
        let text = AofError::corrupt(Path::new("x.aof"), 42, "bad checksum").to_string();
        assert!(
            text.contains("x.aof")
                && text.contains("offset 42")
                && text.contains("innkeep check --fix")
        );
    }
}
