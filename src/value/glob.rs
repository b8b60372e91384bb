//! Glob patterns as KEYS, SCAN MATCH and PSUBSCRIBE have them: `*`, `?`, `[abc]`, `[^a-c]` and `\` before a literal.
//! Bytes only: no keys, no character sets.

/// Stars that a match may go through.
const MAX_STARS: usize = 1000;

/// Whether `text` matches the whole of `pattern`.
///
/// Time is at most proportional to the product of the two lengths, whatever the pattern: every element but `*` takes
/// exactly one byte, so when a later part fails only the last `*` can help by taking one byte more.
///
/// As in Redis, a pattern with more than [`MAX_STARS`] separate stars before its end matches nothing once so many were
/// needed, and an empty text matches the empty pattern only, not `*`; commands that take `*` for everything ask
/// before they come here.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut pattern_at = 0;
    let mut text_at = 0;
    // Where to resume: after the last `*`, and the first byte of text that it has not taken.
    let mut resume: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        let rest = &pattern[pattern_at..];
        if rest.first() == Some(&b'*') {
            pattern_at += 1;
            if pattern_at == pattern.len() {
                return true;
            }
            if pattern[pattern_at] != b'*' {
                stars += 1;
            }
            if stars > MAX_STARS {
                return false;
            }
            resume = Some((pattern_at, text_at));
            continue;
        }
        match text.get(text_at) {
            None => return rest.is_empty(),
            Some(byte) => {
                if let Some(taken) = match_one(rest, *byte, ignore_case) {
                    pattern_at += taken;
                    text_at += 1;
                    continue;
                }
            }
        }
        let Some((star_pattern, star_text)) = resume else {
            return false;
        };
        resume = Some((star_pattern, star_text + 1));
        pattern_at = star_pattern;
        text_at = star_text + 1;
    }
}

/// Whether a pattern has no special byte in it, so that it matches only itself.
#[must_use]
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Matches one byte against the element that `pattern` begins with; the length of that element if it does.
fn match_one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (found, len) = match_class(class, byte, ignore_case);
            found.then_some(len + 1)
        }
        [b'\\', literal, ..] => same(*literal, byte, ignore_case).then_some(2),
        [literal, ..] => same(*literal, byte, ignore_case).then_some(1),
    }
}

fn same(left: u8, right: u8, ignore_case: bool) -> bool {
    left == right || (ignore_case && left.eq_ignore_ascii_case(&right))
}

/// Looks a byte up in the class that follows `[`: whether it is in, and the length up to and with `]`. A class that is
/// never closed ends with the pattern.
fn match_class(class: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= same(*literal, byte, ignore_case);
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= in_range(*low, *high, byte, ignore_case);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, ignore_case);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

/// The two ends may stand in either order.
fn in_range(low: u8, high: u8, byte: u8, ignore_case: bool) -> bool {
    let (low, high) = (low.min(high), low.max(high));
    if ignore_case {
        let (low, high) = (low.to_ascii_lowercase(), high.to_ascii_lowercase());
        (low..=high).contains(&byte.to_ascii_lowercase())
    } else {
        (low..=high).contains(&byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Expected values: KEYS of redis-server 7.0.15.
    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("**", "", false),
            ("a*", "a", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*d", "abc", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("[\\]]", "]", true),
            ("[]", "]", false),
            ("[^]", "x", true),
            ("[ab", "a", true),
            ("[ab", "c", false),
            ("a\\", "a\\", true),
            ("**a", "ba", true),
            ("[a-", "-", true),
            ("[a-", "a", true),
            ("[a-]", "]", true),
            ("*.js", "a.jsx.js", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn case_can_be_ignored() {
        assert!(matches(b"A[B-D]\\E*", b"acexyz", true));
        assert!(!matches(b"A[B-D]\\E*", b"acexyz", false));
    }

    #[test]
    fn hostile_patterns_take_bounded_time() {
        let mut pattern = b"*a".repeat(2_000);
        pattern.push(b'b');
        let text = vec![b'a'; 5_000];
        assert!(!matches(&pattern, &text, false));
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            _ => match text {
                [] => false,
                [byte, tail @ ..] => match_one(pattern, *byte, false)
                    .is_some_and(|taken| naive(&pattern[taken..], tail)),
            },
        }
    }

    proptest! {
        #[test]
        fn agrees_with_full_backtracking(pattern in "[ab*?\\[\\]^\\\\-]{0,10}", text in "[ab\\]^\\\\-]{0,8}") {
            prop_assume!(!text.is_empty());
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
