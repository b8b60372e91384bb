//! Fair choices out of a stream of random words. It must not know where the words come from.

use std::collections::HashSet;

/// A number below `bound` from a uniform word, by multiplication; for real sizes the bias is below 2^-32.
#[inline]
pub fn below(bound: usize, word: u64) -> usize {
    ((u128::from(word) * bound as u128) >> 64) as usize
}

/// `count` different numbers below `bound` (all of them if there are no more), in no order; each choice is equally
/// likely. O(count).
pub fn distinct_below(bound: usize, count: usize, random: &mut impl FnMut() -> u64) -> Vec<usize> {
    if count >= bound {
        return (0..bound).collect();
    }
    if count > bound / 4 {
        return shuffled_prefix((0..bound).collect(), count, random);
    }
    let mut seen = HashSet::with_capacity(count);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let number = below(bound, random());
        if seen.insert(number) {
            chosen.push(number);
        }
    }
    chosen
}

/// `count` of the items, each choice and order equally likely.
pub fn shuffled_prefix<T>(
    mut items: Vec<T>,
    count: usize,
    random: &mut impl FnMut() -> u64,
) -> Vec<T> {
    let count = count.min(items.len());
    for at in 0..count {
        let other = at + below(items.len() - at, random());
        items.swap(at, other);
    }
    items.truncate(count);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::hasher::hash_bytes;

    #[test]
    fn choices_are_different_and_fair() {
        let mut state = 0_u64;
        let mut random = || {
            state += 1;
            hash_bytes(&state.to_le_bytes())
        };
        for (bound, count) in [(0, 3), (5, 0), (5, 9), (10, 7), (100, 10)] {
            let mut counts = vec![0_usize; bound];
            for _ in 0..2_000 {
                let chosen = distinct_below(bound, count, &mut random);
                assert_eq!(chosen.len(), count.min(bound));
                assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), chosen.len());
                chosen.into_iter().for_each(|number| counts[number] += 1);
            }
            let expected = 2_000 * count.min(bound) / bound.max(1);
            assert!(
                counts
                    .iter()
                    .all(|&seen| seen.abs_diff(expected) <= expected / 2)
            );
        }
    }
}
