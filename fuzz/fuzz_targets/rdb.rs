//! Hostile bytes as an RDB and as a payload of RESTORE: no panic, and what is handed out is counted, never empty, readable,
//! and the same again when it is written and read.
#![no_main]

use innkeep::keyspace::{Limits, ValueRef};
use innkeep::rdb::{RawEntries, RawEntry, RawKind, RdbError, dump, read, restore, skim};
use innkeep::value::stream::StreamId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The footer is what the end of the input makes of it.
    if let Ok(Some(value)) = restore(input, &Limits::default(), true) {
        check(value.as_ref());
    }
    // A checksum would keep nearly every input from the end: version 4 has none.
    for header in [&b""[..], b"REDIS0004"] {
        let bytes = [header, input].concat();
        let mut keys = 0;
        let result = read::<RdbError>(&mut bytes.as_slice(), &Limits::default(), |entry| {
            keys += 1;
            check(entry.value.as_ref());
            Ok(())
        });
        match &result {
            Ok(summary) => {
                assert_eq!(summary.keys, keys);
                assert!(summary.bytes <= bytes.len() as u64);
            }
            Err(error) => assert!(error.offset <= bytes.len() as u64, "{error}"),
        }
        let mut sink = Sink::default();
        let skimmed = skim(&mut bytes.as_slice(), &mut sink).is_ok() && !sink.damaged;
        assert_eq!(skimmed, result.is_ok());
    }
});

/// Makes values of bytes at once.
#[derive(Default)]
struct Sink {
    kind: Option<RawKind>,
    damaged: bool,
}

impl RawEntries for Sink {
    type Error = RdbError;

    fn expect(&mut self, _: usize, _: u64) {}

    fn begin(&mut self, entry: RawEntry<'_>) -> Result<Option<Vec<u8>>, RdbError> {
        self.kind = Some(entry.kind);
        Ok(Some(Vec::new()))
    }

    fn end(&mut self, bytes: Vec<u8>) {
        let decoded = self.kind.map(|kind| kind.decode(&bytes, &Limits::default()).is_ok());
        self.damaged |= decoded != Some(true);
    }
}

fn check(value: ValueRef<'_>) {
    let (len, counted) = match &value {
        ValueRef::String(_) => return,
        // It may be without entries.
        ValueRef::Stream(stream) => {
            let entries = stream.range(StreamId::MIN, StreamId::MAX);
            assert_eq!(stream.len(), entries.count());
            return;
        }
        ValueRef::List(list) => (list.len(), list.iter().count()),
        ValueRef::Hash(hash) => (hash.len(), hash.iter().count()),
        ValueRef::Set(set) => (set.len(), set.iter().count()),
        ValueRef::SortedSet(set) => (set.len(), set.iter().count()),
    };
    assert!(len > 0);
    assert_eq!(len, counted);
    let payload = dump(value.clone(), true);
    let again = restore(&payload, &Limits::default(), false).expect("what is written is sound");
    let again = again.expect("and not empty");
    assert_eq!(again.as_ref().type_name(), value.type_name());
    // Forms may differ by now, and what a form has written stays the same.
    let settled = dump(again.as_ref(), true);
    let third = restore(&settled, &Limits::default(), false).expect("what is written is sound");
    assert_eq!(
        dump(third.expect("and not empty").as_ref(), true).len(),
        settled.len()
    );
}
