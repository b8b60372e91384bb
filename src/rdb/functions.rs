//! What FUNCTION DUMP answers and FUNCTION RESTORE takes: the functions of a snapshot, a version and a checksum.
//!
//! ```text
//! (0xf5 | string: a library's code) … | version (u16 LE) | CRC-64 (u64 LE) of all before it
//! ```

use super::crc64;
use super::encoder::Encoder;
use super::reader::{FUNCTION, MAX_VERSION};
use super::source::Source;
use super::writer::VERSION;

const FOOTER: usize = 10;
const BAD_FOOTER: &str = "ERR DUMP payload version or checksum are wrong";
const BAD_TYPE: &str = "ERR given type is not a function";
const BAD_PAYLOAD: &str = "ERR failed loading functions payload";

/// The libraries of these codes as a payload.
pub fn encode_dump<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    codes.for_each(|code| encode(&mut out, code, true));
    out.extend_from_slice(&VERSION.to_le_bytes());
    let crc = crc64::update(0, &out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Appends one library as it stands in a snapshot.
pub(super) fn encode(out: &mut Vec<u8>, code: &[u8], compress: bool) {
    out.push(FUNCTION);
    Encoder::new(compress).string(out, code);
}

/// The codes of a payload's libraries. `unchecked` leaves the checksum alone.
///
/// # Errors
///
/// The reply that says what is wrong with it.
pub fn decode_dump(payload: &[u8], unchecked: bool) -> Result<Vec<Vec<u8>>, &'static str> {
    let end = payload.len().checked_sub(FOOTER).ok_or(BAD_FOOTER)?;
    let (mut body, footer) = payload.split_at(end);
    let (version, crc) = footer.split_at(2);
    let version = version.try_into().map_or(u16::MAX, u16::from_le_bytes);
    let crc = crc.try_into().map_or(0, u64::from_le_bytes);
    let summed = payload.get(..end + 2).unwrap_or_default();
    if u32::from(version) > MAX_VERSION || (!unchecked && crc64::update(0, summed) != crc) {
        return Err(BAD_FOOTER);
    }
    let (len, mut codes) = (body.len() as u64, Vec::new());
    // One source for all of it: it reads ahead.
    let mut source = Source::new(&mut body);
    while source.offset() < len {
        if source.byte().ok() != Some(FUNCTION) {
            return Err(BAD_TYPE);
        }
        codes.push(source.string().map_err(|_| BAD_PAYLOAD)?);
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_a_version_and_a_checksum() {
        let empty = b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda";
        assert_eq!(encode_dump(std::iter::empty()), empty);
        assert_eq!(decode_dump(empty, false), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_was_dumped_is_restored(codes: Vec<Vec<u8>>, large in 0..70_000_usize) {
            let mut codes = codes;
            codes.push(vec![b'x'; large]);
            let dump = encode_dump(codes.iter().map(Vec::as_slice));
            prop_assert_eq!(decode_dump(&dump, false), Ok(codes));
        }

        #[test]
        fn hostile_payloads_are_refused(bytes: Vec<u8>) {
            let _ = decode_dump(&bytes, true);
        }
    }
}
