//! Numbers as text, by Redis's rules: which strings count as integers and floating-point numbers, and how numbers
//! are printed. Knows no error texts: whoever asks decides what a refusal is called.

use std::fmt::Write as _;

/// Parses a decimal integer as Redis does for counters, lengths and the `int` encoding: an optional `-`, then digits
/// with no leading zero. No spaces, no `+`, no `-0`, and nothing outside `i64`; so printing the result gives the same
/// bytes back.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits stay below 10^19, which a u64 holds.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Parses a double as Redis does for scores and increments: decimal (`1`, `.5`, `1e3`), hexadecimal (`0x1p3`), or
/// `inf`/`infinity` in any case, with an optional sign. Refused: the empty string, spaces, `nan`, and what does not fit
/// (a finite text that overflows, or one that is not zero and underflows to zero).
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (value, exact_range) = scan_f64(text)?;
    exact_range.then_some(value)
}

/// Parses a bound of a score range (`ZCOUNT`, `ZRANGEBYSCORE` …), where Redis is more lenient than [`parse_f64`]: leading
/// white space is skipped, an empty bound is 0, and what does not fit is infinite or 0. `nan` is refused.
#[must_use]
pub fn parse_f64_bound(text: &[u8]) -> Option<f64> {
    scan_c_string(text).map(|(value, _)| value)
}

/// Parses what SORT compares: read like a bound, but what does not fit a normal number is refused.
#[must_use]
pub fn parse_f64_weight(text: &[u8]) -> Option<f64> {
    if let Some(value) = short_integer(text) {
        return Some(value);
    }
    let (value, in_range) = scan_c_string(text)?;
    (in_range && !value.is_subnormal()).then_some(value)
}

/// As [`scan_f64`], of a text that Redis reads as a C string: a zero byte ends it, leading white space is skipped, and
/// where nothing is left it is 0.
fn scan_c_string(text: &[u8]) -> Option<(f64, bool)> {
    let text = until_nul(text);
    if text.is_empty() {
        return Some((0.0, true));
    }
    let start = text.iter().position(|byte| !is_c_space(*byte))?;
    scan_f64(&text[start..])
}

/// The text as C sees it: up to a zero byte.
#[must_use]
pub fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// White space as C's `isspace` has it, which knows the vertical tab, unlike [`u8::is_ascii_whitespace`].
pub(crate) fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The value of up to 15 digits, which a float has exactly; what most numbers are.
fn short_integer(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0')) as f64;
    Some(if negative { -value } else { value })
}

/// The value, and whether it was in range. `None` where the text is no number (or is `nan`).
fn scan_f64(text: &[u8]) -> Option<(f64, bool)> {
    if let Some(value) = short_integer(text) {
        return Some((value, true));
    }
    let (negative, unsigned) = split_sign(text);
    if let Some(hex) = strip_hex_prefix(unsigned) {
        let (mantissa, sticky, exponent) = HexFloat::parse(hex)?.normalized();
        let magnitude = f64_from_parts(mantissa, sticky, exponent);
        let in_range = mantissa == 0 || (magnitude != 0.0 && magnitude.is_finite());
        return Some((if negative { -magnitude } else { magnitude }, in_range));
    }
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        let value = if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        return Some((value, true));
    }
    // What is left begins with a digit or a point, so `nan` and a second sign are out.
    if !matches!(unsigned.first(), Some(b'0'..=b'9' | b'.')) {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let in_range = value.is_finite() && (value != 0.0 || !has_nonzero_digit(unsigned));
    Some((value, in_range))
}

/// Splits an optional sign off; true for `-`.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

pub(crate) fn strip_hex_prefix(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'0', b'x' | b'X', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Whether a decimal number has a digit other than 0 before its exponent.
fn has_nonzero_digit(unsigned: &[u8]) -> bool {
    unsigned
        .iter()
        .take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'))
        .any(|byte| matches!(byte, b'1'..=b'9'))
}

/// A hexadecimal floating-point number: `mantissa * 2^exponent`, and whether digits of less weight were dropped.
#[derive(Debug)]
pub(crate) struct HexFloat {
    mantissa: u128,
    exponent: i64,
    sticky: bool,
}

impl HexFloat {
    /// Parses what follows `0x`: digits with at most one point, then an optional binary exponent `p±digits`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut number = Self {
            mantissa: 0,
            exponent: 0,
            sticky: false,
        };
        let mut seen_point = false;
        let mut digits = 0_usize;
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            match (*byte as char).to_digit(16) {
                Some(digit) => {
                    number.push(u128::from(digit), seen_point);
                    digits += 1;
                }
                None if *byte == b'.' && !seen_point => seen_point = true,
                None => break,
            }
            rest = tail;
        }
        if digits == 0 {
            return None;
        }
        match rest {
            [] => Some(number),
            [b'p' | b'P', exponent @ ..] => {
                let exponent = parse_exponent(exponent)?;
                number.exponent = number.exponent.saturating_add(exponent);
                Some(number)
            }
            _ => None,
        }
    }

    fn push(&mut self, digit: u128, after_point: bool) {
        if self.mantissa >> 124 == 0 {
            self.mantissa = self.mantissa << 4 | digit;
            self.exponent -= i64::from(after_point) * 4;
        } else {
            self.sticky |= digit != 0;
            self.exponent += i64::from(!after_point) * 4;
        }
    }

    /// The mantissa with its top bit set (unless the number is zero), the sticky flag, and the exponent of its lowest
    /// bit.
    pub(crate) fn normalized(&self) -> (u128, bool, i64) {
        if self.mantissa == 0 {
            return (0, false, 0);
        }
        let shift = self.mantissa.leading_zeros();
        (
            self.mantissa << shift,
            self.sticky,
            self.exponent.saturating_sub(i64::from(shift)),
        )
    }
}

/// An optionally signed run of digits, saturated far beyond any exponent that a number can have.
pub(crate) fn parse_exponent(text: &[u8]) -> Option<i64> {
    const BEYOND_ANY_EXPONENT: i64 = 1 << 40;
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0_i64, |sum, byte| {
        (sum * 10 + i64::from(byte - b'0')).min(BEYOND_ANY_EXPONENT)
    });
    Some(if negative { -magnitude } else { magnitude })
}

/// Rounds `mantissa * 2^exponent` (top bit set, or zero) to the nearest double, ties to even.
fn f64_from_parts(mantissa: u128, sticky: bool, exponent: i64) -> f64 {
    const MANTISSA_BITS: i64 = 53;
    const LOWEST_EXPONENT: i64 = -1074;
    if mantissa == 0 {
        return 0.0;
    }
    let exponent = exponent.saturating_add(64);
    if exponent.saturating_add(64) > 1024 {
        return f64::INFINITY;
    }
    // Bits of the upper half that fall away: 11 for a normal number, more for a subnormal one.
    let dropped = (64 - MANTISSA_BITS).max(LOWEST_EXPONENT - exponent);
    if dropped > 64 {
        return 0.0;
    }
    let upper = (mantissa >> 64) << 64 >> dropped;
    let kept = (upper >> 64) as u64;
    let below = upper as u64;
    let half = 1_u64 << 63;
    let more = sticky || mantissa as u64 != 0;
    let round_up = below > half || (below == half && (more || kept & 1 == 1));
    let rounded = kept + u64::from(round_up);
    // Exact: at most 53 bits, and the scale is applied in two steps that are powers of two, so that neither overflows.
    let scale = exponent + dropped;
    let first = scale / 2;
    (rounded as f64) * power_of_two(first) * power_of_two(scale - first)
}

fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// A buffer on the stack for the text of one double.
#[derive(Debug)]
pub struct DoubleBuffer {
    bytes: [u8; 32],
    len: usize,
}

impl Default for DoubleBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DoubleBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: [0; 32],
            len: 0,
        }
    }

    /// The same as C's `%.17g` prints it: the sign of what is no number shows.
    pub fn format_c(&mut self, value: f64) -> &[u8] {
        if value.is_nan() && value.is_sign_negative() {
            self.len = 0;
            self.append(b"-nan");
            return self.as_bytes();
        }
        self.format(value)
    }

    /// Prints a double as Redis 7.0 does in replies: 17 significant digits with trailing zeros cut (C's `%.17g`), an
    /// exponent only below 1e-4 and from 1e17, `inf`, `-inf`, `nan`.
    pub fn format(&mut self, value: f64) -> &[u8] {
        self.len = 0;
        if value.is_nan() {
            self.append(b"nan");
        } else if value.is_infinite() {
            self.append(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == value.trunc() && value.abs() < 1e17 {
            if value == 0.0 && value.is_sign_negative() {
                self.append(b"-");
            }
            self.append(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            self.format_fraction(value);
        }
        &self.bytes[..self.len]
    }

    fn format_fraction(&mut self, value: f64) {
        let (digits, exponent) =
            exact_digits(value.abs()).unwrap_or_else(|| formatted_digits(value.abs()));
        let significant = digits
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(1, |last| last + 1);
        let digits = &digits[..significant];
        if value < 0.0 {
            self.append(b"-");
        }
        if (-4..17).contains(&exponent) {
            self.append_fixed(digits, exponent);
        } else {
            self.append_scientific(digits, exponent);
        }
    }

    fn append_fixed(&mut self, digits: &[u8], exponent: i64) {
        if exponent < 0 {
            self.append(b"0.");
            for _ in exponent + 1..0 {
                self.append(b"0");
            }
            self.append(digits);
            return;
        }
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            self.append(digits);
            for _ in digits.len()..whole {
                self.append(b"0");
            }
        } else {
            self.append(&digits[..whole]);
            self.append(b".");
            self.append(&digits[whole..]);
        }
    }

    fn append_scientific(&mut self, digits: &[u8], exponent: i64) {
        self.append(&digits[..1]);
        if digits.len() > 1 {
            self.append(b".");
            self.append(&digits[1..]);
        }
        self.append(if exponent < 0 { b"e-" } else { b"e+" });
        let magnitude = exponent.unsigned_abs();
        if magnitude < 10 {
            self.append(b"0");
        }
        self.append(itoa::Buffer::new().format(magnitude).as_bytes());
    }

    /// What was formatted last.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// 17 significant digits of a positive number, and the exponent of the first one.
fn formatted_digits(value: f64) -> ([u8; 17], i64) {
    let mut scientific = DoubleBuffer::new();
    write!(scientific, "{value:.16e}").expect("17 digits and an exponent fit in 32 bytes");
    let text = &scientific.bytes[..scientific.len];
    // `d.dddddddddddddddde-308`: one digit, a point, sixteen digits, `e`, the exponent.
    let mut digits = [0_u8; 17];
    digits[0] = text[0];
    digits[1..].copy_from_slice(&text[2..18]);
    let exponent = parse_exponent(&text[19..]).expect("written by the formatter");
    (digits, exponent)
}

/// The same by exact arithmetic of 128 bits, where that suffices: from 1e-4 to 1e17, which is what people store.
fn exact_digits(value: f64) -> Option<([u8; 17], i64)> {
    const DIGITS: u32 = 17;
    if !(1e-4..1e17).contains(&value) {
        return None;
    }
    let mut exponent = value.log10().floor() as i64;
    loop {
        let decimals = u32::try_from(i64::from(DIGITS) - 1 - exponent).ok()?;
        let rounded = u64::try_from(scaled(value, decimals)?).ok()?;
        if rounded >= 10_u64.pow(DIGITS) {
            exponent += 1;
        } else if rounded < 10_u64.pow(DIGITS - 1) {
            exponent -= 1;
        } else {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(rounded).as_bytes().try_into().ok()?;
            return Some((digits, exponent));
        }
    }
}

/// A positive number times 10^decimals, rounded to the nearest integer, half to even: exactly, where 128 bits suffice.
fn scaled(value: f64, decimals: u32) -> Option<u128> {
    /// 10^22 has 74 bits, a mantissa 53.
    const MOST_DECIMALS: u32 = 22;
    /// The value is mantissa / 2^shift; without a shift it is a large integer, with a longer one next to nothing.
    const SHIFTS: std::ops::RangeInclusive<i64> = 1..=120;
    let bits = value.to_bits();
    let shift = 1075 - (bits >> 52) as i64;
    if !SHIFTS.contains(&shift) || decimals > MOST_DECIMALS {
        return None;
    }
    let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52);
    let product = mantissa * 10_u128.pow(decimals);
    let whole = product >> shift;
    let (rest, half) = (product & ((1 << shift) - 1), 1_u128 << (shift - 1));
    let up = rest > half || (rest == half && whole & 1 == 1);
    Some(whole + u128::from(up))
}

/// A finite double with so many decimal places, as C's `%.*f` prints it.
#[must_use]
pub fn format_fixed(value: f64, decimals: u32) -> String {
    exact_fixed(value, decimals).unwrap_or_else(|| format!("{value:.*}", decimals as usize))
}

fn exact_fixed(value: f64, decimals: u32) -> Option<String> {
    /// Places that 64 bits can hold.
    const MOST: u32 = 18;
    if value.is_sign_negative() || value >= 1e15 || decimals == 0 || decimals > MOST {
        return None;
    }
    let one = 10_u64.pow(decimals);
    let mut whole = value as u64;
    let behind = scaled(value, decimals)? - u128::from(whole) * u128::from(one);
    let mut behind = u64::try_from(behind).ok()?;
    if behind >= one {
        (whole, behind) = (whole + 1, behind - one);
    }
    let mut text = String::with_capacity(40);
    text.push_str(itoa::Buffer::new().format(whole));
    text.push('.');
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(behind);
    (digits.len()..decimals as usize).for_each(|_| text.push('0'));
    text.push_str(digits);
    Some(text)
}

impl std::fmt::Write for DoubleBuffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.len + text.len() > self.bytes.len() {
            return Err(std::fmt::Error);
        }
        self.append(text.as_bytes());
        Ok(())
    }
}

/// Appends a double as [`DoubleBuffer::format`] prints it.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(DoubleBuffer::new().format(value));
}

/// A double as Redis prints it for people: 17 decimal places, trailing zeros cut, no exponent.
#[must_use]
pub fn format_plain(value: f64) -> String {
    if !value.is_finite() {
        return String::from_utf8_lossy(DoubleBuffer::new().format(value)).into_owned();
    }
    let text = format_fixed(value, 17);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(value: f64) -> String {
        String::from_utf8(DoubleBuffer::new().format(value).to_vec()).expect("ASCII")
    }

    #[test]
    fn integers_are_canonical_or_refused() {
        for text in [
            "1",
            "-1",
            "0",
            "9223372036854775807",
            "-9223372036854775808",
            "10",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "+1",
            "01",
            "-01",
            " 1",
            "1 ",
            "1a",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
            "18446744073709551617",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    // Expected values: ZADD and ZSCORE of redis-server 7.0.15.
    #[test]
    fn doubles_are_judged_as_redis_judges_them() {
        for (text, score) in [
            ("1", "1"),
            ("+1", "1"),
            ("1e3", "1000"),
            ("1e-320", "9.9998886718268301e-321"),
            ("0x10", "16"),
            ("0x1p3", "8"),
            ("0X1P-3", "0.125"),
            ("0x.8", "0.5"),
            ("0x1.p1", "2"),
            ("0x1p+3", "8"),
            ("inf", "inf"),
            ("+inf", "inf"),
            ("-Infinity", "-inf"),
            ("INFINITY", "inf"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1.e3", "1000"),
            ("0x1p-1074", "4.9406564584124654e-324"),
            ("0x1.8p-1074", "9.8813129168249309e-324"),
            ("0x1p-1060", "8.0947715414629834e-320"),
            ("0x1.ffffffffffffffp0", "2"),
            ("-0", "-0"),
            ("0e99999999999999999999", "0"),
            ("2.2250738585072011e-308", "2.2250738585072009e-308"),
            ("0x0p99999999999", "0"),
            ("-0x10", "-16"),
        ] {
            assert_eq!(
                parse_f64(text.as_bytes()).map(printed).as_deref(),
                Some(score),
                "{text}"
            );
        }
    }

    #[test]
    fn what_redis_refuses_is_no_double() {
        for text in [
            "",
            " 1",
            "1 ",
            "1e400",
            "-1e400",
            "1e-400",
            "0x",
            "0x1p",
            "0x.p1",
            "0x1P",
            "0x-1",
            "infinit",
            "nan",
            "NaN",
            "-nan",
            "+nan",
            "nan(1)",
            ".",
            "1e",
            "1e+",
            "e5",
            "-",
            "+",
            "--1",
            "+-1",
            "1_0",
            "1\0",
            "0x1p2000",
            "0x1p-2000",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1.7976931348623159e308",
            "2e-324",
            "1d",
            "1e1.5",
            "0x1p-1075",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn bounds_are_lenient() {
        assert_eq!(parse_f64_bound(b""), Some(0.0));
        assert_eq!(parse_f64_bound(b" \t1"), Some(1.0));
        assert_eq!(parse_f64_bound(b"1e400"), Some(f64::INFINITY));
        assert_eq!(parse_f64_bound(b"1e-400"), Some(0.0));
        assert_eq!(parse_f64_bound(b"1 "), None);
        assert_eq!(parse_f64_bound(b"nan"), None);
        assert_eq!(parse_f64_bound(b"  "), None);
    }

    #[test]
    fn weights_are_bounds_that_fit() {
        for (text, weight) in [
            ("", Some(0.0)),
            (" \t-1", Some(-1.0)),
            ("5\0x", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("1e400", None),
            ("1e-310", None),
            ("nan", None),
            ("1 ", None),
        ] {
            assert_eq!(parse_f64_weight(text.as_bytes()), weight, "{text:?}");
        }
    }

    // Expected values: printf("%.17g").
    #[test]
    fn doubles_print_with_17_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (0.0001, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (0.00012345, "0.00012344999999999999"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (9007199254740993.0, "9007199254740992"),
            (99999999999999984.0, "99999999999999984"),
            (2251799813685248.5, "2251799813685248.5"),
        ] {
            assert_eq!(printed(value), text);
        }
    }

    // Expected values: GEOPOS of redis-server 7.0.15.
    #[test]
    fn doubles_print_for_people_without_exponent() {
        for (value, text) in [
            (13.361389338970184, "13.36138933897018433"),
            (0.0, "0"),
            (-0.0, "0"),
            (-180.0, "-180"),
            (1e-20, "0"),
            (100.0, "100"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(format_plain(value), text);
        }
    }

    proptest! {
        #[test]
        fn every_integer_round_trips(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn parsing_never_panics(text in "[-+0-9a-fA-FxXpPeEinty. ]{0,40}") {
            let _ = parse_i64(text.as_bytes());
            let _ = parse_f64(text.as_bytes());
            let _ = parse_f64_bound(text.as_bytes());
        }

        #[test]
        fn both_ways_to_digits_agree(mantissa in 1_u64..1 << 53, shift in 0_u32..70, decimals in 0_u32..17) {
            for value in [
                mantissa as f64 / 2_f64.powi(shift as i32),
                (mantissa % 1_000_000) as f64 / 10_f64.powi(decimals as i32),
            ] {
                if let Some(exact) = exact_digits(value) {
                    prop_assert_eq!(exact, formatted_digits(value), "{}", value);
                }
                for decimals in [1, 4, 17, 18] {
                    if let Some(exact) = exact_fixed(value, decimals) {
                        prop_assert_eq!(exact, format!("{value:.*}", decimals as usize));
                    }
                }
            }
        }

        #[test]
        fn every_double_round_trips(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse_f64(printed(value).as_bytes()), Some(value));
        }

        #[test]
        fn hexadecimal_agrees_with_the_bits(mantissa in 0_u64..1 << 52, exponent in -1022_i64..1024) {
            let value = f64::from_bits(((exponent + 1023) as u64) << 52 | mantissa);
            prop_assert_eq!(parse_f64(format!("0x1.{mantissa:013x}p{exponent}").as_bytes()), Some(value));
            let subnormal = f64::from_bits(mantissa | 1);
            prop_assert_eq!(parse_f64(format!("0x{:x}p-1074", mantissa | 1).as_bytes()), Some(subnormal));
        }
    }
}
