//! A system or a configuration that gives little: clients are told so, and what was acknowledged is kept. What is
//! not needed is given back.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use innkeep_test_server::Launch;

use crate::connect;

const PATIENCE: Duration = Duration::from_secs(60);

fn launch() -> Launch {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
}

#[test]
fn no_more_clients_are_taken_than_there_are_files_for() -> io::Result<()> {
    let server = launch()
        .option("appendonly", "yes")
        .under("ulimit -n 64")
        .start()?;
    let mut clients = vec![connect(&server)];
    let most = clients[0].ask(&["CONFIG", "GET", "maxclients"])?;
    assert_eq!(most.items()[1].bytes(), b"32");
    while clients.len() < 32 {
        let mut client = connect(&server);
        assert!(client.ask(&["PING"])?.is_status("PONG"));
        clients.push(client);
    }
    for _ in 0..5 {
        let refused = connect(&server).receive()?;
        assert_eq!(refused.bytes(), b"ERR max number of clients reached");
    }
    // What the server itself needs it has.
    assert!(!clients[0].ask(&["BGREWRITEAOF"])?.is_error());
    assert!(server.wait_for_log("rewrite finished successfully", PATIENCE));
    let refused = clients[0].ask(&["CONFIG", "SET", "maxclients", "33"])?;
    let text = b"ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to \
                 handle the specified number of clients, try with 32";
    assert_eq!(refused.bytes(), text);
    assert!(
        clients[0]
            .ask(&["CONFIG", "SET", "maxclients", "31"])?
            .is_status("OK")
    );
    Ok(())
}

#[test]
fn the_limit_is_raised_for_the_clients_that_are_wanted() -> io::Result<()> {
    let server = launch()
        .under("ulimit -S -n 64 && ulimit -H -n 200")
        .start()?;
    let mut client = connect(&server);
    let mut most = || -> io::Result<Vec<u8>> {
        let most = client.ask(&["CONFIG", "GET", "maxclients"])?;
        Ok(most.items()[1].bytes().to_vec())
    };
    // A privileged server may have more.
    assert!([&b"168"[..], b"10000"].contains(&most()?.as_slice()));
    Ok(())
}

#[test]
fn a_file_that_may_not_grow_is_a_full_disk_and_not_the_end() -> io::Result<()> {
    let server = launch()
        .option("appendonly", "yes")
        .option("auto-aof-rewrite-percentage", "0")
        .under("ulimit -f 512")
        .start()?;
    let mut client = connect(&server);
    let value = "x".repeat(5000);
    let mut written = 0;
    let refusal = loop {
        let answer = client.ask(&["SET", &format!("key:{written}"), &value])?;
        if answer.is_error() {
            break answer;
        }
        written += 1;
        assert!(written < 1000, "nobody says that the file may not grow");
    };
    assert!(refusal.bytes().starts_with(b"MISCONF"), "{refusal:?}");
    assert_eq!(client.ask(&["GET", "key:0"])?.bytes(), value.as_bytes());
    let mut server = server;
    server.kill()?;
    let again = launch().option("appendonly", "yes").start_after(&server)?;
    let mut client = connect(&again);
    // The last one was executed before anybody knew: Redis acknowledges it, too, unless every write waits for the disk.
    for number in 0..written - 1 {
        let found = client.ask(&["GET", &format!("key:{number}")])?;
        assert_eq!(found.bytes(), value.as_bytes(), "key:{number} of {written}");
    }
    Ok(())
}

#[test]
fn clients_that_do_not_read_are_evicted_before_any_key_is() -> io::Result<()> {
    const KEYS: i64 = 50;
    let server = launch()
        .option("save", "")
        .option("maxmemory", "11mb")
        .option("maxmemory-policy", "allkeys-lru")
        .option("maxmemory-clients", "3mb")
        .start()?;
    let mut client = connect(&server);
    client.ask(&["CLIENT", "NO-EVICT", "ON"])?;
    for key in 0..KEYS {
        client.ask(&["SETRANGE", &key.to_string(), "100000", "x"])?;
    }
    // Each batch is answered with many times what it is long.
    let batch = "MGET 1\r\n".repeat(20);
    let mut deaf = (0..20)
        .map(|_| server.connect())
        .collect::<io::Result<Vec<_>>>()?;
    let deadline = Instant::now() + PATIENCE;
    while deaf.len() > 10 {
        assert!(Instant::now() < deadline, "{} clients left", deaf.len());
        deaf.retain_mut(|stream| stream.write_all(batch.as_bytes()).is_ok());
    }
    let info = client.ask(&["INFO", "stats"])?;
    let info = String::from_utf8_lossy(info.bytes()).into_owned();
    assert!(info.contains("\r\nevicted_keys:0\r\n"), "{info}");
    assert_eq!(client.ask(&["DBSIZE"])?.int(), Some(KEYS));
    Ok(())
}

#[test]
fn arguments_may_be_as_long_as_is_configured() -> io::Result<()> {
    const LEAST: usize = 1 << 20;
    let server = launch()
        .option("proto-max-bulk-len", &LEAST.to_string())
        .start()?;
    let announce = |length: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${length}\r\n");
    let mut client = connect(&server);
    let value = "v".repeat(2 * LEAST);
    for (allowed, length) in [(LEAST, LEAST), (2 * LEAST, 2 * LEAST), (LEAST, LEAST)] {
        let words = ["CONFIG", "SET", "proto-max-bulk-len", &allowed.to_string()];
        assert!(client.ask(&words)?.is_status("OK"));
        assert!(client.ask(&["SET", "a", &value[..length]])?.is_status("OK"));
        let mut stream = server.connect()?;
        stream.write_all(announce(allowed + 1).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!(answer, "-ERR Protocol error: invalid bulk length\r\n");
    }
    Ok(())
}

/// What was in use is the system's again, though the threads that took it are not those that free it.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_nobody_needs_any_more_is_given_back() -> io::Result<()> {
    let server = launch().option("save", "").start()?;
    let mut client = connect(&server);
    let mut resident = || -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/statm", server.id()))?;
        let pages = status.split(' ').nth(1).and_then(|word| word.parse().ok());
        // A look is no reason to give anything back.
        assert!(client.ask(&["PING"])?.is_status("PONG"));
        Ok(pages.expect("statm tells the pages"))
    };
    let empty = resident()?;
    for forget in [&["FLUSHALL"][..], &["FLUSHALL", "ASYNC"]] {
        let mut other = connect(&server);
        assert!(
            other
                .ask(&["DEBUG", "POPULATE", "300000", "key", "200"])?
                .is_status("OK")
        );
        let full = resident()?;
        assert!(full > 3 * empty, "{full} pages, {empty} before");
        assert!(other.ask(forget)?.is_status("OK"));
        let deadline = Instant::now() + PATIENCE;
        while resident()? > full / 2 {
            assert!(Instant::now() < deadline, "{} of {full} pages", resident()?);
            std::thread::yield_now();
        }
    }
    Ok(())
}
