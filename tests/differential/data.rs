//! Compares all that two servers hold: each database's keys, and of each key its type, encoding, content, time to live and
//! digest; and the digest of everything.

use crate::grammar::{Command, Compare};
use crate::pair::{OBSERVER, Outcome, Pair, because};
use innkeep_test_server::wire::Wire;

/// How far apart two expiries may be, in milliseconds: the two servers have set them one after the other.
const TOLERANCE: i64 = 20_000;

const DATABASES: usize = 3;

pub(crate) fn compare(pair: &mut Pair, with_streams: bool) -> Outcome {
    for database in 0..DATABASES {
        let database = database.to_string();
        pair.same(
            OBSERVER,
            &Command::new(&["SELECT", &database], Compare::Exact),
        )?;
        let keys = pair.same(OBSERVER, &Command::new(&["KEYS", "*"], Compare::Unordered))?;
        for key in keys.items() {
            one_key(pair, key.bytes(), with_streams)
                .map_err(|what| format!("the data of database {database} differs: {what}"))?;
        }
    }
    pair.same(OBSERVER, &Command::new(&["SELECT", "0"], Compare::Exact))?;
    let digest = Command::new(&["DEBUG", "DIGEST"], Compare::Exact);
    pair.same(OBSERVER, &digest)?;
    let [ours, theirs] = [&pair.ours, &pair.theirs].map(|side| {
        let mut wire = Wire::new(side.neighbour.connect()?);
        wire.ask(&["DEBUG", "DIGEST"])
    });
    let (ours, theirs) = (
        ours.map_err(|error| because(&error))?,
        theirs.map_err(|error| because(&error))?,
    );
    if ours == theirs {
        return Ok(());
    }
    Err(format!(
        "the data of the neighbours differs\n  ours:   {ours:?}\n  theirs: {theirs:?}"
    ))
}

fn one_key(pair: &mut Pair, key: &[u8], with_streams: bool) -> Outcome {
    let about = |before: &[&str], after: &[&str], compare: Compare| {
        let mut command = Command::new(before, compare);
        command.arguments.push(key.to_vec());
        command
            .arguments
            .extend(after.iter().map(|word| word.as_bytes().to_vec()));
        command
    };
    let kind = pair.same(OBSERVER, &about(&["TYPE"], &[], Compare::Exact))?;
    pair.same(
        OBSERVER,
        &about(&["OBJECT", "ENCODING"], &[], Compare::Exact),
    )?;
    pair.same(OBSERVER, &about(&["PTTL"], &[], Compare::Near(TOLERANCE)))?;
    let content = match kind.bytes() {
        b"string" => about(&["GET"], &[], Compare::Exact),
        b"list" => about(&["LRANGE"], &["0", "-1"], Compare::Exact),
        b"set" => about(&["SMEMBERS"], &[], Compare::Unordered),
        b"hash" => about(&["HGETALL"], &[], Compare::UnorderedPairs),
        b"stream" if !with_streams => about(&["XRANGE"], &["-", "+"], Compare::Exact),
        b"stream" => about(
            &["XINFO", "STREAM"],
            &["FULL", "COUNT", "0"],
            Compare::Clocked(TOLERANCE),
        ),
        b"zset" => about(&["ZRANGE"], &["0", "-1", "WITHSCORES"], Compare::Exact),
        other => return Err(format!("a key of type {}", other.escape_ascii())),
    };
    pair.same(OBSERVER, &content)?;
    let digest = about(&["DEBUG", "DIGEST-VALUE"], &[], Compare::Exact);
    pair.same(OBSERVER, &digest).map(drop)
}
