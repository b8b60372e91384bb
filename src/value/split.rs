//! A line split into arguments with quotes and escapes, as inline commands and the configuration file have them.
//! Knows neither: it sees one line, without its line break.

use super::number::is_c_space;

/// Splits a line into arguments: separated by white space; `"…"` with the escapes `\xHH \n \r \t \b \a \" \\`; `'…'` with
/// the escape `\'`. A zero byte ends the line. `None` where a quote is not closed, or is closed in the middle of a word.
#[must_use]
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let end = line.iter().position(|byte| *byte == 0);
    let mut rest = &line[..end.unwrap_or(line.len())];
    let mut args = Vec::new();
    loop {
        while let [byte, tail @ ..] = rest
            && is_c_space(*byte)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(args);
        }
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?;
        args.push(word);
    }
}

/// Reads one word, whose quotes may begin anywhere; what follows it.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some(rest),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                rest = if *quote == b'"' {
                    read_double_quoted(tail, word)?
                } else {
                    read_single_quoted(tail, word)?
                };
                return rest
                    .first()
                    .is_none_or(|byte| is_c_space(*byte))
                    .then_some(rest);
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn read_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(unescape(*escaped));
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn read_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte.to_ascii_lowercase() - b'a' + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let args = split_args(line.as_bytes())?;
        Some(
            args.iter()
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect(),
        )
    }

    fn words(expected: &[&str]) -> Option<Vec<String>> {
        Some(expected.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn words_quotes_and_escapes() {
        assert_eq!(split(""), words(&[]));
        assert_eq!(split("  \t\u{b} "), words(&[]));
        assert_eq!(split("set  k v\r\n"), words(&["set", "k", "v"]));
        assert_eq!(split(r#"save """#), words(&["save", ""]));
        assert_eq!(
            split(r#""a\x41\n\"\q" 'b\'c\n'"#),
            words(&["aA\n\"q", "b'c\\n"])
        );
        assert_eq!(split(r#"ab"cd" e"#), words(&["abcd", "e"]));
        assert_eq!(split(r#""\xg1""#), words(&["xg1"]));
        assert_eq!(split("a\0b"), words(&["a"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [
            r#"""#, "'", r#""a"b"#, "'a'b", r#"a ""#, r#""a\""#, r#""""""#,
        ] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoted_bytes_come_back(args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..6)) {
            let mut line = Vec::new();
            for arg in &args {
                line.push(b'"');
                for byte in arg {
                    line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                }
                line.extend_from_slice(b"\" ");
            }
            prop_assert_eq!(split_args(&line), Some(args));
        }

        #[test]
        fn hostile_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = split_args(&line);
        }
    }
}
