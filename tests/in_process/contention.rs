//! Many threads on the same keys, with one shard and with many: sums kept by transactions, and queues that deliver
//! every element once.

use std::collections::BTreeSet;
use std::thread;

use innkeep::{Connection, Engine};
use redis::{RedisResult, TypedCommands, Value, pipe};

use super::engine_with;

const ACCOUNTS: u64 = 7;
const THREADS: u64 = 8;
const ROUNDS: u64 = 300;

/// Accounts whose sum nothing may change, and their keys.
fn open_accounts(engine: &Engine) -> RedisResult<Vec<String>> {
    let keys: Vec<String> = (0..ACCOUNTS)
        .map(|number| format!("account:{number}"))
        .collect();
    let mut connection = engine.connection();
    for key in &keys {
        connection.set(key, 1000)?;
    }
    Ok(keys)
}

fn sum(connection: &mut Connection, keys: &[String]) -> RedisResult<i64> {
    let balances: Vec<i64> = redis::Commands::mget(connection, keys)?;
    Ok(balances.iter().sum())
}

/// The accounts of one transfer: never the same twice.
fn pair(thread: u64, round: u64) -> (usize, usize) {
    let from = (thread * 31 + round * 17) % ACCOUNTS;
    let to = (from + 1 + round % (ACCOUNTS - 1)) % ACCOUNTS;
    (from as usize, to as usize)
}

/// Runs `transfer` from many threads while another one watches that the sum stays.
fn keep_the_sum(
    shards: usize,
    transfer: fn(&mut Connection, &str, &str, i64) -> RedisResult<()>,
) -> RedisResult<()> {
    let engine = engine_with(shards);
    let keys = open_accounts(&engine)?;
    thread::scope(|scope| {
        let work = |number: u64| {
            let (mut connection, keys) = (engine.connection(), &keys);
            move || -> RedisResult<()> {
                for round in 0..ROUNDS {
                    let (from, to) = pair(number, round);
                    transfer(&mut connection, &keys[from], &keys[to], (round % 9) as i64)?;
                }
                Ok(())
            }
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(work(number)))
            .collect();
        let mut watcher = engine.connection();
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert_eq!(sum(&mut watcher, &keys)?, 7000);
        }
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        assert_eq!(sum(&mut watcher, &keys)?, 7000);
        Ok(())
    })
}

fn by_transaction(
    connection: &mut Connection,
    from: &str,
    to: &str,
    amount: i64,
) -> RedisResult<()> {
    pipe()
        .atomic()
        .decr(from, amount)
        .incr(to, amount)
        .exec(connection)
}

fn by_watching(connection: &mut Connection, from: &str, to: &str, amount: i64) -> RedisResult<()> {
    let _: Value = redis::transaction(connection, &[from, to], |connection, pipe| {
        let have = connection.get_int(from)?.unwrap_or(0) as i64;
        let has = connection.get_int(to)?.unwrap_or(0) as i64;
        pipe.set(from, have - amount)
            .set(to, has + amount)
            .query(connection)
    })?;
    Ok(())
}

#[test]
fn transactions_keep_the_sum_in_one_shard() -> RedisResult<()> {
    keep_the_sum(1, by_transaction)
}

#[test]
fn transactions_keep_the_sum_in_many_shards() -> RedisResult<()> {
    keep_the_sum(64, by_transaction)
}

#[test]
fn watching_keeps_the_sum_in_one_shard() -> RedisResult<()> {
    keep_the_sum(1, by_watching)
}

#[test]
fn watching_keeps_the_sum_in_many_shards() -> RedisResult<()> {
    keep_the_sum(64, by_watching)
}

/// Takes elements until the end mark, in one of three ways.
fn consume(engine: &Engine, number: usize) -> RedisResult<Vec<u64>> {
    let mut connection = engine.connection();
    let own = format!("processing:{number}");
    let mut taken = Vec::new();
    loop {
        let element = match number % 3 {
            0 => {
                let element = connection.brpoplpush("queue", &own, 0.0)?;
                let element = element.expect("it waits for ever");
                assert_eq!(connection.lrem(&own, 1, &element)?, 1);
                element
            }
            1 => {
                let popped = connection.brpop("queue", 0.0)?;
                popped
                    .map(|[_, element]| element)
                    .expect("it waits for ever")
            }
            _ => {
                let popped = connection.brpop(&["urgent", "queue"], 0.0)?;
                popped
                    .map(|[_, element]| element)
                    .expect("it waits for ever")
            }
        };
        match element.parse() {
            Ok(element) => taken.push(element),
            Err(_) => return Ok(taken),
        }
    }
}

/// Producers push in batches, transactions and one by one; every element arrives once, and those of one producer in
/// their order.
fn every_element_is_delivered_once(shards: usize) -> RedisResult<()> {
    const CONSUMERS: usize = 6;
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 400;
    let engine = engine_with(shards);
    let taken = thread::scope(|scope| {
        let engine = &engine;
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|number| scope.spawn(move || consume(engine, number)))
            .collect();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| scope.spawn(move || produce(engine, producer * EACH, EACH)))
            .collect();
        for producer in producers {
            producer.join().expect("no panic")?;
        }
        engine.connection().lpush("queue", vec!["end"; CONSUMERS])?;
        let taken = consumers.into_iter();
        taken
            .map(|consumer| consumer.join().expect("no panic"))
            .collect::<RedisResult<Vec<_>>>()
    })?;
    for one in &taken {
        for producer in 0..PRODUCERS {
            let range = producer * EACH..(producer + 1) * EACH;
            let of_one = one.iter().filter(|element| range.contains(element));
            assert!(of_one.is_sorted(), "out of order: {one:?}");
        }
    }
    let all: Vec<u64> = taken.concat();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (1600, 1600));
    assert_eq!(engine.connection().llen("queue")?, 0);
    Ok(())
}

fn produce(engine: &Engine, first: u64, count: u64) -> RedisResult<()> {
    let mut connection = engine.connection();
    let mut next = first;
    while next < first + count {
        match next % 3 {
            0 => {
                connection.lpush("queue", next)?;
                next += 1;
            }
            _ if next + 1 == first + count => {
                connection.lpush("queue", next)?;
                next += 1;
            }
            1 => {
                connection.lpush("queue", &[next, next + 1])?;
                next += 2;
            }
            _ => {
                let mut both = pipe();
                both.atomic().lpush("queue", next).lpush("queue", next + 1);
                both.exec(&mut connection)?;
                next += 2;
            }
        }
    }
    Ok(())
}

#[test]
fn every_element_is_delivered_once_in_one_shard() -> RedisResult<()> {
    every_element_is_delivered_once(1)
}

#[test]
fn every_element_is_delivered_once_in_many_shards() -> RedisResult<()> {
    every_element_is_delivered_once(64)
}
