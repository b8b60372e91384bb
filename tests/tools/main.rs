//! The tools as black boxes, on real files: the program in, its exit code and what it left on disk out. At the other end
//! stands a real redis-server where one is installed.

mod check;
mod moving;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, Server};

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_innkeep")
}

fn launch() -> Launch {
    Launch::program(program().as_ref()).option("appendonly", "yes")
}

fn connect(server: &Server) -> Wire {
    Wire::new(server.connect().expect("the server accepts"))
}

fn ask(wire: &mut Wire, words: &[&str]) -> Reply {
    let reply = wire.ask(words).expect("an answer");
    assert!(!reply.is_error(), "{words:?}: {reply:?}");
    reply
}

/// Runs a tool; answers its exit code and all that it said.
fn tool(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let told = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    (status.code().expect("it ends by itself"), told)
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let (code, told) = tool(arguments);
    assert_eq!(code, 0, "{arguments:?}: {told}");
    told
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// All types, in two databases, some with an expiry.
fn fill(wire: &mut Wire, keys: usize) {
    for db in ["0", "5"] {
        ask(wire, &["SELECT", db]);
        for index in 0..keys {
            let value = format!("value {index} {}", "x".repeat(index % 50));
            ask(wire, &["SET", &format!("string:{index}"), &value]);
        }
        ask(wire, &["RPUSH", "list", "a", "b", "1"]);
        ask(wire, &["SADD", "set", "a", "b", "c"]);
        ask(wire, &["SADD", "numbers", "1", "2", "3"]);
        ask(wire, &["HSET", "hash", "f", "v", "g", "w"]);
        ask(wire, &["ZADD", "board", "1.5", "a", "2", "b"]);
        ask(wire, &["XADD", "stream", "1-1", "f", "v"]);
        ask(wire, &["XGROUP", "CREATE", "stream", "group", "0"]);
        ask(wire, &["PEXPIREAT", "list", "4102444800000"]);
    }
    ask(wire, &["SELECT", "0"]);
}

/// Everything in both databases, in words that no server's inner forms have a part in.
fn contents(wire: &mut Wire) -> Vec<String> {
    let mut found = Vec::new();
    for db in ["0", "5"] {
        ask(wire, &["SELECT", db]);
        let mut keys: Vec<String> = ask(wire, &["KEYS", "*"])
            .items()
            .iter()
            .map(|key| String::from_utf8_lossy(key.bytes()).into_owned())
            .collect();
        keys.sort();
        for key in keys {
            let kind = ask(wire, &["TYPE", &key]);
            let words: &[&str] = match kind.bytes() {
                b"string" => &["GET", &key],
                b"list" => &["LRANGE", &key, "0", "-1"],
                b"set" => &["SORT", &key, "ALPHA"],
                b"hash" => &["HMGET", &key, "f", "g"],
                b"zset" => &["ZRANGE", &key, "0", "-1", "WITHSCORES"],
                _ => &["XRANGE", &key, "-", "+"],
            };
            let value = ask(wire, words);
            let expiry = ask(wire, &["PEXPIRETIME", &key]).int();
            let groups = (kind.bytes() == b"stream").then(|| ask(wire, &["XINFO", "GROUPS", &key]));
            let groups = groups.map(|groups| groups.items().len());
            found.push(format!("{db} {key} {value:?} {expiry:?} {groups:?}"));
        }
    }
    ask(wire, &["SELECT", "0"]);
    found
}

#[test]
fn wrong_arguments_are_told_apart_from_failures() {
    assert_eq!(tool(&["check"]).0, 2);
    assert_eq!(tool(&["check", "--nonsense", "x"]).0, 2);
    assert_eq!(tool(&["check", "/no/such/place"]).0, 3);
    assert_eq!(tool(&["backup", "x", "--from", "nowhere"]).0, 3);
    let help = succeeds(&["check", "--help"]);
    assert!(help.contains("Exit codes"), "{help}");
}
