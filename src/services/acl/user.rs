//! A user and its rights. Commands are numbers here: the places of their entries in the command table.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use super::pattern::{Access, KeyPattern};
use crate::value::glob::matches;
use crate::value::lossless;

/// Somebody who may log in. Sessions share it, so a change of its rights holds for them at once.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: Box<[u8]>,
    /// Whether nothing is forbidden: all that is looked at for such a user.
    unrestricted: AtomicBool,
    rights: RwLock<Arc<Rights>>,
}

impl User {
    /// A user with these rights.
    #[must_use]
    pub fn new(name: &[u8], rights: Rights) -> Self {
        Self {
            name: name.into(),
            unrestricted: AtomicBool::new(rights.allow_everything()),
            rights: RwLock::new(Arc::new(rights)),
        }
    }

    /// Whether nothing is forbidden.
    #[inline]
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Ordering::Acquire)
    }

    /// Its rights as they are now.
    #[must_use]
    pub fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.rights.read())
    }

    /// Changes its rights.
    pub fn set_rights(&self, rights: Rights) {
        let mut place = self.rights.write();
        self.unrestricted
            .store(rights.allow_everything(), Ordering::Release);
        *place = Arc::new(rights);
    }

    /// The name as text.
    #[must_use]
    pub fn display_name(&self) -> String {
        lossless::text(&self.name).into_owned()
    }
}

/// Who is inside of the process: called as everybody is, and free to do everything.
impl Default for User {
    fn default() -> Self {
        Self::new(super::DEFAULT_USER, Rights::everything())
    }
}

/// SHA-256 of a password in hexadecimal digits; all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash of a password.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        let mut digits = String::with_capacity(64);
        for byte in Sha256::digest(password) {
            write!(digits, "{byte:02x}").expect("writing to a string does not fail");
        }
        Self(digits)
    }

    /// A hash that was given: 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let valid = digits.len() == 64
            && digits
                .iter()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let text = std::str::from_utf8(digits).ok().filter(|_| valid)?;
        Some(Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not tell how much is alike.
    fn is_same(&self, other: &Self) -> bool {
        let pairs = self.0.bytes().zip(other.0.bytes());
        pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

/// What a user may do, and how it proves who it is.
#[derive(Debug, Clone)]
pub struct Rights {
    /// `on`: it may log in.
    pub enabled: bool,
    /// `nopass`: any password will do.
    pub no_password: bool,
    /// `sanitize-payload` (true) or `skip-sanitize-payload` (false), if either was given.
    pub sanitize_payload: Option<bool>,
    /// Valid passwords.
    pub passwords: Vec<PasswordHash>,
    /// What holds for it outside of parentheses.
    pub root: Selector,
    /// What each pair of parentheses allows besides.
    pub selectors: Vec<Selector>,
}

impl Rights {
    /// A new user's: it may not even log in.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            enabled: false,
            no_password: false,
            sanitize_payload: None,
            passwords: Vec::new(),
            root: Selector::default(),
            selectors: Vec::new(),
        }
    }

    /// Those of the default user before anything was configured.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            enabled: true,
            no_password: true,
            root: Selector::everything(),
            ..Self::nothing()
        }
    }

    /// What stands outside of parentheses, then what stands in each pair of them.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    fn allow_everything(&self) -> bool {
        self.all_selectors()
            .any(|selector| selector.all_commands && selector.all_keys && selector.all_channels)
    }

    /// `resetpass`.
    pub fn forget_passwords(&mut self) {
        self.no_password = false;
        self.passwords.clear();
    }

    /// Adds a password.
    pub fn add_password(&mut self, hash: PasswordHash) {
        self.no_password = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    /// Removes a password; false if it was none.
    pub fn remove_password(&mut self, hash: &PasswordHash) -> bool {
        let before = self.passwords.len();
        self.passwords.retain(|password| password != hash);
        self.passwords.len() < before
    }

    /// Whether this is one of its passwords.
    #[must_use]
    pub fn has_password(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        self.passwords
            .iter()
            .fold(false, |found, known| found | known.is_same(&hash))
    }

    /// Whether one selector allows to listen to this channel, or pattern of channels.
    #[must_use]
    pub fn allow_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors()
            .any(|selector| selector.allows_channel(channel, is_pattern))
    }
}

/// A rule about commands as it was given: `+get`, `-@write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRule {
    /// `+` or `-`.
    pub allow: bool,
    /// The rest, lower case.
    pub target: String,
}

/// What a set of rules allows: these commands with these keys and these channels.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// Every command is allowed.
    pub all_commands: bool,
    /// Commands that are yet to come are allowed: the rules begin with `+@all`.
    pub future_commands: bool,
    /// One bit a command.
    allowed: Vec<u64>,
    /// Commands that are not allowed but with these first arguments.
    first_arguments: HashMap<usize, Vec<Box<[u8]>>>,
    /// The rules that led here, as they are shown.
    pub rules: Vec<CommandRule>,
    /// `~*`.
    pub all_keys: bool,
    /// `~pattern`, `%R~pattern` …
    pub keys: Vec<KeyPattern>,
    /// `&*`.
    pub all_channels: bool,
    /// `&pattern`.
    pub channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// `~* &* +@all`.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            all_commands: true,
            future_commands: true,
            all_keys: true,
            all_channels: true,
            ..Self::default()
        }
    }

    /// `+@all` or `-@all`.
    pub fn set_all_commands(&mut self, allow: bool) {
        (self.all_commands, self.future_commands) = (allow, allow);
        self.allowed.clear();
        self.first_arguments.clear();
        self.rules.clear();
    }

    /// Allows or forbids one command of `count`.
    pub fn set_command(&mut self, command: usize, allow: bool, count: usize) {
        if self.all_commands {
            if allow {
                return;
            }
            self.all_commands = false;
            self.allowed = vec![u64::MAX; count.div_ceil(64)];
        }
        self.allowed.resize(count.div_ceil(64), 0);
        if let Some(word) = self.allowed.get_mut(command / 64) {
            let bit = 1 << (command % 64);
            *word = if allow { *word | bit } else { *word & !bit };
        }
        self.first_arguments.remove(&command);
    }

    /// Allows a command with this first argument.
    pub fn allow_first_argument(&mut self, command: usize, argument: &[u8]) {
        let arguments = self.first_arguments.entry(command).or_default();
        if !arguments
            .iter()
            .any(|known| known.eq_ignore_ascii_case(argument))
        {
            arguments.push(argument.into());
        }
    }

    /// Whether a command is allowed, whatever its arguments.
    #[must_use]
    pub fn has_command(&self, command: usize) -> bool {
        let word = self.allowed.get(command / 64).copied().unwrap_or_default();
        self.all_commands || word & (1 << (command % 64)) != 0
    }

    /// Whether [`Self::set_command`] would change anything.
    #[must_use]
    pub fn is_changed_by(&self, command: usize, allow: bool) -> bool {
        self.has_command(command) != allow || self.first_arguments.contains_key(&command)
    }

    /// Whether a command with this first argument is allowed.
    #[must_use]
    pub fn allows_command(&self, command: usize, first_argument: Option<&[u8]>) -> bool {
        if self.has_command(command) {
            return true;
        }
        let arguments = self.first_arguments.get(&command);
        arguments
            .zip(first_argument)
            .is_some_and(|(allowed, given)| {
                allowed
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(given))
            })
    }

    /// Whether this may be done with a key.
    #[must_use]
    pub fn allows_key(&self, key: &[u8], wanted: Access) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.allows(key, wanted))
    }

    /// Whether this may be done with every key there is.
    #[must_use]
    pub fn allows_all_keys(&self, wanted: Access) -> bool {
        let is_everything = |key: &KeyPattern| *key.pattern == *b"*" && key.access.covers(wanted);
        self.all_keys || self.keys.iter().any(is_everything)
    }

    /// Whether a channel may be used. A pattern has to stand among the allowed ones literally.
    #[must_use]
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|allowed| match is_pattern {
                true => **allowed == *channel,
                false => matches(allowed, channel, false),
            })
    }
}
