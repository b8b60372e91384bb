//! Text that keeps bytes which are no UTF-8, so that an error can quote a client's words: each of them stands as a
//! character of a private area, as which nothing else is let in.

use std::borrow::Cow;

/// The first two bytes of U+10FF80 to U+10FFFF, which stand for the bytes 80 to FF.
const LEAD: [u8; 2] = [0xf4, 0x8f];
/// The character that stands for the byte 0.
const BASE: u32 = 0x10_ff00;
/// The first character that stands for a byte.
const FIRST: char = '\u{10ff80}';

/// Bytes as text. O(bytes).
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !bytes.contains(&LEAD[0])
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character < FIRST {
                text.push(character);
            } else {
                let mut buffer = [0; 4];
                push_bytes(&mut text, character.encode_utf8(&mut buffer).as_bytes());
            }
        }
        push_bytes(&mut text, chunk.invalid());
    }
    Cow::Owned(text)
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    let stand_in = |byte: &u8| char::from_u32(BASE + u32::from(*byte));
    text.extend(bytes.iter().filter_map(stand_in));
}

/// The bytes that [`text`] was made of. O(bytes).
#[must_use]
pub fn bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.as_bytes().contains(&LEAD[0]) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// The byte that a character stands for.
fn byte_of(character: char) -> Option<u8> {
    (character >= FIRST).then(|| (u32::from(character) & 0xff) as u8)
}

/// The same text for people: what is no UTF-8 becomes U+FFFD.
#[must_use]
pub fn legible(text: String) -> String {
    if text.as_bytes().contains(&LEAD[0]) {
        String::from_utf8_lossy(&bytes(&text)).into_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_survive() {
        for (all, seen) in [
            (&b"plain"[..], "plain"),
            (b"caf\xc3\xa9", "café"),
            (b"a\xffb", "a\u{fffd}b"),
            ("\u{10ffff}".as_bytes(), "\u{10ffff}"),
            ("\u{10ff7f}".as_bytes(), "\u{10ff7f}"),
        ] {
            let text = text(all);
            assert_eq!(*bytes(&text), *all);
            assert_eq!(legible(text.into_owned()), seen);
        }
        assert!(matches!(text("é".as_bytes()), Cow::Borrowed(_)));
        assert!(matches!(bytes("é"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_survive(all in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = text(&all);
            prop_assert_eq!(&*bytes(&text), &*all);
        }

        #[test]
        fn text_is_what_it_was(all in "[a-z\u{10ff70}-\u{10ffff}]*") {
            let text = text(all.as_bytes());
            prop_assert_eq!(&*bytes(&text), all.as_bytes());
        }
    }
}
