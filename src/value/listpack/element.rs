//! What a listpack hands out: an element as it is stored, and a value prepared to be looked for.
//! Knows no bytes of the format.

use crate::value::number::parse_i64;

/// An element of a compact form, borrowed from it: a string, or an integer that stands for its decimal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// An integer; as a string it is its canonical decimal form.
    Int(i64),
}

impl<'a> Element<'a> {
    /// The element as a string; `buffer` holds the digits of an integer.
    pub fn to_bytes<'b>(&self, buffer: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Bytes(bytes) => bytes,
            Self::Int(integer) => buffer.format(integer).as_bytes(),
        }
    }

    /// Calls `use_bytes` with the element as a string.
    pub fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(self.to_bytes(&mut itoa::Buffer::new()))
    }

    /// The element as a string of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Whether the element, as a string, is `bytes`. To compare many elements with one value, make a [`Needle`].
    pub fn equals(&self, bytes: &[u8]) -> bool {
        match *self {
            Self::Bytes(own) => own == bytes,
            Self::Int(integer) => parse_i64(bytes) == Some(integer),
        }
    }

    /// Bytes of the element as a string.
    pub fn len(&self) -> usize {
        match *self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Int(integer) => {
                usize::from(integer < 0)
                    + integer
                        .unsigned_abs()
                        .checked_ilog10()
                        .map_or(1, |log| log as usize + 1)
            }
        }
    }

    /// Whether the element is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A value to compare elements with, parsed once.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    integer: Option<i64>,
}

impl<'a> Needle<'a> {
    /// Prepares `bytes` for comparison.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            integer: parse_i64(bytes),
        }
    }

    /// Whether `element`, as a string, is this value.
    #[inline]
    pub fn matches(&self, element: Element<'_>) -> bool {
        match element {
            Element::Bytes(bytes) => bytes == self.bytes,
            Element::Int(integer) => self.integer == Some(integer),
        }
    }
}
