//! Native twins: Rust in the place of Lua that widespread libraries send. A twin is found by the source, byte for byte, that
//! clients load or send, and answers as that source does: its replies, its effects, what is counted and what MONITOR shows,
//! and its errors with the line that they come from. It calls commands through the same [`Host`] as Lua does. Where the
//! words are not as the library sends them, the Lua itself runs.
//!
//! The sources in `lua/` belong to their libraries (all under the MIT or ISC licence) and stand here as what is compared:
//! rate-limiter-flexible, rate-limit-redis, redlock, BullMQ, redis-py, and examples of redis-rs, ioredis and Redis's pages.

mod examples;
mod limits;
mod locks;
mod queues;

use std::sync::OnceLock;

use hashbrown::HashMap;

use super::lua::{Failure, Host};
use crate::reply::Response;

/// A source and the Rust that stands for it.
#[derive(Debug)]
pub struct Twin {
    /// What clients send.
    pub source: &'static str,
    /// How many keys and arguments the source looks at.
    least: (usize, usize),
    /// Whether the arguments are as the library sends them; it sees at least as many as `least` says.
    fits: fn(&[&[u8]]) -> bool,
    run: fn(&mut Calls<'_>) -> Result<Response, Failure>,
}

/// The twin of a body, if it has one.
#[must_use]
pub fn of(body: &[u8]) -> Option<&'static Twin> {
    static INDEX: OnceLock<HashMap<&'static [u8], &'static Twin>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let twins = all().map(|twin| (twin.source.as_bytes(), twin));
        twins.collect()
    });
    index.get(body).copied()
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Twin> {
    let families = [limits::TWINS, locks::TWINS, queues::TWINS, examples::TWINS];
    families.into_iter().flatten()
}

impl Twin {
    const fn new(
        source: &'static str,
        least: (usize, usize),
        run: fn(&mut Calls<'_>) -> Result<Response, Failure>,
    ) -> Self {
        Self {
            source,
            least,
            fits: |_| true,
            run,
        }
    }

    const fn only_if(mut self, fits: fn(&[&[u8]]) -> bool) -> Self {
        self.fits = fits;
        self
    }

    /// Whether it may run in the place of its source: it answers for these words, and touches no key but these.
    #[must_use]
    pub fn answers(&self, keys: &[&[u8]], args: &[&[u8]]) -> bool {
        keys.len() >= self.least.0 && args.len() >= self.least.1 && (self.fits)(args)
    }

    /// Runs it for words that it answers; `name` is the SHA1 of its source, as errors show it.
    ///
    /// # Errors
    ///
    /// What its source would raise.
    pub fn run(
        &self,
        name: &str,
        keys: &[&[u8]],
        args: &[&[u8]],
        host: &mut dyn Host,
    ) -> Result<Response, Failure> {
        let response = (self.run)(&mut Calls {
            name,
            keys,
            args,
            host,
        })?;
        Ok(as_lua_answers(response))
    }
}

/// A reply with numbers as Lua, whose numbers are doubles, gives them back.
fn as_lua_answers(response: Response) -> Response {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    match response {
        Response::Int(value) if value as f64 >= TOO_LARGE => Response::Int(i64::MIN),
        Response::Int(value) => Response::Int(value as f64 as i64),
        Response::Array(items) => Response::Array(items.into_iter().map(as_lua_answers).collect()),
        other => other,
    }
}

/// What a twin works with.
struct Calls<'a> {
    name: &'a str,
    keys: &'a [&'a [u8]],
    args: &'a [&'a [u8]],
    host: &'a mut dyn Host,
}

impl<'a> Calls<'a> {
    fn key(&self, index: usize) -> &'a [u8] {
        self.keys.get(index).copied().unwrap_or_default()
    }

    fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index).copied().unwrap_or_default()
    }

    /// An argument of decimal digits ([`is_short_number`]).
    fn number(&self, index: usize) -> i64 {
        let add = |sum: i64, digit: &u8| sum * 10 + i64::from(digit.saturating_sub(b'0'));
        self.arg(index).iter().fold(0, add)
    }

    /// `redis.pcall`.
    fn try_call(&mut self, words: &[&[u8]]) -> Response {
        self.host.call(words, false)
    }

    /// `redis.call` in this line of the source.
    fn call(&mut self, line: u32, words: &[&[u8]]) -> Result<Response, Failure> {
        match self.try_call(words) {
            Response::Error(text) => Err(self.raise(&text, line)),
            other => Ok(other),
        }
    }

    fn raise(&self, text: &str, line: u32) -> Failure {
        let (text, name) = (text.replace(['\r', '\n'], " "), self.name);
        Failure {
            text: format!("{text} script: {name}, on @user_script:{line}."),
            counted: true,
        }
    }

    /// A call that answers a number.
    fn int(&mut self, line: u32, words: &[&[u8]]) -> Result<i64, Failure> {
        match self.call(line, words)? {
            Response::Int(value) => Ok(value),
            _ => Err(self.raise("ERR a number was expected", line)),
        }
    }

    /// Whether a call answers this string.
    fn is(&mut self, line: u32, words: &[&[u8]], expected: &[u8]) -> Result<bool, Failure> {
        let answer = self.call(line, words)?;
        Ok(matches!(answer, Response::Bulk(text) if text == expected))
    }
}

/// Whether a word is a number as clients write it: decimal digits, so few that a double holds them.
fn is_short_number(word: &[u8]) -> bool {
    (1..=15).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

fn ints(values: &[i64]) -> Response {
    Response::Array(values.iter().copied().map(Response::Int).collect())
}
