//! A program at a pseudo-terminal: what a person types, and what the screen then shows.
#![expect(unsafe_code, reason = "the standard library has no pseudo-terminals")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program at a pseudo-terminal of its own, and what it shows there. Dropping it kills the program.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    pub(crate) fn open(mut command: Command) -> Self {
        let (master, slave) = open_terminal();
        let slave_too = |terminal: &OwnedFd| {
            Stdio::from(terminal.try_clone().expect("a descriptor can be copied"))
        };
        command
            .stdin(slave_too(&slave))
            .stdout(slave_too(&slave))
            .stderr(slave_too(&slave))
            .env("TERM", "xterm");
        let child = command.spawn().expect("the program runs");
        drop(command);
        drop(slave);
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().expect("a descriptor can be copied");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard,
            output,
            seen: String::new(),
        }
    }

    /// What came since the last thing that was looked for.
    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal is open");
    }

    /// Waits until `words` are on the screen, and forgets all up to them.
    pub(crate) fn shows(&mut self, words: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok(part) = self.output.recv_timeout(left) else {
                return false;
            };
            self.seen.push_str(&String::from_utf8_lossy(&part));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Both ends of a new pseudo-terminal of 80 columns.
fn open_terminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = libc::winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both descriptors are out-parameters that live through the call, the name and the settings may be null,
    // and the size is a valid structure.
    let result = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        )
    };
    assert_eq!(result, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: openpty succeeded, so both are open descriptors that nobody else owns.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}
