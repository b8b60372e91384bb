//! Lua's patterns, matched by steps that can be counted: whoever runs a match gets his turn every so many of them and may
//! end it. It knows bytes, and nothing of Lua's values.

/// Captures of one pattern, at most.
pub(super) const MAX_CAPTURES: usize = 32;
/// Steps between two turns of whoever runs the match.
const STEPS: u32 = 200_000;
/// Items of a pattern that are open at a time, at most: each takes a frame of the stack.
const MAX_DEPTH: u32 = 2_000;
const ESCAPE: u8 = b'%';

/// Why a match has ended before it was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// What is wrong with the pattern.
    Malformed(&'static str),
    /// Whoever runs it wants no more of it, and why.
    Ended(&'static str),
}

const NO_CLASS: Stop = Stop::Malformed("malformed pattern (ends with '%')");
const NO_BRACKET: Stop = Stop::Malformed("malformed pattern (missing ']')");
const NO_FRONTIER: Stop = Stop::Malformed("missing '[' after '%f' in pattern");
const NO_PAIR: Stop = Stop::Malformed("unbalanced pattern");
const NOT_OPEN: Stop = Stop::Malformed("invalid pattern capture");
const NO_SUCH_CAPTURE: Stop = Stop::Malformed("invalid capture index");
const NOT_CLOSED: Stop = Stop::Malformed("unfinished capture");
const TOO_MANY: Stop = Stop::Malformed("too many captures");
const TOO_DEEP: Stop = Stop::Malformed("pattern too complex");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Open,
    Position,
    Bytes(usize),
}

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Captured {
    /// A place in the text, counted from 1.
    Position(usize),
    /// This part of the text.
    Range(usize, usize),
}

/// A text, a pattern, and what the last match has captured. It has no destructor, so that an error of Lua's may leave it.
pub(super) struct Matcher<'a> {
    text: &'a [u8],
    /// Without an anchor, and up to its first zero byte.
    pattern: &'a [u8],
    captures: [(usize, Length); MAX_CAPTURES],
    level: usize,
    steps: u32,
    depth: u32,
    turn: &'a dyn Fn() -> Result<(), &'static str>,
}

type Matched = Result<Option<usize>, Stop>;

impl<'a> Matcher<'a> {
    pub(super) fn new(
        text: &'a [u8],
        pattern: &'a [u8],
        turn: &'a dyn Fn() -> Result<(), &'static str>,
    ) -> Self {
        let end = pattern.iter().position(|byte| *byte == 0);
        Self {
            text,
            pattern: pattern.get(..end.unwrap_or(pattern.len())).unwrap_or(b""),
            captures: [(0, Length::Open); MAX_CAPTURES],
            level: 0,
            steps: 0,
            depth: 0,
            turn,
        }
    }

    /// Where the match that begins at `at` ends, if there is one.
    pub(super) fn match_at(&mut self, at: usize) -> Matched {
        self.level = 0;
        self.depth = 0;
        self.step(1)?;
        self.run(at, 0)
    }

    /// How many captures the last match has.
    pub(super) const fn level(&self) -> usize {
        self.level
    }

    /// What the last match, which was this range, has captured; without captures it is the first itself.
    pub(super) fn capture(&self, index: usize, range: (usize, usize)) -> Result<Captured, Stop> {
        if index >= self.level {
            let whole = Captured::Range(range.0, range.1);
            return if index == 0 {
                Ok(whole)
            } else {
                Err(NO_SUCH_CAPTURE)
            };
        }
        match self.captures.get(index) {
            Some((at, Length::Bytes(length))) => Ok(Captured::Range(*at, at + length)),
            Some((at, Length::Position)) => Ok(Captured::Position(at + 1)),
            _ => Err(NOT_CLOSED),
        }
    }

    fn step(&mut self, count: usize) -> Result<(), Stop> {
        self.steps = self
            .steps
            .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.steps >= STEPS {
            self.steps = 0;
            (self.turn)().map_err(Stop::Ended)?;
        }
        Ok(())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.pattern.get(at).copied()
    }

    /// Matches the rest of the pattern, which begins at `item`, in a frame of its own.
    fn deeper(&mut self, at: usize, item: usize) -> Matched {
        if self.depth >= MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let matched = self.run(at, item);
        self.depth -= 1;
        matched
    }

    fn run(&mut self, mut at: usize, mut item: usize) -> Matched {
        loop {
            self.step(1)?;
            let Some(byte) = self.byte(item) else {
                return Ok(Some(at));
            };
            let next = match (byte, self.byte(item + 1)) {
                (b'(', Some(b')')) => return self.open(at, item + 2, Length::Position),
                (b'(', _) => return self.open(at, item + 1, Length::Open),
                (b')', _) => return self.close(at, item + 1),
                (b'$', None) => return Ok((at == self.text.len()).then_some(at)),
                (ESCAPE, Some(b'b')) => self.balanced(at, item + 2)?.map(|at| (at, item + 4)),
                (ESCAPE, Some(b'f')) => self.frontier(at, item + 2)?.map(|item| (at, item)),
                (ESCAPE, Some(digit @ b'0'..=b'9')) => {
                    self.again(at, digit)?.map(|at| (at, item + 2))
                }
                _ => {
                    let end = self.class_end(item)?;
                    let fits = self.fits(at, item, end);
                    match self.byte(end) {
                        Some(b'*') => return self.longest(at, item, end),
                        Some(b'+') if fits => return self.longest(at + 1, item, end),
                        Some(b'+') => return Ok(None),
                        Some(b'-') => return self.shortest(at, item, end),
                        Some(b'?') => {
                            if fits && let Some(found) = self.deeper(at + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            Some((at, end + 1))
                        }
                        _ => fits.then_some((at + 1, end)),
                    }
                }
            };
            match next {
                Some(next) => (at, item) = next,
                None => return Ok(None),
            }
        }
    }

    /// Where the item that begins here ends, without what says how often.
    fn class_end(&self, item: usize) -> Result<usize, Stop> {
        match self.byte(item) {
            Some(ESCAPE) if self.byte(item + 1).is_none() => Err(NO_CLASS),
            Some(ESCAPE) => Ok(item + 2),
            Some(b'[') => {
                let mut at = item + 1 + usize::from(self.byte(item + 1) == Some(b'^'));
                loop {
                    let byte = self.byte(at).ok_or(NO_BRACKET)?;
                    at += 1;
                    if byte == ESCAPE && self.byte(at).is_some() {
                        at += 1;
                    }
                    if self.byte(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(item + 1),
        }
    }

    /// Whether the byte of the text at `at` is of the class between `item` and `end`.
    fn fits(&self, at: usize, item: usize, end: usize) -> bool {
        let (Some(byte), Some(first)) = (self.text.get(at), self.byte(item)) else {
            return false;
        };
        match first {
            b'.' => true,
            ESCAPE => self.byte(item + 1).is_some_and(|class| is_of(*byte, class)),
            b'[' => self.in_set(*byte, item, end),
            _ => first == *byte,
        }
    }

    /// Whether a byte is in the set between `item` and `end`, brackets included.
    fn in_set(&self, byte: u8, item: usize, end: usize) -> bool {
        let set = self.pattern.get(item + 1..end - 1).unwrap_or_default();
        let (negated, mut set) = match set {
            [b'^', rest @ ..] => (true, rest),
            set => (false, set),
        };
        let mut found = false;
        while !found {
            (found, set) = match set {
                [ESCAPE, class, rest @ ..] => (is_of(byte, *class), rest),
                [low, b'-', high, rest @ ..] => ((*low..=*high).contains(&byte), rest),
                [one, rest @ ..] => (*one == byte, rest),
                [] => break,
            };
        }
        found != negated
    }

    fn longest(&mut self, at: usize, item: usize, end: usize) -> Matched {
        let mut most = 0;
        while self.fits(at + most, item, end) {
            most += 1;
        }
        self.step(most)?;
        for count in (0..=most).rev() {
            if let Some(found) = self.deeper(at + count, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn shortest(&mut self, mut at: usize, item: usize, end: usize) -> Matched {
        loop {
            if let Some(found) = self.deeper(at, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(at, item, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open(&mut self, at: usize, item: usize, length: Length) -> Matched {
        let level = self.level;
        *self.captures.get_mut(level).ok_or(TOO_MANY)? = (at, length);
        self.level = level + 1;
        let matched = self.deeper(at, item)?;
        if matched.is_none() {
            self.level -= 1;
        }
        Ok(matched)
    }

    fn close(&mut self, at: usize, item: usize) -> Matched {
        let taken = self.captures.get(..self.level).unwrap_or_default();
        let open = taken
            .iter()
            .rposition(|(_, length)| *length == Length::Open);
        let open = open.ok_or(NOT_OPEN)?;
        let mut set = |to: &dyn Fn(usize) -> Length| {
            if let Some((from, length)) = self.captures.get_mut(open) {
                *length = to(*from);
            }
        };
        set(&|from| Length::Bytes(at - from));
        let matched = self.deeper(at, item)?;
        if matched.is_none()
            && let Some((_, length)) = self.captures.get_mut(open)
        {
            *length = Length::Open;
        }
        Ok(matched)
    }

    /// `%1`: the text of a capture once more.
    fn again(&self, at: usize, digit: u8) -> Matched {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let index = index.filter(|index| *index < self.level);
        let captured = index.and_then(|index| self.captures.get(index));
        let (from, length) = match captured {
            None | Some((_, Length::Open)) => return Err(NO_SUCH_CAPTURE),
            Some((_, Length::Position)) => return Ok(None),
            Some((from, Length::Bytes(length))) => (*from, *length),
        };
        let captured = self.text.get(from..from + length);
        Ok((self.text.get(at..at + length) == captured).then_some(at + length))
    }

    /// `%bxy`.
    fn balanced(&mut self, at: usize, item: usize) -> Matched {
        let (Some(open), Some(close)) = (self.byte(item), self.byte(item + 1)) else {
            return Err(NO_PAIR);
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (index, byte) in self.text.iter().enumerate().skip(at + 1) {
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    self.step(index - at)?;
                    return Ok(Some(index + 1));
                }
            } else if *byte == open {
                depth += 1;
            }
        }
        self.step(self.text.len() - at)?;
        Ok(None)
    }

    /// `%f[set]`: where the pattern goes on, if the text passes into the set here.
    fn frontier(&self, at: usize, item: usize) -> Matched {
        if self.byte(item) != Some(b'[') {
            return Err(NO_FRONTIER);
        }
        let end = self.class_end(item)?;
        let before = at.checked_sub(1).and_then(|before| self.text.get(before));
        let in_set = |byte: Option<&u8>| self.in_set(byte.copied().unwrap_or(0), item, end);
        Ok((!in_set(before) && in_set(self.text.get(at))).then_some(end))
    }
}

/// Whether a byte is of the class of a letter (`%a`), or that byte itself.
fn is_of(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}
