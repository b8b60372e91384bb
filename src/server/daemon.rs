//! `daemonize`: the server goes on in a process of its own, which no terminal and no shell holds. Knows nothing of what
//! it will serve.
#![expect(
    unsafe_code,
    reason = "nothing safe splits a process in two and lets both halves go on"
)]

use std::fs::OpenOptions;
use std::io;
use std::process::ExitCode;

use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

unsafe extern "C" {
    /// 0 in the new process, its number in the old one, less than 0 where there is none.
    fn fork() -> i32;
}

/// Which of the two processes this is.
#[derive(Debug)]
pub(super) enum Half {
    /// The one that was started, with what it shall end with.
    Starter(ExitCode),
    /// The one that goes on.
    Daemon,
}

/// Goes on in a new process, in a session of its own, with nothing to read and nobody who reads what it prints.
///
/// # Errors
/// The system has no further process, or other threads run already, which a new one would not have.
pub(super) fn detach() -> io::Result<Half> {
    #[cfg(target_os = "linux")]
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() != 1) {
        return Err(io::Error::other("other threads run already"));
    }
    // SAFETY: no other thread runs, so the new process is whole: no lock is held that nobody would give up, and the memory
    // is a copy of this one's.
    let id = unsafe { fork() };
    if id < 0 {
        return Err(io::Error::last_os_error());
    }
    if id > 0 {
        return Ok(Half::Starter(ExitCode::SUCCESS));
    }
    setsid()?;
    let nothing = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    Ok(Half::Daemon)
}
