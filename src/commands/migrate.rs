//! MIGRATE: keys go to another server. Here is what is asked for and what is sent; the engine talks to the other server.

use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::rdb;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    arguments: "host:string port:integer key_or_empty_string:oneof{key:key#0 empty_string:pure-token=\"\"} destination-db:integer timeout:integer copy:pure-token=COPY?@3.0.0 replace:pure-token=REPLACE?@3.0.0 authentication:oneof?{password:string=AUTH?@4.0.7 username_password:block=AUTH2?@6.0.0{username:string password:string}} key:key#1=KEYS?*@3.0.6",
    acl: "keyspace write slow dangerous",
    keys: &[
        KeySpec {
            begin: Begin::Index(3),
            ..one_key("RW access delete")
        },
        KeySpec {
            begin: Begin::Keyword("KEYS", -2),
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 0,
            },
            ..one_key("RW access delete incomplete")
        },
    ],
    find_keys: Some(find_keys),
    group: "generic",
    since: "2.6.0",
    summary: "Atomically transfer a key from a Redis instance to another one.",
    complexity: "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.",
    tips: "nondeterministic_output",
    history: &[
        ("3.0.0", "Added the `COPY` and `REPLACE` options."),
        ("3.0.6", "Added the `KEYS` option."),
        ("4.0.7", "Added the `AUTH` option."),
        ("6.0.0", "Added the `AUTH2` option."),
    ],
    ..CommandSpec::new("migrate", -6, Flags::WRITE.and(Flags::MOVABLEKEYS), migrate)
}];

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The other server.
    pub host: Vec<u8>,
    /// Its port, as it was given.
    pub port: Vec<u8>,
    /// The database there.
    pub db: i64,
    /// For each wait.
    pub timeout_ms: u64,
    /// The keys stay here too.
    pub copy: bool,
    /// Keys that are there are replaced.
    pub replace: bool,
    /// User, if one was named, and password.
    pub authentication: Option<Vec<Vec<u8>>>,
    /// What is sent.
    pub keys: Vec<MovedKey>,
}

/// A key that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedKey {
    /// The key.
    pub name: Vec<u8>,
    /// Milliseconds that it has left; 0: it lives for ever.
    pub ttl_ms: i64,
    /// Its value, as DUMP gives it.
    pub payload: Vec<u8>,
}

/// The options behind the fixed words.
#[derive(Debug, Default)]
struct Options<'a> {
    copy: bool,
    replace: bool,
    authentication: Option<&'a [&'a [u8]]>,
    keys: Option<&'a [&'a [u8]]>,
}

impl<'a> Options<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = args.get(6..).unwrap_or_default();
        while let Some((word, behind)) = rest.split_first() {
            rest = behind;
            match word.to_ascii_lowercase().as_slice() {
                b"copy" => options.copy = true,
                b"replace" => options.replace = true,
                word @ (b"auth" | b"auth2") => {
                    let (credentials, behind) = behind
                        .split_at_checked(if word == b"auth" { 1 } else { 2 })
                        .ok_or(CommandError::Syntax)?;
                    options.authentication = Some(credentials);
                    rest = behind;
                }
                b"keys" => {
                    if args.get(3).is_none_or(|key| !key.is_empty()) {
                        return Err(CommandError::text(
                            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                        ));
                    }
                    options.keys = Some(behind);
                    rest = &[];
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(options)
    }
}

/// The third word, or what stands behind KEYS where it is an option, if it stands anywhere before the last word.
fn find_keys(args: &[&[u8]], visit: &mut dyn FnMut(usize, &'static str)) -> bool {
    const FLAGS: &str = "RW access delete";
    let before_last = args
        .get(2..args.len().saturating_sub(1))
        .unwrap_or_default();
    if !before_last
        .iter()
        .any(|word| word.eq_ignore_ascii_case(b"keys"))
    {
        visit(3, FLAGS);
        return false;
    }
    let mut at = 6;
    while let Some(word) = args.get(at) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"auth" => 2,
            b"auth2" => 3,
            b"keys" => {
                // Where the third word is a key as well, none of them is one.
                if args.get(3).is_some_and(|key| key.is_empty()) {
                    (at + 1..args.len()).for_each(|at| visit(at, FLAGS));
                }
                return false;
            }
            _ => 1,
        };
    }
    visit(3, FLAGS);
    false
}

fn migrate(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let options = Options::parse(args)?;
    let (timeout, db) = (ctx.int(5)?, ctx.int(4)?);
    let timeout_ms = u64::try_from(timeout).ok().filter(|ms| *ms > 0);
    let single = args.get(3..4).unwrap_or_default();
    let compress = ctx.services.config.read().bool("rdbcompression");
    let mut keys = Vec::new();
    for key in options.keys.unwrap_or(single) {
        let now_ms = ctx.txn.now_ms();
        if let Some(entry) = ctx.txn.read(key) {
            keys.push(MovedKey {
                name: key.to_vec(),
                ttl_ms: entry.expires_at_ms().map_or(0, |at| (at - now_ms).max(1)),
                payload: rdb::dump(entry.value(), compress),
            });
        }
    }
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Outcome::Done);
    }
    let own = |at: usize| args.get(at).map(|word| word.to_vec()).unwrap_or_default();
    let credentials = options.authentication;
    Ok(Outcome::Migrate(Box::new(Migration {
        host: own(1),
        port: own(2),
        db,
        timeout_ms: timeout_ms.unwrap_or(1000),
        copy: options.copy,
        replace: options.replace,
        authentication: credentials.map(|words| words.iter().map(|word| word.to_vec()).collect()),
        keys,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Harness, shown};

    #[test]
    fn what_is_wrong_is_refused_and_what_is_missing_is_told() {
        let mut h = Harness::new();
        h.run("SET k v");
        let keys =
            "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
        for (line, expected) in [
            (
                "MIGRATE host 1 k x 100",
                "-ERR value is not an integer or out of range",
            ),
            (
                "MIGRATE host 1 k 0 x",
                "-ERR value is not an integer or out of range",
            ),
            ("MIGRATE host 1 k 0 100 foo", "-ERR syntax error"),
            ("MIGRATE host 1 k 0 100 AUTH", "-ERR syntax error"),
            ("MIGRATE host 1 k 0 100 AUTH2 a", "-ERR syntax error"),
            ("MIGRATE host 1 k 0 100 KEYS a b", keys),
            ("MIGRATE host 1 nokey 0 100", "+NOKEY"),
            ("MIGRATE host 1 \"\" 0 100 KEYS nokey other", "+NOKEY"),
        ] {
            assert_eq!(shown(&h.run(line)), expected, "{line}");
        }
    }

    #[test]
    fn what_is_there_is_sent() {
        let mut h = Harness::new();
        h.run("SET a 1");
        h.run("SET b 2 PX 70");
        h.run("MIGRATE host 7 \"\" 3 0 COPY AUTH2 me secret REPLACE KEYS a nokey b");
        let Some(Outcome::Migrate(migration)) = h.outcome.take() else {
            panic!("{:?}", h.outcome);
        };
        assert!(migration.copy && migration.replace);
        assert_eq!((migration.db, migration.timeout_ms), (3, 1000));
        let credentials = vec![b"me".to_vec(), b"secret".to_vec()];
        assert_eq!(migration.authentication, Some(credentials));
        let sent: Vec<_> = migration
            .keys
            .iter()
            .map(|key| (&*key.name, key.ttl_ms))
            .collect();
        assert_eq!(sent, [(&b"a"[..], 0), (b"b", 70)]);
    }
}
