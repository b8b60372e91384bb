//! The ziplist, the compact form before Redis 7: checked, and rewritten as the listpack that replaced it.
//!
//! ```text
//! total bytes (u32 LE) | offset of the last entry (u32 LE) | entries (u16 LE, 65535: count them) | entry … | 0xff
//! entry: length of the entry before (one byte, or 0xfe and u32 LE) | encoding | payload
//! ```

use super::Problem;
use crate::value::listpack::Listpack;

const HEADER_LEN: usize = 10;
const TERMINATOR: u8 = 0xff;

/// The elements of a ziplist from outside. O(bytes).
pub(super) fn to_listpack(bytes: &[u8]) -> Result<Listpack, Problem> {
    let damaged =
        |what| Problem::malformed(format_args!("ziplist of {} bytes: {what}", bytes.len()));
    let (header, mut rest) = split_header(bytes).ok_or_else(|| damaged("no header".to_owned()))?;
    if header.total as usize != bytes.len() {
        return Err(damaged(format!("it claims {} bytes", header.total)));
    }
    let mut listpack = Listpack::new();
    let (mut count, mut offset, mut last, mut before) = (0, HEADER_LEN, HEADER_LEN, 0);
    while rest != [TERMINATOR] {
        let entry = split_entry(rest, before)
            .ok_or_else(|| damaged(format!("bad entry at offset {offset}")))?;
        match entry.element {
            Element::Text(text) => listpack.push_back(text),
            Element::Integer(integer) => {
                listpack.push_back(itoa::Buffer::new().format(integer).as_bytes());
            }
        }
        last = offset;
        before = rest.len() - entry.rest.len();
        offset += before;
        count += 1;
        rest = entry.rest;
    }
    if header.last as usize != last {
        return Err(damaged(format!("its last entry is not at {}", header.last)));
    }
    if header.count != u16::MAX && usize::from(header.count) != count {
        return Err(damaged(format!("it claims {} entries", header.count)));
    }
    Ok(listpack)
}

struct Header {
    total: u32,
    last: u32,
    count: u16,
}

fn split_header(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (total, rest) = bytes.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let header = Header {
        total: u32::from_le_bytes(*total),
        last: u32::from_le_bytes(*last),
        count: u16::from_le_bytes(*count),
    };
    Some((header, rest))
}

enum Element<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

struct Entry<'a> {
    element: Element<'a>,
    rest: &'a [u8],
}

/// The entry at the start of `bytes`, which must say that the one before it has `before` bytes.
fn split_entry(bytes: &[u8], before: usize) -> Option<Entry<'_>> {
    let (&short, mut rest) = bytes.split_first()?;
    let mut claimed = u32::from(short);
    if short == 0xfe {
        let (long, behind) = rest.split_first_chunk()?;
        (claimed, rest) = (u32::from_le_bytes(*long), behind);
    }
    if short == TERMINATOR || claimed as usize != before {
        return None;
    }
    let (&lead, rest) = rest.split_first()?;
    match lead {
        0..0x40 => text(rest, usize::from(lead)),
        0x40..0x80 => {
            let (&low, rest) = rest.split_first()?;
            text(rest, usize::from(lead & 0x3f) << 8 | usize::from(low))
        }
        0x80 => {
            let (len, rest) = rest.split_first_chunk()?;
            text(rest, u32::from_be_bytes(*len) as usize)
        }
        _ => integer(lead, rest),
    }
}

fn text(rest: &[u8], len: usize) -> Option<Entry<'_>> {
    let (text, rest) = rest.split_at_checked(len)?;
    Some(Entry {
        element: Element::Text(text),
        rest,
    })
}

fn integer(lead: u8, rest: &[u8]) -> Option<Entry<'_>> {
    let width = match lead {
        0xf1..=0xfd => 0,
        0xfe => 1,
        0xc0 => 2,
        0xf0 => 3,
        0xd0 => 4,
        0xe0 => 8,
        _ => return None,
    };
    let (payload, rest) = rest.split_at_checked(width)?;
    let integer = match *payload {
        [] => i64::from(lead & 0x0f) - 1,
        [a] => i64::from(i8::from_le_bytes([a])),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c] => i64::from(i32::from_le_bytes([0, a, b, c]) >> 8),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(payload.try_into().ok()?),
    };
    Some(Entry {
        element: Element::Integer(integer),
        rest,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `a`, 2, -1, 300, -70000 and 1000000, as the format wants them.
    const SAMPLE: &[u8] = &[
        37, 0, 0, 0, 31, 0, 0, 0, 6, 0, // header
        0, 1, b'a', // a
        3, 0xf3, // 2
        2, 0xfe, 0xff, // -1
        3, 0xc0, 44, 1, // 300
        4, 0xf0, 0x90, 0xee, 0xfe, // -70000
        5, 0xd0, 0x40, 0x42, 0x0f, 0, // 1000000
        0xff,
    ];

    fn sample() -> Vec<u8> {
        let mut bytes = SAMPLE.to_vec();
        let len = bytes.len() as u8;
        bytes[0] = len;
        bytes[4] = len - 7;
        bytes
    }

    #[test]
    fn elements_are_read() {
        let listpack = to_listpack(&sample()).expect("sound");
        let elements: Vec<_> = listpack.iter().map(|element| element.to_vec()).collect();
        assert_eq!(
            elements,
            [&b"a"[..], b"2", b"-1", b"300", b"-70000", b"1000000"]
        );
    }

    #[test]
    fn damage_is_refused() {
        for at in 0..HEADER_LEN {
            let mut bytes = sample();
            bytes[at] ^= 4;
            to_listpack(&bytes).expect_err("a damaged header");
        }
        for len in 0..sample().len() {
            to_listpack(&sample()[..len]).expect_err("cut off");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(at in 0_usize..34, byte in any::<u8>(), noise in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = sample();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            drop(to_listpack(&bytes));
            drop(to_listpack(&noise));
        }
    }
}
