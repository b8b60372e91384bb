//! The `redis` crate over sockets, synchronous: typed commands, pipelines, transactions, pub/sub, in RESP2 and RESP3.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use innkeep_test_server::Server;
use redis::{Client, Commands, Connection, ErrorKind, RedisResult, ServerErrorKind, Value};

const PROTOCOLS: [&str; 2] = ["resp2", "resp3"];

fn connections(server: &Server) -> Vec<Connection> {
    let tcp = PROTOCOLS
        .iter()
        .map(|protocol| format!("{}?protocol={protocol}", server.url()));
    let unix = PROTOCOLS
        .iter()
        .map(|protocol| format!("unix://{}?protocol={protocol}", server.socket().display()));
    tcp.chain(unix).map(|url| connect(&url)).collect()
}

fn connect(url: &str) -> Connection {
    let connection = Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("the server accepts");
    connection
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout can be set");
    connection
}

#[test]
fn typed_commands_over_tcp_and_unix_sockets() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.flushall()?;
        let () = connection.set("answer", 42)?;
        assert_eq!(connection.get::<_, Option<i64>>("answer")?, Some(42));
        assert_eq!(connection.get::<_, Option<String>>("nothing")?, None);
        let () = connection.set_ex("cached", "page", 60)?;
        assert!((50..=60).contains(&connection.ttl::<_, i64>("cached")?));
        assert_eq!(connection.incr::<_, _, i64>("answer", 8)?, 50);
        let () = connection.hset_multiple("session", &[("guest", "Ada"), ("room", "101")])?;
        let session: HashMap<String, String> = connection.hgetall("session")?;
        assert_eq!(session.get("room").map(String::as_str), Some("101"));
        let () = connection.zadd_multiple("jobs", &[(1.5, "a"), (f64::INFINITY, "b")])?;
        let jobs: Vec<(String, f64)> = connection.zrange_withscores("jobs", 0, -1)?;
        assert_eq!(
            jobs,
            [("a".to_owned(), 1.5), ("b".to_owned(), f64::INFINITY)]
        );
        assert_eq!(
            connection.zscore::<_, _, Option<f64>>("jobs", "nobody")?,
            None
        );
        let () = connection.sadd("seen", &["x", "y"])?;
        let seen: BTreeSet<String> = connection.smembers("seen")?;
        assert_eq!(seen, BTreeSet::from(["x".to_owned(), "y".to_owned()]));
        assert!(connection.sismember::<_, _, bool>("seen", "x")?);
        let binary: Vec<u8> = (0..=255).collect();
        let () = connection.set(&binary, &binary)?;
        assert_eq!(connection.get::<_, Vec<u8>>(&binary)?, binary);
    }
    Ok(())
}

#[test]
fn pipelines_answer_in_order() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.flushall()?;
        let mut pipeline = redis::pipe();
        for at in 0..3000 {
            pipeline.cmd("SET").arg(format!("k{at}")).arg(at).ignore();
            pipeline.cmd("GET").arg(format!("k{at}"));
        }
        let values: Vec<i64> = pipeline.query(&mut connection)?;
        assert_eq!(values, (0..3000).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn a_reliable_queue_loses_and_doubles_nothing() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.flushall()?;
        assert_eq!(connection.lpush::<_, _, i64>("mail", &["one", "two"])?, 2);
        assert_eq!(
            connection.brpoplpush::<_, _, String>("mail", "mail:processing", 1.0)?,
            "one"
        );
        assert_eq!(
            connection.lrem::<_, _, i64>("mail:processing", 1, "one")?,
            1
        );
        let popped: Option<(String, String)> = connection.blpop(&["nothing", "mail"], 1.0)?;
        assert_eq!(popped, Some(("mail".to_owned(), "two".to_owned())));
        let popped: Option<(String, String)> = connection.blpop("mail", 0.02)?;
        assert_eq!(popped, None);
        assert_eq!(connection.llen::<_, i64>("mail:processing")?, 0);
    }
    Ok(())
}

#[test]
fn transactions_watch_what_they_read() -> RedisResult<()> {
    let server = crate::server();
    let mut other = connect(&server.url());
    for mut connection in connections(&server) {
        let () = connection.set("rooms", 10)?;
        let mut interferences = 0;
        let (left,): (i64,) =
            redis::transaction(&mut connection, &["rooms"], |connection, pipeline| {
                let rooms: i64 = connection.get("rooms")?;
                if interferences < 2 {
                    interferences += 1;
                    let () = other.set("rooms", rooms + 5)?;
                }
                pipeline
                    .set("rooms", rooms - 1)
                    .ignore()
                    .get("rooms")
                    .query(connection)
            })?;
        assert_eq!(left, 19);
        assert_eq!(interferences, 2);
    }
    Ok(())
}

#[test]
fn a_failing_command_leaves_the_rest_of_its_transaction() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.set("text", "x")?;
        let result: RedisResult<Vec<Value>> = redis::pipe()
            .atomic()
            .set("done", 1)
            .incr("text", 1)
            .query(&mut connection);
        let error = result.expect_err("INCR of a text fails");
        assert!(error.to_string().contains("not an integer"), "{error}");
        assert_eq!(connection.get::<_, i64>("done")?, 1);
        let () = connection.del("done")?;
    }
    Ok(())
}

#[test]
fn errors_have_the_kinds_that_programs_match_on() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.set("text", "x")?;
        let error = connection
            .lpush::<_, _, i64>("text", "y")
            .expect_err("a wrong type");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let error = redis::cmd("EVALSHA")
            .arg("0".repeat(40))
            .arg(0)
            .exec(&mut connection)
            .expect_err("no script");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
        let error = redis::cmd("GET")
            .exec(&mut connection)
            .expect_err("too few arguments");
        assert!(
            error
                .to_string()
                .contains("wrong number of arguments for 'get' command"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn subscribers_hear_channels_and_patterns() -> RedisResult<()> {
    let server = crate::server();
    let mut publisher = connect(&server.url());
    for mut connection in connections(&server) {
        let mut subscriber = connection.as_pubsub();
        subscriber.subscribe(&["rooms", "orders"])?;
        subscriber.psubscribe("floor:*")?;
        assert_eq!(publisher.publish::<_, _, i64>("rooms", "clean")?, 1);
        assert_eq!(publisher.publish::<_, _, i64>("floor:2", "quiet")?, 1);
        let message = subscriber.get_message()?;
        assert_eq!(
            (
                message.get_channel_name(),
                message.get_payload::<String>()?.as_str()
            ),
            ("rooms", "clean")
        );
        let message = subscriber.get_message()?;
        assert_eq!(message.get_pattern::<String>()?, "floor:*");
        assert_eq!(message.get_channel_name(), "floor:2");
        subscriber.unsubscribe("rooms")?;
        assert_eq!(publisher.publish::<_, _, i64>("rooms", "unheard")?, 0);
        drop(subscriber);
        assert_eq!(
            connection.ping::<String>()?,
            "PONG",
            "an unsubscribed connection is a common one again"
        );
    }
    Ok(())
}

#[test]
fn scan_iterators_return_everything() -> RedisResult<()> {
    let server = crate::server();
    for mut connection in connections(&server) {
        let () = connection.flushall()?;
        let mut pipeline = redis::pipe();
        for at in 0..1000 {
            pipeline
                .set(format!("scan:{at}"), at)
                .ignore()
                .hset("hash", at, at)
                .ignore()
                .sadd("set", at)
                .ignore();
        }
        let () = pipeline.query(&mut connection)?;
        let keys: BTreeSet<String> = connection
            .scan_match("scan:*")?
            .collect::<RedisResult<_>>()?;
        assert_eq!(keys.len(), 1000);
        let fields: HashMap<i64, i64> = connection.hscan("hash")?.collect::<RedisResult<_>>()?;
        assert_eq!(fields.len(), 1000);
        let members: BTreeSet<i64> = connection.sscan("set")?.collect::<RedisResult<_>>()?;
        assert_eq!(members.len(), 1000);
    }
    Ok(())
}

#[test]
fn databases_and_passwords_are_part_of_the_address() -> RedisResult<()> {
    let server = innkeep_test_server::Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
        .option("requirepass", "room 101")
        .start()
        .expect("the server starts");
    let refused = Client::open(server.url()).and_then(|client| client.get_connection());
    let error = refused
        .and_then(|mut connection| connection.ping::<String>())
        .expect_err("a password is needed");
    assert_eq!(error.code(), Some("NOAUTH"));
    for protocol in PROTOCOLS {
        let url = format!(
            "redis://:room%20101@{}/3?protocol={protocol}",
            server.address()
        );
        let mut connection = connect(&url);
        let () = connection.set("here", 1)?;
        let info: String = redis::cmd("CLIENT").arg("INFO").query(&mut connection)?;
        assert!(info.contains(" db=3 "), "{info}");
        assert!(info.contains(&format!("resp={}", &protocol[4..])), "{info}");
    }
    Ok(())
}
