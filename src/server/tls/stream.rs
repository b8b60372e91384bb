//! A TLS session over a TCP socket that does not block, with the face of a plain socket: bytes in, bytes out, and who
//! waits is woken.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

/// A connection whose handshake goes on as bytes come and go.
#[derive(Debug)]
pub(in crate::server) struct TlsStream {
    tcp: TcpStream,
    session: RefCell<Session>,
}

#[derive(Debug)]
struct Session {
    tls: ServerConnection,
    /// Bytes of the caller's that are encrypted, but not all with the system yet.
    encrypted: usize,
}

impl TlsStream {
    /// Begins to wait for the other side's handshake.
    pub(in crate::server) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        let session = RefCell::new(Session { tls, encrypted: 0 });
        Ok(Self { tcp, session })
    }

    /// Reads what is there into the spare capacity of `buffer`, of which there must be some: 0 at the end of the stream.
    pub(in crate::server) fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.take_plain(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A side that goes without a farewell has gone all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                taken => return taken,
            }
            match session.tls.read_tls(&mut Raw(&self.tcp)) {
                Ok(0) => return Ok(0),
                Ok(_) => session.process(&self.tcp)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Encrypts some of `bytes` and writes it. Where the system does not take all of that the error is `WouldBlock`, and the
    /// next call has to begin with the same bytes; what it returns is how many of them are with the system.
    pub(in crate::server) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        if session.encrypted == 0 {
            session.encrypted = session.tls.writer().write(bytes)?;
        }
        session.flush(&self.tcp)?;
        match std::mem::take(&mut session.encrypted) {
            // Before the handshake is over it keeps a certain amount only.
            0 => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    /// Ready when something can be read, or the other side has closed. Meanwhile sends what the protocol itself has to say.
    pub(in crate::server) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        if session.has_plain() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(error)) = session.poll_flush(&self.tcp, cx) {
            return Poll::Ready(Err(error));
        }
        self.tcp.poll_read_ready(cx)
    }

    /// Ready when something can be written.
    pub(in crate::server) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }
}

impl Drop for TlsStream {
    /// Says that this is the end, so that nobody takes it for one that somebody on the way has made.
    fn drop(&mut self) {
        let session = self.session.get_mut();
        session.tls.send_close_notify();
        // The other side may not read any more, or be gone.
        drop(session.flush(&self.tcp));
    }
}

impl Session {
    /// Moves what is decrypted: `WouldBlock` where that is nothing, `UnexpectedEof` where the stream has broken off.
    fn take_plain(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut reader = self.tls.reader();
        let mut taken = 0;
        loop {
            let room = buffer.capacity() - buffer.len();
            let chunk = match reader.fill_buf() {
                Err(_) if taken > 0 => return Ok(taken),
                chunk => chunk?,
            };
            let part = chunk.get(..room).unwrap_or(chunk);
            let count = part.len();
            buffer.extend_from_slice(part);
            reader.consume(count);
            taken += count;
            if count == 0 {
                return Ok(taken);
            }
        }
    }

    fn has_plain(&mut self) -> bool {
        let state = self.tls.process_new_packets();
        // What went wrong is told to who reads.
        state.map_or(true, |state| state.plaintext_bytes_to_read() > 0)
    }

    /// Decrypts what has come, and answers what belongs to the protocol.
    fn process(&mut self, tcp: &TcpStream) -> io::Result<()> {
        let shaking = self.tls.is_handshaking();
        let result = self.tls.process_new_packets();
        // Also what is wrong is told to the other side. What the system does not take now follows while more is awaited.
        match self.flush(tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        result.map(drop).map_err(|problem| {
            if shaking {
                let from = tcp.peer_addr().map(|address| address.to_string());
                let from = from.unwrap_or_default();
                log::warn!("Error accepting a client connection: {problem} (addr={from})");
            }
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
    }

    /// Gives the system what is encrypted: `WouldBlock` where it does not take all of it.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Raw(tcp))?;
        }
        Ok(())
    }

    fn poll_flush(&mut self, tcp: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            ready!(tcp.poll_write_ready(cx))?;
            match self.flush(tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket as the library wants it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
