//! What is forbidden or withheld: renamed commands, users, and time while clients are paused.

use innkeep::{Config, Engine, Response, Session};

fn ask(session: &mut Session, line: &str) -> Response {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    session.execute(&words)
}

fn ok() -> Response {
    Response::Simple("OK".into())
}

fn configured(lines: &str) -> Engine {
    let mut config = Config::default();
    config
        .load_text(lines.as_bytes())
        .expect("the lines are right");
    config.assign(b"appendonly", b"no").expect("it is known");
    Engine::open(config).expect("nothing on disk is touched")
}

#[test]
fn a_renamed_command_has_its_new_name_only() {
    let engine = configured("rename-command flushall \"\"\nrename-command SET store");
    let mut session = engine.session();
    let unknown = |name: &str, rest: &str| {
        Response::Error(format!(
            "ERR unknown command '{name}', with args beginning with: {rest}"
        ))
    };
    assert_eq!(ask(&mut session, "FLUSHALL"), unknown("FLUSHALL", ""));
    assert_eq!(ask(&mut session, "set a 1"), unknown("set", "'a' '1' "));
    assert_eq!(ask(&mut session, "MULTI"), ok());
    assert_eq!(
        ask(&mut session, "Store a 1"),
        Response::Simple("QUEUED".into())
    );
    assert_eq!(ask(&mut session, "EXEC"), Response::Array(vec![ok()]));
    assert_eq!(ask(&mut session, "GET a"), Response::Bulk(b"1".to_vec()));
}

#[test]
fn rights_that_shrink_hold_at_once() {
    let engine = configured("user ada on nopass ~a* +@all");
    let (mut root, mut ada) = (engine.session(), engine.session());
    assert_eq!(ask(&mut ada, "AUTH ada x"), ok());
    assert_eq!(ask(&mut ada, "SET a 1"), ok());
    assert_eq!(
        ask(&mut ada, "SET b 1"),
        Response::Error(
            "NOPERM this user has no permissions to access one of the keys used as arguments"
                .into()
        )
    );
    ask(&mut ada, "MULTI");
    ask(&mut ada, "INCR a");
    assert_eq!(ask(&mut root, "ACL SETUSER ada -incr"), ok());
    let Response::Array(answers) = ask(&mut ada, "EXEC") else {
        panic!("EXEC answers for each command");
    };
    assert!(
        matches!(&answers[..], [Response::Error(text)] if text.starts_with("NOPERM ACLs rules changed")),
        "{answers:?}"
    );
    assert_eq!(ask(&mut root, "ACL DELUSER ada"), Response::Int(1));
    assert!(matches!(ask(&mut ada, "GET a"), Response::Error(_)));
}

#[test]
fn nothing_expires_while_writes_are_paused() {
    let engine = configured("");
    let mut session = engine.session();
    engine.keyspace().set_now_ms(Some(1_000_000));
    ask(&mut session, "SET a 1 PX 10");
    ask(&mut session, "HSET h f 1 g 2");
    ask(&mut session, "HPEXPIRE h 10 FIELDS 1 f");
    ask(&mut session, "HSET none f 1");
    ask(&mut session, "HPEXPIRE none 10 FIELDS 1 f");
    ask(&mut session, "CLIENT PAUSE 100000 WRITE");
    engine.keyspace().set_now_ms(Some(1_001_000));
    assert_eq!(ask(&mut session, "GET a"), Response::Null);
    assert_eq!(ask(&mut session, "HGET h f"), Response::Null);
    assert_eq!(ask(&mut session, "HLEN h"), Response::Int(1));
    assert_eq!(ask(&mut session, "HGET none f"), Response::Null);
    assert_eq!(ask(&mut session, "DBSIZE"), Response::Int(3));
    ask(&mut session, "CLIENT UNPAUSE");
    assert_eq!(ask(&mut session, "GET a"), Response::Null);
    assert_eq!(
        ask(&mut session, "HGETALL none"),
        Response::Array(Vec::new())
    );
    assert_eq!(ask(&mut session, "HLEN h"), Response::Int(1));
    assert_eq!(ask(&mut session, "DBSIZE"), Response::Int(1));
}
