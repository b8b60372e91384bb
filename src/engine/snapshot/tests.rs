//! Large values that change while a snapshot takes them part by part: it has what there was when it began.

use super::*;
use crate::commands::digest::digest_of_everything;
use crate::commands::testing::Harness;
use crate::engine::rewrite::Chunks;
use crate::keyspace::txn::{Journal, TxnOptions};
use crate::keyspace::{Keyspace, Limits};
use crate::rdb::{self, RdbEntry, RdbError};
use crate::value::hash::FieldTime;
use crate::value::stream::StreamId;

const KEYS: [&[u8]; 6] = [b"list", b"hash", b"set", b"zset", b"stream", b"text"];
/// Elements of each collection: several parts.
const ELEMENTS: u64 = 2500;
const NOW_MS: i64 = 1_000_000_000;

fn begin(keyspace: &Keyspace) -> Txn<'_> {
    let options = TxnOptions::default();
    keyspace.begin(keyspace.all_shards(), 0, options, Journal::default())
}

fn digest(keyspace: &Keyspace) -> String {
    digest_of_everything(&mut begin(keyspace))
}

fn element(number: u64) -> Vec<u8> {
    format!("element-{number}").into_bytes()
}

/// Adds to each of the large values, or gives it another element of this number, at one place.
fn add(txn: &mut Txn<'_>, key: &[u8], number: u64, value: u64) {
    const SAME: &str = "a key is of one type only";
    let (limits, element) = (txn.limits(), element(number));
    match key {
        b"list" => {
            let list = txn.list_or_new(key).expect(SAME);
            if !list.set((number / 2) as i64, &element, &limits.list) {
                list.push_back(&element, &limits.list);
            }
        }
        b"hash" => {
            let mut hash = txn.hash_or_new(key).expect(SAME);
            hash.set(&element, &value.to_le_bytes(), &limits.hash);
        }
        b"set" => {
            let mut set = txn.set_or_new(key).expect(SAME);
            set.insert(&element, &limits.set);
        }
        b"zset" => {
            let set = txn.sorted_set_or_new(key).expect(SAME);
            set.insert(&element, (value % 777) as f64, &limits.sorted_set);
        }
        b"stream" => {
            let stream = txn.stream_or_new(key).expect(SAME);
            stream.add(
                StreamId::new(number, value),
                &[&element, &element],
                &limits.stream,
            );
        }
        _ => txn.insert_string(key, &element.repeat(300), None),
    }
}

/// Takes an element away, if the value is there.
fn remove_one(txn: &mut Txn<'_>, key: &[u8], number: u64) {
    let element = element(number);
    let mut removed = false;
    if let Ok(Some(list)) = txn.list_mut(key) {
        removed = list.remove_at(number as usize);
    } else if let Ok(Some(mut hash)) = txn.hash_mut(key) {
        removed = hash.whole().remove(&element);
    } else if let Ok(Some(mut set)) = txn.set_mut(key) {
        removed = set.whole().remove(&element);
    } else if let Ok(Some(set)) = txn.sorted_set_mut(key) {
        removed = set.remove(&element).is_some();
    }
    if removed {
        txn.remove_if_empty(key);
    }
}

/// Changes several elements at once, or those at an end, if the value is there.
fn change_several(txn: &mut Txn<'_>, key: &[u8], number: u64, random: u64) {
    let (limits, number) = (txn.limits(), number as usize);
    if let Ok(Some(list)) = txn.list_mut(key) {
        match random & 7 {
            0 => list.trim(number / 4, usize::MAX),
            1 => drop(list.remove(0, &element(random >> 32 & 1023))),
            2 => drop(list.insert_before(&element(2), &element(3), &limits.list)),
            3 => list.remove_range(number / 2, number / 8),
            4 | 5 => (0..number / 16).for_each(|_| drop(list.pop_front())),
            6 => (0..number / 16).for_each(|_| drop(list.pop_back())),
            _ => (0..number / 16).for_each(|_| list.push_front(b"first", &limits.list)),
        }
    } else if let Ok(Some(mut hash)) = txn.hash_mut(key) {
        let (at, hash) = (FieldTime::At(NOW_MS + number as i64), hash.whole());
        match random & 7 {
            0 => hash.know_times(),
            _ => drop(hash.set_with_time(&element(number as u64), b"timed", at, &limits.hash)),
        }
    } else if let Ok(Some(set)) = txn.sorted_set_mut(key) {
        match random & 3 {
            0 => drop(set.pop_min()),
            1 => drop(set.pop_max()),
            _ => set.remove_range(number / 2..number / 2 + number / 16, |_, _| {}),
        }
    } else if let Ok(Some(mut set)) = txn.set_mut(key) {
        let mut state = random;
        (0..number / 16).for_each(|_| {
            drop(set.whole().pop(&mut || {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                state
            }));
        });
    } else {
        return;
    }
    txn.note_field_times(key);
    txn.remove_if_empty(key);
}

fn change(keyspace: &Keyspace) {
    let random = keyspace.random();
    let number = (random >> 16) % (2 * ELEMENTS);
    let key = KEYS[(random >> 8) as usize % KEYS.len()];
    let mut txn = begin(keyspace);
    txn.select(random as usize % 2);
    match random >> 40 & 63 {
        0 | 60 => drop(txn.remove(key)),
        1 => {
            if let Some((value, expiry)) = txn.take(key) {
                txn.insert(&element(number), value, expiry);
            }
        }
        2 => drop(txn.set_expiry(key, Some(NOW_MS + number as i64))),
        3 if number.is_multiple_of(8) => txn.swap_dbs(0, 1),
        4 if number.is_multiple_of(8) => drop(txn.flush_db(1, false)),
        5..30 => remove_one(&mut txn, key, number),
        30..48 => add(&mut txn, key, number, random),
        48..54 => change_several(&mut txn, key, number, random >> 48),
        _ => txn.insert_string(&element(number), &random.to_le_bytes(), None),
    }
}

/// Two databases with a large value of each kind and many small ones.
fn filled(seed: u64) -> Keyspace {
    let keyspace = Keyspace::new(1 << (seed % 3), 2, seed);
    keyspace.set_now_ms(Some(NOW_MS));
    for db in 0..2 {
        let mut txn = begin(&keyspace);
        txn.select(db);
        for number in 0..ELEMENTS {
            KEYS.iter()
                .for_each(|key| add(&mut txn, key, 2 * number, number + seed));
            txn.insert_string(&number.to_le_bytes(), &element(number), None);
        }
        txn.set_expiry(b"zset", Some(NOW_MS + 1000));
    }
    keyspace
}

/// Takes a snapshot while everything changes; what there was when it began.
fn take(keyspace: &Keyspace, sink: &Arc<dyn SnapshotSink>) -> String {
    let before = digest(keyspace);
    begin(keyspace).begin_snapshot(sink);
    let walked = keyspace.walk_snapshot(sink, || {
        (0..keyspace.random() % 3).for_each(|_| change(keyspace));
        Ok::<(), ()>(())
    });
    walked.expect("nothing is in its way");
    before
}

#[test]
fn an_rdb_has_what_there_was_when_it_began() {
    for seed in 0..12 {
        let keyspace = filled(seed);
        let segments = Arc::new(Segments::new(Form {
            compress: seed % 2 == 0,
            policy: "noeviction",
            clock: begin(&keyspace).limits().access,
            now_ms: NOW_MS,
        }));
        let sink: Arc<dyn SnapshotSink> = Arc::<Segments>::clone(&segments);
        let before = take(&keyspace, &sink);
        let mut writer = RdbWriter::begin(Vec::new(), &RdbHeader::default()).expect("memory");
        let (mut keys, mut told) = (0, 0);
        for segment in segments.waiting.lock().drain(..) {
            told += segment.keys;
            writer
                .entries(segment.db, &segment.entries)
                .expect("memory");
        }
        let bytes = writer.finish().expect("memory").0;
        let loaded = Keyspace::new(1, 2, 1);
        loaded.set_now_ms(Some(NOW_MS));
        let load = |entry: RdbEntry| {
            let mut txn = begin(&loaded);
            txn.select(entry.db);
            assert!(txn.peek(&entry.key).is_none(), "{:?} twice", entry.key);
            txn.insert(&entry.key, entry.value, entry.expires_at_ms);
            keys += 1;
            Ok::<(), RdbError>(())
        };
        rdb::read(&mut &bytes[..], &Limits::default(), load).expect("a whole RDB");
        assert_eq!((digest(&loaded), keys), (before, told), "seed {seed}");
    }
}

#[test]
fn a_base_of_commands_has_what_there_was_when_it_began() {
    for seed in 0..12 {
        let keyspace = filled(seed);
        let chunks = Arc::new(Chunks::default());
        let sink: Arc<dyn SnapshotSink> = Arc::<Chunks>::clone(&chunks);
        let before = take(&keyspace, &sink);
        let mut loaded = Harness::new();
        for chunk in chunks.0.lock().drain(..) {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let words = next_command(&mut rest);
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                loaded.run_words(&words);
            }
        }
        assert_eq!(digest(&loaded.keyspace), before, "seed {seed}");
    }
}

/// Takes the next command off what was encoded.
fn next_command(rest: &mut &[u8]) -> Vec<Vec<u8>> {
    let words = next_number(rest);
    let words = (0..words).map(|_| {
        let (word, behind) = {
            let len = next_number(rest);
            rest.split_at(len)
        };
        *rest = &behind[2..];
        word.to_vec()
    });
    words.collect()
}

/// Takes off a line that says how many words or bytes follow.
fn next_number(rest: &mut &[u8]) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (line, behind) = rest.split_at(end.expect("a line") + 1);
    *rest = behind;
    let digits = std::str::from_utf8(&line[1..]).expect("digits");
    digits.trim_end().parse().expect("a number")
}
