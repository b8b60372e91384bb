//! Hashes, sets, lists and the keyspace: commands that applications run in loops, on small collections, which live in
//! their entries, and on large ones, through a session of this process.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use innkeep::reply::SinkReply;
use innkeep::{Engine, Session};

/// Collections of the keyspace, and fields of the large hash.
const LARGE: usize = 1_000_000;
const KEYS: usize = 10_000;

fn run(session: &mut Session, words: &[&[u8]]) {
    session.execute_into(words, &mut SinkReply::new());
}

fn name(prefix: &str, number: usize) -> Vec<u8> {
    format!("{prefix}:{number:012}").into_bytes()
}

/// One member or field changes in one of many small collections, or in one large one.
fn changing(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    for number in 0..LARGE {
        run(
            &mut session,
            &[b"HSET", b"large", &name("field", number), b"value"],
        );
    }
    let mut group = criterion.benchmark_group("collection");
    let mut number = 0;
    let mut next = move |most: usize| {
        number = (number + 7919) % most;
        number
    };
    group.bench_function(BenchmarkId::new("HSET", "1 million fields"), |bencher| {
        bencher.iter(|| {
            run(
                &mut session,
                &[b"HSET", b"large", &name("field", next(LARGE)), b"other"],
            )
        });
    });
    group.bench_function(BenchmarkId::new("HSET", "8 fields"), |bencher| {
        let field = |number: usize| [b'a' + (number % 8) as u8];
        bencher.iter(|| {
            let number = next(KEYS * 8);
            let key = name("session", number / 8);
            run(
                &mut session,
                &[b"HSET", &key, &field(number), b"some value"],
            );
        });
    });
    group.bench_function(BenchmarkId::new("SADD and SREM", "10 members"), |bencher| {
        let member = |number: usize| [b'a' + (number % 10) as u8];
        bencher.iter(|| {
            let number = next(KEYS * 10);
            let key = name("tags", number / 10);
            run(&mut session, &[b"SADD", &key, &member(number)]);
            run(&mut session, &[b"SREM", &key, &member(number + 5)]);
        });
    });
}

/// A whole collection of 1000 elements is read, or sorted.
fn reading(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    for number in 0..1000 {
        let element = name("element", number);
        run(&mut session, &[b"HSET", b"hash", &element, b"value"]);
        run(&mut session, &[b"SADD", b"set", &element]);
        run(&mut session, &[b"RPUSH", b"list", &element]);
        run(
            &mut session,
            &[
                b"RPUSH",
                b"numbers",
                (number * 7919 % 1000).to_string().as_bytes(),
            ],
        );
    }
    let mut group = criterion.benchmark_group("1000 elements");
    group.throughput(Throughput::Elements(1000));
    let commands: [&[&[u8]]; 5] = [
        &[b"HGETALL", b"hash"],
        &[b"SMEMBERS", b"set"],
        &[b"LRANGE", b"list", b"0", b"-1"],
        &[b"LPOS", b"list", b"none"],
        &[b"SORT", b"numbers"],
    ];
    for words in commands {
        let command = String::from_utf8_lossy(words[0]).into_owned();
        group.bench_function(command, |bencher| bencher.iter(|| run(&mut session, words)));
    }
}

/// Steps of a scan through many keys.
fn scanning(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    for number in 0..LARGE {
        run(&mut session, &[b"SET", &name("key", number), b"value"]);
    }
    let mut group = criterion.benchmark_group("SCAN");
    for count in ["10", "100", "1000"] {
        group.bench_function(BenchmarkId::new("COUNT", count), |bencher| {
            bencher.iter(|| run(&mut session, &[b"SCAN", b"0", b"COUNT", count.as_bytes()]));
        });
    }
}

criterion_group!(benches, changing, reading, scanning);
criterion_main!(benches);
