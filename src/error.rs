//! The one error of the crate's public face.

use std::fmt;
use std::io;

/// Why an engine could not be opened, or could not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused: a file, a directory, a thread, a socket.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
