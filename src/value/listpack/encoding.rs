//! The bytes of one listpack entry: encoding, payload, and the back length that lets a reader walk backwards.
//! Knows no header, no count and no neighbours.

use super::Element;
use crate::value::number::parse_i64;

/// The byte that ends a listpack where the next entry would begin.
pub(super) const TERMINATOR: u8 = 0xff;

const STRING_6: u8 = 0x80;
const INTEGER_13: u8 = 0xc0;
const STRING_12: u8 = 0xe0;
const STRING_32: u8 = 0xf0;
const INTEGER_16: u8 = 0xf1;
const INTEGER_24: u8 = 0xf2;
const INTEGER_32: u8 = 0xf3;
const INTEGER_64: u8 = 0xf4;

/// A few bytes on the stack: what stands before or behind the payload of an entry.
#[derive(Clone, Copy)]
pub(super) struct Short {
    bytes: [u8; 9],
    len: usize,
}

impl Short {
    fn new(parts: &[u8]) -> Self {
        let mut bytes = [0; 9];
        bytes[..parts.len()].copy_from_slice(parts);
        Self {
            bytes,
            len: parts.len(),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An element in its encoded form: `head`, `payload` and `back` follow each other in the listpack.
#[derive(Clone, Copy)]
pub(super) struct Encoded<'a> {
    pub(super) head: Short,
    pub(super) payload: &'a [u8],
    pub(super) back: Short,
}

impl<'a> Encoded<'a> {
    /// Integers in their canonical decimal form become integers, all else stays a string.
    pub(super) fn new(value: &'a [u8]) -> Self {
        match parse_i64(value) {
            Some(integer) => Self::integer(integer),
            None => Self::string(value),
        }
    }

    pub(super) fn integer(integer: i64) -> Self {
        let head = integer_head(integer);
        Self {
            head,
            payload: &[],
            back: back_length(head.len),
        }
    }

    fn string(value: &'a [u8]) -> Self {
        let len = value.len();
        let head = match len {
            0..64 => Short::new(&[STRING_6 | len as u8]),
            64..4096 => Short::new(&[STRING_12 | (len >> 8) as u8, len as u8]),
            _ => {
                let len = u32::try_from(len)
                    .expect("an element is shorter than a listpack may be")
                    .to_le_bytes();
                Short::new(&[STRING_32, len[0], len[1], len[2], len[3]])
            }
        };
        Self {
            head,
            payload: value,
            back: back_length(head.len + len),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.head.len + self.payload.len() + self.back.len
    }
}

fn integer_head(integer: i64) -> Short {
    let bytes = integer.to_le_bytes();
    match integer {
        0..=0x7f => Short::new(&[bytes[0]]),
        -0x1000..=0xfff => Short::new(&[INTEGER_13 | (bytes[1] & 0x1f), bytes[0]]),
        -0x8000..=0x7fff => Short::new(&[INTEGER_16, bytes[0], bytes[1]]),
        -0x80_0000..=0x7f_ffff => Short::new(&[INTEGER_24, bytes[0], bytes[1], bytes[2]]),
        -0x8000_0000..=0x7fff_ffff => {
            Short::new(&[INTEGER_32, bytes[0], bytes[1], bytes[2], bytes[3]])
        }
        _ => {
            let mut head = Short {
                bytes: [INTEGER_64; 9],
                len: 9,
            };
            head.bytes[1..].copy_from_slice(&bytes);
            head
        }
    }
}

/// Bytes of the back length of an entry whose encoding and payload take `len` bytes. The bounds are one below the
/// powers of two from the second on: that is how the format is written in the field.
pub(super) fn back_length_size(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The length in groups of seven bits, the highest first; all bytes but the first carry the continuation bit, because
/// the reader comes from the right.
pub(super) fn back_length(len: usize) -> Short {
    let size = back_length_size(len);
    let mut back = Short {
        bytes: [0; 9],
        len: size,
    };
    let mut rest = len;
    for byte in back.bytes[..size].iter_mut().rev() {
        *byte = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    back.bytes[0] &= 0x7f;
    back
}

/// Reads the back length that ends where `bytes` ends: the length it tells, and how many bytes it takes itself.
pub(super) fn read_back_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0_usize;
    for (index, &byte) in bytes.iter().rev().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index as u32);
        if byte & 0x80 == 0 {
            return Some((len, index + 1));
        }
    }
    None
}

/// The element at the start of `bytes`, and how many bytes its encoding and payload take (the back length not
/// counted). `None` at the terminator, and where the bytes are no entry.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&lead, rest) = bytes.split_first()?;
    match lead {
        0..STRING_6 => Some((Element::Int(i64::from(lead)), 1)),
        STRING_6..INTEGER_13 => {
            let len = usize::from(lead & 0x3f);
            Some((Element::Bytes(rest.get(..len)?), 1 + len))
        }
        INTEGER_13..STRING_12 => {
            let unsigned = i64::from(lead & 0x1f) << 8 | i64::from(*rest.first()?);
            let integer = if unsigned < 0x1000 {
                unsigned
            } else {
                unsigned - 0x2000
            };
            Some((Element::Int(integer), 2))
        }
        STRING_12..STRING_32 => {
            let (&low, payload) = rest.split_first()?;
            let len = usize::from(lead & 0x0f) << 8 | usize::from(low);
            Some((Element::Bytes(payload.get(..len)?), 2 + len))
        }
        _ => decode_wide(lead, rest),
    }
}

fn decode_wide(lead: u8, rest: &[u8]) -> Option<(Element<'_>, usize)> {
    let (integer, len) = match lead {
        STRING_32 => {
            let (len, payload) = rest.split_first_chunk::<4>()?;
            let len = u32::from_le_bytes(*len) as usize;
            return Some((Element::Bytes(payload.get(..len)?), 5 + len));
        }
        INTEGER_16 => (i64::from(i16::from_le_bytes(*rest.first_chunk()?)), 3),
        INTEGER_24 => {
            let [a, b, c] = *rest.first_chunk()?;
            (i64::from(i32::from_le_bytes([0, a, b, c]) >> 8), 4)
        }
        INTEGER_32 => (i64::from(i32::from_le_bytes(*rest.first_chunk()?)), 5),
        INTEGER_64 => (i64::from_le_bytes(*rest.first_chunk()?), 9),
        _ => return None,
    };
    Some((Element::Int(integer), len))
}
