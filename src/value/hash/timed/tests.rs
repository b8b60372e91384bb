//! Hashes with times against a plain map of values and times.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Hash;
use super::*;

const LIMITS: HashLimits = HashLimits {
    max_listpack_entries: 4,
    max_listpack_value: 16,
};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn contents(hash: &Hash) -> Model {
    hash.iter_with_times()
        .map(|(field, value, time)| (field.to_vec(), (value.to_vec(), time)))
        .collect()
}

fn check_order(hash: &Hash) {
    if let super::super::Form::Timed(timed) = &hash.form
        && let Form::Table(table) = &timed.form
    {
        let found = |place: &(i64, u64)| table.field_at(*place).is_some();
        assert!(table.order.iter().all(found));
        let timed = |pair: &&Pair| split_value(pair.value()).0 != NEVER;
        let with_times = table.dictionary.pairs.iter().filter(timed).count();
        assert_eq!(with_times, table.order.len());
    }
}

fn fields(hash: &Hash) -> Vec<String> {
    let name = |field: Element<'_>| String::from_utf8_lossy(&field.to_vec()).into_owned();
    hash.iter().map(|(field, _)| name(field)).collect()
}

/// The order is that of redis-server 8.2.3.
#[test]
fn a_listpack_is_in_order_of_times() {
    let mut hash = Hash::new();
    for field in ["a", "b", "c"] {
        hash.set(field.as_bytes(), b"1", &LIMITS);
    }
    assert_eq!((hash.encoding(), hash.next_time()), ("listpack", None));
    assert!(hash.set_time(b"b", Some(800)) && !hash.set_time(b"zz", Some(1)));
    assert_eq!(
        (hash.encoding(), hash.next_time()),
        ("listpackex", Some(800))
    );
    assert_eq!(fields(&hash), ["b", "a", "c"]);
    hash.set_time(b"a", Some(800));
    hash.set_time(b"c", Some(700));
    assert_eq!(fields(&hash), ["c", "a", "b"]);
    hash.set_with_time(b"b", b"2", FieldTime::At(800), &LIMITS);
    assert_eq!(fields(&hash), ["c", "b", "a"]);
    hash.set_with_time(b"a", b"2", FieldTime::Kept, &LIMITS);
    hash.set(b"c", b"2", &LIMITS);
    assert_eq!(fields(&hash), ["b", "a", "c"]);
    assert_eq!(hash.remove_due(801, 1), [Box::from(&b"b"[..])]);
    assert!(hash.is_due(801) && !hash.is_due(800));
    hash.set_time(b"a", None);
    assert_eq!(
        (fields(&hash), hash.next_time()),
        (vec!["c".into(), "a".into()], None)
    );
    assert_eq!(hash.encoding(), "listpackex");
}

#[test]
fn listpacks_that_are_no_triplets_are_refused() {
    let take = |words: &[&str]| {
        let listpack: Listpack = words.iter().collect();
        Hash::from_listpack_with_times(listpack, &LIMITS)
    };
    for words in [
        &["a", "1"][..],
        &["a", "1", "x"],
        &["a", "1", "-5"],
        &["a", "1", "5", "a", "1", "5"],
        &["a", "1", "5", "b"],
    ] {
        assert!(take(words).is_none(), "{words:?}");
    }
    let sorted = take(&["a", "1", "0", "b", "2", "9", "c", "3", "5"]).expect("triplets");
    assert_eq!(
        (fields(&sorted), sorted.next_time()),
        (vec!["c".into(), "b".into(), "a".into()], Some(5))
    );
    let long = "x".repeat(17);
    let large = take(&["a", "1", "7", "b", &long, "0"]).expect("triplets");
    assert_eq!(
        (large.encoding(), large.next_time()),
        ("hashtable", Some(7))
    );
}

/// Whoever copied the table for each would be at it for minutes.
#[test]
fn a_field_more_costs_a_large_hash_nothing() {
    let mut hash = Hash::new();
    for number in 0..20_000_i64 {
        let field = number.to_le_bytes();
        assert!(hash.set_with_time(&field, b"1", FieldTime::At(number + 1), &LIMITS));
    }
    check_order(&hash);
    assert_eq!((hash.len(), hash.next_time()), (20_000, Some(1)));
    assert_eq!(hash.remove_due(10_001, usize::MAX).len(), 10_000);
    assert_eq!(hash.next_time(), Some(10_001));
    check_order(&hash);
}

#[derive(Debug, Clone)]
enum Operation {
    Set(Vec<u8>, Vec<u8>, FieldTime),
    SetTime(Vec<u8>, Option<i64>),
    Remove(Vec<u8>),
    RemoveDue(i64, usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let field = "[a-c0-9]{0,2}".prop_map(String::into_bytes);
    let value = "[0-9a-z]{0,18}".prop_map(String::into_bytes);
    let time = prop_oneof![
        Just(FieldTime::Kept),
        Just(FieldTime::Never),
        (1..30_i64).prop_map(FieldTime::At)
    ];
    prop_oneof![
        (field.clone(), value, time)
            .prop_map(|(field, value, time)| Operation::Set(field, value, time)),
        (field.clone(), prop::option::of(1..30_i64))
            .prop_map(|(field, time)| Operation::SetTime(field, time)),
        field.prop_map(Operation::Remove),
        (0..12_i64, 1..3_usize).prop_map(|(now, limit)| Operation::RemoveDue(now, limit)),
    ]
}

fn apply(hash: &mut Hash, model: &mut Model, operation: Operation, limits: &HashLimits) {
    match operation {
        Operation::Set(field, value, time) => {
            let created = hash.set_with_time(&field, &value, time, limits);
            let before = model.get(&field).and_then(|(_, time)| *time);
            let time = match time {
                FieldTime::Kept => before,
                FieldTime::Never => None,
                FieldTime::At(time) => Some(time),
            };
            assert_eq!(created, model.insert(field, (value, time)).is_none());
        }
        Operation::SetTime(field, time) => {
            let known = model.get_mut(&field).map(|entry| entry.1 = time);
            assert_eq!(hash.set_time(&field, time), known.is_some());
        }
        Operation::Remove(field) => {
            assert_eq!(hash.remove(&field), model.remove(&field).is_some());
        }
        Operation::RemoveDue(now, limit) => {
            let removed = hash.remove_due(now, limit);
            let due = model
                .values()
                .filter(|(_, time)| time.is_some_and(|time| time < now));
            assert_eq!(removed.len(), due.count().min(limit));
            for field in removed {
                let (_, time) = model.remove(&*field).expect("it was there");
                assert!(time.is_some_and(|time| time < now));
            }
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map_with_times(
        entries in 0_usize..20,
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let limits = HashLimits { max_listpack_entries: entries, max_listpack_value: 16 };
        let (mut hash, mut model) = (Hash::new(), Model::new());
        for operation in operations {
            apply(&mut hash, &mut model, operation, &limits);
            prop_assert_eq!(hash.len(), model.len());
            prop_assert_eq!(hash.next_time(), model.values().filter_map(|(_, time)| *time).min());
        }
        check_order(&hash);
        for (field, (value, time)) in &model {
            prop_assert_eq!(hash.get(field).map(|value| value.to_vec()), Some(value.clone()));
            prop_assert_eq!(hash.time(field), Some(*time));
        }
        prop_assert_eq!(contents(&hash.clone()), model.clone());
        let plain: BTreeMap<_, _> = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(plain, model.iter().map(|(field, (value, _))| (field.clone(), value.clone())).collect());
        let (mut scanned, mut cursor) = (0, 0);
        loop {
            cursor = hash.scan(cursor, 3, |field, value| {
                assert_eq!(model[&field.to_vec()].0, value.to_vec());
                scanned += 1;
            });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(scanned, model.len());
    }
}
