//! `supervised`: whoever started the server is told how far it has come. Knows nothing of what is served.

use std::env;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;
use rustix::process::{Signal, getpid, kill_process};

use crate::config::Config;

/// Where systemd listens.
const SYSTEMD: &str = "NOTIFY_SOCKET";
/// What upstart names its job in.
const UPSTART: &str = "UPSTART_JOB";

/// Who watches over the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supervisor {
    /// Nobody, or nobody who wants to be told.
    Nobody,
    /// It waits until the process stops itself.
    Upstart,
    /// It reads datagrams.
    Systemd,
}

impl Supervisor {
    /// Who is configured, as far as the environment tells of them.
    pub(super) fn of(config: &Config) -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        match config.word("supervised") {
            "upstart" | "auto" if is_set(UPSTART) => Self::Upstart,
            "systemd" | "auto" if is_set(SYSTEMD) => Self::Systemd,
            _ => Self::Nobody,
        }
    }

    /// Its name in INFO.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no",
            Self::Upstart => "upstart",
            Self::Systemd => "systemd",
        }
    }

    /// What is wrong where somebody is configured of whom the environment knows nothing.
    pub(super) fn warn_where_missing(self, config: &Config) {
        let (wanted, variable) = match config.word("supervised") {
            "upstart" => ("upstart", UPSTART),
            "systemd" => ("systemd", SYSTEMD),
            _ => return,
        };
        if self == Self::Nobody {
            warn!("Supervision by {wanted} is configured, but {variable} is not set.");
        }
    }

    /// The server begins: upstart waits until the process stops itself, and lets it go on.
    pub(super) fn started(self) {
        match self {
            Self::Nobody => {}
            Self::Upstart => {
                if let Err(problem) = kill_process(getpid(), Signal::STOP) {
                    warn!("upstart could not be told of the start: {problem}");
                }
            }
            Self::Systemd => tell("STATUS=Loading the data\n"),
        }
    }

    /// The data is loaded.
    pub(super) fn ready(self) {
        if self == Self::Systemd {
            tell("STATUS=Ready to accept connections\nREADY=1\n");
        }
    }

    /// The server ends.
    pub(super) fn stopping(self) {
        if self == Self::Systemd {
            tell("STOPPING=1\n");
        }
    }
}

/// Tells systemd. Where it does not listen, the server goes on all the same.
fn tell(state: &str) {
    if let Err(problem) = send(state.as_bytes()) {
        warn!("systemd could not be told of the state: {problem}");
    }
}

fn send(state: &[u8]) -> io::Result<()> {
    let path = env::var_os(SYSTEMD).unwrap_or_default();
    let socket = UnixDatagram::unbound()?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(&path)?,
    };
    socket.send_to_addr(state, &address)?;
    Ok(())
}
