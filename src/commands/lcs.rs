//! LCS: what two strings have in common.

use super::spec::{CommandSpec, Flags, key_range};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::reply::Reply;
use crate::value::lcs::{self, Match};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    arguments: "key1:key#0 key2:key#0 len:pure-token=LEN? idx:pure-token=IDX? len:integer=MINMATCHLEN? withmatchlen:pure-token=WITHMATCHLEN?",
    acl: "read string slow",
    keys: &[key_range("RO access", 1, 1, 1)],
    group: "string",
    since: "7.0.0",
    summary: "Find longest common substring",
    complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
    ..CommandSpec::new("lcs", -3, Flags::READONLY, lcs)
}];

/// The options of LCS.
#[derive(Debug, Default)]
struct Options {
    length_only: bool,
    positions: bool,
    with_lengths: bool,
    shortest: usize,
}

impl Options {
    fn parse(context: &Context<'_, '_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut position = 3;
        while position < context.args.len() {
            if context.is(position, "idx") {
                options.positions = true;
            } else if context.is(position, "len") {
                options.length_only = true;
            } else if context.is(position, "withmatchlen") {
                options.with_lengths = true;
            } else if context.is(position, "minmatchlen") && position + 1 < context.args.len() {
                position += 1;
                options.shortest = usize::try_from(context.int(position)?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
            position += 1;
        }
        if options.length_only && options.positions {
            return Err(CommandError::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// A copy of the string at the word's key, so that both can be held at once; empty without a key.
fn string_at(context: &mut Context<'_, '_>, position: usize) -> Result<Vec<u8>, CommandError> {
    let text = context.txn.string(context.args[position]);
    let refused = |_| CommandError::text("ERR The specified keys must contain string values");
    let text = text.map_err(refused)?;
    Ok(text.map(|text| text.to_vec()).unwrap_or_default())
}

fn lcs(context: &mut Context<'_, '_>) -> CommandResult {
    // Both are looked up before either is judged.
    let (first, second) = (string_at(context, 1), string_at(context, 2));
    let (first, second) = (first?, second?);
    let options = Options::parse(context)?;
    let limit = context.txn.limits().max_string;
    if lcs::memory(first.len(), second.len()).is_none_or(|bytes| bytes > limit) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if options.length_only {
        context.reply.int(lcs::length(&first, &second) as i64);
        return Ok(Outcome::Done);
    }
    let matches = lcs::matches(&first, &second);
    if options.positions {
        answer_positions(context.reply, &matches, &options);
    } else {
        let stretches = matches.iter().rev();
        let parts: Vec<&[u8]> = stretches
            .map(|one| &first[one.first..one.first + one.len])
            .collect();
        context.reply.bulk(&parts.concat());
    }
    Ok(Outcome::Done)
}

fn answer_positions(reply: &mut dyn Reply, matches: &[Match], options: &Options) {
    let long_enough = |one: &&Match| one.len >= options.shortest;
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.iter().filter(long_enough).count());
    for one in matches.iter().filter(long_enough) {
        reply.array(2 + usize::from(options.with_lengths));
        for start in [one.first, one.second] {
            reply.array(2);
            reply.int(start as i64);
            reply.int((start + one.len - 1) as i64);
        }
        if options.with_lengths {
            reply.int(one.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(matches.iter().map(|one| one.len as i64).sum());
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn bulk(text: &str) -> Response {
        Response::Bulk(text.into())
    }

    fn ints(values: &[i64]) -> Response {
        Response::Array(values.iter().map(|value| Response::Int(*value)).collect())
    }

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    fn texts() -> Harness {
        let mut h = Harness::new();
        h.run("MSET a ohmytext b mynewtext");
        h
    }

    #[test]
    fn answers_the_text_or_its_length() {
        let mut h = texts();
        assert_eq!(h.run("LCS a b"), bulk("mytext"));
        assert_eq!(h.run("LCS a b WITHMATCHLEN MINMATCHLEN 9"), bulk("mytext"));
        assert_eq!(h.run("LCS a b LEN"), Response::Int(6));
        assert_eq!(h.run("LCS a nokey LEN"), Response::Int(0));
        assert_eq!(h.run("LCS nokey a"), bulk(""));
        assert_eq!(h.events(), ["keymiss nokey"]);
    }

    #[test]
    fn answers_positions() {
        let mut h = texts();
        let long = Response::Array(vec![ints(&[4, 7]), ints(&[5, 8]), Response::Int(4)]);
        let short = Response::Array(vec![ints(&[2, 3]), ints(&[0, 1]), Response::Int(2)]);
        let answer = |matches: &[&Response]| {
            let matches = matches.iter().map(|one| (*one).clone()).collect();
            let matches = Response::Array(matches);
            Response::Array(vec![
                bulk("matches"),
                matches,
                bulk("len"),
                Response::Int(6),
            ])
        };
        assert_eq!(
            h.run("LCS a b IDX WITHMATCHLEN MINMATCHLEN -4"),
            answer(&[&long, &short])
        );
        assert_eq!(
            h.run("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN"),
            answer(&[&long])
        );
        assert_eq!(h.run("LCS a b IDX MINMATCHLEN 5"), answer(&[]));
    }

    #[test]
    fn judges_its_words() {
        let mut h = texts();
        for (line, answer) in [
            ("LCS a b bogus", "ERR syntax error"),
            ("LCS a b MINMATCHLEN", "ERR syntax error"),
            (
                "LCS a b MINMATCHLEN x",
                "ERR value is not an integer or out of range",
            ),
            (
                "LCS a b LEN IDX",
                "ERR If you want both the length and indexes, please just use IDX.",
            ),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
        }
        let long = "x".repeat(20_000);
        h.run(&format!("MSET a {long} b {long}"));
        assert_eq!(
            h.run("LCS a b LEN"),
            error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
        );
    }
}
