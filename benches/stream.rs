//! Streams: what adding, reading as a group and acknowledging cost through a session of this process.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use innkeep::reply::SinkReply;
use innkeep::{Engine, Session};

const ENTRIES: u64 = 100_000;
const PAGE: &[u8] = b"100";

fn run(session: &mut Session, words: &[&[u8]]) {
    session.execute_into(words, &mut SinkReply::new());
}

fn id(number: u64) -> Vec<u8> {
    format!("{number}-1").into_bytes()
}

fn adding(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let mut group = criterion.benchmark_group("stream");
    group.bench_function("XADD", |bencher| {
        bencher.iter(|| run(&mut session, &[b"XADD", b"log", b"*", b"field", b"value"]));
    });
    group.bench_function("XADD MAXLEN ~ 1000", |bencher| {
        let words: [&[u8]; 8] = [
            b"XADD", b"short", b"MAXLEN", b"~", b"1000", b"*", b"field", b"value",
        ];
        bencher.iter(|| run(&mut session, &words));
    });
}

fn reading(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    for number in 1..=ENTRIES {
        run(
            &mut session,
            &[b"XADD", b"log", &id(number), b"field", b"value"],
        );
    }
    run(
        &mut session,
        &[b"XGROUP", b"CREATE", b"log", b"workers", b"0"],
    );
    let mut group = criterion.benchmark_group("stream");
    // An entry is delivered and acknowledged; at the end of the stream the group begins anew.
    let mut number = 0;
    group.bench_function("XREADGROUP and XACK", |bencher| {
        bencher.iter(|| {
            number += 1;
            if number > ENTRIES {
                run(
                    &mut session,
                    &[b"XGROUP", b"SETID", b"log", b"workers", b"0"],
                );
                number = 1;
            }
            let read: [&[u8]; 9] = [
                b"XREADGROUP",
                b"GROUP",
                b"workers",
                b"one",
                b"COUNT",
                b"1",
                b"STREAMS",
                b"log",
                b">",
            ];
            run(&mut session, &read);
            run(&mut session, &[b"XACK", b"log", b"workers", &id(number)]);
        });
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("XRANGE of 100", |bencher| {
        let start = id(ENTRIES / 2);
        bencher.iter(|| {
            run(
                &mut session,
                &[b"XRANGE", b"log", &start, b"+", b"COUNT", PAGE],
            )
        });
    });
}

criterion_group!(benches, adding, reading);
criterion_main!(benches);
