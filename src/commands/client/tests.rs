//! CLIENT against two registered clients, without connections.

use std::sync::Arc;

use super::*;
use crate::commands::testing::Harness;
use crate::keyspace::Waiter;
use crate::reply::Response;

fn ok() -> Response {
    Response::Simple("OK".into())
}

/// A harness whose session is registered as client 1, and a second client.
fn two_clients() -> (Harness, Arc<ClientInfo>) {
    let harness = Harness::new();
    let other = Arc::new(ClientInfo {
        id: 2,
        addr: "127.0.0.1:5000".to_owned(),
        laddr: "127.0.0.1:6379".to_owned(),
        created_ms: 999_990_000,
        ..ClientInfo::default()
    });
    let clients = &harness.services.clients;
    clients.add(Arc::clone(&harness.session.info));
    clients.add(Arc::clone(&other));
    (harness, other)
}

fn text(response: Response) -> String {
    match response {
        Response::Bulk(text) => String::from_utf8(text).expect("the list is ASCII here"),
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn names_and_libraries() {
    let mut harness = Harness::new();
    assert_eq!(harness.run("CLIENT GETNAME"), Response::Null);
    assert_eq!(harness.run("CLIENT SETNAME me"), ok());
    assert_eq!(harness.run("CLIENT SETINFO lib-name redis-py"), ok());
    assert_eq!(harness.run("CLIENT SETINFO LIB-VER 1.2"), ok());
    let line = text(harness.run("CLIENT INFO"));
    assert!(line.contains(" name=me "), "{line}");
    assert!(
        line.ends_with(" redir=-1 resp=2 lib-name=redis-py lib-ver=1.2\n"),
        "{line}"
    );
    let refused: [(&[&[u8]], &str); 3] = [
        (
            &[b"CLIENT", b"SETNAME", b"a b"],
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        (
            &[b"CLIENT", b"SETINFO", b"lib-ver", b"a\n"],
            "ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        (
            &[b"CLIENT", b"SETINFO", b"x", b"a"],
            "ERR Unrecognized option 'x'",
        ),
    ];
    for (words, error) in refused {
        assert_eq!(harness.run_words(words), Response::Error(error.to_owned()));
    }
    assert_eq!(harness.run("CLIENT SETNAME \"\""), ok());
    assert_eq!(harness.run("CLIENT GETNAME"), Response::Null);
}

#[test]
fn a_line_has_the_fields_in_order() {
    let (mut harness, _) = two_clients();
    let list = text(harness.run("CLIENT LIST"));
    let line = list.lines().nth(1).expect("two clients are listed");
    let names: Vec<&str> = line
        .split(' ')
        .filter_map(|field| field.split('=').next())
        .collect();
    let expected = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem \
                    rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";
    assert_eq!(names.join(" "), expected);
    assert!(line.starts_with("id=2 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=0 name= age=10 "));
    assert!(
        line.contains(" flags=N ")
            && line.contains(" multi=-1 ")
            && line.contains(" cmd=NULL user=default ")
    );
    assert!(list.contains(" cmd=client|list "));
}

#[test]
fn lists_are_filtered() {
    let (mut harness, other) = two_clients();
    other.set_flag(ClientFlags::PUBSUB, true);
    assert_eq!(
        text(harness.run("CLIENT LIST TYPE pubsub")).lines().count(),
        1
    );
    assert_eq!(
        text(harness.run("CLIENT LIST TYPE normal")).lines().count(),
        1
    );
    assert_eq!(text(harness.run("CLIENT LIST TYPE replica")), "");
    assert_eq!(text(harness.run("CLIENT LIST ID 2 1 7")).lines().count(), 2);
    for (line, error) in [
        ("CLIENT LIST x", "ERR syntax error"),
        ("CLIENT LIST ID", "ERR syntax error"),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("CLIENT LIST TYPE x", "ERR Unknown client type 'x'"),
    ] {
        assert_eq!(harness.run(line), Response::Error(error.to_owned()));
    }
}

#[test]
fn killing() {
    let (mut harness, other) = two_clients();
    assert_eq!(
        harness.run("CLIENT KILL ID 2 TYPE pubsub"),
        Response::Int(0)
    );
    assert_eq!(harness.run("CLIENT KILL MAXAGE 11"), Response::Int(0));
    assert!(!other.mailbox.is_killed());
    assert_eq!(harness.run("CLIENT KILL 127.0.0.1:5000"), ok());
    assert!(other.mailbox.is_killed());
    assert_eq!(harness.outcome, Some(Outcome::Done));
    assert_eq!(harness.run("CLIENT KILL USER default"), Response::Int(0));
    assert_eq!(harness.run("CLIENT KILL ID 1 SKIPME no"), Response::Int(1));
    assert_eq!(harness.outcome, Some(Outcome::Close));
    for (line, error) in [
        ("CLIENT KILL 1.1.1.1:1", "ERR No such client"),
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID x", "ERR client-id should be greater than 0"),
        ("CLIENT KILL TYPE x", "ERR Unknown client type 'x'"),
        ("CLIENT KILL USER x", "ERR No such user 'x'"),
        ("CLIENT KILL USER x odd", "ERR No such user 'x'"),
        ("CLIENT KILL USER default odd", "ERR syntax error"),
        ("CLIENT KILL SKIPME x", "ERR syntax error"),
        ("CLIENT KILL SKIPME no x", "ERR syntax error"),
        (
            "CLIENT KILL MAXAGE 0",
            "ERR maxage should be greater than 0",
        ),
        (
            "CLIENT KILL MAXAGE x",
            "ERR maxage is not an integer or out of range",
        ),
    ] {
        assert_eq!(harness.run(line), Response::Error(error.to_owned()));
    }
}

#[test]
fn unblocking_claims_the_waiter() {
    let (mut harness, other) = two_clients();
    assert_eq!(harness.run("CLIENT UNBLOCK 2"), Response::Int(0));
    let waiter = std::sync::Arc::new(Waiter::new(2, &[b"BLPOP"], 0, false, 0, Vec::new()));
    *other.blocked.lock() = Some(Arc::clone(&waiter));
    assert_eq!(harness.run("CLIENT UNBLOCK 2 ERROR"), Response::Int(1));
    assert_eq!(harness.run("CLIENT UNBLOCK 2"), Response::Int(0));
    let std::task::Poll::Ready(outcome) = waiter.poll(std::task::Waker::noop()) else {
        panic!("the outcome is delivered at once");
    };
    assert_eq!(outcome.downcast_ref(), Some(&UnblockKind::Error));
    for (line, error) in [
        (
            "CLIENT UNBLOCK x",
            "ERR value is not an integer or out of range",
        ),
        (
            "CLIENT UNBLOCK 1 x",
            "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        ),
        (
            "CLIENT UNBLOCK 1 ERROR x",
            "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
        ),
    ] {
        assert_eq!(harness.run(line), Response::Error(error.to_owned()));
    }
}

#[test]
fn pauses_add_up() {
    let mut harness = Harness::new();
    let now = 1_000_000_000;
    assert_eq!(harness.run("CLIENT PAUSE 1000 WRITE"), ok());
    let paused = |only_writes| {
        Some(Paused {
            until_ms: now + 1000,
            only_writes,
        })
    };
    assert_eq!(harness.services.pause.get(), paused(true));
    assert_eq!(harness.run("CLIENT PAUSE 10"), ok());
    assert_eq!(harness.services.pause.get(), paused(false));
    assert_eq!(harness.run("CLIENT UNPAUSE"), ok());
    assert_eq!(harness.services.pause.get(), None);
    for (line, error) in [
        (
            "CLIENT PAUSE x",
            "ERR timeout is not an integer or out of range",
        ),
        ("CLIENT PAUSE -1", "ERR timeout is negative"),
        (
            "CLIENT PAUSE 1 x",
            "ERR CLIENT PAUSE mode must be WRITE or ALL",
        ),
    ] {
        assert_eq!(harness.run(line), Response::Error(error.to_owned()));
    }
}

#[test]
fn reply_modes() {
    let mut harness = Harness::new();
    harness.run("CLIENT REPLY skip");
    assert_eq!(harness.session.reply_mode, ReplyMode::SkipNext);
    harness.run("CLIENT REPLY off");
    harness.run("CLIENT REPLY skip");
    assert_eq!(harness.session.reply_mode, ReplyMode::Off);
    assert_eq!(harness.run("CLIENT REPLY on"), ok());
    assert_eq!(
        harness.run("CLIENT REPLY x"),
        Response::Error("ERR syntax error".into())
    );
    assert_eq!(
        harness.run("CLIENT NO-TOUCH x"),
        Response::Error("ERR syntax error".into())
    );
    assert_eq!(harness.run("CLIENT NO-EVICT on"), ok());
    let Response::Array(lines) = harness.run("CLIENT HELP") else {
        panic!("HELP answers an array");
    };
    let first = "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    assert_eq!(lines.first(), Some(&Response::Simple(first.into())));
}
