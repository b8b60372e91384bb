//! The zipmap, the compact form of hashes before Redis 2.6: checked, and rewritten as a listpack.
//!
//! ```text
//! fields (1 byte, 254: count them) | field length | field | value length | free (1 byte) | value | free bytes | … | 0xff
//! length: one byte below 254, or 0xfe and u32 LE from 254 on
//! ```

use super::Problem;
use crate::value::listpack::Listpack;

const TERMINATOR: u8 = 0xff;

/// The fields and values of a zipmap from outside. O(bytes).
pub(super) fn to_listpack(bytes: &[u8]) -> Result<Listpack, Problem> {
    let damaged =
        |what| Problem::malformed(format_args!("zipmap of {} bytes: {what}", bytes.len()));
    let (_, mut rest) = bytes
        .split_first()
        .ok_or_else(|| damaged("no header".to_owned()))?;
    let mut listpack = Listpack::new();
    while rest != [TERMINATOR] {
        let offset = bytes.len() - rest.len();
        let (field, value, behind) =
            split_pair(rest).ok_or_else(|| damaged(format!("bad pair at offset {offset}")))?;
        listpack.push_back(field);
        listpack.push_back(value);
        rest = behind;
    }
    if listpack.is_empty() {
        return Err(damaged("no pairs".to_owned()));
    }
    Ok(listpack)
}

fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = split_length(bytes)?;
    let (field, rest) = rest.split_at_checked(len)?;
    let (len, rest) = split_length(rest)?;
    let (&free, rest) = rest.split_first()?;
    let (value, rest) = rest.split_at_checked(len)?;
    Some((field, value, rest.get(usize::from(free)..)?))
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&lead, rest) = bytes.split_first()?;
    match lead {
        TERMINATOR => None,
        0xfe => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u32::from_le_bytes(*len);
            // The longer form is for what the shorter one cannot tell.
            (len >= 0xfe).then_some((len as usize, rest))
        }
        short => Some((usize::from(short), rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_read() {
        let long = [b'g'; 300];
        let bytes = [
            b"\x02\x01f\x02\x01v1-\xfe\x2c\x01\x00\x00",
            &long[..],
            b"\x00\x00\xff",
        ];
        let bytes = &bytes.concat()[..];
        let listpack = to_listpack(bytes).expect("sound");
        let elements: Vec<_> = listpack.iter().map(|element| element.to_vec()).collect();
        assert_eq!(elements, [&b"f"[..], b"v1", &long, b""]);
        to_listpack(b"\x01\xfe\x01\x00\x00\x00g\x00\x00\xff").expect_err("one byte is enough");
        to_listpack(b"\x00\xff").expect_err("empty");
        for len in 0..bytes.len() {
            to_listpack(&bytes[..len]).expect_err("cut off");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(to_listpack(&bytes));
        }
    }
}
