//! What a debugging session remembers: the source with its breakpoints, where the script stands, and what is to be sent.

use std::time::{Duration, Instant};

use mlua::Value;

use super::shown;
use crate::value::number::parse_i64;

/// Bytes of a value or a reply that are shown, unless `maxlen` says something else.
const MAX_SHOWN: usize = 256;
/// The least that `maxlen` takes.
const LEAST_SHOWN: i64 = 60;
const MAX_BREAKPOINTS: usize = 64;
/// Bytes that are kept until the script stops: `redis.debug()` may be called for ever.
const MAX_LOG: usize = 16 << 20;
const LEFT_OUT: &[u8] = b"<hint> Some of what was logged is left out, because it was too much.";
/// Lines shown before and after the one that is asked for.
const CONTEXT: i64 = 5;

/// Why the script stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Step,
    Breakpoint,
    /// `redis.breakpoint()`.
    Called,
    /// It has run for long since it was let go on.
    Late,
}

impl Stop {
    const fn text(self) -> &'static str {
        match self {
            Self::Step => "step over",
            Self::Breakpoint => "break point",
            Self::Called => "redis.breakpoint() called",
            Self::Late => "timeout reached, infinite loop?",
        }
    }
}

#[derive(Debug)]
pub(in crate::script::lua) struct Session {
    lines: Vec<Vec<u8>>,
    /// Lines, counted from 1, in the order in which they were added.
    breakpoints: Vec<i64>,
    /// The line that is about to run.
    current: i64,
    /// It stops at the next line, and says what is called until then.
    pub(super) stepping: bool,
    /// `redis.breakpoint()` was called: it stops at the next line.
    called: bool,
    /// Code of who debugs runs.
    pub(super) evaluating: bool,
    /// Bytes that are shown of a value; 0: all.
    max_shown: usize,
    /// It was said that something was trimmed, or how much is shown.
    has_hinted: bool,
    log: Vec<Vec<u8>>,
    /// Bytes of the log.
    logged: usize,
    /// Lines that there was no room for.
    left_out: usize,
    went_on: Instant,
    patience: Duration,
}

impl Session {
    /// Of a script that stops before its first line, and again when it has run for so long.
    pub(super) fn new(source: &[u8], patience: Duration) -> Self {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = source.iter().rposition(|byte| !is_break(byte));
        let source = end.and_then(|last| source.get(..=last));
        // Of nothing there is not even an empty line.
        let lines = source.map(|source| source.split(|byte| *byte == b'\n'));
        Self {
            lines: lines.into_iter().flatten().map(<[u8]>::to_vec).collect(),
            breakpoints: Vec::new(),
            current: 0,
            stepping: true,
            called: false,
            evaluating: false,
            max_shown: MAX_SHOWN,
            has_hinted: false,
            log: Vec::new(),
            logged: 0,
            left_out: 0,
            went_on: Instant::now(),
            patience,
        }
    }

    /// A line is about to run: whether the script has to stop, and why.
    pub(super) fn reach(&mut self, line: i64) -> Option<Stop> {
        if self.evaluating {
            return None;
        }
        self.current = line;
        match () {
            () if self.called => Some(Stop::Called),
            () if self.breakpoints.contains(&line) => Some(Stop::Breakpoint),
            () if self.stepping => Some(Stop::Step),
            () => None,
        }
    }

    /// Whether it has run for long since it was let go on.
    pub(super) fn is_late(&self) -> bool {
        !self.evaluating && !self.stepping && self.went_on.elapsed() >= self.patience
    }

    /// `redis.breakpoint()`.
    pub(in crate::script::lua) fn call_breakpoint(&mut self) {
        self.called = true;
    }

    /// The script stands still.
    pub(super) fn stop(&mut self, why: Stop) {
        (self.stepping, self.called, self.logged) = (false, false, 0);
        let text = format!(
            "* Stopped at {}, stop reason = {}",
            self.current,
            why.text()
        );
        self.log(text);
        self.log_line(self.current);
    }

    /// The script goes on, to the next line or further.
    pub(super) fn go_on(&mut self, step: bool) {
        self.stepping = step;
        self.went_on = Instant::now();
    }

    pub(super) fn log(&mut self, line: impl Into<Vec<u8>>) {
        if self.logged > MAX_LOG {
            self.left_out += 1;
            return;
        }
        let line = line.into();
        self.logged += line.len() + size_of::<Vec<u8>>();
        self.log.push(line);
    }

    /// Logs something that may be long.
    pub(super) fn log_trimmed(&mut self, mut line: Vec<u8>) {
        if self.max_shown == 0 || line.len() <= self.max_shown {
            return self.log(line);
        }
        line.truncate(self.max_shown);
        line.extend(b" ...");
        self.log(line);
        if !self.has_hinted {
            self.has_hinted = true;
            self.log("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    pub(super) fn log_value(&mut self, before: &[u8], value: &Value) {
        let mut line = before.to_vec();
        shown::value(&mut line, value, self.max_shown);
        self.log_trimmed(line);
    }

    /// `redis.debug()`.
    pub(in crate::script::lua) fn log_values<'v>(
        &mut self,
        values: impl Iterator<Item = &'v Value>,
    ) {
        let mut line = format!("<debug> line {}: ", self.current).into_bytes();
        for (index, value) in values.enumerate() {
            if index > 0 {
                line.extend(b", ");
            }
            shown::value(&mut line, value, 0);
        }
        self.log(line);
    }

    /// The script has ended.
    pub(super) fn end(&mut self) {
        self.logged = 0;
        self.log("<endsession>");
    }

    /// What was logged, as an array of lines.
    pub(super) fn take_log(&mut self) -> Vec<u8> {
        self.logged = 0;
        let mut log = std::mem::take(&mut self.log);
        if std::mem::take(&mut self.left_out) > 0 {
            log.insert(0, LEFT_OUT.to_vec());
        }
        let mut out = format!("*{}\r\n", log.len()).into_bytes();
        for line in log {
            let is_break = |byte| matches!(byte, b'\r' | b'\n');
            out.push(b'+');
            out.extend(
                line.into_iter()
                    .map(|byte| if is_break(byte) { b' ' } else { byte }),
            );
            out.extend(b"\r\n");
        }
        out
    }

    fn line(&self, number: i64) -> Option<&[u8]> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.lines.get(index).map(Vec::as_slice)
    }

    /// A line with its number, marked where the script stands or a breakpoint is.
    pub(super) fn log_line(&mut self, number: i64) {
        let text = self
            .line(number)
            .unwrap_or(b"<out of range source code line>");
        let arrow = if number == self.current { "->" } else { "  " };
        let mark = if self.breakpoints.contains(&number) {
            '#'
        } else {
            ' '
        };
        let line = [format!("{arrow}{mark}{number:<3} ").as_bytes(), text].concat();
        self.log(line);
    }

    /// `list`, with what was said of it.
    pub(super) fn list(&mut self, words: &[&[u8]]) {
        let number = |index: usize| words.get(index).map(|word| leading_number(word));
        let around = number(1).filter(|line| *line > 0).unwrap_or(self.current);
        self.list_around(around, number(2).unwrap_or(CONTEXT));
    }

    /// `whole`.
    pub(super) fn list_all(&mut self) {
        self.list_around(1, 1_000_000);
    }

    fn list_around(&mut self, around: i64, context: i64) {
        let shown = around.saturating_sub(context)..=around.saturating_add(context);
        for line in 1..=self.lines.len() as i64 {
            if shown.contains(&line) {
                self.log_line(line);
            }
        }
    }

    /// `break`: shows the breakpoints, or adds and removes some.
    pub(super) fn change_breakpoints(&mut self, lines: &[&[u8]]) {
        if lines.is_empty() {
            return self.list_breakpoints();
        }
        for word in lines {
            match parse_i64(word) {
                None => self.log([&b"Invalid argument:'"[..], word, b"'"].concat()),
                Some(0) => {
                    self.breakpoints.clear();
                    self.log("All breakpoints removed.");
                }
                Some(line) if line > 0 => self.add_breakpoint(line),
                Some(line) => self.remove_breakpoint(line.saturating_neg()),
            }
        }
    }

    fn list_breakpoints(&mut self) {
        if self.breakpoints.is_empty() {
            return self.log("No breakpoints set. Use 'b <line>' to add one.");
        }
        self.log(format!("{} breakpoints set:", self.breakpoints.len()));
        for line in self.breakpoints.clone() {
            self.log_line(line);
        }
    }

    fn add_breakpoint(&mut self, line: i64) {
        if self.breakpoints.len() == MAX_BREAKPOINTS {
            self.log("Too many breakpoints set.");
        } else if self.line(line).is_none() || self.breakpoints.contains(&line) {
            self.log("Wrong line number.");
        } else {
            self.breakpoints.push(line);
            self.list_around(line, 1);
        }
    }

    fn remove_breakpoint(&mut self, line: i64) {
        let before = self.breakpoints.len();
        self.breakpoints.retain(|other| *other != line);
        let removed = self.breakpoints.len() < before;
        self.log(match removed {
            true => "Breakpoint removed.",
            false => "No breakpoint in the specified line.",
        });
    }

    /// `maxlen`.
    pub(super) fn limit_shown(&mut self, wanted: Option<&[u8]>) {
        if let Some(wanted) = wanted {
            self.has_hinted = true;
            let wanted = match leading_number(wanted) {
                0 => 0,
                wanted => wanted.max(LEAST_SHOWN),
            };
            self.max_shown = usize::try_from(wanted).unwrap_or(0);
        }
        self.log(match self.max_shown {
            0 => "<value> replies are unlimited.".to_owned(),
            bytes => format!("<value> replies are truncated at {bytes} bytes."),
        });
    }
}

/// The number that a word begins with; 0 if it begins with none.
fn leading_number(word: &[u8]) -> i64 {
    let word = word.trim_ascii_start();
    let (negative, digits) = match word.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, word),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    if negative { -number } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(session: &mut Session) -> String {
        String::from_utf8(session.take_log()).expect("it is text")
    }

    fn session() -> Session {
        Session::new(b"a\r\n\nb\n\r\n", Duration::from_secs(5))
    }

    #[test]
    fn lines_are_shown_with_their_marks() {
        let mut session = session();
        assert_eq!(session.reach(1), Some(Stop::Step));
        session.stop(Stop::Step);
        let stopped = "*2\r\n+* Stopped at 1, stop reason = step over\r\n+-> 1   a \r\n";
        assert_eq!(said(&mut session), stopped);
        session.change_breakpoints(&[b"3", b"3", b"4", b"x"]);
        let listed = "*5\r\n+   2   \r\n+  #3   b\r\n+Wrong line number.\r\n+Wrong line number.\r\n\
                      +Invalid argument:'x'\r\n";
        assert_eq!(said(&mut session), listed);
        session.go_on(false);
        assert_eq!(session.reach(2), None);
        assert_eq!(session.reach(3), Some(Stop::Breakpoint));
        session.list(&[b"l", b"0", b"0"]);
        assert_eq!(said(&mut session), "*1\r\n+->#3   b\r\n");
        session.change_breakpoints(&[b"-3", b"-3", b"0"]);
        assert!(said(&mut session).starts_with("*3\r\n+Breakpoint removed.\r\n+No breakpoint"));
    }

    #[test]
    fn what_is_long_is_trimmed_and_hinted_at_once() {
        let mut session = session();
        for _ in 0..2 {
            session.log_trimmed(vec![b'x'; 300]);
        }
        let trimmed = format!("+{} ...\r\n", "x".repeat(256));
        let hint = "+<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.\r\n";
        assert_eq!(
            said(&mut session),
            format!("*3\r\n{trimmed}{hint}{trimmed}")
        );
        for (word, shown) in [("-3x", 60), ("61", 61), (" 1000", 1000)] {
            session.limit_shown(Some(word.as_bytes()));
            let text = format!("*1\r\n+<value> replies are truncated at {shown} bytes.\r\n");
            assert_eq!(said(&mut session), text);
        }
        session.limit_shown(Some(b"none"));
        session.log_trimmed(vec![b'x'; 3000]);
        assert_eq!(said(&mut session).len(), 3000 + 40);
    }

    #[test]
    fn what_is_too_much_is_left_out_but_not_the_end() {
        let mut session = session();
        for _ in 0..20 {
            session.log(vec![b'x'; 1 << 20]);
        }
        session.end();
        let said = said(&mut session);
        assert!(said.starts_with("*18\r\n+<hint> Some of what was logged is left out"));
        assert!(said.ends_with("+<endsession>\r\n"));
    }
}
