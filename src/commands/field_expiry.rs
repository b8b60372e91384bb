//! When fields of hashes run out: HEXPIRE, HTTL and HPERSIST with their kin, and what HGETEX and HSETEX share with them.
//! It knows how times are set and told; not how they are kept, nor how what is due goes away.

use super::expiry::{Conditions, TimeForm};
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Txn};
use crate::value::hash::Hash;
use crate::value::number::parse_i64;

const EXPIRE_FLAGS: Flags = Flags::WRITE.and(Flags::FAST);
const READ_FLAGS: Flags = Flags::READONLY.and(Flags::FAST);
const EACH_FIELD: &str = "O(N) where N is the number of specified fields";

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 seconds:integer condition:oneof?{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT} fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "7.4.0",
        summary: "Set expiry for hash field using relative time to expire (seconds)",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hexpire", -6, EXPIRE_FLAGS, hexpire)
    },
    CommandSpec {
        arguments: "key:key#0 unix-time-seconds:unix-time condition:oneof?{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT} fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "7.4.0",
        summary: "Set expiry for hash field using an absolute Unix timestamp (seconds)",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hexpireat", -6, EXPIRE_FLAGS, hexpireat)
    },
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "7.4.0",
        summary: "Returns the expiration time of a hash field as a Unix timestamp, in seconds.",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hexpiretime", -5, READ_FLAGS, hexpiretime)
    },
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "7.4.0",
        summary: "Removes the expiration time for each specified field",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hpersist", -5, EXPIRE_FLAGS, hpersist)
    },
    CommandSpec {
        arguments: "key:key#0 milliseconds:integer condition:oneof?{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT} fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "7.4.0",
        summary: "Set expiry for hash field using relative time to expire (milliseconds)",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hpexpire", -6, EXPIRE_FLAGS, hpexpire)
    },
    CommandSpec {
        arguments: "key:key#0 unix-time-milliseconds:unix-time condition:oneof?{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT} fields:block=FIELDS{numfields:integer field:string*}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "7.4.0",
        summary: "Set expiry for hash field using an absolute Unix timestamp (milliseconds)",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hpexpireat", -6, EXPIRE_FLAGS, hpexpireat)
    },
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "7.4.0",
        summary: "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
        complexity: EACH_FIELD,
        ..CommandSpec::new("hpexpiretime", -5, READ_FLAGS, hpexpiretime)
    },
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "7.4.0",
        summary: "Returns the TTL in milliseconds of a hash field.",
        complexity: EACH_FIELD,
        tips: "nondeterministic_output",
        ..CommandSpec::new("hpttl", -5, READ_FLAGS, hpttl)
    },
    CommandSpec {
        arguments: "key:key#0 fields:block=FIELDS{numfields:integer field:string*}",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "7.4.0",
        summary: "Returns the TTL in seconds of a hash field.",
        complexity: EACH_FIELD,
        tips: "nondeterministic_output",
        ..CommandSpec::new("httl", -5, READ_FLAGS, httl)
    },
];

/// The latest time of a field, in Unix milliseconds: 46 bits of them.
const LATEST: i64 = (1 << 46) - 1;

const NO_FIELDS: CommandError =
    CommandError::text("ERR Mandatory argument FIELDS is missing or not at the right position");
const OTHER_COUNT: CommandError =
    CommandError::text("ERR The `numfields` parameter must match the number of arguments");
const BAD_COUNT: CommandError =
    CommandError::text("ERR Number of fields must be a positive integer");
const BAD_COUNT_TO_EXPIRE: CommandError =
    CommandError::text("ERR Parameter `numFields` should be greater than 0");
const NEGATIVE_TIME: CommandError = CommandError::text("ERR invalid expire time, must be >= 0");

/// What became of a field, as HEXPIRE and its kin tell it.
const MISSING: i64 = -2;
const UNTIMED: i64 = -1;
const REFUSED: i64 = 0;
const SET: i64 = 1;
const DELETED: i64 = 2;

/// The fields behind FIELDS, which stands at `position`, and their number; nothing may follow them.
pub(super) fn parse_fields<'a>(
    context: &Context<'a, '_>,
    position: usize,
) -> Result<&'a [&'a [u8]], CommandError> {
    fields_at(context, position, BAD_COUNT)
}

fn fields_at<'a>(
    context: &Context<'a, '_>,
    position: usize,
    bad_count: CommandError,
) -> Result<&'a [&'a [u8]], CommandError> {
    if !context.is(position, "fields") {
        return Err(NO_FIELDS);
    }
    let count = context.args.get(position + 1);
    let count = count
        .and_then(|count| parse_i64(count))
        .filter(|count| *count > 0)
        .ok_or(bad_count)?;
    let fields = context.args.get(position + 2..).unwrap_or_default();
    if usize::try_from(count).is_ok_and(|count| count == fields.len()) {
        Ok(fields)
    } else {
        Err(OTHER_COUNT)
    }
}

/// The word at `position` as the time of a field, in Unix milliseconds.
pub(super) fn parse_time(
    context: &Context<'_, '_>,
    position: usize,
    form: TimeForm,
) -> Result<i64, CommandError> {
    let value = context.int(position)?;
    if value < 0 {
        return Err(NEGATIVE_TIME);
    }
    form.to_unix_ms(value, context.txn.now_ms())
        .filter(|at| *at <= LATEST)
        .ok_or_else(|| CommandError::InvalidExpire(context.command.full_name.clone()))
}

/// What has to follow a change to a hash's times or fields: `fields` of them, by `event`.
pub(super) fn changed(txn: &mut Txn<'_>, event: &'static str, key: &[u8], fields: usize) {
    txn.changed(EventClass::HASH, event, key);
    txn.add_dirty(fields.saturating_sub(1) as u64);
    txn.note_field_times(key);
}

/// Logs that fields run out at `at`, under a condition's word.
pub(super) fn propagate_time(
    txn: &mut Txn<'_>,
    key: &[u8],
    at: i64,
    condition: Option<&[u8]>,
    fields: &[&[u8]],
) {
    let (mut at_digits, mut count_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    let mut words = vec![&b"HPEXPIREAT"[..], key, at_digits.format(at).as_bytes()];
    words.extend(condition);
    words.extend([&b"FIELDS"[..], count_digits.format(fields.len()).as_bytes()]);
    words.extend(fields);
    txn.propagate(&words);
}

/// Tells and logs that fields were deleted because they were given a time that has passed.
pub(super) fn delete_fields(txn: &mut Txn<'_>, key: &[u8], deleted: &[&[u8]]) {
    for field in deleted {
        txn.propagate(&[b"HDEL", key, field]);
    }
    changed(txn, "hdel", key, deleted.len());
    txn.remove_if_empty(key);
}

// ------------------------------------------------------------------------------------------------ setting times

fn expire_as(context: &mut Context<'_, '_>, form: TimeForm) -> CommandResult {
    let key = context.args[1];
    context.txn.hash(key)?;
    let at = parse_time(context, 2, form)?;
    let condition = context.args.get(3..4).unwrap_or_default();
    let conditions = Conditions::parse(condition).ok();
    let position = if conditions.is_some() { 4 } else { 3 };
    let fields = fields_at(context, position, BAD_COUNT_TO_EXPIRE)?;
    let past = super::expiry::is_past(context, at);
    let txn = &mut *context.txn;
    context.reply.array(fields.len());
    let Some(mut hash) = txn.hash_mut(key)? else {
        fields.iter().for_each(|_| context.reply.int(MISSING));
        return Ok(Outcome::Done);
    };
    let whole = hash.whole();
    whole.know_times();
    let mut done = Vec::new();
    for field in fields {
        let answer = expire_field(whole, field, at, past, conditions.unwrap_or_default());
        if answer > REFUSED {
            done.push(*field);
        }
        context.reply.int(answer);
    }
    drop(hash);
    if past && !done.is_empty() {
        delete_fields(txn, key, &done);
    } else if !done.is_empty() {
        let condition = conditions.and(condition.first().copied());
        propagate_time(txn, key, at, condition, &done);
        changed(txn, "hexpire", key, done.len());
    }
    Ok(Outcome::Done)
}

fn expire_field(hash: &mut Hash, field: &[u8], at: i64, past: bool, conditions: Conditions) -> i64 {
    let Some(current) = hash.time(field) else {
        return MISSING;
    };
    if !conditions.permit(current, at) {
        return REFUSED;
    }
    if past {
        hash.remove(field);
        return DELETED;
    }
    hash.set_time(field, Some(at));
    SET
}

fn hexpire(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::Seconds)
}

fn hpexpire(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::Milliseconds)
}

fn hexpireat(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::UnixSeconds)
}

fn hpexpireat(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::UnixMilliseconds)
}

fn hpersist(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    context.txn.hash(key)?;
    let fields = parse_fields(context, 2)?;
    let txn = &mut *context.txn;
    let mut hash = txn.hash_mut(key)?;
    let mut persisted = 0;
    context.reply.array(fields.len());
    for field in fields {
        let current = hash.as_ref().and_then(|hash| hash.view().time(field));
        let answer = match current {
            None => MISSING,
            Some(None) => UNTIMED,
            Some(Some(_)) => SET,
        };
        if answer == SET
            && let Some(hash) = &mut hash
        {
            hash.whole().set_time(field, None);
            persisted += 1;
        }
        context.reply.int(answer);
    }
    drop(hash);
    if persisted > 0 {
        changed(txn, "hpersist", key, persisted);
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ telling times

fn answer_times(context: &mut Context<'_, '_>, shape: impl Fn(i64, i64) -> i64) -> CommandResult {
    let key = context.args[1];
    context.txn.hash(key)?;
    let fields = parse_fields(context, 2)?;
    let now_ms = context.txn.now_ms();
    let hash = context.txn.hash(key)?;
    context.reply.array(fields.len());
    for field in fields {
        let time = hash.as_ref().and_then(|hash| hash.time(field));
        context.reply.int(match time {
            None => MISSING,
            Some(time) => time.map_or(UNTIMED, |at| shape(at, now_ms)),
        });
    }
    Ok(Outcome::Done)
}

/// Milliseconds as seconds, those that have begun.
fn to_seconds(ms: i64) -> i64 {
    ms.saturating_add(999) / 1000
}

fn remaining(at: i64, now_ms: i64) -> i64 {
    at.saturating_sub(now_ms).max(0)
}

fn httl(context: &mut Context<'_, '_>) -> CommandResult {
    answer_times(context, |at, now_ms| to_seconds(remaining(at, now_ms)))
}

fn hpttl(context: &mut Context<'_, '_>) -> CommandResult {
    answer_times(context, remaining)
}

fn hexpiretime(context: &mut Context<'_, '_>) -> CommandResult {
    answer_times(context, |at, _| to_seconds(at))
}

fn hpexpiretime(context: &mut Context<'_, '_>) -> CommandResult {
    answer_times(context, |at, _| at)
}

#[cfg(test)]
mod tests;
