//! Hostile bytes as an RDB: no panic, and what is handed out is counted, never empty and readable.
#![no_main]

use innkeep::keyspace::{Limits, ValueRef};
use innkeep::rdb::{RdbError, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // A checksum would keep nearly every input from the end: version 4 has none.
    for header in [&b""[..], b"REDIS0004"] {
        let bytes = [header, input].concat();
        let mut keys = 0;
        let result = read::<RdbError>(&mut bytes.as_slice(), &Limits::default(), |entry| {
            keys += 1;
            check(entry.value.as_ref());
            Ok(())
        });
        match result {
            Ok(summary) => {
                assert_eq!(summary.keys, keys);
                assert!(summary.bytes <= bytes.len() as u64);
            }
            Err(error) => assert!(error.offset <= bytes.len() as u64, "{error}"),
        }
    }
});

fn check(value: ValueRef<'_>) {
    let (len, counted) = match value {
        ValueRef::String(_) => return,
        ValueRef::List(list) => (list.len(), list.iter().count()),
        ValueRef::Hash(hash) => (hash.len(), hash.iter().count()),
        ValueRef::Set(set) => (set.len(), set.iter().count()),
        ValueRef::SortedSet(set) => (set.len(), set.iter().count()),
    };
    assert!(len > 0);
    assert_eq!(len, counted);
}
