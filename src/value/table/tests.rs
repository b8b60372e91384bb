//! Model tests of `Table` against the standard collections, and of what only it promises: scans, chance, segments.

use std::collections::{BTreeSet, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::value::hasher::hash_bytes;

impl Stored for u64 {}

fn hash_of(number: &u64) -> u64 {
    hash_bytes(&number.to_le_bytes())
}

fn insert(table: &mut Table<u64>, number: u64) -> bool {
    table
        .find_or_insert(
            hash_of(&number),
            |&entry| entry == number,
            || number,
            hash_of,
        )
        .1
}

fn remove(table: &mut Table<u64>, number: u64) -> bool {
    table
        .remove(hash_of(&number), |&entry| entry == number, hash_of)
        .is_some()
}

fn contains(table: &Table<u64>, number: u64) -> bool {
    table
        .find(hash_of(&number), |&entry| entry == number)
        .is_some()
}

fn words(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash_of(&state)
    }
}

fn check<T: Stored>(table: &Table<T>, hash_of: impl Fn(&T) -> u64) {
    let depth = u32::from(table.depth);
    assert_eq!(
        table.directory.len(),
        if depth == 0 { 0 } else { 1 << depth }
    );
    assert_eq!(
        table.len,
        table
            .segments
            .iter()
            .map(|segment| segment.table.len())
            .sum::<usize>()
    );
    assert_eq!(
        table.table_bytes,
        table
            .segments
            .iter()
            .map(|segment| segment.table.allocation_size())
            .sum::<usize>()
    );
    let deepest = table
        .segments
        .iter()
        .filter(|segment| segment.depth == depth)
        .count();
    assert_eq!(table.deepest as usize, deepest);
    for (index, segment) in table.segments.iter().enumerate() {
        let named = table
            .directory
            .iter()
            .filter(|&&name| name as usize == index)
            .count();
        assert!(depth == 0 || named == 1 << (depth - segment.depth));
        assert!(
            segment
                .table
                .iter()
                .all(|entry| table.index(hash_of(entry)) == index)
        );
        assert_eq!(table.index_at(table.bounds(index).0), index);
    }
}

fn scan_all(table: &Table<u64>, count: usize) -> Vec<u64> {
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = table.scan(cursor, count, hash_of, |&entry| seen.push(entry));
        if cursor == 0 {
            return seen;
        }
    }
}

#[test]
fn an_empty_table_allocates_nothing() {
    let table = Table::<u64>::new();
    assert_eq!(table.heap_size(), 0);
    assert!(table.find(1, |_| true).is_none());
    assert_eq!(table.scan(0, 10, hash_of, |_| ()), 0);
    assert!(table.segment_at(0).is_none());
}

#[test]
fn grows_by_splitting_and_shrinks_by_merging() {
    let mut table = Table::new();
    for number in 0..100_000 {
        assert!(insert(&mut table, number));
    }
    check(&table, hash_of);
    assert!(
        table
            .segments
            .iter()
            .all(|segment| segment.table.len() <= SEGMENT_CAPACITY)
    );
    for number in 0..100_000 {
        assert!(table.candidate(hash_of(&number)).is_some() && contains(&table, number));
    }
    let full = table.heap_size();
    for number in 0..99_900 {
        assert!(remove(&mut table, number));
    }
    check(&table, hash_of);
    assert!(
        table.heap_size() * 50 < full,
        "{} of {full}",
        table.heap_size()
    );
    assert!((99_900..100_000).all(|number| contains(&table, number)));
}

#[test]
fn room_that_was_expected_is_used() {
    for (expected, count) in [
        (0, 100),
        (700, 700),
        (20_000, 20_000),
        (20_000, 60_000),
        (50_000, 10),
    ] {
        let mut table = Table::with_skip(4);
        table.expect(expected);
        check(&table, hash_of);
        let buckets = table.bucket_count();
        let mut next = words(7);
        // Their top bits are those that the table skips.
        let numbers: Vec<u64> = std::iter::repeat_with(&mut next)
            .filter(|number| hash_of(number) >> 60 == 0)
            .take(count)
            .collect();
        for number in &numbers {
            assert!(insert(&mut table, *number));
        }
        check(&table, hash_of);
        assert!(numbers.iter().all(|number| contains(&table, *number)));
        if expected == count && count > SEGMENT_CAPACITY {
            assert!(table.bucket_count() < buckets + buckets / 8);
        }
        let found: HashSet<u64> = scan_all(&table, 10).into_iter().collect();
        assert_eq!(found.len(), count);
        table.expect(1 << 20);
        assert_eq!(table.len(), count);
        numbers
            .iter()
            .for_each(|number| assert!(remove(&mut table, *number)));
        check(&table, hash_of);
    }
}

#[test]
fn churn_does_not_grow_the_tables() {
    let mut table = Table::new();
    for number in 0..200_000 {
        insert(&mut table, number);
        if number >= 5_000 {
            remove(&mut table, number - 5_000);
        }
    }
    check(&table, hash_of);
    assert!(
        table
            .segments
            .iter()
            .all(|segment| segment.table.num_buckets() <= SEGMENT_BUCKETS)
    );
    assert!(table.heap_size() < 5_000 * 9 * 5, "{}", table.heap_size());
}

#[test]
fn a_scan_returns_about_what_is_asked_for() {
    for size in [20, 500, 3_000, 50_000] {
        let mut table = Table::new();
        (0..size).for_each(|number| assert!(insert(&mut table, number)));
        for count in [1, 10, 100, 1_000] {
            let mut cursor = 0;
            loop {
                let mut found = 0_usize;
                cursor = table.scan(cursor, count, hash_of, |_| found += 1);
                assert!(
                    found <= (count * 2).max(2 * SEGMENT_CAPACITY / SCAN_PASSES) + 12,
                    "{found} for COUNT {count} of {size}"
                );
                if cursor == 0 {
                    break;
                }
            }
            let seen = scan_all(&table, count);
            assert_eq!(seen.len() as u64, size);
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len() as u64, size);
        }
    }
}

#[test]
fn a_scan_returns_what_stays_exactly_once() {
    let mut table = Table::new();
    (0..4_000).for_each(|number| assert!(insert(&mut table, number)));
    let (mut seen, mut cursor, mut fresh) = (HashMap::new(), 0, 4_000);
    loop {
        cursor = table.scan(cursor, 50, hash_of, |&entry| {
            *seen.entry(entry).or_insert(0) += 1
        });
        if cursor == 0 {
            break;
        }
        for _ in 0..500 {
            insert(&mut table, fresh);
            fresh += 1;
        }
        for number in fresh - 480..fresh {
            remove(&mut table, number);
        }
    }
    assert!((0..4_000).all(|number| seen.get(&number) == Some(&1)));
}

#[test]
fn a_scan_survives_merges() {
    let mut table = Table::new();
    (0..20_000).for_each(|number| assert!(insert(&mut table, number)));
    let (mut seen, mut cursor) = (HashSet::new(), 0);
    let mut next = 100;
    loop {
        cursor = table.scan(cursor, 100, hash_of, |&entry| {
            assert!(seen.insert(entry));
        });
        if cursor == 0 {
            break;
        }
        for number in next..(next + 300).min(20_000) {
            remove(&mut table, number);
        }
        next = (next + 300).min(20_000);
    }
    assert!((0..100).all(|number| seen.contains(&number)));
}

#[test]
fn random_entries_are_evenly_distributed() {
    for size in [1_u64, 5, 300, 5_000] {
        let mut table = Table::new();
        (0..size * 2).for_each(|number| assert!(insert(&mut table, number)));
        (size..size * 2).for_each(|number| assert!(remove(&mut table, number)));
        let draws = size * 100;
        let mut counts = vec![0_u64; size as usize];
        let mut random = words(size);
        for _ in 0..draws {
            counts[*table.random(&mut random).expect("the table has entries") as usize] += 1;
        }
        let chi_square: f64 = counts
            .iter()
            .map(|&count| (count as f64 - 100.0).powi(2) / 100.0)
            .sum();
        let freedom = (size - 1) as f64;
        assert!(
            chi_square <= freedom + 5.0 * (2.0 * freedom).sqrt() + 1.0,
            "{chi_square} for {size}"
        );
    }
}

#[test]
fn samples_are_distinct_and_ids_remove() {
    let mut table = Table::new();
    (0..5_000).for_each(|number| assert!(insert(&mut table, number)));
    let mut random = words(9);
    for count in [0, 1, 10, 1_000, 2_000, 4_999, 5_000, 9_000] {
        let sample = table.sample(count, &mut random);
        assert_eq!(sample.len(), count.min(5_000));
        assert_eq!(
            sample.into_iter().collect::<BTreeSet<_>>().len(),
            count.min(5_000)
        );
    }
    let mut left: BTreeSet<_> = table.iter().copied().collect();
    while let Some(id) = table.random_id(&mut random) {
        let removed = table
            .remove_id(id, hash_of)
            .expect("an entry just found is there");
        assert!(left.remove(&removed));
    }
    assert!(left.is_empty());
    check(&table, hash_of);
}

#[test]
fn equal_hashes_overfill_a_segment_instead_of_the_directory() {
    let mut table = Table::new();
    for number in 0..5_000_u64 {
        table.insert_unique(42, number, |_| 42);
    }
    assert!(table.directory.len() <= MAX_SLOTS_PER_SEGMENT * table.segments.len());
    assert!((0..5_000).all(|number| table.find(42, |&entry| entry == number).is_some()));
    let (mut seen, mut cursor) = (0, 0);
    loop {
        cursor = table.scan(cursor, 10, |_| 42, |_| seen += 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, 5_000);
    for number in 0..5_000_u64 {
        assert_eq!(
            table.remove(42, |&entry| entry == number, |_| 42),
            Some(number)
        );
    }
    check(&table, |_| 42);
}

#[test]
fn the_skipped_bits_do_not_count() {
    let mut table = Table::with_skip(6);
    let hash_of = |number: &u64| hash_of(number) >> 6 | 0b10_1010 << 58;
    for number in 0..50_000_u64 {
        table.insert_unique(hash_of(&number), number, hash_of);
    }
    check(&table, hash_of);
    assert!(table.segments.len() > 50);
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = table.scan(cursor, 700, hash_of, |&entry| assert!(seen.insert(entry)));
        assert!(cursor < 1 << table.position_bits());
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 50_000);
}

#[test]
fn halves_inherit_and_the_walk_covers_every_segment() {
    let mut table = Table::new();
    table.set_birth_epoch(3);
    insert(&mut table, 0);
    assert_eq!(
        table.segment_of(hash_of(&0)).map(|id| table.epoch(id)),
        Some(3)
    );
    table.lower_next_expiry(hash_of(&0), 1_000);
    (1..10_000).for_each(|number| assert!(insert(&mut table, number)));
    assert!(
        table
            .segment_ids()
            .all(|id| table.epoch(id) == 3 && table.next_expiry(id) == 1_000)
    );
    assert_eq!(table.min_next_expiry(), 1_000);
    assert_eq!(table.segments_due(999).count(), 0);
    assert_eq!(table.segments_due(1_000).count(), table.segment_count());
    let (mut position, mut entries, mut segments) = (0, 0, 0);
    while let Some((id, next)) = table.segment_at(position) {
        assert_eq!(table.segment_position(id), position);
        table.set_epoch(id, 4);
        table.set_next_expiry(id, i64::MAX);
        entries += table.segment_len(id);
        assert_eq!(table.segment_iter(id).len(), table.segment_len(id));
        segments += 1;
        position = next;
        if next == 0 {
            break;
        }
    }
    assert_eq!((entries, segments), (10_000, table.segment_count()));
    assert_eq!(table.min_next_expiry(), i64::MAX);
}

#[test]
fn segments_of_different_epochs_do_not_merge() {
    let mut table = Table::new();
    (0..3_000).for_each(|number| assert!(insert(&mut table, number)));
    let before = table.segment_count();
    for (epoch, id) in table.segment_ids().enumerate() {
        table.set_epoch(id, epoch as u32);
    }
    (0..3_000).for_each(|number| assert!(remove(&mut table, number)));
    assert_eq!(table.segment_count(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_like_a_set(
        skip in 0_u32..8,
        operations in prop::collection::vec((0_u8..6, 0_u64..4_000, 1_u64..600), 1..60),
    ) {
        let hash_of = |number: &u64| hash_of(number) >> skip;
        let mut table = Table::with_skip(skip);
        let mut model = BTreeSet::new();
        for (operation, start, length) in operations {
            for number in start..start + length {
                let hash = hash_of(&number);
                let eq = |&entry: &u64| entry == number;
                match operation {
                    0..=2 => {
                        let (&mut entry, created) = table.find_or_insert(hash, eq, || number, hash_of);
                        prop_assert_eq!((entry, created), (number, model.insert(number)));
                    }
                    3 | 4 => prop_assert_eq!(table.remove(hash, eq, hash_of).is_some(), model.remove(&number)),
                    _ => prop_assert_eq!(table.find(hash, eq).is_some(), model.contains(&number)),
                }
            }
            check(&table, hash_of);
        }
        prop_assert_eq!(table.iter().copied().collect::<BTreeSet<_>>(), model.clone());
        prop_assert_eq!(table.clone().take().len(), model.len());
        table.clear();
        prop_assert_eq!((table.len(), table.heap_size()), (0, 0));
    }
}
