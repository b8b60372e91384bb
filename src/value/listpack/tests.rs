//! The listpack against a plain vector, against bytes that Redis wrote, and against hostile bytes.
//! Every state a test reaches must pass the check for bytes from outside.

use proptest::prelude::*;

use super::*;

fn values(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(|element| element.to_vec()).collect()
}

fn check(listpack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(values(listpack), model);
    assert_eq!(listpack.len(), model.len());
    assert_eq!(listpack.is_empty(), model.is_empty());
    let backwards: Vec<_> = listpack
        .iter()
        .rev()
        .map(|element| element.to_vec())
        .collect();
    assert!(backwards.iter().eq(model.iter().rev()));
    let checked = Listpack::from_bytes_checked(listpack.as_bytes())
        .expect("what we write passes our own check");
    assert_eq!(&checked, listpack);
}

#[test]
fn is_one_pointer_wide() {
    assert_eq!(size_of::<Option<Listpack>>(), size_of::<usize>());
    assert_eq!(Listpack::new().heap_size(), 16);
}

#[test]
fn integers_are_those_in_canonical_form() {
    let first_of = |text: &str| {
        Listpack::from_iter([text])
            .iter()
            .next()
            .map(|element| matches!(element, Element::Int(_)))
    };
    for text in [
        "0",
        "1",
        "-1",
        "127",
        "9223372036854775807",
        "-9223372036854775808",
        "1000000000000000000",
    ] {
        assert_eq!(first_of(text), Some(true), "{text}");
    }
    for text in [
        "",
        "-",
        "-0",
        "00",
        "01",
        "-01",
        "+1",
        " 1",
        "1 ",
        "1a",
        "0x1",
        "1.0",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "-99999999999999999999",
    ] {
        assert_eq!(first_of(text), Some(false), "{text}");
    }
}

#[test]
fn lengths_of_elements_are_those_of_their_strings() {
    for integer in [0, 1, 9, 10, 99, 100, -1, -10, i64::MAX, i64::MIN] {
        assert_eq!(Element::Int(integer).len(), integer.to_string().len());
        assert!(Element::Int(integer).equals(integer.to_string().as_bytes()));
    }
    assert!(Element::Bytes(b"").is_empty());
    assert!(!Element::Int(1).equals(b"01"));
}

#[test]
fn many_elements_leave_the_count_to_the_reader() {
    let mut listpack = Listpack::new();
    for _ in 0..65_534 {
        listpack.push_back(b"1");
    }
    assert_eq!(listpack.as_bytes()[4..6], 65_534_u16.to_le_bytes());
    listpack.push_back(b"1");
    listpack.push_back(b"2");
    assert_eq!(listpack.as_bytes()[4..6], [0xff, 0xff]);
    assert_eq!(listpack.len(), 65_536);
    assert_eq!(
        listpack.seek(65_535).map(|position| listpack.get(position)),
        Some(Element::Int(2))
    );
    assert_eq!(listpack.seek(65_536), None);
    assert_eq!(listpack.seek(-65_537), None);
    assert!(Listpack::from_bytes_checked(listpack.as_bytes()).is_ok());
    assert_eq!(listpack.remove_index_range(0, 65_000), 65_000);
    assert_eq!(listpack.len(), 536);
    assert_eq!(listpack.as_bytes()[4..6], 536_u16.to_le_bytes());
}

#[test]
fn damage_is_named() {
    let good = Listpack::from_iter(["abc", "1234", "-7"]);
    let damaged = |offset: usize, byte: u8| {
        let mut bytes = good.as_bytes().to_vec();
        bytes[offset] = byte;
        Listpack::from_bytes_checked(&bytes).expect_err("damaged")
    };
    assert_eq!(damaged(0, 1), ListpackError::TotalBytes(1));
    assert_eq!(damaged(4, 9), ListpackError::Count(9));
    assert_eq!(damaged(6, 0xff), ListpackError::Entry(6));
    assert_eq!(damaged(10, 3), ListpackError::Entry(6));
    assert_eq!(
        damaged(good.byte_len() - 1, 0),
        ListpackError::Entry(good.byte_len() - 1)
    );
    assert_eq!(
        Listpack::from_bytes_checked(&[]),
        Err(ListpackError::Length(0))
    );
}

#[test]
fn positions_out_of_date_find_nothing() {
    let mut listpack = Listpack::from_iter(["one", "two", "three"]);
    let last = listpack.last().expect("three elements");
    listpack.remove_index_range(0, 2);
    assert_eq!(listpack.next(last), None);
    assert_eq!(listpack.prev(last), None);
    assert_eq!(listpack.find(b"three", last, 0), None);
    assert_eq!(listpack.remove_range(last, 1), 0);
    check(&listpack, &[b"three".to_vec()]);
}

/// Values at the borders of all encodings.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i64>().prop_flat_map(|wide| (0_u32..64).prop_map(move |shift| (wide >> shift).to_string().into_bytes())),
        2 => (-130_i64..130).prop_map(|small| small.to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..10),
        1 => prop::collection::vec(any::<u8>(), 60..140),
        1 => (4090_usize..4100).prop_map(|len| vec![b'x'; len]),
        1 => (16_370_usize..16_390).prop_map(|len| vec![b'y'; len]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize),
    RemoveRange(usize, usize),
    SplitOff(usize),
    Find(usize, usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0_usize..64;
    prop_oneof![
        4 => value().prop_map(Step::PushBack),
        2 => value().prop_map(Step::PushFront),
        2 => (at(), value()).prop_map(|(at, value)| Step::InsertBefore(at, value)),
        2 => (at(), value()).prop_map(|(at, value)| Step::InsertAfter(at, value)),
        2 => (at(), value()).prop_map(|(at, value)| Step::Replace(at, value)),
        2 => at().prop_map(Step::Remove),
        1 => (at(), 0_usize..5).prop_map(|(at, count)| Step::RemoveRange(at, count)),
        1 => at().prop_map(Step::SplitOff),
        2 => (at(), at(), 0_usize..3).prop_map(|(wanted, start, skip)| Step::Find(wanted, start, skip)),
    ]
}

fn seek(listpack: &Listpack, index: usize) -> Position {
    let forward = listpack.seek(index as i64).expect("within");
    let backward = listpack.seek(index as i64 - listpack.len() as i64);
    assert_eq!(backward, Some(forward));
    forward
}

fn run(listpack: &mut Listpack, model: &mut Vec<Vec<u8>>, step: Step) {
    let len = model.len();
    match step {
        Step::PushBack(value) => {
            let before = listpack.byte_len();
            listpack.push_back(&value);
            assert_eq!(listpack.byte_len() - before, Listpack::entry_size(&value));
            model.push(value);
        }
        Step::PushFront(value) => {
            listpack.push_front(&value);
            model.insert(0, value);
        }
        _ if len == 0 => assert_eq!(
            (listpack.first(), listpack.last(), listpack.seek(0)),
            (None, None, None)
        ),
        Step::InsertBefore(at, value) => {
            let position = seek(listpack, at % len);
            let position = listpack.insert_before(position, &value);
            assert!(listpack.get(position).equals(&value));
            model.insert(at % len, value);
        }
        Step::InsertAfter(at, value) => {
            let position = seek(listpack, at % len);
            let position = listpack.insert_after(position, &value);
            assert!(listpack.get(position).equals(&value));
            model.insert(at % len + 1, value);
        }
        Step::Replace(at, value) => {
            let position = seek(listpack, at % len);
            assert_eq!(listpack.replace(position, &value), position);
            model[at % len] = value;
        }
        Step::Remove(at) => {
            let next = listpack.remove(seek(listpack, at % len));
            model.remove(at % len);
            assert_eq!(
                next.map(|next| listpack.get(next).to_vec()).as_ref(),
                model.get(at % len)
            );
        }
        Step::RemoveRange(at, count) => {
            let end = (at % len + count).min(len);
            assert_eq!(
                listpack.remove_index_range((at % len) as i64, count),
                end - at % len
            );
            model.drain(at % len..end);
        }
        Step::SplitOff(at) => {
            let tail = listpack.split_off(seek(listpack, at % len));
            check(&tail, &model.split_off(at % len));
        }
        Step::Find(wanted, start, skip) => {
            let wanted = model[wanted % len].clone();
            let found = listpack.find(&wanted, seek(listpack, start % len), skip);
            let index = (start % len..len)
                .step_by(skip + 1)
                .find(|&index| model[index] == wanted);
            assert_eq!(found, index.map(|index| seek(listpack, index)));
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_vec(steps in prop::collection::vec(step(), 0..80)) {
        let mut listpack = Listpack::new();
        let mut model = Vec::new();
        for step in steps {
            run(&mut listpack, &mut model, step);
            check(&listpack, &model);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(
        values in prop::collection::vec(value(), 0..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = Listpack::from_iter(values).as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [bytes, noise] {
            if let Ok(listpack) = Listpack::from_bytes_checked(&bytes) {
                prop_assert_eq!(listpack.iter().count(), listpack.len());
                prop_assert_eq!(listpack.iter().rev().count(), listpack.len());
            }
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex digits")
        })
        .collect()
}

/// What redis-server 7.0.15 answers to DUMP for these values, without the frame around the listpack.
#[test]
fn bytes_are_those_of_redis() {
    let list = [
        "0",
        "127",
        "128",
        "-1",
        "4095",
        "-4096",
        "4096",
        "-4097",
        "32767",
        "-32768",
        "32768",
        "8388607",
        "-8388608",
        "8388608",
        "2147483647",
        "-2147483648",
        "2147483648",
        "9223372036854775807",
        "-9223372036854775808",
        "",
        "abc",
        "-0",
        "01",
    ];
    let list_bytes = "75000000170000017f01c08002dfff02cfff02d00002f1001003f1ffef03f1ff7f03f1008003f200800004f2ffff7f\
                      04f200008004f30000800005f3ffffff7f05f30000008005f4000000800000000009f4ffffffffffffff7f09f40000\
                      0000000000800980018361626304822d300382303103ff";
    let hash_bytes = "240000000600846e616d650587696e6e6b6565700885726f6f6d73060c010101817802ff";
    let zset_bytes = "1c0000000600836f6e650401018374776f0483322e350403016401ff";
    for (values, hex) in [
        (&list[..], list_bytes),
        (&["name", "innkeep", "rooms", "12", "1", "x"], hash_bytes),
        (&["one", "1", "two", "2.5", "3", "100"], zset_bytes),
    ] {
        let listpack = Listpack::from_iter(values);
        assert_eq!(listpack.as_bytes(), unhex(hex));
        assert_eq!(Listpack::from_bytes_checked(&unhex(hex)), Ok(listpack));
    }
}

/// How Redis ends a long string: the back length changes its size one below the power of two.
#[test]
fn long_strings_end_as_in_redis() {
    for (len, end) in [
        (4095, "7a2081ff"),
        (4096, "7a2085ff"),
        (16_377, "7a7ffeff"),
        (16_378, "7a00ffffff"),
        (16_379, "7a018080ff"),
        (16_380, "7a018081ff"),
    ] {
        let listpack = Listpack::from_iter([vec![b'z'; len]]);
        assert!(listpack.as_bytes().ends_with(&unhex(end)), "{len}");
    }
}

#[test]
fn an_unknown_count_is_counted_once() {
    let counted = Listpack::from_iter(["a", "b"]);
    let mut bytes = counted.as_bytes().to_vec();
    bytes[4..6].fill(0xff);
    assert_eq!(Listpack::from_bytes_checked(&bytes), Ok(counted));
}
