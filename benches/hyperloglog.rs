//! HyperLogLog: what PFADD and PFCOUNT cost through a session of this process, in both forms.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use innkeep::Engine;

/// Elements that are there before, and what form the key then has.
const FORMS: [(u32, &str); 3] = [(0, "empty at first"), (800, "sparse"), (100_000, "dense")];

fn hyperloglog(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let mut group = criterion.benchmark_group("hyperloglog");
    for (elements, form) in FORMS {
        session.execute(&[b"DEL", b"seen"]);
        for element in 0..elements {
            session.execute(&[b"PFADD", b"seen", &element.to_le_bytes()]);
        }
        // Known elements, so that the form stays what it is; none are known to the empty one.
        let mut next = (0..elements.max(1)).cycle();
        group.bench_function(BenchmarkId::new("PFADD", form), |bencher| {
            bencher.iter(|| {
                let element = next.next().expect("a cycle has no end").to_le_bytes();
                black_box(session.execute(&[b"PFADD", b"seen", &element]))
            });
        });
        session.execute(&[b"PFADD", b"other", b"x"]);
        group.bench_function(BenchmarkId::new("PFCOUNT of two", form), |bencher| {
            bencher.iter(|| black_box(session.execute(&[b"PFCOUNT", b"seen", b"other"])));
        });
    }
    group.finish();
}

criterion_group!(benches, hyperloglog);
criterion_main!(benches);
