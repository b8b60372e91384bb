//! Streams: a consumer takes over what is pending for others. Entries that were deleted meanwhile are pending no more.
//! What is logged is an XCLAIM for each entry, with the time and count that it has afterwards.

use super::error::shown;
use super::spec::{CommandSpec, Flags, one_key};
use super::stream_groups::no_group;
use super::stream_reads::{log_claim, log_position, note_consumer};
use super::streams::{bulk_id, interval_start, strict_id, write_entry};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::Txn;
use crate::reply::Reply;
use crate::value::number::parse_i64;
use crate::value::stream::{Stream, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 group:string consumer:string min-idle-time:string start:string count:integer=COUNT? justid:pure-token=JUSTID?",
        acl: "write stream fast",
        keys: &[one_key("RW delete")],
        group: "stream",
        since: "6.2.0",
        summary: "Changes (or acquires) ownership of messages in a consumer group, as if the messages were delivered to the specified consumer.",
        complexity: "O(1) if COUNT is small.",
        tips: "nondeterministic_output",
        history: &[(
            "7.0.0",
            "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
        )],
        ..CommandSpec::new("xautoclaim", -6, Flags::WRITE.and(Flags::FAST), xautoclaim)
    },
    CommandSpec {
        arguments: "key:key#0 group:string consumer:string min-idle-time:string id:string* ms:integer=IDLE? unix-time-milliseconds:unix-time=TIME? count:integer=RETRYCOUNT? force:pure-token=FORCE? justid:pure-token=JUSTID? id:string=LASTID?",
        acl: "write stream fast",
        keys: &[one_key("RW update")],
        group: "stream",
        since: "5.0.0",
        summary: "Changes (or acquires) ownership of a message in a consumer group, as if the message was delivered to the specified consumer.",
        complexity: "O(log N) with N being the number of messages in the PEL of the consumer group.",
        tips: "nondeterministic_output",
        ..CommandSpec::new("xclaim", -6, Flags::WRITE.and(Flags::FAST), xclaim)
    },
];

/// Entries that XAUTOCLAIM claims unless COUNT says otherwise, the most that COUNT may say, and how many pending ones
/// it looks at for each.
const CLAIMED_BY_DEFAULT: usize = 100;
const MOST_CLAIMED: usize = (i64::MAX / 16) as usize;
const LOOKED_AT: usize = 10;

/// Who claims, and how.
struct Claim<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    /// Only what was delivered at least so many milliseconds ago.
    min_idle_ms: i64,
    /// When the entries are said to have been delivered.
    delivered_ms: i64,
    /// How often they are said to have been delivered; nothing: once more, unless only ids are wanted.
    count: Option<u64>,
    force: bool,
    just_id: bool,
}

/// What became of an id that was to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is the consumer's.
    Claimed,
    /// Its entry is gone, and it is pending no more.
    Deleted,
    /// It is not pending, or not for long enough.
    Left,
}

fn min_idle(word: &[u8], command: &str) -> Result<i64, CommandError> {
    parse_i64(word)
        .map(|ms| ms.max(0))
        .ok_or_else(|| format!("ERR Invalid min-idle-time argument for {command}").into())
}

impl Claim<'_> {
    fn stream<'t>(&self, txn: &'t mut Txn<'_>) -> Result<&'t mut Stream, CommandError> {
        txn.stream_mut(self.key)?
            .filter(|stream| stream.group(self.group).is_some())
            .ok_or_else(|| no_group(self.key, self.group))
    }

    /// Claims one entry and logs it.
    fn take(&self, txn: &mut Txn<'_>, id: StreamId) -> Result<Fate, CommandError> {
        let now_ms = txn.now_ms();
        let stream = self.stream(txn)?;
        let exists = stream.get(id).is_some();
        let Some(group) = stream.group_mut(self.group) else {
            return Ok(Fate::Left);
        };
        let last = group.last_delivered;
        let pending = group.delivery(id).cloned();
        if !exists {
            let Some(delivery) = pending else {
                return Ok(Fate::Left);
            };
            group.acknowledge(id);
            txn.add_dirty(1);
            let state = (delivery.delivered_ms, delivery.count);
            log_claim(
                txn,
                self.key,
                self.group,
                &delivery.consumer,
                (id, state, last),
            );
            return Ok(Fate::Deleted);
        }
        let before = match pending {
            Some(delivery) => {
                let idle_ms = now_ms.saturating_sub(delivery.delivered_ms);
                if self.min_idle_ms > 0 && idle_ms < self.min_idle_ms {
                    return Ok(Fate::Left);
                }
                delivery.count
            }
            None if self.force => 1,
            None => return Ok(Fate::Left),
        };
        note_consumer(txn, self.key, self.group, self.consumer, false)?;
        let count = self.count.unwrap_or(if self.just_id {
            before
        } else {
            before.saturating_add(1)
        });
        if let Some(group) = self.stream(txn)?.group_mut(self.group) {
            group.deliver(id, self.consumer, self.delivered_ms, count);
            if let Some(consumer) = group.consumer_mut(self.consumer) {
                consumer.active_ms = now_ms;
            }
        }
        txn.add_dirty(1);
        let state = (self.delivered_ms, count);
        log_claim(txn, self.key, self.group, self.consumer, (id, state, last));
        Ok(Fate::Claimed)
    }

    /// Answers what was claimed: the ids, or the entries.
    fn write(
        &self,
        txn: &mut Txn<'_>,
        reply: &mut dyn Reply,
        ids: &[StreamId],
    ) -> Result<(), CommandError> {
        reply.array(ids.len());
        let stream = self.stream(txn)?;
        for id in ids {
            match stream.get(*id) {
                Some(entry) if !self.just_id => write_entry(reply, &entry),
                _ => bulk_id(reply, *id),
            }
        }
        Ok(())
    }
}

/// The options of XCLAIM behind the ids.
struct Options {
    delivered_ms: i64,
    count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(context: &Context<'_, '_>, mut at: usize) -> Result<Self, CommandError> {
        let now_ms = context.txn.now_ms();
        let mut options = Self {
            delivered_ms: now_ms,
            count: None,
            force: false,
            just_id: false,
            last_id: StreamId::MIN,
        };
        while let Some(word) = context.args.get(at) {
            let value = context.args.get(at + 1);
            let number = |option| {
                let refusal = || format!("ERR Invalid {option} option argument for XCLAIM");
                value
                    .and_then(|word| parse_i64(word))
                    .ok_or_else(|| CommandError::from(refusal()))
            };
            match (word.to_ascii_uppercase().as_slice(), value) {
                (b"FORCE", _) => options.force = true,
                (b"JUSTID", _) => options.just_id = true,
                (b"IDLE", Some(_)) => {
                    options.delivered_ms = now_ms.saturating_sub(number("IDLE")?);
                    at += 1;
                }
                (b"TIME", Some(_)) => {
                    options.delivered_ms = number("TIME")?;
                    at += 1;
                }
                (b"RETRYCOUNT", Some(_)) => {
                    options.count = u64::try_from(number("RETRYCOUNT")?).ok();
                    at += 1;
                }
                (b"LASTID", Some(id)) => {
                    options.last_id = strict_id(id, 0)?;
                    at += 1;
                }
                _ => {
                    let word = shown(word);
                    return Err(format!("ERR Unrecognized XCLAIM option '{word}'").into());
                }
            }
            at += 1;
        }
        // A time that cannot be is now.
        if !(0..=now_ms).contains(&options.delivered_ms) {
            options.delivered_ms = now_ms;
        }
        Ok(options)
    }
}

fn xclaim(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let mut claim = Claim {
        key: args[1],
        group: args[2],
        consumer: args[3],
        min_idle_ms: 0,
        delivered_ms: 0,
        count: None,
        force: false,
        just_id: false,
    };
    claim.stream(context.txn)?;
    claim.min_idle_ms = min_idle(args[4], "XCLAIM")?;
    let ids: Vec<StreamId> = args[5..]
        .iter()
        .map_while(|word| strict_id(word, 0).ok())
        .collect();
    let options = Options::parse(context, 5 + ids.len())?;
    claim.delivered_ms = options.delivered_ms;
    claim.count = options.count;
    (claim.force, claim.just_id) = (options.force, options.just_id);
    let Context { txn, reply, .. } = context;
    let mut moved_on = None;
    if let Some(group) = claim.stream(txn)?.group_mut(claim.group)
        && options.last_id > group.last_delivered
    {
        group.last_delivered = options.last_id;
        moved_on = Some((options.last_id, group.entries_read));
    }
    let mut claimed = Vec::new();
    txn.propagate_nothing();
    for id in ids {
        match claim.take(txn, id)? {
            Fate::Left => continue,
            Fate::Claimed => claimed.push(id),
            Fate::Deleted => {}
        }
        // Each entry that is logged says the last id too.
        moved_on = None;
    }
    if let Some(position) = moved_on {
        txn.add_dirty(1);
        log_position(txn, claim.key, claim.group, position);
    }
    claim.write(txn, &mut **reply, &claimed)?;
    Ok(Outcome::Done)
}

/// COUNT and JUSTID.
fn auto_options(context: &Context<'_, '_>) -> Result<(usize, bool), CommandError> {
    let (mut count, mut just_id) = (CLAIMED_BY_DEFAULT, false);
    let mut at = 6;
    while at < context.args.len() {
        if context.is(at, "count") && at + 1 < context.args.len() {
            count = context
                .int(at + 1)
                .ok()
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| (1..=MOST_CLAIMED).contains(count))
                .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
            at += 1;
        } else if context.is(at, "justid") {
            just_id = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok((count, just_id))
}

fn xautoclaim(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let min_idle_ms = min_idle(args[4], "XAUTOCLAIM")?;
    let start = interval_start(args[5])?;
    let (count, just_id) = auto_options(context)?;
    let claim = Claim {
        key: args[1],
        group: args[2],
        consumer: args[3],
        min_idle_ms,
        delivered_ms: context.txn.now_ms(),
        count: None,
        force: false,
        just_id,
    };
    let Context { txn, reply, .. } = context;
    let group = claim.stream(txn)?.group(claim.group);
    let mut pending: Vec<StreamId> = group
        .into_iter()
        .flat_map(|group| group.pending(start..=StreamId::MAX))
        .map(|(id, _)| id)
        .take(count.saturating_mul(LOOKED_AT).saturating_add(1))
        .collect();
    let beyond = pending.get(count.saturating_mul(LOOKED_AT)).copied();
    pending.truncate(count.saturating_mul(LOOKED_AT));
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut next = beyond;
    txn.propagate_nothing();
    for id in pending {
        if claimed.len() + deleted.len() == count {
            next = Some(id);
            break;
        }
        match claim.take(txn, id)? {
            Fate::Claimed => claimed.push(id),
            Fate::Deleted => deleted.push(id),
            Fate::Left => {}
        }
    }
    reply.array(3);
    bulk_id(&mut **reply, next.unwrap_or_default());
    claim.write(txn, &mut **reply, &claimed)?;
    reply.array(deleted.len());
    deleted.iter().for_each(|id| bulk_id(&mut **reply, *id));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("streams/claims.txt"));
    }
}
