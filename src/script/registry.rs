//! Which script a body, a SHA1 or a function name means. It knows scripts, and nothing of how they are called.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::{Script, builtin};

/// The SHA1 of a script's body.
pub type Sha1 = [u8; 20];

/// The SHA1 of a body, as EVALSHA names it.
#[must_use]
pub fn sha1_of(body: &[u8]) -> Sha1 {
    sha1_smol::Sha1::from(body).digest().bytes()
}

/// Why a script was not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is empty.
    NoName,
    /// Another script has this name, or stands for this Lua source.
    Taken(String),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("a script needs a name"),
            Self::Taken(body) => write!(
                f,
                "another script has the name or the Lua source {body:?}: choose another name, or leave this source out"
            ),
        }
    }
}

impl std::error::Error for RegisterError {}

/// The scripts of an engine, the built-in ones and those of the application.
#[derive(Debug)]
pub struct Registry {
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// In order of registration.
    scripts: Vec<Arc<Script>>,
    by_name: HashMap<Box<[u8]>, Arc<Script>>,
    /// Names and Lua sources.
    by_body: HashMap<Box<[u8]>, Arc<Script>>,
    by_sha1: HashMap<Sha1, Arc<Script>>,
}

impl Default for Registry {
    /// The built-in scripts.
    fn default() -> Self {
        let registry = Self {
            index: RwLock::default(),
        };
        for script in builtin::scripts() {
            registry
                .register(script)
                .expect("the built-in scripts differ in names and sources");
        }
        registry
    }
}

impl Registry {
    /// Adds a script. It stays as long as the engine: SCRIPT FLUSH does not remove what is part of the program.
    ///
    /// # Errors
    ///
    /// It has no name, or its name or one of its sources is taken.
    pub fn register(&self, script: Script) -> Result<(), RegisterError> {
        if script.name().is_empty() {
            return Err(RegisterError::NoName);
        }
        let mut index = self.index.write();
        if let Some(body) = script
            .bodies()
            .find(|body| index.by_body.contains_key(body.as_bytes()))
        {
            return Err(RegisterError::Taken(body.to_owned()));
        }
        let script = Arc::new(script);
        for body in script.bodies().map(str::as_bytes) {
            index.by_body.insert(body.into(), Arc::clone(&script));
            index.by_sha1.insert(sha1_of(body), Arc::clone(&script));
        }
        let name = script.name().as_bytes().into();
        index.by_name.insert(name, Arc::clone(&script));
        index.scripts.push(script);
        Ok(())
    }

    /// The script that a body of EVAL means: its name, or a Lua source that it stands for.
    #[must_use]
    pub fn by_body(&self, body: &[u8]) -> Option<Arc<Script>> {
        self.index.read().by_body.get(body).cloned()
    }

    /// The script of a SHA1.
    #[must_use]
    pub fn by_sha1(&self, sha1: &Sha1) -> Option<Arc<Script>> {
        self.index.read().by_sha1.get(sha1).cloned()
    }

    /// The script of this name.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<Arc<Script>> {
        self.index.read().by_name.get(name).cloned()
    }

    /// All of them, in order of registration.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Script>> {
        self.index.read().scripts.clone()
    }
}

/// A SHA1 in hexadecimal digits of either case.
#[must_use]
pub fn parse_sha1(digits: &[u8]) -> Option<Sha1> {
    let digits: &[u8; 40] = digits.try_into().ok()?;
    let mut sha1 = [0; 20];
    let mut wrong = 0;
    for (byte, [high, low]) in sha1.iter_mut().zip(digits.as_chunks().0) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        wrong |= high | low;
        *byte = high << 4 | low;
    }
    (wrong & NO_DIGIT == 0).then_some(sha1)
}

const NO_DIGIT: u8 = 0x80;

/// What each byte is worth as a hexadecimal digit.
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Response;

    fn script(name: &'static str) -> Script {
        Script::new(name, |_| Ok(Response::Null))
    }

    #[test]
    fn a_script_is_found_by_every_name_it_has() {
        let registry = Registry::default();
        let source = "return redis.status_reply('OK')";
        registry
            .register(script("app.check").lua_source(source))
            .expect("the name is free");
        let name = |found: Option<Arc<Script>>| found.map(|script| script.name().to_owned());
        let expected = Some("app.check".to_owned());
        assert_eq!(name(registry.by_name(b"app.check")), expected);
        assert_eq!(name(registry.by_body(b"app.check")), expected);
        assert_eq!(name(registry.by_body(source.as_bytes())), expected);
        assert_eq!(registry.by_name(source.as_bytes()).map(|_| ()), None);
        for body in ["app.check", source] {
            let sha1 = sha1_of(body.as_bytes());
            assert_eq!(name(registry.by_sha1(&sha1)), expected);
            let digits = sha1_smol::Sha1::from(body).digest().to_string();
            for digits in [digits.to_uppercase(), digits] {
                assert_eq!(parse_sha1(digits.as_bytes()), Some(sha1));
            }
        }
        assert_eq!(name(registry.by_sha1(&[0; 20])), None);
        for wrong in [&b""[..], b"abc", &[b'g'; 40], &[b'0'; 41], &[0xff; 41]] {
            assert_eq!(parse_sha1(wrong), None);
        }
    }

    #[test]
    fn names_and_sources_are_unique() {
        let registry = Registry::default();
        assert_eq!(registry.register(script("")), Err(RegisterError::NoName));
        registry
            .register(script("a").lua_source("return 1"))
            .expect("free");
        for clash in [script("a"), script("b").lua_source("return 1")] {
            assert!(matches!(
                registry.register(clash),
                Err(RegisterError::Taken(_))
            ));
        }
        assert!(registry.by_name(b"b").is_none());
    }
}
