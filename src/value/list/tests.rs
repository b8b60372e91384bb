//! The list against a plain deque, under all kinds of limits.
//! What nodes look like is asserted only where a limit promises it.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

type Model = VecDeque<Vec<u8>>;

fn limits(max_listpack_size: i64, packed_threshold: usize) -> ListLimits {
    ListLimits {
        max_listpack_size,
        packed_threshold,
        ..ListLimits::default()
    }
}

fn check(list: &List, model: &Model) {
    assert!(
        list.iter()
            .map(|element| element.to_vec())
            .eq(model.iter().cloned())
    );
    assert_eq!(list.len(), model.len());
    assert_eq!(list.is_empty(), model.is_empty());
    assert_eq!(
        list.front().map(|element| element.to_vec()).as_ref(),
        model.front()
    );
    assert_eq!(
        list.back().map(|element| element.to_vec()).as_ref(),
        model.back()
    );
    let last = model.len().saturating_sub(1);
    assert!(
        list.iter_back_from(last)
            .map(|element| element.to_vec())
            .eq(model.iter().rev().cloned())
    );
    let mut counted = 0;
    for node in list.nodes() {
        counted += match node {
            NodeRef::Packed(pack) => pack.len(),
            NodeRef::Plain(_) => 1,
        };
    }
    assert_eq!(counted, model.len());
}

#[test]
fn a_short_list_is_two_words_and_one_listpack() {
    assert_eq!(size_of::<List>(), 16);
    let mut list = List::new();
    list.push_back(b"a job", &ListLimits::default());
    assert_eq!((list.node_count(), list.heap_size()), (1, 16));
}

#[test]
fn nodes_fill_to_their_limits() {
    let value = [b'x'; 100];
    for (max_listpack_size, most) in [
        (-1, 4096),
        (-2, 8192),
        (-3, 16_384),
        (-4, 32_768),
        (-5, 65_536),
        (-9, 65_536),
    ] {
        let mut list = List::new();
        for _ in 0..2000 {
            list.push_back(&value, &limits(max_listpack_size, usize::MAX));
        }
        let sizes: Vec<_> = list
            .nodes()
            .map(|node| matches!(node, NodeRef::Packed(pack) if pack.byte_len() <= most))
            .collect();
        assert!(sizes.iter().all(|fits| *fits));
        assert_eq!(sizes.len(), 2000_usize.div_ceil((most - 7) / 103));
    }
    for (max_listpack_size, expected) in [(0, 20), (1, 20), (8, 3), (1000, 1)] {
        let mut list = List::new();
        for _ in 0..20 {
            list.push_front(&value, &limits(max_listpack_size, usize::MAX));
        }
        assert_eq!(list.node_count(), expected);
    }
}

#[test]
fn an_element_above_the_limit_stands_alone() {
    let mut list = List::new();
    for value in [&b"a"[..], &[b'x'; 10_000], b"b"] {
        list.push_back(value, &limits(1000, usize::MAX));
    }
    assert_eq!(list.node_count(), 3);
    assert!(list.nodes().all(|node| matches!(node, NodeRef::Packed(_))));
}

#[test]
fn large_elements_are_plain_nodes() {
    let small = limits(-2, 5);
    let mut list = List::new();
    for value in ["aa", "bb", "cc", "dd", "ee"] {
        list.push_back(value.as_bytes(), &small);
    }
    assert!(list.set(2, b"eeeeeeeeee", &small));
    assert!(list.set(-1, b"12345", &small));
    let plain: Vec<_> = list
        .nodes()
        .map(|node| matches!(node, NodeRef::Plain(_)))
        .collect();
    assert_eq!(plain, [false, true, false, true]);
    check(
        &list,
        &["aa", "bb", "eeeeeeeeee", "dd", "12345"]
            .map(|value| value.as_bytes().to_vec())
            .into(),
    );
    assert!(list.set(2, b"cc", &small));
    assert!(
        list.nodes()
            .nth(1)
            .is_some_and(|node| matches!(node, NodeRef::Packed(_)))
    );
    assert!(!list.set(5, b"ff", &small));
    assert!(!list.set(-6, b"ff", &small));
}

#[test]
fn a_drained_chain_is_one_node_again() {
    let mut list = List::new();
    for index in 0..5000 {
        list.push_back(index.to_string().as_bytes(), &ListLimits::default());
    }
    assert!(list.node_count() > 1);
    while list.len() > 10 {
        list.pop_front();
    }
    assert!(matches!(list.form, Form::One(_)));
    list.trim(3, 2);
    check(&list, &Model::new());
}

#[test]
fn nodes_from_a_file_are_taken_as_they_are() {
    let mut list = List::new();
    list.append_packed(Listpack::new());
    list.append_packed((0..70_000).map(|index| index.to_string()).collect());
    list.append_packed(Listpack::new());
    list.append_plain(b"large");
    assert_eq!((list.len(), list.node_count()), (70_001, 2));
    assert_eq!(list.get(69_998), Some(Element::Int(69_998)));
    assert_eq!(list.get(-1), Some(Element::Bytes(b"large")));
    assert_eq!(list.remove(0, b"large"), 1);
    assert_eq!(list.len(), 70_000);
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..12).prop_map(|small: i32| small.to_string().into_bytes()),
        4 => "[ab]{0,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (1000_usize..5000).prop_map(|len| vec![b'x'; len]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    PopBack,
    PopFront,
    Set(i64, Vec<u8>),
    Insert(bool, usize, Vec<u8>),
    Remove(i64, usize),
    RemoveAt(usize),
    Trim(usize, usize),
    RemoveRange(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0_usize..40;
    prop_oneof![
        6 => value().prop_map(Step::PushBack),
        6 => value().prop_map(Step::PushFront),
        2 => Just(Step::PopBack),
        2 => Just(Step::PopFront),
        4 => (-30_i64..30, value()).prop_map(|(at, value)| Step::Set(at, value)),
        6 => (any::<bool>(), at(), value()).prop_map(|(before, at, value)| Step::Insert(before, at, value)),
        2 => (-3_i64..4, at()).prop_map(|(count, at)| Step::Remove(count, at)),
        2 => at().prop_map(Step::RemoveAt),
        1 => (0_usize..5, at()).prop_map(|(start, end)| Step::Trim(start, end)),
        1 => (at(), 0_usize..6).prop_map(|(start, count)| Step::RemoveRange(start, count)),
    ]
}

fn remove_from_model(model: &mut Model, count: i64, value: &[u8]) -> usize {
    let matching: Vec<usize> = (0..model.len())
        .filter(|&index| model[index] == value)
        .collect();
    let most = if count == 0 {
        usize::MAX
    } else {
        count.unsigned_abs() as usize
    };
    let kept = matching.len().saturating_sub(most);
    let gone = if count < 0 {
        &matching[kept..]
    } else {
        &matching[..matching.len() - kept]
    };
    for index in gone.iter().rev() {
        model.remove(*index);
    }
    gone.len()
}

fn run(list: &mut List, model: &mut Model, step: Step, limits: &ListLimits) {
    let len = model.len();
    match step {
        Step::PushBack(value) => {
            list.push_back(&value, limits);
            model.push_back(value);
        }
        Step::PushFront(value) => {
            list.push_front(&value, limits);
            model.push_front(value);
        }
        Step::PopBack => assert_eq!(list.pop_back(), model.pop_back()),
        Step::PopFront => assert_eq!(list.pop_front(), model.pop_front()),
        Step::Set(at, value) => {
            let index = if at < 0 {
                len.checked_sub(at.unsigned_abs() as usize)
            } else {
                Some(at as usize)
            };
            let slot = index.and_then(|index| model.get_mut(index));
            assert_eq!(list.set(at, &value, limits), slot.is_some());
            if let Some(slot) = slot {
                *slot = value;
            }
        }
        Step::RemoveAt(at) => assert_eq!(list.remove_at(at), model.remove(at).is_some()),
        Step::Trim(start, end) => {
            list.trim(start, end);
            model.truncate(if start > end { 0 } else { end + 1 });
            model.drain(..start.min(model.len()));
        }
        Step::RemoveRange(start, count) => {
            list.remove_range(start, count);
            model.drain(start.min(len)..(start + count).min(len));
        }
        _ if len == 0 => assert_eq!(list.insert_before(b"pivot", b"", limits), None),
        Step::Insert(before, at, value) => {
            let pivot = model[at % len].clone();
            let index = model
                .iter()
                .position(|value| *value == pivot)
                .expect("it was taken from there");
            let new_len = match before {
                true => list.insert_before(&pivot, &value, limits),
                false => list.insert_after(&pivot, &value, limits),
            };
            model.insert(index + usize::from(!before), value);
            assert_eq!(new_len, Some(model.len()));
        }
        Step::Remove(count, at) => {
            let value = model[at % len].clone();
            assert_eq!(
                list.remove(count, &value),
                remove_from_model(model, count, &value)
            );
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_deque(
        steps in prop::collection::vec(step(), 0..120),
        max_listpack_size in prop::sample::select(vec![-5_i64, -2, -1, 0, 1, 2, 3, 16]),
        packed_threshold in prop::sample::select(vec![1_usize, 3, 20, 2000, usize::MAX]),
    ) {
        let limits = limits(max_listpack_size, packed_threshold);
        let mut list = List::new();
        let mut model = Model::new();
        for step in steps {
            run(&mut list, &mut model, step, &limits);
            check(&list, &model);
        }
        for index in 0..model.len() + 1 {
            let forward = list.iter_from(index).map(|element| element.to_vec());
            prop_assert!(forward.eq(model.iter().skip(index).cloned()));
            let expected = model.iter().take(index + 1).rev().cloned();
            let expected: Vec<_> = if index < model.len() { expected.collect() } else { Vec::new() };
            let backward: Vec<_> = list.iter_back_from(index).map(|element| element.to_vec()).collect();
            prop_assert_eq!(backward, expected);
            let at = list.get(index as i64).map(|element| element.to_vec());
            prop_assert_eq!(at.as_ref(), model.get(index));
            let from_tail = list.get(index as i64 - model.len() as i64).map(|element| element.to_vec());
            prop_assert_eq!(from_tail.as_ref(), model.get(index).or(model.front()));
        }
        check(&list.clone(), &model);
    }
}
