//! Replies as RESP2 or RESP3 bytes, in one growing buffer. Knows no sockets: whoever owns the buffer sends it.

use super::Reply;
use crate::value::lossless;
use crate::value::number::{DoubleBuffer, format_plain};

/// Writes replies in the protocol's bytes. One buffer serves many replies; no reply allocates, unless the buffer has to
/// grow.
#[derive(Debug)]
pub struct RespReply {
    buffer: Vec<u8>,
    resp3: bool,
    /// Length beyond which strings are dropped: who reads so little is cut off.
    limit: usize,
}

impl Default for RespReply {
    fn default() -> Self {
        Self::new(false)
    }
}

impl RespReply {
    /// An empty buffer, for RESP3 or for RESP2.
    #[must_use]
    pub fn new(resp3: bool) -> Self {
        Self {
            buffer: Vec::new(),
            resp3,
            limit: usize::MAX,
        }
    }

    /// Switches the protocol for the replies to come (`HELLO`, `RESET`).
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// Sets the length from which on further strings are dropped, because nobody will get them.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What has been written and not yet taken.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The bytes themselves, for who moves encoded replies about.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands the written bytes out and leaves an empty buffer without capacity.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Forgets what was written and keeps the capacity.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// The length in bytes: a mark to [`truncate`](Self::truncate) to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing waits to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back what was written since the buffer had the length `mark`.
    pub fn truncate(&mut self, mark: usize) {
        self.buffer.truncate(mark);
    }

    /// Appends a reply that is encoded already, for the same protocol.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.reserve(text.len() + 3);
        self.buffer.push(kind);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A status or error line: a line break inside it would end it early, so it becomes a space.
    fn text_line(&mut self, kind: u8, text: &str) {
        let is_plain = |byte: &u8| matches!(*byte, b' '..=b'~');
        if text.as_bytes().iter().all(is_plain) {
            self.line(kind, text.as_bytes());
            return;
        }
        let start = self.buffer.len() + 1;
        let text = &*lossless::bytes(text);
        self.line(kind, text);
        let breaks = |byte: &u8| matches!(*byte, b'\r' | b'\n');
        if text.iter().any(breaks) {
            let end = start + text.len();
            let written = self.buffer.iter_mut().take(end).skip(start);
            written
                .filter(|byte| breaks(byte))
                .for_each(|byte| *byte = b' ');
        }
    }

    /// `kind`, a number, a line break: the head of every aggregate and string.
    #[inline]
    fn head(&mut self, kind: u8, number: usize) {
        let digit = |n: usize| b'0' + (n % 10) as u8;
        match number {
            0..10 => self.raw(&[kind, digit(number), b'\r', b'\n']),
            10..100 => self.raw(&[kind, digit(number / 10), digit(number), b'\r', b'\n']),
            100..1000 => {
                let (hundreds, tens) = (digit(number / 100), digit(number / 10));
                self.raw(&[kind, hundreds, tens, digit(number), b'\r', b'\n']);
            }
            _ => self.line(kind, itoa::Buffer::new().format(number).as_bytes()),
        }
    }
}

impl Reply for RespReply {
    fn encoded(&mut self, bytes: &[u8]) {
        self.raw(bytes);
    }

    fn set_protocol(&mut self, resp3: bool) {
        self.set_resp3(resp3);
    }

    fn is_resp3(&self) -> bool {
        self.resp3
    }

    fn simple(&mut self, text: &str) {
        self.text_line(b'+', text);
    }

    fn error(&mut self, text: &str) {
        // What ends in line breaks of a client's is cut before them, as Redis does.
        self.text_line(b'-', text.trim_end_matches(['\r', '\n']));
    }

    fn int(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(number) => self.head(b':', number),
            Err(_) => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() > self.limit
    }

    fn holds_earlier(&self) -> bool {
        !self.is_empty()
    }

    fn bulk(&mut self, bytes: &[u8]) {
        if self.is_full() {
            return;
        }
        self.buffer.reserve(bytes.len() + 24);
        self.head(b'$', bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    fn map(&mut self, pairs: usize) {
        if self.resp3 {
            self.head(b'%', pairs);
        } else {
            self.head(b'*', pairs * 2);
        }
    }

    fn set(&mut self, len: usize) {
        self.head(if self.resp3 { b'~' } else { b'*' }, len);
    }

    fn push(&mut self, len: usize) {
        self.head(if self.resp3 { b'>' } else { b'*' }, len);
    }

    fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.resp3, "RESP2 has no attributes");
        self.head(b'|', pairs);
    }

    fn double(&mut self, value: f64) {
        let mut buffer = DoubleBuffer::new();
        let text = buffer.format(value);
        if self.resp3 {
            self.line(b',', text);
        } else {
            self.bulk(text);
        }
    }

    fn plain_double(&mut self, value: f64) {
        let text = format_plain(value);
        if self.resp3 {
            self.line(b',', text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    fn bool(&mut self, value: bool) {
        self.raw(match (self.resp3, value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        });
    }

    fn big_number(&mut self, digits: &str) {
        if self.resp3 {
            self.text_line(b'(', digits);
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        if !self.resp3 {
            self.bulk(bytes);
            return;
        }
        debug_assert_eq!(format.len(), 3, "the protocol has exactly three letters");
        self.head(b'=', format.len() + 1 + bytes.len());
        self.raw(format.as_bytes());
        self.raw(b":");
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::response::tests::responses;
    use crate::reply::{Response, ResponseReply};
    use proptest::prelude::*;
    use redis_protocol::resp2::types::OwnedFrame as Frame2;
    use redis_protocol::resp3::types::{OwnedFrame as Frame3, VerbatimStringFormat};

    // Expected bytes: DEBUG PROTOCOL of redis-server 7.0.15.
    #[test]
    fn errors_quote_any_bytes() {
        let mut reply = RespReply::new(false);
        reply.error(&format!(
            "ERR no '{}'",
            lossless::text(b"a\xff\r\n\xc3\xa9")
        ));
        assert_eq!(reply.take(), b"-ERR no 'a\xff  \xc3\xa9'\r\n");
    }

    #[test]
    fn shapes_are_those_of_redis() {
        let write = |resp3| {
            let mut reply = RespReply::new(resp3);
            reply.int(12345);
            reply.double(3.25);
            reply.null();
            reply.set(1);
            reply.int(0);
            reply.map(1);
            reply.int(0);
            reply.bool(false);
            reply.verbatim("txt", b"This is a verbatim\nstring");
            reply.big_number("1234567999999999999999999999999999999");
            reply.bool(true);
            String::from_utf8(reply.take()).expect("ASCII")
        };
        assert_eq!(
            write(false),
            ":12345\r\n$4\r\n3.25\r\n$-1\r\n*1\r\n:0\r\n*2\r\n:0\r\n:0\r\n$25\r\nThis is a verbatim\nstring\r\n\
             $37\r\n1234567999999999999999999999999999999\r\n:1\r\n"
        );
        assert_eq!(
            write(true),
            ":12345\r\n,3.25\r\n_\r\n~1\r\n:0\r\n%1\r\n:0\r\n#f\r\n=29\r\ntxt:This is a verbatim\nstring\r\n\
             (1234567999999999999999999999999999999\r\n#t\r\n"
        );
    }

    #[test]
    fn a_line_break_cannot_split_a_reply() {
        let mut reply = RespReply::new(false);
        reply.error("ERR unknown command 'a\r\nb'");
        assert_eq!(reply.buffer(), b"-ERR unknown command 'a  b'\r\n");
    }

    #[test]
    fn a_mark_takes_a_reply_back() {
        let mut reply = RespReply::new(true);
        reply.ok();
        let mark = reply.len();
        reply.push(2);
        reply.attribute(10);
        reply.truncate(mark);
        assert_eq!(reply.take(), b"+OK\r\n");
        assert!(reply.is_empty());
    }

    fn frame2(response: Response) -> Frame2 {
        match response {
            Response::Int(value) => Frame2::Integer(value),
            Response::Bulk(bytes) => Frame2::BulkString(bytes),
            Response::Simple(text) => Frame2::SimpleString(text.into_owned().into_bytes()),
            Response::Error(text) => Frame2::Error(text),
            Response::Array(items) => Frame2::Array(items.into_iter().map(frame2).collect()),
            _ => Frame2::Null,
        }
    }

    fn frame3(response: Response) -> Frame3 {
        let attributes = None;
        match response {
            Response::Null | Response::Attribute { .. } => Frame3::Null,
            Response::Int(data) => Frame3::Number { data, attributes },
            Response::Bulk(data) => Frame3::BlobString { data, attributes },
            Response::Simple(text) => Frame3::SimpleString {
                data: text.into_owned().into_bytes(),
                attributes,
            },
            Response::Error(data) => Frame3::SimpleError { data, attributes },
            Response::Double(data) => Frame3::Double { data, attributes },
            Response::Bool(data) => Frame3::Boolean { data, attributes },
            Response::BigNumber(digits) => Frame3::BigNumber {
                data: digits.into_bytes(),
                attributes,
            },
            Response::Verbatim { text, .. } => Frame3::VerbatimString {
                data: text,
                format: VerbatimStringFormat::Text,
                attributes,
            },
            Response::Array(items) => Frame3::Array {
                data: items.into_iter().map(frame3).collect(),
                attributes,
            },
            Response::Push(items) => Frame3::Push {
                data: items.into_iter().map(frame3).collect(),
                attributes,
            },
            Response::Set(items) => Frame3::Set {
                data: items.into_iter().map(frame3).collect(),
                attributes,
            },
            Response::Map(pairs) => {
                let data = pairs
                    .into_iter()
                    .map(|(key, value)| (frame3(key), frame3(value)))
                    .collect();
                Frame3::Map { data, attributes }
            }
        }
    }

    proptest! {
        #[test]
        fn resp3_is_read_back_by_redis_protocol(response in responses()) {
            let mut reply = RespReply::new(true);
            response.write_to(&mut reply);
            let decoded = redis_protocol::resp3::decode::complete::decode(reply.buffer());
            let (frame, consumed) = decoded.expect("valid").expect("complete");
            prop_assert_eq!(consumed, reply.len());
            prop_assert_eq!(frame, frame3(response));
        }

        #[test]
        fn resp2_is_read_back_by_redis_protocol(response in responses()) {
            let mut reply = RespReply::new(false);
            response.write_to(&mut reply);
            let (frame, consumed) =
                redis_protocol::resp2::decode::decode(reply.buffer()).expect("valid").expect("complete");
            prop_assert_eq!(consumed, reply.len());
            let mut collected = ResponseReply::new(false);
            response.write_to(&mut collected);
            prop_assert_eq!(frame, frame2(collected.take().expect("one reply")));
        }
    }
}
