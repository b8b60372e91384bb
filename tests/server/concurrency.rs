//! Many connections at once on the same keys, and what must hold however they interleave.

use std::collections::BTreeSet;
use std::thread;

use innkeep_test_server::Server;
use innkeep_test_server::wire::{Reply, Wire};

const CLIENTS: usize = 8;

/// Runs the same work on a connection each, at the same time, and returns what they return.
fn together<Outcome: Send>(
    server: &Server,
    clients: usize,
    work: impl Fn(usize, &mut Wire) -> Outcome + Sync,
) -> Vec<Outcome> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|at| scope.spawn(move || work(at, &mut crate::connect(server))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the work is done"))
            .collect()
    })
}

fn ask(wire: &mut Wire, words: &[&str]) -> Reply {
    let reply = wire.ask(words).expect("the server answers");
    assert!(!reply.is_error(), "{words:?}: {reply:?}");
    reply
}

fn number(reply: &Reply) -> i64 {
    std::str::from_utf8(reply.bytes())
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

#[test]
fn counters_count_everything() {
    let server = crate::server();
    together(&server, CLIENTS, |_, wire| {
        for at in 0..500 {
            ask(wire, &["INCR", "total"]);
            ask(wire, &["HINCRBY", "hash", &(at % 10).to_string(), "1"]);
            ask(wire, &["ZINCRBY", "zset", "1", &(at % 10).to_string()]);
        }
    });
    let mut wire = crate::connect(&server);
    let expected = i64::try_from(CLIENTS * 500).expect("a small number");
    assert_eq!(number(&ask(&mut wire, &["GET", "total"])), expected);
    assert_eq!(
        ask(&mut wire, &["HVALS", "hash"])
            .items()
            .iter()
            .map(number)
            .sum::<i64>(),
        expected
    );
    let scores = ask(&mut wire, &["ZRANGE", "zset", "0", "-1", "WITHSCORES"]);
    assert_eq!(
        scores
            .items()
            .iter()
            .skip(1)
            .step_by(2)
            .map(number)
            .sum::<i64>(),
        expected
    );
}

#[test]
fn transactions_keep_a_sum() {
    const ACCOUNTS: usize = 5;
    const WEALTH: i64 = 1000;
    let server = crate::server();
    let accounts: Vec<String> = (0..ACCOUNTS).map(|at| format!("account:{at}")).collect();
    let mut wire = crate::connect(&server);
    for account in &accounts {
        ask(&mut wire, &["SET", account, &WEALTH.to_string()]);
    }
    let whole = WEALTH * i64::try_from(ACCOUNTS).expect("a small number");
    let mut read_all = vec!["MGET"];
    read_all.extend(accounts.iter().map(String::as_str));
    let done = together(&server, CLIENTS, |client, wire| {
        let mut done = 0;
        for at in 0..200 {
            let from = &accounts[(client + at) % ACCOUNTS];
            let to = &accounts[(client + at * 3 + 1) % ACCOUNTS];
            ask(wire, &["WATCH", from, to]);
            let balance = number(&ask(wire, &["GET", from]));
            ask(wire, &["MULTI"]);
            ask(wire, &["SET", from, &(balance - 1).to_string()]);
            ask(wire, &["INCRBY", to, "1"]);
            let executed = ask(wire, &["EXEC"]).items().len();
            done += if executed == 2 && from != to { 1 } else { 0 };
            // A transfer from an account to itself gives the one back that it took.
            let sum: i64 = ask(wire, &read_all).items().iter().map(number).sum();
            assert_eq!(sum, whole, "a reader saw half a transfer");
        }
        done
    });
    assert!(done.iter().sum::<usize>() > 0, "no transfer came through");
}

#[test]
fn many_keys_are_written_at_once_or_not_at_all() {
    let server = crate::server();
    let keys: Vec<String> = (0..20).map(|at| format!("key:{at}")).collect();
    together(&server, CLIENTS, |client, wire| {
        for at in 0..200 {
            let value = format!("{client}:{at}");
            let mut write = vec!["MSET"];
            write.extend(keys.iter().flat_map(|key| [key.as_str(), value.as_str()]));
            ask(wire, &write);
            let mut read = vec!["MGET"];
            read.extend(keys.iter().map(String::as_str));
            let values: BTreeSet<Vec<u8>> = ask(wire, &read)
                .items()
                .iter()
                .map(|item| item.bytes().to_vec())
                .collect();
            assert_eq!(values.len(), 1, "a reader saw half an MSET");
        }
    });
}

#[test]
fn every_element_of_a_queue_is_delivered_once() {
    const EACH: usize = 300;
    let server = crate::server();
    let taken = together(&server, CLIENTS, |client, wire| {
        let mut taken = Vec::new();
        if client % 2 == 0 {
            for at in 0..EACH {
                ask(wire, &["LPUSH", "mail", &format!("{client}:{at}")]);
            }
            return taken;
        }
        loop {
            let element = match client {
                1 => ask(wire, &["BRPOPLPUSH", "mail", "processing", "1"]),
                3 => ask(
                    wire,
                    &["BLMOVE", "mail", "processing", "RIGHT", "LEFT", "1"],
                ),
                _ => ask(wire, &["BRPOP", "other", "mail", "1"])
                    .items()
                    .get(1)
                    .cloned()
                    .unwrap_or_else(|| ask(wire, &["GET", "nothing"])),
            };
            if element.kind != b'$' || element.bytes().is_empty() {
                return taken;
            }
            let element = String::from_utf8_lossy(element.bytes()).into_owned();
            if client < 4 {
                assert_eq!(
                    ask(wire, &["LREM", "processing", "1", &element]).int(),
                    Some(1)
                );
            }
            taken.push(element);
        }
    });
    let all: Vec<String> = taken.into_iter().flatten().collect();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!(
        (all.len(), distinct.len()),
        (EACH * CLIENTS / 2, EACH * CLIENTS / 2)
    );
    let mut wire = crate::connect(&server);
    assert_eq!(
        ask(&mut wire, &["EXISTS", "mail", "processing"]).int(),
        Some(0)
    );
}

#[test]
fn a_producer_s_elements_arrive_in_order() {
    const EACH: usize = 500;
    let server = crate::server();
    let received = together(&server, 2, |client, wire| {
        let mut received = Vec::new();
        for at in 0..EACH {
            if client == 0 {
                ask(wire, &["RPUSH", "mail", &at.to_string()]);
            } else {
                let reply = ask(wire, &["BLPOP", "mail", "20"]);
                received.push(number(reply.items().get(1).expect("an element came")));
            }
        }
        received
    });
    let expected: Vec<i64> = (0..i64::try_from(EACH).expect("a small number")).collect();
    assert_eq!(received[1], expected);
}

#[test]
fn a_lock_is_held_by_one() {
    let server = crate::server();
    together(&server, CLIENTS, |client, wire| {
        let me = client.to_string();
        let mut held = 0;
        while held < 50 {
            if !ask(wire, &["SET", "lock", &me, "NX", "PX", "60000"]).is_status("OK") {
                continue;
            }
            assert_eq!(
                number(&ask(wire, &["INCR", "inside"])),
                1,
                "two held the lock"
            );
            ask(wire, &["DECR", "inside"]);
            assert_eq!(ask(wire, &["GETDEL", "lock"]).bytes(), me.as_bytes());
            held += 1;
        }
    });
}

#[test]
fn what_is_popped_for_a_client_that_is_unblocked_is_not_lost() {
    const ELEMENTS: usize = 300;
    let server = crate::server();
    let mut worker = crate::connect(&server);
    let id = ask(&mut worker, &["CLIENT", "ID"])
        .int()
        .expect("a number")
        .to_string();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = crate::connect(&server);
            for at in 0..ELEMENTS {
                ask(&mut wire, &["RPUSH", "mail", &at.to_string()]);
            }
        });
        scope.spawn(|| {
            let mut wire = crate::connect(&server);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                ask(&mut wire, &["CLIENT", "UNBLOCK", &id]);
            }
        });
        let mut expected = 0;
        while expected < ELEMENTS {
            let reply = ask(&mut worker, &["BLPOP", "mail", "20"]);
            if let Some(element) = reply.items().get(1) {
                assert_eq!(
                    element.bytes(),
                    expected.to_string().as_bytes(),
                    "an element was lost"
                );
                expected += 1;
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
