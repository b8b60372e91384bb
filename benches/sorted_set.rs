//! The large form of a sorted set: `cargo bench --bench sorted_set`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use innkeep::value::hasher::hash_bytes;
use innkeep::value::zset::{ScoreBound, SortedSet, ZSetLimits};

const LIMITS: ZSetLimits = ZSetLimits {
    max_listpack_entries: 128,
    max_listpack_value: 64,
};

fn member(number: usize) -> String {
    format!("member:{number:09}")
}

fn random(number: usize) -> usize {
    (hash_bytes(&number.to_le_bytes()) >> 20) as usize
}

fn set_of(size: usize) -> SortedSet {
    let mut set = SortedSet::new();
    for number in 0..size {
        set.insert(member(number).as_bytes(), random(number) as f64, &LIMITS);
    }
    set
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for size in [1_000, 100_000, 1_000_000] {
        let set = set_of(size);
        let members: Vec<String> = (0..10_000).map(|at| member(random(at) % size)).collect();
        let mut at = 0;
        let mut next = || {
            at = (at + 1) % members.len();
            at
        };
        group.bench_function(BenchmarkId::new("score", size), |bencher| {
            bencher.iter(|| black_box(set.score(members[next()].as_bytes())));
        });
        group.bench_function(BenchmarkId::new("rank", size), |bencher| {
            bencher.iter(|| black_box(set.rank(members[next()].as_bytes(), false)));
        });
        group.bench_function(BenchmarkId::new("range of 100 by rank", size), |bencher| {
            bencher.iter(|| {
                let start = random(next()) % (size - 100);
                set.range(start..start + 100).for_each(|entry| {
                    black_box(entry);
                });
            });
        });
        group.bench_function(BenchmarkId::new("count by score", size), |bencher| {
            bencher.iter(|| {
                let bound = |value| ScoreBound {
                    value,
                    exclusive: false,
                };
                let low = random(next()) as f64;
                black_box(set.score_range(bound(low), bound(low * 2.0)).len())
            });
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    for size in [1_000, 100_000, 1_000_000] {
        let mut set = set_of(size);
        let mut at = 0;
        group.bench_function(BenchmarkId::new("update", size), |bencher| {
            bencher.iter(|| {
                at += 1;
                let member = member(random(at) % size);
                black_box(set.insert(member.as_bytes(), random(at + size) as f64, &LIMITS))
            });
        });
        group.bench_function(BenchmarkId::new("sliding window", size), |bencher| {
            bencher.iter(|| {
                at += 1;
                let score = 1e15 + at as f64;
                set.insert(member(size + at).as_bytes(), score, &LIMITS);
                black_box(set.pop_min())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read, write);
criterion_main!(benches);
