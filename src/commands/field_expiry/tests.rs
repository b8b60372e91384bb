//! What a stopped clock shows; what a real server answers is beside HGETDEL, HGETEX and HSETEX.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::commands::testing::Harness;
use crate::keyspace::txn::{Journal, TxnOptions};
use crate::keyspace::{Entry, EventClass, Part, SnapshotSink, Source, Txn, ValueRef, WatchFlag};
use crate::reply::Response;

const NOW: i64 = 1_000_000_000;

fn ints(numbers: &[i64]) -> Response {
    Response::Array(numbers.iter().map(|n| Response::Int(*n)).collect())
}

#[test]
fn times_are_set_in_four_forms_and_logged_in_one() {
    let mut h = Harness::new();
    h.run("HSET h f v");
    for (command, ms) in [
        ("HEXPIRE h 100", NOW + 100_000),
        ("HPEXPIRE h 1500", NOW + 1500),
        ("HEXPIREAT h 2000000", 2_000_000_000),
        ("HPEXPIREAT h 2000000001", 2_000_000_001),
    ] {
        assert_eq!(h.run(&format!("{command} FIELDS 1 f")), ints(&[1]));
        let logged = format!("HPEXPIREAT h {ms} FIELDS 1 f");
        assert_eq!(h.effects(), [logged], "{command}");
        assert_eq!(h.events(), ["hexpire h"]);
        assert_eq!(h.run("HPEXPIRETIME h FIELDS 1 f"), ints(&[ms]));
        assert_eq!(h.run("HPTTL h FIELDS 1 f"), ints(&[ms - NOW]));
        assert_eq!(
            h.run("HTTL h FIELDS 2 f g"),
            ints(&[(ms - NOW + 999) / 1000, -2])
        );
    }
}

/// Whatever looks at the hash first, its due fields are gone before.
#[test]
fn due_fields_are_gone_for_every_command() {
    for (command, answer) in [
        ("HLEN h", "1"),
        ("HGET h a", "nil"),
        ("HGETALL h", "{\"c\" \"3\"}"),
        ("HKEYS h", "[\"c\"]"),
        ("HVALS h", "[\"3\"]"),
        ("HMGET h a b c", "[nil nil \"3\"]"),
        ("HEXISTS h b", "0"),
        ("HSTRLEN h a", "0"),
        ("HSCAN h 0", "[\"0\" [\"c\" \"3\"]]"),
        ("HRANDFIELD h 5", "[\"c\"]"),
        ("HTTL h FIELDS 2 a c", "[-2 -1]"),
        ("SORT l BY nosort GET *->a GET *->c", "[nil \"3\"]"),
        ("HSETNX h a 1", "1"),
        ("HSET h a 1 c 1", "1"),
        ("HINCRBY h a 7", "7"),
        ("HDEL h a b", "0"),
        ("HPERSIST h FIELDS 1 a", "[-2]"),
        ("HEXPIRE h 10 FIELDS 1 a", "[-2]"),
        ("HGETDEL h FIELDS 1 a", "[nil]"),
        ("HGETEX h PERSIST FIELDS 1 a", "[nil]"),
        ("HSETEX h FXX FIELDS 1 a 1", "0"),
    ] {
        for large in [false, true] {
            let mut h = Harness::new();
            h.session.resp3 = true;
            h.run("RPUSH l h");
            h.run("HSET h a 1 b 2 c 3");
            if large {
                h.run("HSET h long 0123456789012345678901234567890123456789012345678901234567890123456789");
                h.run("HPEXPIRE h 3 FIELDS 1 long");
                h.run("HPEXPIRE h 2 FIELDS 1 b");
                h.run("HPEXPIRE h 1 FIELDS 1 a");
            } else {
                h.run("HPEXPIRE h 1 FIELDS 2 a b");
            }
            h.keyspace.set_now_ms(Some(NOW + 4));
            h.expect(&[(command, answer)]);
            assert_eq!(h.events()[0], "hexpired h", "{command}");
            let removal = if large {
                "HDEL h a b long"
            } else {
                "HDEL h b a"
            };
            assert_eq!(h.effects()[0], removal, "{command}");
        }
    }
}

#[test]
fn a_hash_goes_with_its_last_field() {
    let mut h = Harness::new();
    h.run("HSET h a 1 b 2");
    h.run("HPEXPIRE h 5 FIELDS 2 a b");
    h.keyspace.set_now_ms(Some(NOW + 5));
    h.expect(&[("HLEN h", "2")]);
    h.keyspace.set_now_ms(Some(NOW + 6));
    h.expect(&[("HGET h a", "nil")]);
    assert_eq!(h.events(), ["hexpired h", "del h", "keymiss h"]);
    assert_eq!(h.effects(), ["HDEL h b a"]);
    h.expect(&[
        ("EXISTS h", "0"),
        ("HSETNX h a 1", "1"),
        ("HTTL h FIELDS 1 a", "[-1]"),
    ]);
}

#[test]
fn a_float_keeps_its_time_in_the_log() {
    let mut h = Harness::new();
    h.run("HSETEX h PX 500 FIELDS 1 a 1");
    h.expect(&[("HINCRBYFLOAT h a 0.5", "\"1.5\"")]);
    assert_eq!(h.effects(), ["HSETEX h KEEPTTL FIELDS 1 a 1.5"]);
    h.expect(&[("HPTTL h FIELDS 1 a", "[500]")]);
}

#[test]
fn hashes_with_times_and_fields_that_ran_out_are_counted() {
    let mut h = Harness::new();
    let line = |h: &mut Harness, name: &str| {
        let Response::Bulk(page) = h.run("INFO everything") else {
            panic!("INFO answers with a page");
        };
        let page = String::from_utf8(page).expect("the page is text");
        let line = page.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().to_owned()
    };
    h.run("HSETEX h PX 5 FIELDS 2 a 1 b 2");
    h.run("HSETEX g PX 5 FIELDS 1 a 1");
    h.run("HSET k a 1");
    let counted = "db0:keys=3,expires=0,avg_ttl=0";
    assert_eq!(line(&mut h, "db0"), format!("{counted},subexpiry=2"));
    for (command, left) in [
        ("COPY g g2", ",subexpiry=3"),
        ("RENAME g2 k", ",subexpiry=3"),
        ("HPERSIST k FIELDS 1 a", ",subexpiry=2"),
        ("HEXPIRE k 9 FIELDS 1 a", ",subexpiry=3"),
        ("EXPIRE k 0", ",subexpiry=2"),
        ("HSET k a 1", ",subexpiry=2"),
        ("HDEL g a", ",subexpiry=1"),
        ("SET g 1", ",subexpiry=1"),
        ("HSET h a 1", ",subexpiry=1"),
        ("SET h 1", ""),
        ("DEL h", ""),
    ] {
        h.run(command);
        let text = line(&mut h, "db0");
        let (_, counted) = text.split_once("avg_ttl=0").expect("the line has it");
        assert_eq!(counted, left, "{command}");
    }
    assert_eq!(line(&mut h, "expired_subkeys"), "");
    h.run("HSETEX h PX 5 FIELDS 2 a 1 b 2");
    h.run("DEL h");
    h.run("HSETEX h PX 5 FIELDS 2 a 1 b 2");
    h.keyspace.set_now_ms(Some(NOW + 6));
    h.run("HLEN h");
    assert_eq!(line(&mut h, "expired_subkeys"), "expired_subkeys:2");
}

// ------------------------------------------------------------------------------------------------ in the background

fn begin(h: &Harness) -> Txn<'_> {
    let options = TxnOptions {
        propagate: true,
        events: EventClass(u32::MAX),
        keep_expired: false,
        frozen: false,
    };
    let shards = h.keyspace.all_shards();
    h.keyspace.begin(shards, 0, options, Journal::default())
}

#[test]
fn the_background_removes_what_is_due_piece_by_piece() {
    let mut h = Harness::new();
    for field in 0..500 {
        h.run(&format!("HSETEX large PX 5 FIELDS 1 f{field} v"));
    }
    h.run("HSETEX small PX 5 FIELDS 1 a 1");
    h.run("HSETEX later PX 50 FIELDS 1 a 1");
    h.run("HSET large stays v");
    h.keyspace.set_now_ms(Some(NOW + 6));
    let (mut removed, mut rounds) = (0, 0);
    loop {
        let mut txn = begin(&h);
        if txn.next_expiry_ms().is_none_or(|at| at >= NOW + 6) {
            assert_eq!(txn.next_expiry_ms(), Some(NOW + 50));
            break;
        }
        removed += txn.expire_due(64);
        rounds += 1;
        assert!(
            txn.journal
                .events
                .iter()
                .all(|event| event.name != "expired")
        );
    }
    assert_eq!((removed, rounds), (501, 8));
    h.expect(&[
        ("HLEN large", "1"),
        ("EXISTS small", "0"),
        ("HGET later a", "\"1\""),
    ]);
    assert!(h.effects().is_empty(), "all of it was gone before");
}

#[test]
fn a_field_that_runs_out_is_a_change_to_those_who_watch() {
    for by_background in [false, true] {
        let mut h = Harness::new();
        h.run("HSETEX h PX 5 FIELDS 1 a 1");
        h.run("HSET h b 2");
        let flag = Arc::new(WatchFlag::default());
        begin(&h).watch(b"h", &flag);
        h.keyspace.set_now_ms(Some(NOW + 6));
        assert!(!flag.is_raised());
        if by_background {
            assert_eq!(begin(&h).expire_due(10), 1);
        } else {
            h.run("HLEN h");
        }
        assert!(flag.is_raised(), "by the background: {by_background}");
    }
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(String, Option<i64>)>>);

impl SnapshotSink for Seen {
    fn save(&self, _: usize, entries: &mut dyn Iterator<Item = &Entry>) {
        for entry in entries {
            self.see(&entry.value());
        }
    }

    fn save_part(&self, part: Part<'_>) -> bool {
        let Source::Whole(value) = part.value else {
            panic!("there are small hashes only");
        };
        self.see(&value);
        true
    }
}

impl Seen {
    fn see(&self, value: &ValueRef<'_>) {
        let ValueRef::Hash(hash) = value else {
            panic!("there are hashes only");
        };
        let name = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
        let fields = hash.iter_with_times();
        let mut seen = self.0.lock();
        seen.extend(fields.map(|(field, _, time)| (name(field.to_vec()), time)));
    }
}

/// A snapshot has the fields, and the times, of the moment when it began.
#[test]
fn a_snapshot_sees_no_later_times() {
    let mut h = Harness::new();
    h.run("HSETEX h PX 5 FIELDS 2 a 1 b 1");
    h.run("HSET h c 3");
    let seen = Arc::new(Seen::default());
    let sink: Arc<dyn SnapshotSink> = Arc::<Seen>::clone(&seen);
    begin(&h).begin_snapshot(&sink);
    h.run("HPERSIST h FIELDS 1 a");
    h.run("HEXPIRE h 10 FIELDS 1 c");
    h.keyspace.set_now_ms(Some(NOW + 6));
    h.expect(&[("HLEN h", "2")]);
    h.keyspace
        .walk_snapshot(&sink, || Ok::<(), ()>(()))
        .expect("nothing is in its way");
    let mut seen = std::mem::take(&mut *seen.0.lock());
    seen.sort();
    let due = Some(NOW + 5);
    let expected = [("a", due), ("b", due), ("c", None)];
    assert_eq!(seen, expected.map(|(field, time)| (field.to_owned(), time)));
}
