//! Sizes with units, as configuration files have them: `100mb`, `1gb`. Knows no parameters.

/// Units by their suffix in lower case. The short ones are decimal, those with `b` are binary.
const UNITS: &[(&[u8], u64)] = &[
    (b"", 1),
    (b"b", 1),
    (b"k", 1000),
    (b"kb", 1 << 10),
    (b"m", 1_000_000),
    (b"mb", 1 << 20),
    (b"g", 1_000_000_000),
    (b"gb", 1 << 30),
];

/// Parses a number of bytes: digits, then a unit in any case. `None` for a sign, a fraction, spaces, or an unknown unit.
/// What is too large becomes `u64::MAX`; no digits count as 0, as in Redis.
#[must_use]
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let digits = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let (_, factor) = UNITS
        .iter()
        .find(|(suffix, _)| unit.eq_ignore_ascii_case(suffix))?;
    let number = digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(number.saturating_mul(*factor))
}

/// The shortest form of a size: with a binary unit where it is a multiple of one.
#[must_use]
pub fn format_memory(bytes: u64) -> String {
    for (unit, shift) in [("gb", 30), ("mb", 20), ("kb", 10)] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_redis_reads_them() {
        let cases: &[(&str, Option<u64>)] = &[
            ("1", Some(1)),
            ("1k", Some(1000)),
            ("1Kb", Some(1024)),
            ("1m", Some(1_000_000)),
            ("100mb", Some(104_857_600)),
            ("1G", Some(1_000_000_000)),
            ("1gb", Some(1 << 30)),
            ("2B", Some(2)),
            ("", Some(0)),
            ("kb", Some(0)),
            ("010", Some(10)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999gb", Some(u64::MAX)),
            ("1t", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1.5gb", None),
            ("0x10", None),
            ("1gib", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_memory(text.as_bytes()), *bytes, "{text}");
        }
    }

    #[test]
    fn sizes_print_with_the_largest_exact_unit() {
        for (bytes, text) in [
            (0, "0"),
            (1000, "1000"),
            (2048, "2kb"),
            (64 << 20, "64mb"),
            (1 << 30, "1gb"),
            (1_000_000_000, "1000000000"),
        ] {
            assert_eq!(format_memory(bytes), text);
            assert_eq!(parse_memory(text.as_bytes()), Some(bytes));
        }
    }
}
