//! A TCP socket, with TLS or without, or a Unix socket behind one face.

use std::io;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::buffers::READ_SIZE;
use super::tls::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TCP, secured.
    Tls(Box<TlsStream>),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Reads what is there into the spare capacity of `buffer`. A small read that did not fill it has emptied the socket,
    /// so the readiness is cleared at once: that spares a second read that would only say so.
    pub(super) fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let nothing = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        let count = match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer)?,
            Self::Tls(stream) => return stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer)?,
        };
        // While more bytes were taken the other side may have gone on sending.
        if (1..READ_SIZE).contains(&count) && buffer.len() < buffer.capacity() {
            // The answer is the error that was given; what matters is that the readiness is gone.
            drop(match self {
                Self::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
                Self::Tls(_) => Ok(()),
                Self::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
            });
        }
        Ok(count)
    }

    /// Writes as much as the system takes. Who is told `WouldBlock` begins with the same bytes the next time.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Ready when something can be read, or the other side has closed.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_readable(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when something can be written.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.poll_writable(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }
}
