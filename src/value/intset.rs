//! Redis's intset, byte for byte: a sorted array of integers, all as wide as the widest needs, behind one thin
//! pointer. The compact form of sets of integers; it knows no strings and no limits of configuration.
//!
//! ```text
//! width of an integer in bytes (u32 LE: 2, 4 or 8) | integers (u32 LE) | integer (LE) …, ascending
//! ```

use std::fmt;

use smallvec::SmallVec;

use super::thin_bytes::{self, PREFIX_LEN, ThinBytes};
use super::view::Buffer;

/// Bytes of the format before the first integer.
const HEADER_LEN: usize = 8;
/// Where the integers begin in the buffer, which keeps its length before the format's own header.
const INTEGERS_AT: usize = PREFIX_LEN + HEADER_LEN;

/// The buffer of a set without integers.
pub const EMPTY_INTSET: &[u8] = &[INTEGERS_AT as u8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];

/// The most integers a set may hold; with more it must have become another form. Callers see to it.
pub const MAX_ENTRIES: usize = (thin_bytes::MAX_LEN - INTEGERS_AT) / 8;

/// Why bytes are no intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntSetError {
    /// The bytes are not as many as width and count of the header ask for, or too many.
    Length(usize),
    /// No integer is this many bytes wide.
    Width(u32),
    /// The integer at this index is not above the one before it.
    Order(usize),
}

impl fmt::Display for IntSetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(
                formatter,
                "intset: {len} bytes are not what the header claims"
            ),
            Self::Width(width) => write!(formatter, "intset: no integer is {width} bytes wide"),
            Self::Order(index) => write!(formatter, "intset: integer {index} is out of order"),
        }
    }
}

impl std::error::Error for IntSetError {}

/// Bytes of the narrowest integer that holds `value`.
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

/// A sorted set of integers. One pointer wide; it allocates even when empty.
#[derive(Clone)]
pub struct IntSet {
    bytes: ThinBytes,
}

impl IntSet {
    /// A set without integers.
    pub fn new() -> Self {
        Self {
            bytes: ThinBytes::new(&[&2_u32.to_le_bytes(), &[0; 4]]),
        }
    }

    /// Takes over bytes from outside (an RDB file, RESTORE) after checking all of them. O(bytes).
    ///
    /// # Errors
    /// When length, width or order are not as Redis would write them.
    pub fn from_bytes_checked(bytes: &[u8]) -> Result<Self, IntSetError> {
        let wrong_length = IntSetError::Length(bytes.len());
        let (width, rest) = bytes.split_first_chunk::<4>().ok_or(wrong_length)?;
        let (count, integers) = rest.split_first_chunk::<4>().ok_or(wrong_length)?;
        let width = u32::from_le_bytes(*width);
        if !matches!(width, 2 | 4 | 8) {
            return Err(IntSetError::Width(width));
        }
        let claimed = u64::from(u32::from_le_bytes(*count)) * u64::from(width);
        if claimed != integers.len() as u64 || bytes.len() > thin_bytes::MAX_LEN - PREFIX_LEN {
            return Err(wrong_length);
        }
        let set = Self {
            bytes: ThinBytes::new(&[bytes]),
        };
        let mut pairs = set.iter().zip(set.iter().skip(1));
        let disorder = pairs.position(|(one, next)| one >= next);
        drop(pairs);
        match disorder {
            Some(index) => Err(IntSetError::Order(index + 1)),
            None => Ok(set),
        }
    }

    /// Takes over the bytes of an intset, those of [`buffer`](Self::buffer).
    pub(super) fn from_buffer(buffer: Buffer) -> Self {
        Self { bytes: buffer.0 }
    }

    /// The set with the prefix of its buffer, to be kept elsewhere.
    pub(super) fn buffer(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// The set as Redis stores it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes.as_bytes()[PREFIX_LEN..]
    }

    /// Bytes taken from the allocator.
    pub fn heap_size(&self) -> usize {
        self.bytes.heap_size()
    }

    fn width(&self) -> usize {
        usize::from(self.as_bytes()[0])
    }

    /// The number of integers. O(1).
    pub fn len(&self) -> usize {
        (self.bytes.len() - INTEGERS_AT) / self.width()
    }

    /// Whether there is no integer.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == INTEGERS_AT
    }

    /// The integer at `index`, in ascending order. O(1): a random index makes a random member.
    pub fn get(&self, index: usize) -> Option<i64> {
        let width = self.width();
        let start = index.checked_mul(width)?;
        read(self.as_bytes()[HEADER_LEN..].get(start..start.checked_add(width)?)?)
    }

    /// The smallest integer.
    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    /// The largest integer.
    pub fn max(&self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The index of `value`, or else the index where it belongs. O(log n).
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.get(middle).expect("the middle lies below the length");
            match found.cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether `value` is a member. O(log n).
    pub fn contains(&self, value: i64) -> bool {
        width_of(value) <= self.width() && self.search(value).is_ok()
    }

    /// Adds `value`; whether it was new. O(n). A value wider than all before it widens them all.
    ///
    /// # Panics
    /// Above [`MAX_ENTRIES`].
    pub fn insert(&mut self, value: i64) -> bool {
        let width = width_of(value);
        if width > self.width() {
            self.widen(width);
        }
        let Err(index) = self.search(value) else {
            return false;
        };
        let width = self.width();
        self.bytes.splice(
            INTEGERS_AT + index * width,
            0,
            &[&value.to_le_bytes()[..width]],
        );
        self.store_count();
        true
    }

    /// Removes `value`; whether it was there. O(n). The width stays.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else {
            return false;
        };
        let width = self.width();
        self.bytes.splice(INTEGERS_AT + index * width, width, &[]);
        self.store_count();
        true
    }

    fn widen(&mut self, width: usize) {
        let mut integers = Vec::with_capacity(self.len() * width);
        for value in self.iter() {
            integers.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        self.bytes = ThinBytes::new(&[&[width as u8, 0, 0, 0, 0, 0, 0, 0], &integers]);
        self.store_count();
    }

    fn store_count(&mut self) {
        let count =
            u32::try_from(self.len()).expect("the buffer's limit keeps the count in 32 bits");
        self.bytes.content_mut()[4..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
    }

    /// The integers, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + '_ {
        self.as_bytes()[HEADER_LEN..]
            .chunks_exact(self.width())
            .map(|bytes| read(bytes).expect("the width is that of an integer"))
    }
}

/// Visits the integers that `smallest` and all `others` have, ascending, until `visit` has had enough and answers false.
/// O(n log(m/n)) for each of the others, n integers being looked for among m.
pub fn intersect(smallest: &IntSet, others: &[&IntSet], mut visit: impl FnMut(i64) -> bool) {
    let others = others.iter().map(|other| Seeker::new(other));
    let mut others: SmallVec<[Seeker<'_>; 8]> = others.collect();
    for value in smallest.iter() {
        if others.iter_mut().all(|other| other.seek(value)) && !visit(value) {
            return;
        }
    }
}

/// Looks for ascending integers in a set, for each from where the one before it would be.
struct Seeker<'a> {
    integers: &'a [u8],
    width: usize,
    /// How many integers are smaller than those that are still looked for.
    passed: usize,
}

impl<'a> Seeker<'a> {
    fn new(set: &'a IntSet) -> Self {
        Self {
            integers: &set.as_bytes()[HEADER_LEN..],
            width: set.width(),
            passed: 0,
        }
    }

    fn get(&self, index: usize) -> Option<i64> {
        let start = index * self.width;
        read(self.integers.get(start..start + self.width)?)
    }

    /// Whether `value`, which is not smaller than the one before it, is there. Steps that double find a stretch that
    /// must have it, halving finds the place.
    fn seek(&mut self, value: i64) -> bool {
        let (mut low, mut high, mut step) = (self.passed, self.passed, 1);
        while self.get(high).is_some_and(|found| found < value) {
            low = high + 1;
            high += step;
            step *= 2;
        }
        high = high.min(self.integers.len() / self.width);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(|found| found < value) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.passed = low;
        self.get(low) == Some(value)
    }
}

/// The integer that fills `bytes`.
fn read(bytes: &[u8]) -> Option<i64> {
    Some(match *bytes {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(bytes.try_into().ok()?),
    })
}

impl Default for IntSet {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for IntSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for IntSet {}

impl fmt::Debug for IntSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<i64> for IntSet {
    fn from_iter<I: IntoIterator<Item = i64>>(values: I) -> Self {
        let mut set = Self::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Option<IntSet>>(), size_of::<usize>());
        assert_eq!(IntSet::from_iter(0..10).heap_size(), 32);
    }

    /// What redis-server 7.0.15 answers to DUMP after SADD 5 1 3 70000, without the frame.
    #[test]
    fn bytes_are_those_of_redis() {
        let set = IntSet::from_iter([5, 1, 3, 70_000]);
        let bytes = [
            4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0x70, 0x11, 1, 0,
        ];
        assert_eq!(set.as_bytes(), bytes);
        assert_eq!(IntSet::from_bytes_checked(&bytes), Ok(set));
    }

    #[test]
    fn damage_is_named() {
        let good = IntSet::from_iter([1, 2, 3]).as_bytes().to_vec();
        let damaged = |offset: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[offset] = byte;
            IntSet::from_bytes_checked(&bytes).expect_err("damaged")
        };
        assert_eq!(damaged(0, 3), IntSetError::Width(3));
        assert_eq!(damaged(0, 4), IntSetError::Length(14));
        assert_eq!(damaged(4, 2), IntSetError::Length(14));
        assert_eq!(damaged(7, 0x80), IntSetError::Length(14));
        assert_eq!(damaged(10, 1), IntSetError::Order(1));
        assert_eq!(damaged(12, 0), IntSetError::Order(2));
        assert_eq!(
            IntSet::from_bytes_checked(&good[..7]),
            Err(IntSetError::Length(7))
        );
    }

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -40_i64..40,
            1 => prop::sample::select(vec![-32_768, 32_767, -32_769, 32_768, 70_000]),
            1 => prop::sample::select(vec![i64::from(i32::MIN), i64::from(i32::MAX), i64::from(i32::MAX) + 1]),
            1 => any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_btree_set(steps in prop::collection::vec((0..3, value()), 0..120)) {
            let mut set = IntSet::new();
            let mut model = BTreeSet::new();
            for (step, value) in steps {
                match step {
                    0 => prop_assert_eq!(set.remove(value), model.remove(&value)),
                    _ => prop_assert_eq!(set.insert(value), model.insert(value)),
                }
                prop_assert_eq!(set.contains(value), model.contains(&value));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert_eq!((set.min(), set.max()), (model.first().copied(), model.last().copied()));
                prop_assert!(set.iter().eq(model.iter().copied()));
                prop_assert_eq!(set.get(model.len() / 2), model.iter().nth(model.len() / 2).copied());
                prop_assert_eq!(IntSet::from_bytes_checked(set.as_bytes()), Ok(set.clone()));
            }
        }

        #[test]
        fn intersecting_finds_what_btree_sets_share(
            sets in prop::collection::vec(prop::collection::btree_set(value(), 0..60), 1..4),
            sparse in prop::collection::btree_set(-5_000_i64..5_000, 0..300),
            enough in 1_usize..40,
        ) {
            let models: Vec<&BTreeSet<i64>> = sets.iter().chain([&sparse]).collect();
            let own: Vec<IntSet> = models.iter().map(|set| set.iter().copied().collect()).collect();
            for first in 0..own.len() {
                let (mut others, mut model) = (own.clone(), models[first].clone());
                let first = others.remove(first);
                models.iter().for_each(|set| model.retain(|value| set.contains(value)));
                let mut found = Vec::new();
                let others: Vec<&IntSet> = others.iter().collect();
                intersect(&first, &others, |value| {
                    found.push(value);
                    found.len() < enough
                });
                prop_assert!(found.into_iter().eq(model.into_iter().take(enough)));
            }
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..40), width in 0_u8..9) {
            if let Some(first) = bytes.first_mut() {
                *first = width;
            }
            if let Ok(set) = IntSet::from_bytes_checked(&bytes) {
                prop_assert_eq!(set.iter().count(), set.len());
            }
        }
    }
}
