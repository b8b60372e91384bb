//! Replicas: a client that follows the stream byte by byte, and a real redis-server that becomes our replica.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use innkeep_test_server::wire::Wire;
use innkeep_test_server::{Launch, Server, may_skip};

const PATIENCE: usize = 100_000;

/// What a client sees that follows.
struct Follower(BufReader<TcpStream>);

impl Follower {
    fn attach(server: &Server, request: &str) -> Self {
        let mut stream = server.connect().expect("the server accepts");
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the server sends");
            // Empty lines say that the snapshot is still being written.
            if line != "\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The snapshot.
    fn snapshot(&mut self) -> Vec<u8> {
        let line = self.line();
        let len = line.strip_prefix('$').and_then(|len| len.parse().ok());
        let mut bytes = vec![0; len.expect("a length comes first")];
        self.0.read_exact(&mut bytes).expect("the server sends");
        bytes
    }

    /// The next command of the stream, its words joined.
    fn command(&mut self) -> String {
        let head = self.line();
        let words: usize = head
            .strip_prefix('*')
            .and_then(|words| words.parse().ok())
            .expect("a command is an array");
        let word = |_| String::from_utf8(self.snapshot_word()).expect("these words are text");
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }

    fn snapshot_word(&mut self) -> Vec<u8> {
        let word = self.snapshot();
        self.0.read_exact(&mut [0; 2]).expect("the server sends");
        word
    }
}

fn until(wire: &mut Wire, command: &[&str], words: &str) {
    for _ in 0..PATIENCE {
        let reply = wire.ask(command).expect("the server answers");
        if String::from_utf8_lossy(reply.bytes()).contains(words) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{command:?} never told {words:?}");
}

#[test]
fn a_snapshot_and_then_every_effect_as_it_was_executed() {
    let server = crate::server();
    let mut wire = crate::connect(&server);
    let mut ask = |words: &[&str]| wire.ask(words).expect("the server answers");
    ask(&["SET", "before", "1"]);
    let mut follower = Follower::attach(&server, "SYNC\r\n");
    let snapshot = follower.snapshot();
    assert!(snapshot.starts_with(b"REDIS00"));
    assert!(snapshot.windows(6).any(|bytes| bytes == b"before"));

    ask(&["SET", "a", "1", "EX", "100"]);
    ask(&["GET", "a"]);
    ask(&["PUBLISH", "news", "hello"]);
    ask(&["SELECT", "2"]);
    ask(&[
        "EVAL",
        "redis.call('incr', 'x'); redis.call('incr', 'y')",
        "0",
    ]);
    ask(&["FLUSHALL"]);
    assert_eq!(follower.command(), "SELECT 0");
    let set = follower.command();
    assert!(
        set.starts_with("SET a 1 PXAT ") || set.starts_with("SET a 1 pxat "),
        "{set}"
    );
    for expected in [
        "PUBLISH news hello",
        "SELECT 2",
        "MULTI",
        "incr x",
        "incr y",
        "EXEC",
        "FLUSHALL",
    ] {
        assert_eq!(follower.command(), expected);
    }
}

#[test]
fn who_was_away_for_a_moment_is_told_what_it_missed() {
    let server = crate::server();
    let mut wire = crate::connect(&server);
    let mut follower = Follower::attach(&server, "PSYNC ? -1\r\n");
    let line = follower.line();
    let name = line
        .split(' ')
        .nth(1)
        .expect("the stream has a name")
        .to_owned();
    follower.snapshot();
    until(&mut wire, &["INFO", "replication"], "state=online");
    wire.ask(&["SET", "a", "1"]).expect("the server answers");
    assert!(follower.command().starts_with("SELECT"));
    assert_eq!(follower.command(), "SET a 1");
    drop(follower);
    until(&mut wire, &["INFO", "replication"], "connected_slaves:0");
    wire.ask(&["SET", "b", "2"]).expect("the server answers");

    let mut back = Follower::attach(&server, &format!("PSYNC {name} 1\r\n"));
    assert_eq!(back.line(), "+CONTINUE");
    let mut missed = back.command();
    while missed != "SET b 2" {
        missed = back.command();
    }
    let mut stranger = Follower::attach(&server, "PSYNC 0123 1\r\n");
    assert!(stranger.line().starts_with(&format!("+FULLRESYNC {name} ")));
}

#[test]
fn a_real_server_becomes_a_replica() {
    let Some(real) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let server = crate::server();
    let mut wire = crate::connect(&server);
    for number in 0..1000 {
        let key = format!("key:{number}");
        wire.ask(&["SET", &key, "value"])
            .expect("the server answers");
    }
    wire.ask(&["ZADD", "scores", "1.5", "one"])
        .expect("the server answers");
    let replica = real.start().expect("a redis-server starts");
    let mut other = crate::connect(&replica);
    let port = server.port().to_string();
    other
        .ask(&["REPLICAOF", "127.0.0.1", &port])
        .expect("the replica answers");
    until(&mut wire, &["INFO", "replication"], "state=online");
    wire.ask(&["RPUSH", "queue", "a", "b"])
        .expect("the server answers");
    wire.ask(&["DEL", "key:7"]).expect("the server answers");
    let acknowledged = wire.ask(&["WAIT", "1", "0"]).expect("the server answers");
    assert_eq!(acknowledged.int(), Some(1));
    let size = other.ask(&["DBSIZE"]).expect("the replica answers");
    assert_eq!(size.int(), Some(1001));
    let queued = other.ask(&["LLEN", "queue"]).expect("the replica answers");
    assert_eq!(queued.int(), Some(2));
    let port = format!("port={}", replica.port());
    until(&mut wire, &["INFO", "replication"], &port);
}
