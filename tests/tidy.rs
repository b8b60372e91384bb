//! Reads the sources and fails where the house rules are broken: which room may use which, how long functions may
//! be, forgotten files, and words that must not stay. It knows Rust's tokens just well enough for that.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms under `src/`, and the rooms that each may use. `crate` root items (re-exports) are no room.
const ARROWS: &[(&str, &[&str])] = &[
    ("value", &[]),
    ("memory", &[]),
    ("pem", &[]),
    ("error", &["aof", "rdb"]),
    ("request", &["value"]),
    ("rdb", &["value", "keyspace"]),
    ("keyspace", &["value", "config"]),
    ("reply", &["value"]),
    ("config", &["value"]),
    (
        "services",
        &["value", "memory", "keyspace", "reply", "config", "script"],
    ),
    ("script", &["value", "reply"]),
    (
        "commands",
        &[
            "value", "rdb", "keyspace", "reply", "config", "services", "script",
        ],
    ),
    ("engine", BELOW_THE_DOORS),
    ("tools", STARTED),
    ("server", SERVED),
    ("client", BELOW_THE_DOORS),
];

/// What the engine may use, and what is around it: all but the ways in, `server` and `client`.
const BELOW_THE_DOORS: &[&str] = &[
    "error", "value", "memory", "request", "rdb", "keyspace", "reply", "config", "services",
    "script", "commands", "engine", "aof",
];

/// What the program starts beside the server.
const STARTED: &[&str] = &[
    "error", "value", "memory", "request", "rdb", "keyspace", "reply", "config", "services",
    "script", "commands", "engine", "aof", "pem",
];

/// The program starts the tools too.
const SERVED: &[&str] = &[
    "error", "value", "memory", "request", "rdb", "keyspace", "reply", "config", "services",
    "script", "commands", "engine", "aof", "pem", "tools",
];

/// Where one room may use only a part of another: from, to, and the first names that are its way in.
const DOORS: &[(&str, &str, &[&str])] = &[
    (
        "commands",
        "script",
        &[
            "Caller",
            "Script",
            "ScriptContext",
            "ScriptError",
            "ScriptResult",
            "flags",
            "lua",
            "parse_sha1",
            "sha1_of",
            "store",
            "twins",
        ],
    ),
    ("services", "script", &["Registry", "store"]),
    (
        "rdb",
        "keyspace",
        &["Limits", "Source", "Value", "ValueRef"],
    ),
];

/// The longest function, in lines, and the length that 95 of 100 functions must not exceed.
const LONGEST: usize = 70;
const PERCENTILE_95: usize = 45;

/// Functions that may be longer, with their present length and the reason: tables and generated matches. A function
/// that grows past its number here fails, and one that has become short enough must leave the list.
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[];

/// Words that must not stay in code. Spelled in halves, so that this file does not hold them itself.
const FORBIDDEN_CODE: &[&str] = &[
    concat!("#[al", "low"),
    concat!("#![al", "low"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ig", "nore"),
    concat!("db", "g!"),
];
const FORBIDDEN_COMMENTS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];
const FORBIDDEN_IN_TESTS: &[&str] = &[
    concat!("sle", "ep("),
    concat!("sle", "ep_until("),
    concat!("park_", "timeout("),
];
const FORBIDDEN_NAMES: &[&str] = &["utils", "helpers", "misc"];

/// The folders that hold Rust sources of ours.
const FOLDERS: &[&str] = &["src", "aof", "tests", "benches", "examples", "fuzz"];

struct Source {
    /// Relative to the root of the checkout.
    path: PathBuf,
    raw: String,
    /// The text with comments and the contents of literals blanked out; the line numbers are the same.
    code: String,
    /// The text of the comments only.
    comments: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The module path under the crate root that this file is for: `src/value/list.rs` is `[value, list]`.
    fn module(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .path
            .with_extension("")
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if parts
            .last()
            .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
        {
            parts.pop();
        }
        parts
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" {
            files_below(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        files_below(&root().join(folder), &mut found);
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let raw = fs::read_to_string(&path).expect("sources are UTF-8");
            let (code, comments) = separate(&raw);
            let path = path
                .strip_prefix(root())
                .expect("files are listed from the root")
                .to_path_buf();
            Source {
                path,
                raw,
                code,
                comments,
            }
        })
        .collect()
}

/// Splits a text into its code and its comments, each with everything else blanked out, line by line the same.
fn separate(text: &str) -> (String, String) {
    let mut splitter = Splitter {
        rest: text,
        code: String::new(),
        comments: String::new(),
    };
    while !splitter.rest.is_empty() {
        splitter.step();
    }
    (splitter.code, splitter.comments)
}

struct Splitter<'text> {
    rest: &'text str,
    code: String,
    comments: String,
}

impl Splitter<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.comment(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.comment(block_comment_length(self.rest));
        } else if let Some(length) = raw_string_length(self.rest).filter(|_| !self.is_inside_word())
        {
            self.blank(length);
        } else if self.rest.starts_with('"') {
            self.blank(string_length(self.rest));
        } else if let Some(length) = char_length(self.rest) {
            self.blank(length);
        } else {
            let length = self.rest.chars().next().map_or(1, char::len_utf8);
            self.take(length, true, false);
        }
    }

    fn is_inside_word(&self) -> bool {
        self.code
            .chars()
            .last()
            .is_some_and(|last| last.is_alphanumeric() || last == '_')
    }

    fn comment(&mut self, length: usize) {
        self.take(length, false, true);
    }

    fn blank(&mut self, length: usize) {
        self.take(length, false, false);
    }

    fn take(&mut self, length: usize, code: bool, comment: bool) {
        let (head, rest) = self.rest.split_at(length);
        for character in head.chars() {
            self.code.push(if code || character == '\n' {
                character
            } else {
                ' '
            });
            self.comments.push(if comment || character == '\n' {
                character
            } else {
                ' '
            });
        }
        self.rest = rest;
    }
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and the like at the start of the text.
fn raw_string_length(text: &str) -> Option<usize> {
    let body = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix("cr"))
        .or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(text.len() - inner.len() + length)
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal at the start of the text; a lifetime is none.
fn char_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    if let Some(escape) = inner.strip_prefix('\\') {
        let skipped = escape.chars().next()?.len_utf8();
        return Some(escape[skipped..].find('\'')? + 2 + skipped + 1);
    }
    let length = inner.chars().next()?.len_utf8();
    inner[length..].starts_with('\'').then_some(length + 2)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `word` stands in the code as a whole word.
fn words<'code>(code: &'code str, word: &'code str) -> impl Iterator<Item = usize> + 'code {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
        })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The first one or two names of each path after `crate::`, also of a group `crate::{a::b, c::{d, e}}`.
fn paths_after(text: &str) -> Vec<(String, Vec<String>)> {
    let Some(group) = text.trim_start().strip_prefix('{') else {
        let (name, rest) = first_name(text);
        let next = rest.strip_prefix("::").map_or_else(Vec::new, |rest| {
            let group = rest.trim_start().strip_prefix('{');
            group.map_or_else(
                || vec![first_name(rest).0],
                |group| members(group).map(|part| first_name(part).0).collect(),
            )
        });
        return vec![(name, next)];
    };
    members(group).flat_map(paths_after).collect()
}

/// The members of a group, of which the opening brace is already taken.
fn members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let end = group
        .char_indices()
        .find(|(_, character)| match character {
            '{' => {
                depth += 1;
                false
            }
            '}' if depth == 0 => true,
            '}' => {
                depth -= 1;
                false
            }
            _ => false,
        })
        .map_or(group.len(), |(at, _)| at);
    let mut level = 0_usize;
    group[..end].split(move |character: char| {
        match character {
            '{' => level += 1,
            '}' => level = level.saturating_sub(1),
            _ => {}
        }
        character == ',' && level == 0
    })
}

fn first_name(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let end = text
        .find(|character| !is_word(character))
        .unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

/// Every use of another room in a source: line, room, and the names taken from it.
fn uses(source: &Source) -> Vec<(usize, String, Vec<String>)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = code[at + 5..].strip_prefix("::") {
            found.extend(
                paths_after(rest)
                    .into_iter()
                    .map(|(room, next)| (line_of(code, at), room, next)),
            );
        }
    }
    let depth = source.module().len();
    for (at, chain) in super_chains(code) {
        if chain.0 >= depth {
            found.extend(
                paths_after(chain.1)
                    .into_iter()
                    .map(|(room, next)| (line_of(code, at), room, next)),
            );
        }
    }
    for at in words(code, "innkeep_aof") {
        found.push((line_of(code, at), "aof".to_owned(), Vec::new()));
    }
    found
}

/// Each chain `super::super::`: where it is, how long, and what follows.
fn super_chains(code: &str) -> Vec<(usize, (usize, &str))> {
    let starts = words(code, "super").filter(|&at| !code[..at].ends_with("super::"));
    starts
        .map(|at| {
            let mut rest = &code[at..];
            let mut length = 0;
            while let Some(next) = rest.strip_prefix("super::") {
                rest = next;
                length += 1;
            }
            (at, (length, rest))
        })
        .filter(|(_, (length, _))| *length > 0)
        .collect()
}

fn report(title: &str, failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{title}:\n  {}\n",
        failures.join("\n  ")
    );
}

#[test]
fn dependencies_point_one_way() {
    let mut failures = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with("src"))
    {
        let module = source.module();
        let Some(room) = module.first() else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == room) else {
            failures.push(format!(
                "{}: the room {room} is not in ARROWS",
                source.name()
            ));
            continue;
        };
        for (line, to, names) in uses(source) {
            if to == *room || !(to == "aof" || ARROWS.iter().any(|(name, _)| *name == to)) {
                continue;
            }
            let door = DOORS.iter().find(|(from, of, _)| from == room && *of == to);
            let passes = door
                .is_none_or(|(_, _, ways)| names.iter().all(|name| ways.contains(&name.as_str())));
            if !allowed.contains(&to.as_str()) || !passes {
                failures.push(format!(
                    "{}:{line}: {room} must not use {to} {names:?}",
                    source.name()
                ));
            }
        }
    }
    report("arrows that run back", &failures);
}

#[test]
fn the_log_imports_nothing_of_ours() {
    let failures: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.starts_with("aof"))
        .filter_map(|source| {
            words(&source.code, "innkeep")
                .next()
                .map(|at| (source.name(), line_of(&source.code, at)))
        })
        .map(|(name, line)| format!("{name}:{line}"))
        .collect();
    report("aof must not use the engine", &failures);
}

struct Function {
    file: String,
    name: String,
    line: usize,
    lines: usize,
}

fn functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let (name, rest) = first_name(&code[at + 2..]);
        if name.is_empty() {
            continue;
        }
        let signature = code.len() - rest.len();
        let Some(length) = body_end(rest) else {
            continue;
        };
        let line = line_of(code, at);
        let lines = line_of(code, signature + length) + 1 - line;
        found.push(Function {
            file: source.name(),
            name,
            line,
            lines,
        });
    }
    found
}

/// Where the body that follows a function's name ends; none for a declaration without a body.
fn body_end(text: &str) -> Option<usize> {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn functions_are_short() {
    let mut functions: Vec<Function> = sources().iter().flat_map(functions).collect();
    let mut failures = Vec::new();
    for function in &functions {
        let Function {
            file,
            name,
            line,
            lines,
        } = function;
        match LONG_FUNCTIONS
            .iter()
            .find(|(path, long, ..)| path == file && long == name)
        {
            None if *lines > LONGEST => failures.push(format!(
                "{file}:{line}: {name} has {lines} lines of {LONGEST}"
            )),
            Some((_, _, allowed, _)) if lines > allowed => {
                failures.push(format!(
                    "{file}:{line}: {name} has {lines} lines of its {allowed}"
                ));
            }
            Some(_) if *lines <= LONGEST => {
                failures.push(format!("{file}: {name} may leave LONG_FUNCTIONS"))
            }
            _ => {}
        }
    }
    for (path, long, ..) in LONG_FUNCTIONS {
        if !functions
            .iter()
            .any(|function| function.file == *path && function.name == *long)
        {
            failures.push(format!("{path}: {long} in LONG_FUNCTIONS does not exist"));
        }
    }
    functions.sort_by_key(|function| function.lines);
    let at = functions.len() * 95 / 100;
    if let Some(function) = functions
        .get(at)
        .filter(|function| function.lines > PERCENTILE_95)
    {
        let mut text = format!(
            "the 95th percentile is {} lines of {PERCENTILE_95}; the longest:",
            function.lines
        );
        for Function {
            file,
            name,
            line,
            lines,
        } in functions.iter().rev().take(20)
        {
            write!(text, "\n    {lines:>4} {file}:{line} {name}")
                .expect("a String takes everything");
        }
        failures.push(text);
    }
    report("long functions", &failures);
}

/// The files that a crate root reaches through `mod name;`.
fn reachable(sources: &[Source], start: &Path, seen: &mut BTreeSet<PathBuf>) {
    let Some(source) = sources.iter().find(|source| source.path == start) else {
        return;
    };
    if !seen.insert(start.to_path_buf()) {
        return;
    }
    let folder = start.parent().unwrap_or(Path::new(""));
    let stem = start.file_stem().map(PathBuf::from).unwrap_or_default();
    let is_folder = matches!(stem.to_str(), Some("mod" | "lib" | "main")) || is_root(start);
    let children = if is_folder {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    for at in words(&source.code, "mod") {
        let (name, rest) = first_name(&source.code[at + 3..]);
        if rest.trim_start().starts_with(';') {
            reachable(sources, &children.join(format!("{name}.rs")), seen);
            reachable(sources, &children.join(name).join("mod.rs"), seen);
        }
    }
    for (_, path) in source
        .raw
        .match_indices("#[path = \"")
        .filter_map(|(at, start)| {
            source.raw[at + start.len()..]
                .split_once('"')
                .map(|(path, _)| (at, path))
        })
    {
        reachable(sources, &normal(&folder.join(path)), seen);
    }
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut all, part| {
        if part.as_os_str() == ".." {
            all.pop();
        } else {
            all.push(part);
        }
        all
    })
}

/// Whether cargo builds a crate from this file by its place alone, or a manifest is known to name it.
fn is_root(path: &Path) -> bool {
    let parts: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    matches!(
        parts.as_slice(),
        ["tests" | "benches" | "examples", _]
            | ["tests" | "benches" | "examples", _, "main.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | [.., "src", "lib.rs"]
            | ["fuzz", "fuzz_targets", _]
            | ["fuzz", "fuzz_targets", _, "main.rs"]
            | ["aof", "tests" | "benches" | "examples", _]
    )
}

#[test]
fn no_file_is_forgotten() {
    let sources = sources();
    let mut seen = BTreeSet::new();
    for source in sources.iter().filter(|source| is_root(&source.path)) {
        reachable(&sources, &source.path, &mut seen);
    }
    let failures: Vec<String> = sources
        .iter()
        .filter(|source| !seen.contains(&source.path))
        .map(Source::name)
        .collect();
    report("files that no `mod` line reaches", &failures);
}

#[test]
fn every_fuzz_target_is_built() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz has a manifest");
    let failures: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.starts_with("fuzz/fuzz_targets") && is_root(&source.path))
        .filter_map(|source| {
            source
                .path
                .strip_prefix("fuzz")
                .ok()
                .map(|path| path.display().to_string())
        })
        .filter(|path| !manifest.contains(&format!("path = \"{path}\"")))
        .collect();
    report("fuzz targets that fuzz/Cargo.toml does not name", &failures);
}

#[test]
fn forbidden_words_are_absent() {
    let mut failures = Vec::new();
    for source in sources() {
        let mut search = |text: &str, forbidden: &[&str]| {
            for word in forbidden {
                failures.extend(
                    text.match_indices(word)
                        .filter(|(at, _)| !text[..*at].ends_with(is_word))
                        .map(|(at, _)| format!("{}:{}: {word}", source.name(), line_of(text, at))),
                );
            }
        };
        search(&source.code, FORBIDDEN_CODE);
        search(&source.comments, FORBIDDEN_COMMENTS);
        if source.path.starts_with("tests") {
            search(&source.code, FORBIDDEN_IN_TESTS);
        }
    }
    report("words that must not stay", &failures);
}

#[test]
fn modules_say_what_lives_in_them() {
    let failures: Vec<String> = sources()
        .iter()
        .filter(|source| {
            let first = source.raw.lines().next().unwrap_or_default();
            first
                .strip_prefix("//!")
                .is_none_or(|text| text.trim().is_empty())
        })
        .map(Source::name)
        .collect();
    report("files that do not begin with //!", &failures);
}

#[test]
fn names_mean_something() {
    let failures: Vec<String> = files()
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok())
        .filter(|path| {
            let name = path.display().to_string();
            name.split(|character: char| !character.is_alphanumeric())
                .any(|word| FORBIDDEN_NAMES.contains(&word))
        })
        .map(|path| path.display().to_string())
        .collect();
    report("names without a meaning", &failures);
}

/// The rules are worth as much as the reading under them.
mod reading {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        let (code, comments) =
            separate("a /* b /* c */ */ \"d // e\" 'f' '\\'' r#\"g\"h\"# &'i x // j\nk");
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a", "&'i", "x", "k"]
        );
        assert_eq!(
            comments.split_whitespace().collect::<Vec<_>>(),
            ["/*", "b", "/*", "c", "*/", "*/", "//", "j"]
        );
    }

    #[test]
    fn groups_are_taken_apart() {
        let found = paths_after("{value::{list, set::Set}, engine, reply::Reply};");
        let expected = [
            ("value", vec!["list", "set"]),
            ("engine", vec![]),
            ("reply", vec!["Reply"]),
        ];
        let expected: Vec<(String, Vec<String>)> = expected
            .into_iter()
            .map(|(room, names)| {
                (
                    room.to_owned(),
                    names.into_iter().map(str::to_owned).collect(),
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let raw = "fn a(x: [u8; 3]) {\n    if x { y }\n}\ntrait T {\n    fn b();\n}\n";
        let (code, comments) = separate(raw);
        let source = Source {
            path: "src/value/x.rs".into(),
            raw: raw.to_owned(),
            code,
            comments,
        };
        let found: Vec<(String, usize)> = functions(&source)
            .into_iter()
            .map(|function| (function.name, function.lines))
            .collect();
        assert_eq!(found, [("a".to_owned(), 3)]);
    }

    #[test]
    fn a_path_through_super_is_seen() {
        let raw = "use super::super::engine::Engine;\nuse super::list::List;\n";
        let (code, comments) = separate(raw);
        let source = Source {
            path: "src/value/x.rs".into(),
            raw: raw.to_owned(),
            code,
            comments,
        };
        assert_eq!(
            uses(&source),
            [(1, "engine".to_owned(), vec!["Engine".to_owned()])]
        );
    }
}
