//! Values of hash fields that are read or set together with their time: HGETDEL, HGETEX and HSETEX.

use super::error::shown;
use super::expiry::{TimeForm, is_past};
use super::field_expiry::{changed, delete_fields, parse_fields, parse_time, propagate_time};
use super::hashes::answer;
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Lease};
use crate::value::hash::{FieldTime, Hash};
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW access delete")],
        group: "hash",
        since: "8.0.0",
        summary: "Returns the value of a field and deletes it from the hash.",
        complexity: "O(N) where N is the number of specified fields",
        ..CommandSpec::new("hgetdel", -5, Flags::WRITE.and(Flags::FAST), hgetdel)
    },
    CommandSpec {
        arguments: "key:key#0 expiration:oneof?{seconds:integer=EX milliseconds:integer=PX unix-time-seconds:unix-time=EXAT unix-time-milliseconds:unix-time=PXAT persist:pure-token=PERSIST} fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
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
        group: "hash",
        since: "8.0.0",
        summary: "Get the value of one or more fields of a given hash key, and optionally set their expiration.",
        complexity: "O(N) where N is the number of specified fields",
        ..CommandSpec::new("hgetex", -5, Flags::WRITE.and(Flags::FAST), hgetex)
    },
    CommandSpec {
        arguments: "key:key#0 condition:oneof?{fnx:pure-token=FNX fxx:pure-token=FXX} expiration:oneof?{seconds:integer=EX milliseconds:integer=PX unix-time-seconds:unix-time=EXAT unix-time-milliseconds:unix-time=PXAT keepttl:pure-token=KEEPTTL} fields:block=FIELDS{numfields:integer data:block*{field:string value:string}}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "8.0.0",
        summary: "Set the value of one or more fields of a given hash key, and optionally set their expiration.",
        complexity: "O(N) where N is the number of fields being set.",
        ..CommandSpec::new(
            "hsetex",
            -6,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hsetex,
        )
    },
];

fn time_form(word: &[u8]) -> Option<TimeForm> {
    let forms = [
        (&b"ex"[..], TimeForm::Seconds),
        (b"px", TimeForm::Milliseconds),
        (b"exat", TimeForm::UnixSeconds),
        (b"pxat", TimeForm::UnixMilliseconds),
    ];
    let form = forms
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name));
    form.map(|(_, form)| *form)
}

// ------------------------------------------------------------------------------------------------ reading

fn hgetdel(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    context.txn.hash(key)?;
    let fields = parse_fields(context, 2)?;
    let txn = &mut *context.txn;
    let mut hash = txn.hash_mut(key)?;
    let mut removed = 0;
    context.reply.array(fields.len());
    for field in fields {
        let hash = hash.as_mut().map(Lease::whole);
        let value = hash.as_ref().and_then(|hash| hash.get(field));
        answer(context.reply, value);
        removed += usize::from(hash.is_some_and(|hash| hash.remove(field)));
    }
    drop(hash);
    if removed > 0 {
        let mut words = vec![&b"HDEL"[..], key];
        words.extend(fields);
        txn.propagate(&words);
        changed(txn, "hdel", key, removed);
        txn.remove_if_empty(key);
    }
    Ok(Outcome::Done)
}

/// What HGETEX does to the times of its fields.
#[derive(Debug, Clone, Copy)]
enum NewTime {
    Kept,
    Never,
    At(i64),
}

/// The option of HGETEX, and where FIELDS has to stand.
fn parse_new_time(context: &Context<'_, '_>) -> Result<(NewTime, usize), CommandError> {
    if let Some(form) = time_form(context.args[2]) {
        return Ok((NewTime::At(parse_time(context, 3, form)?), 4));
    }
    if context.is(2, "persist") {
        return Ok((NewTime::Never, 3));
    }
    Ok((NewTime::Kept, 2))
}

fn hgetex(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    context.txn.hash(key)?;
    let (new_time, position) = parse_new_time(context)?;
    let fields = parse_fields(context, position)?;
    let time = match new_time {
        NewTime::Kept => {
            let hash = context.txn.hash(key)?;
            context.reply.array(fields.len());
            for field in fields {
                let value = hash.as_ref().and_then(|hash| hash.get(field));
                answer(context.reply, value);
            }
            return Ok(Outcome::Done);
        }
        NewTime::Never => None,
        NewTime::At(at) => Some(at),
    };
    let past = time.is_some_and(|at| is_past(context, at));
    let txn = &mut *context.txn;
    let mut hash = txn.hash_mut(key)?;
    let mut done = Vec::new();
    context.reply.array(fields.len());
    for field in fields {
        let hash = hash.as_mut().map(Lease::whole);
        let value = hash.as_ref().and_then(|hash| hash.get(field));
        answer(context.reply, value);
        if let Some(hash) = hash {
            hash.know_times();
            if change_time(hash, field, time, past) {
                done.push(*field);
            }
        }
    }
    drop(hash);
    if done.is_empty() {
        return Ok(Outcome::Done);
    }
    match time {
        Some(_) if past => delete_fields(txn, key, &done),
        Some(at) => {
            propagate_time(txn, key, at, None, fields);
            changed(txn, "hexpire", key, done.len());
        }
        None => {
            let mut digits = itoa::Buffer::new();
            let count = digits.format(fields.len()).as_bytes();
            let mut words = vec![&b"HPERSIST"[..], key, b"FIELDS", count];
            words.extend(fields);
            txn.propagate(&words);
            changed(txn, "hpersist", key, done.len());
        }
    }
    Ok(Outcome::Done)
}

/// Gives a field its new time, or takes it away with a time that has passed; whether anything changed.
fn change_time(hash: &mut Hash, field: &[u8], time: Option<i64>, past: bool) -> bool {
    if past {
        return hash.remove(field);
    }
    let timed = hash.time(field).flatten().is_some();
    (time.is_some() || timed) && hash.set_time(field, time)
}

// ------------------------------------------------------------------------------------------------ setting

/// The words of HSETEX.
struct Setting<'a> {
    /// FXX (true) or FNX (false): all fields have to be there, or none may.
    present: Option<bool>,
    time: FieldTime,
    /// Where EX, PX, EXAT or PXAT stands.
    time_word: Option<usize>,
    /// Fields, each with its value.
    pairs: &'a [&'a [u8]],
}

impl<'a> Setting<'a> {
    fn parse(context: &Context<'a, '_>) -> Result<Self, CommandError> {
        let wrong_arity = || CommandError::WrongArity(context.command.full_name.clone());
        let (mut present, mut time, mut time_word) = (None, None, None);
        let mut position = 2;
        while let Some(word) = context.args.get(position) {
            if context.is(position, "fields") {
                return Ok(Self {
                    present,
                    time: time.unwrap_or(FieldTime::Never),
                    time_word,
                    pairs: pairs_at(context, position)?,
                });
            }
            let form = time_form(word);
            let keeps = context.is(position, "keepttl");
            let if_present = context.is(position, "fxx");
            if if_present || context.is(position, "fnx") {
                if present.replace(if_present).is_some() {
                    return Err(CommandError::text(
                        "ERR Only one of FXX or FNX arguments can be specified",
                    ));
                }
            } else if form.is_none() && !keeps {
                return Err(format!("ERR unknown argument: {}", shown(word)).into());
            } else if time.is_some() {
                return Err(CommandError::text(
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                ));
            } else if let Some(form) = form {
                let at = position + 1;
                context.args.get(at).ok_or_else(wrong_arity)?;
                time = Some(FieldTime::At(parse_time(context, at, form)?));
                time_word = Some(position);
                position = at;
            } else {
                time = Some(FieldTime::Kept);
            }
            position += 1;
        }
        Err(wrong_arity())
    }
}

/// The pairs behind FIELDS, which stands at `position`, and their number; nothing may follow them.
fn pairs_at<'a>(
    context: &Context<'a, '_>,
    position: usize,
) -> Result<&'a [&'a [u8]], CommandError> {
    let wrong_arity = || CommandError::WrongArity(context.command.full_name.clone());
    let [count, pairs @ ..] = context.args.get(position + 1..).unwrap_or_default() else {
        return Err(wrong_arity());
    };
    if pairs.len() < 2 {
        return Err(wrong_arity());
    }
    let count = parse_i64(count)
        .and_then(|count| i32::try_from(count).ok())
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(CommandError::text("ERR invalid number of fields"))?;
    if count.checked_mul(2) != Some(pairs.len()) {
        return Err(wrong_arity());
    }
    Ok(pairs)
}

fn hsetex(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let setting = Setting::parse(context)?;
    let hash = context.txn.hash(key)?;
    if let Some(present) = setting.present {
        let is_there = |field: &[u8]| hash.as_ref().is_some_and(|hash| hash.contains(field));
        let mut fields = setting.pairs.chunks_exact(2).map(|pair| pair[0]);
        if !fields.all(|field| is_there(field) == present) {
            context.reply.int(0);
            return Ok(Outcome::Done);
        }
    }
    let at = match setting.time {
        FieldTime::At(at) => Some(at),
        FieldTime::Kept | FieldTime::Never => None,
    };
    let past = at.is_some_and(|at| is_past(context, at));
    let limits = context.txn.limits().hash;
    let mut hash = context.txn.hash_or_new(key)?;
    let mut deleted = Vec::new();
    for pair in setting.pairs.chunks_exact(2) {
        hash.set_with_time(pair[0], pair[1], setting.time, &limits);
        // At once, so that the hash does not grow out of its compact form by what it does not keep.
        if past && hash.whole().remove(pair[0]) {
            deleted.push(pair[0]);
        }
    }
    drop(hash);
    context.reply.int(1);
    let pairs = setting.pairs.len() / 2;
    if past {
        context.txn.notify(EventClass::HASH, "hset", key);
        delete_fields(context.txn, key, &deleted);
        return Ok(Outcome::Done);
    }
    changed(context.txn, "hset", key, pairs);
    if let Some(at) = at {
        context.txn.notify(EventClass::HASH, "hexpire", key);
        let mut digits = itoa::Buffer::new();
        let mut words = context.args.to_vec();
        let place = setting.time_word.and_then(|at| words.get_mut(at..at + 2));
        if let Some([form, time]) = place {
            (*form, *time) = (b"PXAT", digits.format(at).as_bytes());
        }
        context.txn.propagate(&words);
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 8.2.3 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("field_values/transcript.txt"));
    }
}
