//! The command table: every entry with its subcommands, found by name. Built once from the families.

use std::sync::OnceLock;

use hashbrown::HashMap;

use super::spec::{Begin, CommandSpec, Find, Flags, KeyFinder, KeySpec};
use super::{CommandError, FAMILIES};
use crate::value::lossless;

/// Longest name of a command.
const MAX_NAME: usize = 32;
/// Names of up to this many bytes are found by [`Short`]; nearly all are.
const SHORT_NAME: usize = 16;
/// Slots of the table of short names: sparse, so that nearly every name stands where it is looked for.
const SLOTS: usize = 2048;

/// An entry as the engine uses it.
#[derive(Debug)]
pub struct Command {
    /// What the entry says.
    pub spec: &'static CommandSpec,
    /// Place in [`Table::all`]: statistics are kept by it.
    pub index: usize,
    /// `get`, `client|kill`.
    pub full_name: String,
    /// Where its keys stand: the entry's key specs but for those that are flagged as no keys.
    keys: Box<[&'static KeySpec]>,
    /// First word, last word relative to the end or the first, step: when the keys can be told without searching.
    pub fixed_keys: Option<(usize, i32, usize)>,
    /// Where its only key stands, if every line of it has one and reaches no other.
    pub single_key: Option<usize>,
    /// Whether it takes constant time for each of its words: it is flagged as fast and about keys, or PING, or Redis says so
    /// of a command about strings or lists, or keys of any type.
    pub is_constant: bool,
    /// Whether it is content with the lock of its only key, if it has one, so that a batch may take that before it runs.
    pub runs_held: bool,
    /// By lower-case name.
    pub subcommands: HashMap<&'static str, &'static Self>,
}

/// All entries.
#[derive(Debug)]
pub struct Table {
    by_name: HashMap<&'static str, &'static Command>,
    short: Short,
    /// Commands and subcommands; the index is [`Command::index`].
    pub all: Vec<&'static Command>,
    /// Commands without their subcommands, in order of their families.
    pub commands: Vec<&'static Command>,
}

/// The one table of the process.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(Table::build)
}

impl Table {
    fn build() -> Self {
        let mut table = Self {
            by_name: HashMap::new(),
            short: Short::default(),
            all: Vec::new(),
            commands: Vec::new(),
        };
        for spec in FAMILIES.iter().flat_map(|family| family.iter()) {
            let command = table.add(spec, None);
            table.commands.push(command);
            table.short.add(command);
            let before = table.by_name.insert(spec.name, command);
            assert!(
                before.is_none(),
                "the command {} has two entries",
                spec.name
            );
        }
        table
    }

    fn add(&mut self, spec: &'static CommandSpec, parent: Option<&str>) -> &'static Command {
        let full_name = parent.map_or_else(
            || spec.name.to_owned(),
            |parent| format!("{parent}|{}", spec.name),
        );
        let subcommands = spec
            .subcommands
            .iter()
            .map(|sub| (sub.name, self.add(sub, Some(&full_name))))
            .collect();
        let fixed_keys = match spec.keys {
            [key] => match (key.begin, key.find) {
                (
                    Begin::Index(first),
                    Find::Range {
                        last,
                        step,
                        limit: 0,
                    },
                ) => Some((first, last, step)),
                _ => None,
            },
            _ => None,
        };
        let is_key = |key: &&KeySpec| !key.flags.contains("not_key");
        let reaches_further = spec.flags.has(Flags::ALL_SHARDS) || spec.find_keys.is_some();
        let single_key = match fixed_keys {
            Some((first, 0, _)) if !reaches_further => Some(first),
            _ => None,
        };
        let is_simple =
            spec.complexity == "O(1)" && matches!(spec.group, "string" | "list" | "generic");
        let is_constant = match spec.name {
            "ping" => true,
            _ if spec.flags.has(Flags::BLOCKING) => false,
            _ => !spec.keys.is_empty() && (spec.flags.has(Flags::FAST) || is_simple),
        };
        let runs_held = is_constant
            && (single_key.is_some() || spec.keys.is_empty())
            && !spec.flags.has(Flags::RUNS_SCRIPT)
            && !spec.flags.has(Flags::PROTECTED);
        let index = self.all.len();
        let command = &*Box::leak(Box::new(Command {
            spec,
            index,
            full_name,
            keys: spec.keys.iter().filter(is_key).collect(),
            fixed_keys,
            single_key,
            is_constant,
            runs_held,
            subcommands,
        }));
        self.all.push(command);
        command
    }

    /// A command by its name in any case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&'static Command> {
        if let Some(packed) = pack(name) {
            return self.short.find(packed);
        }
        with_lower_case(name, |name| self.by_name.get(name).copied()).flatten()
    }
}

/// Commands by short names, each packed into one number: a look-up is a multiplication and a comparison.
#[derive(Debug)]
struct Short(Box<[Option<(u128, &'static Command)>]>);

impl Default for Short {
    fn default() -> Self {
        Self(vec![None; SLOTS].into_boxed_slice())
    }
}

impl Short {
    fn slot(packed: u128) -> usize {
        let folded = (packed as u64) ^ ((packed >> 64) as u64).rotate_left(29);
        let spread = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> (64 - SLOTS.trailing_zeros())) as usize
    }

    fn add(&mut self, command: &'static Command) {
        let Some(packed) = pack(command.spec.name.as_bytes()) else {
            return;
        };
        let mut slot = Self::slot(packed);
        while self.0[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        self.0[slot] = Some((packed, command));
    }

    fn find(&self, packed: u128) -> Option<&'static Command> {
        let mut slot = Self::slot(packed);
        while let Some((name, command)) = self.0[slot] {
            if name == packed {
                return Some(command);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

/// A short name in lower case as a number, filled up with zeros; two names are the same number only where one is the other
/// with zero bytes behind it, which no entry's name has.
#[inline]
fn pack(name: &[u8]) -> Option<u128> {
    if name.last() == Some(&0) {
        return None;
    }
    match name.len() {
        0..=8 => Some(u128::from(pack_word(name))),
        9..=SHORT_NAME => {
            let (first, rest) = name.split_at(8);
            Some(u128::from(pack_word(first)) | u128::from(pack_word(rest)) << 64)
        }
        _ => None,
    }
}

/// Up to eight bytes in lower case as a number. Read as two parts that overlap where there are at least four.
#[inline]
fn pack_word(bytes: &[u8]) -> u64 {
    let part = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
    let packed = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => part(first) | part(last) << (8 * (bytes.len() - 4)),
        _ => match *bytes {
            [first, second, third] => {
                u64::from(first) | u64::from(second) << 8 | u64::from(third) << 16
            }
            [first, second] => u64::from(first) | u64::from(second) << 8,
            [only] => u64::from(only),
            _ => 0,
        },
    };
    lower_case(packed)
}

/// Makes capital letters small in all eight bytes of a number at once: bytes of `A` to `Z`, and no others, get the bit that
/// tells them apart.
#[inline]
const fn lower_case(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let low = word & !HIGH;
    // The high bit of each byte tells whether it is at least `A`, and whether it is beyond `Z`.
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let beyond_z = low + ONES * (0x7f - b'Z' as u64);
    let capital = from_a & !beyond_z & !word & HIGH;
    word | capital >> 2
}

fn with_lower_case<T>(name: &[u8], then: impl FnOnce(&str) -> T) -> Option<T> {
    let mut lower = [0; MAX_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok().map(then)
}

/// The entry of a command line: the subcommand's for a container. The error is Redis's for an unknown name.
pub fn lookup(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    let name = args.first().copied().unwrap_or_default();
    let command = table().find(name).ok_or_else(|| unknown_command(args))?;
    let Some(sub) = args.get(1).filter(|_| !command.subcommands.is_empty()) else {
        return Ok(command);
    };
    let found = with_lower_case(sub, |sub| command.subcommands.get(sub).copied()).flatten();
    found.ok_or_else(|| {
        let (sub, name) = (printable(sub, 128), command.full_name.to_uppercase());
        format!("ERR unknown subcommand '{sub}'. Try {name} HELP.").into()
    })
}

/// The error for a name that no command has.
pub fn unknown_command(args: &[&[u8]]) -> CommandError {
    let name = printable(args.first().copied().unwrap_or_default(), 128);
    let mut shown = String::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= 128 {
            break;
        }
        shown.push_str(&format!("'{}' ", printable(arg, 128 - shown.len())));
    }
    format!("ERR unknown command '{name}', with args beginning with: {shown}").into()
}

/// As Redis prints a word of a client's in an error: not past a NUL byte, and without line breaks.
fn printable(bytes: &[u8], limit: usize) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let cut = text.get(..limit).unwrap_or(text);
    lossless::text(cut)
        .chars()
        .map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c })
        .collect()
}

impl Command {
    /// Calls `visit` with the position of each key. False when the words break the rules that the entry gives.
    pub fn key_positions(&self, args: &[&[u8]], mut visit: impl FnMut(usize)) -> bool {
        if let Some(find) = self.spec.find_keys {
            find(args, &mut |position, _| visit(position));
            return true;
        }
        let mut complete = true;
        for spec in &self.keys {
            complete &= spec.positions(args, &mut visit);
        }
        complete
    }

    /// Whether this line needs every shard: always, or because it reaches keys whose names depend on the data.
    #[must_use]
    pub fn needs_all_shards(&self, args: &[&[u8]]) -> bool {
        let reaches_further = |find: KeyFinder| find(args, &mut |_, _| {});
        self.spec.flags.has(Flags::ALL_SHARDS) || self.spec.find_keys.is_some_and(reaches_further)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        for command in &table().commands {
            let name = command.spec.name;
            for name in [name.to_owned(), name.to_uppercase()] {
                let found = table().find(name.as_bytes()).map(|found| found.index);
                assert_eq!(found, Some(command.index), "{name}");
            }
        }
        assert!(table().find(b"get\0").is_none() && table().find(b"").is_none());
    }

    proptest! {
        #[test]
        fn a_packed_name_is_the_name_in_lower_case(name in prop::collection::vec(any::<u8>(), 0..=SHORT_NAME)) {
            prop_assume!(name.last() != Some(&0));
            let mut bytes = [0; SHORT_NAME];
            for (to, from) in bytes.iter_mut().zip(&name) {
                *to = from.to_ascii_lowercase();
            }
            prop_assert_eq!(pack(&name), Some(u128::from_le_bytes(bytes)));
        }
    }
}
