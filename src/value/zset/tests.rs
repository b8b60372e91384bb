//! Model tests of `SortedSet` against a sorted vector, in both forms.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: ZSetLimits = ZSetLimits {
    max_listpack_entries: 4,
    max_listpack_value: 16,
};
const LARGE: ZSetLimits = ZSetLimits {
    max_listpack_entries: 0,
    max_listpack_value: 16,
};

type Pairs = Vec<(Vec<u8>, f64)>;

fn contents<'a>(entries: impl Iterator<Item = (Element<'a>, f64)>) -> Pairs {
    entries
        .map(|(member, score)| (member.to_vec(), score))
        .collect()
}

fn set_of(members: &[(&str, f64)], limits: &ZSetLimits) -> SortedSet {
    let mut set = SortedSet::new();
    for &(member, score) in members {
        assert_eq!(
            set.insert(member.as_bytes(), score, limits),
            Inserted::Added
        );
    }
    set
}

fn check(set: &SortedSet) {
    let Form::Tree(ranking) = &set.form else {
        return;
    };
    assert_eq!(ranking.tree.len(), ranking.members.len());
    let mut bytes = 0;
    for entry in ranking.tree.iter() {
        let member = ranking
            .find(entry.member.bytes())
            .expect("every member of the tree is in the table");
        assert_eq!(member.score().to_bits(), entry.score.to_bits());
        assert!(std::ptr::eq(member.bytes(), entry.member.bytes()));
        bytes += Member::heap_size(member.bytes().len());
    }
    assert_eq!(bytes, ranking.member_bytes);
}

#[test]
fn leaves_the_listpack_for_good_when_limits_are_exceeded() {
    let mut set = set_of(&[("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)], &LIMITS);
    assert_eq!(set.encoding(), "listpack");
    assert_eq!(set.insert(b"a", 9.0, &LIMITS), Inserted::Updated);
    assert_eq!(set.encoding(), "listpack");
    assert_eq!(set.insert(b"e", 5.0, &LIMITS), Inserted::Added);
    assert_eq!(set.encoding(), "skiplist");
    assert_eq!(set.remove(b"e"), Some(5.0));
    assert_eq!((set.encoding(), set.len()), ("skiplist", 4));
    assert_eq!(
        set_of(&[("a member of 17 by", 1.0)], &LIMITS).encoding(),
        "skiplist"
    );
    check(&set);
}

#[test]
fn scores_are_stored_to_the_last_bit() {
    let scores = [
        0.0,
        1.0,
        -3.0,
        0.1,
        1.0 / 3.0,
        1e17,
        -1e17,
        1e300,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9_007_199_254_740_993.0,
        3.0e-10,
    ];
    for score in scores {
        let set = set_of(&[("member", score)], &LIMITS);
        assert_eq!(
            set.score(b"member").map(f64::to_bits),
            Some(score.to_bits()),
            "{score}"
        );
    }
}

#[test]
fn whole_scores_are_compact_up_to_half_the_range() {
    const HALF: f64 = (i64::MAX / 2) as f64;
    assert_eq!(compact_score(HALF), Some(1 << 62));
    assert_eq!(compact_score(-HALF), Some(-(1 << 62)));
    assert_eq!(compact_score(HALF * 1.5), None);
    assert_eq!(compact_score(0.5), None);
    assert_eq!(compact_score(f64::NEG_INFINITY), None);
    // The small form loses the sign of zero, the large one keeps it.
    for (max_listpack_entries, zero) in [(8, 0.0_f64), (0, -0.0)] {
        let limits = ZSetLimits {
            max_listpack_entries,
            ..LIMITS
        };
        let set = set_of(&[("member", -0.0)], &limits);
        let stored = set.score(b"member").map(f64::to_bits);
        assert_eq!(stored, Some(zero.to_bits()));
    }
}

#[test]
fn both_zeros_are_one_score() {
    for limits in [LIMITS, LARGE] {
        let mut set = set_of(&[("b", 0.0), ("a", -0.0), ("c", -0.0)], &limits);
        assert_eq!(set.insert(b"b", -0.0, &limits), Inserted::Same);
        let order: Vec<_> = set.iter().map(|(member, _)| member.to_vec()).collect();
        assert_eq!(order, [b"a", b"b", b"c"]);
    }
}

#[test]
fn ranges_beyond_the_end_are_cut() {
    for limits in [LIMITS, LARGE] {
        let mut set = set_of(&[("a", 1.0), ("b", 2.0)], &limits);
        for ranks in [5..9, usize::MAX - 1..usize::MAX, 2..2] {
            assert_eq!(set.range(ranks.clone()).count(), 0);
            set.remove_range(ranks, |_, _| panic!("there is nothing behind the end"));
        }
        let mut removed = 0;
        set.remove_range(1..usize::MAX, |_, _| removed += 1);
        assert_eq!((removed, set.len()), (1, 1));
    }
}

#[test]
#[should_panic(expected = "a score must be a number")]
fn nan_is_never_stored() {
    SortedSet::new().insert(b"member", f64::NAN, &LIMITS);
}

#[test]
fn ranges_by_score_and_by_member() {
    let bound = |value, exclusive| ScoreBound { value, exclusive };
    for limits in [
        ZSetLimits {
            max_listpack_entries: 100,
            ..LIMITS
        },
        LARGE,
    ] {
        let set = set_of(
            &[("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", f64::INFINITY)],
            &limits,
        );
        assert_eq!(set.score_range(bound(1.0, false), bound(2.0, false)), 0..3);
        assert_eq!(set.score_range(bound(1.0, true), bound(2.0, false)), 1..3);
        assert_eq!(set.score_range(bound(1.0, false), bound(2.0, true)), 0..1);
        assert_eq!(
            set.score_range(bound(2.0, true), bound(f64::INFINITY, false)),
            3..4
        );
        assert!(
            set.score_range(bound(2.0, true), bound(2.0, true))
                .is_empty()
        );
        assert!(
            set.score_range(bound(5.0, false), bound(1.0, false))
                .is_empty()
        );
        let set = set_of(&[("1", 0.0), ("10", 0.0), ("a", 0.0), ("b", 0.0)], &limits);
        assert_eq!(set.lex_range(LexBound::Min, LexBound::Max), 0..4);
        assert_eq!(
            set.lex_range(LexBound::Inclusive(b"10"), LexBound::Exclusive(b"b")),
            1..3
        );
        assert_eq!(
            set.lex_range(LexBound::Exclusive(b"10"), LexBound::Inclusive(b"b")),
            2..4
        );
        assert!(set.lex_range(LexBound::Max, LexBound::Min).is_empty());
    }
}

#[test]
fn refuses_listpacks_that_are_no_sorted_set() {
    let take = |elements: &[&str]| SortedSet::from_listpack(elements.iter().collect(), &LIMITS);
    assert!(take(&["a", "1", "b"]).is_none());
    assert!(take(&["a", "x"]).is_none());
    assert!(take(&["a", "nan"]).is_none());
    assert!(take(&["a", "2", "b", "1"]).is_none());
    assert!(take(&["a", "1", "a", "2"]).is_none());
    assert_eq!(
        take(&["a", "1", "b", "1.5"]).map(|set| set.encoding()),
        Some("listpack")
    );
    let large =
        take(&["a", "1", "b", "2", "c", "3", "d", "4", "e", "inf"]).expect("it is a sorted set");
    assert_eq!((large.encoding(), large.len()), ("skiplist", 5));
}

#[test]
fn a_copy_is_independent() {
    let mut set = set_of(&[("a", 1.0), ("b", 2.0)], &LARGE);
    let copy = set.clone();
    set.insert(b"a", 3.0, &LARGE);
    assert_eq!((set.score(b"a"), copy.score(b"a")), (Some(3.0), Some(1.0)));
    check(&copy);
}

#[test]
fn random_members_come_from_either_form() {
    let mut state = 0_u64;
    let mut random = || {
        state += 1;
        hash_bytes(&state.to_le_bytes())
    };
    assert!(SortedSet::new().random(&mut random).is_none());
    for size in [4_usize, 300] {
        let mut set = SortedSet::new();
        (0..size).for_each(|number| {
            set.insert(format!("m{number}").as_bytes(), number as f64, &LIMITS);
        });
        let seen: BTreeMap<_, _> = (0..size * 20)
            .filter_map(|_| set.random(&mut random))
            .map(|(member, score)| (member.to_vec(), score))
            .collect();
        assert_eq!(seen.len(), size);
        for count in [0, 1, size - 1, size, size + 5] {
            let sample = contents(set.sample(count, &mut random).into_iter());
            let distinct: BTreeMap<_, _> = sample.iter().cloned().collect();
            assert_eq!(
                (sample.len(), distinct.len()),
                (count.min(size), count.min(size))
            );
        }
    }
}

#[test]
fn memory_for_a_member_of_16_bytes() {
    let mut set = SortedSet::new();
    for number in 0..100_000_u64 {
        let score = (hash_bytes(&number.to_le_bytes()) >> 20) as f64;
        set.insert(format!("member:{number:09}").as_bytes(), score, &LIMITS);
    }
    let each = set.heap_size() as f64 / 100_000.0;
    assert!(each < 80.0, "{each} bytes");
    check(&set);
}

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Pairs {
    let mut pairs: Pairs = model
        .iter()
        .map(|(member, &score)| (member.clone(), score))
        .collect();
    pairs.sort_by(|one, other| compare_scores(one.1, other.1).then_with(|| one.0.cmp(&other.0)));
    pairs
}

fn check_against(set: &SortedSet, model: &BTreeMap<Vec<u8>, f64>, ranks: Range<usize>) {
    check(set);
    let pairs = sorted(model);
    assert_eq!(contents(set.iter()), pairs);
    assert_eq!(
        contents(set.iter().rev()),
        pairs.iter().rev().cloned().collect::<Pairs>()
    );
    let expected = &pairs[ranks.start.min(pairs.len())..ranks.end.min(pairs.len())];
    assert_eq!(contents(set.range(ranks.clone())), expected);
    let mut range = set.range(ranks);
    assert_eq!(range.len(), expected.len());
    assert_eq!(
        contents(range.next_back().into_iter()),
        expected.last().cloned().into_iter().collect::<Pairs>()
    );
    assert_eq!(
        contents(range),
        expected[..expected.len().saturating_sub(1)]
    );
    for (rank, (member, score)) in pairs.iter().enumerate() {
        assert_eq!(set.rank(member, false), Some((rank, *score)));
        assert_eq!(
            set.rank(member, true),
            Some((pairs.len() - 1 - rank, *score))
        );
    }
    let (low, high) = (
        ScoreBound {
            value: -2.0,
            exclusive: true,
        },
        ScoreBound {
            value: 3.0,
            exclusive: false,
        },
    );
    let counted = pairs
        .iter()
        .filter(|(_, score)| *score > -2.0 && *score <= 3.0)
        .count();
    assert_eq!(set.score_range(low, high).len(), counted);
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_list(
        entries in 0_usize..60,
        operations in prop::collection::vec(
            (0_u8..12, "[a-c0-9]{1,2}", prop_oneof![(-4_i32..5).prop_map(f64::from), -4.0..4.0_f64], 0_usize..40), 1..150),
    ) {
        let limits = ZSetLimits { max_listpack_entries: entries, max_listpack_value: 16 };
        let mut set = SortedSet::new();
        let mut model = BTreeMap::new();
        for (operation, member, score, rank) in operations {
            let member = member.into_bytes();
            match operation {
                0 | 1 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                2 => {
                    let (popped, first) = (set.pop_min(), sorted(&model).first().cloned());
                    prop_assert_eq!(&popped, &first);
                    first.and_then(|(member, _)| model.remove(&member));
                }
                3 => {
                    let (popped, last) = (set.pop_max(), sorted(&model).last().cloned());
                    prop_assert_eq!(&popped, &last);
                    last.and_then(|(member, _)| model.remove(&member));
                }
                4 => {
                    let mut removed = Pairs::new();
                    set.remove_range(rank..rank + 3, |member, score| removed.push((member.to_vec(), score)));
                    let expected: Pairs = sorted(&model).into_iter().skip(rank).take(3).collect();
                    model.retain(|member, _| expected.iter().all(|(removed, _)| removed != member));
                    prop_assert_eq!(removed, expected);
                }
                _ => {
                    let expected = match model.insert(member.clone(), score) {
                        None => Inserted::Added,
                        Some(before) if before == score => Inserted::Same,
                        Some(_) => Inserted::Updated,
                    };
                    prop_assert_eq!(set.insert(&member, score, &limits), expected);
                }
            }
            prop_assert_eq!(set.score(&member), model.get(&member).copied());
            prop_assert_eq!(set.len(), model.len());
        }
        check_against(&set, &model, 3..9);
        check_against(&set.clone(), &model, 0..2);
        let (mut scanned, mut cursor) = (BTreeMap::new(), 0);
        loop {
            cursor = set.scan(cursor, 3, |member, score| {
                assert!(scanned.insert(member.to_vec(), score).is_none());
            });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(scanned, model);
    }
}
