//! MONITOR: commands as lines for those who watch.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{ClientFlags, Services, SessionState};

impl Services {
    /// Shows a command to those who run MONITOR; `from_script`: called by a script.
    pub fn feed_monitors(
        &self,
        state: &SessionState,
        args: &[&[u8]],
        now_ms: i64,
        from_script: bool,
    ) {
        let clients = &self.clients;
        if clients.monitors.load(Ordering::Relaxed) == 0 {
            return;
        }
        let line = monitor_line(state, args, now_ms, from_script);
        for client in clients.list() {
            if client.has_flag(ClientFlags::MONITOR) && client.mailbox.push(line.clone(), now_ms) {
                client.kill();
            }
        }
    }
}

fn monitor_line(state: &SessionState, args: &[&[u8]], now_ms: i64, from_script: bool) -> Bytes {
    let addr = match (from_script, &*state.info.addr) {
        (true, _) => "lua",
        (false, "") => "in-process",
        (false, addr) => addr,
    };
    let mut line = format!(
        "+{}.{:06} [{} {addr}]",
        now_ms / 1000,
        now_ms % 1000 * 1000,
        state.db
    );
    for arg in args {
        line.push_str(" \"");
        for byte in *arg {
            push_escaped(&mut line, *byte);
        }
        line.push('"');
    }
    line.push_str("\r\n");
    Bytes::from(line)
}

fn push_escaped(line: &mut String, byte: u8) {
    match byte {
        b'\\' | b'"' => line.extend(['\\', byte as char]),
        b'\n' => line.push_str("\\n"),
        b'\r' => line.push_str("\\r"),
        b'\t' => line.push_str("\\t"),
        0x07 => line.push_str("\\a"),
        0x08 => line.push_str("\\b"),
        0x20..0x7f => line.push(byte as char),
        _ => write!(line, "\\x{byte:02x}").expect("writing to a string does not fail"),
    }
}
