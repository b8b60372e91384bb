//! The bytes of a log file: batches, their checksum lines, and where a RESP command ends. Knows no files.
//!
//! ```text
//! offset 0     #CRC:<crc>:0:0\r\n                            a mark: an empty batch, before the first batch of ours
//!              *3\r\n$3\r\nSET\r\n...                        batch: whole RESP commands, one write
//!              #CRC:<crc>:<len>:<synced>\r\n                 its checksum line, in that same write
//!              *2\r\n$3\r\nDEL\r\n...
//!              #CRC:<crc>:<len>:<synced>\r\n
//!              #CRC:<crc>:0:<offset of this line>\r\n        a mark: a file that is complete, and a log that was
//!                                                           closed, ends so
//!
//! crc          8 lowercase hexadecimal digits: CRC-32 (IEEE) of the batch followed by the text "<len>:<synced>",
//!              so that no bit of the line is without a check
//! len          decimal length of the batch, which ends where the line begins
//! synced       decimal offset in this file that was on disk when the batch was written; never beyond its beginning
//! ```
//!
//! A file begins empty; its first mark is on disk before the first batch is written, and a timestamp line that the batch
//! begins with goes before the mark, which covers it. A file of Redis's own is continued the same way: first a mark.
//!
//! Redis skips lines that begin with `#`. A power loss may tear everything from `synced` on, and nothing before it.
//!
//! When a real Redis continues a file of ours, its first command is a SELECT in capitals. A batch of ours never begins
//! so: [`push_batch_mark`] puts a comment line before it. That is how a tail of Redis's is told from a torn batch.

use crc32fast::Hasher;

/// What every checksum line begins with.
pub(crate) const ANNOTATION_PREFIX: &[u8] = b"#CRC:";
/// Longest checksum line: prefix, 8 digits, two numbers of 20 digits, two colons, CR LF.
pub(crate) const MAX_ANNOTATION_BYTES: usize = 5 + 8 + 1 + 20 + 1 + 20 + 2;
/// How Redis begins when it continues a file (after a timestamp line, perhaps).
pub(crate) const FOREIGN_START: &[u8] = b"*2\r\n$6\r\nSELECT\r\n";
/// Redis's timestamp lines, `aof-timestamp-enabled yes`.
pub(crate) const TIMESTAMP_PREFIX: &[u8] = b"#TS:";
/// Redis's limit to the arguments of one command.
pub(crate) const MAX_ARGUMENTS: u64 = 1024 * 1024;

const BATCH_MARK: &[u8] = b"#BATCH\r\n";

/// A checksum line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) crc: u32,
    pub(crate) len: u64,
    pub(crate) synced: u64,
}

impl Annotation {
    /// The line for a batch whose bytes went into `hasher`.
    pub(crate) fn seal(hasher: Hasher, len: u64, synced: u64) -> Self {
        Self {
            crc: finish(hasher, len, synced),
            len,
            synced,
        }
    }

    /// Whether the batch whose bytes went into `hasher` is the one that this line stands for.
    pub(crate) fn matches(&self, hasher: Hasher) -> bool {
        finish(hasher, self.len, self.synced) == self.crc
    }

    /// Appends the line.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("#CRC:{:08x}:{}:{}\r\n", self.crc, self.len, self.synced).as_bytes(),
        );
    }

    /// Reads a whole line with its CR LF. Exactly one spelling is accepted for each line.
    pub(crate) fn decode(line: &[u8]) -> Option<Self> {
        let line = line
            .strip_prefix(ANNOTATION_PREFIX)?
            .strip_suffix(b"\r\n")?;
        let (digits, rest) = line.split_at_checked(8)?;
        let mut crc = 0_u32;
        for &digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            crc = crc << 4 | u32::from(value);
        }
        let mut numbers = rest.strip_prefix(b":")?.split(|&byte| byte == b':');
        let (len, synced) = (decimal(numbers.next()?)?, decimal(numbers.next()?)?);
        numbers
            .next()
            .is_none()
            .then_some(Self { crc, len, synced })
    }
}

fn finish(mut hasher: Hasher, len: u64, synced: u64) -> u32 {
    hasher.update(format!("{len}:{synced}").as_bytes());
    hasher.finalize()
}

/// What goes before the first batch of ours in a file of `len` bytes, all of them on disk: a mark. In an empty file a
/// timestamp line that the batch begins with comes first, and is taken from it.
pub(crate) fn first_lines(payload: &mut Vec<u8>, len: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    if len == 0
        && payload.starts_with(TIMESTAMP_PREFIX)
        && let Some(feed) = payload.iter().position(|&byte| byte == b'\n')
    {
        lines.extend(payload.drain(..=feed));
    }
    let mut hasher = Hasher::new();
    hasher.update(&lines);
    Annotation::seal(hasher, lines.len() as u64, len).encode(&mut lines);
    lines
}

/// A mark for a file of which the first `synced` bytes are on disk.
pub(crate) fn mark(synced: u64) -> Vec<u8> {
    let mut line = Vec::new();
    Annotation::seal(Hasher::new(), 0, synced).encode(&mut line);
    line
}

/// Turns a payload into a batch with its checksum line, in place. Returns the length of the batch without the line.
pub(crate) fn seal_batch(payload: &mut Vec<u8>, synced: u64) -> usize {
    push_batch_mark(payload);
    let len = payload.len();
    let mut hasher = Hasher::new();
    hasher.update(payload);
    Annotation::seal(hasher, len as u64, synced).encode(payload);
    len
}

/// Puts a comment line before a payload that would look like Redis's own beginning.
fn push_batch_mark(payload: &mut Vec<u8>) {
    if payload.starts_with(FOREIGN_START) || payload.starts_with(TIMESTAMP_PREFIX) {
        payload.splice(..0, BATCH_MARK.iter().copied());
    }
}

/// A decimal number as Redis writes it: no sign, no leading zero, at most 20 digits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit <= 9).then(|| value.checked_mul(10)?.checked_add(u64::from(digit)))?
    })
}

/// A step of reading RESP from bytes that may end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed<T> {
    /// It is there.
    Done(T),
    /// The bytes end before it does; at least this many are needed in all.
    More(usize),
    /// It is no RESP command.
    Invalid,
}

/// Reads `<sign><number>\r\n`; answers the number and the length of the line.
pub(crate) fn parse_header(bytes: &[u8], sign: u8) -> Parsed<(u64, usize)> {
    // Sign, 20 digits, CR LF.
    const LONGEST: usize = 23;
    match bytes.first() {
        None => return Parsed::More(1),
        Some(&first) if first != sign => return Parsed::Invalid,
        Some(_) => {}
    }
    // Nearly every number has one digit or two.
    match *bytes {
        [_, ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Parsed::Done((u64::from(ones - b'0'), 4));
        }
        [_, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            let number = u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
            return Parsed::Done((number, 5));
        }
        _ => {}
    }
    let window = &bytes[..bytes.len().min(LONGEST)];
    match window.iter().position(|&byte| byte == b'\n') {
        Some(end) if window[end - 1] == b'\r' && end >= 2 => match decimal(&window[1..end - 1]) {
            Some(number) => Parsed::Done((number, end + 1)),
            None => Parsed::Invalid,
        },
        Some(_) => Parsed::Invalid,
        None => {
            // Zeros and garbage are no unfinished number, however short they are.
            let digits = window[1..].strip_suffix(b"\r").unwrap_or(&window[1..]);
            let plausible = digits.is_empty() || decimal(digits).is_some();
            if plausible && window.len() < LONGEST {
                Parsed::More(bytes.len() + 1)
            } else {
                Parsed::Invalid
            }
        }
    }
}

/// Reads one whole command; `arguments` receives the place of each in `bytes`. Answers the command's length.
pub(crate) fn parse_command(bytes: &[u8], arguments: &mut Vec<(usize, usize)>) -> Parsed<usize> {
    arguments.clear();
    let (count, mut at) = match parse_header(bytes, b'*') {
        Parsed::Done(header) => header,
        Parsed::More(needed) => return Parsed::More(needed),
        Parsed::Invalid => return Parsed::Invalid,
    };
    if count == 0 || count > MAX_ARGUMENTS {
        return Parsed::Invalid;
    }
    for _ in 0..count {
        let (len, header) = match parse_header(&bytes[at..], b'$') {
            Parsed::Done(header) => header,
            Parsed::More(needed) => return Parsed::More(at.saturating_add(needed)),
            Parsed::Invalid => return Parsed::Invalid,
        };
        let Ok(len) = usize::try_from(len) else {
            return Parsed::Invalid;
        };
        let begin = at + header;
        let Some(end) = begin.checked_add(len) else {
            return Parsed::Invalid;
        };
        let Some(next) = end.checked_add(2) else {
            return Parsed::Invalid;
        };
        match bytes.get(end..next) {
            None => return Parsed::More(next),
            Some(b"\r\n") => {}
            Some(_) => return Parsed::Invalid,
        }
        arguments.push((begin, end));
        at = next;
    }
    Parsed::Done(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_begins_with_a_mark_or_with_a_timestamp_that_it_covers() {
        let mut payload = b"*1\r\n$4\r\nPING\r\n".to_vec();
        let line = first_lines(&mut payload, 0);
        assert_eq!(line, mark(0));
        let decoded = Annotation::decode(&line).expect("our own line");
        assert_eq!((decoded.len, decoded.synced), (0, 0));
        assert!(decoded.matches(Hasher::new()));
        let mut dated = [b"#TS:17\r\n", payload.as_slice()].concat();
        assert_eq!(first_lines(&mut dated.clone(), 9), mark(9));
        let lines = first_lines(&mut dated, 0);
        assert_eq!(dated, payload);
        let annotation = Annotation::decode(&lines[8..]).expect("our own line");
        let mut hasher = Hasher::new();
        hasher.update(b"#TS:17\r\n");
        assert!(annotation.matches(hasher) && annotation.len == 8);
    }

    #[test]
    fn every_flipped_bit_of_a_line_is_seen() {
        let mut sealed = b"*1\r\n$4\r\nPING\r\n".to_vec();
        let len = seal_batch(&mut sealed, 10);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut hasher = Hasher::new();
            hasher.update(&flipped[..len]);
            let fine = Annotation::decode(&flipped[len..]).is_some_and(|line| line.matches(hasher));
            assert!(!fine, "bit {bit}");
        }
    }

    #[test]
    fn a_batch_of_ours_never_begins_as_redis_does() {
        let mut batch = b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n".to_vec();
        seal_batch(&mut batch, 0);
        assert!(batch.starts_with(BATCH_MARK));
    }

    #[test]
    fn commands_end_where_they_end() {
        let mut arguments = Vec::new();
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*";
        assert_eq!(parse_command(bytes, &mut arguments), Parsed::Done(20));
        assert_eq!(arguments, [(8, 11), (17, 18)]);
        for cut in 0..20 {
            assert!(
                matches!(parse_command(&bytes[..cut], &mut arguments), Parsed::More(more) if more > cut),
                "{cut}"
            );
        }
        for bad in [
            "+OK\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*1\r\n$3\r\nGETxx",
            "*1\n$1\r\na\r\n",
            "*1\r\n*1\r\n",
            "*99999999\r\n",
        ] {
            assert_eq!(
                parse_command(bad.as_bytes(), &mut arguments),
                Parsed::Invalid,
                "{bad:?}"
            );
        }
        assert_eq!(parse_command(b"*1\0\0\0", &mut arguments), Parsed::Invalid);
    }

    proptest! {
        #[test]
        fn any_line_reads_back(crc: u32, len: u64, synced: u64) {
            let mut line = Vec::new();
            let annotation = Annotation { crc, len, synced };
            annotation.encode(&mut line);
            prop_assert!(line.len() <= MAX_ANNOTATION_BYTES);
            prop_assert_eq!(Annotation::decode(&line), Some(annotation));
        }

        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut arguments = Vec::new();
            let _ = parse_command(&bytes, &mut arguments);
            let _ = Annotation::decode(&bytes);
        }
    }
}
