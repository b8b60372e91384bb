//! The socket of a link: lines and bytes in, commands out, each within the time that the configuration allows for. Knows no
//! commands.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::config::Config;
use crate::engine::Engine;
use crate::keyspace::txn::encode_command;
use crate::services::primary::Address;

/// The longest line that is an answer.
const MAX_LINE: usize = 4096;
/// What is read at a time, at least.
const READ_BYTES: usize = 64 << 10;

/// Why a link ended.
#[derive(Debug)]
pub(super) enum Problem {
    /// The socket, or the disk.
    Io(io::Error),
    /// Nothing came in time.
    Silence,
    /// The other side has ended it.
    Closed,
    /// What the other side said, or did not understand.
    Refused(String),
    /// What came is not what a primary sends.
    Rubbish(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Silence => f.write_str("nothing came for as long as repl-timeout allows"),
            Self::Closed => f.write_str("the connection is lost"),
            Self::Refused(text) => f.write_str(text),
            Self::Rubbish(text) => write!(f, "it is no stream of a master: {text}"),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An open link.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// What was read and is not used up.
    pub(super) input: BytesMut,
    timeout: Duration,
}

impl Wire {
    /// Connects.
    pub(super) async fn open(engine: &Engine, address: &Address) -> Result<Self, Problem> {
        let settings = |config: &Config| {
            let timeout = Duration::from_secs(config.u64("repl-timeout"));
            let source = String::from_utf8_lossy(config.text("bind-source-addr")).parse();
            (
                timeout,
                source.ok(),
                config.bool("repl-disable-tcp-nodelay"),
            )
        };
        let (timeout, source, delays) = settings(&engine.services().config.read());
        let stream = within(timeout, connect(address, source)).await?;
        stream.set_nodelay(!delays)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            timeout,
        })
    }

    /// How long the other side may be silent.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Reads once, behind what is there. Nothing is lost where it is given up.
    pub(super) async fn read(&mut self) -> Result<usize, Problem> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Problem::Closed),
            read => Ok(read),
        }
    }

    /// The same, in time.
    pub(super) async fn read_in_time(&mut self) -> Result<usize, Problem> {
        within(self.timeout, self.read()).await
    }

    /// Sends a command.
    pub(super) async fn send(&mut self, words: &[&[u8]]) -> Result<(), Problem> {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, words);
        self.send_bytes(&bytes).await
    }

    /// Sends bytes.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let stream = &mut self.stream;
        within(self.timeout, async { Ok(stream.write_all(bytes).await?) }).await
    }

    /// The next line without its end; empty ones only say that the other side is alive.
    pub(super) async fn line(&mut self) -> Result<String, Problem> {
        loop {
            let end = self.input.iter().position(|byte| *byte == b'\n');
            let Some(end) = end else {
                if self.input.len() > MAX_LINE {
                    return Err(Problem::Rubbish("a line has no end".into()));
                }
                self.read_in_time().await?;
                continue;
            };
            let line = self.input.split_to(end);
            self.input.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if !line.is_empty() {
                return Ok(line.escape_ascii().to_string());
            }
        }
    }

    /// Sends a command and takes the line that answers it.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<String, Problem> {
        self.send(words).await?;
        self.line().await
    }
}

/// Gives something so much time.
async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let ended = tokio::time::timeout(time, work).await;
    ended.unwrap_or(Err(Problem::Silence))
}

async fn connect(address: &Address, source: Option<IpAddr>) -> Result<TcpStream, Problem> {
    let host = std::str::from_utf8(&address.host)
        .map_err(|_| Problem::Refused("the host has no name".into()))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for found in lookup_host((host, address.port)).await? {
        match connect_to(found, source).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

async fn connect_to(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}
