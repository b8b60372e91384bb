//! The compact forms at the sizes they have in small hashes and lists: look-up, replacement, and both ends of a queue.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use innkeep::value::intset::IntSet;
use innkeep::value::list::{List, ListLimits};
use innkeep::value::listpack::Listpack;

/// Fields and values of a session, `fields` of them.
fn session(fields: usize) -> Listpack {
    (0..fields)
        .flat_map(|field| [format!("field{field}"), format!("value-{}", field * 7919)])
        .collect()
}

fn look_up(criterion: &mut Criterion) {
    for fields in [8, 64] {
        let listpack = session(fields);
        let last = format!("field{}", fields - 1);
        criterion.bench_function(&format!("listpack/find_last_of_{fields}"), |bencher| {
            bencher.iter(|| {
                let first = listpack.first().expect("a session has fields");
                listpack.find(black_box(last.as_bytes()), first, 1)
            });
        });
    }
    let listpack: Listpack = (0..128).map(|number| (number * 1000).to_string()).collect();
    criterion.bench_function("listpack/find_integer_of_128", |bencher| {
        bencher.iter(|| {
            listpack.find(
                black_box(b"127000"),
                listpack.first().expect("it has elements"),
                0,
            )
        });
    });
}

fn change(criterion: &mut Criterion) {
    let mut listpack = session(8);
    criterion.bench_function("listpack/replace_value", |bencher| {
        let mut long = false;
        bencher.iter(|| {
            long = !long;
            let position = listpack.seek(7).expect("a session of eight fields");
            listpack.replace(position, if long { b"a longer value" } else { b"short" })
        });
    });
    let mut set: IntSet = (0..512).map(|number| number * 3).collect();
    criterion.bench_function("intset/insert_remove_of_512", |bencher| {
        bencher.iter(|| set.insert(black_box(700)) && set.remove(black_box(700)));
    });
}

fn queue(criterion: &mut Criterion) {
    let limits = ListLimits::default();
    for waiting in [0, 100, 10_000] {
        let mut list = List::new();
        for job in 0..waiting {
            list.push_front(format!("job:{job}:payload").as_bytes(), &limits);
        }
        criterion.bench_function(
            &format!("list/push_front_pop_back_with_{waiting}_waiting"),
            |bencher| {
                bencher.iter(|| {
                    list.push_front(black_box(b"job:1:payload"), &limits);
                    list.pop_back()
                });
            },
        );
    }
}

criterion_group!(benches, look_up, change, queue);
criterion_main!(benches);
