//! The last words of a program that a signal ends: which one, where, and who sent it, in the server's own log. Knows
//! nothing of the server: when it speaks, nothing else can be relied on.
#![expect(
    unsafe_code,
    reason = "a handler for signals that end the program is installed by the system's own interface"
)]

use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// Signals that no program survives.
const FATAL: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
];

/// Where the log goes; it stays open to the end.
static LOG: AtomicI32 = AtomicI32::new(-1);

/// Has the end by a signal told in the log.
pub(super) fn tell_crashes(log: RawFd) {
    LOG.store(log, Ordering::Release);
    for signal in FATAL {
        // SAFETY: all zeros is a valid `sigaction`, which is then filled in. The handler does only what a handler may: it
        // formats on its own stack, calls `write` and `raise`, both of which are safe there, and allocates nothing. It runs
        // on the stack that the standard library sets aside for signals, where the thread's own may have overflowed, and at
        // most once for each signal (`SA_RESETHAND`).
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = tell as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// DEBUG SEGFAULT: the program ends as by an access to memory that is not its own.
pub(super) fn provoke() {
    // SAFETY: it takes no memory of ours; whatever handles the signal was installed above.
    unsafe {
        libc::raise(libc::SIGSEGV);
    }
}

extern "C" fn tell(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let mut report = Report::new();
    // SAFETY: the system gives a handler of this kind a valid `siginfo_t`; whether its fields hold an address or a sender
    // depends on the signal, and reading the wrong one gives a number without meaning, nothing worse.
    let (code, address, sender) = unsafe { ((*info).si_code, (*info).si_addr(), (*info).si_pid()) };
    report.text("\n=== BUG REPORT START\ninnkeep ");
    report.text(env!("CARGO_PKG_VERSION"));
    report.text(" crashed by signal: ");
    report.number(i64::from(signal), 10);
    report.text(", si_code: ");
    report.number(i64::from(code), 10);
    if code <= 0 {
        report.text("\nKilled by PID: ");
        report.number(i64::from(sender), 10);
    } else {
        report.text("\nAccessing address: 0x");
        report.number(address as i64, 16);
    }
    report.text("\n=== BUG REPORT END\n");
    let bytes = report.bytes();
    // SAFETY: the bytes are valid for the length given. The signal is blocked until the handler returns, and then ends the
    // program as if there had been no handler.
    unsafe {
        libc::write(
            LOG.load(Ordering::Acquire),
            bytes.as_ptr().cast(),
            bytes.len(),
        );
        libc::raise(signal);
    }
}

/// A text that needs no allocation; what does not fit is cut off.
struct Report {
    bytes: [u8; 256],
    len: usize,
}

impl Report {
    const fn new() -> Self {
        Self {
            bytes: [0; 256],
            len: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
    }

    /// In decimal with its sign, or in hexadecimal without one.
    fn number(&mut self, number: i64, base: u64) {
        let negative = base == 10 && number < 0;
        if negative {
            self.byte(b'-');
        }
        let mut rest = if negative {
            number.unsigned_abs()
        } else {
            number as u64
        };
        let mut digits = [b'0'; 20];
        let mut count = 0;
        for place in digits.iter_mut().rev() {
            *place = b"0123456789abcdef"[(rest % base) as usize];
            rest /= base;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let begin = digits.len() - count;
        digits
            .iter()
            .skip(begin)
            .for_each(|digit| self.byte(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_without_allocation_and_cut_off_where_it_ends() {
        let mut report = Report::new();
        report.text("a ");
        report.number(-6, 10);
        report.text(" ");
        report.number(i64::MIN, 10);
        report.text(" ");
        report.number(0, 10);
        report.number(-1, 16);
        let expected = format!("a -6 {} 0{:x}", i64::MIN, u64::MAX);
        assert_eq!(report.bytes(), expected.as_bytes());
        (0..300).for_each(|_| report.text("x"));
        assert_eq!(report.bytes().len(), 256);
    }
}
