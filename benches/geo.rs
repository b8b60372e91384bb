//! Places: what GEOADD and GEOSEARCH cost through a session of this process, among 100,000 places.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use innkeep::Engine;

const PLACES: u32 = 100_000;

/// A place within a city of some 70 km.
fn place(number: u32) -> [String; 3] {
    let spread = |factor: u32| f64::from(number.wrapping_mul(factor) >> 8) / f64::from(1 << 24);
    [
        (13.0 + spread(2_654_435_761)).to_string(),
        (52.2 + spread(2_246_822_519) / 2.0).to_string(),
        format!("place:{number}"),
    ]
}

fn geo(criterion: &mut Criterion) {
    let engine = Engine::in_memory();
    let mut session = engine.session();
    let mut add = |number: u32| {
        let [longitude, latitude, member] = place(number);
        let place = [longitude.as_bytes(), latitude.as_bytes(), member.as_bytes()];
        session.execute(&[b"GEOADD", b"places", place[0], place[1], place[2]])
    };
    (0..PLACES).for_each(|number| {
        add(number);
    });
    let mut group = criterion.benchmark_group("geo");
    let mut next = (0..PLACES).cycle();
    group.bench_function("GEOADD", |bencher| {
        bencher.iter(|| black_box(add(next.next().expect("a cycle has no end"))));
    });
    for radius in ["100", "1000", "10000"] {
        let search = |order: &str| {
            let line = format!(
                "GEOSEARCH places FROMLONLAT 13.4 52.5 BYRADIUS {radius} m COUNT 10 {order}"
            );
            line.into_bytes()
        };
        for order in ["ASC", "ANY"] {
            let line = search(order);
            let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let name = format!("GEOSEARCH COUNT 10 {order}");
            group.bench_function(BenchmarkId::new(name, radius), |bencher| {
                bencher.iter(|| black_box(session.execute(&words)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, geo);
criterion_main!(benches);
