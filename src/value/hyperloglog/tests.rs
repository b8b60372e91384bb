//! The layout against that of a real server, and both forms against a plain array of registers.

use proptest::prelude::*;

use super::*;

fn model() -> Vec<u8> {
    vec![0; REGISTERS]
}

fn registers(bytes: &[u8]) -> Vec<u8> {
    let registers = Registers::of(bytes).expect("registers of our own are sound");
    registers.iter().collect()
}

fn dense() -> Vec<u8> {
    let mut bytes = new();
    assert_eq!(make_dense(&mut bytes), Ok(true));
    bytes
}

// The bytes that redis-server 7.0.15 holds after `PFADD h a b c`.
#[test]
fn the_layout_is_that_of_redis() {
    let mut bytes = new();
    assert_eq!(&bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    for element in [b"a", b"b", b"c"] {
        assert_eq!(add(&mut bytes, element, 3000), Ok(true));
    }
    forget_count(&mut bytes);
    assert_eq!(
        bytes,
        b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x60\xf3\x80\x50\xb1\x84\x4b\xfb\x80\x42\x5a"
    );
}

// SHA-1 of the registers' bytes, their length and PFCOUNT, of redis-server 7.0.15 after `PFADD h element:1` to `element:n`.
#[test]
fn growing_sets_have_the_layout_of_redis() {
    let mut bytes = new();
    let mut elements = 1..;
    for (count, len, digest, estimate) in [
        (1, 21, "e706c83dc1dd8b2bda868d22f813e9cef06ce660", 1),
        (10, 47, "1de52d78a35702ea74946bf0a4aa7e2ca8d5f43e", 10),
        (100, 285, "5d79396a9a0f72454dc0c76063fc9cc1ded1cde5", 99),
        (500, 1049, "96830cee3912b4c0f95f8e91d6240cdfc703d57d", 502),
        (1000, 1898, "1f1e098c47b35c21694a2dd5e922b0ac32728b07", 997),
        (1500, 2723, "b9345f9867b867c201fed152a84172f56cfb7a56", 1500),
        (
            3000,
            12304,
            "9f9a515537b4363fa9b911895b2ca9eba449d609",
            3001,
        ),
        (
            20000,
            12304,
            "09d94c0a396c9b8aa51c836092790b5ab560bf79",
            19987,
        ),
    ] {
        for element in elements.by_ref().take_while(|element| *element <= count) {
            let element = format!("element:{element}");
            let raised = add(&mut bytes, element.as_bytes(), 3000);
            assert!(raised.is_ok(), "{element}");
        }
        elements = count + 1..;
        let own = sha1_smol::Sha1::from(&bytes[HEADER..]).digest().to_string();
        assert_eq!(
            (bytes.len(), own.as_str()),
            (len, digest),
            "{count} elements"
        );
        assert_eq!(super::count(&bytes), Ok(estimate), "{count} elements");
    }
}

#[test]
fn the_count_is_kept_until_it_is_forgotten() {
    let mut bytes = new();
    assert_eq!(kept_count(&bytes), Some(0));
    keep_count(&mut bytes, 123_456);
    assert_eq!(kept_count(&bytes), Some(123_456));
    forget_count(&mut bytes);
    assert_eq!(kept_count(&bytes), None);
    keep_count(&mut bytes, 7);
    assert_eq!(kept_count(&bytes), Some(7));
}

#[test]
fn what_is_no_hyperloglog() {
    for bytes in [
        &b""[..],
        b"HYLL",
        b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
        b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
        b"HYLL\x00\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
    ] {
        assert_eq!(encoding(bytes), None, "{bytes:?}");
    }
    assert_eq!(encoding(&dense()), Some(Encoding::Dense));
    assert_eq!(encoding(&new()), Some(Encoding::Sparse));
}

#[test]
fn both_forms_pass_the_self_test() {
    assert_eq!(self_test(), Ok(()));
}

/// Registers near each other, so that runs are split and joined.
fn raises() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let index = prop_oneof![0_usize..12, 100_usize..300, 0_usize..REGISTERS];
    let value = prop_oneof![8 => 1_u8..4, 2 => 1_u8..=32, 1 => 33_u8..=51];
    proptest::collection::vec((index, value), 0..200)
}

proptest! {
    #[test]
    fn registers_are_those_of_a_plain_array(raises in raises(), max_bytes in 0_usize..400) {
        let (mut sparse, mut dense, mut model) = (new(), dense(), model());
        for (index, value) in raises {
            let raised = value > model[index];
            model[index] = model[index].max(value);
            prop_assert_eq!(raise(&mut sparse, index, value, max_bytes), Ok(raised));
            prop_assert_eq!(raise(&mut dense, index, value, max_bytes), Ok(raised));
            let is_sparse = encoding(&sparse) == Some(Encoding::Sparse);
            prop_assert!(!is_sparse || sparse.len() <= max_bytes.max(new().len()));
        }
        prop_assert_eq!(registers(&sparse), &model[..]);
        prop_assert_eq!(registers(&dense), &model[..]);
        prop_assert_eq!(count(&sparse), count(&dense));
        prop_assert_eq!(count(&sparse), Ok(Registers::of(&dense).expect("sound").count()));
        make_dense(&mut sparse).expect("sound");
        prop_assert_eq!(&sparse[HEADER..], &dense[HEADER..]);
    }

    #[test]
    fn merging_takes_the_greater_register(one in raises(), other in raises()) {
        let (mut a, mut b, mut model) = (new(), new(), model());
        for (bytes, raises) in [(&mut a, one), (&mut b, other)] {
            for (index, value) in raises {
                raise(bytes, index, value, 3000).expect("sound");
                model[index] = model[index].max(value);
            }
        }
        let mut merged = Registers::of(&a).expect("sound");
        merged.merge(&b).expect("sound");
        prop_assert_eq!(merged.iter().collect::<Vec<_>>(), &model[..]);
        merged.write_to(&mut a, 3000).expect("sound");
        prop_assert_eq!(registers(&a), model);
    }

    #[test]
    fn packed_registers_of_any_value_merge_and_count(seed: u64, others: u64) {
        let random = |seed: u64| {
            let words = 0..dense::LEN as u64;
            let mut bytes = words.map(|word| hash(&(seed ^ word).to_le_bytes()) as u8);
            std::array::from_fn::<_, { dense::LEN }, _>(|_| bytes.next().expect("one for each"))
        };
        let (mut registers, others) = (random(seed), random(others));
        let model: Vec<u8> = dense::iter(&registers)
            .zip(dense::iter(&others))
            .map(|(register, other)| register.max(other))
            .collect();
        dense::merge(&mut registers, &others);
        prop_assert!(dense::iter(&registers).eq(model.iter().copied()));
        let mut counts = [0; HISTOGRAM];
        model.iter().for_each(|value| counts[usize::from(*value)] += 1);
        prop_assert_eq!(dense::histogram(&registers), counts);
    }

    #[test]
    fn hostile_bytes_are_refused_or_read(tail in proptest::collection::vec(any::<u8>(), 0..80), element: u16) {
        let mut bytes = [&new()[..HEADER], &tail].concat();
        let sound = Registers::of(&bytes).is_ok();
        prop_assert_eq!(count(&bytes).is_ok(), sound);
        prop_assert_eq!(make_dense(&mut bytes.clone()).is_ok(), sound);
        prop_assert_eq!(describe(&bytes).is_empty(), tail.is_empty());
        for element in element..element.saturating_add(20) {
            let added = add(&mut bytes, &element.to_le_bytes(), 3000);
            prop_assert!(!sound || added.is_ok());
        }
        prop_assert!(!sound || Registers::of(&bytes).is_ok());
    }
}

#[test]
fn a_sparse_one_has_little_room_to_grow() {
    let mut bytes = new();
    for element in 0_u64..300 {
        assert_eq!(encoding(&bytes), Some(Encoding::Sparse));
        let room = bytes.capacity() - bytes.len();
        let most = (bytes.len() / SPARSE_ROOM).max(8);
        assert!(room <= most, "{room} bytes of {}", bytes.len());
        add(&mut bytes, &element.to_le_bytes(), 3000).expect("it is well formed");
    }
}
