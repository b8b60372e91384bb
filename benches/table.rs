//! Finding, inserting and removing in `Table`, beside std's and hashbrown's maps: `cargo bench --bench table`.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashTable;
use innkeep::value::hasher::hash_bytes;
use innkeep::value::table::{Stored, Table};

/// Keys that are looked up in a row, as by the commands of a pipeline.
const BATCH: usize = 64;

#[derive(PartialEq)]
struct Key(Box<[u8]>);

impl Stored for Key {}

fn key(number: usize) -> Key {
    Key(format!("key:{number:012}").into_bytes().into_boxed_slice())
}

fn hash_of(key: &Key) -> u64 {
    hash_bytes(&key.0)
}

fn table_of(size: usize) -> Table<Key> {
    let mut table = Table::new();
    for number in 0..size {
        let key = key(number);
        table.insert_unique(hash_of(&key), key, hash_of);
    }
    table
}

/// Batches of keys in random order, so that a large table is not found in the cache.
fn batches(size: usize) -> Vec<Vec<Key>> {
    let number = |at: usize| hash_bytes(&at.to_le_bytes()) as usize % size;
    (0..size.min(100_000) / BATCH)
        .map(|batch| {
            (0..BATCH)
                .map(|at| key(number(batch * BATCH + at)))
                .collect()
        })
        .collect()
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in [1_000, 100_000, 2_000_000] {
        let batches = batches(size);
        let table = table_of(size);
        let mut at = 0;
        group.bench_function(BenchmarkId::new("table", size), |bencher| {
            bencher.iter(|| {
                at = (at + 1) % batches.len();
                for key in &batches[at] {
                    black_box(table.find(hash_of(key), |other| other == key));
                }
            });
        });
        group.bench_function(BenchmarkId::new("table, fetched ahead", size), |bencher| {
            bencher.iter(|| {
                at = (at + 1) % batches.len();
                let hashes: [u64; BATCH] = std::array::from_fn(|nth| hash_of(&batches[at][nth]));
                for &hash in &hashes {
                    black_box(table.candidate(hash));
                }
                for (key, &hash) in batches[at].iter().zip(&hashes) {
                    black_box(table.find(hash, |other| other == key));
                }
            });
        });
        drop(table);
        let mut one = HashTable::new();
        for number in 0..size {
            let key = key(number);
            one.insert_unique(hash_of(&key), key, hash_of);
        }
        group.bench_function(BenchmarkId::new("one hashbrown table", size), |bencher| {
            bencher.iter(|| {
                at = (at + 1) % batches.len();
                for key in &batches[at] {
                    black_box(one.find(hash_of(key), |other| other == key));
                }
            });
        });
    }
    group.finish();
}

fn grow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert");
    for size in [1_000, 100_000] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("table", size), |bencher| {
            bencher.iter_batched(
                || (0..size).map(key).collect::<Vec<_>>(),
                |keys| {
                    let mut table = Table::new();
                    for key in keys {
                        table.insert_unique(hash_of(&key), key, hash_of);
                    }
                    table
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn churn(criterion: &mut Criterion) {
    let mut table = table_of(100_000);
    let mut next = 100_000;
    criterion.bench_function("insert one, remove one of 100000", |bencher| {
        bencher.iter(|| {
            let (new, old) = (key(next), key(next - 100_000));
            table.insert_unique(hash_of(&new), new, hash_of);
            next += 1;
            black_box(table.remove(hash_of(&old), |other| *other == old, hash_of))
        });
    });
}

fn scan(criterion: &mut Criterion) {
    let table = table_of(100_000);
    for count in [10, 1_000] {
        let mut cursor = 0;
        criterion.bench_function(&format!("scan with COUNT {count}"), |bencher| {
            bencher.iter(|| {
                cursor = table.scan(cursor, count, hash_of, |key| {
                    black_box(key);
                });
            });
        });
    }
}

criterion_group!(benches, find, grow, churn, scan);
criterion_main!(benches);
