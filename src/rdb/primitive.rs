//! What RDB items are made of: lengths, strings in their four forms, and doubles in their two.
//! Knows no types of values.
//!
//! ```text
//! 00nnnnnn | 01nnnnnn n8 | 0x80 n32 (BE) | 0x81 n64 (BE)    a length
//! 0xc0 i8 | 0xc1 i16 | 0xc2 i32 (LE)                        a string that is an integer
//! 0xc3 compressed length, length, LZF                       a compressed string
//! ```

use std::io::Read;

use super::source::Source;
use super::{Problem, lzf};
use crate::value::number::parse_f64;

/// The longest that bytes may be which become part of a hash, a set or a sorted set, or one of their compact forms:
/// Redis's own limits are 512 MiB for a string and 1 GiB for a listpack. Such parts have lengths of 32 bits, and a
/// field with its value must fit one.
pub(super) const MAX_PART_LEN: usize = 768 << 20;

/// The string that the bytes of a value are, where it stands there as it is.
pub(super) fn whole_string(bytes: &[u8]) -> Option<&[u8]> {
    let mut nothing = std::io::empty();
    let mut source = Source::of(bytes, 0, &mut nothing);
    let Ok(Length::Plain(length)) = source.any_length() else {
        return None;
    };
    let text = bytes.get(usize::try_from(source.offset()).ok()?..)?;
    (text.len() as u64 == length).then_some(text)
}

fn unknown_encoding(encoding: u8) -> Problem {
    Problem::malformed(format_args!("unknown encoding {encoding} of a string"))
}

enum Length {
    Plain(u64),
    Encoded(u8),
}

impl<R: Read> Source<'_, R> {
    fn any_length(&mut self) -> Result<Length, Problem> {
        self.set_mark();
        let lead = self.byte()?;
        Ok(match lead {
            0..0x40 => Length::Plain(u64::from(lead)),
            0x40..0x80 => Length::Plain(u64::from(lead & 0x3f) << 8 | u64::from(self.byte()?)),
            0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            0xc0.. => Length::Encoded(lead & 0x3f),
            _ => return Err(Problem::malformed(format_args!("no length: {lead:#04x}"))),
        })
    }

    pub(super) fn length(&mut self) -> Result<u64, Problem> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(encoding) => Err(Problem::malformed(format_args!(
                "a string of encoding {encoding} where a length belongs"
            ))),
        }
    }

    /// Reads a string into `out`, in place of what is there.
    pub(super) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        out.clear();
        match self.any_length()? {
            Length::Plain(length) => self.append(length, out),
            Length::Encoded(encoding) => self.encoded_into(encoding, out),
        }
    }

    fn encoded_into(&mut self, encoding: u8, out: &mut Vec<u8>) -> Result<(), Problem> {
        let integer = match encoding {
            0 => i32::from(i8::from_le_bytes(self.array()?)),
            1 => i32::from(i16::from_le_bytes(self.array()?)),
            2 => i32::from_le_bytes(self.array()?),
            3 => {
                *out = self.compressed()?;
                return Ok(());
            }
            _ => return Err(unknown_encoding(encoding)),
        };
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
        Ok(())
    }

    pub(super) fn string(&mut self) -> Result<Vec<u8>, Problem> {
        let mut string = Vec::new();
        self.string_into(&mut string)?;
        Ok(string)
    }

    /// Passes over a string.
    pub(super) fn skip_string(&mut self) -> Result<(), Problem> {
        let len = match self.any_length()? {
            Length::Plain(length) => length,
            Length::Encoded(0) => 1,
            Length::Encoded(1) => 2,
            Length::Encoded(2) => 4,
            Length::Encoded(3) => {
                let compressed_len = self.length()?;
                self.length()?;
                compressed_len
            }
            Length::Encoded(encoding) => return Err(unknown_encoding(encoding)),
        };
        self.skip(len)
    }

    /// A string, as long as it is looked at: without a copy where it stands in the buffer as it is.
    pub(super) fn with_string<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<T, Problem> {
        let mut copy = Vec::new();
        match self.any_length()? {
            Length::Plain(length) => {
                if let Some(bytes) = self.together(length) {
                    return Ok(look(bytes));
                }
                self.append(length, &mut copy)?;
            }
            Length::Encoded(encoding) => self.encoded_into(encoding, &mut copy)?,
        }
        Ok(look(&copy))
    }

    /// A string that becomes part of a collection.
    pub(super) fn part_into(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        self.string_into(out)?;
        if out.len() > MAX_PART_LEN {
            let what = format_args!("an element of {} bytes is too long", out.len());
            return Err(Problem::malformed(what));
        }
        Ok(())
    }

    fn compressed(&mut self) -> Result<Vec<u8>, Problem> {
        let mark = self.mark();
        let compressed_len = self.length()?;
        let len = self.length()?;
        let mut compressed = Vec::new();
        self.append(compressed_len, &mut compressed)?;
        self.return_to_mark(mark);
        usize::try_from(len)
            .ok()
            .and_then(|len| lzf::expand(&compressed, len))
            .ok_or_else(|| {
                Problem::malformed(format_args!(
                    "{compressed_len} compressed bytes that do not make {len}"
                ))
            })
    }

    /// A score as sorted sets had it before Redis 4: the length of the text, or what is no number in it, and the text.
    pub(super) fn text_double(&mut self) -> Result<f64, Problem> {
        self.set_mark();
        let len = match self.byte()? {
            255 => return Ok(f64::NEG_INFINITY),
            254 => return Ok(f64::INFINITY),
            253 => return Err(Problem::malformed("a score that is not a number")),
            len => len,
        };
        let mut text = Vec::new();
        self.append(u64::from(len), &mut text)?;
        parse_f64(&text).ok_or_else(|| {
            Problem::malformed(format_args!(
                "'{}' where a score belongs",
                text.escape_ascii()
            ))
        })
    }

    pub(super) fn binary_double(&mut self) -> Result<f64, Problem> {
        self.set_mark();
        let score = f64::from_le_bytes(self.array()?);
        if score.is_nan() {
            return Err(Problem::malformed("a score that is not a number"));
        }
        Ok(score)
    }
}
