//! The rules of ACL SETUSER, of ACL files and of `user` lines: what each does to a user's rights.

use std::fmt;

use crate::commands::command::find;
use crate::commands::table::{Command, table};
use crate::services::acl::{Access, CommandRule, KeyPattern, PasswordHash, Rights, Selector};
use crate::value::lossless;
use crate::value::split::split_args;

/// Every category, in the order in which ACL CAT names them.
pub(super) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Why a rule was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleError {
    Syntax,
    UnknownCommand,
    PatternAfterAllKeys,
    PatternAfterAllChannels,
    NoSuchPassword,
    BadHash,
    SubcommandArgument,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "Syntax error",
            Self::UnknownCommand => "Unknown command or category name in ACL",
            Self::PatternAfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
                 'resetkeys' to start with an empty list of patterns"
            }
            Self::PatternAfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
                 Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::SubcommandArgument => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Whether a command is in a category.
pub(super) fn is_in_category(command: &Command, category: &str) -> bool {
    command.spec.acl.split(' ').any(|name| name == category)
}

/// Whether a name may be a user's.
pub(super) fn is_user_name(name: &[u8]) -> bool {
    !has_spaces(name)
}

fn has_spaces(text: &[u8]) -> bool {
    text.iter()
        .any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// Puts the words of a selector together, which may stand in one pair of parentheses over several arguments. The error
/// is the word with the parenthesis that nothing closes. One that opens while another is open begins anew, as in Redis.
pub(super) fn merge_selectors(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        if word.starts_with(b"(") && !word.ends_with(b")") {
            open = Some((word, word.to_vec()));
            continue;
        }
        let (first, mut rule) = match open.take() {
            Some((first, mut rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                (first, rule)
            }
            None => {
                rules.push(word.to_vec());
                continue;
            }
        };
        if word.ends_with(b")") {
            rules.push(std::mem::take(&mut rule));
        } else {
            open = Some((first, rule));
        }
    }
    match open {
        None => Ok(rules),
        Some((first, _)) => Err(first.to_vec()),
    }
}

/// Applies one rule to a user's rights. `all_channels` is what `reset` leaves of channels: `acl-pubsub-default`.
///
/// # Errors
///
/// The rule is none; the rights are then of no use.
pub(super) fn apply(rights: &mut Rights, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
    match rule.to_ascii_lowercase().as_slice() {
        b"on" => rights.enabled = true,
        b"off" => rights.enabled = false,
        b"nopass" => {
            rights.forget_passwords();
            rights.no_password = true;
        }
        b"resetpass" => rights.forget_passwords(),
        b"skip-sanitize-payload" => rights.sanitize_payload = Some(false),
        b"sanitize-payload" => rights.sanitize_payload = Some(true),
        b"clearselectors" => rights.selectors.clear(),
        b"reset" => {
            *rights = new_user(all_channels);
            rights.sanitize_payload = Some(true);
        }
        _ => return apply_argument(rights, rule, all_channels),
    }
    Ok(())
}

/// A new user's rights.
pub(super) fn new_user(all_channels: bool) -> Rights {
    let mut rights = Rights::nothing();
    rights.root.all_channels = all_channels;
    rights
}

fn apply_argument(rights: &mut Rights, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
    let hash = |digits| PasswordHash::parse(digits).ok_or(RuleError::BadHash);
    let removed = |found: bool| found.then_some(()).ok_or(RuleError::NoSuchPassword);
    match rule {
        [b'>', password @ ..] => rights.add_password(PasswordHash::of(password)),
        [b'#', digits @ ..] => rights.add_password(hash(digits)?),
        [b'<', password @ ..] => {
            return removed(rights.remove_password(&PasswordHash::of(password)));
        }
        [b'!', digits @ ..] => return removed(rights.remove_password(&hash(digits)?)),
        [b'(', inner @ .., b')'] => {
            let mut selector = Selector::default();
            selector.all_channels = all_channels;
            for word in split_args(inner).ok_or(RuleError::Syntax)? {
                apply_to_selector(&mut selector, &word)?;
            }
            rights.selectors.push(selector);
        }
        _ => return apply_to_selector(&mut rights.root, rule),
    }
    Ok(())
}

fn apply_to_selector(selector: &mut Selector, rule: &[u8]) -> Result<(), RuleError> {
    match rule.to_ascii_lowercase().as_slice() {
        b"allkeys" | b"~*" => {
            selector.all_keys = true;
            selector.keys.clear();
        }
        b"resetkeys" => {
            selector.all_keys = false;
            selector.keys.clear();
        }
        b"allchannels" | b"&*" => {
            selector.all_channels = true;
            selector.channels.clear();
        }
        b"resetchannels" => {
            selector.all_channels = false;
            selector.channels.clear();
        }
        b"allcommands" | b"+@all" => selector.set_all_commands(true),
        b"nocommands" | b"-@all" => selector.set_all_commands(false),
        _ => {
            return match rule {
                [b'~', pattern @ ..] => add_key_pattern(selector, Access::FULL, pattern),
                [b'%', rest @ ..] => add_limited_pattern(selector, rest),
                [b'&', pattern @ ..] => add_channel_pattern(selector, pattern),
                [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                    set_category(selector, name, *sign == b'+')
                }
                [sign @ (b'+' | b'-'), name @ ..] => set_command(selector, name, *sign == b'+'),
                _ => Err(RuleError::Syntax),
            };
        }
    }
    Ok(())
}

/// `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn add_limited_pattern(selector: &mut Selector, rest: &[u8]) -> Result<(), RuleError> {
    if selector.all_keys {
        return Err(RuleError::PatternAfterAllKeys);
    }
    let mut access = Access::default();
    let mut rest = rest.iter();
    for letter in rest.by_ref() {
        match letter.to_ascii_uppercase() {
            b'R' if !access.read => access.read = true,
            b'W' if !access.write => access.write = true,
            b'~' => break,
            _ => return Err(RuleError::Syntax),
        }
    }
    if access == Access::default() {
        return Err(RuleError::Syntax);
    }
    add_key_pattern(selector, access, rest.as_slice())
}

fn add_key_pattern(
    selector: &mut Selector,
    access: Access,
    pattern: &[u8],
) -> Result<(), RuleError> {
    if selector.all_keys {
        return Err(RuleError::PatternAfterAllKeys);
    }
    if has_spaces(pattern) {
        return Err(RuleError::Syntax);
    }
    let known = |key: &&mut KeyPattern| *key.pattern == *pattern;
    if let Some(key) = selector.keys.iter_mut().find(known) {
        key.access.read |= access.read;
        key.access.write |= access.write;
    } else {
        let pattern = pattern.into();
        selector.keys.push(KeyPattern { pattern, access });
    }
    Ok(())
}

fn add_channel_pattern(selector: &mut Selector, pattern: &[u8]) -> Result<(), RuleError> {
    if selector.all_channels {
        return Err(RuleError::PatternAfterAllChannels);
    }
    if has_spaces(pattern) {
        return Err(RuleError::Syntax);
    }
    if !selector.channels.iter().any(|known| **known == *pattern) {
        selector.channels.push(pattern.into());
    }
    Ok(())
}

fn set_category(selector: &mut Selector, name: &[u8], allow: bool) -> Result<(), RuleError> {
    let known = CATEGORIES
        .iter()
        .find(|category| name.eq_ignore_ascii_case(category.as_bytes()));
    let category = known.ok_or(RuleError::UnknownCommand)?;
    for command in table().all.iter() {
        if is_in_category(command, category) {
            set_with_subcommands(selector, command, allow);
        }
    }
    note_rule(selector, allow, format!("@{category}"));
    Ok(())
}

fn set_with_subcommands(selector: &mut Selector, command: &Command, allow: bool) {
    let count = table().all.len();
    selector.set_command(command.index, allow, count);
    for sub in command.subcommands.values() {
        selector.set_command(sub.index, allow, count);
    }
}

/// `+get`, `-client|kill`, and `+select|0`, which allows a command with one first argument only.
fn set_command(selector: &mut Selector, name: &[u8], allow: bool) -> Result<(), RuleError> {
    let shown = lossless::text(name).to_ascii_lowercase();
    if let Some(command) = find_exactly(name) {
        let mut concerned = command.subcommands.values().chain([&command]);
        // What changes nothing is not shown.
        if concerned.any(|command| selector.is_changed_by(command.index, allow)) {
            set_with_subcommands(selector, command, allow);
            note_rule(selector, allow, shown);
        }
        return Ok(());
    }
    let bar = name.iter().rposition(|byte| *byte == b'|');
    let Some((command, [_, argument @ ..])) = bar.filter(|_| allow).map(|at| name.split_at(at))
    else {
        return Err(RuleError::UnknownCommand);
    };
    let command = find_exactly(command).ok_or(RuleError::UnknownCommand)?;
    if command.full_name.contains('|') {
        return Err(RuleError::SubcommandArgument);
    }
    if argument.is_empty() {
        return Err(RuleError::Syntax);
    }
    if !command.subcommands.is_empty() {
        return Err(RuleError::UnknownCommand);
    }
    if !selector.has_command(command.index) {
        selector.allow_first_argument(command.index, argument);
        note_rule(selector, allow, shown);
    }
    Ok(())
}

fn find_exactly(name: &[u8]) -> Option<&'static Command> {
    find(name).filter(|command| name.eq_ignore_ascii_case(command.full_name.as_bytes()))
}

/// Remembers a rule as it is shown; those that it makes void are forgotten.
fn note_rule(selector: &mut Selector, allow: bool, target: String) {
    let is_void = |rule: &CommandRule| {
        let rest = rule.target.strip_prefix(target.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
    };
    selector.rules.retain(|rule| !is_void(rule));
    selector.rules.push(CommandRule { allow, target });
}
