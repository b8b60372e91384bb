//! Replies of another server, read from a socket. They are hostile: lengths are believed only as far as bytes arrive, and
//! nesting is bounded. RESP2 only, which every server speaks.

use std::io::{self, BufRead, Read};

use crate::reply::Response;

/// The longest line that is a reply.
const MAX_LINE: u64 = 64 * 1024;
/// Arrays in arrays.
const MAX_DEPTH: usize = 8;
/// Bytes that a string may claim at most, as Redis bounds them unless it is told otherwise.
const MAX_BULK: u64 = 4 << 30;

/// Reads one reply.
///
/// # Errors
/// The connection ends, or what arrives is no reply.
pub(super) fn read_reply(reader: &mut impl BufRead) -> io::Result<Response> {
    read_nested(reader, MAX_DEPTH)
}

fn read_nested(reader: &mut impl BufRead, depth: usize) -> io::Result<Response> {
    let line = read_line(reader)?;
    let (kind, text) = line.split_at_checked(1).ok_or_else(garbled)?;
    let text = String::from_utf8_lossy(text).into_owned();
    match kind {
        b"+" => Ok(Response::Simple(text.into())),
        b"-" => Ok(Response::Error(text)),
        b":" => text.parse().map(Response::Int).map_err(|_| garbled()),
        b"$" => match length(&text)? {
            None => Ok(Response::Null),
            Some(len) if len > MAX_BULK => Err(garbled()),
            Some(len) => read_bulk(reader, len).map(Response::Bulk),
        },
        b"*" => {
            let Some(count) = length(&text)? else {
                return Ok(Response::Null);
            };
            let depth = depth.checked_sub(1).ok_or_else(garbled)?;
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(read_nested(reader, depth)?);
            }
            Ok(Response::Array(items))
        }
        _ => Err(garbled()),
    }
}

fn length(text: &str) -> io::Result<Option<u64>> {
    match text {
        "-1" => Ok(None),
        text => text.parse().map(Some).map_err(|_| garbled()),
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(garbled)?.len();
    line.truncate(text);
    Ok(line)
}

fn read_bulk(reader: &mut impl BufRead, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes)?;
    let mut end = [0; 2];
    reader.read_exact(&mut end)?;
    if bytes.len() as u64 != len || &end != b"\r\n" {
        return Err(garbled());
    }
    Ok(bytes)
}

fn garbled() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what the server answers is no RESP",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Response> {
        read_reply(&mut &*bytes)
    }

    #[test]
    fn replies_are_read() {
        let nested = b"*3\r\n+OK\r\n$3\r\na\r\n\r\n*1\r\n:-7\r\n";
        let expected = Response::Array(vec![
            Response::Simple("OK".into()),
            Response::Bulk(b"a\r\n".to_vec()),
            Response::Array(vec![Response::Int(-7)]),
        ]);
        assert_eq!(read(nested).expect("a reply"), expected);
        assert_eq!(read(b"$-1\r\n").expect("a reply"), Response::Null);
        assert_eq!(
            read(b"-ERR no\r\n").expect("a reply"),
            Response::Error("ERR no".into())
        );
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        let deep = b"*1\r\n".repeat(100);
        for bytes in [
            &b""[..],
            b"\r\n",
            b"?\r\n",
            b"$5\r\nab",
            b"$99999999999999\r\n",
            b"$1\r\nabc",
            b":x\r\n",
            b"*2\r\n:1\r\n",
            b"+no end",
            &deep,
        ] {
            assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
