//! Values of parameters: read from text with Redis's refusals, and printed as `CONFIG GET` and configuration files have
//! them. Knows kinds, not names.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::events::KeyspaceEvents;
use super::memory::{format_memory, parse_memory};
use super::parameter::{Kind, TextCheck};
use crate::value::number::{parse_f64, parse_i64};

/// Why a value was refused, in Redis's words.
pub type Refusal = Cow<'static, str>;

/// The value of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    /// A file mode.
    Mode(u32),
    /// Bytes.
    Memory(u64),
    /// Percent of `maxmemory`.
    Percent(u8),
    Word(&'static str),
    Words(Vec<&'static str>),
    Text(Box<[u8]>),
    Addresses(Vec<Box<[u8]>>),
    Save(Vec<SavePoint>),
    OutputBufferLimits(OutputBufferLimits),
    OomScoreAdjValues([i32; 3]),
    Percentiles(Vec<f64>),
    KeyspaceEvents(KeyspaceEvents),
    ReplicaOf(Option<(Box<[u8]>, u16)>),
}

/// Save when at least `changes` keys changed within `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: i64,
    pub changes: i64,
}

/// When a client that does not read is cut off. Bytes and seconds; 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputBufferLimit {
    pub hard: u64,
    pub soft: u64,
    pub soft_seconds: u32,
}

/// The limits of the classes of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputBufferLimits {
    pub normal: OutputBufferLimit,
    pub replica: OutputBufferLimit,
    pub pubsub: OutputBufferLimit,
}

const WRONG_NUMBER: Refusal = Cow::Borrowed("wrong number of arguments");
const MAX_BIND_ADDRESSES: usize = 16;

impl Value {
    /// Reads a value from its words. `current` is what it is laid over where a kind keeps what is not named
    /// (`client-output-buffer-limit`).
    ///
    /// # Errors
    ///
    /// The text that follows the name of the parameter in Redis's refusal.
    pub fn parse(kind: &Kind, args: &[&[u8]], current: Option<&Self>) -> Result<Self, Refusal> {
        match *kind {
            Kind::Words { words } => parse_words(words, args),
            Kind::Bind => parse_addresses(args),
            Kind::Save => parse_save(args),
            Kind::OutputBufferLimits => parse_limits(args, current),
            Kind::OomScoreAdjValues => parse_oom_values(args),
            Kind::Percentiles => parse_percentiles(args),
            Kind::ReplicaOf => parse_replicaof(args),
            _ => match args {
                [word] => Self::parse_word(kind, word),
                _ => Err(WRONG_NUMBER),
            },
        }
    }

    fn parse_word(kind: &Kind, word: &[u8]) -> Result<Self, Refusal> {
        match *kind {
            Kind::Bool if word.eq_ignore_ascii_case(b"yes") => Ok(Self::Bool(true)),
            Kind::Bool if word.eq_ignore_ascii_case(b"no") => Ok(Self::Bool(false)),
            Kind::Bool => Err("argument must be 'yes' or 'no'".into()),
            Kind::Integer { min, max, clamp } => {
                let number =
                    parse_i64(word).ok_or("argument couldn't be parsed into an integer")?;
                check_bounds(number, min, max)?;
                Ok(Self::Integer(number.clamp(clamp.0, clamp.1)))
            }
            Kind::PowerOfTwo { max } => match parse_i64(word) {
                Some(number @ 1..) if number <= max && number & (number - 1) == 0 => {
                    Ok(Self::Integer(number))
                }
                _ => Err(format!("argument must be a power of two between 1 and {max}").into()),
            },
            Kind::Octal { max } => parse_mode(word, max),
            Kind::Memory { min, max, at_least } => {
                let bytes = parse_memory(word).ok_or("argument must be a memory value")?;
                check_bounds(bytes, min, max)?;
                Ok(Self::Memory(bytes.max(at_least)))
            }
            Kind::MemoryOrPercent => parse_memory_or_percent(word),
            Kind::Choice { words, synonym } => {
                let meant = match synonym {
                    Some((other, meaning)) if word.eq_ignore_ascii_case(other.as_bytes()) => {
                        meaning.as_bytes()
                    }
                    _ => word,
                };
                find_word(words, meant)
                    .map(Self::Word)
                    .ok_or_else(|| one_of(words))
            }
            Kind::Text { check, .. } => {
                check_text(check, word)?;
                Ok(Self::Text(word.into()))
            }
            Kind::KeyspaceEvents => KeyspaceEvents::parse(word)
                .map(Self::KeyspaceEvents)
                .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            _ => Err(WRONG_NUMBER),
        }
    }

    /// The value as `CONFIG GET` prints it.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => return text.to_vec(),
            Self::Addresses(addresses) => return addresses.join(&b' '),
            Self::ReplicaOf(Some((host, port))) => {
                return [&host[..], b" ", port.to_string().as_bytes()].concat();
            }
            _ => {}
        }
        self.printed().into_bytes()
    }

    /// What [`Self::to_text`] prints for values that are no arbitrary bytes.
    fn printed(&self) -> String {
        match self {
            Self::Bool(true) => "yes".to_owned(),
            Self::Bool(false) => "no".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Mode(mode) => format!("{mode:o}"),
            Self::Memory(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
            Self::Word(word) => (*word).to_owned(),
            Self::Words(words) => words.join(" "),
            Self::Save(points) => join(points, |point| {
                format!("{} {}", point.seconds, point.changes)
            }),
            Self::OutputBufferLimits(limits) => join(&limits.classes("slave"), |(class, limit)| {
                format!(
                    "{class} {} {} {}",
                    limit.hard, limit.soft, limit.soft_seconds
                )
            }),
            Self::OomScoreAdjValues(values) => join(values, i32::to_string),
            Self::Percentiles(percentiles) => join(percentiles, |value| format_percentile(*value)),
            Self::KeyspaceEvents(events) => events.letters(),
            Self::Text(_) | Self::Addresses(_) | Self::ReplicaOf(_) => String::new(),
        }
    }

    /// What follows the name on each line of a configuration file that holds this value. `default` is the default of
    /// the parameter: a class of limits that is as usual needs no line, which the flag says.
    pub(super) fn file_lines(&self, default: &Self) -> Vec<(Vec<u8>, bool)> {
        let differs = self != default;
        let line = match self {
            Self::Memory(bytes) => format_memory(*bytes).into_bytes(),
            Self::Text(text) => quote(text),
            Self::KeyspaceEvents(events) => quote(events.letters().as_bytes()),
            Self::Addresses(addresses) if addresses.is_empty() => b"\"\"".to_vec(),
            Self::Percentiles(percentiles) if percentiles.is_empty() => {
                return vec![(b"\"\"".to_vec(), true)];
            }
            Self::Percentiles(_) => return vec![(self.to_text(), true)],
            Self::Addresses(_) if !differs => return Vec::new(),
            Self::Addresses(addresses) => {
                let words: Vec<_> = addresses
                    .iter()
                    .map(|word| quote_unless_plain(word))
                    .collect();
                words.join(&b' ')
            }
            Self::ReplicaOf(None) => return Vec::new(),
            Self::Save(points) if points.is_empty() => return vec![(b"\"\"".to_vec(), true)],
            Self::Save(points) => {
                let line = |point: &SavePoint| format!("{} {}", point.seconds, point.changes);
                return points
                    .iter()
                    .map(|point| (line(point).into_bytes(), true))
                    .collect();
            }
            Self::OutputBufferLimits(limits) => return limits.file_lines(default),
            _ => self.to_text(),
        };
        vec![(line, differs)]
    }
}

impl OutputBufferLimits {
    fn classes(&self, replica: &'static str) -> [(&'static str, OutputBufferLimit); 3] {
        [
            ("normal", self.normal),
            (replica, self.replica),
            ("pubsub", self.pubsub),
        ]
    }

    fn class_mut(&mut self, name: &[u8]) -> Option<&mut OutputBufferLimit> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }

    fn file_lines(&self, default: &Value) -> Vec<(Vec<u8>, bool)> {
        let Value::OutputBufferLimits(default) = default else {
            return Vec::new();
        };
        let usual = default.classes("replica");
        self.classes("replica")
            .iter()
            .zip(usual)
            .map(|((class, limit), (_, usual))| {
                let (hard, soft) = (format_memory(limit.hard), format_memory(limit.soft));
                let line = format!("{class} {hard} {soft} {}", limit.soft_seconds);
                (line.into_bytes(), *limit != usual)
            })
            .collect()
    }
}

fn check_bounds<T: PartialOrd + std::fmt::Display>(
    value: T,
    min: T,
    max: T,
) -> Result<(), Refusal> {
    if value < min || value > max {
        return Err(format!("argument must be between {min} and {max} inclusive").into());
    }
    Ok(())
}

fn find_word(words: &[&'static str], word: &[u8]) -> Option<&'static str> {
    words
        .iter()
        .find(|known| known.as_bytes().eq_ignore_ascii_case(word))
        .copied()
}

fn one_of(words: &[&str]) -> Refusal {
    let words = words.join(", ");
    format!("argument(s) must be one of the following: {words}").into()
}

fn parse_words(words: &'static [&'static str], args: &[&[u8]]) -> Result<Value, Refusal> {
    if args.is_empty() {
        return Err(one_of(words));
    }
    let mut given = Vec::with_capacity(args.len().min(words.len()));
    for arg in args {
        let word = find_word(words, arg).ok_or_else(|| one_of(words))?;
        if !given.contains(&word) {
            given.push(word);
        }
    }
    if given.contains(&"save") && given.contains(&"nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    let none = words.first().copied();
    let mut chosen: Vec<&'static str> = words
        .iter()
        .filter(|word| given.contains(word) && Some(**word) != none)
        .copied()
        .collect();
    if chosen.is_empty() {
        chosen.extend(none);
    }
    Ok(Value::Words(chosen))
}

fn parse_mode(word: &[u8], max: i64) -> Result<Value, Refusal> {
    const NOT_OCTAL: &str = "argument couldn't be parsed as an octal number";
    let text = std::str::from_utf8(word).map_err(|_| NOT_OCTAL)?;
    let mode = match text {
        "" => 0,
        text => i64::from_str_radix(text, 8).map_err(|_| NOT_OCTAL)?,
    };
    match u32::try_from(mode) {
        Ok(mode) if i64::from(mode) <= max => Ok(Value::Mode(mode)),
        _ => Err(format!("argument must be between 0 and {max:o} inclusive").into()),
    }
}

fn parse_memory_or_percent(word: &[u8]) -> Result<Value, Refusal> {
    const TOO_MUCH: &str = "percentage argument must be less or equal to 100";
    if let Some(percent) = word.strip_suffix(b"%") {
        return match parse_i64(percent) {
            Some(0) => Ok(Value::Memory(0)),
            Some(percent @ 1..=100) => Ok(Value::Percent(percent as u8)),
            Some(101..) => Err(TOO_MUCH.into()),
            _ => Err("argument must be a memory or percent value".into()),
        };
    }
    match parse_memory(word) {
        Some(bytes) if i64::try_from(bytes).is_err() => Err(TOO_MUCH.into()),
        Some(bytes) => Ok(Value::Memory(bytes)),
        None => Err("argument must be a memory or percent value".into()),
    }
}

fn check_text(check: TextCheck, text: &[u8]) -> Result<(), Refusal> {
    let is_path = text.contains(&b'/') || (cfg!(windows) && text.contains(&b'\\'));
    let refusal = match check {
        TextCheck::FileName if is_path => "dbfilename can't be a path, just a filename",
        TextCheck::NonEmptyFileName if text.is_empty() => "appendfilename can't be empty",
        TextCheck::NonEmptyFileName if is_path => "appendfilename can't be a path, just a filename",
        TextCheck::NonEmptyDirectoryName if text.is_empty() => "appenddirname can't be empty",
        TextCheck::NonEmptyDirectoryName if is_path => {
            "appenddirname can't be a path, just a dirname"
        }
        TextCheck::HostName if text.len() > 255 => "Hostnames must be less than 256 characters",
        TextCheck::HostName
            if !text
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) =>
        {
            "Hostnames may only contain alphanumeric characters, hyphens or dots"
        }
        TextCheck::ProcessTitle if !is_process_title(text) => {
            "template format is invalid or contains unknown variables"
        }
        _ => return Ok(()),
    };
    Err(refusal.into())
}

/// Whether all variables of the template are known, and it is not bound to come out empty.
fn is_process_title(template: &[u8]) -> bool {
    const EMPTY_AT_TIMES: [&[u8]; 3] = [b"title", b"server-mode", b"unixsocket"];
    const NEVER_EMPTY: [&[u8]; 4] = [b"listen-addr", b"port", b"tls-port", b"config-file"];
    let mut shows_something = false;
    let mut rest = template;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'{' {
            shows_something |= !first.is_ascii_whitespace();
            continue;
        }
        // Two of them stand for the brace itself.
        if let Some(after) = tail.strip_prefix(b"{") {
            shows_something = true;
            rest = after;
            continue;
        }
        let Some(end) = tail.iter().position(|byte| *byte == b'}') else {
            return false;
        };
        let (variable, after) = tail.split_at(end);
        if NEVER_EMPTY.contains(&variable) {
            shows_something = true;
        } else if !EMPTY_AT_TIMES.contains(&variable) {
            return false;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    shows_something
}

fn parse_addresses(args: &[&[u8]]) -> Result<Value, Refusal> {
    if args.len() > MAX_BIND_ADDRESSES {
        return Err("Too many bind addresses specified.".into());
    }
    let none = matches!(args, [b""]);
    let args = if none { &[] } else { args };
    let is_odd = |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\'' | b'\\');
    let is_address = |word: &&[u8]| !word.is_empty() && !word.iter().any(is_odd);
    if !args.iter().all(is_address) {
        return Err("Failed to bind to specified addresses.".into());
    }
    let addresses = args.iter().map(|address| (*address).into()).collect();
    Ok(Value::Addresses(addresses))
}

/// A decimal number as C's `strtol` reads a whole string: a sign and leading zeros are welcome, and so is nothing.
fn parse_c_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn parse_save(args: &[&[u8]]) -> Result<Value, Refusal> {
    const INVALID: &str = "Invalid save parameters";
    if matches!(args, [b""]) {
        return Ok(Value::Save(Vec::new()));
    }
    let (pairs, odd) = args.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(INVALID.into());
    }
    let point = |[seconds, changes]: &[&[u8]; 2]| {
        let (seconds, changes) = (parse_c_integer(seconds)?, parse_c_integer(changes)?);
        (seconds >= 1 && changes >= 0).then_some(SavePoint { seconds, changes })
    };
    let points: Option<Vec<SavePoint>> = pairs.iter().map(point).collect();
    points.map(Value::Save).ok_or(INVALID.into())
}

fn parse_limits(args: &[&[u8]], current: Option<&Value>) -> Result<Value, Refusal> {
    const INVALID: &str =
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
    let mut limits = match current {
        Some(Value::OutputBufferLimits(limits)) => *limits,
        _ => OutputBufferLimits::default(),
    };
    let (classes, odd) = args.as_chunks::<4>();
    if !odd.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for [name, hard, soft, seconds] in classes {
        let class = limits
            .class_mut(name)
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let seconds = parse_c_integer(seconds).and_then(|seconds| i32::try_from(seconds).ok());
        *class = OutputBufferLimit {
            hard: parse_memory(hard).ok_or(INVALID)?,
            soft: parse_memory(soft).ok_or(INVALID)?,
            soft_seconds: seconds
                .and_then(|seconds| u32::try_from(seconds).ok())
                .ok_or(INVALID)?,
        };
    }
    Ok(Value::OutputBufferLimits(limits))
}

fn parse_oom_values(args: &[&[u8]]) -> Result<Value, Refusal> {
    let Ok(words) = <&[&[u8]; 3]>::try_from(args) else {
        return Err(WRONG_NUMBER);
    };
    let mut values = [0; 3];
    for (value, word) in values.iter_mut().zip(words) {
        *value = parse_c_integer(word)
            .and_then(|number| i32::try_from(number).ok())
            .filter(|number| (-2000..=2000).contains(number))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(Value::OomScoreAdjValues(values))
}

fn parse_percentiles(args: &[&[u8]]) -> Result<Value, Refusal> {
    if matches!(args, [b""]) {
        return Ok(Value::Percentiles(Vec::new()));
    }
    let mut percentiles = Vec::with_capacity(args.len());
    for word in args {
        let value =
            parse_f64(word).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&value) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .into(),
            );
        }
        percentiles.push(value);
    }
    Ok(Value::Percentiles(percentiles))
}

fn parse_replicaof(args: &[&[u8]]) -> Result<Value, Refusal> {
    let [host, port] = args else {
        return match args {
            [b""] => Ok(Value::ReplicaOf(None)),
            _ => Err(WRONG_NUMBER),
        };
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::ReplicaOf(None));
    }
    let port = parse_c_integer(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("Invalid master port")?;
    Ok(Value::ReplicaOf(Some(((*host).into(), port))))
}

/// Six digits after the point, without the zeros at the end.
fn format_percentile(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn join<T>(items: &[T], print: impl Fn(&T) -> String) -> String {
    items.iter().map(print).collect::<Vec<_>>().join(" ")
}

/// A word as it is, unless it would be read as another, or as several.
fn quote_unless_plain(word: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
    match word.iter().all(is_plain) {
        true => word.to_vec(),
        false => quote(word),
    }
}

/// The text in double quotes, with escapes, so that a configuration file can hold any bytes.
#[must_use]
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text {
        match byte {
            b'\\' | b'"' => {
                quoted.push('\\');
                quoted.push(char::from(*byte));
            }
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            0x07 => quoted.push_str("\\a"),
            0x08 => quoted.push_str("\\b"),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            _ => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('"');
    quoted.into_bytes()
}
