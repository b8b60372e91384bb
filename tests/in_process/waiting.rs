//! Blocking commands on threads: woken by others, in order of arrival, or by time.

use std::sync::mpsc;
use std::thread;

use innkeep::{Connection, Engine, Session};
use redis::{RedisResult, TypedCommands};

use super::{engine_with, until_blocked};

#[test]
fn a_push_wakes_a_thread() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut popper = engine.connection();
    let waiting = thread::spawn(move || popper.blpop(&["a", "b"], 0.0));
    until_blocked(&engine, 1);
    engine.connection().rpush("b", "element")?;
    let popped = waiting.join().expect("no panic")?;
    assert_eq!(popped, Some(["b".to_owned(), "element".to_owned()]));
    until_blocked(&engine, 0);
    Ok(())
}

#[test]
fn time_ends_a_wait() -> RedisResult<()> {
    let engine = Engine::in_memory();
    assert_eq!(engine.connection().blpop("none", 0.01)?, None);
    engine.connection().rpush("none", "element")?;
    assert_eq!(
        engine.connection().llen("none")?,
        1,
        "nobody waits any more"
    );
    Ok(())
}

/// Redis serves who waits for a key when it comes to be, not when a result takes the place of something else.
#[test]
fn a_result_in_the_place_of_another_type_wakes_nobody() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut other = engine.connection();
    other.rpush("numbers", &[2, 1])?;
    let mut popper = engine.connection();
    let waiting = thread::spawn(move || popper.blpop("result", 0.0));
    until_blocked(&engine, 1);
    let sort = |other: &mut Connection| -> RedisResult<usize> {
        let mut command = redis::cmd("SORT");
        command.arg(&["numbers", "STORE", "result"]);
        command.query(other)
    };
    other.set("result", "text")?;
    assert_eq!(sort(&mut other)?, 2);
    assert_eq!(other.llen("result")?, 2, "nobody has popped");
    other.del("result")?;
    assert_eq!(sort(&mut other)?, 2);
    let popped = waiting.join().expect("no panic")?;
    assert_eq!(popped, Some(["result".to_owned(), "1".to_owned()]));
    assert_eq!(other.llen("result")?, 1);
    Ok(())
}

#[test]
fn transactions_wake_when_they_are_over_and_never_wait() -> RedisResult<()> {
    let engine = Engine::in_memory();
    let mut popper = engine.connection();
    let waiting = thread::spawn(move || popper.blpop("l", 0.0));
    until_blocked(&engine, 1);
    let (pushed, popped): (i64, Option<String>) = redis::pipe()
        .atomic()
        .rpush("l", &["first", "second"])
        .lpop("l", None)
        .query(&mut engine.connection())?;
    assert_eq!((pushed, popped.as_deref()), (2, Some("first")));
    let popped = waiting.join().expect("no panic")?;
    assert_eq!(
        popped.map(|[_, element]| element).as_deref(),
        Some("second")
    );
    let (nothing,): (Option<String>,) = redis::pipe()
        .atomic()
        .blpop("l", 0.0)
        .query(&mut engine.connection())?;
    assert_eq!(nothing, None);
    Ok(())
}

/// The oldest waiter is served first, whatever it waits with.
fn waiters_are_served_in_order(shards: usize) {
    let engine = engine_with(shards);
    let (sender, served) = mpsc::channel();
    let threads: Vec<_> = (0..8_usize)
        .map(|number| {
            let (sender, mut session) = (sender.clone(), engine.session());
            let work = move || {
                wait_for_element(&mut session, number);
                sender.send(number).expect("the test waits");
            };
            let thread = thread::spawn(work);
            until_blocked(&engine, number + 1);
            thread
        })
        .collect();
    let mut pusher = engine.connection();
    for number in 0..threads.len() {
        pusher.rpush("queue", "element").expect("a list");
        assert_eq!(served.recv().expect("a waiter"), number);
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
}

fn wait_for_element(session: &mut Session, number: usize) {
    let destination = number.to_string();
    let command: [&[u8]; 6] = match number % 3 {
        0 => [
            b"BLMOVE",
            b"queue",
            destination.as_bytes(),
            b"LEFT",
            b"RIGHT",
            b"0",
        ],
        1 => [b"BLMPOP", b"0", b"2", b"elsewhere", b"queue", b"LEFT"],
        _ => [b"BLPOP", b"here", b"there", b"elsewhere", b"queue", b"0"],
    };
    session.execute(&command);
}

#[test]
fn waiters_are_served_in_order_in_one_shard() {
    waiters_are_served_in_order(1);
}

#[test]
fn waiters_are_served_in_order_in_many_shards() {
    waiters_are_served_in_order(64);
}
