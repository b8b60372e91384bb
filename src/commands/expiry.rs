//! When keys expire: the EXPIRE and TTL commands, and what SET and GETEX share with them.

use super::error::shown;
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 seconds:integer condition:oneof?@7.0.0{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT}",
        acl: "keyspace write fast",
        keys: &[one_key("RW update")],
        group: "generic",
        since: "1.0.0",
        summary: "Set a key's time to live in seconds",
        complexity: "O(1)",
        history: &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        ..CommandSpec::new("expire", -3, Flags::WRITE.and(Flags::FAST), expire)
    },
    CommandSpec {
        arguments: "key:key#0 unix-time-seconds:unix-time condition:oneof?@7.0.0{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT}",
        acl: "keyspace write fast",
        keys: &[one_key("RW update")],
        group: "generic",
        since: "1.2.0",
        summary: "Set the expiration for a key as a UNIX timestamp",
        complexity: "O(1)",
        history: &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        ..CommandSpec::new("expireat", -3, Flags::WRITE.and(Flags::FAST), expireat)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read fast",
        keys: &[one_key("RO access")],
        group: "generic",
        since: "7.0.0",
        summary: "Get the expiration Unix timestamp for a key",
        complexity: "O(1)",
        ..CommandSpec::new(
            "expiretime",
            2,
            Flags::READONLY.and(Flags::FAST),
            expiretime,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace write fast",
        keys: &[one_key("RW update")],
        group: "generic",
        since: "2.2.0",
        summary: "Remove the expiration from a key",
        complexity: "O(1)",
        ..CommandSpec::new("persist", 2, Flags::WRITE.and(Flags::FAST), persist)
    },
    CommandSpec {
        arguments: "key:key#0 milliseconds:integer condition:oneof?@7.0.0{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT}",
        acl: "keyspace write fast",
        keys: &[one_key("RW update")],
        group: "generic",
        since: "2.6.0",
        summary: "Set a key's time to live in milliseconds",
        complexity: "O(1)",
        history: &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        ..CommandSpec::new("pexpire", -3, Flags::WRITE.and(Flags::FAST), pexpire)
    },
    CommandSpec {
        arguments: "key:key#0 unix-time-milliseconds:unix-time condition:oneof?@7.0.0{nx:pure-token=NX xx:pure-token=XX gt:pure-token=GT lt:pure-token=LT}",
        acl: "keyspace write fast",
        keys: &[one_key("RW update")],
        group: "generic",
        since: "2.6.0",
        summary: "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
        complexity: "O(1)",
        history: &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")],
        ..CommandSpec::new("pexpireat", -3, Flags::WRITE.and(Flags::FAST), pexpireat)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read fast",
        keys: &[one_key("RO access")],
        group: "generic",
        since: "7.0.0",
        summary: "Get the expiration Unix timestamp for a key in milliseconds",
        complexity: "O(1)",
        ..CommandSpec::new(
            "pexpiretime",
            2,
            Flags::READONLY.and(Flags::FAST),
            pexpiretime,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read fast",
        keys: &[one_key("RO access")],
        group: "generic",
        since: "2.6.0",
        summary: "Get the time to live for a key in milliseconds",
        complexity: "O(1)",
        tips: "nondeterministic_output",
        history: &[("2.8.0", "Added the -2 reply.")],
        ..CommandSpec::new("pttl", 2, Flags::READONLY.and(Flags::FAST), pttl)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read fast",
        keys: &[one_key("RO access")],
        group: "generic",
        since: "1.0.0",
        summary: "Get the time to live for a key in seconds",
        complexity: "O(1)",
        tips: "nondeterministic_output",
        history: &[("2.8.0", "Added the -2 reply.")],
        ..CommandSpec::new("ttl", 2, Flags::READONLY.and(Flags::FAST), ttl)
    },
];

/// How a command's words give a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// Seconds from now: EX, EXPIRE.
    Seconds,
    /// Milliseconds from now: PX, PEXPIRE.
    Milliseconds,
    /// Unix seconds: EXAT, EXPIREAT.
    UnixSeconds,
    /// Unix milliseconds: PXAT, PEXPIREAT.
    UnixMilliseconds,
}

impl TimeForm {
    /// A number of this form as Unix milliseconds, unless it leaves the range of 64 bits.
    pub(super) fn to_unix_ms(self, value: i64, now_ms: i64) -> Option<i64> {
        let in_seconds = matches!(self, Self::Seconds | Self::UnixSeconds);
        let ms = if in_seconds {
            value.checked_mul(1000)?
        } else {
            value
        };
        match self {
            Self::Seconds | Self::Milliseconds => ms.checked_add(now_ms),
            Self::UnixSeconds | Self::UnixMilliseconds => Some(ms),
        }
    }

    /// The word at `position` as Unix milliseconds, for the commands that take positive times only (SET, GETEX …).
    pub(super) fn positive(
        self,
        context: &Context<'_, '_>,
        position: usize,
    ) -> Result<i64, CommandError> {
        let value = context.int(position)?;
        Some(value)
            .filter(|value| *value > 0)
            .and_then(|value| self.to_unix_ms(value, context.txn.now_ms()))
            .ok_or_else(|| invalid_expire(context))
    }
}

fn invalid_expire(context: &Context<'_, '_>) -> CommandError {
    CommandError::InvalidExpire(context.command.full_name.clone())
}

/// Whether a key that is to expire at this time is deleted at once. Not while the log is loaded: there, what the log
/// says about later commands rests on the key being there.
pub(super) fn is_past(context: &Context<'_, '_>, at: i64) -> bool {
    at <= context.txn.now_ms() && !context.txn.options().keep_expired
}

/// Deletes a key whose new time has passed.
pub(super) fn delete_expired(context: &mut Context<'_, '_>, key: &[u8]) {
    context.txn.remove(key);
    context.txn.changed(EventClass::GENERIC, "del", key);
    context.txn.propagate(&[b"DEL", key]);
}

/// Gives an existing key its new time.
pub(super) fn set_time(context: &mut Context<'_, '_>, key: &[u8], at: i64) {
    context.txn.set_expiry(key, Some(at));
    context.txn.changed(EventClass::GENERIC, "expire", key);
    let mut digits = itoa::Buffer::new();
    let at = digits.format(at).as_bytes();
    context.txn.propagate(&[b"PEXPIREAT", key, at]);
}

/// Makes a key live for ever; true if it would have expired.
pub(super) fn clear_time(context: &mut Context<'_, '_>, key: &[u8]) -> bool {
    let volatile = context
        .txn
        .entry_mut(key)
        .is_some_and(|entry| entry.expires_at_ms().is_some());
    if volatile {
        context.txn.set_expiry(key, None);
        context.txn.changed(EventClass::GENERIC, "persist", key);
        context.txn.propagate(&[b"PERSIST", key]);
    }
    volatile
}

/// NX, XX, GT and LT of the EXPIRE commands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    pub(super) fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        for word in words {
            let flag = if word.eq_ignore_ascii_case(b"nx") {
                &mut conditions.if_none
            } else if word.eq_ignore_ascii_case(b"xx") {
                &mut conditions.if_some
            } else if word.eq_ignore_ascii_case(b"gt") {
                &mut conditions.if_later
            } else if word.eq_ignore_ascii_case(b"lt") {
                &mut conditions.if_earlier
            } else {
                let word = shown(word);
                return Err(format!("ERR Unsupported option {word}").into());
            };
            *flag = true;
        }
        let Self {
            if_none,
            if_some,
            if_later,
            if_earlier,
        } = conditions;
        if if_none && (if_some || if_later || if_earlier) {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if if_later && if_earlier {
            return Err(CommandError::text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether the time `at` may replace `current`; no time counts as an infinitely late one.
    pub(super) fn permit(self, current: Option<i64>, at: i64) -> bool {
        match current {
            None => !self.if_some && !self.if_later,
            Some(current) => {
                !(self.if_none
                    || self.if_later && at <= current
                    || self.if_earlier && at >= current)
            }
        }
    }
}

fn expire_as(context: &mut Context<'_, '_>, form: TimeForm) -> CommandResult {
    let key = context.args[1];
    let conditions = Conditions::parse(&context.args[3..])?;
    let at = form
        .to_unix_ms(context.int(2)?, context.txn.now_ms())
        .ok_or_else(|| invalid_expire(context))?;
    let entry = context.txn.entry_mut(key);
    if !entry.is_some_and(|entry| conditions.permit(entry.expires_at_ms(), at)) {
        context.reply.int(0);
        return Ok(Outcome::Done);
    }
    if is_past(context, at) {
        delete_expired(context, key);
    } else {
        set_time(context, key, at);
    }
    context.reply.int(1);
    Ok(Outcome::Done)
}

fn expire(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::Seconds)
}

fn pexpire(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::Milliseconds)
}

fn expireat(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::UnixSeconds)
}

fn pexpireat(context: &mut Context<'_, '_>) -> CommandResult {
    expire_as(context, TimeForm::UnixMilliseconds)
}

fn persist(context: &mut Context<'_, '_>) -> CommandResult {
    let cleared = clear_time(context, context.args[1]);
    context.reply.int(i64::from(cleared));
    Ok(Outcome::Done)
}

/// Answers with a key's time, -1 when it lives for ever, -2 when there is none.
fn answer_time(
    context: &mut Context<'_, '_>,
    shape: impl FnOnce(i64, i64) -> i64,
) -> CommandResult {
    let now_ms = context.txn.now_ms();
    let answer = match context.txn.read_untouched(context.args[1]) {
        None => -2,
        Some(entry) => entry.expires_at_ms().map_or(-1, |at| shape(at, now_ms)),
    };
    context.reply.int(answer);
    Ok(Outcome::Done)
}

/// Milliseconds as seconds, rounded to the nearest.
fn to_seconds(ms: i64) -> i64 {
    ms / 1000 + i64::from(ms % 1000 >= 500)
}

fn remaining(at: i64, now_ms: i64) -> i64 {
    at.saturating_sub(now_ms).max(0)
}

fn ttl(context: &mut Context<'_, '_>) -> CommandResult {
    answer_time(context, |at, now_ms| to_seconds(remaining(at, now_ms)))
}

fn pttl(context: &mut Context<'_, '_>) -> CommandResult {
    answer_time(context, remaining)
}

fn expiretime(context: &mut Context<'_, '_>) -> CommandResult {
    answer_time(context, |at, _| to_seconds(at))
}

fn pexpiretime(context: &mut Context<'_, '_>) -> CommandResult {
    answer_time(context, |at, _| at)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    const NOW: i64 = 1_000_000_000;

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    #[test]
    fn times_are_set_in_four_forms_and_logged_in_one() {
        let mut h = Harness::new();
        for (command, ms) in [
            ("EXPIRE k 100", NOW + 100_000),
            ("PEXPIRE k 1500", NOW + 1500),
            ("EXPIREAT k 2000000", 2_000_000_000),
            ("PEXPIREAT k 2000000001", 2_000_000_001),
        ] {
            h.run("SET k v");
            assert_eq!(h.run(command), Response::Int(1));
            assert_eq!(h.effects(), [format!("PEXPIREAT k {ms}")], "{command}");
            assert_eq!(h.events(), ["expire k"]);
            assert_eq!(h.run("PEXPIRETIME k"), Response::Int(ms));
            assert_eq!(h.run("PTTL k"), Response::Int(ms - NOW));
            assert_eq!(
                h.run("TTL k"),
                Response::Int((ms - NOW + 500) / 1000),
                "{command}"
            );
            assert_eq!(h.run("EXPIRETIME k"), Response::Int((ms + 500) / 1000));
        }
    }

    #[test]
    fn a_time_that_has_passed_deletes() {
        let mut h = Harness::new();
        for command in [
            "EXPIRE k 0",
            "PEXPIRE k -1",
            "EXPIREAT k 1",
            "PEXPIREAT k -5",
        ] {
            h.run("SET k v");
            assert_eq!(h.run(command), Response::Int(1), "{command}");
            assert_eq!(h.effects(), ["DEL k"]);
            assert_eq!(h.events(), ["del k"]);
            assert_eq!(h.run("TTL k"), Response::Int(-2));
        }
        assert_eq!(h.run("EXPIRE k 0"), Response::Int(0));
        assert!(h.effects().is_empty());
    }

    #[test]
    fn conditions_compare_with_the_time_in_force() {
        let mut h = Harness::new();
        h.run("SET k v");
        for (options, answer) in [
            ("100 XX", 0),
            ("100 GT", 0),
            ("-1 GT", 0),
            ("100 LT", 1),
            ("100 LT", 0),
            ("100 NX", 0),
            ("200 GT", 1),
            ("200 GT", 0),
            ("150 XX", 1),
            ("50 XX LT", 1),
            ("40 xx Gt", 0),
        ] {
            let answer = Response::Int(answer);
            assert_eq!(h.run(&format!("EXPIRE k {options}")), answer, "{options}");
        }
        assert_eq!(h.run("TTL k"), Response::Int(50));
        h.run("PERSIST k");
        assert_eq!(h.run("EXPIRE k 10 NX"), Response::Int(1));
    }

    #[test]
    fn conditions_that_contradict_are_refused_before_all_else() {
        let mut h = Harness::new();
        let with_none =
            error("ERR NX and XX, GT or LT options at the same time are not compatible");
        for options in ["nx xx", "nx GT", "LT NX", "GT LT NX"] {
            assert_eq!(h.run(&format!("EXPIRE k abc {options}")), with_none);
        }
        assert_eq!(
            h.run("EXPIRE k 1 GT LT"),
            error("ERR GT and LT options at the same time are not compatible")
        );
        assert_eq!(
            h.run("EXPIRE k 1 nx bogus"),
            error("ERR Unsupported option bogus")
        );
    }

    #[test]
    fn times_out_of_range() {
        let mut h = Harness::new();
        h.run("SET k v");
        for (command, number) in [
            ("expire", "9223372036854775807"),
            ("expire", "-9223372036854775808"),
            ("expire", "9223372036854775"),
            ("pexpire", "9223372036854775807"),
            ("expireat", "9223372036854776"),
        ] {
            let refused = error(&format!("ERR invalid expire time in '{command}' command"));
            assert_eq!(h.run(&format!("{command} k {number}")), refused);
        }
        assert_eq!(
            h.run("EXPIRE k 1x"),
            error("ERR value is not an integer or out of range")
        );
        assert_eq!(h.run("PEXPIREAT k 9223372036854775807"), Response::Int(1));
        assert_eq!(h.run("EXPIRETIME k"), Response::Int(9_223_372_036_854_776));
        assert_eq!(
            h.run("EXPIREAT k -9223372036854775"),
            Response::Int(1),
            "a time far in the past deletes"
        );
    }

    #[test]
    fn persist_needs_a_time() {
        let mut h = Harness::new();
        assert_eq!(h.run("PERSIST k"), Response::Int(0));
        h.run("SET k v");
        assert_eq!(h.run("PERSIST k"), Response::Int(0));
        assert!(h.effects().is_empty() && h.events().is_empty());
        h.run("EXPIRE k 5");
        assert_eq!(h.run("PERSIST k"), Response::Int(1));
        assert_eq!(h.effects(), ["PERSIST k"]);
        assert_eq!(h.events(), ["persist k"]);
        assert_eq!(h.run("TTL k"), Response::Int(-1));
    }

    #[test]
    fn what_has_expired_is_gone_for_every_command() {
        let mut h = Harness::new();
        h.run("SET k v PX 10");
        h.keyspace.set_now_ms(Some(NOW + 10));
        assert_eq!(h.run("PTTL k"), Response::Int(0));
        h.keyspace.set_now_ms(Some(NOW + 11));
        assert_eq!(h.run("PTTL k"), Response::Int(-2));
        assert_eq!(h.effects(), ["DEL k"]);
        assert_eq!(h.events(), ["expired k", "keymiss k"]);
    }
}
