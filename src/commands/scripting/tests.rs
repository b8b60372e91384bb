//! Scripts through the commands that reach them: EVAL, FCALL, SCRIPT and FUNCTION.

use super::*;
use crate::commands::testing::Harness;
use crate::commands::{Mode, call, lookup};
use crate::reply::{Response, ResponseReply};

fn error(text: &str) -> Response {
    Response::Error(text.to_owned())
}

fn bulk(text: &str) -> Response {
    Response::Bulk(text.as_bytes().to_vec())
}

fn with_script(script: Script) -> Harness {
    let harness = Harness::new();
    let registered = harness.services.scripts.register(script);
    registered.expect("the name is free");
    harness
}

/// A script that calls what its arguments say.
fn caller() -> Script {
    Script::new("app.call", |context| context.call(context.args()))
}

#[test]
fn numbers_of_keys_are_judged_as_redis_does() {
    let mut harness = Harness::new();
    let negative = error("ERR Number of keys can't be negative");
    let too_many = error("ERR Number of keys can't be greater than number of args");
    let no_number = error("ERR value is not an integer or out of range");
    assert_eq!(harness.run("EVAL x x"), no_number);
    assert_eq!(harness.run("EVAL x -1"), negative);
    assert_eq!(harness.run("EVAL x 2 a"), too_many);
    let unknown = error("NOSCRIPT No matching script. Please use EVAL.");
    assert_eq!(harness.run("EVALSHA abc x"), unknown);
    let zeros = "0".repeat(40);
    assert_eq!(harness.run(&format!("EVALSHA {zeros} x")), no_number);
    assert_eq!(harness.run(&format!("EVALSHA {zeros} 0")), unknown);
    assert_eq!(harness.run("FCALL nope x"), error("ERR Function not found"));
    let name = "innkeep.dedup.first";
    assert_eq!(
        harness.run(&format!("FCALL {name} x")),
        error("ERR Bad number of keys provided")
    );
    assert_eq!(harness.run(&format!("FCALL {name} -1")), negative);
    assert_eq!(harness.run(&format!("FCALL {name} 2 a")), too_many);
}

#[test]
fn one_script_answers_to_name_and_source() {
    let source = "return redis.call('set', KEYS[1], ARGV[1])";
    let script = Script::new("app.set", |context| {
        context.call(&[b"SET", context.key(0)?, context.arg(0, "the value")?])
    });
    let mut harness = with_script(script.lua_source(source));
    let ok = Response::Simple("OK".into());
    assert_eq!(harness.run("EVAL app.set 1 k 1"), ok);
    assert_eq!(harness.effects(), ["SET k 1"]);
    assert_eq!(harness.run("FCALL app.set 1 k 2"), ok);
    assert_eq!(
        harness.run_words(&[b"EVAL", source.as_bytes(), b"1", b"k", b"3"]),
        ok
    );
    for body in [source, "app.set"] {
        let loaded = harness.run_words(&[b"SCRIPT", b"LOAD", body.as_bytes()]);
        let Response::Bulk(digits) = loaded else {
            panic!("{loaded:?}");
        };
        assert_eq!(
            digits,
            sha1_smol::Sha1::from(body).digest().to_string().as_bytes()
        );
        assert_eq!(
            harness.run_words(&[b"EVALSHA", &digits, b"1", b"k", b"4"]),
            ok
        );
        assert_eq!(
            harness.run_words(&[b"SCRIPT", b"EXISTS", &digits, b"x"]),
            Response::Array(vec![Response::Int(1), Response::Int(0)])
        );
    }
    assert_eq!(harness.run("GET k"), bulk("4"));
    assert_eq!(
        harness.run("EVAL app.set 1 k"),
        error("ERR ARGV[1], the value, is missing")
    );
    assert_eq!(
        harness.run("EVAL app.set 0"),
        error("ERR this script needs 1 keys, 0 are given")
    );
}

#[test]
fn what_scripts_may_not_call() {
    let mut harness = with_script(caller());
    let run = |harness: &mut Harness, line: &str| harness.run(&format!("EVAL app.call 0 {line}"));
    assert_eq!(
        run(&mut harness, "MULTI"),
        error("ERR This Redis command is not allowed from script")
    );
    assert_eq!(
        run(&mut harness, "nope"),
        error("ERR Unknown Redis command called from script")
    );
    assert_eq!(
        run(&mut harness, "CLIENT FOO"),
        error("ERR Unknown Redis command called from script")
    );
    assert_eq!(
        run(&mut harness, "GET"),
        error("ERR Wrong number of args calling Redis command from script")
    );
    assert_eq!(
        harness.run("EVAL app.call 0"),
        error("ERR Please specify at least one argument for this redis lib call")
    );
    harness.run("SET s x");
    assert_eq!(
        run(&mut harness, "HSET s f y"),
        error("WRONGTYPE Operation against a key holding the wrong kind of value")
    );
    for line in ["SET s y", "PUBLISH c m"] {
        assert_eq!(
            harness.run(&format!("EVAL_RO app.call 0 {line}")),
            error("ERR Write commands are not allowed from read-only scripts.")
        );
    }
    assert_eq!(harness.run("EVAL_RO app.call 1 s GET s"), bulk("x"));
    assert_eq!(
        harness.run("FCALL_RO app.call 1 s GET s"),
        error("ERR Can not execute a script with write flag using *_ro command.")
    );
    assert_eq!(run(&mut harness, "PUBLISH c m"), Response::Int(0));
}

#[test]
fn a_script_selects_a_database_for_itself() {
    let mut harness = with_script(Script::new("app.other", |context| {
        context.call(&[b"SELECT", b"1"])?;
        context.call(&[b"SET", context.key(0)?, b"x"])
    }));
    harness.run("EVAL app.other 1 k");
    assert_eq!(harness.session.db, 0);
    assert_eq!(harness.run("GET k"), Response::Null);
    harness.run("SELECT 1");
    assert_eq!(harness.run("GET k"), bulk("x"));
}

#[test]
fn only_declared_keys_are_touched() {
    use crate::commands::spec::Flags;
    use crate::keyspace::txn::{Journal, TxnOptions};
    let mut harness = with_script(caller());
    assert!(lookup(&[b"eval"]).is_ok_and(|command| command.spec.flags.has(Flags::MAY_WRITE)));
    let args: [&[u8]; 5] = [b"EVAL", b"app.call", b"0", b"GET", b"far"];
    for args in [&args[..], &[&args[..3], &[b"KEYS", b"*"]].concat()] {
        let mut reply = ResponseReply::new(false);
        let (keyspace, journal) = (&harness.keyspace, Journal::default());
        let mut txn = keyspace.begin(0, 0, TxnOptions::default(), journal);
        let result = call(&mut Context {
            txn: &mut txn,
            args,
            reply: &mut reply,
            session: &mut harness.session,
            services: &harness.services,
            command: lookup(args).expect("EVAL is a command"),
            mode: Mode::default(),
        });
        assert_eq!(
            result,
            Err(CommandError::text(
                "ERR a native script may only touch the keys that its call declares"
            ))
        );
    }
}

#[test]
fn a_panic_is_an_error() {
    let mut harness = with_script(Script::new("app.bad", |context| {
        context.call(&[b"SET", context.key(0)?, b"x"])?;
        panic!("a mistake of the application")
    }));
    assert_eq!(
        harness.run("EVAL app.bad 1 k"),
        error("ERR the native script 'app.bad' panicked")
    );
    assert_eq!(harness.effects(), ["SET k x"]);
    assert_eq!(harness.run("GET k"), bulk("x"));
}

#[test]
fn containers_answer_as_redis_does() {
    let mut harness = Harness::new();
    let ok = Response::Simple("OK".into());
    for (line, answer) in [
        ("SCRIPT FLUSH", ok.clone()),
        ("SCRIPT FLUSH ASYNC", ok.clone()),
        (
            "SCRIPT FLUSH foo",
            error("ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        ),
        (
            "SCRIPT KILL",
            error("NOTBUSY No scripts in execution right now."),
        ),
        ("SCRIPT DEBUG no", ok.clone()),
        ("SCRIPT DEBUG x", error("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
        ("FUNCTION FLUSH", ok.clone()),
        (
            "FUNCTION FLUSH x",
            error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ),
        (
            "FUNCTION FLUSH ASYNC x",
            error(
                "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.",
            ),
        ),
        ("FUNCTION DELETE x", error("ERR Library not found")),
        (
            "FUNCTION KILL",
            error("NOTBUSY No scripts in execution right now."),
        ),
        (
            "FUNCTION RESTORE x",
            error("ERR DUMP payload version or checksum are wrong"),
        ),
        (
            "FUNCTION RESTORE x y",
            error(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ),
        ),
        ("FUNCTION LIST foo", error("ERR Unknown argument foo")),
        (
            "FUNCTION LIST LIBRARYNAME",
            error("ERR library name argument was not given"),
        ),
        ("FUNCTION LIST LIBRARYNAME other", Response::Array(vec![])),
    ] {
        assert_eq!(harness.run(line), answer, "{line}");
    }
    let Response::Bulk(dump) = harness.run("FUNCTION DUMP") else {
        panic!("FUNCTION DUMP answers a string");
    };
    assert_eq!(
        harness.run_words(&[b"FUNCTION", b"RESTORE", &dump, b"FLUSH"]),
        ok
    );
}

#[test]
fn the_native_library_is_listed_by_its_name_only() {
    let mut harness = with_script(caller().read_only());
    harness.session.resp3 = true;
    assert_eq!(harness.run("FUNCTION LIST"), Response::Array(vec![]));
    let listed = harness.run("FUNCTION LIST LIBRARYNAME innkeep WITHCODE");
    let Response::Array(libraries) = listed else {
        panic!("{listed:?}");
    };
    let Some(Response::Map(library)) = libraries.first() else {
        panic!("{libraries:?}");
    };
    assert_eq!(library[0].1, bulk("innkeep"));
    assert_eq!(library[3], (bulk("library_code"), Response::Null));
    let Response::Array(functions) = &library[2].1 else {
        panic!("{library:?}");
    };
    assert_eq!(functions.len(), harness.services.scripts.list().len());
    assert_eq!(
        functions.last(),
        Some(&Response::Map(vec![
            (bulk("name"), bulk("app.call")),
            (bulk("description"), Response::Null),
            (
                bulk("flags"),
                Response::Set(vec![Response::Simple("no-writes".into())])
            ),
        ]))
    );
}

#[test]
fn what_a_script_says_of_its_writes() {
    let mut harness = Harness::new();
    let reads = b"#!lua flags=no-writes\nreturn 1".as_slice();
    harness.run_words(&[b"SCRIPT", b"LOAD", reads]);
    let sha1 = hex(&sha1_of(reads));
    for (words, expected) in [
        (["eval", "#!lua flags=no-writes\nreturn 1"], false),
        (["eval", "#!lua\nreturn 1"], true),
        (["eval", "return 1"], true),
        (["eval", "#!lua flags=nonsense\nreturn 1"], true),
        (["eval_ro", "return 1"], false),
        (
            ["evalsha", "ffffffffffffffffffffffffffffffffffffffff"],
            true,
        ),
        (["fcall", "nobody"], true),
        (["fcall_ro", "nobody"], false),
    ] {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let spec = lookup(&args).expect("these commands exist").spec;
        assert_eq!(
            script_may_write(&harness.services, spec, &args),
            expected,
            "{words:?}"
        );
    }
    let args = [b"evalsha".as_slice(), sha1.as_bytes()];
    let spec = lookup(&args).expect("EVALSHA exists").spec;
    assert!(!script_may_write(&harness.services, spec, &args));
}
