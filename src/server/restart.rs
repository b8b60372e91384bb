//! The program starts again in its own process, with the words that it was started with (DEBUG RESTART and
//! CRASH-AND-RECOVER). Knows nothing of what is served.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The words, its own name first.
static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Makes it possible. Not to be called where a part of the configuration is read from standard input, which is read once.
pub(super) fn prepare(words: Vec<OsString>) {
    // A second server in one process has the words of the first.
    drop(WORDS.set(words));
}

/// Whether it was prepared.
pub(super) fn is_possible() -> bool {
    WORDS.get().is_some()
}

/// Starts the program again, at once or after so many milliseconds. Whatever it has open is closed by that, and nothing is
/// brought to disk. Comes back only where it fails.
pub(super) fn now(delay_ms: u64) -> io::Error {
    log::warn!("Restarting the server in {delay_ms} ms...");
    log::logger().flush();
    std::thread::sleep(Duration::from_millis(delay_ms));
    let Some((name, words)) = WORDS.get().and_then(|words| words.split_first()) else {
        return io::Error::other("the words it was started with are not known");
    };
    match std::env::current_exe() {
        Ok(program) => Command::new(program).arg0(name).args(words).exec(),
        Err(problem) => problem,
    }
}
