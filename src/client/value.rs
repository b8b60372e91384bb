//! Replies of this process as the `redis` crate's values. Strings change hands without a copy; only errors and big
//! numbers, whose types the crate builds from protocol alone, take the way through its parser.

use std::borrow::Cow;
use std::io;

use redis::{ErrorKind, PushKind, RedisError, RedisResult, Value, VerbatimFormat};

use crate::reply::Response;

/// A reply as a real connection would yield it: an error reply is a value, [`Value::ServerError`].
pub(super) fn to_value(response: Response) -> Value {
    match response {
        Response::Null => Value::Nil,
        Response::Int(value) => Value::Int(value),
        Response::Bulk(bytes) => Value::BulkString(bytes),
        Response::Simple(text) if text == "OK" => Value::Okay,
        Response::Simple(text) => Value::SimpleString(text.into_owned()),
        Response::Error(text) => server_error(&text),
        Response::Array(items) => Value::Array(to_values(items)),
        Response::Set(items) => Value::Set(to_values(items)),
        Response::Map(pairs) => Value::Map(to_pairs(pairs)),
        Response::Double(value) => Value::Double(value),
        Response::Bool(value) => Value::Boolean(value),
        Response::BigNumber(digits) => parse_line('(', &digits),
        Response::Verbatim { format, text } => Value::VerbatimString {
            format: verbatim_format(format),
            text: String::from_utf8_lossy(&text).into_owned(),
        },
        Response::Push(items) => to_push(items),
        Response::Attribute { attributes, value } => Value::Attribute {
            data: Box::new(to_value(*value)),
            attributes: to_pairs(attributes),
        },
    }
}

fn to_values(items: Vec<Response>) -> Vec<Value> {
    items.into_iter().map(to_value).collect()
}

fn to_pairs(pairs: Vec<(Response, Response)>) -> Vec<(Value, Value)> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| (to_value(key), to_value(value)))
        .collect()
}

fn to_push(items: Vec<Response>) -> Value {
    let mut items = items.into_iter();
    let kind = match items.next() {
        Some(Response::Bulk(word)) => push_kind(&String::from_utf8_lossy(&word)),
        _ => PushKind::Other(String::new()),
    };
    Value::Push {
        kind,
        data: items.map(to_value).collect(),
    }
}

fn push_kind(word: &str) -> PushKind {
    match word {
        "message" => PushKind::Message,
        "pmessage" => PushKind::PMessage,
        "smessage" => PushKind::SMessage,
        "subscribe" => PushKind::Subscribe,
        "psubscribe" => PushKind::PSubscribe,
        "ssubscribe" => PushKind::SSubscribe,
        "unsubscribe" => PushKind::Unsubscribe,
        "punsubscribe" => PushKind::PUnsubscribe,
        "sunsubscribe" => PushKind::SUnsubscribe,
        "invalidate" => PushKind::Invalidate,
        other => PushKind::Other(other.to_owned()),
    }
}

fn verbatim_format(format: [u8; 3]) -> VerbatimFormat {
    match &format {
        b"txt" => VerbatimFormat::Text,
        b"mkd" => VerbatimFormat::Markdown,
        other => VerbatimFormat::Unknown(String::from_utf8_lossy(other).into_owned()),
    }
}

#[cold]
fn server_error(text: &str) -> Value {
    let text = if text.contains(['\r', '\n']) {
        Cow::Owned(text.replace(['\r', '\n'], " "))
    } else {
        Cow::Borrowed(text)
    };
    parse_line('-', &text)
}

fn parse_line(kind: char, text: &str) -> Value {
    redis::parse_redis_value(format!("{kind}{text}\r\n").as_bytes())
        .unwrap_or_else(|_| Value::SimpleString(text.to_owned()))
}

/// What a command on a closed connection yields, as of a socket that the server closed.
pub(super) fn closed() -> RedisError {
    io::Error::new(io::ErrorKind::BrokenPipe, "the session was closed").into()
}

pub(super) fn empty_command() -> RedisError {
    (ErrorKind::Client, "empty command").into()
}

/// The replies of a pipeline, of which the first `skipped` are the `OK` and `QUEUED` of a transaction: nobody asks for
/// them, but an error among them is why the transaction fails.
#[derive(Debug)]
pub(super) struct Replies {
    skipped: usize,
    seen: usize,
    values: Vec<Value>,
    refused: Option<String>,
}

impl Replies {
    pub(super) fn new(skipped: usize, expected: usize) -> Self {
        Self {
            skipped,
            seen: 0,
            values: Vec::with_capacity(expected),
            refused: None,
        }
    }

    pub(super) fn add(&mut self, response: Response) {
        let is_wanted = self.seen >= self.skipped;
        self.seen += 1;
        match response {
            response if is_wanted => self.values.push(to_value(response)),
            Response::Error(text) => {
                self.refused.get_or_insert(text);
            }
            _ => {}
        }
    }

    pub(super) fn finish(self) -> RedisResult<Vec<Value>> {
        let Some(reason) = self.refused else {
            return Ok(self.values);
        };
        let text = format!("EXECABORT Transaction discarded because of: {reason}");
        match server_error(&text) {
            Value::ServerError(error) => Err(error.into()),
            _ => Err((ErrorKind::Client, "Transaction discarded", reason).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::response::tests::responses;
    use crate::reply::{Reply, RespReply};
    use proptest::prelude::*;

    proptest! {
        /// A value that came without protocol is the value that the crate would have parsed.
        #[test]
        fn values_are_what_a_socket_would_yield(response in responses()) {
            let mut reply = RespReply::new(true);
            response.write_to(&mut reply);
            let parsed = redis::parse_redis_value(&reply.take()).expect("our own encoding");
            prop_assert_eq!(to_value(response), parsed);
        }
    }

    #[test]
    fn pushes_and_attributes_keep_their_shape() {
        let mut reply = RespReply::new(true);
        reply.attribute(1);
        reply.bulk(b"k");
        reply.int(1);
        reply.push(3);
        reply.bulk(b"smessage");
        reply.bulk(b"channel");
        reply.bulk(b"text");
        let parsed = redis::parse_redis_value(&reply.take()).expect("our own encoding");
        let word = |text: &str| Response::Bulk(text.as_bytes().to_vec());
        let push = Response::Push(vec![word("smessage"), word("channel"), word("text")]);
        let response = Response::Attribute {
            attributes: vec![(word("k"), Response::Int(1))],
            value: Box::new(push),
        };
        assert_eq!(to_value(response), parsed);
    }

    #[test]
    fn an_error_while_queueing_fails_the_transaction() {
        let mut replies = Replies::new(2, 1);
        replies.add(Response::Simple("OK".into()));
        replies.add(Response::Error("ERR unknown command 'x'".into()));
        replies.add(Response::Error("EXECABORT Transaction discarded".into()));
        let error = replies.finish().expect_err("it was aborted");
        assert_eq!(
            error.kind(),
            ErrorKind::Server(redis::ServerErrorKind::ExecAbort)
        );
        assert!(error.to_string().contains("unknown command 'x'"), "{error}");
    }

    #[test]
    fn line_breaks_in_an_error_do_no_harm() {
        let Value::ServerError(error) = server_error("ERR one\r\ntwo") else {
            panic!("no error");
        };
        assert_eq!(error.details(), Some("one  two"));
    }
}
