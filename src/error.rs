//! The one error of the crate's public face.

use std::fmt;
use std::io;
use std::path::PathBuf;

use innkeep_aof::AofError;

use crate::rdb::RdbError;

/// Why an engine could not be opened, or could not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused: a file, a directory, a thread, a socket.
    Io(io::Error),
    /// The log on disk: damaged, unreadable or unwritable; names the file and what to do.
    Log(AofError),
    /// An RDB file, or the RDB that a log begins with: damaged, or with what cannot be loaded.
    Rdb {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: RdbError,
    },
    /// The log holds a command that cannot be applied.
    Replay {
        /// The file.
        path: PathBuf,
        /// Where the command begins in it.
        offset: u64,
        /// What it was refused for.
        reason: String,
    },
    /// A file that this version cannot read.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
    /// A library of functions cannot be loaded.
    Functions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory of the log belongs to another server that runs.
    InUse(PathBuf),
    /// Something that this version does not have.
    Unavailable(&'static str),
    /// The users or new names of commands, of the configuration or of the ACL file, cannot be understood.
    Users(String),
    /// `maxmemory` is set in a program whose allocator does not count ([`Counting`](crate::Counting)).
    UnknownMemory,
    /// There is no log (`appendonly no`).
    NoLog,
    /// A rewrite of the log runs already.
    RewriteInProgress,
    /// The log was switched on and its first base is not complete: to end now would lose everything.
    FirstBase,
    /// SHUTDOWN ABORT called the shutdown off.
    Aborted,
    /// SHUTDOWN ABORT without a shutdown that is under way.
    NothingToAbort,
}

/// Why `maxmemory` cannot be held.
pub(crate) const UNKNOWN_MEMORY: &str =
    "this program does not count its memory, so that no limit can be kept";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Log(error) => write!(f, "{error}"),
            Self::Rdb { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Replay {
                path,
                offset,
                reason,
            } => write!(f, "{}, offset {offset}: {reason}", path.display()),
            Self::Unsupported { path, what } => {
                write!(f, "{} holds {what}, which cannot be loaded", path.display())
            }
            Self::Functions { path, reason } => write!(
                f,
                "{} holds a library of functions that cannot be loaded: {reason}",
                path.display()
            ),
            Self::InUse(path) => write!(
                f,
                "{} is in use by another server, and two would destroy each other's data: give this one another 'dir', \
                 'appenddirname' or 'appendfilename'",
                path.display()
            ),
            Self::Unavailable(what) => write!(f, "{what}: not available in this version"),
            Self::Users(problem) => f.write_str(problem),
            Self::UnknownMemory => f.write_str(UNKNOWN_MEMORY),
            Self::NoLog => f.write_str("there is no append only file (appendonly no)"),
            Self::RewriteInProgress => {
                f.write_str("Background append only file rewriting already in progress")
            }
            Self::FirstBase => {
                f.write_str("the first base of the append only file is not complete")
            }
            Self::Aborted => f.write_str("it was called off"),
            Self::NothingToAbort => f.write_str("No shutdown in progress."),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Log(error) => Some(error),
            Self::Rdb { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<AofError> for Error {
    fn from(error: AofError) -> Self {
        match error {
            AofError::RewriteInProgress => Self::RewriteInProgress,
            error => Self::Log(error),
        }
    }
}

/// The path is added by whoever knows it.
impl From<RdbError> for Error {
    fn from(source: RdbError) -> Self {
        Self::Rdb {
            path: PathBuf::new(),
            source,
        }
    }
}
