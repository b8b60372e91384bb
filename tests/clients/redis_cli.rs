//! redis-cli as a black box: one-shot commands and their output forms, bulk loading, scans, measurements, and the
//! interactive mode with hints at a terminal.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use innkeep_test_server::{Server, find_program, may_skip};

use crate::terminal::Terminal;

/// A server, and whether redis-cli is there to talk to it.
fn server() -> Option<Server> {
    if find_program("redis-cli").is_none() {
        assert!(may_skip("redis-cli"));
        return None;
    }
    Some(crate::server())
}

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(arguments)
        .env("HOME", server.directory());
    command
}

fn run(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(server, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("redis-cli ends");
    // A client that ends before it has read all is judged by what it says.
    drop(writer.join());
    output
}

fn text(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments, b"");
    assert!(
        output.status.success(),
        "redis-cli {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).expect("the output is text")
}

#[test]
fn one_command_in_each_form_of_output() {
    let Some(server) = server() else { return };
    assert_eq!(
        text(&server, &["SET", "key", "value with \"quotes\""]),
        "OK\n"
    );
    assert_eq!(text(&server, &["GET", "key"]), "value with \"quotes\"\n");
    assert_eq!(
        text(&server, &["--no-raw", "GET", "key"]),
        "\"value with \\\"quotes\\\"\"\n"
    );
    assert_eq!(text(&server, &["--no-raw", "GET", "nothing"]), "(nil)\n");
    assert_eq!(
        text(&server, &["--no-raw", "RPUSH", "list", "a", "b"]),
        "(integer) 2\n"
    );
    assert_eq!(
        text(&server, &["--no-raw", "LRANGE", "list", "0", "-1"]),
        "1) \"a\"\n2) \"b\"\n"
    );
    assert_eq!(
        text(&server, &["--csv", "LRANGE", "list", "0", "-1"]),
        "\"a\",\"b\"\n"
    );
    assert_eq!(text(&server, &["ZADD", "zset", "1.5", "x"]), "1\n");
    assert_eq!(text(&server, &["HSET", "hash", "field", "1"]), "1\n");
    assert_eq!(
        text(&server, &["-3", "--no-raw", "HGETALL", "hash"]),
        "1# \"field\" => \"1\"\n"
    );
    assert_eq!(
        text(&server, &["-3", "--no-raw", "ZSCORE", "zset", "x"]),
        "(double) 1.5\n"
    );
    assert_eq!(
        text(&server, &["--json", "HGETALL", "hash"]),
        "{\"field\":\"1\"}\n"
    );
    assert_eq!(
        text(
            &server,
            &["--json", "ZRANGE", "zset", "0", "-1", "WITHSCORES"]
        ),
        "[[\"x\",1.5]]\n"
    );
    assert_eq!(text(&server, &["-n", "3", "DBSIZE"]), "0\n");
    assert_eq!(text(&server, &["-r", "3", "INCR", "counter"]), "1\n2\n3\n");
    assert!(text(&server, &["INFO", "server"]).contains("redis_version:7."));
    let failing = run(&server, &["-e", "INCR", "key"], b"");
    assert!(!failing.status.success());
    let told = String::from_utf8_lossy(&failing.stdout).into_owned()
        + &String::from_utf8_lossy(&failing.stderr);
    assert!(
        told.contains("ERR value is not an integer or out of range"),
        "{told}"
    );
}

#[test]
fn the_last_argument_from_standard_input() {
    let Some(server) = server() else { return };
    let content: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let output = run(&server, &["-x", "SET", "file"], &content);
    assert_eq!(output.stdout, b"OK\n");
    assert_eq!(text(&server, &["STRLEN", "file"]), "100000\n");
    let output = run(&server, &["-X", "THERE", "SET", "THERE", "key"], b"name");
    assert_eq!(output.stdout, b"OK\n");
    assert_eq!(text(&server, &["GET", "name"]), "key\n");
}

#[test]
fn commands_line_by_line_from_standard_input() {
    let Some(server) = server() else { return };
    let output = run(
        &server,
        &[],
        b"SET a 1\nINCR a\nMULTI\nINCR a\nINCR a\nEXEC\nGET a\n",
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "OK\n2\nOK\nQUEUED\nQUEUED\n3\n4\n4\n"
    );
}

#[test]
fn mass_insertion_counts_replies_and_errors() {
    let Some(server) = server() else { return };
    let mut input = Vec::new();
    for at in 0..20_000 {
        let key = format!("key:{at}");
        write!(
            input,
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$5\r\nvalue\r\n",
            key.len()
        )
        .expect("a Vec takes everything");
    }
    let output = run(&server, &["--pipe"], &input);
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("errors: 0, replies: 20000"),
        "{output:?}"
    );
    let output = run(&server, &["--pipe"], b"LPUSH key:1 x\r\nSET inline 1\r\n");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("errors: 1, replies: 2"),
        "{output:?}"
    );
    assert_eq!(text(&server, &["DBSIZE"]), "20001\n");
}

#[test]
fn scans_and_the_biggest_keys() {
    let Some(server) = server() else { return };
    for at in 0..50 {
        text(&server, &["RPUSH", &format!("scan:{at}"), "a"]);
    }
    text(&server, &["RPUSH", "long list", "a", "b", "c", "d"]);
    text(&server, &["HSET", "wide hash", "a", "1", "b", "2"]);
    text(&server, &["SET", "text", "twelve bytes"]);
    let mut found: Vec<String> = text(&server, &["--scan", "--pattern", "scan:*"])
        .lines()
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 50);
    let biggest = text(&server, &["--bigkeys"]);
    assert!(
        biggest.contains("Biggest   list found '\"long list\"' has 4 items"),
        "{biggest}"
    );
    assert!(
        biggest.contains("Biggest   hash found '\"wide hash\"' has 2 fields"),
        "{biggest}"
    );
    assert!(
        biggest.contains("Biggest string found '\"text\"' has 12 bytes"),
        "{biggest}"
    );
    let memory = text(&server, &["--memkeys"]);
    assert!(
        memory.contains("Sampled 53 keys in the keyspace!"),
        "{memory}"
    );
}

#[test]
fn latency_and_statistics_as_they_go() {
    let Some(server) = server() else { return };
    let mut terminal = Terminal::open(command(&server, &["--latency", "-i", "1"]));
    assert!(terminal.shows("samples"), "{}", terminal.seen());
    let mut terminal = Terminal::open(command(&server, &["--stat", "-i", "0.05"]));
    assert!(terminal.shows("requests"), "{}", terminal.seen());
    assert!(terminal.shows("(+"), "{}", terminal.seen());
    let once = text(&server, &["--latency", "--raw", "-i", "0.05"]);
    assert_eq!(once.split_whitespace().count(), 4, "{once}");
}

#[test]
fn monitor_and_subscriptions_stream() {
    let Some(server) = server() else { return };
    let mut monitor = Terminal::open(command(&server, &["MONITOR"]));
    assert!(monitor.shows("OK"), "{}", monitor.seen());
    text(&server, &["SET", "seen", "by monitor"]);
    assert!(
        monitor.shows("\"SET\" \"seen\" \"by monitor\""),
        "{}",
        monitor.seen()
    );
    let mut subscriber = Terminal::open(command(&server, &["SUBSCRIBE", "rooms"]));
    assert!(subscriber.shows("(integer) 1"), "{}", subscriber.seen());
    assert_eq!(text(&server, &["PUBLISH", "rooms", "101 is clean"]), "1\n");
    assert!(subscriber.shows("101 is clean"), "{}", subscriber.seen());
}

#[test]
fn the_prompt_shows_hints_and_state() {
    let Some(server) = server() else { return };
    let mut terminal = Terminal::open(command(&server, &[]));
    let prompt = format!("127.0.0.1:{}> ", server.port());
    assert!(terminal.shows(&prompt), "{}", terminal.seen());
    // The hint behind the cursor comes from COMMAND DOCS.
    terminal.types("set room ");
    assert!(terminal.shows("value"), "no hint in {:?}", terminal.seen());
    // What is typed before the next prompt would be thrown away.
    for (line, answer, next) in [
        ("101", "OK\r\n", "> "),
        ("help lpush", "summary:", &prompt),
        ("multi", "OK\r\n", "(TX)> "),
        ("incr room", "QUEUED\r\n", "(TX)> "),
        ("exec", "1) (integer) 102\r\n", "> "),
        ("select 2", "OK\r\n", "[2]> "),
        (
            "nosuch command",
            "(error) ERR unknown command 'nosuch', with args beginning with: 'command'",
            "[2]> ",
        ),
        ("subscribe rooms", "(integer) 1", ""),
    ] {
        terminal.types(&format!("{line}\r"));
        assert!(
            terminal.shows(answer),
            "after {line}: {:?}",
            terminal.seen()
        );
        assert!(terminal.shows(next), "after {line}: {:?}", terminal.seen());
    }
}
