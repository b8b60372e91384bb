//! The Lua debugger and everybody else: on a copy nobody notices a session, on the data itself nobody can be served.

use std::io;
use std::time::{Duration, Instant};

use innkeep_test_server::wire::Wire;
use innkeep_test_server::{Launch, Server};

use crate::connect;

/// So long a machine that has other work may take; it is never waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const BUSY: &[u8] =
    b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const SCRIPT: &str = "redis.call('incr', KEYS[1])\nlocal n = redis.call('incr', KEYS[1])\nreturn n";

fn server() -> io::Result<Server> {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep")).start()
}

/// A session that stands before its first line.
fn debug(server: &Server, mode: &str, script: &str) -> io::Result<Wire> {
    let mut client = connect(server);
    assert!(client.ask(&["SCRIPT", "DEBUG", mode])?.is_status("OK"));
    let stopped = client.ask(&["EVAL", script, "1", "n"])?;
    assert_eq!(stopped.items().len(), 2);
    Ok(client)
}

/// Asks until others can be served again.
fn wait_until_served(client: &mut Wire) -> io::Result<()> {
    let start = Instant::now();
    while client.ask(&["GET", "nothing"])?.bytes() == BUSY {
        assert!(start.elapsed() < PATIENCE, "the session does not end");
    }
    Ok(())
}

#[test]
fn a_session_on_a_copy_changes_nothing_and_holds_up_nobody() -> io::Result<()> {
    let server = server()?;
    let mut other = connect(&server);
    other.ask(&["SET", "n", "5"])?;
    other.ask(&["HSET", "h", "f", "v"])?;
    let mut client = debug(&server, "yes", SCRIPT)?;
    client.ask(&["s"])?;
    assert_eq!(other.ask(&["INCR", "n"])?.int(), Some(6));
    let seen = client.ask(&["redis", "hget", "h", "f"])?;
    assert_eq!(seen.items()[1].bytes(), b"<reply> \"v\"");
    client.ask(&["c"])?;
    assert_eq!(
        client.receive()?.int(),
        Some(7),
        "it has not seen the other"
    );
    assert_eq!(other.ask(&["GET", "n"])?.bytes(), b"6");
    Ok(())
}

#[test]
fn monitor_shows_the_script_and_on_the_data_itself_its_commands() -> io::Result<()> {
    let server = server()?;
    let mut monitor = connect(&server);
    assert!(monitor.ask(&["MONITOR"])?.is_status("OK"));
    for (mode, commands) in [("yes", 0), ("sync", 2)] {
        let mut client = debug(&server, mode, SCRIPT)?;
        client.ask(&["c"])?;
        client.receive()?;
        let mut other = connect(&server);
        wait_until_served(&mut other)?;
        other.ask(&["PING"])?;
        let mut shown = Vec::new();
        while !shown.iter().any(|line: &String| line.contains("PING")) {
            shown.push(String::from_utf8_lossy(monitor.receive()?.bytes()).into_owned());
        }
        let count = |part: &str| shown.iter().filter(|line| line.contains(part)).count();
        assert_eq!(count("EVAL"), 1, "{shown:?}");
        assert_eq!(count("lua] "), commands, "{shown:?}");
    }
    Ok(())
}

#[test]
fn a_session_does_not_begin_in_a_pipeline() -> io::Result<()> {
    let server = server()?;
    let mut client = connect(&server);
    for word in ["YES", "SYNC", "NO", "x"] {
        let lines = [vec!["PING"], vec!["SCRIPT", "DEBUG", word]];
        let lines = lines.map(|line| {
            line.iter()
                .map(|word| word.as_bytes().to_vec())
                .collect::<Vec<_>>()
        });
        client.send(lines.iter().map(Vec::as_slice))?;
        client.receive()?;
        let refused = b"ERR SCRIPT DEBUG must be called outside a pipeline";
        assert_eq!(client.receive()?.bytes(), refused);
    }
    Ok(())
}

#[test]
fn a_session_in_place_keeps_the_others_waiting_until_it_ends() -> io::Result<()> {
    let server = server()?;
    let mut other = connect(&server);
    let mut client = debug(&server, "sync", SCRIPT)?;
    assert_eq!(other.ask(&["GET", "n"])?.bytes(), BUSY);
    client.ask(&["s"])?;
    client.ask(&["abort"])?;
    assert!(client.receive()?.is_error());
    assert!(
        client.receive().is_err(),
        "the connection ends with its session"
    );
    assert_eq!(other.ask(&["GET", "n"])?.bytes(), b"1", "what it did stays");
    Ok(())
}

#[test]
fn a_session_ends_with_its_client_or_by_script_kill() -> io::Result<()> {
    let server = server()?;
    let mut other = connect(&server);
    for mode in ["yes", "sync"] {
        drop(debug(&server, mode, SCRIPT)?);
        wait_until_served(&mut other)?;
    }
    let mut client = debug(&server, "sync", SCRIPT)?;
    assert!(other.ask(&["SCRIPT", "KILL"])?.is_status("OK"));
    let end = client.receive()?;
    assert_eq!(end.items()[0].bytes(), b"<endsession>");
    let killed = client.receive()?;
    assert!(killed.bytes().starts_with(b"ERR Error running script") || killed.is_error());
    wait_until_served(&mut other)?;
    assert_eq!(other.ask(&["EXISTS", "n"])?.int(), Some(0));
    Ok(())
}

#[test]
fn endless_code_of_who_debugs_can_be_killed() -> io::Result<()> {
    let server = server()?;
    let mut other = connect(&server);
    for code in ["e while true do end", "c"] {
        let mut client = debug(&server, "sync", "while true do end")?;
        let words: Vec<Vec<u8>> = code
            .splitn(2, ' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        client.send([&words[..]])?;
        assert!(other.ask(&["SCRIPT", "KILL"])?.is_status("OK"));
        let end = client.receive()?;
        let last = end.items().last().map(|line| line.bytes().to_vec());
        assert_eq!(last.as_deref(), Some(&b"<endsession>"[..]), "{end:?}");
        assert!(client.receive()?.is_error());
        wait_until_served(&mut other)?;
    }
    Ok(())
}
