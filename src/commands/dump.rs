//! Values as payloads: DUMP gives one out, RESTORE takes one in. When a key was used last travels with it.

use super::expiry::is_past;
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::keyspace::access::{AccessClock, idle_seconds};
use crate::rdb::{self, PayloadError, Usage};
use std::sync::atomic::Ordering;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0",
        acl: "keyspace read slow",
        keys: &[one_key("RO access")],
        group: "generic",
        since: "2.6.0",
        summary: "Return a serialized version of the value stored at the specified key.",
        complexity: "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1).",
        tips: "nondeterministic_output",
        ..CommandSpec::new("dump", 2, Flags::READONLY, dump)
    },
    CommandSpec {
        arguments: RESTORE_ARGUMENTS,
        acl: "keyspace write slow dangerous",
        keys: &[one_key("OW update")],
        group: "generic",
        since: "2.6.0",
        summary: "Create a key using the provided serialized value, previously obtained using DUMP.",
        complexity: RESTORE_COMPLEXITY,
        history: RESTORE_HISTORY,
        ..CommandSpec::new("restore", -4, Flags::WRITE.and(Flags::DENYOOM), restore)
    },
    CommandSpec {
        arguments: RESTORE_ARGUMENTS,
        acl: "keyspace write slow dangerous",
        keys: &[one_key("OW update")],
        group: "server",
        since: "3.0.0",
        summary: "An internal command for migrating keys in a cluster",
        complexity: RESTORE_COMPLEXITY,
        history: RESTORE_HISTORY,
        doc_flags: "syscmd",
        ..CommandSpec::new(
            "restore-asking",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::ASKING),
            restore,
        )
    },
];

const RESTORE_ARGUMENTS: &str = "key:key#0 ttl:integer serialized-value:string replace:pure-token=REPLACE?@3.0.0 absttl:pure-token=ABSTTL?@5.0.0 seconds:integer=IDLETIME?@5.0.0 frequency:integer=FREQ?@5.0.0";
const RESTORE_COMPLEXITY: &str = "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the number of Redis objects composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).";
const RESTORE_HISTORY: &[(&str, &str)] = &[
    ("3.0.0", "Added the `REPLACE` modifier."),
    ("5.0.0", "Added the `ABSTTL` modifier."),
    ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
];

/// When a key was used, from its access bits, where this `maxmemory-policy` keeps that.
#[must_use]
pub fn usage_of(policy: &str, clock: AccessClock, bits: u32, now_ms: i64) -> Option<Usage> {
    if clock != AccessClock::Recency {
        let frequency = u8::try_from(clock.frequency(bits, now_ms));
        Some(Usage::Frequency(frequency.unwrap_or(u8::MAX)))
    } else if policy.ends_with("-lru") {
        Some(Usage::Idle(u64::from(idle_seconds(bits, now_ms))))
    } else {
        None
    }
}

/// The access bits of a key that was used so, where they are kept in the same way.
#[must_use]
pub fn access_of(clock: AccessClock, usage: Usage, now_ms: i64) -> Option<u32> {
    match (usage, clock) {
        (Usage::Frequency(frequency), AccessClock::Frequency { .. }) => {
            // The minute of now, and a counter of its own.
            Some((clock.born(now_ms) & !0xff) | u32::from(frequency))
        }
        (Usage::Idle(seconds), AccessClock::Recency) => {
            let ago_ms = i64::try_from(seconds).unwrap_or(i64::MAX).min(MAX_IDLE) * 1000;
            Some(clock.born(now_ms.saturating_sub(ago_ms).max(0)))
        }
        _ => None,
    }
}

/// The longest idle time that an access clock of 24 bits tells, in seconds.
const MAX_IDLE: i64 = 0x00ff_ffff;

fn dump(ctx: &mut Context<'_, '_>) -> CommandResult {
    let compress = ctx.services.config.read().bool("rdbcompression");
    let key = ctx.args.get(1).copied().unwrap_or_default();
    match ctx.txn.read(key) {
        Some(entry) => {
            let payload = rdb::dump(entry.value(), compress);
            ctx.reply.bulk(&payload);
        }
        None => ctx.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The options of RESTORE.
#[derive(Debug, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    usage: Option<Usage>,
}

impl Options {
    fn parse(ctx: &Context<'_, '_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 4;
        while let Some(word) = ctx.args.get(at) {
            let has_value = at + 1 < ctx.args.len();
            match (word.to_ascii_lowercase().as_slice(), &options.usage) {
                (b"replace", _) => options.replace = true,
                (b"absttl", _) => options.absolute = true,
                (b"idletime", None | Some(Usage::Idle(_))) if has_value => {
                    at += 1;
                    let seconds = u64::try_from(ctx.int(at)?).map_err(|_| {
                        CommandError::text("ERR Invalid IDLETIME value, must be >= 0")
                    })?;
                    options.usage = Some(Usage::Idle(seconds));
                }
                (b"freq", None | Some(Usage::Frequency(_))) if has_value => {
                    at += 1;
                    let frequency = u8::try_from(ctx.int(at)?).map_err(|_| {
                        CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                    })?;
                    options.usage = Some(Usage::Frequency(frequency));
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(options)
    }
}

const BAD_DATA: CommandError = CommandError::text("ERR Bad data format");

fn restore(ctx: &mut Context<'_, '_>) -> CommandResult {
    let options = Options::parse(ctx)?;
    let &[_, key, _, payload, ..] = ctx.args else {
        return Err(CommandError::Syntax);
    };
    if !options.replace && ctx.txn.peek(key).is_some() {
        return Err(CommandError::text(
            "BUSYKEY Target key name already exists.",
        ));
    }
    let ttl = ctx.int(2)?;
    if ttl < 0 {
        return Err(CommandError::text("ERR Invalid TTL value, must be >= 0"));
    }
    let ignore_checksum = ctx
        .services
        .switches
        .checksums_ignored
        .load(Ordering::Relaxed);
    let value = match rdb::restore(payload, &ctx.txn.limits(), ignore_checksum) {
        Ok(Some(value)) => value,
        Err(PayloadError::Footer) => {
            return Err(CommandError::text(
                "ERR DUMP payload version or checksum are wrong",
            ));
        }
        Ok(None) => return Err(BAD_DATA),
        Err(PayloadError::Content(problem)) => {
            if let Some(hooks) = &*ctx.services.hooks.read() {
                hooks.log(&format!("Bad data format of a payload: {problem}"));
            }
            return Err(BAD_DATA);
        }
    };
    let expires_at_ms = match ttl {
        0 => None,
        ttl if options.absolute => Some(ttl),
        // What ends beyond all times has ended, as in Redis.
        ttl => Some(ttl.wrapping_add(ctx.txn.now_ms())),
    };
    // Whoever loads the log looks at the checksum.
    let with_checksum = ignore_checksum.then(|| rdb::dump(value.as_ref(), true));
    let replaced = options.replace && ctx.txn.remove(key);
    if expires_at_ms.is_some_and(|at| is_past(ctx, at)) {
        if replaced {
            ctx.txn.changed(EventClass::GENERIC, "del", key);
            ctx.txn.propagate(&[b"DEL", key]);
        }
        ctx.reply.ok();
        return Ok(Outcome::Done);
    }
    ctx.txn.insert(key, value, expires_at_ms);
    if let Some(usage) = options.usage {
        let clock = ctx.txn.limits().access;
        if let Some(access) = access_of(clock, usage, ctx.txn.now_ms()) {
            ctx.txn.set_access(key, access);
        }
    }
    ctx.txn.changed(EventClass::GENERIC, "restore", key);
    let made_absolute = expires_at_ms.filter(|_| !options.absolute);
    propagate_restore(ctx, made_absolute, with_checksum.as_deref());
    ctx.reply.ok();
    Ok(Outcome::Done)
}

/// Logs another time or payload than the command had; it is logged as it is where it has neither.
fn propagate_restore(ctx: &mut Context<'_, '_>, at_ms: Option<i64>, payload: Option<&[u8]>) {
    if at_ms.is_none() && payload.is_none() {
        return;
    }
    let mut digits = itoa::Buffer::new();
    let mut effect = ctx.args.to_vec();
    if let (Some(own), Some(payload)) = (effect.get_mut(3), payload) {
        *own = payload;
    }
    if let (Some(ttl), Some(at_ms)) = (effect.get_mut(2), at_ms) {
        *ttl = digits.format(at_ms).as_bytes();
        effect.push(b"ABSTTL");
    }
    ctx.txn.propagate(&effect);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Harness, shown};
    use crate::reply::Response;

    fn payload(h: &mut Harness, key: &str) -> Vec<u8> {
        match h.run(&format!("DUMP {key}")) {
            Response::Bulk(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn restore(h: &mut Harness, key: &str, ttl: &str, payload: &[u8], options: &str) -> String {
        let mut words: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
        words.extend(
            options
                .split(' ')
                .filter(|word| !word.is_empty())
                .map(str::as_bytes),
        );
        shown(&h.run_words(&words))
    }

    #[test]
    fn what_is_dumped_comes_back() {
        let mut h = Harness::new();
        for line in [
            "SET string text",
            "SET number 12",
            "RPUSH list a b 3",
            "SADD numbers 1 2 3",
            "SADD words a b",
            "HSET hash f 1 g 2",
            "ZADD ranks 1.5 a inf b",
        ] {
            h.run(line);
            let key = line.split(' ').nth(1).expect("a key");
            let bytes = payload(&mut h, key);
            assert_eq!(restore(&mut h, "copy", "0", &bytes, "REPLACE"), "+OK");
            assert_eq!(payload(&mut h, "copy"), bytes, "{line}");
        }
        assert_eq!(h.run("DUMP nothing"), Response::Null);
    }

    #[test]
    fn a_time_to_live_is_logged_as_a_point_in_time() {
        let mut h = Harness::new();
        h.run("SET k 7");
        let bytes = payload(&mut h, "k");
        assert_eq!(
            restore(&mut h, "k", "0", &bytes, ""),
            "-BUSYKEY Target key name already exists."
        );
        assert_eq!(restore(&mut h, "new", "5000", &bytes, "FREQ 3"), "+OK");
        assert!(
            h.effects()[0].starts_with("RESTORE new 1000005000 "),
            "{:?}",
            h.effects()
        );
        assert!(h.effects()[0].ends_with(" FREQ 3 ABSTTL"));
        assert_eq!(h.events(), ["new new", "restore new"]);
        assert_eq!(h.run("PTTL new"), Response::Int(5000));
        assert_eq!(
            restore(&mut h, "other", "1000000001", &bytes, "absttl"),
            "+OK"
        );
        assert!(h.effects()[0].ends_with(" absttl"));
        assert_eq!(h.run("PTTL other"), Response::Int(1));
    }

    #[test]
    fn a_time_that_has_passed_deletes() {
        let mut h = Harness::new();
        h.run("SET k 7");
        let bytes = payload(&mut h, "k");
        assert_eq!(restore(&mut h, "new", "1", &bytes, "ABSTTL"), "+OK");
        assert!(h.effects().is_empty() && h.events().is_empty());
        assert_eq!(restore(&mut h, "k", "1", &bytes, "ABSTTL REPLACE"), "+OK");
        assert_eq!(
            (h.effects(), h.events()),
            (vec!["DEL k".to_owned()], vec!["del k".to_owned()])
        );
        assert_eq!(h.run("EXISTS k new"), Response::Int(0));
    }

    #[test]
    fn what_is_wrong_is_refused_in_the_order_of_redis() {
        let mut h = Harness::new();
        h.run("SET k 7");
        let bytes = payload(&mut h, "k");
        for (ttl, options, expected) in [
            ("-1", "", "-ERR Invalid TTL value, must be >= 0"),
            ("x", "", "-ERR value is not an integer or out of range"),
            ("x", "WHAT", "-ERR syntax error"),
            ("0", "IDLETIME", "-ERR syntax error"),
            (
                "0",
                "IDLETIME x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "0",
                "IDLETIME -1",
                "-ERR Invalid IDLETIME value, must be >= 0",
            ),
            (
                "0",
                "FREQ 256",
                "-ERR Invalid FREQ value, must be >= 0 and <= 255",
            ),
            ("0", "FREQ 1 IDLETIME 1", "-ERR syntax error"),
        ] {
            assert_eq!(
                restore(&mut h, "n", ttl, &bytes, options),
                expected,
                "{ttl} {options}"
            );
        }
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(restore(&mut h, "n", "0", &damaged, ""), wrong);
            assert_eq!(restore(&mut h, "n", "0", &bytes[..at], ""), wrong);
        }
        h.services
            .switches
            .checksums_ignored
            .store(true, Ordering::Relaxed);
        let mut damaged = bytes.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(restore(&mut h, "m", "0", &damaged, ""), "+OK");
        let effects = h.effects().join("\n");
        assert!(
            effects.contains(&*String::from_utf8_lossy(&bytes)),
            "{effects}"
        );
        let unknown = [b"\xee", &bytes[1..]].concat();
        assert_eq!(
            restore(&mut h, "n", "0", &unknown, ""),
            "-ERR Bad data format"
        );
        let empty = [b"\x01\x00", &bytes[bytes.len() - 10..]].concat();
        assert_eq!(
            restore(&mut h, "n", "0", &empty, ""),
            "-ERR Bad data format"
        );
        assert_eq!(h.run("EXISTS n"), Response::Int(0));
    }

    #[test]
    fn when_it_was_used_goes_with_a_key() {
        let now_ms = 1_700_000_000_000;
        let frequency = AccessClock::Frequency {
            log_factor: 10,
            decay_minutes: 1,
        };
        for (policy, clock, usage) in [
            ("allkeys-lru", AccessClock::Recency, Usage::Idle(100)),
            ("volatile-lru", AccessClock::Recency, Usage::Idle(0)),
            ("allkeys-lfu", frequency, Usage::Frequency(200)),
        ] {
            let bits = access_of(clock, usage, now_ms).expect("it counts so");
            assert_eq!(usage_of(policy, clock, bits, now_ms), Some(usage));
        }
        let later_ms = now_ms + 60_000;
        let bits = access_of(frequency, Usage::Frequency(9), now_ms).expect("it counts so");
        let faded = usage_of("allkeys-lfu", frequency, bits, later_ms);
        assert_eq!(faded, Some(Usage::Frequency(8)));
        assert_eq!(
            usage_of("noeviction", AccessClock::Recency, 5, now_ms),
            None
        );
        assert_eq!(access_of(frequency, Usage::Idle(5), now_ms), None);
        let mut h = Harness::new();
        h.run("SET k 7");
        let bytes = payload(&mut h, "k");
        assert_eq!(restore(&mut h, "n", "0", &bytes, "IDLETIME 1000"), "+OK");
        assert_eq!(h.run("OBJECT IDLETIME n"), Response::Int(1000));
    }
}
