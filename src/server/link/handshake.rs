//! How a replica introduces itself, and what the other side lets it begin with.

use log::{info, warn};

use super::wire::{Problem, Wire};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::primary::StreamStart;
use crate::value::number::parse_i64;

/// Digits of a stream's name.
const NAME_LENGTH: usize = 40;

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// The stream, where we are in it, in this database; perhaps under another name.
    GoesOn {
        /// That name.
        name: Option<String>,
        /// The database.
        db: usize,
    },
    /// A snapshot first.
    Snapshot(StreamStart),
}

/// What we tell of ourselves.
struct Introduction {
    /// AUTH with its words, where the other side wants a password.
    authentication: Option<Vec<Vec<u8>>>,
    port: String,
    address: Vec<u8>,
}

impl Introduction {
    fn of(config: &Config) -> Self {
        let password = config.text("masterauth");
        let user = config.text("masteruser");
        let words = || {
            let words = [b"AUTH", user, password].into_iter();
            words.filter(|word| !word.is_empty()).map(<[u8]>::to_vec)
        };
        let port = match config.u64("replica-announce-port") {
            0 => config.u64("port"),
            port => port,
        };
        Self {
            authentication: (!password.is_empty()).then(|| words().collect()),
            port: port.to_string(),
            address: config.text("replica-announce-ip").to_vec(),
        }
    }
}

/// Introduces this server and asks for the stream.
pub(super) async fn greet(engine: &Engine, wire: &mut Wire) -> Result<Greeting, Problem> {
    let introduction = Introduction::of(&engine.services().config.read());
    let answer = wire.ask(&[b"PING"]).await?;
    let is_there = ["+", "-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
    if !is_there.iter().any(|begin| answer.starts_with(begin)) {
        return Err(Problem::Refused(format!(
            "Error reply to PING from master: '{answer}'"
        )));
    }
    info!("Master replied to PING, replication can continue...");
    if let Some(words) = &introduction.authentication {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let answer = wire.ask(&words).await?;
        if answer.starts_with('-') {
            return Err(Problem::Refused(format!(
                "Unable to AUTH to MASTER: {answer}"
            )));
        }
    }
    tell(
        wire,
        &[b"REPLCONF", b"listening-port", introduction.port.as_bytes()],
    )
    .await?;
    if !introduction.address.is_empty() {
        let words: [&[u8]; 3] = [b"REPLCONF", b"ip-address", &introduction.address];
        tell(wire, &words).await?;
    }
    let words: [&[u8]; 5] = [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"];
    tell(wire, &words).await?;
    ask_for_stream(engine, wire).await
}

/// Tells something that the other side need not understand.
async fn tell(wire: &mut Wire, words: &[&[u8]]) -> Result<(), Problem> {
    let answer = wire.ask(words).await?;
    if answer.starts_with('-') {
        warn!("(Non critical) Master does not understand REPLCONF: {answer}");
    }
    Ok(())
}

async fn ask_for_stream(engine: &Engine, wire: &mut Wire) -> Result<Greeting, Problem> {
    let services = engine.services();
    let resumable = services.primary.resumable();
    let figures = services.replicas.figures();
    let (name, byte) = match resumable {
        Some(_) => (figures.name, (figures.offset + 1).to_string()),
        None => ("?".to_owned(), "-1".to_owned()),
    };
    info!("Trying a partial resynchronization (request {name}:{byte}).");
    let words: [&[u8]; 3] = [b"PSYNC", name.as_bytes(), byte.as_bytes()];
    let answer = wire.ask(&words).await?;
    parse_answer(&answer, resumable).ok_or_else(|| {
        Problem::Refused(format!(
            "MASTER is currently unable to PSYNC but should be in the future: {answer}"
        ))
    })
}

fn parse_answer(answer: &str, resumable: Option<usize>) -> Option<Greeting> {
    let is_name = |name: &&str| {
        name.len() == NAME_LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let mut words = answer.split(' ');
    match (words.next()?, words.next(), words.next(), words.next()) {
        ("+CONTINUE", name, None, None) => Some(Greeting::GoesOn {
            name: name.filter(is_name).map(str::to_owned),
            db: resumable?,
        }),
        ("+FULLRESYNC", Some(name), Some(offset), None) if is_name(&name) => {
            let offset = u64::try_from(parse_i64(offset.as_bytes())?).ok()?;
            let name = name.to_owned();
            Some(Greeting::Snapshot(StreamStart { name, offset }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_side_may_answer() {
        let name = "0123456789abcdef0123456789abcdef01234567";
        let full = format!("+FULLRESYNC {name} 17");
        let start = StreamStart {
            name: name.to_owned(),
            offset: 17,
        };
        assert_eq!(parse_answer(&full, None), Some(Greeting::Snapshot(start)));
        let goes_on = |name: Option<&str>| {
            Some(Greeting::GoesOn {
                name: name.map(str::to_owned),
                db: 3,
            })
        };
        assert_eq!(parse_answer("+CONTINUE", Some(3)), goes_on(None));
        let renamed = format!("+CONTINUE {name}");
        assert_eq!(parse_answer(&renamed, Some(3)), goes_on(Some(name)));
        for rubbish in [
            "+CONTINUE",
            "+FULLRESYNC",
            "+FULLRESYNC abc 1",
            &format!("+FULLRESYNC {name} -1"),
            &format!("+FULLRESYNC {name} 1 2"),
            "-LOADING Redis is loading",
            "+OK",
            "",
        ] {
            assert_eq!(parse_answer(rubbish, None), None, "{rubbish}");
        }
    }
}
