//! Strings: SET, GET and what reads or changes a part of one. Counters and LCS have files of their own.

use super::expiry::{self, TimeForm};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, EventClass, ValueRef};
use crate::reply::Reply;
use crate::value::listpack::Element;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 value:string",
        acl: "write string fast",
        keys: &[one_key("RW insert")],
        group: "string",
        since: "2.0.0",
        summary: "Append a value to a key",
        complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation.",
        ..CommandSpec::new(
            "append",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            append,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read string fast",
        keys: &[one_key("RO access")],
        group: "string",
        since: "1.0.0",
        summary: "Get the value of a key",
        complexity: "O(1)",
        ..CommandSpec::new("get", 2, Flags::READONLY.and(Flags::FAST), get)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "write string fast",
        keys: &[one_key("RW access delete")],
        group: "string",
        since: "6.2.0",
        summary: "Get the value of a key and delete the key",
        complexity: "O(1)",
        ..CommandSpec::new("getdel", 2, Flags::WRITE.and(Flags::FAST), getdel)
    },
    CommandSpec {
        arguments: "key:key#0 expiration:oneof?{seconds:integer=EX milliseconds:integer=PX unix-time-seconds:unix-time=EXAT unix-time-milliseconds:unix-time=PXAT persist:pure-token=PERSIST}",
        acl: "write string fast",
        keys: &[KeySpec {
            flags: "RW access update",
            notes: "RW and UPDATE because it changes the TTL",
            begin: Begin::Index(1),
            find: Find::Range {
                last: 0,
                step: 1,
                limit: 0,
            },
        }],
        group: "string",
        since: "6.2.0",
        summary: "Get the value of a key and optionally set its expiration",
        complexity: "O(1)",
        ..CommandSpec::new("getex", -2, Flags::WRITE.and(Flags::FAST), getex)
    },
    CommandSpec {
        arguments: "key:key#0 start:integer end:integer",
        acl: "read string slow",
        keys: &[one_key("RO access")],
        group: "string",
        since: "2.4.0",
        summary: "Get a substring of the string stored at a key",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        ..CommandSpec::new("getrange", 4, Flags::READONLY, getrange)
    },
    CommandSpec {
        arguments: "key:key#0 value:string",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "1.0.0",
        summary: "Set the string value of a key and return its old value",
        complexity: "O(1)",
        deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
        ..CommandSpec::new(
            "getset",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            getset,
        )
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "read string fast",
        keys: &[key_range("RO access", 1, -1, 1)],
        group: "string",
        since: "1.0.0",
        summary: "Get the values of all the given keys",
        complexity: "O(N) where N is the number of keys to retrieve.",
        tips: "request_policy:multi_shard",
        ..CommandSpec::new("mget", -2, Flags::READONLY.and(Flags::FAST), mget)
    },
    CommandSpec {
        arguments: "key_value:block*{key:key#0 value:string}",
        acl: "write string slow",
        keys: &[key_range("OW update", 1, -1, 2)],
        group: "string",
        since: "1.0.1",
        summary: "Set multiple keys to multiple values",
        complexity: "O(N) where N is the number of keys to set.",
        tips: "request_policy:multi_shard response_policy:all_succeeded",
        ..CommandSpec::new("mset", -3, Flags::WRITE.and(Flags::DENYOOM), mset)
    },
    CommandSpec {
        arguments: "key_value:block*{key:key#0 value:string}",
        acl: "write string slow",
        keys: &[key_range("OW insert", 1, -1, 2)],
        group: "string",
        since: "1.0.1",
        summary: "Set multiple keys to multiple values, only if none of the keys exist",
        complexity: "O(N) where N is the number of keys to set.",
        tips: "request_policy:multi_shard response_policy:agg_min",
        ..CommandSpec::new("msetnx", -3, Flags::WRITE.and(Flags::DENYOOM), msetnx)
    },
    CommandSpec {
        arguments: "key:key#0 milliseconds:integer value:string",
        acl: "write string slow",
        keys: &[one_key("OW update")],
        group: "string",
        since: "2.6.0",
        summary: "Set the value and expiration in milliseconds of a key",
        complexity: "O(1)",
        ..CommandSpec::new("psetex", 4, Flags::WRITE.and(Flags::DENYOOM), psetex)
    },
    CommandSpec {
        arguments: "key:key#0 value:string condition:oneof?@2.6.12{nx:pure-token=NX xx:pure-token=XX} get:pure-token=GET?@6.2.0 expiration:oneof?{seconds:integer=EX@2.6.12 milliseconds:integer=PX@2.6.12 unix-time-seconds:unix-time=EXAT@6.2.0 unix-time-milliseconds:unix-time=PXAT@6.2.0 keepttl:pure-token=KEEPTTL@6.0.0}",
        acl: "write string slow",
        keys: &[KeySpec {
            flags: "RW access update variable_flags",
            notes: "RW and ACCESS due to the optional `GET` argument",
            begin: Begin::Index(1),
            find: Find::Range {
                last: 0,
                step: 1,
                limit: 0,
            },
        }],
        group: "string",
        since: "1.0.0",
        summary: "Set the string value of a key",
        complexity: "O(1)",
        history: &[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            (
                "7.0.0",
                "Allowed the `NX` and `GET` options to be used together.",
            ),
        ],
        ..CommandSpec::new("set", -3, Flags::WRITE.and(Flags::DENYOOM), set)
    },
    CommandSpec {
        arguments: "key:key#0 seconds:integer value:string",
        acl: "write string slow",
        keys: &[one_key("OW update")],
        group: "string",
        since: "2.0.0",
        summary: "Set the value and expiration of a key",
        complexity: "O(1)",
        ..CommandSpec::new("setex", 4, Flags::WRITE.and(Flags::DENYOOM), setex)
    },
    CommandSpec {
        arguments: "key:key#0 value:string",
        acl: "write string fast",
        keys: &[one_key("OW insert")],
        group: "string",
        since: "1.0.0",
        summary: "Set the value of a key, only if the key does not exist",
        complexity: "O(1)",
        ..CommandSpec::new(
            "setnx",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            setnx,
        )
    },
    CommandSpec {
        arguments: "key:key#0 offset:integer value:string",
        acl: "write string slow",
        keys: &[one_key("RW update")],
        group: "string",
        since: "2.2.0",
        summary: "Overwrite part of a string at key starting at the specified offset",
        complexity: "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
        ..CommandSpec::new("setrange", 4, Flags::WRITE.and(Flags::DENYOOM), setrange)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read string fast",
        keys: &[one_key("RO")],
        group: "string",
        since: "2.2.0",
        summary: "Get the length of the value stored in a key",
        complexity: "O(1)",
        ..CommandSpec::new("strlen", 2, Flags::READONLY.and(Flags::FAST), strlen)
    },
    CommandSpec {
        arguments: "key:key#0 start:integer end:integer",
        acl: "read string slow",
        keys: &[one_key("RO access")],
        group: "string",
        since: "1.0.0",
        summary: "Get a substring of the string stored at a key",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        ..CommandSpec::new("substr", 4, Flags::READONLY, substr)
    },
];

/// Answers with a string, or null.
pub(super) fn answer(reply: &mut dyn Reply, text: Option<Element<'_>>) {
    match text {
        None => reply.null(),
        Some(Element::Bytes(bytes)) => reply.bulk(bytes),
        Some(Element::Int(integer)) => reply.bulk_int(integer),
    }
}

/// When SET may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    IfMissing,
    IfPresent,
}

/// What becomes of a key's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// No option: SET removes the time, GETEX leaves it alone.
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// A time in this form, at this word.
    Until(TimeForm, usize),
}

/// The options of SET and GETEX.
#[derive(Debug)]
struct Options {
    condition: Option<Condition>,
    get: bool,
    lifetime: Lifetime,
}

impl Options {
    /// Reads the words from `first` on. GETEX has PERSIST and the times, SET all but PERSIST. An option may be repeated,
    /// the last one counts; options that exclude each other may not.
    fn parse(context: &Context<'_, '_>, first: usize, of_set: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            condition: None,
            get: false,
            lifetime: Lifetime::Unsaid,
        };
        let mut position = first;
        while let Some(word) = context.args.get(position) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if of_set && is(b"nx") {
                options.condition_is(Condition::IfMissing)?;
            } else if of_set && is(b"xx") {
                options.condition_is(Condition::IfPresent)?;
            } else if of_set && is(b"get") {
                options.get = true;
            } else if of_set && is(b"keepttl") {
                options.lifetime_is(Lifetime::Keep)?;
            } else if !of_set && is(b"persist") {
                options.lifetime_is(Lifetime::Persist)?;
            } else {
                let form = time_form(word).ok_or(CommandError::Syntax)?;
                position += 1;
                if position >= context.args.len() {
                    return Err(CommandError::Syntax);
                }
                options.lifetime_is(Lifetime::Until(form, position))?;
            }
            position += 1;
        }
        Ok(options)
    }

    fn condition_is(&mut self, condition: Condition) -> Result<(), CommandError> {
        let compatible = self.condition.is_none_or(|other| other == condition);
        self.condition = Some(condition);
        compatible.then_some(()).ok_or(CommandError::Syntax)
    }

    fn lifetime_is(&mut self, lifetime: Lifetime) -> Result<(), CommandError> {
        let compatible = match (self.lifetime, lifetime) {
            (Lifetime::Unsaid, _) => true,
            (Lifetime::Until(before, _), Lifetime::Until(form, _)) => before == form,
            (before, _) => before == lifetime,
        };
        self.lifetime = lifetime;
        compatible.then_some(()).ok_or(CommandError::Syntax)
    }
}

fn time_form(word: &[u8]) -> Option<TimeForm> {
    let forms: [(&[u8], TimeForm); 4] = [
        (b"ex", TimeForm::Seconds),
        (b"px", TimeForm::Milliseconds),
        (b"exat", TimeForm::UnixSeconds),
        (b"pxat", TimeForm::UnixMilliseconds),
    ];
    forms
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, form)| *form)
}

/// Sets a string that expires, and logs it so that it expires at the same moment everywhere.
fn set_until(context: &mut Context<'_, '_>, key: &[u8], value: &[u8], at: i64) {
    context.txn.insert_string(key, value, Some(at));
    context.txn.changed(EventClass::STRING, "set", key);
    context.txn.notify(EventClass::GENERIC, "expire", key);
    let mut digits = itoa::Buffer::new();
    let at = digits.format(at).as_bytes();
    context.txn.propagate(&[b"SET", key, value, b"PXAT", at]);
}

fn set_plain(context: &mut Context<'_, '_>, key: &[u8], value: &[u8]) {
    context.txn.insert_string(key, value, None);
    context.txn.changed(EventClass::STRING, "set", key);
}

fn set(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, value) = (context.args[1], context.args[2]);
    if context.args.len() == 3 {
        set_plain(context, key, value);
        context.reply.ok();
        return Ok(Outcome::Done);
    }
    let options = Options::parse(context, 3, true)?;
    let until = match options.lifetime {
        Lifetime::Until(form, position) => Some(form.positive(context, position)?),
        _ => None,
    };
    if options.get {
        answer(context.reply, context.txn.string(key)?);
    }
    if let Some(condition) = options.condition {
        let present = context.txn.entry_mut(key).is_some();
        if present != (condition == Condition::IfPresent) {
            if !options.get {
                context.reply.null();
            }
            return Ok(Outcome::Done);
        }
    }
    match (until, options.lifetime) {
        (Some(at), _) => set_until(context, key, value, at),
        (None, Lifetime::Keep) => set_keeping_time(context, key, value),
        (None, _) => {
            set_plain(context, key, value);
            context.txn.propagate(&[b"SET", key, value]);
        }
    }
    if !options.get {
        context.reply.ok();
    }
    Ok(Outcome::Done)
}

fn set_keeping_time(context: &mut Context<'_, '_>, key: &[u8], value: &[u8]) {
    let entry = context.txn.entry_mut(key);
    let at = entry.and_then(|entry| entry.expires_at_ms());
    context.txn.insert_string(key, value, at);
    context.txn.changed(EventClass::STRING, "set", key);
    context.txn.propagate(&[b"SET", key, value, b"KEEPTTL"]);
}

fn setnx(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, value) = (context.args[1], context.args[2]);
    let missing = context.txn.entry_mut(key).is_none();
    if missing {
        set_plain(context, key, value);
    }
    context.reply.int(i64::from(missing));
    Ok(Outcome::Done)
}

fn set_for(context: &mut Context<'_, '_>, form: TimeForm) -> CommandResult {
    let at = form.positive(context, 2)?;
    set_until(context, context.args[1], context.args[3], at);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn setex(context: &mut Context<'_, '_>) -> CommandResult {
    set_for(context, TimeForm::Seconds)
}

fn psetex(context: &mut Context<'_, '_>) -> CommandResult {
    set_for(context, TimeForm::Milliseconds)
}

fn get(context: &mut Context<'_, '_>) -> CommandResult {
    answer(context.reply, context.txn.string(context.args[1])?);
    Ok(Outcome::Done)
}

fn getset(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, value) = (context.args[1], context.args[2]);
    answer(context.reply, context.txn.string(key)?);
    set_plain(context, key, value);
    context.txn.propagate(&[b"SET", key, value]);
    Ok(Outcome::Done)
}

fn getdel(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let text = context.txn.string(key)?;
    let found = text.is_some();
    answer(context.reply, text);
    if found {
        context.txn.remove(key);
        context.txn.changed(EventClass::GENERIC, "del", key);
        context.txn.propagate(&[b"DEL", key]);
    }
    Ok(Outcome::Done)
}

fn getex(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let options = Options::parse(context, 2, false)?;
    if context.txn.string(key)?.is_none() {
        context.reply.null();
        return Ok(Outcome::Done);
    }
    let until = match options.lifetime {
        Lifetime::Until(form, position) => Some(form.positive(context, position)?),
        _ => None,
    };
    let entry = context.txn.peek(key);
    let text = entry.and_then(|entry| match entry.value() {
        ValueRef::String(text) => Some(text),
        _ => None,
    });
    answer(context.reply, text);
    match until {
        Some(at) if expiry::is_past(context, at) => expiry::delete_expired(context, key),
        Some(at) => expiry::set_time(context, key, at),
        None if options.lifetime == Lifetime::Persist => {
            expiry::clear_time(context, key);
        }
        None => {}
    }
    Ok(Outcome::Done)
}

fn mget(context: &mut Context<'_, '_>) -> CommandResult {
    context.reply.array(context.args.len() - 1);
    for key in &context.args[1..] {
        answer(context.reply, context.txn.string(key).unwrap_or(None));
    }
    Ok(Outcome::Done)
}

/// The words after the name as pairs of key and value.
fn pairs<'a>(
    context: &Context<'a, '_>,
) -> Result<std::slice::ChunksExact<'a, &'a [u8]>, CommandError> {
    let pairs = context.args[1..].chunks_exact(2);
    if pairs.remainder().is_empty() {
        Ok(pairs)
    } else {
        Err(CommandError::WrongArity(context.command.full_name.clone()))
    }
}

fn mset(context: &mut Context<'_, '_>) -> CommandResult {
    for pair in pairs(context)? {
        set_plain(context, pair[0], pair[1]);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

fn msetnx(context: &mut Context<'_, '_>) -> CommandResult {
    let pairs = pairs(context)?;
    let txn = &mut *context.txn;
    let free = pairs.clone().all(|pair| txn.entry_mut(pair[0]).is_none());
    if free {
        pairs.for_each(|pair| set_plain(context, pair[0], pair[1]));
    }
    context.reply.int(i64::from(free));
    Ok(Outcome::Done)
}

/// Refuses a string of `len` and `more` bytes that would be longer than `proto-max-bulk-len`.
fn check_length(context: &Context<'_, '_>, len: usize, more: usize) -> Result<(), CommandError> {
    len.checked_add(more)
        .filter(|total| *total <= context.txn.limits().max_string)
        .map(|_| ())
        .ok_or(CommandError::StringTooLong)
}

/// Length of the string at `key`, for a command that is about to change it.
fn present_len(context: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<usize>, CommandError> {
    match context.txn.entry_mut(key).map(|entry| entry.value()) {
        None => Ok(None),
        Some(ValueRef::String(text)) => Ok(Some(text.len())),
        Some(_) => Err(CommandError::WrongType),
    }
}

fn append(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, value) = (context.args[1], context.args[2]);
    let len = match present_len(context, key)? {
        None => {
            context.txn.insert_string(key, value, None);
            value.len()
        }
        Some(len) => {
            check_length(context, len, value.len())?;
            let bytes = string_bytes(context, key);
            make_room(bytes, len + value.len());
            bytes.extend_from_slice(value);
            len + value.len()
        }
    };
    context.txn.changed(EventClass::STRING, "append", key);
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

/// Strings from this length on are lengthened with less to spare than their own length once more.
const LONG: usize = 1 << 20;
/// The part of its length that a long one has to spare then.
const SPARE_PART: usize = 8;

/// Makes room for `len` bytes in all, and more, so that lengthening again and again costs O(1) a byte.
pub(super) fn make_room(bytes: &mut Vec<u8>, len: usize) {
    let missing = len.saturating_sub(bytes.len());
    if len > bytes.capacity() && bytes.len() >= LONG {
        bytes.reserve_exact(missing.max(bytes.len() / SPARE_PART));
    }
}

/// The bytes of a key that is known to hold a string.
fn string_bytes<'c>(context: &'c mut Context<'_, '_>, key: &[u8]) -> &'c mut Vec<u8> {
    context
        .txn
        .entry_mut(key)
        .and_then(Entry::bytes_mut)
        .expect("the key holds a string, looked at under the same lock")
}

fn setrange(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, value) = (context.args[1], context.args[3]);
    let offset = usize::try_from(context.int(2)?)
        .map_err(|_| CommandError::text("ERR offset is out of range"))?;
    let present = present_len(context, key)?;
    let len = present.unwrap_or(0);
    if value.is_empty() {
        context.reply.int(len as i64);
        return Ok(Outcome::Done);
    }
    check_length(context, offset, value.len())?;
    if present.is_none() {
        context.txn.insert_string(key, b"", None);
    }
    let end = offset + value.len();
    let bytes = string_bytes(context, key);
    make_room(bytes, end);
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(value);
    context.txn.changed(EventClass::STRING, "setrange", key);
    context.reply.int(len.max(end) as i64);
    Ok(Outcome::Done)
}

/// The bytes that `start` and `end` mean, which count from the end when negative and are both included.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    if start < 0 && start > end && end < 0 {
        return b"";
    }
    let absolute = |index: i64| {
        if index < 0 {
            (index + len).max(0)
        } else {
            index
        }
    };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    if start > end {
        return b"";
    }
    bytes.get(start as usize..=end as usize).unwrap_or_default()
}

fn getrange(context: &mut Context<'_, '_>) -> CommandResult {
    let (start, end) = (context.int(2)?, context.int(3)?);
    let text = context.txn.string(context.args[1])?;
    let reply = &mut *context.reply;
    text.unwrap_or(Element::Bytes(b""))
        .with_bytes(|bytes| reply.bulk(part(bytes, start, end)));
    Ok(Outcome::Done)
}

fn substr(context: &mut Context<'_, '_>) -> CommandResult {
    getrange(context)
}

fn strlen(context: &mut Context<'_, '_>) -> CommandResult {
    let text = context.txn.string(context.args[1])?;
    context.reply.int(text.map_or(0, |text| text.len() as i64));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
