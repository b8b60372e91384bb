//! Replies as values for callers in this process: no encoding at all. Knows no protocol but which shapes RESP2 lacks.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Reply;
use crate::value::lossless;
use crate::value::number::{DoubleBuffer, format_plain};

/// One reply. Which variants occur follows the protocol asked for: with RESP2 there are `Null`, `Int`, `Bulk`, `Simple`,
/// `Error` and `Array`, with RESP3 all of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Nothing, in place of a string or of an array.
    Null,
    /// An integer.
    Int(i64),
    /// A binary-safe string.
    Bulk(Vec<u8>),
    /// A status such as `OK`.
    Simple(Cow<'static, str>),
    /// An error, which begins with its code.
    Error(String),
    /// An array.
    Array(Vec<Response>),
    /// Keys and values in the order in which they were written.
    Map(Vec<(Response, Response)>),
    /// A set, in the order in which it was written.
    Set(Vec<Response>),
    /// A floating-point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// A number of any size, in decimal.
    BigNumber(String),
    /// Text and the three letters of its format.
    Verbatim {
        /// `txt`, `mkd` …
        format: [u8; 3],
        /// The text alone.
        text: Vec<u8>,
    },
    /// An out-of-band message.
    Push(Vec<Response>),
    /// A value and attributes about it.
    Attribute {
        /// Keys and values about `value`.
        attributes: Vec<(Response, Response)>,
        /// What would have been the reply without them.
        value: Box<Response>,
    },
}

impl Response {
    /// Writes this value into another form of reply. A shape that the receiver's protocol lacks is the receiver's to
    /// replace; attributes are dropped for RESP2.
    pub fn write_to(&self, reply: &mut dyn Reply) {
        match self {
            Self::Null => reply.null(),
            Self::Int(value) => reply.int(*value),
            Self::Bulk(bytes) => reply.bulk(bytes),
            Self::Simple(text) => reply.simple(text),
            Self::Error(text) => reply.error(text),
            Self::Double(value) => reply.double(*value),
            Self::Bool(value) => reply.bool(*value),
            Self::BigNumber(digits) => reply.big_number(digits),
            Self::Verbatim { format, text } => {
                reply.verbatim(std::str::from_utf8(format).unwrap_or("txt"), text)
            }
            Self::Array(items) => {
                reply.array(items.len());
                write_items(items, reply);
            }
            Self::Set(items) => {
                reply.set(items.len());
                write_items(items, reply);
            }
            Self::Push(items) => {
                reply.push(items.len());
                write_items(items, reply);
            }
            Self::Map(pairs) => {
                reply.map(pairs.len());
                write_pairs(pairs, reply);
            }
            Self::Attribute { attributes, value } => {
                if reply.is_resp3() {
                    reply.attribute(attributes.len());
                    write_pairs(attributes, reply);
                }
                value.write_to(reply);
            }
        }
    }
}

fn write_items(items: &[Response], reply: &mut dyn Reply) {
    for item in items {
        item.write_to(reply);
    }
}

fn write_pairs(pairs: &[(Response, Response)], reply: &mut dyn Reply) {
    for (key, value) in pairs {
        key.write_to(reply);
        value.write_to(reply);
    }
}

/// Collects replies as [`Response`] values. Scalars allocate their own bytes and nothing else.
#[derive(Debug, Default)]
pub struct ResponseReply {
    resp3: bool,
    /// Whether texts are to be read by people, instead of standing for bytes that a client is sent.
    legible: bool,
    /// Aggregates that wait for values, the innermost last.
    open: Vec<Open>,
    first: Option<Response>,
    /// Further finished replies; stays without memory where there is one reply at a time.
    later: VecDeque<Response>,
}

impl ResponseReply {
    /// An empty collector, for the shapes of RESP3 or of RESP2.
    #[must_use]
    pub fn new(resp3: bool) -> Self {
        Self {
            resp3,
            ..Self::default()
        }
    }

    /// An empty collector of what nobody turns into bytes again: what an error quotes is text.
    #[must_use]
    pub fn legible(resp3: bool) -> Self {
        Self {
            legible: true,
            ..Self::new(resp3)
        }
    }

    fn text(&self, text: &str) -> String {
        if self.legible {
            lossless::legible(text.to_owned())
        } else {
            text.to_owned()
        }
    }

    /// Switches the protocol for the replies to come (`HELLO`, `RESET`).
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// The oldest finished reply. An aggregate is finished with its last value.
    #[inline]
    pub fn take(&mut self) -> Option<Response> {
        let oldest = self.first.take()?;
        if !self.later.is_empty() {
            self.first = self.later.pop_front();
        }
        Some(oldest)
    }

    /// How many finished replies wait to be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.later.len()
    }

    /// Whether no finished reply waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether an aggregate still misses values.
    #[must_use]
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.open.is_empty()
    }

    /// Forgets every reply, finished or not.
    pub fn clear(&mut self) {
        self.open.clear();
        self.first = None;
        self.later.clear();
    }

    #[inline]
    fn put(&mut self, value: Response) {
        if self.open.is_empty() && self.first.is_none() {
            self.first = Some(value);
        } else {
            self.put_behind(value);
        }
    }

    /// Puts a value into what is open, or behind what is finished.
    fn put_behind(&mut self, mut value: Response) {
        while let Some(innermost) = self.open.last_mut() {
            innermost.add(value);
            if innermost.remaining > 0 {
                return;
            }
            let Some(finished) = self.open.pop() else {
                return;
            };
            value = finished.response;
        }
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.later.push_back(value);
        }
    }

    fn begin(&mut self, response: Response, remaining: usize) {
        if remaining == 0 {
            self.put(response);
        } else {
            self.open.push(Open {
                response,
                remaining,
                key: None,
            });
        }
    }
}

/// An aggregate that still misses values.
#[derive(Debug)]
struct Open {
    response: Response,
    /// Values to come; a key counts as one, and so does the value that attributes are about.
    remaining: usize,
    /// A key whose value comes next.
    key: Option<Response>,
}

impl Open {
    fn add(&mut self, value: Response) {
        self.remaining -= 1;
        match &mut self.response {
            Response::Array(items) | Response::Set(items) | Response::Push(items) => {
                items.push(value)
            }
            Response::Attribute { value: about, .. } if self.remaining == 0 => **about = value,
            Response::Map(pairs)
            | Response::Attribute {
                attributes: pairs, ..
            } => match self.key.take() {
                Some(key) => pairs.push((key, value)),
                None => self.key = Some(value),
            },
            scalar => debug_assert!(false, "only aggregates are opened, not {scalar:?}"),
        }
    }
}

impl Reply for ResponseReply {
    fn set_protocol(&mut self, resp3: bool) {
        self.set_resp3(resp3);
    }

    fn is_resp3(&self) -> bool {
        self.resp3
    }

    fn simple(&mut self, text: &str) {
        self.put(Response::Simple(Cow::Owned(self.text(text))));
    }

    fn error(&mut self, text: &str) {
        self.put(Response::Error(self.text(text)));
    }

    fn int(&mut self, value: i64) {
        self.put(Response::Int(value));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.put(Response::Bulk(bytes.to_vec()));
    }

    fn null(&mut self) {
        self.put(Response::Null);
    }

    fn null_array(&mut self) {
        self.put(Response::Null);
    }

    fn array(&mut self, len: usize) {
        self.begin(Response::Array(Vec::with_capacity(len)), len);
    }

    fn map(&mut self, pairs: usize) {
        if self.resp3 {
            self.begin(Response::Map(Vec::with_capacity(pairs)), pairs * 2);
        } else {
            self.array(pairs * 2);
        }
    }

    fn set(&mut self, len: usize) {
        if self.resp3 {
            self.begin(Response::Set(Vec::with_capacity(len)), len);
        } else {
            self.array(len);
        }
    }

    fn push(&mut self, len: usize) {
        if self.resp3 {
            self.begin(Response::Push(Vec::with_capacity(len)), len);
        } else {
            self.array(len);
        }
    }

    fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.resp3, "RESP2 has no attributes");
        let response = Response::Attribute {
            attributes: Vec::with_capacity(pairs),
            value: Box::new(Response::Null),
        };
        self.begin(response, pairs * 2 + 1);
    }

    fn double(&mut self, value: f64) {
        if self.resp3 {
            self.put(Response::Double(value));
        } else {
            self.bulk(DoubleBuffer::new().format(value));
        }
    }

    fn plain_double(&mut self, value: f64) {
        let text = format_plain(value);
        if self.resp3 {
            // Nobody gets more of it than the text tells.
            self.put(Response::Double(text.parse().unwrap_or(value)));
        } else {
            self.bulk(text.as_bytes());
        }
    }

    fn bool(&mut self, value: bool) {
        self.put(if self.resp3 {
            Response::Bool(value)
        } else {
            Response::Int(i64::from(value))
        });
    }

    fn big_number(&mut self, digits: &str) {
        if self.resp3 {
            self.put(Response::BigNumber(digits.to_owned()));
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        match <[u8; 3]>::try_from(format.as_bytes()) {
            Ok(format) if self.resp3 => self.put(Response::Verbatim {
                format,
                text: bytes.to_vec(),
            }),
            _ => self.bulk(bytes),
        }
    }

    fn ok(&mut self) {
        self.put(Response::Simple(Cow::Borrowed("OK")));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bulk(text: String) -> Response {
        Response::Bulk(text.into_bytes())
    }

    #[test]
    fn a_plain_double_has_the_places_that_are_sent() {
        let mut reply = ResponseReply::new(true);
        reply.plain_double(-9.924_173_355_102_539e-5);
        assert_eq!(
            reply.take(),
            Some(Response::Double(-0.000_099_241_733_551_03))
        );
    }

    /// Any reply that a RESP3 client can be sent, without attributes. Keys and members are distinct strings.
    pub(crate) fn responses() -> impl Strategy<Value = Response> {
        let leaf = prop_oneof![
            Just(Response::Null),
            any::<i64>().prop_map(Response::Int),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Response::Bulk),
            "[A-Za-z ]{1,12}".prop_map(|text| Response::Simple(text.into())),
            "ERR [a-z ]{1,12}".prop_map(Response::Error),
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |value| !value.is_nan())
                .prop_map(Response::Double),
            any::<bool>().prop_map(Response::Bool),
            "-?[1-9][0-9]{0,40}".prop_map(Response::BigNumber),
            "[a-z\r\n]{0,12}".prop_map(|text| Response::Verbatim {
                format: *b"txt",
                text: text.into_bytes()
            }),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Response::Array),
                proptest::collection::btree_set("[a-z]{0,4}", 0..6)
                    .prop_map(|items| Response::Set(items.into_iter().map(bulk).collect())),
                proptest::collection::btree_map("[a-z]{0,4}", inner, 0..4).prop_map(|pairs| {
                    Response::Map(
                        pairs
                            .into_iter()
                            .map(|(key, value)| (bulk(key), value))
                            .collect(),
                    )
                }),
            ]
        })
    }

    #[test]
    fn replies_come_out_in_order() {
        let mut reply = ResponseReply::new(true);
        reply.ok();
        reply.array(2);
        reply.int(1);
        assert_eq!(reply.len(), 1);
        reply.array(0);
        reply.attribute(1);
        reply.bulk(b"k");
        reply.int(7);
        reply.null();
        assert_eq!(reply.take(), Some(Response::Simple("OK".into())));
        assert_eq!(
            reply.take(),
            Some(Response::Array(vec![
                Response::Int(1),
                Response::Array(vec![])
            ]))
        );
        let attributes = vec![(Response::Bulk(b"k".to_vec()), Response::Int(7))];
        assert_eq!(
            reply.take(),
            Some(Response::Attribute {
                attributes,
                value: Box::new(Response::Null)
            })
        );
        assert_eq!(reply.take(), None);
    }

    #[test]
    fn resp2_has_fewer_shapes() {
        let mut reply = ResponseReply::new(false);
        reply.map(1);
        reply.double(0.5);
        reply.bool(true);
        assert_eq!(
            reply.take(),
            Some(Response::Array(vec![
                Response::Bulk(b"0.5".to_vec()),
                Response::Int(1)
            ]))
        );
    }

    proptest! {
        #[test]
        fn a_written_response_comes_back(response in responses()) {
            let mut reply = ResponseReply::new(true);
            response.write_to(&mut reply);
            prop_assert_eq!(reply.take(), Some(response));
            prop_assert!(reply.is_empty());
        }
    }
}
