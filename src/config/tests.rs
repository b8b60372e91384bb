//! The configuration as its users see it: values, files, arguments, rewrites. Expectations were asked of a real server;
//! knows nothing of engines.

use std::ffi::OsString;
use std::fs;

use proptest::prelude::*;

use super::*;

const OPEN: SetContext = SetContext {
    allow_protected: true,
    loading: false,
};

fn redis() -> Config {
    Config::new(Identity::RedisServer)
}

fn shown(config: &Config, name: &str) -> String {
    let found = config.matching(&[name.as_bytes()]);
    let (_, value) = found.first().expect("the parameter exists");
    String::from_utf8_lossy(value).into_owned()
}

/// The answer of `CONFIG SET`: what the value is then, or the error.
fn set(name: &str, value: &str) -> String {
    let mut config = redis();
    match config.set(&[name.as_bytes(), value.as_bytes()], OPEN) {
        Ok(_) => shown(&config, name),
        Err(error) => {
            let error = error.to_string();
            let prefix =
                format!("ERR CONFIG SET failed (possibly related to argument '{name}') - ");
            format!("! {}", error.strip_prefix(&prefix).unwrap_or(&error))
        }
    }
}

fn set_error(pairs: &[&str]) -> String {
    let pairs: Vec<&[u8]> = pairs.iter().map(|word| word.as_bytes()).collect();
    let error = redis().set(&pairs, SetContext::default());
    error.expect_err("the values are refused").to_string()
}

fn load(text: &str) -> Result<Config, String> {
    let mut config = redis();
    let loaded = config.load_text(text.as_bytes());
    loaded.map(|_| config).map_err(|error| error.to_string())
}

fn source(arguments: &[&str]) -> Source {
    let program = std::iter::once("redis-server");
    let arguments = program.chain(arguments.iter().copied()).map(OsString::from);
    match parse_arguments(arguments) {
        Invocation::Run(source) => source,
        other => panic!("no server is started but {other:?}"),
    }
}

fn run(arguments: &[&str]) -> Result<Config, String> {
    let loaded = source(arguments).load(&mut std::io::empty());
    loaded
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_valid() {
    assert!(PARAMETERS.is_sorted_by_key(|parameter| parameter.name));
    let names = PARAMETERS
        .iter()
        .flat_map(|parameter| std::iter::once(parameter.name).chain(parameter.alias));
    assert_eq!(names.count(), INDEX.places.len(), "no name stands twice");
    let config = redis();
    for parameter in PARAMETERS {
        let default = match parameter.kind {
            Kind::ReplicaOf => "",
            _ => parameter.default,
        };
        assert_eq!(shown(&config, parameter.name), default);
    }
    assert_eq!(shown(&Config::default(), "bind"), "127.0.0.1");
    assert_eq!(shown(&Config::default(), "appendonly"), "yes");
}

#[test]
fn every_parameter_takes_its_own_value_back() {
    let mut config = redis();
    for (name, value) in config.matching(&[b"*"]) {
        let parameter = find_parameter(&name).expect("what is listed is known");
        if !parameter.immutable {
            let changes = config.set(&[&name, &value], OPEN).expect(parameter.name);
            assert!(changes.is_empty(), "{}", parameter.name);
        }
    }
}

#[test]
fn typed_getters_agree_with_the_table() {
    let config = redis();
    assert_eq!(config.u64("maxclients"), 10_000);
    assert_eq!(config.i64("list-max-ziplist-size"), -2);
    assert_eq!(config.word("maxmemory-policy"), "noeviction");
    assert!(!config.bool("appendonly"));
    assert_eq!(config.text("dbfilename"), b"dump.rdb");
    assert_eq!(config.bind().len(), 2);
    assert_eq!(config.percentiles(), [50.0, 99.0, 99.9]);
    assert_eq!(config.replicaof(), None);
    assert_eq!(config.keyspace_events(), KeyspaceEvents::NONE);
    assert_eq!(config.output_buffer_limits().pubsub.soft_seconds, 60);
    assert_eq!(config.save_points().len(), 3);
    assert_eq!(config.usize("shards"), 64);
}

/// Name, value given, and what `CONFIG GET` shows then, or the refusal behind a `!`: asked of a real server.
const VALUES: &[(&str, &str, &str)] = &[
    ("appendonly", "YES", "yes"),
    ("appendonly", "1", "! argument must be 'yes' or 'no'"),
    (
        "maxclients",
        "0",
        "! argument must be between 1 and 4294967295 inclusive",
    ),
    (
        "maxclients",
        "x",
        "! argument couldn't be parsed into an integer",
    ),
    ("hz", "05", "! argument couldn't be parsed into an integer"),
    ("hz", "1000", "500"),
    ("hz", "0", "1"),
    ("repl-backlog-size", "1", "16384"),
    (
        "repl-backlog-size",
        "0",
        "! argument must be between 1 and 9223372036854775807 inclusive",
    ),
    ("maxmemory", "1gb", "1073741824"),
    ("maxmemory", "1x", "! argument must be a memory value"),
    ("maxmemory-clients", "5%", "5%"),
    ("maxmemory-clients", "0%", "0"),
    (
        "maxmemory-clients",
        "200%",
        "! percentage argument must be less or equal to 100",
    ),
    (
        "maxmemory-clients",
        "-1%",
        "! argument must be a memory or percent value",
    ),
    ("maxmemory-policy", "ALLKEYS-LRU", "allkeys-lru"),
    ("oom-score-adj", "relative", "yes"),
    (
        "oom-score-adj",
        "x",
        "! argument(s) must be one of the following: no, yes, relative, absolute",
    ),
    (
        "loglevel",
        "x",
        "! argument(s) must be one of the following: debug, verbose, notice, warning",
    ),
    ("shutdown-on-sigterm", "now save", "save now"),
    ("shutdown-on-sigterm", "default now", "now"),
    (
        "shutdown-on-sigterm",
        "",
        "! argument(s) must be one of the following: default, save, nosave, now, force",
    ),
    (
        "shutdown-on-sigterm",
        "save nosave",
        "! shutdown options SAVE and NOSAVE can't be used simultaneously",
    ),
    ("save", "", ""),
    ("save", "1 2 3 4", "1 2 3 4"),
    ("save", "1 2\0x", "1 2"),
    ("maxmemory", "1kb\0x", "1024"),
    ("appendfsync", "no\0", "no"),
    ("save", "0 1", "! Invalid save parameters"),
    ("save", "1  2", "! Invalid save parameters"),
    ("save", "\"\"", "! Invalid save parameters"),
    ("notify-keyspace-events", "KEA", "AKE"),
    (
        "notify-keyspace-events",
        "q",
        "! Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
    ),
    (
        "client-output-buffer-limit",
        "replica 1kb 2 3",
        "normal 0 0 0 slave 1024 2 3 pubsub 33554432 8388608 60",
    ),
    (
        "client-output-buffer-limit",
        "normal 1",
        "! Wrong number of arguments in buffer limit configuration.",
    ),
    (
        "client-output-buffer-limit",
        "master 0 0 0",
        "! Invalid client class specified in buffer limit configuration.",
    ),
    (
        "client-output-buffer-limit",
        "normal -1 0 0",
        "! Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ),
    ("oom-score-adj-values", "01 +2 3", "1 2 3"),
    ("oom-score-adj-values", "1 2", "! wrong number of arguments"),
    (
        "oom-score-adj-values",
        "-2001 0 1",
        "! Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
    ),
    (
        "latency-tracking-info-percentiles",
        "50.0 99.9999999",
        "50 100",
    ),
    ("latency-tracking-info-percentiles", "", ""),
    (
        "latency-tracking-info-percentiles",
        "nan",
        "! Invalid latency-tracking-info-percentiles parameters",
    ),
    (
        "latency-tracking-info-percentiles",
        "100.1",
        "! latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
    ),
    (
        "proc-title-template",
        "{x}",
        "! template format is invalid or contains unknown variables",
    ),
    ("proc-title-template", "}", "}"),
    ("proc-title-template", "{{x}", "{{x}"),
    (
        "cluster-announce-hostname",
        "a_b",
        "! Hostnames may only contain alphanumeric characters, hyphens or dots",
    ),
    (
        "dbfilename",
        "a/b",
        "! dbfilename can't be a path, just a filename",
    ),
    ("bind", "", ""),
    ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
];

#[test]
fn values_are_read_and_refused_as_redis_does() {
    for (name, value, answer) in VALUES {
        assert_eq!(set(name, value), *answer, "{name} {value}");
    }
}

#[test]
fn config_set_judges_names_before_values() {
    let refused = "ERR CONFIG SET failed (possibly related to argument";
    for (pairs, error) in [
        (
            &["foo", "1"][..],
            "ERR Unknown option or number of arguments for CONFIG SET - 'foo'".to_owned(),
        ),
        (&["maxmemory", "1", "foo"], "ERR syntax error".to_owned()),
        (
            &["maxmemory", "x", "foo", "1"],
            "ERR Unknown option or number of arguments for CONFIG SET - 'foo'".to_owned(),
        ),
        (
            &["DAEMONIZE", "yes"],
            format!("{refused} 'DAEMONIZE') - can't set immutable config"),
        ),
        (
            &["dir", "/"],
            format!("{refused} 'dir') - can't set protected config"),
        ),
        (
            &["maxmemory", "1", "MAXMEMORY", "2"],
            format!("{refused} 'MAXMEMORY') - duplicate parameter"),
        ),
        (
            &["MaxMemory", "x"],
            format!("{refused} 'maxmemory') - argument must be a memory value"),
        ),
        (
            &["slave-priority", "x"],
            format!("{refused} 'slave-priority') - argument couldn't be parsed into an integer"),
        ),
    ] {
        assert_eq!(set_error(pairs), error);
    }
    let loading = SetContext {
        loading: true,
        ..OPEN
    };
    let error = redis().set(&[b"dir", b"/"], loading).expect_err("not now");
    assert_eq!(
        error.to_string(),
        "LOADING Redis is loading the dataset in memory"
    );
}

#[test]
fn config_set_is_atomic_and_can_be_rolled_back() {
    let mut config = redis();
    let before = config.values.clone();
    let pairs: [&[u8]; 4] = [b"maxmemory", b"5", b"maxmemory-clients", b"200%"];
    assert!(config.set(&pairs, OPEN).is_err());
    assert_eq!(config.values, before);

    let pairs: [&[u8]; 6] = [
        b"maxmemory",
        b"5",
        b"slave-priority",
        b"1",
        b"replica-priority",
        b"2",
    ];
    let changes = config
        .set(&pairs, OPEN)
        .expect("an alias may stand beside its name");
    assert_eq!(
        (config.u64("maxmemory"), config.i64("replica-priority")),
        (5, 2)
    );
    assert!(changes.contains("replica-priority"));
    let error = changes.refuse("replica-priority", "no");
    assert!(error.to_string().contains("'slave-priority') - no"));
    config.roll_back(&changes);
    assert_eq!(config.values, before);
}

#[test]
fn config_get_answers_names_as_they_were_asked() {
    let config = redis();
    let names = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let found = config.matching(&patterns).into_iter();
        found
            .map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
            .collect()
    };
    assert_eq!(names(&["MAXMEMORY", "maxmemory"]), ["MAXMEMORY"]);
    assert_eq!(names(&["H?"]), ["hz"]);
    assert_eq!(names(&["slaveof", "replicaof"]), ["slaveof", "replicaof"]);
    assert_eq!(
        names(&["zset-max-zip*"]),
        ["zset-max-ziplist-entries", "zset-max-ziplist-value"]
    );
    assert_eq!(names(&["key-load-delay"]), ["key-load-delay"]);
    assert!(names(&["key-load*", "foo"]).is_empty());
}

#[test]
fn files_add_up_line_by_line() {
    let config = load("# c\n\n  PORT 1\r\nsave 900 1\nsave 300 10 60 5\nslave-priority \"7\"\nlist-max-ziplist-entries 1\nclient-output-buffer-limit replica 1 2 3\nclient-output-buffer-limit pubsub 4 5 6\nrename-command get \"\"\nuser a on nopass\nloadmodule /x y\n").expect("the file is good");
    assert_eq!(shown(&config, "save"), "900 1 300 10 60 5");
    assert_eq!(
        shown(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 1 2 3 pubsub 4 5 6"
    );
    assert_eq!((config.u64("port"), config.u64("replica-priority")), (1, 7));
    assert_eq!(
        config.renamed_commands[0].args,
        [b"get".to_vec(), Vec::new()]
    );
    assert_eq!(config.users[0].line, 11);
    assert_eq!(config.modules[0].args.len(), 2);
    let config = load("save 900 1\nsave \"\"\nsave 5 6\n").expect("the file is good");
    assert_eq!(shown(&config, "save"), "5 6");
    let config = load("save\n").expect("the file is good");
    assert_eq!(shown(&config, "save"), "");
}

#[test]
fn a_bad_line_is_named() {
    for (text, line, shown, reason) in [
        (
            "\n port   \"a\" # b ",
            2,
            "port   \"a\" # b",
            "wrong number of arguments",
        ),
        (
            "port \"a",
            1,
            "port \"a",
            "Unbalanced quotes in configuration line",
        ),
        (
            "zz 1",
            1,
            "zz 1",
            "Bad directive or wrong number of arguments",
        ),
        (
            "rename-command a",
            1,
            "rename-command a",
            "Bad directive or wrong number of arguments",
        ),
        (
            "user a on\nuser a off",
            2,
            "user a off",
            "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
        ),
        ("replicaof a x", 1, "replicaof a x", "Invalid master port"),
        (
            "unixsocketperm 999",
            1,
            "unixsocketperm 999",
            "argument couldn't be parsed as an octal number",
        ),
        (
            "unixsocketperm 1777",
            1,
            "unixsocketperm 1777",
            "argument must be between 0 and 777 inclusive",
        ),
        (
            "sentinel x",
            1,
            "sentinel x",
            "sentinel directive while not in sentinel mode",
        ),
        (
            "appendfilename \"\"",
            1,
            "appendfilename \"\"",
            "appendfilename can't be empty",
        ),
    ] {
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line {line}\n>>> '{shown}'\n{reason}"
        );
        assert_eq!(load(text).expect_err("the line is bad"), expected);
    }
}

#[test]
fn includes_are_read_in_their_place() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.conf"), "maxmemory 1\nport 1\n")?;
    fs::write(path("b.conf"), "maxmemory 2\n")?;
    let pattern = path("[ab]*.conf");
    let config = load(&format!("include {}\nport 2\n", pattern.display()))?;
    assert_eq!((config.u64("maxmemory"), config.u64("port")), (2, 2));
    assert!(load(&format!("include {}", path("none*").display())).is_ok());
    let missing = load(&format!("include {}", path("none").display()));
    let missing = missing.expect_err("there is no such file");
    assert!(
        missing.ends_with("/none': No such file or directory"),
        "{missing}"
    );

    let this = path("loop.conf");
    fs::write(&this, format!("include {}\n", this.display()))?;
    assert!(load(&format!("include {}", this.display())).is_err());
    Ok(())
}

#[test]
fn arguments_become_lines() {
    for (arguments, lines) in [
        (&["--port", "x"][..], "port \"x\""),
        (&["--port", "1", "--loglevel"], "port \"1\"\nloglevel"),
        (
            &["--port", "--loglevel", "verbose"],
            "port \"--loglevel\" \"verbose\"",
        ),
        (
            &["--port", "--bla", "--loglevel", "verbose"],
            "port \"--bla\"\nloglevel \"verbose\"",
        ),
        (
            &["--save", "--loglevel", "verbose"],
            "save \"\"\nloglevel \"verbose\"",
        ),
        (
            &["--save", "", "--loglevel", "verbose"],
            "save \"\"\nloglevel \"verbose\"",
        ),
        (
            &["--loglevel", "verbose", "--save"],
            "loglevel \"verbose\"\nsave \"\"",
        ),
        (&["--save", "100", "100"], "save \"100\" \"100\""),
        (
            &["--proc-title-template", "--save", "--save", ""],
            "proc-title-template \"--save\"\nsave \"\"",
        ),
        (
            &["--maxmemory 700mb", "--port 1"],
            "maxmemory 700mb\nport 1",
        ),
        (
            &["x.conf", "loglevel", "verbose", "--maxmemory '700mb'"],
            "\"loglevel\" \"verbose\"\nmaxmemory '700mb'",
        ),
        (&["-port", "x"], "\"-port\" \"x\""),
        (
            &["--logfile", "-", "--port", "1"],
            "logfile \"-\"\nport \"1\"",
        ),
        (
            &["--requirepass", "a\"\n\u{1}"],
            "requirepass \"a\\\"\\n\\x01\"",
        ),
    ] {
        let options = source(arguments).options;
        assert_eq!(String::from_utf8_lossy(&options), lines, "{arguments:?}");
    }
    assert!(source(&["--port", "1", "-"]).standard_input);
    assert!(source(&["-", "--port", "1"]).standard_input);
    assert_eq!(source(&["a.conf"]).file, Some(PathBuf::from("a.conf")));
}

#[test]
fn other_modes_are_told_apart() {
    let invocation = |argument: &str| parse_arguments(["innkeep", argument].map(OsString::from));
    assert_eq!(invocation("-v"), Invocation::Version);
    assert_eq!(invocation("--help"), Invocation::Help);
    assert_eq!(invocation("--check-system"), Invocation::CheckSystem);
    assert_eq!(
        invocation("--test-memory"),
        Invocation::Unsupported("--test-memory")
    );
    assert_eq!(
        invocation("--sentinel"),
        Invocation::Unsupported("--sentinel")
    );
    assert_eq!(
        Identity::of_program(Path::new("/bin/redis-server")),
        Identity::RedisServer
    );
    assert_eq!(
        Identity::of_program(Path::new("innkeep")),
        Identity::Innkeep
    );
}

#[test]
fn options_come_after_the_file() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    fs::write(&file, "save 900 1\nport 1")?;
    let file = file.to_str().ok_or("a path in UTF-8")?;
    let config = run(&[file, "--save", "100 100", "--port", "2"])?;
    assert_eq!(shown(&config, "save"), "900 1 100 100");
    assert_eq!(config.u64("port"), 2);
    assert_eq!(config.file.as_deref(), Some(Path::new(file)));
    let error = run(&[file, "--port", "x"]).expect_err("x is no port");
    assert!(
        error.contains("at line 4\n>>> 'port \"x\"'") || error.contains("at line 3\n"),
        "{error}"
    );
    assert!(
        run(&["--port", "x"])
            .expect_err("x is no port")
            .contains("at line 2\n")
    );

    let mut input: &[u8] = b"a b";
    let error = source(&[file, "-"])
        .load(&mut input)
        .expect_err("no such directive");
    assert!(
        error.to_string().contains("at line 3\n>>> 'a b'"),
        "{error}"
    );
    Ok(())
}

/// Rewrites a file after some `CONFIG SET`s; what was added after the mark is returned apart.
fn rewrite(text: &str, sets: &[&str]) -> (String, String) {
    let mut config = load(text).expect("the file is good");
    let pairs: Vec<&[u8]> = sets.iter().map(|word| word.as_bytes()).collect();
    if !pairs.is_empty() {
        config.set(&pairs, OPEN).expect("the values are good");
    }
    let users = [b"default on nopass ~* &* +@all".to_vec()];
    let text = config.rewritten(text.as_bytes(), &users, false);
    let text = String::from_utf8(text).expect("the text is ASCII");
    let (kept, added) = text
        .split_once("# Generated by CONFIG REWRITE\n")
        .expect("there is a mark");
    (kept.to_owned(), added.to_owned())
}

#[test]
fn a_rewrite_keeps_comments_and_order() {
    let always = "latency-tracking-info-percentiles 50 99 99.9\n";
    let saves = "save 3600 1\nsave 300 100\nsave 60 10000\n";
    let user = "user default on nopass ~* &* +@all\n";
    let top = "dir \"/x\"\n";
    for (text, sets, kept, added) in [
        (
            "dir /x\n# c\n\n\nmaxmemory 1gb\n",
            &["maxmemory", "5", "loglevel", "debug"][..],
            format!("{top}# c\n\nmaxmemory 5\n\n"),
            format!("{always}loglevel debug\n{saves}{user}"),
        ),
        (
            "dir /x\nhash-max-ziplist-entries 20\nslave-priority 5\n  maxmemory   1gb\n",
            &[],
            format!("{top}hash-max-listpack-entries 20\nreplica-priority 5\nmaxmemory 1gb\n\n"),
            format!("{always}{saves}{user}"),
        ),
        (
            "dir /x\nsave 900 1\nsave 300 10\n#c\nmaxmemory 1\nmaxmemory 2\n",
            &["save", "1 2 3 4 5 6"],
            format!("{top}save 1 2\nsave 3 4\n#c\nmaxmemory 2\n\n"),
            format!("{always}save 5 6\n{user}"),
        ),
        (
            "dir /x\nsave 900 1\nsave 300 10\n",
            &["save", ""],
            format!("{top}save \"\"\n\n"),
            format!("{always}{user}"),
        ),
        (
            "dir /x\nrename-command get \"\"\nuser foo on\nreplicaof no one\nbind * -::*",
            &[],
            format!("{top}rename-command get \"\"\n{user}\n"),
            format!("{always}{saves}"),
        ),
        (
            "dir /x\nmaxmemory 5",
            &[
                "maxmemory",
                "0",
                "requirepass",
                "a b\"\\",
                "notify-keyspace-events",
                "KEA",
                "maxmemory-clients",
                "5%",
            ],
            format!("{top}maxmemory 0\n"),
            format!(
                "{always}maxmemory-clients 5%\nnotify-keyspace-events \"AKE\"\nrequirepass \"a b\\\"\\\\\"\n{saves}{user}"
            ),
        ),
        (
            "dir /x\nclient-output-buffer-limit pubsub 1mb 1mb 1\n",
            &["client-output-buffer-limit", "replica 1 2 3"],
            format!("{top}client-output-buffer-limit normal 0 0 0\n\n"),
            format!(
                "client-output-buffer-limit replica 1 2 3\nclient-output-buffer-limit pubsub 1mb 1mb 1\n{always}{saves}{user}"
            ),
        ),
    ] {
        assert_eq!(rewrite(text, sets), (kept, added), "{text}");
    }
}

#[test]
fn lines_that_are_not_understood_become_comments() {
    let text = redis().rewritten(b"foo bar\nport \"x\nsentinel x\n", &[], false);
    assert!(text.starts_with(b"# ??? foo bar\n# ??? port \"x\nsentinel x\n\n# Generated"));
}

#[test]
fn a_rewritten_file_gives_the_same_values() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    fs::write(&file, "# mine\nport 7\n")?;
    let name = file.to_str().ok_or("a path in UTF-8")?;
    let mut config = run(&[name])?;
    let pairs: [&[u8]; 8] = [
        b"requirepass",
        b"\x00\xff \"'\\\n#",
        b"save",
        b"7 8",
        b"maxmemory",
        b"2gb",
        b"bind",
        b"",
    ];
    config.set(&pairs, OPEN)?;
    config.rewrite_file(&[], true)?;
    assert_eq!(run(&[name])?.values, config.values);
    let first = fs::read(&file)?;
    config.rewrite_file(&[], true)?;
    assert_eq!(fs::read(&file)?, first, "a second rewrite changes nothing");
    assert_eq!(
        fs::read_dir(folder.path())?.count(),
        1,
        "no file is left over"
    );
    let error = redis()
        .rewrite_file(&[], false)
        .expect_err("there is no file");
    assert_eq!(
        error.to_string(),
        "ERR The server is running without a config file"
    );
    Ok(())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        name in proptest::sample::select(PARAMETERS),
        words in proptest::collection::vec("[0-9a-z%.+\\- {}\"']{0,8}|\\PC{0,4}", 0..6),
    ) {
        let line = format!("{} {}\n", name.name, words.join(" "));
        let mut config = redis();
        if config.load_text(line.as_bytes()).is_ok() {
            // What is accepted survives a rewrite.
            let text = config.rewritten(b"", &[], true);
            let mut again = redis();
            prop_assert!(again.load_text(&text).is_ok());
            let shown = |config: &Config| config.matching(&[name.name.as_bytes()]);
            prop_assert_eq!(shown(&again), shown(&config));
        }
        let _ = redis().rewritten(line.as_bytes(), &[], false);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        if !bytes.windows(7).any(|window| window.eq_ignore_ascii_case(b"include")) {
            let _ = redis().load_text(&bytes);
        }
        let _ = redis().rewritten(&bytes, &[], false);
        let _ = redis().set(&[b"save", &bytes, b"proc-title-template", &bytes], OPEN);
    }
}
