//! Commands in this process: what a caller pays for one GET or SET through a session, and through the redis crate.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use innkeep::Engine;
use innkeep::reply::SinkReply;
use redis::Commands;

const KEYS: usize = 10_000;

fn commands(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let keys: Vec<Vec<u8>> = (0..KEYS)
        .map(|key| format!("key:{key:012}").into_bytes())
        .collect();
    let value = [b'x'; 32];
    let mut sink = SinkReply::new();
    let mut next = keys.iter().cycle();
    let mut key = || next.next().expect("a cycle has no end").as_slice();
    criterion.bench_function("session: SET", |bencher| {
        bencher.iter(|| session.execute_into(&[b"SET", key(), &value], &mut sink));
    });
    criterion.bench_function("session: GET", |bencher| {
        bencher.iter(|| session.execute_into(&[b"GET", key()], &mut sink));
    });
    criterion.bench_function("session: GET, as a response", |bencher| {
        bencher.iter(|| black_box(session.execute(&[b"GET", key()])));
    });
    let mut connection = engine.connection();
    criterion.bench_function("redis crate: GET", |bencher| {
        bencher.iter(|| {
            let value: Vec<u8> = connection.get(key()).expect("the key is there");
            black_box(value)
        });
    });
}

criterion_group!(benches, commands);
criterion_main!(benches);
