//! The words that this process was started with, as everybody else sees them (`ps`, /proc/PID/cmdline): other text can
//! take their place. Knows not what the text says.
#![expect(
    unsafe_code,
    reason = "the system shows memory of the process that nothing safe can name"
)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

unsafe extern "C" {
    /// What the C library and ours read the environment from.
    static mut environ: *mut *mut c_char;
}

/// Where the words stand, and behind them what the environment was at first: all of it shows text that is long.
#[derive(Debug)]
pub(super) struct StartWords {
    area: &'static [AtomicU8],
}

impl StartWords {
    /// Takes the memory over. None where that is not safe: other threads run already, or the system does not say where
    /// the words are (only Linux does).
    pub(super) fn take() -> Option<Self> {
        let (start, end) = bounds(&std::fs::read("/proc/self/stat").ok()?)?;
        if std::fs::read_dir("/proc/self/task").ok()?.count() != 1 {
            return None;
        }
        move_environment();
        // SAFETY: the system has put the words and the environment there, one behind the other, when it started the
        // process; the memory belongs to the first thread's stack, may be written and stays to the end of the process.
        // Nothing of Rust's refers to it, since the standard library copies a word whenever it is asked for one, and the
        // environment has just been moved. Bytes have no alignment, and no other thread runs that could do the same:
        // whoever comes second finds the threads of the first, or text of the first in memory that nobody else uses.
        let area = unsafe {
            std::slice::from_raw_parts(ptr::with_exposed_provenance::<AtomicU8>(start), end - start)
        };
        let last = area.last()?.load(Ordering::Relaxed);
        assert_eq!(last, 0, "the environment ends as every C string does");
        Some(Self { area })
    }

    /// Shows other text in their place, cut to the room there is. The last byte stays 0, so that whatever still reads a word
    /// finds its end.
    pub(super) fn replace_by(&self, text: &[u8]) {
        let room = self.area.len() - 1;
        let bytes = text.iter().copied().take(room);
        for (place, byte) in self.area.iter().zip(bytes.chain(std::iter::repeat(0))) {
            place.store(byte, Ordering::Relaxed);
        }
    }
}

/// Where the words begin and the environment behind them ends, from what the system says about a process.
fn bounds(stat: &[u8]) -> Option<(usize, usize)> {
    // The second field is a name in parentheses, in which there may be anything.
    let named = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(named + 1..)?).ok()?;
    // Fields 48 to 51 of proc(5), without the first two.
    let mut fields = text.split_ascii_whitespace().skip(45);
    let mut next = || fields.next()?.parse::<usize>().ok();
    let (words, words_end, environment, end) = (next()?, next()?, next()?, next()?);
    let is_one_piece = words > 0 && words < words_end && words_end == environment;
    (is_one_piece && environment <= end).then_some((words, end))
}

/// Moves the environment to memory of its own, which is never freed. No other thread runs.
fn move_environment() {
    let mut moved: Vec<*mut c_char> = Vec::new();
    // SAFETY: `environ` is null or an array that a null pointer ends, of C strings; nobody changes it meanwhile, because no
    // other thread runs. What takes its place has the same form and is never freed.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let copy: CString = CStr::from_ptr(*entry).to_owned();
            moved.push(copy.into_raw());
            entry = entry.add(1);
        }
        moved.push(ptr::null_mut());
        environ = Box::leak(moved.into_boxed_slice()).as_mut_ptr();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bounds_whatever_the_name_is() {
        let fields = (3..=47)
            .map(|field| format!("{field} "))
            .collect::<String>();
        let stat = |rest: &str| format!("7 (a) b ) S) {fields}{rest} 0\n").into_bytes();
        assert_eq!(bounds(&stat("100 120 120 900")), Some((100, 900)));
        assert_eq!(bounds(&stat("100 120 130 900")), None);
        assert_eq!(bounds(&stat("0 0 0 0")), None);
        assert_eq!(bounds(&stat("100 120 120 x")), None);
        assert_eq!(bounds(b"7 (a) S 1 2"), None);
        assert_eq!(bounds(b""), None);
    }

    #[test]
    fn are_left_alone_where_other_threads_run() {
        std::thread::scope(|scope| {
            let (over, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv());
            assert!(StartWords::take().is_none());
            drop(over);
        });
    }

    #[test]
    fn show_other_text_as_far_as_there_is_room() {
        let area: &'static [AtomicU8] = Box::leak(Box::new([const { AtomicU8::new(7) }; 6]));
        let words = StartWords { area };
        let shown = || {
            area.iter()
                .map(|byte| byte.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        words.replace_by(b"longer");
        assert_eq!(shown(), b"longe\0");
        words.replace_by(b"ab");
        assert_eq!(shown(), b"ab\0\0\0\0");
    }
}
