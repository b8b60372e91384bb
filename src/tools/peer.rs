//! Who gives or takes data: an engine in this process, or a server at the other end of a socket. Both are asked with
//! commands.

use std::io::{BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::failure::Failure;
use super::stream::{Stream, Trust};
use super::wire::read_reply;
use crate::engine::{Engine, Session};
use crate::keyspace::txn::encode_command;
use crate::reply::Response;

/// How long a server may be silent. DUMP of a huge value takes a while.
const PATIENCE: Duration = Duration::from_secs(120);
const PORT: u16 = 6379;

/// One command.
pub(super) type Words = Vec<Vec<u8>>;

/// Something that answers commands.
pub(super) enum Peer {
    Here(Box<Session>),
    There(Box<Remote>),
}

/// A server and the connection to it.
pub(super) struct Remote {
    name: String,
    stream: BufReader<Stream>,
}

/// Where a server is, as `redis://[[user]:password@]host[:port]` says it, or `rediss://` where it speaks TLS.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    secured: bool,
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
}

/// Whether this names a server, and no file.
pub(super) fn is_server(name: &str) -> bool {
    scheme(name).is_some()
}

/// Whether a URL asks for TLS, and what follows.
fn scheme(url: &str) -> Option<(bool, &str)> {
    let plain = url.strip_prefix("redis://").map(|rest| (false, rest));
    plain.or_else(|| Some((true, url.strip_prefix("rediss://")?)))
}

fn parse(url: &str) -> Option<Address> {
    let (secured, rest) = scheme(url)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let (user, password) = match login.and_then(|login| login.split_once(':')) {
        Some((user, password)) => (Some(user).filter(|user| !user.is_empty()), Some(password)),
        None => (None, login),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok()?),
        _ => (place, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| Address {
        secured,
        host: host.to_owned(),
        port,
        user: user.map(str::to_owned),
        password: password.map(str::to_owned),
    })
}

impl Peer {
    pub(super) fn here(engine: &Engine) -> Self {
        Self::Here(Box::new(engine.session()))
    }

    /// Connects to a server and logs in.
    pub(super) fn connect(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let address = parse(url).ok_or_else(|| {
            Failure::new(format!(
                "{url} does not name a server: redis://[[user]:password@]host[:port], or rediss:// with TLS"
            ))
        })?;
        let name = format!("{}:{}", address.host, address.port);
        let failed = |error: std::io::Error| Failure::new(format!("{name}: {error}"));
        let mut places = (&*address.host, address.port)
            .to_socket_addrs()
            .map_err(failed)?;
        let place = places
            .next()
            .ok_or_else(|| Failure::new(format!("{name}: no such host")))?;
        let stream = TcpStream::connect_timeout(&place, PATIENCE).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let stream = match address.secured {
            true => trust.secure(stream, &address.host).map_err(failed)?,
            false => Stream::Plain(stream),
        };
        let stream = BufReader::new(stream);
        let mut peer = Self::There(Box::new(Remote { name, stream }));
        if let Some(password) = address.password {
            let mut words = vec![b"AUTH".to_vec()];
            words.extend(address.user.map(String::into_bytes));
            words.push(password.into_bytes());
            peer.demand(words)?;
        }
        Ok(peer)
    }

    /// Asks for several things at once; one answer for each.
    pub(super) fn ask(&mut self, commands: &[Words]) -> Result<Vec<Response>, Failure> {
        match self {
            Self::Here(session) => Ok(commands
                .iter()
                .map(|words| {
                    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                    session.execute(&words)
                })
                .collect()),
            Self::There(remote) => remote.ask(commands),
        }
    }

    /// Asks for one thing that must not be refused.
    pub(super) fn demand(&mut self, words: Words) -> Result<Response, Failure> {
        let name =
            String::from_utf8_lossy(words.first().map_or(&[][..], Vec::as_slice)).into_owned();
        match self.ask(&[words])?.pop() {
            Some(Response::Error(text)) => Err(Failure::new(format!(
                "{} refuses {name}: {text}",
                self.name()
            ))),
            Some(response) => Ok(response),
            None => Err(Failure::new(format!("{} does not answer", self.name()))),
        }
    }

    /// The same with words of text; a string comes back.
    pub(super) fn demand_text(&mut self, words: &[&str]) -> Result<String, Failure> {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        match self.demand(words)? {
            Response::Bulk(text) | Response::Verbatim { text, .. } => {
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            Response::Simple(text) => Ok(text.into_owned()),
            Response::Int(number) => Ok(number.to_string()),
            _ => Err(Failure::new(format!(
                "{} gives an answer that nobody asked for",
                self.name()
            ))),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Here(_) => "the data directory",
            Self::There(remote) => &remote.name,
        }
    }
}

impl Remote {
    fn ask(&mut self, commands: &[Words]) -> Result<Vec<Response>, Failure> {
        let mut bytes = Vec::new();
        for words in commands {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            encode_command(&mut bytes, &words);
        }
        let name = &self.name;
        let failed = |error: std::io::Error| Failure::new(format!("{name}: {error}"));
        let stream = self.stream.get_mut();
        stream.write_all(&bytes).map_err(failed)?;
        stream.flush().map_err(failed)?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(read_reply(&mut self.stream).map_err(failed)?);
        }
        Ok(replies)
    }
}

/// A field of a section of INFO.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let plain = |host: &str, port| Address {
            secured: false,
            host: host.to_owned(),
            port,
            user: None,
            password: None,
        };
        assert_eq!(parse("redis://here"), Some(plain("here", 6379)));
        assert_eq!(
            parse("redis://10.0.0.1:7000/"),
            Some(plain("10.0.0.1", 7000))
        );
        assert_eq!(parse("redis://[::1]:7000"), Some(plain("::1", 7000)));
        let login = parse("redis://ada:s@cret@here:1").expect("it names one");
        assert_eq!(login.user.as_deref(), Some("ada"));
        assert_eq!(login.password.as_deref(), Some("s@cret"));
        let login = parse("redis://:secret@here").expect("it names one");
        assert_eq!(
            (login.user, login.password.as_deref()),
            (None, Some("secret"))
        );
        let secured = parse("rediss://here:1").expect("it names one");
        assert!(secured.secured && is_server("rediss://here"));
        for wrong in [
            "here",
            "redis://",
            "rediss:/here",
            "redis://here:port",
            "http://here",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
