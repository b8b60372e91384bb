//! Connections that come, wait, go away in the middle of something, or never read; the others must notice nothing.

use std::io::{Read, Write};
use std::time::Duration;

use innkeep_test_server::Server;
use innkeep_test_server::wire::Wire;

const PATIENCE: usize = 100_000;

/// Asks again and again until the answer holds `words`.
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

fn until_blocked(observer: &mut Wire, clients: usize) {
    until(
        observer,
        &["INFO", "clients"],
        &format!("blocked_clients:{clients}\r\n"),
    );
}

/// A client that waits for an element, sent from here.
fn blocked(server: &Server, command: &[u8]) -> std::net::TcpStream {
    let mut stream = server.connect().expect("the server accepts");
    stream.write_all(command).expect("the server reads");
    stream
}

#[test]
fn half_a_command_and_then_silence_disturbs_nobody() {
    let server = crate::server();
    let silent: Vec<_> = [
        &b"*3\r\n$3\r\nSET\r\n$3\r\nke"[..],
        b"*1000000\r\n",
        b"*1\r\n$536870912\r\nx",
        b"GET ke",
        b"*",
    ]
    .iter()
    .map(|half| blocked(&server, half))
    .collect();
    let mut wire = crate::connect(&server);
    for _ in 0..1000 {
        assert!(
            wire.ask(&["PING"])
                .expect("the server answers")
                .is_status("PONG")
        );
    }
    drop(silent);
    assert!(
        wire.ask(&["EXISTS", "key"])
            .expect("the server answers")
            .int()
            == Some(0)
    );
    until(&mut wire, &["INFO", "clients"], "connected_clients:1\r\n");
}

#[test]
fn earlier_replies_of_a_pipeline_come_before_the_wait() {
    let server = crate::server();
    let mut waiter = blocked(&server, b"SET a 1\r\nGET a\r\nBLPOP queue 0\r\nGET a\r\n");
    let mut answer = [0; 12];
    waiter
        .read_exact(&mut answer)
        .expect("the first two replies come at once");
    assert_eq!(&answer, b"+OK\r\n$1\r\n1\r\n");
    let mut other = crate::connect(&server);
    until_blocked(&mut other, 1);
    other.ask(&["SET", "a", "2"]).expect("the server answers");
    other
        .ask(&["RPUSH", "queue", "x"])
        .expect("the server answers");
    let mut answer = [0; 29];
    waiter
        .read_exact(&mut answer)
        .expect("the element comes, and then the rest");
    assert_eq!(
        answer.escape_ascii().to_string(),
        b"*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n$1\r\n2\r\n"
            .escape_ascii()
            .to_string()
    );
}

#[test]
fn what_runs_out_within_a_transaction_is_handed_to_nobody() {
    let server = crate::server();
    let mut waiter = Wire::new(blocked(&server, b"BRPOP queue 0\r\n"));
    let mut other = crate::connect(&server);
    until_blocked(&mut other, 1);
    for command in [
        &["MULTI"][..],
        &["RPUSH", "queue", "early"],
        &["PEXPIRE", "queue", "1"],
        &["DEBUG", "SLEEP", "0.01"],
        &["EXEC"],
        &["RPUSH", "queue", "late"],
    ] {
        other.ask(command).expect("the server answers");
    }
    let served = waiter.receive().expect("it is served");
    assert_eq!(served.items()[1].bytes(), b"late");
}

#[test]
fn short_commands_and_others_keep_their_order_in_one_batch() {
    let server = crate::server();
    let mut waiter = Wire::new(blocked(&server, b"BRPOPLPUSH queue done 0\r\n"));
    until_blocked(&mut crate::connect(&server), 1);
    let abort = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n";
    let exchanges: [(&[&str], &str); 16] = [
        (&["SET", "a", "1"], "+OK\r\n"),
        (&["INCR", "a"], ":2\r\n"),
        (&["SET", "b", "3"], "+OK\r\n"),
        // It waits for locks of its own.
        (&["WATCH", "a"], "+OK\r\n"),
        (&["GET", "b"], "$1\r\n3\r\n"),
        // It gives back what WATCH has noted under the lock of a key that the batch looks into.
        (&["EXEC", "a"], abort),
        (&["GET", "a"], "$1\r\n2\r\n"),
        (&["MGET", "a", "b"], "*2\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        // Serving the waiter takes the lock of another key.
        (&["LPUSH", "queue", "x"], ":1\r\n"),
        (&["LLEN", "queue"], ":0\r\n"),
        (&["LLEN", "done"], ":1\r\n"),
        (&["SELECT", "1"], "+OK\r\n"),
        (&["GET", "a"], "$-1\r\n"),
        (&["SELECT", "0"], "+OK\r\n"),
        (&["FLUSHALL"], "+OK\r\n"),
        (&["GET", "a"], "$-1\r\n"),
    ];
    let mut request = String::new();
    for (words, _) in exchanges {
        request.push_str(&format!("*{}\r\n", words.len()));
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
    }
    let expected: String = exchanges.iter().map(|(_, reply)| *reply).collect();
    let mut stream = blocked(&server, request.as_bytes());
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("all is answered");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    assert_eq!(waiter.receive().expect("it is served").bytes(), b"x");
}

#[test]
fn what_comes_during_a_wait_is_executed_after_it() {
    let server = crate::server();
    let mut other = crate::connect(&server);
    let mut waiter = blocked(&server, b"SET a 1\r\nBLPOP queue 0\r\n");
    let mut answer = [0; 5];
    waiter
        .read_exact(&mut answer)
        .expect("the first reply comes at once");
    until_blocked(&mut other, 1);
    let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    for part in [&get[..10], &get[10..]] {
        waiter.write_all(part).expect("the server reads");
        other.ask(&["PING"]).expect("the server answers");
    }
    other
        .ask(&["RPUSH", "queue", "x"])
        .expect("the server answers");
    let mut answer = [0; 29];
    waiter
        .read_exact(&mut answer)
        .expect("the element and the value come");
    assert!(answer.ends_with(b"$1\r\n1\r\n"));
}

#[test]
fn a_waiter_that_went_away_takes_nothing_along() {
    let server = crate::server();
    let mut other = crate::connect(&server);
    for command in [
        &b"BLPOP queue 0\r\n"[..],
        b"BLMOVE queue taken LEFT RIGHT 0\r\n",
        b"BLMPOP 0 2 none queue LEFT\r\n",
    ] {
        let waiter = blocked(&server, command);
        until_blocked(&mut other, 1);
        drop(waiter);
        until_blocked(&mut other, 0);
        assert_eq!(
            other
                .ask(&["RPUSH", "queue", "x"])
                .expect("the server answers")
                .int(),
            Some(1)
        );
        assert_eq!(
            other
                .ask(&["LPOP", "queue"])
                .expect("the server answers")
                .bytes(),
            b"x"
        );
    }
}

#[test]
fn a_killed_waiter_leaves_its_place() {
    let server = crate::server();
    let mut other = crate::connect(&server);
    let mut killed = crate::connect(&server);
    let id = killed
        .ask(&["CLIENT", "ID"])
        .expect("the server answers")
        .int()
        .expect("a number")
        .to_string();
    let command: Vec<Vec<u8>> = ["BRPOP", "queue", "0"]
        .map(|word| word.as_bytes().to_vec())
        .to_vec();
    killed.send([command.as_slice()]).expect("the server reads");
    until_blocked(&mut other, 1);
    let mut second = blocked(&server, b"BRPOP queue 0\r\n");
    until_blocked(&mut other, 2);
    assert_eq!(
        other
            .ask(&["CLIENT", "KILL", "ID", &id])
            .expect("the server answers")
            .int(),
        Some(1)
    );
    until_blocked(&mut other, 1);
    other
        .ask(&["LPUSH", "queue", "x"])
        .expect("the server answers");
    let mut answer = [0; 21];
    second
        .read_exact(&mut answer)
        .expect("the second waiter is served");
    assert!(killed.receive().is_err(), "a killed connection is closed");
}

#[test]
fn who_ends_itself_in_a_transaction_has_its_answer_and_goes() {
    let server = crate::server();
    let mut client = crate::connect(&server);
    let id = client.ask(&["CLIENT", "ID"]).expect("the server answers");
    let id = id.int().expect("a number").to_string();
    for words in [
        &["MULTI"][..],
        &["CLIENT", "KILL", "ID", &id, "SKIPME", "NO"],
    ] {
        client.ask(words).expect("the server answers");
    }
    let answer = client.ask(&["EXEC"]).expect("the server answers");
    assert_eq!(answer.items()[0].int(), Some(1));
    assert!(client.receive().is_err(), "the connection is closed");
}

#[test]
fn waiters_are_served_in_the_order_of_arrival() {
    let server = crate::server();
    let mut other = crate::connect(&server);
    let mut waiters = Vec::new();
    for at in 0..10 {
        waiters.push(Wire::new(blocked(&server, b"BLPOP first queue 0\r\n")));
        until_blocked(&mut other, at + 1);
    }
    let mut push = vec!["RPUSH", "queue"];
    push.extend(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(
        other.ask(&push).expect("the server answers").int(),
        Some(10)
    );
    for (at, waiter) in waiters.iter_mut().enumerate() {
        let reply = waiter.receive().expect("every waiter is served");
        assert_eq!(
            reply.items().get(1).map(|item| item.bytes().to_vec()),
            Some(at.to_string().into_bytes())
        );
    }
    assert_eq!(
        other
            .ask(&["EXISTS", "queue"])
            .expect("the server answers")
            .int(),
        Some(0)
    );
}

#[test]
fn every_way_to_fill_a_list_wakes_its_waiter() {
    let ways: &[&[&[&str]]] = &[
        &[&["RPUSH", "other", "x"], &["RENAME", "other", "queue"]],
        &[&["RPUSH", "other", "x"], &["COPY", "other", "queue"]],
        &[
            &["RPUSH", "other", "x"],
            &["LMOVE", "other", "queue", "LEFT", "LEFT"],
        ],
        &[
            &["SELECT", "1"],
            &["RPUSH", "queue", "x"],
            &["MOVE", "queue", "0"],
            &["SELECT", "0"],
        ],
        &[
            &["SELECT", "1"],
            &["RPUSH", "queue", "x"],
            &["SWAPDB", "0", "1"],
            &["SELECT", "0"],
        ],
        &[
            &["MULTI"],
            &["RPUSH", "queue", "no"],
            &["LPOP", "queue"],
            &["RPUSH", "queue", "x"],
            &["EXEC"],
        ],
    ];
    for way in ways {
        let server = crate::server();
        let mut other = crate::connect(&server);
        let mut waiter = Wire::new(blocked(&server, b"BLPOP queue 0\r\n"));
        until_blocked(&mut other, 1);
        for command in *way {
            let reply = other.ask(command).expect("the server answers");
            assert!(!reply.is_error(), "{command:?}: {reply:?}");
        }
        let reply = waiter
            .receive()
            .unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(
            reply.items().last().map(|item| item.bytes().to_vec()),
            Some(b"x".to_vec()),
            "{way:?}"
        );
    }
}

#[test]
fn a_subscriber_that_never_reads_is_cut_off() {
    let server = crate::launch()
        .option("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        .start()
        .expect("the server starts");
    let mut deaf = blocked(&server, b"SUBSCRIBE rooms\r\n");
    let mut answer = [0; 31];
    deaf.read_exact(&mut answer).expect("it is subscribed");
    let mut publisher = crate::connect(&server);
    let message = "x".repeat(1 << 20);
    let cut = (0..200).any(|_| {
        publisher
            .ask(&["PUBLISH", "rooms", &message])
            .expect("the server answers")
            .int()
            == Some(0)
    });
    assert!(cut, "200 MB were kept for a subscriber that does not read");
}

#[test]
fn a_client_that_never_reads_disturbs_nobody() {
    let server = crate::server();
    let mut wire = crate::connect(&server);
    let value = "x".repeat(1 << 20);
    wire.ask(&["SET", "large", &value])
        .expect("the server answers");
    let deaf = blocked(&server, &b"GET large\r\n".repeat(64));
    for _ in 0..1000 {
        assert!(
            wire.ask(&["PING"])
                .expect("the server answers")
                .is_status("PONG")
        );
    }
    drop(deaf);
}

#[test]
fn a_large_value_goes_through_whole() {
    let server = crate::server();
    let mut wire = crate::connect(&server);
    let value: Vec<u8> = (0..32_u32 << 20)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect();
    let set: [Vec<u8>; 3] = [b"SET".to_vec(), b"large".to_vec(), value.clone()];
    wire.send([&set[..]]).expect("the server reads");
    assert!(wire.receive().expect("the server answers").is_status("OK"));
    assert!(
        wire.ask(&["GET", "large"])
            .expect("the server answers")
            .bytes()
            == value,
        "the value came back changed"
    );
}

#[test]
fn more_clients_than_allowed_are_told_so() {
    let server = crate::launch()
        .option("maxclients", "5")
        .start()
        .expect("the server starts");
    let mut wires: Vec<Wire> = Vec::new();
    let mut first = crate::connect(&server);
    until(&mut first, &["INFO", "clients"], "connected_clients:1\r\n");
    for _ in 0..4 {
        let mut wire = crate::connect(&server);
        assert!(
            wire.ask(&["PING"])
                .expect("the server answers")
                .is_status("PONG")
        );
        wires.push(wire);
    }
    let mut refused = crate::connect(&server);
    assert_eq!(
        refused.receive().expect("the reason is told").bytes(),
        b"ERR max number of clients reached"
    );
    drop(wires.pop());
    until(&mut first, &["INFO", "clients"], "connected_clients:4\r\n");
    assert!(
        crate::connect(&server)
            .ask(&["PING"])
            .expect("the server answers")
            .is_status("PONG")
    );
}

#[test]
fn an_idle_client_is_closed_after_its_timeout_but_no_subscriber() {
    let server = crate::launch()
        .option("timeout", "1")
        .start()
        .expect("the server starts");
    let mut subscriber = Wire::new(blocked(&server, b"SUBSCRIBE rooms\r\n"));
    subscriber.receive().expect("it is subscribed");
    let mut idle = server.connect().expect("the server accepts");
    idle.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout can be set");
    assert_eq!(idle.read(&mut [0; 1]).expect("the connection is closed"), 0);
    assert_eq!(
        crate::connect(&server)
            .ask(&["PUBLISH", "rooms", "x"])
            .expect("the server answers")
            .int(),
        Some(1)
    );
    subscriber.receive().expect("the subscriber is still there");
}

#[test]
fn a_password_is_asked_for() {
    let server = crate::launch().option("requirepass", "secret").start();
    let server = server.expect("the server starts");
    let mut wire = crate::connect(&server);
    let answer = |wire: &mut Wire, words: &[&str]| {
        String::from_utf8_lossy(wire.ask(words).expect("the server answers").bytes()).into_owned()
    };
    assert_eq!(
        answer(&mut wire, &["GET", "a"]),
        "NOAUTH Authentication required."
    );
    assert!(
        answer(&mut wire, &["HELLO", "3"])
            .starts_with("NOAUTH HELLO must be called with the client already authenticated")
    );
    assert_eq!(
        answer(&mut wire, &["AUTH", "wrong"]),
        "WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(answer(&mut wire, &["AUTH", "secret"]), "OK");
    assert_eq!(answer(&mut wire, &["SET", "a", "b"]), "OK");
    let mut wire = crate::connect(&server);
    let hello = wire
        .ask(&[
            "HELLO", "3", "AUTH", "default", "secret", "SETNAME", "guest",
        ])
        .expect("the server answers");
    assert_eq!(hello.kind, b'%');
    assert_eq!(answer(&mut wire, &["CLIENT", "GETNAME"]), "guest");
}
