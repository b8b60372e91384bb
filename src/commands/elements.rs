//! What commands on collections share: how an element is answered, and the words of HRANDFIELD and ZRANDMEMBER.
//! It knows no collection.

use super::{CommandError, Context};
use crate::reply::Reply;
use crate::value::listpack::Element;
use crate::value::number::parse_i64;

/// Answers an element as a string.
pub fn bulk_element(reply: &mut dyn Reply, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Int(integer) => reply.bulk_int(integer),
    }
}

/// The option of a command of at least three words that draws elements: `key count [WITH…]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// How many.
    pub count: usize,
    /// Whether an element may come more than once (the count was negative).
    pub repeated: bool,
    /// Whether values or scores are wanted.
    pub with_second: bool,
}

impl Draw {
    /// Reads the count at word 2 and, behind it, `option`.
    pub fn parse(context: &Context<'_, '_>, option: &str) -> Result<Self, CommandError> {
        let count = parse_i64(context.args[2]).ok_or(CommandError::NotInteger)?;
        if count == i64::MIN {
            return Err(CommandError::text(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ));
        }
        let with_second = context.args.len() == 4 && context.is(3, option);
        if context.args.len() > 3 && !with_second {
            return Err(CommandError::Syntax);
        }
        // Two words for each element must still be countable.
        if with_second && count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err(CommandError::text("ERR value is out of range"));
        }
        Ok(Self {
            count: usize::try_from(count.unsigned_abs())
                .map_err(|_| CommandError::text("ERR value is out of range"))?,
            repeated: count < 0,
            with_second,
        })
    }

    /// Announces `len` elements: pairs are nested in RESP3 and flat in RESP2.
    pub fn begin(&self, reply: &mut dyn Reply, len: usize) {
        if self.with_second && !reply.is_resp3() {
            reply.array(len * 2);
        } else {
            reply.array(len);
        }
    }

    /// Begins one element that is announced with its second half.
    pub fn begin_pair(&self, reply: &mut dyn Reply) {
        if self.with_second && reply.is_resp3() {
            reply.array(2);
        }
    }
}
