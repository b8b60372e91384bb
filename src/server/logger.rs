//! The log of the server: lines on standard output or in a file. A thread writes them, so that a reader who does not
//! read never holds up the server; lines beyond the queue are dropped and counted. Where a file takes the lines, those
//! that matter are in it before what they tell of is answered, unless the disk is slow.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Lines that wait for their writer at most.
const QUEUE: usize = 4096;
/// How long the end of the program waits for the last lines.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a line is waited for that goes to a file.
const PATIENCE: Duration = Duration::from_millis(10);

enum Message {
    Line(String),
    Flush(Sender<()>),
}

struct Logger {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// Whether a file takes the lines, and no pipe that nobody may be reading.
    to_file: bool,
}

impl Logger {
    /// Waits until the lines so far are written, or the time is over.
    fn flush_within(&self, time: Duration) {
        let (done, finished) = channel();
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _in_time = finished.recv_timeout(time);
        }
    }
}

/// Starts logging: to a file, or to standard output where there is no path. Answers where that is open.
///
/// # Errors
///
/// The file that cannot be opened.
pub(super) fn start(path: Option<&Path>, level: &str) -> io::Result<RawFd> {
    let (out, fd): (Box<dyn Write + Send>, RawFd) = match path {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let fd = file.as_raw_fd();
            (Box::new(file), fd)
        }
        None => (Box::new(io::stdout()), io::stdout().as_raw_fd()),
    };
    let to_file = path.is_some() || fs::metadata("/dev/stdout").is_ok_and(|out| out.is_file());
    let (queue, lines) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let lost = Arc::clone(&dropped);
    std::thread::Builder::new()
        .name("innkeep-log".into())
        .spawn(move || write_lines(out, &lines, &lost))?;
    set_level(level);
    // A second server in one process goes on with the first one's logger.
    drop(log::set_boxed_logger(Box::new(Logger {
        queue,
        dropped,
        to_file,
    })));
    Ok(fd)
}

/// `loglevel`: `debug`, `verbose`, `notice` or `warning`.
pub(super) fn set_level(level: &str) {
    log::set_max_level(match level {
        "debug" => LevelFilter::Trace,
        "verbose" => LevelFilter::Debug,
        "warning" => LevelFilter::Warn,
        _ => LevelFilter::Info,
    });
}

fn write_lines(mut out: Box<dyn Write + Send>, lines: &Receiver<Message>, lost: &AtomicU64) {
    while let Ok(message) = lines.recv() {
        // A log that cannot be written must not stop the server, and there is nowhere to say so.
        match message {
            Message::Line(line) => {
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    drop(writeln!(
                        out,
                        "{lost} lines of this log were lost because nobody read them"
                    ));
                }
                drop(out.write_all(line.as_bytes()));
                drop(out.flush());
            }
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mark = match record.level() {
            Level::Error | Level::Warn => '#',
            Level::Info => '*',
            Level::Debug => '-',
            Level::Trace => '.',
        };
        let now = jiff::Zoned::now().strftime("%d %b %Y %H:%M:%S%.3f");
        let line = format!("{}:M {now} {mark} {}\n", std::process::id(), record.args());
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.to_file && record.level() <= Level::Info {
            self.flush_within(PATIENCE);
        }
    }

    /// Where nobody reads the log, its last lines go with the program.
    fn flush(&self) {
        self.flush_within(LAST_WORDS);
    }
}
