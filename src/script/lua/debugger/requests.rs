//! What who debugs sends: one command at a time, as an array of strings. Hostile bytes.

/// Words of a command.
const MAX_WORDS: usize = 1024;
/// Bytes of a word.
const MAX_WORD: usize = 1024;

/// Bytes are no command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoCommand;

/// The words of the command at the beginning; `None` if it has not arrived as a whole. What follows it is nobody's: the
/// next one is read when this is answered.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Vec<&[u8]>>, NoCommand> {
    let Some((count, mut rest)) = number(bytes, b'*', MAX_WORDS)? else {
        return Ok(None);
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((length, after)) = number(rest, b'$', MAX_WORD)? else {
            return Ok(None);
        };
        let Some((word, after)) = after.split_at_checked(length) else {
            return Ok(None);
        };
        rest = match (after.first(), after.get(1)) {
            (Some(b'\r'), Some(b'\n')) => after.get(2..).unwrap_or_default(),
            (None, _) | (Some(b'\r'), None) => return Ok(None),
            _ => return Err(NoCommand),
        };
        words.push(word);
    }
    Ok(Some(words))
}

/// A line of `kind` and a number from 1 to `most`, and what follows it.
fn number(bytes: &[u8], kind: u8, most: usize) -> Result<Option<(usize, &[u8])>, NoCommand> {
    match bytes.first() {
        None => return Ok(None),
        Some(first) if *first == kind => {}
        Some(_) => return Err(NoCommand),
    }
    let Some(end) = bytes.iter().take(32).position(|byte| *byte == b'\n') else {
        return if bytes.len() < 32 {
            Ok(None)
        } else {
            Err(NoCommand)
        };
    };
    let line = bytes.get(1..end).unwrap_or_default();
    let digits = line.strip_suffix(b"\r").ok_or(NoCommand)?;
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    let number = number
        .filter(|number| (1..=most).contains(number))
        .ok_or(NoCommand)?;
    Ok(Some((number, bytes.get(end + 1..).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_when_it_is_there() {
        let whole = b"*2\r\n$1\r\np\r\n$3\r\na\r\n\r\n*1\r\n";
        for cut in 0..whole.len() - 4 {
            assert_eq!(parse(&whole[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(parse(whole), Ok(Some(vec![&b"p"[..], b"a\r\n"])));
    }

    #[test]
    fn other_bytes_are_none() {
        let bytes: [&[u8]; 9] = [
            b"s\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1025\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*1\r\n$1025\r\n",
            b"*1\r\n+5\r\n",
            b"*1\r\n$3\r\nabcdefg\r\n",
            b"*11111111111111111111111111111111111",
        ];
        for bytes in bytes {
            assert_eq!(parse(bytes), Err(NoCommand), "{}", bytes.escape_ascii());
        }
    }
}
