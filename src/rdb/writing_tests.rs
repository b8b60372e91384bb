//! What is written is read again as it was: whole files and single payloads, with every form of every type.

use proptest::prelude::*;

use super::tests::skim_all;
use super::{
    Encoder, KeyHeader, PayloadError, RdbEntry, RdbError, RdbHeader, RdbSummary, RdbWriter, Usage,
    dump, read, restore,
};
use crate::keyspace::{Limits, Value};
use crate::value::hash::{FieldTime, Hash};
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::{Group, Stream, StreamId};
use crate::value::zset::SortedSet;

/// Small limits, so that every form comes up.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.list.max_listpack_size = 3;
    limits.list.packed_threshold = 400;
    limits.hash.max_listpack_entries = 4;
    limits.sorted_set.max_listpack_entries = 4;
    limits.set.max_intset_entries = 4;
    limits.set.max_listpack_entries = 6;
    limits.stream.max_node_entries = 5;
    limits
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-300_i64..300).prop_map(|number| number.to_string().into_bytes()),
        (any::<i32>(), 0_u32..30)
            .prop_map(|(number, shift)| (number >> shift).to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..60),
        ("[a-c]{1,9}", 1_usize..200).prop_map(|(word, count)| word.repeat(count).into_bytes()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let texts = || prop::collection::vec(text(), 1..12);
    prop_oneof![
        text().prop_map(|text| Value::string(&text)),
        texts().prop_map(|texts| {
            let mut list = List::new();
            texts
                .iter()
                .for_each(|text| list.push_back(text, &limits().list));
            list.into()
        }),
        texts().prop_map(|texts| set_of(&texts)),
        prop::collection::vec(any::<i16>(), 1..8).prop_map(|numbers| {
            let texts: Vec<_> = numbers
                .iter()
                .map(|number| number.to_string().into_bytes())
                .collect();
            set_of(&texts)
        }),
        prop::collection::vec((text(), text()), 1..8).prop_map(|pairs| {
            let fields = pairs.into_iter();
            hash_of(fields.map(|(field, value)| (field, value, None)))
        }),
        prop::collection::vec((text(), text(), prop::option::of(1..i64::MAX)), 1..8)
            .prop_map(hash_of),
        prop::collection::vec((text(), score()), 1..8).prop_map(|pairs| {
            let mut set = SortedSet::new();
            for (member, score) in &pairs {
                set.insert(member, *score, &limits().sorted_set);
            }
            set.into()
        }),
        (
            prop::collection::vec((text(), text()), 1..20),
            any::<[u8; 4]>()
        )
            .prop_map(|(fields, choices)| stream_of(&fields, choices)),
    ]
}

/// A stream with deleted entries and a group whose consumers have some of them. What version 10 does not hold, when a
/// consumer was active last, is when it was seen.
fn stream_of(fields: &[(Vec<u8>, Vec<u8>)], choices: [u8; 4]) -> Value {
    let mut stream = Stream::new();
    let mut group = Group::new(
        StreamId::new(3, 7),
        choices[0].checked_sub(9).map(i64::from),
    );
    for (at, name) in [&b"alice"[..], b"bob", b""].into_iter().enumerate() {
        let seen_ms = i64::from(choices[1]) + at as i64;
        group.add_consumer(name, seen_ms);
        if let Some(consumer) = group.consumer_mut(name) {
            consumer.active_ms = seen_ms;
        }
    }
    for (seq, (name, value)) in (1..).zip(fields) {
        let id = StreamId::new(u64::from(choices[2]), seq);
        stream.add(id, &[name, value], &limits().stream);
        if seq % 3 == 0 {
            stream.delete(id);
        }
        if seq % 2 == 0 {
            let consumer = if seq % 4 == 0 { &b"alice"[..] } else { b"bob" };
            group.deliver(id, consumer, i64::from(choices[3]), seq);
        }
    }
    stream.add_group(b"group", group);
    stream.into()
}

/// A hash of the first value given for each field: a long one that a short one replaced would leave a table behind, which
/// is read again as a listpack, as in Redis.
fn hash_of(fields: impl IntoIterator<Item = (Vec<u8>, Vec<u8>, Option<i64>)>) -> Value {
    let mut hash = Hash::new();
    for (field, value, time) in fields {
        if hash.get(&field).is_none() {
            let time = time.map_or(FieldTime::Never, FieldTime::At);
            hash.set_with_time(&field, &value, time, &limits().hash);
        }
    }
    hash.into()
}

fn set_of(texts: &[Vec<u8>]) -> Value {
    let mut set = Set::new();
    for text in texts {
        set.insert(text, &limits().set);
    }
    set.into()
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-1000_i32..1000).prop_map(f64::from),
        // A listpack, through which a set grows, has one zero only.
        any::<f64>().prop_filter("a number", |score| !score.is_nan() && *score != 0.0),
    ]
}

/// Everything about a value that a client could see, forms included.
fn picture(value: &Value) -> (String, Vec<Vec<u8>>) {
    let own = |element: crate::value::listpack::Element<'_>| element.to_vec();
    match value {
        Value::Int(number) => ("string".to_owned(), vec![number.to_string().into_bytes()]),
        Value::Bytes(bytes) | Value::Raw(bytes) => ("string".to_owned(), vec![bytes.clone()]),
        Value::List(list) => (
            format!("list of {} nodes", list.node_count()),
            list.iter().map(own).collect(),
        ),
        Value::Set(set) => {
            let mut members: Vec<_> = set.iter().map(own).collect();
            members.sort();
            let form = if set.as_intset().is_some() {
                "intset"
            } else {
                "hashtable"
            };
            (form.to_owned(), members)
        }
        Value::Hash(hash) => {
            let mut pairs: Vec<_> = hash
                .iter_with_times()
                .map(|(field, value, time)| {
                    [own(field), own(value), format!("{time:?}").into_bytes()].concat()
                })
                .collect();
            if hash.encoding() == "hashtable" {
                pairs.sort();
            }
            (hash.encoding().to_owned(), pairs)
        }
        Value::SortedSet(set) => {
            let pairs = set.iter().map(|(member, score)| {
                [own(member), score.to_bits().to_le_bytes().to_vec()].concat()
            });
            (set.encoding().to_owned(), pairs.collect())
        }
        Value::Stream(stream) => {
            let nodes = stream
                .nodes()
                .map(|(id, pack)| [&id.to_bytes()[..], pack.as_bytes()].concat());
            (format!("{stream:?}"), nodes.collect())
        }
    }
}

#[derive(Debug)]
struct Key {
    db: usize,
    expires_at_ms: Option<i64>,
    usage: Option<Usage>,
    value: Value,
}

fn key() -> impl Strategy<Value = Key> {
    let usage = prop_oneof![
        Just(None),
        any::<u64>().prop_map(|seconds| Some(Usage::Idle(seconds))),
        any::<u8>().prop_map(|frequency| Some(Usage::Frequency(frequency))),
    ];
    (0_usize..70, prop::option::of(any::<i64>()), usage, value()).prop_map(
        |(db, expires_at_ms, usage, value)| Key {
            db,
            expires_at_ms,
            usage,
            value,
        },
    )
}

fn write(keys: &[Key], compress: bool, checksum: bool) -> Vec<u8> {
    let mut encoder = Encoder::new(compress);
    let header = RdbHeader {
        redis_version: "7.2.4",
        created_s: 1_700_000_000,
        sizes: vec![(3, 1), (0, 0), (200, 0)],
        checksum,
        ..RdbHeader::default()
    };
    let mut writer = RdbWriter::begin(Vec::new(), &header).expect("memory takes it");
    let mut entries = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        entries.clear();
        let name = format!("key:{number}");
        let header = KeyHeader {
            key: name.as_bytes(),
            expires_at_ms: key.expires_at_ms,
            usage: key.usage,
        };
        encoder.entry(&mut entries, &header, key.value.as_ref());
        writer.entries(key.db, &entries).expect("memory takes it");
    }
    let (bytes, len) = writer.finish().expect("memory takes it");
    assert_eq!(bytes.len() as u64, len);
    bytes
}

fn read_all(mut bytes: &[u8]) -> (Vec<RdbEntry>, RdbSummary) {
    let mut entries = Vec::new();
    let summary = read::<RdbError>(&mut bytes, &limits(), |entry| {
        entries.push(entry);
        Ok(())
    });
    (entries, summary.expect("what was written is sound"))
}

proptest! {
    #[test]
    fn a_file_holds_what_was_written(
        keys in prop::collection::vec(key(), 0..12),
        compress in any::<bool>(),
        checksum in any::<bool>(),
    ) {
        let bytes = write(&keys, compress, checksum);
        let (entries, summary) = read_all(&bytes);
        prop_assert_eq!((summary.version, summary.bytes), (10, bytes.len() as u64));
        prop_assert_eq!((summary.has_checksum, summary.aux.len()), (checksum, 5));
        prop_assert_eq!(entries.len(), keys.len());
        let (in_steps, counted) = skim_all(&bytes, &limits()).expect("what was written is sound");
        prop_assert_eq!(format!("{entries:?}"), format!("{in_steps:?}"));
        prop_assert_eq!(counted, summary);
        for (number, (entry, key)) in entries.iter().zip(&keys).enumerate() {
            let name = format!("key:{number}");
            prop_assert_eq!(&entry.key, name.as_bytes());
            prop_assert_eq!((entry.db, entry.expires_at_ms, entry.usage), (key.db, key.expires_at_ms, key.usage));
            prop_assert_eq!(picture(&entry.value), picture(&key.value));
        }
    }

    #[test]
    fn a_payload_holds_its_value(value in value(), compress in any::<bool>()) {
        let payload = dump(value.as_ref(), compress);
        let restored = restore(&payload, &limits(), false).expect("sound").expect("not empty");
        prop_assert_eq!(picture(&restored), picture(&value));
    }

    #[test]
    fn a_damaged_payload_is_refused(value in value(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut payload = dump(value.as_ref(), true);
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        prop_assert!(matches!(restore(&payload, &limits(), false), Err(PayloadError::Footer)));
        drop(restore(&payload, &limits(), true));
        payload.truncate(at);
        prop_assert!(restore(&payload, &limits(), false).is_err());
    }
}

#[test]
fn payloads_are_those_of_redis() {
    // DUMP of redis-server 7.0.15.
    let limits = Limits::default();
    let expected: &[&[u8]] = &[
        b"\x00\xc0\x0a\x0a\x00n\x9fWE\x0e\xaec\xbb",
        b"\x00\xc2\xc0\x1d\xfe\xff\x0a\x00\xe1\xb6b\x9e\xab\xbdT\xf2",
        b"\x00\x04text\x0a\x00|\xf3&m\xca\xb5\xa51",
        b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0a\x00\xe5\x10\xb2\x8e{\x95)\xaa",
        b"\x10\x16\x16\x00\x00\x00\x04\x00\x81f\x02\x01\x01\x81g\x02\x85hello\x06\xff\x0a\x00\x1d\xfe}_\x0d\xe3\xbd\x86",
        b"\x12\x01\x02\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x05\x01\xff\x0a\x00\xec\xe2\xb0M\x82\x81\xb9Q",
        b"\x11\x14\x14\x00\x00\x00\x04\x00\x81a\x02\x831.5\x04\x81b\x02\x02\x01\xff\x0a\x00\xfa\x02\xb4%\xaf\x18\x87c",
        b"\x02\x01\x01a\x0a\x00b\x96\xe9~D\xd2\x1am",
    ];
    for payload in expected {
        let value = restore(payload, &limits, false).expect("Redis made it");
        let value = value.expect("it is not empty");
        assert_eq!(dump(value.as_ref(), true), *payload, "{value:?}");
    }
}
