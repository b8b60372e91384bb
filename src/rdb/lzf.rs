//! LZF, the compression of long strings in an RDB. What is expanded is hostile.
//!
//! ```text
//! 000nnnnn                      n + 1 literal bytes follow
//! nnnooooo oooooooo             n + 2 bytes again from o + 1 bytes back (n from 1 to 6)
//! 111ooooo nnnnnnnn oooooooo    n + 9 bytes again from o + 1 bytes back
//! ```

/// The furthest that a repetition reaches back, and the longest and shortest there is.
const MAX_BACK: usize = 1 << 13;
const MAX_REPEAT: usize = 264;
const MIN_REPEAT: usize = 3;
const MAX_LITERAL: usize = 32;
const TABLE_BITS: u32 = 13;
/// Longer inputs are not compressed: positions are 32 bits wide.
const MAX_INPUT: usize = 1 << 30;

/// Compresses; keeps its memory from one string to the next.
#[derive(Debug, Clone)]
pub(super) struct Compressor {
    /// Where three bytes of this hash were seen last, counted through all inputs; below `base`: in an earlier one.
    table: Box<[u32]>,
    base: u32,
    out: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self {
            table: vec![0; 1 << TABLE_BITS].into_boxed_slice(),
            base: 1,
            out: Vec::new(),
        }
    }
}

impl Compressor {
    /// What [`expand`] makes `input` of; none where that is not shorter.
    pub(super) fn compress(&mut self, input: &[u8]) -> Option<&[u8]> {
        if input.len() > MAX_INPUT {
            return None;
        }
        if self.base as usize + input.len() > u32::MAX as usize {
            self.table.fill(0);
            self.base = 1;
        }
        self.out.clear();
        let (mut at, mut literal) = (0, 0);
        while at < input.len() {
            let seen = self.last_seen(input, at);
            let count = seen.map_or(0, |from| common_len(input, from, at));
            if let Some(from) = seen
                && count >= MIN_REPEAT
            {
                self.push_literal(input.get(literal..at).unwrap_or_default());
                self.push_repeat(at - from, count);
                for passed in at + 1..at + count {
                    self.last_seen(input, passed);
                }
                at += count;
                literal = at;
            } else {
                at += 1;
            }
            if self.out.len() >= input.len() {
                break;
            }
        }
        self.push_literal(input.get(literal..).unwrap_or_default());
        self.base += input.len() as u32;
        (self.out.len() < input.len()).then_some(&self.out)
    }

    /// Where the three bytes at `at` were seen before, if that is near enough; notes that they stand here.
    fn last_seen(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let [a, b, c] = *input.get(at..)?.first_chunk()?;
        let word = u32::from_le_bytes([a, b, c, 0]);
        let slot = word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - TABLE_BITS);
        let place = self.table.get_mut(slot as usize)?;
        let seen = std::mem::replace(place, self.base + at as u32);
        let from = seen.checked_sub(self.base)? as usize;
        (at - from <= MAX_BACK).then_some(from)
    }

    fn push_literal(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_LITERAL) {
            self.out.push(piece.len() as u8 - 1);
            self.out.extend_from_slice(piece);
        }
    }

    fn push_repeat(&mut self, back: usize, count: usize) {
        let (high, low) = (((back - 1) >> 8) as u8, (back - 1) as u8);
        match count - 2 {
            short @ ..7 => self.out.extend([(short as u8) << 5 | high, low]),
            long => self.out.extend([0xe0 | high, (long - 7) as u8, low]),
        }
    }
}

/// How many bytes from `from` on are those from `at` on.
fn common_len(input: &[u8], from: usize, at: usize) -> usize {
    let (earlier, later) = (input.get(from..), input.get(at..));
    let pairs = earlier
        .into_iter()
        .flatten()
        .zip(later.into_iter().flatten());
    pairs.take(MAX_REPEAT).take_while(|(a, b)| a == b).count()
}

/// Expands `input` to exactly `len` bytes; none where it is damaged or does not make that many. What is allocated
/// depends on what `input` really makes, never on `len` alone.
pub(super) fn expand(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len.min(input.len().saturating_mul(4)));
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        let high = usize::from(control & 0x1f);
        let mut count = usize::from(control >> 5);
        if count == 0 {
            let (literal, rest) = input.split_at_checked(high + 1)?;
            out.extend_from_slice(literal);
            input = rest;
        } else {
            if count == 7 {
                count += usize::from(next(&mut input)?);
            }
            let back = (high << 8 | usize::from(next(&mut input)?)) + 1;
            repeat(&mut out, back, count + 2)?;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

fn next(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

/// Appends `count` bytes from `back` bytes before the end on; what is appended may be read in turn.
fn repeat(out: &mut Vec<u8>, back: usize, mut count: usize) -> Option<()> {
    let start = out.len().checked_sub(back)?;
    while count > 0 {
        let piece = count.min(out.len() - start);
        out.extend_from_within(start..start + piece);
        count -= piece;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Literal(Vec<u8>),
        Repeat { back: usize, count: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..=32).prop_map(Step::Literal),
            (1..=8192_usize, 3..=264_usize).prop_map(|(back, count)| Step::Repeat { back, count }),
        ]
    }

    fn encode(step: &Step, input: &mut Vec<u8>) {
        match step {
            Step::Literal(bytes) => {
                input.push(bytes.len() as u8 - 1);
                input.extend_from_slice(bytes);
            }
            Step::Repeat { back, count } => {
                let (high, low) = (((back - 1) >> 8) as u8, (back - 1) as u8);
                match count - 2 {
                    short @ ..7 => input.extend([(short as u8) << 5 | high, low]),
                    long => input.extend([0xe0 | high, (long - 7) as u8, low]),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn expands_what_a_naive_model_expands(steps in prop::collection::vec(step(), 0..40)) {
            let (mut input, mut expected) = (Vec::new(), Vec::new());
            for mut step in steps {
                match &mut step {
                    Step::Literal(bytes) => expected.extend_from_slice(bytes),
                    Step::Repeat { .. } if expected.is_empty() => continue,
                    Step::Repeat { back, count } => {
                        *back = (*back).min(expected.len());
                        for _ in 0..*count {
                            expected.push(expected[expected.len() - *back]);
                        }
                    }
                }
                encode(&step, &mut input);
            }
            let len = expected.len();
            prop_assert_eq!(expand(&input, len), Some(expected));
            prop_assert_eq!(expand(&input, len + 1), None);
            if let Some(shorter) = len.checked_sub(1) {
                prop_assert_eq!(expand(&input, shorter), None);
            }
        }

        #[test]
        fn what_is_compressed_expands_to_itself(
            inputs in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'a'), 0_u8..4, any::<u8>()], 0..3000), 1..4),
            copies in 1_usize..4,
        ) {
            let mut compressor = Compressor::default();
            for input in inputs {
                let input = input.repeat(copies);
                if let Some(compressed) = compressor.compress(&input) {
                    prop_assert!(compressed.len() < input.len());
                    prop_assert_eq!(expand(compressed, input.len()), Some(input));
                } else {
                    prop_assert!(copies == 1 || input.len() < 20);
                }
            }
        }

        #[test]
        fn hostile_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..80), len in 0_usize..400) {
            if let Some(out) = expand(&input, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }

    #[test]
    fn positions_begin_anew_before_they_overflow() {
        let mut compressor = Compressor {
            base: u32::MAX - 50,
            ..Compressor::default()
        };
        let input = b"over and over and over and over again".as_slice();
        for _ in 0..3 {
            let compressed = compressor.compress(input).expect("it repeats itself");
            assert_eq!(expand(compressed, input.len()), Some(input.to_vec()));
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing_by_itself() {
        assert_eq!(expand(&[0, b'x'], usize::MAX), None);
        assert_eq!(expand(&[], 0), Some(Vec::new()));
        assert_eq!(expand(&[0, b'x', 0x20, 1], 4), None);
    }
}
