//! LZF, the compression of long strings in an RDB. Only expands; the bytes are hostile.
//!
//! ```text
//! 000nnnnn                      n + 1 literal bytes follow
//! nnnooooo oooooooo             n + 2 bytes again from o + 1 bytes back (n from 1 to 6)
//! 111ooooo nnnnnnnn oooooooo    n + 9 bytes again from o + 1 bytes back
//! ```

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
        fn hostile_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..80), len in 0_usize..400) {
            if let Some(out) = expand(&input, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing_by_itself() {
        assert_eq!(expand(&[0, b'x'], usize::MAX), None);
        assert_eq!(expand(&[], 0), Some(Vec::new()));
        assert_eq!(expand(&[0, b'x', 0x20, 1], 4), None);
    }
}
