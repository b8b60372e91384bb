//! Replies: one trait that handlers talk to, and its forms. Handlers never build strings of protocol.

pub mod count;
pub mod resp;
pub mod response;

pub use count::SinkReply;
pub use resp::RespReply;
pub use response::{Response, ResponseReply};

/// What a handler says to whoever asked. One value is written by one call; an aggregate is announced with its length
/// and followed by exactly that many values (twice as many for [`Reply::map`] and [`Reply::attribute`]).
pub trait Reply {
    /// Whether the client speaks RESP3. Handlers ask only where Redis's answer differs in shape, not in encoding.
    fn is_resp3(&self) -> bool;
    /// Switches the protocol for what is written from now on (HELLO, RESET). Forms without a protocol stay as they are.
    fn set_protocol(&mut self, _resp3: bool) {}
    /// Whether what is written from now on is dropped, because the client is about to be cut off: a handler of many values
    /// need not go on.
    fn is_full(&self) -> bool {
        false
    }
    /// Whether replies to earlier commands still wait in it to be sent. Asked before anything is written.
    fn holds_earlier(&self) -> bool {
        false
    }
    /// A status such as `OK`. The text holds no line break.
    fn simple(&mut self, text: &str);
    /// An error; `text` begins with its code (`ERR …`, `WRONGTYPE …`), without the dash.
    fn error(&mut self, text: &str);
    /// An integer.
    fn int(&mut self, value: i64);
    /// A binary-safe string.
    fn bulk(&mut self, bytes: &[u8]);
    /// An integer as a binary-safe string.
    fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }
    /// Nothing where a string could have been: `$-1` in RESP2, `_` in RESP3.
    fn null(&mut self);
    /// Nothing where an array could have been: `*-1` in RESP2, `_` in RESP3.
    fn null_array(&mut self);
    /// An array of `len` values, which follow.
    fn array(&mut self, len: usize);
    /// A map of `pairs` keys and values, which follow; an array of twice the length in RESP2.
    fn map(&mut self, pairs: usize);
    /// A set of `len` values, which follow; an array in RESP2.
    fn set(&mut self, len: usize);
    /// An out-of-band message of `len` values, which follow; an array in RESP2.
    fn push(&mut self, len: usize);
    /// Attributes of `pairs` keys and values, which follow, about the value after them. Only for RESP3 clients.
    fn attribute(&mut self, pairs: usize);
    /// A floating-point number: in RESP2 a bulk string, printed as Redis prints it (17 significant digits, `inf`, `nan`).
    fn double(&mut self, value: f64);
    /// The same, printed for people: no exponent, 17 decimal places, trailing zeros cut.
    fn plain_double(&mut self, value: f64) {
        self.double(value);
    }
    /// A boolean: `:1` or `:0` in RESP2.
    fn bool(&mut self, value: bool);
    /// A number of any size, in decimal; a bulk string in RESP2.
    fn big_number(&mut self, digits: &str);
    /// Text with a format of three letters (`txt`, `mkd`); a bulk string in RESP2.
    fn verbatim(&mut self, format: &str, bytes: &[u8]);
    /// A value that is encoded already, for the protocol that this form writes. Forms that encode nothing drop it.
    fn encoded(&mut self, _bytes: &[u8]) {}
    /// `+OK`, the most frequent status.
    fn ok(&mut self) {
        self.simple("OK");
    }
}
