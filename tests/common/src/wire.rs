//! The protocol as tests need it: requests out, replies in without loss, so that two replies can be compared byte for
//! byte. It knows no commands.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A reply of either protocol version: its type byte and what came with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reply {
    /// The type byte.
    pub kind: u8,
    /// What came with it.
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// What stands on the line of the type byte.
    Line(Vec<u8>),
    /// What follows its declared length.
    Bytes(Vec<u8>),
    /// Maps have their keys and values in turn.
    Items(Vec<Reply>),
    /// A null of any kind.
    Nothing,
}

impl Reply {
    /// The replies in an aggregate; none in anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.body {
            Body::Items(items) => items,
            _ => &[],
        }
    }

    /// The text of a bulk string, a line or a number.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Line(bytes) | Body::Bytes(bytes) => bytes,
            Body::Items(_) | Body::Nothing => &[],
        }
    }

    /// The number in an integer reply.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        std::str::from_utf8(self.bytes())
            .ok()
            .filter(|_| self.kind == b':')?
            .parse()
            .ok()
    }

    /// Whether this is an error, on one line or as a bulk.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }

    /// Whether this is the status `text`.
    #[must_use]
    pub fn is_status(&self, text: &str) -> bool {
        self.kind == b'+' && self.bytes() == text.as_bytes()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", char::from(self.kind))?;
        match &self.body {
            Body::Line(line) => write!(formatter, "{}", line.escape_ascii()),
            Body::Bytes(bytes) => write!(formatter, "\"{}\"", bytes.escape_ascii()),
            Body::Items(items) => formatter.debug_list().entries(items).finish(),
            Body::Nothing => write!(formatter, "nothing"),
        }
    }
}

/// One connection that writes whole commands and reads whole replies.
#[derive(Debug)]
pub struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    /// A connection over an open socket.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream: BufReader::with_capacity(1 << 16, stream),
        }
    }

    /// Writes the commands in one piece.
    ///
    /// # Errors
    /// When the socket cannot be written to.
    pub fn send<'args>(
        &mut self,
        commands: impl IntoIterator<Item = &'args [Vec<u8>]>,
    ) -> io::Result<()> {
        let mut request = Vec::new();
        for arguments in commands {
            write!(request, "*{}\r\n", arguments.len())?;
            for argument in arguments {
                write!(request, "${}\r\n", argument.len())?;
                request.extend_from_slice(argument);
                request.extend_from_slice(b"\r\n");
            }
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Sends one command and waits for one reply.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let arguments: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.send([arguments.as_slice()])?;
        self.receive()
    }

    /// Whether something has come, an end of the connection included. Does not wait.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn has_something(&mut self) -> io::Result<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        self.stream.get_ref().set_nonblocking(true)?;
        let outcome = self.stream.fill_buf().map(drop);
        self.stream.get_ref().set_nonblocking(false)?;
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Writes these bytes, says that there are no more, and reads until the other side says so too. An end that comes
    /// before everything was written is one as well.
    ///
    /// # Errors
    /// When the other side stays silent for too long.
    pub fn exchange_all(mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let sent = self.stream.get_mut().write_all(bytes);
        drop(sent.and_then(|()| self.stream.get_ref().shutdown(Shutdown::Write)));
        let mut received = Vec::new();
        match self.stream.read_to_end(&mut received) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(received),
        }
    }

    /// Waits for the next reply or push.
    ///
    /// # Errors
    /// When the connection is closed, silent for too long, or sends what is no reply.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some((&kind, rest)) = line.split_first() else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        };
        let text = rest.strip_suffix(b"\r\n").ok_or_else(|| malformed(&line))?;
        let body = match kind {
            b'$' | b'=' | b'!' => self.bytes(length(text).ok_or_else(|| malformed(&line))?)?,
            b'*' | b'~' | b'>' => self.items(length(text).ok_or_else(|| malformed(&line))?)?,
            b'%' | b'|' => self.items(length(text).ok_or_else(|| malformed(&line))? * 2)?,
            b'_' => Body::Nothing,
            b'+' | b'-' | b':' | b',' | b'#' | b'(' => Body::Line(text.to_vec()),
            _ => return Err(malformed(&line)),
        };
        Ok(Reply { kind, body })
    }

    fn bytes(&mut self, length: i64) -> io::Result<Body> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Body::Nothing);
        };
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        if bytes.split_off(length) != b"\r\n" {
            return Err(malformed(&bytes));
        }
        Ok(Body::Bytes(bytes))
    }

    fn items(&mut self, length: i64) -> io::Result<Body> {
        if length < 0 {
            return Ok(Body::Nothing);
        }
        (0..length)
            .map(|_| self.receive())
            .collect::<io::Result<_>>()
            .map(Body::Items)
    }
}

fn length(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn malformed(line: &[u8]) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a reply: {}", line.escape_ascii()),
    )
}
