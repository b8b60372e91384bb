//! Entries of every kind: what goes in comes out, and stays where it belongs while it changes.

use super::*;
use crate::value::hash::HashLimits;
use crate::value::set::SetLimits;

fn text(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::String(t) => t.to_vec(),
        other => panic!("{other:?} is no string"),
    }
}

#[test]
fn a_string_keeps_key_value_and_expiry_through_every_change() {
    for key_len in [0, 1, 16, 65534, 65535, 70000] {
        let key = vec![b'k'; key_len];
        for value in [&b""[..], b"12", b"hello", &[b'x'; 1024], &[b'y'; 5000]] {
            let mut entry = Entry::new_string(&key, value, None);
            entry.touch(77);
            for at in [Some(5), Some(6), None, None, Some(i64::MAX)] {
                entry.set_expires_at_ms(at);
                assert_eq!(
                    (entry.key(), text(&entry).as_slice(), entry.expires_at_ms()),
                    (&key[..], value, at)
                );
                assert_eq!(entry.access(), 77);
            }
            entry.bytes_mut().expect("a string").extend_from_slice(b"!");
            assert_eq!(text(&entry), [value, b"!"].concat());
            assert_eq!(entry.encoding(), "raw");
            assert_eq!(entry.expires_at_ms(), Some(i64::MAX));
        }
    }
}

#[test]
fn encodings_of_strings() {
    assert_eq!(Entry::new_string(b"k", b"-7", None).encoding(), "int");
    assert_eq!(
        Entry::new_string(b"k", &[b'a'; 44], None).encoding(),
        "embstr"
    );
    assert_eq!(Entry::new_string(b"k", &[b'a'; 45], None).encoding(), "raw");
}

#[test]
fn values_come_out_as_they_went_in() {
    let entry = Entry::new(b"k", Value::Bytes(vec![1; 2000]), Some(9));
    assert!(matches!(entry.into_value(), Value::Raw(b) if b == vec![1; 2000]));
    let mut entry = Entry::new(b"k", Value::Int(4), None);
    *entry.int_mut().expect("an integer") += 1;
    assert!(matches!(entry.into_value(), Value::Int(5)));
}

/// Grows hashes and sets out of the entry, and changes the expiry on the way.
#[test]
fn small_collections_live_in_the_entry_until_they_are_long() {
    let (hash_limits, set_limits) = limits();
    for key_len in [0, 16, 70000] {
        let key = vec![b'k'; key_len];
        let mut hash = Entry::empty_hash(&key);
        let mut set = Entry::new(&key, Value::Set(Set::new()), Some(1));
        hash.touch(77);
        for number in 0..100_usize {
            let text = format!("text-{number}");
            let (bytes, digits) = (text.as_bytes(), number.to_string());
            let mut fields = hash.hash_mut().expect("a hash");
            assert!(fields.set(digits.as_bytes(), bytes, &hash_limits));
            drop(fields);
            let mut members = set.set_mut().expect("a set");
            let member = if number < 20 {
                digits.as_bytes()
            } else {
                bytes
            };
            assert!(members.insert(member, &set_limits));
            drop(members);
            hash.set_expires_at_ms((number % 3 == 0).then_some(5));
            assert_eq!(
                (hash.access(), hash.key(), set.key()),
                (77, &key[..], &key[..])
            );
            let ValueRef::Hash(fields) = hash.value() else {
                panic!("a hash");
            };
            assert_eq!(
                fields.get(b"0").map(|text| text.to_vec()),
                Some(b"text-0".to_vec())
            );
            assert_eq!(fields.len(), number + 1);
            let ValueRef::Set(members) = set.value() else {
                panic!("a set");
            };
            assert_eq!(members.len(), number + 1);
            assert_eq!(hash.kind().slot_size() == 0, packed(&*fields).is_some());
            assert_eq!(set.kind().slot_size() == 0, packed(&*members).is_some());
        }
        assert_eq!((hash.kind(), set.kind()), (Kind::Hash, Kind::Set));
        assert!(matches!(hash.clone_value(), Value::Hash(hash) if hash.len() == 100));
        assert!(matches!(set.into_value(), Value::Set(set) if set.len() == 100));
    }
}

#[test]
fn empty_collections_are_what_their_types_begin_with() {
    let (hash_limits, set_limits) = limits();
    let hash = Entry::new(b"k", Value::Hash(Hash::new()), None);
    assert_eq!(Entry::empty_hash(b"k").bytes(), hash.bytes());
    let set = Entry::new(b"k", Value::Set(Set::new()), None);
    assert_eq!(Entry::empty_set(b"k").bytes(), set.bytes());
    assert_eq!(
        (hash.kind(), set.kind()),
        (Kind::PackedHash, Kind::PackedIntSet)
    );
    for member in [&b"1"[..], b"a", &[b'x'; 65]] {
        let (mut entry, mut model) = (Entry::empty_set(b"k"), Set::new());
        let mut set = entry.set_mut().expect("a set");
        assert!(set.insert(member, &set_limits) && model.insert(member, &set_limits));
        assert_eq!(set.view().encoding(), model.encoding());
        assert!(!set.insert(member, &set_limits));
        let (mut entry, mut model) = (Entry::empty_hash(b"k"), Hash::new());
        let mut hash = entry.hash_mut().expect("a hash");
        assert!(hash.set(member, member, &hash_limits));
        assert!(model.set(member, member, &hash_limits));
        assert_eq!(hash.view().encoding(), model.encoding());
    }
}

#[test]
fn what_shrinks_stays_what_it_is_and_comes_out_whole() {
    let (hash_limits, _) = limits();
    let mut entry = Entry::new(b"k", Value::Hash(Hash::new()), Some(9));
    assert!(entry.set_mut().is_none());
    let mut hash = entry.hash_mut().expect("a hash");
    hash.set(b"field", &[b'v'; 40], &hash_limits);
    drop(hash);
    let mut hash = entry.hash_mut().expect("a hash");
    hash.set(b"field", b"", &hash_limits);
    assert!(!hash.set(b"field", b"12", &hash_limits));
    drop(hash);
    assert_eq!(
        (entry.kind(), entry.expires_at_ms()),
        (Kind::PackedHash, Some(9))
    );
    let Value::Hash(hash) = entry.into_value() else {
        panic!("a hash");
    };
    assert_eq!(
        hash.get(b"field").map(|value| value.to_vec()),
        Some(b"12".to_vec())
    );
}

fn limits() -> (HashLimits, SetLimits) {
    let hash = HashLimits {
        max_listpack_entries: 128,
        max_listpack_value: 64,
    };
    let set = SetLimits {
        max_intset_entries: 512,
        max_listpack_entries: 128,
        max_listpack_value: 64,
    };
    (hash, set)
}

#[test]
fn a_string_of_the_same_length_is_overwritten_in_place() {
    let mut entry = Entry::new_string(b"k", b"hello", Some(4));
    assert!(entry.overwrite_string(b"world"));
    assert!(!entry.overwrite_string(b"longer") && !entry.overwrite_string(b"12345"));
    assert_eq!(text(&entry), b"world");
    let mut entry = Entry::new_string(b"k", b"7", None);
    assert!(!entry.overwrite_string(b"x") && entry.overwrite_string(b"-12345"));
    assert_eq!(text(&entry), b"-12345");
}
