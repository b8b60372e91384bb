//! The longest common subsequence of two strings, by dynamic programming. Bytes in, positions out: no keys, no replies.

/// A stretch of bytes that both strings have in common, as a part of their longest common subsequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Where it begins in the first string.
    pub first: usize,
    /// Where it begins in the second string.
    pub second: usize,
    /// Its bytes.
    pub len: usize,
}

/// Bytes of memory that [`matches`] needs for strings of these lengths; `None` beyond the address space.
#[must_use]
pub fn memory(first: usize, second: usize) -> Option<usize> {
    first
        .checked_add(1)?
        .checked_mul(second.checked_add(1)?)?
        .checked_mul(size_of::<u32>())
}

/// Length of the longest common subsequence. O(product of the lengths) time, O(length) memory.
#[must_use]
pub fn length(first: &[u8], second: &[u8]) -> usize {
    let mut row = vec![0_u32; second.len() + 1];
    for byte in first {
        let mut diagonal = 0;
        for (at, other) in second.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if byte == other {
                diagonal + 1
            } else {
                above.max(row[at])
            };
            diagonal = above;
        }
    }
    row[second.len()] as usize
}

/// The longest common subsequence as stretches, the last one first. Where several subsequences are equally long, the one
/// that Redis finds: coming from the end, the second string is shortened unless shortening the first leaves more.
/// O(product of the lengths) time and memory, see [`memory`].
#[must_use]
pub fn matches(first: &[u8], second: &[u8]) -> Vec<Match> {
    let width = second.len() + 1;
    let mut lengths = vec![0_u32; (first.len() + 1) * width];
    for (i, byte) in first.iter().enumerate() {
        for (j, other) in second.iter().enumerate() {
            let (above, here) = (i * width + j, (i + 1) * width + j);
            lengths[here + 1] = if byte == other {
                lengths[above] + 1
            } else {
                lengths[above + 1].max(lengths[here])
            };
        }
    }
    let (mut i, mut j) = (first.len(), second.len());
    let mut found: Vec<Match> = Vec::new();
    while i > 0 && j > 0 {
        if first[i - 1] != second[j - 1] {
            if lengths[(i - 1) * width + j] > lengths[i * width + j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
            continue;
        }
        match found.last_mut() {
            Some(last) if last.first == i && last.second == j => {
                *last = Match {
                    first: i - 1,
                    second: j - 1,
                    len: last.len + 1,
                };
            }
            _ => found.push(Match {
                first: i - 1,
                second: j - 1,
                len: 1,
            }),
        }
        (i, j) = (i - 1, j - 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Length by the definition, for short strings.
    fn naive(first: &[u8], second: &[u8]) -> usize {
        match (first, second) {
            ([], _) | (_, []) => 0,
            ([a, first @ ..], [b, second @ ..]) if a == b => 1 + naive(first, second),
            ([_, rest @ ..], [_, other @ ..]) => naive(rest, second).max(naive(first, other)),
        }
    }

    #[test]
    fn finds_the_stretches_from_the_end() {
        let found = matches(b"ohmytext", b"mynewtext");
        let expected = [(4, 5, 4), (2, 0, 2)];
        let expected = expected.map(|(first, second, len)| Match { first, second, len });
        assert_eq!(found, expected);
    }

    #[test]
    fn counts_its_memory() {
        assert_eq!(memory(9, 9), Some(400));
        assert_eq!(memory(usize::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn is_common_and_as_long_as_can_be(
            first in prop::collection::vec(b'a'..b'd', 0..9),
            second in prop::collection::vec(b'a'..b'd', 0..9),
        ) {
            let found = matches(&first, &second);
            let (mut i, mut j) = (first.len(), second.len());
            for one in &found {
                prop_assert!(one.first + one.len <= i && one.second + one.len <= j);
                prop_assert_eq!(
                    &first[one.first..one.first + one.len],
                    &second[one.second..one.second + one.len]
                );
                (i, j) = (one.first, one.second);
            }
            let total: usize = found.iter().map(|one| one.len).sum();
            prop_assert_eq!(total, naive(&first, &second));
            prop_assert_eq!(total, length(&first, &second));
        }
    }
}
