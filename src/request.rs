//! The request parser: RESP arrays of bulk strings, and inline commands, out of what a connection has read. Knows no
//! socket and no command; it copies no argument, except of inline commands.

use std::fmt;
use std::ops::Range;

use crate::value::number::parse_i64;
use crate::value::split::split_args;

/// The longest inline command, and the longest line with a length, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// The most arguments of one command.
const MAX_ARGS: i64 = i32::MAX as i64;
/// The most arguments before the client has authenticated.
const MAX_ARGS_UNAUTHENTICATED: i64 = 10;
/// The longest argument before the client has authenticated, in bytes.
const MAX_BULK_UNAUTHENTICATED: i64 = 16 * 1024;
/// The longest argument unless configured otherwise (`proto-max-bulk-len`), in bytes.
const DEFAULT_MAX_BULK: usize = 512 * 1024 * 1024;

/// What the bytes so far amount to. Lengths count from the start of the slice that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A command; the ranges of its arguments were appended to the list.
    Complete {
        /// How many bytes it took.
        consumed: usize,
    },
    /// An inline command. Its arguments were unquoted, so they are no ranges of the input.
    Inline {
        /// How many bytes it took.
        consumed: usize,
        /// At least one.
        args: Vec<Vec<u8>>,
    },
    /// An empty array or a blank line: nothing to execute and nothing to answer.
    Empty {
        /// How many bytes it took.
        consumed: usize,
    },
    /// The command is not complete yet.
    Incomplete {
        /// No progress is possible before the slice has this length. The figure comes from the client: it is a hint for
        /// reading, not for allocating.
        need_at_least: usize,
    },
}

/// A request that is no RESP. The connection is answered with [`line`](Self::line) and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline command without an end in 64 KiB.
    TooBigInline,
    /// A quote that is not closed, or is closed in the middle of a word.
    UnbalancedQuotes,
    /// The line with the number of arguments has no end in 64 KiB.
    TooBigMultibulkCount,
    /// The number of arguments is no integer, or is too large.
    InvalidMultibulkLength,
    /// More than 10 arguments before authentication.
    UnauthenticatedMultibulkLength,
    /// A line with an argument's length has no end in 64 KiB.
    TooBigBulkCount,
    /// An argument that does not begin with `$`, but with this byte.
    ExpectedDollar(u8),
    /// An argument's length is no integer, is negative, or is over the limit.
    InvalidBulkLength,
    /// An argument of more than 16 KiB before authentication.
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// The error reply, with its line break. A byte that the client sent comes back as it was, so this need not be
    /// UTF-8.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = b"-ERR Protocol error: ".to_vec();
        match self {
            Self::ExpectedDollar(byte) => {
                line.extend_from_slice(b"expected '$', got '");
                line.push(if matches!(byte, b'\r' | b'\n') {
                    b' '
                } else {
                    *byte
                });
                line.push(b'\'');
            }
            other => line.extend_from_slice(other.to_string().as_bytes()),
        }
        line.extend_from_slice(b"\r\n");
        line
    }
}

/// Redis's text after `Protocol error: `.
impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::ExpectedDollar(byte) => {
                return write!(formatter, "expected '$', got '{}'", char::from(*byte));
            }
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// An incremental parser. What it learned of an unfinished command it keeps, so that a command in many fragments is
/// scanned once.
#[derive(Debug)]
pub struct Parser {
    max_bulk: i64,
    authenticated: bool,
    partial: Partial,
}

/// How far an unfinished command was read.
#[derive(Debug, Default)]
struct Partial {
    args: Vec<Range<usize>>,
    progress: Progress,
}

/// Arguments of so many bytes deserve a buffer of their size.
const LARGE_ARGUMENT: usize = 32 * 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Where the next argument, or its bytes, begin. 0 while not even the number of arguments is known.
    position: usize,
    /// Arguments to come, the current one included.
    remaining: usize,
    /// The length of the current argument, once its line was read.
    bulk: Option<usize>,
    /// Where to go on looking for the end of the current line.
    scanned: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a command, for a client that is authenticated.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_bulk: DEFAULT_MAX_BULK as i64,
            authenticated: true,
            partial: Partial::default(),
        }
    }

    /// Where in the input a large argument begins that is not there as a whole, if one is awaited.
    #[must_use]
    pub fn large_argument(&self) -> Option<usize> {
        let Progress { position, bulk, .. } = self.partial.progress;
        bulk.filter(|len| *len >= LARGE_ARGUMENT).map(|_| position)
    }

    /// Sets the longest argument, in bytes (`proto-max-bulk-len`).
    pub fn set_max_bulk(&mut self, bytes: usize) {
        self.max_bulk = i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Until a client that must authenticate has done so, its commands are kept small. The limit belongs to the moment
    /// at which a command would run: do not parse ahead of a command that may change it.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Whether no command is half parsed.
    #[inline]
    fn is_at_start(&self) -> bool {
        self.partial.progress.position == 0 && self.partial.progress.scanned == 0
    }

    /// Parses one command as [`Self::parse`] does, if it is a short one that is all there, as nearly every one is: hands its
    /// words to `word` and answers how many bytes it took. `None` says nothing but that the long way has to look, though
    /// some words may have been handed out.
    #[inline]
    pub fn parse_short<'a>(&self, input: &'a [u8], word: impl FnMut(&'a [u8])) -> Option<usize> {
        if !self.is_at_start() {
            return None;
        }
        short_command(input, self.authenticated, word)
    }

    /// Parses one command, which begins at the start of `input`.
    ///
    /// The ranges of its arguments, relative to that start, are appended to `args`; when it is not complete, `args` is
    /// left as it was. The next call must then get the same bytes and more. Nothing is allocated for what the client only
    /// announces.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] where Redis would close the connection; `args` is left as it was.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        args: &mut Vec<Range<usize>>,
    ) -> Result<Parsed, ProtocolError> {
        let first = args.len();
        let mut progress = Progress::default();
        if !self.is_at_start() {
            progress = self.resume(args);
        }
        let parsed = match input.first() {
            Some(b'*') => self.parse_multibulk(input, args, &mut progress),
            Some(_) => return self.parse_inline(input, progress.scanned),
            None => return Ok(Parsed::Incomplete { need_at_least: 1 }),
        };
        match parsed {
            Ok(Parsed::Incomplete { .. }) => self.suspend(args, first, progress),
            Err(_) => args.truncate(first),
            Ok(_) => {}
        }
        parsed
    }

    #[inline]
    fn parse_multibulk(
        &self,
        input: &[u8],
        args: &mut Vec<Range<usize>>,
        progress: &mut Progress,
    ) -> Result<Parsed, ProtocolError> {
        if progress.position == 0 {
            let Some((count, position)) = self.read_count(input, &mut progress.scanned)? else {
                return Ok(Parsed::Incomplete {
                    need_at_least: input.len() + 1,
                });
            };
            if count == 0 {
                return Ok(Parsed::Empty { consumed: position });
            }
            progress.remaining = count;
            progress.position = position;
        }
        let mut position = progress.position;
        while progress.remaining > 0 {
            let len = match progress.bulk.take() {
                Some(len) => len,
                None => match self.read_bulk_len(input, position, &mut progress.scanned)? {
                    Some((len, next)) => {
                        position = next;
                        len
                    }
                    None => {
                        progress.position = position;
                        return Ok(Parsed::Incomplete {
                            need_at_least: input.len() + 1,
                        });
                    }
                },
            };
            let end = position.saturating_add(len);
            // The two bytes after an argument are taken for its line break, whatever they are.
            let next = end.saturating_add(2);
            if next > input.len() {
                progress.bulk = Some(len);
                progress.position = position;
                return Ok(Parsed::Incomplete {
                    need_at_least: next,
                });
            }
            args.push(position..end);
            position = next;
            progress.remaining -= 1;
        }
        Ok(Parsed::Complete { consumed: position })
    }

    /// The number of arguments (0 for a negative one), and where its line ends.
    #[inline]
    fn read_count(
        &self,
        input: &[u8],
        scanned: &mut usize,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        let (count, next) = match quick_length(input) {
            Some((count, len)) => (count, len),
            None => match find_line(input, 0, scanned) {
                Some(line) => {
                    let count = parse_i64(&line.text[1..]);
                    let count = count.filter(|count| *count <= MAX_ARGS);
                    (
                        count.ok_or(ProtocolError::InvalidMultibulkLength)?,
                        line.next,
                    )
                }
                None if input.len() > MAX_LINE => return Err(ProtocolError::TooBigMultibulkCount),
                None => return Ok(None),
            },
        };
        if count > MAX_ARGS_UNAUTHENTICATED && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(Some((usize::try_from(count).unwrap_or(0), next)))
    }

    /// The length of the argument whose line begins at `position`, and where its bytes begin.
    #[inline]
    fn read_bulk_len(
        &self,
        input: &[u8],
        position: usize,
        scanned: &mut usize,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        let rest = input.get(position..).unwrap_or_default();
        let (len, next) = match quick_length(rest) {
            Some((len, line_len)) if rest.first() == Some(&b'$') => (len, position + line_len),
            _ => match find_line(input, position, scanned) {
                Some(line) => match line.text {
                    [b'$', digits @ ..] => (
                        parse_i64(digits).ok_or(ProtocolError::InvalidBulkLength)?,
                        line.next,
                    ),
                    // An empty line: what Redis looks at is the line break.
                    other => {
                        return Err(ProtocolError::ExpectedDollar(
                            *other.first().unwrap_or(&b'\r'),
                        ));
                    }
                },
                None if rest.len() > MAX_LINE => return Err(ProtocolError::TooBigBulkCount),
                None => return Ok(None),
            },
        };
        if len > self.max_bulk {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if len > MAX_BULK_UNAUTHENTICATED && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        let len = usize::try_from(len).map_err(|_| ProtocolError::InvalidBulkLength)?;
        Ok(Some((len, next)))
    }

    #[cold]
    fn parse_inline(&mut self, input: &[u8], scanned: usize) -> Result<Parsed, ProtocolError> {
        let Some(end) = find_byte(input, scanned, b'\n') else {
            if input.len() > MAX_LINE {
                return Err(ProtocolError::TooBigInline);
            }
            self.partial.progress.scanned = first_zero(input, scanned);
            return Ok(Parsed::Incomplete {
                need_at_least: input.len() + 1,
            });
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let args = split_args(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        let consumed = end + 1;
        Ok(if args.is_empty() {
            Parsed::Empty { consumed }
        } else {
            Parsed::Inline { consumed, args }
        })
    }

    /// Puts an unfinished command aside; without copying when it is alone in the list.
    #[cold]
    fn suspend(&mut self, args: &mut Vec<Range<usize>>, first: usize, progress: Progress) {
        self.partial.progress = progress;
        if first == 0 {
            std::mem::swap(&mut self.partial.args, args);
        } else {
            self.partial.args.extend(args.drain(first..));
        }
    }

    #[cold]
    fn resume(&mut self, args: &mut Vec<Range<usize>>) -> Progress {
        if args.is_empty() {
            std::mem::swap(&mut self.partial.args, args);
        } else {
            args.append(&mut self.partial.args);
        }
        std::mem::take(&mut self.partial.progress)
    }
}

/// A whole command of at most nine words, 99 if `many` are allowed, of at most three digits' length each: that is within
/// every other limit.
#[inline]
fn short_command<'a>(input: &'a [u8], many: bool, mut word: impl FnMut(&'a [u8])) -> Option<usize> {
    let (count, mut position) = match *input {
        [b'*', count @ b'1'..=b'9', b'\r', b'\n', ..] => (count - b'0', 4),
        [
            b'*',
            tens @ b'1'..=b'9',
            ones @ b'0'..=b'9',
            b'\r',
            b'\n',
            ..,
        ] if many => ((tens - b'0') * 10 + ones - b'0', 5),
        _ => return None,
    };
    for _ in 0..count {
        let rest = input.get(position..)?;
        let (len, head) = quick_length(rest).filter(|_| rest.first() == Some(&b'$'))?;
        let end = head + len as usize;
        // The line break behind it has to be there too.
        word(rest.get(..end + 2)?.get(head..end)?);
        position += end + 2;
    }
    Some(position)
}

/// A length of up to three digits, with the length of its line. `None` where the long way has to look: everything else.
#[inline]
fn quick_length(line: &[u8]) -> Option<(i64, usize)> {
    let digit = |byte: u8| i64::from(byte - b'0');
    match *line {
        [_, a @ b'0'..=b'9', b'\r', _, ..] => Some((digit(a), 4)),
        [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => Some((digit(a) * 10 + digit(b), 5)),
        [
            _,
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b'\r',
            _,
            ..,
        ] => Some((digit(a) * 100 + digit(b) * 10 + digit(c), 6)),
        _ => None,
    }
}

struct Line<'a> {
    /// Without the line break.
    text: &'a [u8],
    /// Where the next line begins. Redis takes whatever follows the `\r` for the `\n`.
    next: usize,
}

/// The line at `start`, if it has arrived with its line break. `scanned` remembers how far there is none.
#[cold]
fn find_line<'a>(input: &'a [u8], start: usize, scanned: &mut usize) -> Option<Line<'a>> {
    let from = start.max(*scanned);
    match find_byte(input, from, b'\r') {
        Some(end) if end + 1 < input.len() => Some(Line {
            text: &input[start..end],
            next: end + 2,
        }),
        Some(end) => {
            *scanned = end;
            None
        }
        None => {
            *scanned = first_zero(input, from);
            None
        }
    }
}

/// Where a byte is. As in Redis, which looks with `strchr`, a zero byte ends the search, and the client waits.
fn find_byte(input: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let rest = input.get(from..)?;
    let found = rest.iter().position(|byte| *byte == wanted || *byte == 0)?;
    (rest[found] == wanted).then_some(from + found)
}

/// Where the next search has to begin, after one that found nothing.
fn first_zero(input: &[u8], from: usize) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis_protocol::resp2::encode::encode;
    use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

    type Command = Vec<Vec<u8>>;

    /// What a connection saw: its commands (empty ones are left out), and the error that ended it.
    type Seen = (Vec<Command>, Option<ProtocolError>);

    fn collect(parser: &mut Parser, fragments: &[&[u8]]) -> Seen {
        let mut buffer = Vec::new();
        let mut commands = Vec::new();
        let mut args = Vec::new();
        for fragment in fragments {
            buffer.extend_from_slice(fragment);
            loop {
                args.clear();
                let consumed = match parser.parse(&buffer, &mut args) {
                    Ok(Parsed::Complete { consumed }) => {
                        commands.push(
                            args.iter()
                                .map(|range| buffer[range.clone()].to_vec())
                                .collect(),
                        );
                        consumed
                    }
                    Ok(Parsed::Inline { consumed, args }) => {
                        commands.push(args);
                        consumed
                    }
                    Ok(Parsed::Empty { consumed }) => consumed,
                    Ok(Parsed::Incomplete { need_at_least }) => {
                        assert!(need_at_least > buffer.len() && args.is_empty());
                        break;
                    }
                    Err(error) => return (commands, Some(error)),
                };
                buffer.drain(..consumed);
            }
        }
        (commands, None)
    }

    fn whole(input: &[u8]) -> Seen {
        collect(&mut Parser::new(), &[input])
    }

    fn command(words: &[&str]) -> Command {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn multibulk_and_inline_commands() {
        let (commands, error) = whole(
            b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n\r\n*0\r\n*-1\r\nPING \"a b\"\r\n\nping\tx\n*1\r\n$4\r\nPINGxx*1\rX$4\rXPING\r\n",
        );
        assert_eq!(error, None);
        let expected = [
            &["ECHO", ""][..],
            &["PING", "a b"],
            &["ping", "x"],
            &["PING"],
            &["PING"],
        ];
        assert_eq!(commands, expected.map(command));
    }

    // Expected texts: raw sockets to redis-server 7.0.15.
    #[test]
    fn what_is_no_resp_is_refused_with_redis_texts() {
        for (input, text) in [
            (&b"*2147483648\r\n"[..], "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"* 1\r\n", "invalid multibulk length"),
            (b"*+1\r\n", "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
            (b"*1\r\n\r\n", "expected '$', got ' '"),
            (b"*1\r\n:4\r\n", "expected '$', got ':'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$\r\n", "invalid bulk length"),
            (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"PING \"a\r\n", "unbalanced quotes in request"),
            (b"PING 'a'b\r\n", "unbalanced quotes in request"),
        ] {
            let error = whole(input).1.expect(text);
            let expected = format!("-ERR Protocol error: {text}\r\n");
            assert_eq!(String::from_utf8_lossy(&error.line()), expected);
        }
        assert!(ProtocolError::ExpectedDollar(0xff).line().contains(&0xff));
    }

    #[test]
    fn lines_without_an_end_are_bounded() {
        let long = |head: &[u8], byte: u8, len: usize| [head, &vec![byte; len]].concat();
        assert_eq!(whole(&long(b"", b'a', 65_536)), (vec![], None));
        assert_eq!(
            whole(&long(b"", b'a', 65_537)).1,
            Some(ProtocolError::TooBigInline)
        );
        assert_eq!(whole(&long(b"*", b'1', 65_535)), (vec![], None));
        assert_eq!(
            whole(&long(b"*", b'1', 65_536)).1,
            Some(ProtocolError::TooBigMultibulkCount)
        );
        assert_eq!(whole(&long(b"*1\r\n$", b'1', 65_535)), (vec![], None));
        assert_eq!(
            whole(&long(b"*1\r\n$", b'1', 65_536)).1,
            Some(ProtocolError::TooBigBulkCount)
        );
        assert_eq!(
            whole(&long(b"\0", b'\n', 65_536)).1,
            Some(ProtocolError::TooBigInline)
        );
    }

    #[test]
    fn announced_lengths_allocate_nothing() {
        let mut args = Vec::new();
        let mut parser = Parser::new();
        let parsed = parser.parse(b"*2147483647\r\n$536870912\r\n", &mut args);
        assert_eq!(
            parsed,
            Ok(Parsed::Incomplete {
                need_at_least: 25 + 536_870_912 + 2
            })
        );
        assert_eq!((args.capacity(), parser.partial.args.capacity()), (0, 0));
    }

    #[test]
    fn clients_that_have_not_authenticated_are_kept_small() {
        let mut parser = Parser::new();
        parser.set_authenticated(false);
        for (input, error) in [
            (&b"*10\r\n"[..], None),
            (
                b"*11\r\n",
                Some(ProtocolError::UnauthenticatedMultibulkLength),
            ),
            (b"*1\r\n$16384\r\n", None),
            (
                b"*1\r\n$16385\r\n",
                Some(ProtocolError::UnauthenticatedBulkLength),
            ),
        ] {
            parser.partial = Partial::default();
            assert_eq!(collect(&mut parser, &[input]).1, error);
        }
        let mut parser = Parser::new();
        parser.set_max_bulk(1024);
        assert_eq!(
            collect(&mut parser, &[b"*1\r\n$1025\r\n"]).1,
            Some(ProtocolError::InvalidBulkLength)
        );
    }

    #[test]
    fn an_unfinished_command_behind_others_keeps_their_arguments() {
        let mut parser = Parser::new();
        let first = b"*1\r\n$4\r\nPING\r\n";
        let second = b"*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n";
        let mut args = Vec::new();
        assert_eq!(
            parser.parse(first, &mut args),
            Ok(Parsed::Complete { consumed: 14 })
        );
        let parsed = parser.parse(&second[..16], &mut args);
        assert_eq!(parsed, Ok(Parsed::Incomplete { need_at_least: 17 }));
        assert_eq!(args, [Range { start: 8, end: 12 }]);
        assert_eq!(
            parser.parse(second, &mut args),
            Ok(Parsed::Complete { consumed: 23 })
        );
        assert_eq!(args, [8..12, 8..12, 18..21]);
    }

    fn encoded(commands: &[Command]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for command in commands {
            let frame = OwnedFrame::Array(
                command
                    .iter()
                    .cloned()
                    .map(OwnedFrame::BulkString)
                    .collect(),
            );
            let start = bytes.len();
            bytes.resize(start + frame.encode_len(false), 0);
            encode(&mut bytes[start..], &frame, false).expect("the room was measured");
        }
        bytes
    }

    fn split_at<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        let mut fragments = Vec::new();
        for cut in cuts {
            fragments.push(&bytes[from..cut]);
            from = cut;
        }
        fragments.push(&bytes[from..]);
        fragments
    }

    proptest! {
        #[test]
        fn commands_encoded_by_redis_protocol_come_back(
            commands in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1200), 1..12), 1..8),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let bytes = encoded(&commands);
            let seen = collect(&mut Parser::new(), &split_at(&bytes, &cuts));
            prop_assert_eq!(seen, (commands, None));
        }

        #[test]
        fn fragments_make_no_difference(
            input in "([*$][-0-9]{0,3}|[a-z\" '\\\\]{0,3}|\\x00)(\r|\n|\r\n)?([*$a][0-9]{1,2}\r\n|[a-z]{0,4}\r\n){0,8}",
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let fragments = split_at(input.as_bytes(), &cuts);
            prop_assert_eq!(collect(&mut Parser::new(), &fragments), whole(input.as_bytes()));
            let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            prop_assert_eq!(collect(&mut Parser::new(), &bytes), whole(input.as_bytes()));
        }
    }
}
