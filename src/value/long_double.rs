//! The x87 extended double (64-bit mantissa, 15-bit exponent) in software: INCRBYFLOAT and HINCRBYFLOAT compute in it, so
//! their last digits come out as Redis's on every machine. Knows no keys and no error texts.

use std::fmt::Write as _;

use super::number::{HexFloat, parse_exponent, split_sign, strip_hex_prefix};

/// Longer texts are refused, as Redis refuses them: its buffer has 5 KiB.
const MAX_TEXT: usize = 5 * 1024;
/// The exponent of a subnormal's lowest bit.
const LOWEST_EXPONENT: i64 = -16445;
/// The exponent of the lowest bit of the largest finite numbers.
const HIGHEST_EXPONENT: i64 = 16383 - 63;
/// A number of more decimal digits than this before its point is infinite.
const MAX_DECIMAL_EXPONENT: i64 = 4933;
/// A number below ten to this power rounds to zero.
const MIN_DECIMAL_EXPONENT: i64 = -4951;
/// Decimal places that are printed.
const DECIMALS: usize = 17;

/// A floating-point number with a mantissa of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exponent`. The top bit is set, unless `exponent` is the lowest.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
    NotANumber,
}

impl LongDouble {
    /// Parses a number as Redis does for INCRBYFLOAT: decimal, hexadecimal (`0x1p3`) or `inf`/`infinity` in any case, with
    /// an optional sign. Refused: spaces, `nan`, an empty or overlong text, and what does not fit (a finite text that
    /// overflows, or one that is not zero and rounds to zero). Rounds correctly; the time is bounded by the text's length.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, unsigned) = split_sign(text);
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self {
                negative,
                magnitude: Magnitude::Infinite,
            });
        }
        let (nonzero, magnitude) = match strip_hex_prefix(unsigned) {
            Some(hex) => {
                let (mantissa, sticky, exponent) = HexFloat::parse(hex)?.normalized();
                (mantissa != 0, round(mantissa, sticky, exponent))
            }
            None => {
                let decimal = Decimal::parse(unsigned)?;
                (!decimal.digits.is_empty(), decimal.to_magnitude())
            }
        };
        let fits = match magnitude {
            Magnitude::Zero => !nonzero,
            Magnitude::Finite { .. } => true,
            Magnitude::Infinite | Magnitude::NotANumber => false,
        };
        fits.then_some(Self {
            negative,
            magnitude,
        })
    }

    /// Whether this is the sum of infinities of different sign.
    #[must_use]
    pub fn is_nan(self) -> bool {
        self.magnitude == Magnitude::NotANumber
    }

    /// Whether this is an infinity.
    #[must_use]
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// Prints the number for people, as Redis stores it: without an exponent, rounded to 17 decimal places, trailing
    /// zeros cut.
    #[must_use]
    pub fn format_human(self) -> String {
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        match self.magnitude {
            Magnitude::Zero => text.push('0'),
            Magnitude::Infinite => text.push_str("inf"),
            Magnitude::NotANumber => text.push_str("nan"),
            Magnitude::Finite { mantissa, exponent } if exponent < 0 => {
                write_fraction(mantissa, exponent, &mut text)
            }
            Magnitude::Finite { mantissa, exponent } => {
                let mut integer = BigInteger::from(mantissa);
                integer.shift_left(exponent.unsigned_abs());
                integer.write_decimal(&mut text);
            }
        }
        if text == "-0" { "0".to_owned() } else { text }
    }
}

impl From<i64> for LongDouble {
    /// Exact: the mantissa has 64 bits.
    fn from(value: i64) -> Self {
        Self {
            negative: value < 0,
            magnitude: round(u128::from(value.unsigned_abs()), false, 0),
        }
    }
}

impl std::ops::Add for LongDouble {
    type Output = Self;

    /// Rounds to nearest, ties to even.
    fn add(self, other: Self) -> Self {
        let (left, right) = match (self.magnitude, other.magnitude) {
            (Magnitude::NotANumber, _) | (_, Magnitude::NotANumber) => return Self::not_a_number(),
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => {
                return Self::not_a_number();
            }
            (Magnitude::Infinite, _) => return self,
            (_, Magnitude::Infinite) => return other,
            (Magnitude::Zero, Magnitude::Zero) => {
                return Self {
                    negative: self.negative && other.negative,
                    magnitude: Magnitude::Zero,
                };
            }
            (Magnitude::Zero, _) => return other,
            (_, Magnitude::Zero) => return self,
            (
                Magnitude::Finite {
                    mantissa: left,
                    exponent: left_exponent,
                },
                Magnitude::Finite {
                    mantissa: right,
                    exponent: right_exponent,
                },
            ) => ((left_exponent, left), (right_exponent, right)),
        };
        // Only the lowest exponent has mantissas without their top bit, so the order of the pairs is that of the numbers.
        let (large, small, negative) = if left >= right {
            (left, right, self.negative)
        } else {
            (right, left, other.negative)
        };
        let (sum, sticky) = combine(large, small, self.negative == other.negative);
        if sum == 0 {
            return Self {
                negative: false,
                magnitude: Magnitude::Zero,
            };
        }
        Self {
            negative,
            magnitude: round(sum, sticky, large.0 - 63),
        }
    }
}

impl LongDouble {
    fn not_a_number() -> Self {
        Self {
            negative: false,
            magnitude: Magnitude::NotANumber,
        }
    }
}

/// The sum or the difference of two (exponent, mantissa), at 63 bits below the exponent of the larger; and whether there
/// is more below.
fn combine(large: (i64, u64), small: (i64, u64), same_sign: bool) -> (u128, bool) {
    let distance = u32::try_from(large.0 - small.0).unwrap_or(u32::MAX);
    let large = u128::from(large.1) << 63;
    let small = u128::from(small.1) << 63;
    let aligned = small.checked_shr(distance).unwrap_or(0);
    let sticky = aligned.checked_shl(distance).unwrap_or(0) != small;
    if same_sign {
        (large + aligned, sticky)
    } else {
        // What was cut off `small` is taken away too: one less, and a part of that one comes back below.
        (large - aligned - u128::from(sticky), sticky)
    }
}

/// Rounds `mantissa * 2^exponent`, with something more below it if `sticky`, to nearest, ties to even.
fn round(mantissa: u128, sticky: bool, exponent: i64) -> Magnitude {
    if mantissa == 0 {
        return Magnitude::Zero;
    }
    let shift = mantissa.leading_zeros();
    let wide = mantissa << shift;
    let exponent = exponent.saturating_sub(i64::from(shift)).saturating_add(64);
    let dropped = LOWEST_EXPONENT.saturating_sub(exponent).max(0);
    if dropped > 64 {
        return Magnitude::Zero;
    }
    // Up to 64 more bits fall away for a subnormal number; those below the lowest word only count as sticky.
    let below_word = wide & ((1_u128 << dropped) - 1) != 0;
    let wide = wide >> dropped;
    let kept = (wide >> 64) as u64;
    let below = wide as u64;
    let half = 1_u64 << 63;
    let more = sticky || below_word;
    let round_up = below > half || (below == half && (more || kept & 1 == 1));
    let (mantissa, exponent) = match kept.checked_add(u64::from(round_up)) {
        Some(mantissa) => (mantissa, exponent + dropped),
        None => (half, exponent + dropped + 1),
    };
    if mantissa == 0 {
        Magnitude::Zero
    } else if exponent > HIGHEST_EXPONENT {
        Magnitude::Infinite
    } else {
        Magnitude::Finite { mantissa, exponent }
    }
}

/// Writes `mantissa * 2^exponent` for a negative exponent, rounded to 17 places, ties to even.
fn write_fraction(mantissa: u64, exponent: i64, text: &mut String) {
    const FIVE_TO_THE_17: u128 = 5_u128.pow(17);
    const TEN_TO_THE_17: u128 = 10_u128.pow(17);
    // Times 10^17: 104 bits, and a power of two.
    let product = u128::from(mantissa) * FIVE_TO_THE_17;
    let shift = exponent + 17;
    let scaled = if shift >= 0 {
        product << shift
    } else if shift < -127 {
        0
    } else {
        let dropped = shift.unsigned_abs();
        let kept = product >> dropped;
        let below = product & ((1 << dropped) - 1);
        let half = 1_u128 << (dropped - 1);
        kept + u128::from(below > half || (below == half && kept & 1 == 1))
    };
    write!(text, "{}", scaled / TEN_TO_THE_17).expect("a string takes everything");
    let fraction = scaled % TEN_TO_THE_17;
    if fraction > 0 {
        write!(text, ".{fraction:0DECIMALS$}").expect("a string takes everything");
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// A decimal number: `0.d1d2d3… * 10^exponent`, its digits without leading or trailing zeros.
#[derive(Debug)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let exponent_at = text
            .iter()
            .position(|byte| byte.eq_ignore_ascii_case(&b'e'));
        let (mantissa, exponent) = match exponent_at {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let point = mantissa
            .iter()
            .position(|byte| *byte == b'.')
            .unwrap_or(mantissa.len());
        let (whole, fraction) = mantissa.split_at(point);
        let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
        let mut digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let trailing = digits
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        let exponent = exponent + whole.len() as i64 - leading as i64;
        digits.truncate(digits.len() - trailing);
        digits.drain(..leading.min(digits.len()));
        Some(Self { digits, exponent })
    }

    fn to_magnitude(&self) -> Magnitude {
        if self.digits.is_empty() || self.exponent < MIN_DECIMAL_EXPONENT {
            return Magnitude::Zero;
        }
        if self.exponent > MAX_DECIMAL_EXPONENT {
            return Magnitude::Infinite;
        }
        // The digits as an integer, times this power of ten.
        let power = self.exponent - self.digits.len() as i64;
        if self.digits.len() <= 19 && (-27..=0).contains(&power) {
            return self.short_to_magnitude(power.unsigned_abs() as u32);
        }
        let mut numerator = BigInteger::from_decimal(&self.digits);
        if power >= 0 {
            numerator.multiply_by_power_of_five(power.unsigned_abs());
            let (top, sticky, exponent) = numerator.top();
            return round(top, sticky, exponent + power);
        }
        let mut denominator = BigInteger::from(1);
        denominator.multiply_by_power_of_five(power.unsigned_abs());
        divide(numerator, denominator, power)
    }

    /// The common case: an integer of one word over a power of five of one word.
    fn short_to_magnitude(&self, places: u32) -> Magnitude {
        let integer = self
            .digits
            .iter()
            .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let shift = integer.leading_zeros() + 64;
        let numerator = u128::from(integer) << shift;
        let denominator = u128::from(5_u64.pow(places));
        let sticky = numerator % denominator != 0;
        round(
            numerator / denominator,
            sticky,
            -i64::from(shift) - i64::from(places),
        )
    }
}

/// Rounds `numerator / denominator * 2^exponent`.
fn divide(mut numerator: BigInteger, mut denominator: BigInteger, exponent: i64) -> Magnitude {
    // 66 bits of the quotient, and whether anything remains.
    const QUOTIENT_BITS: i64 = 66;
    let difference = numerator.bits() as i64 - denominator.bits() as i64;
    if difference > 0 {
        denominator.shift_left(difference.unsigned_abs());
    } else {
        numerator.shift_left(difference.unsigned_abs());
    }
    let mut quotient = 0_u128;
    for _ in 0..QUOTIENT_BITS {
        quotient <<= 1;
        if numerator >= denominator {
            numerator.subtract(&denominator);
            quotient |= 1;
        }
        numerator.shift_left(1);
    }
    round(
        quotient,
        !numerator.is_zero(),
        exponent + difference - (QUOTIENT_BITS - 1),
    )
}

/// A natural number of any size, just enough of it: 64-bit words, the lowest first, no zero on top.
#[derive(Debug, PartialEq, Eq)]
struct BigInteger {
    words: Vec<u64>,
}

impl From<u64> for BigInteger {
    fn from(value: u64) -> Self {
        Self {
            words: if value == 0 { Vec::new() } else { vec![value] },
        }
    }
}

impl PartialOrd for BigInteger {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BigInteger {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_length = self.words.len().cmp(&other.words.len());
        by_length.then_with(|| self.words.iter().rev().cmp(other.words.iter().rev()))
    }
}

impl BigInteger {
    fn from_decimal(digits: &[u8]) -> Self {
        let mut number = Self::from(0);
        for chunk in digits.chunks(19) {
            let value = chunk
                .iter()
                .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            number.multiply_add(10_u64.pow(chunk.len() as u32), value);
        }
        number
    }

    fn is_zero(&self) -> bool {
        self.words.is_empty()
    }

    /// The length in bits.
    fn bits(&self) -> u64 {
        self.words.last().map_or(0, |top| {
            self.words.len() as u64 * 64 - u64::from(top.leading_zeros())
        })
    }

    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for word in &mut self.words {
            let wide = u128::from(*word) * u128::from(factor) + u128::from(carry);
            *word = wide as u64;
            carry = (wide >> 64) as u64;
        }
        if carry > 0 {
            self.words.push(carry);
        }
    }

    fn multiply_by_power_of_five(&mut self, mut power: u64) {
        // 5^27 is the largest power of five in a word.
        while power > 0 {
            let step = power.min(27);
            self.multiply_add(5_u64.pow(step as u32), 0);
            power -= step;
        }
    }

    fn shift_left(&mut self, bits: u64) {
        if self.is_zero() {
            return;
        }
        let within = (bits % 64) as u32;
        if within > 0 {
            let mut carry = 0;
            for word in &mut self.words {
                let shifted = *word << within | carry;
                carry = *word >> (64 - within);
                *word = shifted;
            }
            if carry > 0 {
                self.words.push(carry);
            }
        }
        let whole = (bits / 64) as usize;
        if whole > 0 {
            self.words.splice(0..0, std::iter::repeat_n(0, whole));
        }
    }

    /// Takes `other`, which is not larger, away.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, word) in self.words.iter_mut().enumerate() {
            let subtrahend = other.words.get(at).copied().unwrap_or(0);
            let (difference, under) = word.overflowing_sub(subtrahend);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *word = difference;
            borrow = under || under_again;
        }
        debug_assert!(!borrow, "the subtrahend was larger");
        self.trim();
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// The two top words, whether there is anything below them, and the exponent of their lowest bit.
    fn top(&self) -> (u128, bool, i64) {
        match self.words.as_slice() {
            [] => (0, false, 0),
            [only] => (u128::from(*only), false, 0),
            [below @ .., low, high] => {
                let top = u128::from(*high) << 64 | u128::from(*low);
                // The top word may have few bits; the word under the two would then be needed for rounding 64 bits only
                // if `top` had fewer than 65, and it has more.
                (
                    top,
                    below.iter().any(|word| *word != 0),
                    below.len() as i64 * 64,
                )
            }
        }
    }

    fn write_decimal(mut self, text: &mut String) {
        const CHUNK: u64 = 10_u64.pow(19);
        let mut chunks = Vec::new();
        while !self.is_zero() {
            let mut remainder = 0_u128;
            for word in self.words.iter_mut().rev() {
                let wide = remainder << 64 | u128::from(*word);
                *word = (wide / u128::from(CHUNK)) as u64;
                remainder = wide % u128::from(CHUNK);
            }
            self.trim();
            chunks.push(remainder);
        }
        let mut chunks = chunks.into_iter().rev();
        write!(text, "{}", chunks.next().unwrap_or(0)).expect("a string takes everything");
        for chunk in chunks {
            write!(text, "{chunk:019}").expect("a string takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(left: &str, right: &str) -> Option<String> {
        let sum = LongDouble::parse(left.as_bytes())? + LongDouble::parse(right.as_bytes())?;
        Some(sum.format_human())
    }

    // Expected values: SET and INCRBYFLOAT of redis-server 7.0.15.
    #[test]
    fn sums_are_those_of_redis() {
        for (left, right, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("3.0e3", "5.0e3", "8000"),
            ("-0", "-0", "0"),
            ("0", "-1e-30", "0"),
            ("0", "6e-18", "0.00000000000000001"),
            ("0", "-6e-18", "-0.00000000000000001"),
            ("0", "5e-18", "0"),
            ("0", "0x1p-57", "0.00000000000000001"),
            ("1.5", "-1.5", "0"),
            ("-1", "0.999999999999999999999", "0"),
            ("0", "0x1.ffffffffffffffp0", "1.99999999999999999"),
            ("0", "1.000000000000000005", "1"),
            ("0", "0x10", "16"),
            ("0", ".5", "0.5"),
            ("0", "5.", "5"),
            ("0", "1e-400", "0"),
            ("0", "1e-4950", "0"),
            ("0", "0x1.8p-16446", "0"),
            ("0", "0e99999999999", "0"),
            ("0", "0x0p99999999999", "0"),
            ("-0x1.4e12cd2f2a50765b54b5fp62", "0", "-6018132140176448919"),
            (
                "-0x4139cd2f2a50765b54b5fp-20",
                "5542336846907684180",
                "842323558312787704.5",
            ),
            (
                "201765e-1922",
                "0xfedfdeb62732974dbd75p25",
                "40386475355078049032195924819968",
            ),
        ] {
            assert_eq!(
                sum(left, right).as_deref(),
                Some(expected),
                "{left} {right}"
            );
        }
    }

    #[test]
    fn the_largest_number_and_what_lies_beyond() {
        let largest = sum("0", "1.18973149535723176502e+4932").expect("finite");
        assert!(largest.starts_with("11897314953572317650212638530309702051"));
        assert_eq!(largest.len(), 4933);
        assert_eq!(LongDouble::parse(b"1.18973149535723176508e+4932"), None);
        let twice = LongDouble::parse(largest.as_bytes()).expect("finite");
        assert!((twice + twice).is_infinite());
        let infinity = LongDouble::parse(b"-Infinity").expect("a number");
        assert!(infinity.is_infinite() && (infinity + LongDouble::from(1)).is_infinite());
        assert!((infinity + LongDouble::parse(b"inf").expect("a number")).is_nan());
    }

    #[test]
    fn what_redis_refuses_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "0x",
            "0x1p",
            "nan",
            "-nan",
            "infinit",
            ".",
            "1e",
            "1e+",
            "e5",
            "--1",
            "+-1",
            "1_0",
            "1\0",
            "1e4933",
            "1.2e4932",
            "1e-4951",
            "0x1p16384",
            "0x1p-16446",
            "0x1p-16447",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0x1p99999999999999999999",
            "1.2.3",
            "1e1.5",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        let long = |len: usize| format!("{:0>len$}", 1);
        assert_eq!(sum("0", &long(5119)).as_deref(), Some("1"));
        assert_eq!(sum("0", &long(5120)), None);
    }

    proptest! {
        #[test]
        fn integers_add_exactly_in_64_bits(left: i32, right: i64) {
            prop_assume!(right.checked_add(i64::from(left)).is_some());
            let sum = LongDouble::from(i64::from(left)) + LongDouble::from(right);
            prop_assert_eq!(sum.format_human(), (i64::from(left) + right).to_string());
            prop_assert_eq!(LongDouble::parse(right.to_string().as_bytes()), Some(LongDouble::from(right)));
        }

        #[test]
        fn doubles_are_held_exactly(bits: u64, exponent in 900_u64..1150) {
            let value = f64::from_bits(bits & !(0x7ff << 52) | exponent << 52);
            let parsed = LongDouble::parse(format!("{value:e}").as_bytes()).expect("a number");
            let printed: f64 = parsed.format_human().parse().expect("a number");
            prop_assert!((printed - value).abs() <= 5e-18 + value.abs() * f64::EPSILON);
        }

        #[test]
        fn short_and_long_division_agree(digits in 1_u64..10_u64.pow(18), places in 0_i64..28) {
            let text = digits.to_string();
            let decimal = Decimal::parse(format!("{text}e-{places}").as_bytes()).expect("a number");
            let power = decimal.exponent - decimal.digits.len() as i64;
            prop_assume!((-27..0).contains(&power));
            let mut denominator = BigInteger::from(1);
            denominator.multiply_by_power_of_five(power.unsigned_abs());
            let long = divide(BigInteger::from_decimal(&decimal.digits), denominator, power);
            prop_assert_eq!(decimal.to_magnitude(), long);
        }

        #[test]
        fn addition_commutes_and_keeps_zero(left in "-?[0-9]{1,22}(\\.[0-9]{1,22})?(e-?[0-9]{1,3})?", right in "-?[0-9]{1,30}") {
            let left = LongDouble::parse(left.as_bytes()).expect("a number");
            let right = LongDouble::parse(right.as_bytes()).expect("a number");
            prop_assert_eq!(left + right, right + left);
            prop_assert_eq!((left + LongDouble::from(0)).format_human(), left.format_human());
        }

        #[test]
        fn hostile_texts_never_panic(text in "[-+0-9a-fxXpPeE.]{0,60}") {
            if let Some(number) = LongDouble::parse(text.as_bytes()) {
                let _ = (number + number).format_human();
            }
        }
    }
}
