//! Bits of strings: what BITCOUNT, BITPOS and BITOP cost through a session of this process.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use innkeep::Engine;

fn bitmap(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let mut group = criterion.benchmark_group("bitmap");
    for size in [1 << 10, 1 << 20] {
        let bytes: Vec<u8> = (0..size)
            .map(|at: u32| (at.wrapping_mul(193) >> 3) as u8)
            .collect();
        let zeros = vec![0; bytes.len()];
        session.execute(&[b"SET", b"bits", &bytes]);
        session.execute(&[b"SET", b"zeros", &zeros]);
        group.throughput(Throughput::Bytes(u64::from(size)));
        group.bench_function(BenchmarkId::new("BITCOUNT", size), |bencher| {
            bencher.iter(|| black_box(session.execute(&[b"BITCOUNT", b"bits"])));
        });
        group.bench_function(BenchmarkId::new("BITPOS", size), |bencher| {
            bencher.iter(|| black_box(session.execute(&[b"BITPOS", b"zeros", b"1"])));
        });
        group.bench_function(BenchmarkId::new("BITOP OR", size), |bencher| {
            let words = [&b"BITOP"[..], b"OR", b"result", b"bits", b"zeros"];
            bencher.iter(|| black_box(session.execute(&words)));
        });
    }
    group.finish();
}

criterion_group!(benches, bitmap);
criterion_main!(benches);
