//! The title of the server's process: `set-proc-title` and `proc-title-template`.

use std::ffi::OsString;
use std::sync::OnceLock;

use log::{info, warn};

use super::start_words::StartWords;
use crate::config::Config;

/// Redis shows no more of a title.
const MAX_BYTES: usize = 255;

/// What the title stands in, and the name that the program was started with.
static PROCESS: OnceLock<(StartWords, OsString)> = OnceLock::new();

/// Takes the place of the title, before anything else runs. Where it cannot be had, the process keeps its own words.
pub(super) fn prepare(program: OsString) {
    if let Some(words) = StartWords::take() {
        // A process starts its server once; the words of a second one belong to the first.
        let _ = PROCESS.set((words, program));
    }
}

/// Shows the title that is configured; says so where the system has no such thing.
pub(super) fn show_first(config: &Config) {
    if !config.bool("set-proc-title") {
        return;
    }
    if PROCESS.get().is_some() {
        show(config);
    } else if cfg!(target_os = "linux") {
        warn!(
            "The title of the process cannot be set: the words that it was started with are not ours."
        );
    } else {
        info!("The title of the process is not set: this system shows none.");
    }
}

/// Shows the title that is configured, if there is to be one.
pub(super) fn show(config: &Config) {
    if !config.bool("set-proc-title") {
        return;
    }
    if let Some((words, program)) = PROCESS.get() {
        let mut title = expand(config, program.as_encoded_bytes());
        title.truncate(MAX_BYTES);
        words.replace_by(&title);
    }
}

/// The template with its variables replaced. CONFIG SET has judged it.
fn expand(config: &Config, program: &[u8]) -> Vec<u8> {
    let mut title = Vec::new();
    let mut rest = config.text("proc-title-template");
    while let Some(at) = rest.iter().position(|byte| *byte == b'{') {
        let (text, tail) = rest.split_at(at);
        title.extend_from_slice(text);
        if let Some(after) = tail.strip_prefix(b"{{") {
            title.push(b'{');
            rest = after;
            continue;
        }
        let Some(end) = tail.iter().position(|byte| *byte == b'}') else {
            break;
        };
        let (variable, after) = tail.split_at(end + 1);
        title.extend_from_slice(&value(config, program, variable));
        rest = after;
    }
    title.extend_from_slice(rest);
    title.trim_ascii().to_vec()
}

/// What stands for a variable, which is given in its braces.
fn value(config: &Config, program: &[u8], variable: &[u8]) -> Vec<u8> {
    let port = config.u64("port").to_string();
    let tls_port = config.u64("tls-port").to_string();
    let socket = config.text("unixsocket");
    match variable {
        b"{title}" => program.to_vec(),
        b"{listen-addr}" if port == "0" && tls_port == "0" => [b"unixsocket:", socket].concat(),
        b"{listen-addr}" => {
            let address = config.bind().first();
            let address = address.map_or(&b"*"[..], |address| address);
            let port = if port == "0" { tls_port } else { port };
            [address, b":", port.as_bytes()].concat()
        }
        b"{port}" => port.into_bytes(),
        b"{tls-port}" => tls_port.into_bytes(),
        b"{unixsocket}" => socket.to_vec(),
        b"{config-file}" => config.file.as_ref().map_or_else(
            || b"-".to_vec(),
            |path| path.as_os_str().as_encoded_bytes().to_vec(),
        ),
        // {server-mode}: there is neither a cluster nor a sentinel here.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Identity;

    #[track_caller]
    fn check(options: &str, title: &str) {
        let mut config = Config::new(Identity::RedisServer);
        config.load_text(options.as_bytes()).expect("valid options");
        assert_eq!(
            String::from_utf8_lossy(&expand(&config, b"/bin/redis")),
            title
        );
    }

    #[test]
    fn tells_what_redis_tells() {
        check("port 7", "/bin/redis *:7");
        check("port 7\nbind ::1 10.0.0.1", "/bin/redis ::1:7");
        check("port 0\nunixsocket /tmp/s", "/bin/redis unixsocket:/tmp/s");
        check(
            "port 7\nproc-title-template \" T{title}|{server-mode}|{port}|{tls-port}|{unixsocket}|{config-file}| \"",
            "T/bin/redis||7|0||-|",
        );
        check("proc-title-template {title}}", "/bin/redis}");
        check("proc-title-template {{title}}", "{title}}");
        check("proc-title-template a{{", "a{");
    }
}
