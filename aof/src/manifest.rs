//! Which files make up the log: one base, increments, and history that waits to be removed. Redis's own format and words.
//! Knows no content of those files.
//!
//! A line is `file <name> seq <n> type b|h|i`, then further pairs, which Redis skips. We write `length <bytes>` for a file
//! of which an fsync failed: what stands behind it does not belong to the log, and what is missing before it is damage.
//! Other files that are complete end in a mark (see `frame`).

use std::path::{Path, PathBuf};

use crate::error::AofError;
use crate::options::Options;
use crate::storage::{File, Storage};

/// Redis's limit to a line, its line feed included.
const MAX_LINE_BYTES: usize = 1024;
const INCREMENT_SUFFIX: &str = ".incr.aof";
/// A manifest beyond this is none: two million lines of 64 bytes.
const MAX_MANIFEST_BYTES: u64 = 128 << 20;

/// What a file is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Base,
    History,
    Increment,
}

/// What a base consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BaseForm {
    Commands,
    Rdb,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    /// The bytes that belong to the log, where it is known that no more follow.
    pub(crate) length: Option<u64>,
}

impl Entry {
    pub(crate) fn new_base(name: String, sequence: u64) -> Self {
        Self {
            name,
            sequence,
            kind: Kind::Base,
            length: None,
        }
    }

    /// What a file of history was, which only its name tells: each kind is numbered by itself.
    fn was_increment(&self) -> bool {
        self.name.ends_with(INCREMENT_SUFFIX)
    }

    /// The same file, once something else has taken its place.
    pub(crate) fn into_history(self) -> Self {
        Self {
            kind: Kind::History,
            length: None,
            ..self
        }
    }
}

/// The files of a log, in the order in which they are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) base: Option<Entry>,
    pub(crate) history: Vec<Entry>,
    pub(crate) increments: Vec<Entry>,
}

/// Where a log lives: `<directory>/<append_directory>/<file_name>…`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
    pub(crate) append_directory: PathBuf,
    pub(crate) file_name: String,
}

impl Layout {
    pub(crate) fn new(directory: &Path, append_directory: &str, file_name: &str) -> Self {
        Self {
            directory: directory.to_path_buf(),
            append_directory: directory.join(append_directory),
            file_name: file_name.to_string(),
        }
    }

    pub(crate) fn of(options: &Options) -> Self {
        Self::new(
            &options.directory,
            &options.append_directory,
            &options.file_name,
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.append_directory.join(name)
    }

    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.file_name))
    }

    /// Where Redis before 7 kept its single file.
    pub(crate) fn legacy_path(&self) -> PathBuf {
        self.directory.join(&self.file_name)
    }

    pub(crate) fn base_name(&self, sequence: u64, form: BaseForm) -> String {
        let suffix = match form {
            BaseForm::Commands => "aof",
            BaseForm::Rdb => "rdb",
        };
        format!("{}.{sequence}.base.{suffix}", self.file_name)
    }

    pub(crate) fn increment_name(&self, sequence: u64) -> String {
        format!("{}.{sequence}{INCREMENT_SUFFIX}", self.file_name)
    }

    pub(crate) fn temporary_base_path(&self) -> PathBuf {
        self.path(&format!("temp-rewrite-{}", self.file_name))
    }
}

impl Manifest {
    /// With all files as history, for a log that begins anew.
    pub(crate) fn into_history(self) -> Self {
        let replaced = self.increments.into_iter().chain(self.base);
        Self {
            history: replaced
                .map(Entry::into_history)
                .chain(self.history)
                .collect(),
            ..Self::default()
        }
    }

    /// Base and increments, in the order in which they are loaded.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(&self.increments)
    }

    /// A sequence number that no increment had yet.
    pub(crate) fn next_increment(&self) -> u64 {
        self.increments
            .iter()
            .chain(self.history.iter().filter(|entry| entry.was_increment()))
            .map(|entry| entry.sequence)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// A sequence number that no base had yet.
    pub(crate) fn next_base(&self) -> u64 {
        self.base
            .iter()
            .chain(self.history.iter().filter(|entry| !entry.was_increment()))
            .map(|entry| entry.sequence)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// Reads the manifest; `None` if there is none.
    pub(crate) fn load(storage: &dyn Storage, layout: &Layout) -> Result<Option<Self>, AofError> {
        let path = layout.manifest_path();
        if !storage.exists(&path).map_err(AofError::io("open", &path))? {
            return Ok(None);
        }
        let file = storage.open(&path).map_err(AofError::io("open", &path))?;
        let len = file.len().map_err(AofError::io("read", &path))?;
        if len > MAX_MANIFEST_BYTES {
            return Err(Fault {
                line: 0,
                text: String::new(),
                reason: FORMAT,
            }
            .at(&path));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = file
            .read_full_at(&mut bytes, 0)
            .map_err(AofError::io("read", &path))?;
        bytes.truncate(read);
        Self::parse(&bytes)
            .map(Some)
            .map_err(|fault| fault.at(&path))
    }

    /// Replaces the manifest on disk: temporary file, fsync, rename, fsync of the directory.
    ///
    /// After an error from here either manifest may be the one on disk.
    pub(crate) fn store(&self, storage: &dyn Storage, layout: &Layout) -> Result<(), AofError> {
        let path = layout.manifest_path();
        let temporary = layout.path(&format!("temp-{}.manifest", layout.file_name));
        let file = storage
            .create(&temporary)
            .map_err(AofError::io("create", &temporary))?;
        <dyn File>::write_all_at(&*file, &self.encode(), 0)
            .map_err(AofError::io("write", &temporary))?;
        file.sync().map_err(AofError::io("fsync", &temporary))?;
        storage
            .rename(&temporary, &path)
            .map_err(AofError::io("rename", &temporary))?;
        storage
            .sync_directory(&layout.append_directory)
            .map_err(AofError::io("fsync", &layout.append_directory))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = String::new();
        for entry in self
            .base
            .iter()
            .chain(&self.history)
            .chain(&self.increments)
        {
            let kind = match entry.kind {
                Kind::Base => 'b',
                Kind::History => 'h',
                Kind::Increment => 'i',
            };
            out.push_str(&format!(
                "file {} seq {} type {kind}",
                quote(&entry.name),
                entry.sequence
            ));
            if let Some(length) = entry.length {
                out.push_str(&format!(" length {length}"));
            }
            out.push('\n');
        }
        out.into_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut manifest = Self::default();
        if bytes.is_empty() {
            return Err(Fault {
                line: 0,
                text: String::new(),
                reason: "Found an empty AOF manifest",
            });
        }
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let fault = |reason| Fault {
                line: index + 1,
                text: excerpt(line),
                reason,
            };
            if line.first() == Some(&b'#') {
                continue;
            }
            if line.len() >= MAX_LINE_BYTES {
                return Err(fault("The AOF manifest file contains too long line"));
            }
            let line = line.strip_suffix(b"\n").ok_or_else(|| fault(FORMAT))?;
            manifest
                .add(parse_entry(line).map_err(fault)?)
                .map_err(fault)?;
        }
        Ok(manifest)
    }

    fn add(&mut self, entry: Entry) -> Result<(), &'static str> {
        match entry.kind {
            Kind::Base if self.base.is_some() => {
                return Err("Found duplicate base file information");
            }
            Kind::Base => self.base = Some(entry),
            Kind::History => self.history.push(entry),
            Kind::Increment => {
                if self
                    .increments
                    .last()
                    .is_some_and(|last| last.sequence >= entry.sequence)
                {
                    return Err("Found a non-monotonic sequence number");
                }
                self.increments.push(entry);
            }
        }
        Ok(())
    }
}

const FORMAT: &str = "Invalid AOF manifest file format";

/// What is wrong with which line.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    text: String,
    reason: &'static str,
}

impl Fault {
    fn at(self, path: &Path) -> AofError {
        AofError::Manifest {
            path: path.to_path_buf(),
            line: self.line,
            text: self.text,
            reason: self.reason,
        }
    }
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(128)])
        .trim_end()
        .to_string()
}

fn parse_entry(line: &[u8]) -> Result<Entry, &'static str> {
    let words = split_words(line).ok_or(FORMAT)?;
    if words.len() < 6 || words.len() % 2 != 0 {
        return Err(FORMAT);
    }
    let (mut name, mut sequence, mut kind, mut length) = (None, None, None, None);
    for pair in words.chunks_exact(2) {
        let value = &pair[1];
        match pair[0].to_ascii_lowercase().as_slice() {
            b"file" => {
                let text = String::from_utf8(value.clone()).map_err(|_| FORMAT)?;
                if text.contains('/') || text.contains('\\') || text == ".." || text == "." {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(text).filter(|text| !text.is_empty());
            }
            b"seq" => sequence = number(value).filter(|&n| n > 0 && n < i64::MAX as u64),
            b"type" => kind = value.first().copied(),
            b"length" => length = number(value),
            _ => {}
        }
    }
    let (Some(name), Some(sequence), Some(kind)) = (name, sequence, kind) else {
        return Err(FORMAT);
    };
    let kind = match kind {
        b'b' => Kind::Base,
        b'h' => Kind::History,
        b'i' => Kind::Increment,
        _ => return Err("Unknown AOF file type"),
    };
    Ok(Entry {
        name,
        sequence,
        kind,
        length,
    })
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Splits a line into words as Redis does: blanks between, `"…"` with escapes, `'…'` with `\'` only.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let blanks = rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Some(words);
        }
        let (word, tail) = split_word(rest)?;
        words.push(word);
        rest = tail;
    }
}

fn split_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte.is_ascii_whitespace() {
            break;
        }
        rest = tail;
        if byte != b'"' && byte != b'\'' {
            word.push(byte);
            continue;
        }
        rest = unquote(byte, rest, &mut word)?;
        // A closing quote ends the word: a blank or nothing follows.
        if rest.first().is_some_and(|next| !next.is_ascii_whitespace()) {
            return None;
        }
        break;
    }
    Some((word, rest))
}

/// Reads up to the closing quote; answers what follows it.
fn unquote<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [byte, tail @ ..] if *byte == quote => return Some(tail),
            [b'\\', b'\'', tail @ ..] if quote == b'\'' => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\\', b'x', high, low, tail @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digits = [*high, *low];
                word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

/// A name as Redis writes it: quoted only where it must be.
fn quote(name: &str) -> String {
    if !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\'))
    {
        return name.to_string();
    }
    let mut out = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(text: &str) -> &'static str {
        Manifest::parse(text.as_bytes())
            .expect_err("a faulty manifest")
            .reason
    }

    #[test]
    fn faults_are_named_in_redis_words() {
        let base = "file appendonly.aof.1.base.aof seq 1 type b\n";
        assert_eq!(reason(""), "Found an empty AOF manifest");
        assert_eq!(
            reason("file a seq 2 type i\nfile b seq 1 type i\n"),
            "Found a non-monotonic sequence number"
        );
        assert_eq!(
            reason("file a seq 1 type i\n\nfile b seq 3 type i\n"),
            FORMAT
        );
        assert_eq!(
            reason(&format!("{base}file b seq 2 type b\n")),
            "Found duplicate base file information"
        );
        assert_eq!(reason("file a seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(reason("filx a seq 1 type b\n"), FORMAT);
        assert_eq!(reason(&format!("{base}file a type i\n")), FORMAT);
        assert_eq!(
            reason(&format!("{base}file a seq 1 type i newkey\n")),
            FORMAT
        );
        assert_eq!(
            reason(&base.trim_end().repeat(40)),
            "The AOF manifest file contains too long line"
        );
        assert_eq!(
            reason("file ../x seq 1 type b\n"),
            "File can't be a path, just a filename"
        );
        assert_eq!(reason("file x seq 1 type b"), FORMAT);
        assert_eq!(reason("file \"x seq 1 type b\n"), FORMAT);
    }

    #[test]
    fn unknown_pairs_comments_and_gaps_are_fine() {
        let manifest = Manifest::parse(
            b"# by hand\nfile a seq 1 type b newkey newvalue\nfile b seq 1 type i length 7\nfile c seq 3 type i\n",
        )
        .expect("a good manifest");
        assert_eq!(
            manifest
                .files()
                .map(|file| file.name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(manifest.increments[0].length, Some(7));
        assert_eq!(manifest.next_increment(), 4);
    }

    #[test]
    fn names_are_quoted_as_redis_does() {
        assert_eq!(quote("appendonly.aof"), "appendonly.aof");
        assert_eq!(quote(" file seq \n\n.aof "), "\" file seq \\n\\n.aof \"");
        assert_eq!(quote("h\u{e9}"), "\"h\\xc3\\xa9\"");
    }

    proptest! {
        #[test]
        fn any_manifest_reads_back(names in proptest::collection::vec("[^/\\\\]{1,20}", 1..6), gap in 1_u64..9) {
            let mut manifest = Manifest::default();
            for (index, name) in names.iter().filter(|name| *name != "." && *name != "..").enumerate() {
                let sequence = (index as u64 + 1) * gap;
                let kind = if index == 0 { Kind::Base } else { Kind::Increment };
                let length = (index % 2 == 0).then_some(sequence);
                manifest.add(Entry { name: name.clone(), sequence, kind, length }).expect("ascending");
            }
            if manifest.base.is_some() {
                prop_assert_eq!(Manifest::parse(&manifest.encode()), Ok(manifest));
            }
        }

        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
        }

        #[test]
        fn any_words_are_parsed_without_panic(text in "(file|seq|type|length|[a-z\"'\\\\ ]|[0-9]|\n){0,30}") {
            let _ = Manifest::parse(text.as_bytes());
        }
    }
}
