//! BITFIELD: integers of any width at any place of a string. It knows how the words are judged; the bits themselves
//! are [`crate::value::bitmap`]'s.

use smallvec::SmallVec;

use super::bitmaps::{bit_offset, grown};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::reply::Reply;
use crate::value::bitmap::{Overflow, Width};
use crate::value::number::parse_i64;

const NO_TYPE: CommandError = CommandError::text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 operation:oneof?*{encoding_offset:block=GET{encoding:string offset:integer} write:block{wrap_sat_fail:oneof=OVERFLOW?{wrap:pure-token=WRAP sat:pure-token=SAT fail:pure-token=FAIL} write_operation:oneof{encoding_offset_value:block=SET{encoding:string offset:integer value:integer} encoding_offset_increment:block=INCRBY{encoding:string offset:integer increment:integer}}}}",
        acl: "write bitmap slow",
        keys: &[KeySpec {
            flags: "RW access update variable_flags",
            notes: "This command allows both access and modification of the key",
            begin: Begin::Index(1),
            find: Find::Range {
                last: 0,
                step: 1,
                limit: 0,
            },
        }],
        group: "bitmap",
        since: "3.2.0",
        summary: "Perform arbitrary bitfield integer operations on strings",
        complexity: "O(1) for each subcommand specified",
        ..CommandSpec::new("bitfield", -2, Flags::WRITE.and(Flags::DENYOOM), bitfield)
    },
    CommandSpec {
        arguments: "key:key#0 encoding_offset:block=GET?*+{encoding:string offset:integer}",
        acl: "read bitmap fast",
        keys: &[one_key("RO access")],
        group: "bitmap",
        since: "6.0.0",
        summary: "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
        complexity: "O(1) for each subcommand specified",
        ..CommandSpec::new(
            "bitfield_ro",
            -2,
            Flags::READONLY.and(Flags::FAST),
            bitfield_ro,
        )
    },
];

/// Whether such a line changes nothing, as Redis judges before it looks any closer.
pub(super) fn only_reads(args: &[&[u8]]) -> bool {
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        let is = |word: &[u8]| args[at].eq_ignore_ascii_case(word);
        at += match () {
            () if is(b"get") && left >= 2 => 3,
            () if is(b"overflow") && left >= 1 => 2,
            () => return false,
        };
    }
    true
}

/// What is done to an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

/// One operation on one integer.
#[derive(Debug, Clone, Copy)]
struct Operation {
    action: Action,
    width: Width,
    offset: usize,
    overflow: Overflow,
}

impl Operation {
    /// The value that is written, and the one that is answered; nothing where the result is refused.
    fn apply(&self, before: i64) -> Option<(i64, i64)> {
        let fit = |value| self.width.fit(value, self.overflow);
        match self.action {
            Action::Get => Some((before, before)),
            // An unsigned integer takes the bits of a negative value for a large one.
            Action::Set(value) if !self.width.signed => {
                Some((fit(i128::from(value as u64))?, before))
            }
            Action::Set(value) => Some((fit(i128::from(value))?, before)),
            Action::Increment(by) => {
                let after = fit(i128::from(before) + i128::from(by))?;
                Some((after, after))
            }
        }
    }

    /// Bytes that a string must have for it.
    const fn end(&self) -> usize {
        (self.offset + self.width.bits as usize - 1) / 8 + 1
    }
}

/// `i` or `u` and a number of bits.
fn parse_width(word: &[u8]) -> Option<Width> {
    let (signed, bits) = match word {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return None,
    };
    let bits = u32::try_from(parse_i64(bits)?).ok()?;
    let most = if signed { 64 } else { 63 };
    (1..=most).contains(&bits).then_some(Width { signed, bits })
}

type Operations = SmallVec<[Operation; 4]>;

fn parse(context: &Context<'_, '_>) -> Result<Operations, CommandError> {
    let mut operations = Operations::new();
    let (mut overflow, mut at) = (Overflow::Wrap, 2);
    while at < context.args.len() {
        let left = context.args.len() - at - 1;
        if context.is(at, "overflow") && left >= 1 {
            overflow = match () {
                () if context.is(at + 1, "wrap") => Overflow::Wrap,
                () if context.is(at + 1, "sat") => Overflow::Saturate,
                () if context.is(at + 1, "fail") => Overflow::Fail,
                () => return Err(CommandError::text("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let (action, words): (fn(i64) -> Action, usize) = match () {
            () if context.is(at, "get") && left >= 2 => (|_| Action::Get, 3),
            () if context.is(at, "set") && left >= 3 => (Action::Set, 4),
            () if context.is(at, "incrby") && left >= 3 => (Action::Increment, 4),
            () => return Err(CommandError::Syntax),
        };
        let width = parse_width(context.args[at + 1]).ok_or(NO_TYPE)?;
        let offset = bit_offset(context, at + 2, Some(width.bits))?;
        let value = if words == 4 { context.int(at + 3)? } else { 0 };
        operations.push(Operation {
            action: action(value),
            width,
            offset,
            overflow,
        });
        at += words;
    }
    Ok(operations)
}

fn is_get(operation: &Operation) -> bool {
    operation.action == Action::Get
}

fn answer_reads(context: &mut Context<'_, '_>, operations: &Operations) -> CommandResult {
    let text = context.txn.string(context.args[1])?;
    let mut digits = itoa::Buffer::new();
    let bytes = text
        .as_ref()
        .map_or(&[][..], |text| text.to_bytes(&mut digits));
    context.reply.array(operations.len());
    for operation in operations {
        let value = operation.width.read(bytes, operation.offset);
        context.reply.int(value);
    }
    Ok(Outcome::Done)
}

/// Runs them all; answers how many changed something.
fn write(operations: &Operations, bytes: &mut [u8], has_grown: bool, reply: &mut dyn Reply) -> u64 {
    let mut changes = 0;
    reply.array(operations.len());
    for operation in operations {
        let before = operation.width.read(bytes, operation.offset);
        let Some((after, answer)) = operation.apply(before) else {
            reply.null();
            continue;
        };
        if !is_get(operation) {
            operation.width.write(bytes, operation.offset, after);
            changes += u64::from(has_grown || before != after);
        }
        reply.int(answer);
    }
    changes
}

fn bitfield(context: &mut Context<'_, '_>) -> CommandResult {
    let operations = parse(context)?;
    let writes = operations.iter().filter(|operation| !is_get(operation));
    let Some(len) = writes.map(Operation::end).max() else {
        return answer_reads(context, &operations);
    };
    let key = context.args[1];
    let (bytes, has_grown) = grown(context.txn, key, len)?;
    let changes = write(&operations, bytes, has_grown, context.reply);
    if changes > 0 {
        context.txn.changed(EventClass::STRING, "setbit", key);
        context.txn.add_dirty(changes - 1);
    } else if has_grown {
        // Redis keeps silent about zeros that a refused operation has added; the log must not.
        context.txn.propagate(context.args);
    }
    Ok(Outcome::Done)
}

fn bitfield_ro(context: &mut Context<'_, '_>) -> CommandResult {
    let operations = parse(context)?;
    if !operations.iter().all(is_get) {
        return Err(CommandError::text(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    answer_reads(context, &operations)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    #[test]
    fn zeros_of_a_refused_operation_are_logged() {
        let mut h = Harness::new();
        h.check(
            "BITFIELD k OVERFLOW FAIL SET u1 9 5 => [nil] ;  ; BITFIELD k OVERFLOW FAIL SET u1 9 5",
        );
        h.check("STRLEN k => 2");
    }
}
