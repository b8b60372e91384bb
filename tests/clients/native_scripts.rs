//! The scripts that every innkeep has, called as the `redis` crate calls a script: EVALSHA, and EVAL after NOSCRIPT.
//! No other server knows them, so these tests ask it first.

use redis::{Client, Commands, Connection, RedisResult, Script};

/// A connection, unless the server under test is another product.
fn connect(server: &innkeep_test_server::Server) -> Option<Connection> {
    let client = Client::open(server.url()).expect("an address");
    let mut connection = client.get_connection().expect("the server accepts");
    let known: RedisResult<i64> = Script::new("innkeep.lock.release")
        .key("lock")
        .arg("me")
        .invoke(&mut connection);
    match known {
        Ok(_) => Some(connection),
        Err(error) if std::env::var_os(innkeep_test_server::SERVER_VARIABLE).is_some() => {
            println!("skipped: this server has no native scripts: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

type Limit = (i64, i64, i64);

#[test]
fn limits_let_through_what_they_say() -> RedisResult<()> {
    let server = crate::server();
    let Some(mut connection) = connect(&server) else {
        return Ok(());
    };
    let calls: [(&str, &[&str]); 4] = [
        ("innkeep.limit.fixed_window", &["3", "600000"]),
        ("innkeep.limit.sliding_window", &["3", "600000"]),
        ("innkeep.limit.token_bucket", &["3", "0.001"]),
        ("innkeep.limit.gcra", &["3", "1", "600000"]),
    ];
    for (name, arguments) in calls {
        let script = Script::new(name);
        let mut call = script.key(name);
        for argument in arguments {
            call.arg(*argument);
        }
        for left in [2, 1, 0] {
            assert_eq!(
                call.invoke::<Limit>(&mut connection)?,
                (1, left, 0),
                "{name}"
            );
        }
        let (allowed, left, retry_ms): Limit = call.invoke(&mut connection)?;
        assert!(
            (allowed, left) == (0, 0) && (1..=1_000_000).contains(&retry_ms),
            "{name}: {retry_ms}"
        );
        assert!(
            connection.pttl::<_, i64>(name)? > 0,
            "{name} would live for ever"
        );
    }
    let count = Script::new("innkeep.limit.count");
    for expected in 1..=3 {
        assert_eq!(
            count
                .key("count")
                .arg(60_000)
                .invoke::<i64>(&mut connection)?,
            expected
        );
    }
    Ok(())
}

#[test]
fn a_lock_is_taken_prolonged_and_given_back_by_its_owner_only() -> RedisResult<()> {
    let server = crate::server();
    let Some(mut connection) = connect(&server) else {
        return Ok(());
    };
    let mut call = |name: &str, arguments: &[&str]| -> RedisResult<i64> {
        let script = Script::new(name);
        let mut call = script.key("lock");
        for argument in arguments {
            call.arg(*argument);
        }
        call.invoke(&mut connection)
    };
    assert_eq!(call("innkeep.lock.acquire", &["me", "60000"])?, 1);
    assert_eq!(
        call("innkeep.lock.acquire", &["me", "60000"])?,
        1,
        "an answer may be lost"
    );
    assert_eq!(call("innkeep.lock.acquire", &["you", "60000"])?, 0);
    assert_eq!(call("innkeep.lock.extend", &["you", "90000"])?, 0);
    assert_eq!(call("innkeep.lock.extend", &["me", "90000"])?, 1);
    assert_eq!(call("innkeep.lock.release", &["you"])?, 0);
    assert_eq!(call("innkeep.lock.release", &["me"])?, 1);
    assert_eq!(call("innkeep.lock.acquire", &["you", "60000"])?, 1);
    // The release as clients send it, in Lua.
    let lua = r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#;
    assert_eq!(call(lua, &["me"])?, 0);
    assert_eq!(call(lua, &["you"])?, 1);
    Ok(())
}

#[test]
fn a_message_is_seen_for_the_first_time_once() -> RedisResult<()> {
    let server = crate::server();
    let Some(mut connection) = connect(&server) else {
        return Ok(());
    };
    let first = Script::new("innkeep.dedup.first");
    for expected in [1, 0, 0] {
        assert_eq!(
            first
                .key("message:1")
                .arg(60_000)
                .invoke::<i64>(&mut connection)?,
            expected
        );
    }
    assert_eq!(
        first
            .key("message:2")
            .arg(60_000)
            .invoke::<i64>(&mut connection)?,
        1
    );
    Ok(())
}

#[test]
fn due_jobs_are_promoted_and_stale_ones_reclaimed() -> RedisResult<()> {
    let server = crate::server();
    let Some(mut connection) = connect(&server) else {
        return Ok(());
    };
    let far = 4_000_000_000_000_i64;
    let () = connection.zadd_multiple("delayed", &[(1, "due"), (2, "due too"), (far, "later")])?;
    let promote = Script::new("innkeep.queue.promote");
    let _: redis::Value = promote
        .key("delayed")
        .key("ready")
        .invoke(&mut connection)?;
    assert_eq!(connection.llen::<_, i64>("ready")?, 2);
    assert_eq!(
        connection.zrange::<_, Vec<String>>("delayed", 0, -1)?,
        ["later"]
    );
    let () = connection.zadd_multiple("taken", &[(1, "stale"), (far, "fresh")])?;
    let reclaim = Script::new("innkeep.queue.reclaim");
    let _: redis::Value = reclaim
        .key("taken")
        .key("ready")
        .arg(60_000)
        .invoke(&mut connection)?;
    assert_eq!(connection.llen::<_, i64>("ready")?, 3);
    assert_eq!(
        connection.zrange::<_, Vec<String>>("taken", 0, -1)?,
        ["fresh"]
    );
    // An entry of a list is stale when it was seen there long enough ago; the first look only takes the time.
    let () = connection.lpush("processing", "job")?;
    let reclaim = Script::new("innkeep.queue.reclaim_list");
    let mut call = reclaim.prepare_invoke();
    call.key("processing").key("times").key("ready").arg(1);
    for _ in 0..1_000_000 {
        let _: redis::Value = call.invoke(&mut connection)?;
        if connection.llen::<_, i64>("processing")? == 0 {
            break;
        }
    }
    assert_eq!(connection.llen::<_, i64>("ready")?, 4);
    Ok(())
}

#[test]
fn scripts_answer_to_fcall_and_in_transactions() -> RedisResult<()> {
    let server = crate::server();
    let Some(mut connection) = connect(&server) else {
        return Ok(());
    };
    let mut fcall = redis::cmd("FCALL");
    fcall
        .arg("innkeep.limit.count")
        .arg(1)
        .arg("count")
        .arg(60_000);
    assert_eq!(fcall.query::<i64>(&mut connection)?, 1);
    let (counted, value): (i64, i64) = redis::pipe()
        .atomic()
        .add_command(fcall)
        .get("count")
        .query(&mut connection)?;
    assert_eq!((counted, value), (2, 2));
    let sha = Script::new("innkeep.limit.count").get_hash().to_owned();
    let loaded: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg("innkeep.limit.count")
        .query(&mut connection)?;
    assert_eq!(loaded, sha);
    Ok(())
}
