//! `CONFIG SET`: all pairs are checked before one takes effect, and what took effect can be taken back. Knows the flags
//! of parameters, and no one who applies them.

use std::fmt;

use super::parameter::Parameter;
use super::value::{Refusal, Value};
use super::{Config, PARAMETERS, place_of};
use crate::value::lossless;

/// What decides whether flagged parameters may be changed now.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetContext {
    /// `enable-protected-configs` lets this client change protected parameters.
    pub allow_protected: bool,
    /// The data is being loaded.
    pub loading: bool,
}

/// One parameter that has another value than before.
#[derive(Debug, Clone)]
pub struct Change {
    pub parameter: &'static Parameter,
    /// The name that was given, lower case: the parameter's or its alias.
    pub name: &'static str,
    pub old: Value,
    place: usize,
}

/// What a `CONFIG SET` changed, in the order given, for the engine to apply. [`Config::roll_back`] takes it back.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    changes: Vec<Change>,
}

impl Changes {
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.changes.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether the parameter of this name (not an alias) changed.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.changes
            .iter()
            .any(|change| change.parameter.name == name)
    }

    /// The error for a change that could not be applied: it speaks of the name that the client gave.
    #[must_use]
    pub fn refuse(&self, name: &'static str, reason: impl Into<Refusal>) -> SetError {
        let given = self
            .changes
            .iter()
            .find(|change| change.parameter.name == name);
        SetError::Refused {
            name: given.map_or(name, |change| change.name).as_bytes().to_vec(),
            reason: reason.into(),
        }
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why `CONFIG SET` changed nothing. Displays as Redis's whole error, without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// A name without a value.
    Syntax,
    UnknownOption(Vec<u8>),
    Loading,
    Refused {
        name: Vec<u8>,
        reason: Refusal,
    },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::UnknownOption(name) => write!(
                f,
                "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                until_nul(name)
            ),
            Self::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
            Self::Refused { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{}') - {reason}",
                until_nul(name)
            ),
        }
    }
}

/// A name that a client has given, not past a NUL byte: there ends what Redis prints of it.
fn until_nul(name: &[u8]) -> std::borrow::Cow<'_, str> {
    lossless::text(c_string(name))
}

fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl std::error::Error for SetError {}

/// The words of a value that came as one text.
pub(super) fn words_of<'a>(parameter: &Parameter, text: &'a [u8]) -> Vec<&'a [u8]> {
    let word = |word: &'a [u8]| {
        if parameter.ends_at_nul() {
            c_string(word)
        } else {
            word
        }
    };
    if !parameter.takes_words() {
        return vec![word(text)];
    }
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|byte| *byte == b' ').map(word).collect()
}

impl Config {
    /// `CONFIG SET name value [name value …]`. Either all values are set, or none. What is left with its old value is
    /// not among the changes.
    ///
    /// # Errors
    ///
    /// The first refusal, in Redis's words. Names and flags are judged before any value is.
    pub fn set(&mut self, pairs: &[&[u8]], context: SetContext) -> Result<Changes, SetError> {
        let (pairs, odd) = pairs.as_chunks::<2>();
        if pairs.is_empty() || !odd.is_empty() {
            return Err(SetError::Syntax);
        }
        let mut places = Vec::with_capacity(pairs.len());
        for [name, _] in pairs {
            places.push(check_name(name, &places, context)?);
        }
        let mut changes = Changes::default();
        for ([given, text], (place, name)) in pairs.iter().zip(places) {
            let Some(parameter) = PARAMETERS.get(place) else {
                return Err(SetError::UnknownOption(given.to_vec()));
            };
            let Some(old) = self.values.get(place).cloned() else {
                return Err(SetError::UnknownOption(given.to_vec()));
            };
            if let Err(reason) = self.assign_words(place, &words_of(parameter, text)) {
                self.roll_back(&changes);
                let name = name.as_bytes().to_vec();
                return Err(SetError::Refused { name, reason });
            }
            if self.values.get(place) != Some(&old) {
                changes.changes.push(Change {
                    parameter,
                    name,
                    old,
                    place,
                });
            }
        }
        Ok(changes)
    }

    /// Takes back what [`Self::set`] did, where it could not be applied.
    pub fn roll_back(&mut self, changes: &Changes) {
        for change in changes.changes.iter().rev() {
            if let Some(value) = self.values.get_mut(change.place) {
                *value = change.old.clone();
            }
        }
    }
}

/// The place of a parameter that may be changed now, and its name as the table spells what was given.
fn check_name(
    given: &[u8],
    before: &[(usize, &'static str)],
    context: SetContext,
) -> Result<(usize, &'static str), SetError> {
    let unknown = || SetError::UnknownOption(given.to_vec());
    let refuse = |reason: &'static str| SetError::Refused {
        name: given.to_vec(),
        reason: reason.into(),
    };
    let place = place_of(given).ok_or_else(unknown)?;
    let parameter = PARAMETERS.get(place).ok_or_else(unknown)?;
    let name = match parameter.alias {
        Some(alias) if given.eq_ignore_ascii_case(alias.as_bytes()) => alias,
        _ => parameter.name,
    };
    if parameter.immutable {
        return Err(refuse("can't set immutable config"));
    }
    if parameter.protected && !context.allow_protected {
        return Err(refuse("can't set protected config"));
    }
    if parameter.denied_while_loading && context.loading {
        return Err(SetError::Loading);
    }
    // A parameter and its alias may stand beside each other: the later one holds.
    if before.iter().any(|(_, other)| *other == name) {
        return Err(refuse("duplicate parameter"));
    }
    Ok((place, name))
}
