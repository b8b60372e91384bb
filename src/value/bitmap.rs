//! Bits of a string, counted from the most significant one of its first byte: how many are set, where the first one is,
//! what several strings make together, and integers of any width at any place. Knows no keys and no words.

use std::ops::Range;

use super::wide;

/// How bits of several strings are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Set in all of them.
    And,
    /// Set in at least one.
    Or,
    /// Set in an odd number of them.
    Xor,
    /// Set in the first, and in none of the others.
    OnlyFirst,
    /// Set in at least one of the others, and not in the first.
    OnlyOthers,
    /// Set in the first, and in at least one of the others.
    FirstAndOthers,
    /// Set in exactly one.
    One,
}

/// The bits that are set. O(n), several words at a time where the processor can.
#[must_use]
pub fn count_ones(bytes: &[u8]) -> u64 {
    wide::run(bytes, count_ones_of)
}

#[inline(always)]
fn count_ones_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()))
        .sum();
    let rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    whole + u64::from(rest)
}

/// The bits of the first and of the last byte that lie in a range of bits, which is not empty.
fn edges(bits: &Range<usize>) -> (u8, u8) {
    (0xff >> (bits.start % 8), 0xff << (7 - (bits.end - 1) % 8))
}

/// The bits of `range` that are set. It must lie within the string.
#[must_use]
pub fn count_ones_in(bytes: &[u8], range: Range<usize>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let (head, tail) = edges(&range);
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    if first == last {
        return u64::from((bytes[first] & head & tail).count_ones());
    }
    let at_edges = (bytes[first] & head).count_ones() + (bytes[last] & tail).count_ones();
    count_ones(&bytes[first + 1..last]) + u64::from(at_edges)
}

/// The first bit of `range` that is set (or clear). It must lie within the string.
#[must_use]
pub fn find_in(bytes: &[u8], range: Range<usize>, set: bool) -> Option<usize> {
    if range.is_empty() {
        return None;
    }
    let flip = if set { 0 } else { 0xff };
    let (head, tail) = edges(&range);
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    let in_byte = |at: usize, mask: u8| {
        let found = (bytes[at] ^ flip) & mask;
        (found != 0).then(|| at * 8 + found.leading_zeros() as usize)
    };
    if first == last {
        return in_byte(first, head & tail);
    }
    in_byte(first, head)
        .or_else(|| Some((first + 1) * 8 + find(&bytes[first + 1..last], flip)?))
        .or_else(|| in_byte(last, tail))
}

/// The first bit that is set once every byte is flipped.
fn find(bytes: &[u8], flip: u8) -> Option<usize> {
    let skipped = wide::run(bytes, |bytes| blocks_of(bytes, flip)) * BLOCK;
    Some(skipped * 8 + find_word(&bytes[skipped..], flip)?)
}

/// Bytes that are looked at together while nothing is found.
const BLOCK: usize = 128;

/// How many blocks of nothing but `byte` there are at the head.
#[inline(always)]
fn blocks_of(bytes: &[u8], byte: u8) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let differs = |block: &[u8; BLOCK]| block.iter().fold(0, |all, other| all | (other ^ byte));
    let found = blocks.iter().position(|block| differs(block) != 0);
    found.unwrap_or(blocks.len())
}

fn find_word(bytes: &[u8], flip: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let flip_word = u64::from_ne_bytes([flip; 8]);
    let found = words
        .iter()
        .position(|word| u64::from_ne_bytes(*word) != flip_word);
    if let Some(at) = found {
        let word = u64::from_be_bytes(words[at]) ^ flip_word;
        return Some(at * 64 + word.leading_zeros() as usize);
    }
    let at = rest.iter().position(|byte| *byte != flip)?;
    let bit = (rest[at] ^ flip).leading_zeros() as usize;
    Some((words.len() * 8 + at) * 8 + bit)
}

/// What the strings make together, as long as the longest of them; zeros follow the shorter ones. O(total length).
#[must_use]
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max();
    let mut result = Vec::with_capacity(len.unwrap_or(0));
    let Some((first, others)) = sources.split_first() else {
        return result;
    };
    match operation {
        Operation::And | Operation::Or | Operation::Xor => {}
        Operation::One => return set_in_one(sources, len.unwrap_or(0)),
        Operation::OnlyFirst | Operation::OnlyOthers | Operation::FirstAndOthers => {
            return against_others(operation, first, others, len.unwrap_or(0));
        }
    }
    result.extend_from_slice(first);
    result.resize(len.unwrap_or(0), 0);
    for other in others {
        let pairs = result.iter_mut().zip(*other);
        match operation {
            Operation::And => pairs.for_each(|(byte, other)| *byte &= other),
            Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            _ => pairs.for_each(|(byte, other)| *byte |= other),
        }
        if operation == Operation::And {
            result[other.len()..].fill(0);
        }
    }
    result
}

/// The first against what is set in any of the others.
fn against_others(operation: Operation, first: &[u8], others: &[&[u8]], len: usize) -> Vec<u8> {
    let mut result = combine(Operation::Or, others);
    result.resize(len, 0);
    let padded = first.iter().copied().chain(std::iter::repeat(0));
    for (others, first) in result.iter_mut().zip(padded) {
        *others = match operation {
            Operation::OnlyFirst => first & !*others,
            Operation::OnlyOthers => *others & !first,
            _ => first & *others,
        };
    }
    result
}

fn set_in_one(sources: &[&[u8]], len: usize) -> Vec<u8> {
    let (mut result, mut repeated) = (vec![0; len], vec![0; len]);
    for source in sources {
        for ((seen, again), byte) in result.iter_mut().zip(&mut repeated).zip(*source) {
            *again |= *seen & byte;
            *seen |= byte;
        }
    }
    for (seen, again) in result.iter_mut().zip(repeated) {
        *seen &= !again;
    }
    result
}

/// Every bit the other way round.
#[must_use]
pub fn invert(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

// ------------------------------------------------------------------------------------------------ integers

/// What becomes of a value that the width cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// The nearest value is taken.
    Saturate,
    /// It is refused.
    Fail,
}

/// The form of an integer: at most 64 bits where it is signed, 63 where it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Whether its first bit is a sign.
    pub signed: bool,
    /// Bits, at least one.
    pub bits: u32,
}

impl Width {
    /// Least and greatest value.
    #[must_use]
    pub const fn range(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// Its lowest bits as a value of this form.
    fn truncate(self, value: i128) -> i128 {
        let unused = 128 - self.bits;
        if self.signed {
            value << unused >> unused
        } else {
            (((value as u128) << unused) >> unused) as i128
        }
    }

    /// A value brought into the range; nothing where that is refused.
    #[must_use]
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.range();
        let fitting = match overflow {
            _ if (least..=greatest).contains(&value) => value,
            Overflow::Wrap => self.truncate(value),
            Overflow::Saturate => value.clamp(least, greatest),
            Overflow::Fail => return None,
        };
        i64::try_from(fitting).ok()
    }

    /// The integer whose first bit is at `offset`; what lies beyond the string is zero.
    #[must_use]
    pub fn read(self, bytes: &[u8], offset: usize) -> i64 {
        let window = window(bytes, offset / 8);
        let shift = WINDOW_BITS - offset as u32 % 8 - self.bits;
        let value = self.truncate((window >> shift) as i128);
        i64::try_from(value).expect("at most 64 bits with a sign, or 63 without")
    }

    /// Writes the lowest bits of `value` at `offset`. The string must reach as far.
    pub fn write(self, bytes: &mut [u8], offset: usize, value: i64) {
        let first = offset / 8;
        let shift = WINDOW_BITS - offset as u32 % 8 - self.bits;
        let mask = ((1_u128 << self.bits) - 1) << shift;
        let window = window(bytes, first) & !mask | ((value as u128) << shift) & mask;
        let new = window.to_be_bytes();
        let (_, new) = new.split_at(16 - WINDOW);
        bytes[first..]
            .iter_mut()
            .zip(new)
            .for_each(|(byte, new)| *byte = *new);
    }
}

/// Bytes that an integer of 64 bits can touch.
const WINDOW: usize = 9;
const WINDOW_BITS: u32 = WINDOW as u32 * 8;

/// The bytes from `first` on as one number, zeros beyond the end.
fn window(bytes: &[u8], first: usize) -> u128 {
    let from_first = bytes.get(first..).unwrap_or_default().iter();
    from_first
        .chain(std::iter::repeat(&0))
        .take(WINDOW)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        let bit = |at: usize| bytes[at / 8] & (0x80 >> (at % 8)) != 0;
        (0..bytes.len() * 8).map(bit).collect()
    }

    /// Long runs of one value, so that searches get far.
    fn runs() -> impl Strategy<Value = Vec<u8>> {
        let run = (
            prop_oneof![Just(0_u8), Just(0xff), any::<u8>()],
            0_usize..20,
        );
        proptest::collection::vec(run, 0..6).prop_map(|runs| {
            let run = |(byte, len): (u8, usize)| std::iter::repeat_n(byte, len);
            runs.into_iter().flat_map(run).collect()
        })
    }

    fn width() -> impl Strategy<Value = Width> {
        (any::<bool>(), 1_u32..=64).prop_map(|(signed, bits)| Width {
            signed,
            bits: if signed { bits } else { bits.min(63) },
        })
    }

    proptest! {
        #[test]
        fn counting_and_searching_go_bit_by_bit(bytes in runs(), from: usize, len: usize) {
            let bits = bits_of(&bytes);
            let start = from % (bits.len() + 1);
            let end = start + len % (bits.len() - start + 1);
            let ones = bits[start..end].iter().filter(|bit| **bit).count();
            prop_assert_eq!(count_ones_in(&bytes, start..end), ones as u64);
            let all = bits.iter().filter(|bit| **bit).count();
            prop_assert_eq!(count_ones(&bytes), all as u64);
            for set in [false, true] {
                let first = bits[start..end].iter().position(|bit| *bit == set);
                prop_assert_eq!(find_in(&bytes, start..end, set), first.map(|at| start + at));
            }
        }

        #[test]
        fn combining_goes_byte_by_byte(sources in proptest::collection::vec(runs(), 1..5)) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
            let column = |at: usize| {
                let bytes = sources.iter().map(move |source| source.get(at).copied());
                bytes.map(Option::unwrap_or_default)
            };
            for at in 0..len {
                let and = column(at).fold(0xff, |all, byte| all & byte);
                prop_assert_eq!(combine(Operation::And, &sources)[at], and);
                let or = column(at).fold(0, |all, byte| all | byte);
                prop_assert_eq!(combine(Operation::Or, &sources)[at], or);
                let xor = column(at).fold(0, |all, byte| all ^ byte);
                prop_assert_eq!(combine(Operation::Xor, &sources)[at], xor);
                let (first, others) = (column(at).next().unwrap_or(0), column(at).skip(1));
                let others = others.fold(0, |all, byte| all | byte);
                prop_assert_eq!(combine(Operation::OnlyFirst, &sources)[at], first & !others);
                prop_assert_eq!(combine(Operation::OnlyOthers, &sources)[at], others & !first);
                prop_assert_eq!(combine(Operation::FirstAndOthers, &sources)[at], first & others);
                let one = (0..8).filter(|bit| column(at).filter(|byte| byte >> bit & 1 == 1).count() == 1);
                let one = one.fold(0, |all, bit| all | 1 << bit);
                prop_assert_eq!(combine(Operation::One, &sources)[at], one);
            }
            prop_assert_eq!(combine(Operation::Or, &sources).len(), len);
        }

        #[test]
        fn integers_are_their_bits(bytes in runs(), offset in 0_usize..900, width in width(), value: i64) {
            let mut bits = bits_of(&bytes);
            bits.resize(bits.len().max(offset + 64), false);
            let number = |bits: &[bool]| {
                let unsigned = bits.iter().fold(0_i128, |number, bit| number << 1 | i128::from(*bit));
                let negative = width.signed && bits.first() == Some(&true);
                unsigned - if negative { 1 << width.bits } else { 0 }
            };
            let range = offset..offset + width.bits as usize;
            prop_assert_eq!(i128::from(width.read(&bytes, offset)), number(&bits[range.clone()]));

            let mut bytes = bytes;
            bytes.resize(bits.len() / 8 + 1, 0);
            let mut expected = bits_of(&bytes);
            for (at, bit) in range.clone().rev().zip(0..) {
                expected[at] = value >> bit & 1 == 1;
            }
            width.write(&mut bytes, offset, value);
            prop_assert_eq!(bits_of(&bytes), expected);
        }

        #[test]
        fn values_are_brought_into_the_range(width in width(), value: i64, increment: i64) {
            let sum = i128::from(value) + i128::from(increment);
            let (least, greatest) = width.range();
            let fits = (least..=greatest).contains(&sum);
            let failing = width.fit(sum, Overflow::Fail);
            prop_assert_eq!(failing.map(i128::from), fits.then_some(sum));
            let nearest = width.fit(sum, Overflow::Saturate).map(i128::from);
            prop_assert_eq!(nearest, Some(sum.max(least).min(greatest)));
            let wrapped = width.fit(sum, Overflow::Wrap).map(i128::from);
            prop_assert!(wrapped.is_some_and(|wrapped| (least..=greatest).contains(&wrapped)));
            prop_assert_eq!(wrapped.map(|wrapped| (wrapped - sum) % (1 << width.bits)), Some(0));
        }
    }
}
