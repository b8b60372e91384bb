//! The append-only log on disk: a Redis 7 multi-part AOF that also has checksums. Payloads are opaque here: whole RESP
//! commands, of which nothing but MULTI, EXEC and SELECT is known.
//!
//! - [`Recovery`] reads a directory (ours, or a real Redis's): it *verifies* every file first, telling a torn tail, which is
//!   cut off and kept beside, from corruption, which is refused; then hands out the commands; then starts the log.
//! - [`Log`] takes appends from many threads. One writer thread writes whatever has gathered with one write (group commit), or
//!   a caller who wants to acknowledge it does ([`Log::write_through`]); the writer syncs by [`FsyncPolicy`], bears full
//!   disks and failed fsyncs, and tells who waits for what is on disk.
//! - [`RewriteSink`] receives a new base while the log goes on.
//! - [`Storage`] is all that is known of a disk; [`SimulatedDisk`] is one that fails, from a seed.
//!
//! ```
//! use std::sync::Arc;
//! use innkeep_aof::{FsyncPolicy, Options, RealStorage, Recovery};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let mut options = Options::new(directory);
//! options.policy = FsyncPolicy::Always;
//! let recovery = Recovery::open(Arc::new(RealStorage), options)?;
//! assert!(recovery.report().cut.is_none());
//! let new_file = |_: &std::path::Path, _bytes_before| { /* database 0 is selected */ };
//! recovery
//!     .for_each_command(new_file, |arguments, _offset| -> Result<(), String> {
//!         println!("{} arguments", arguments.len());
//!         Ok(())
//!     })
//!     .map_err(|error| format!("{error:?}"))?;
//!
//! let log = recovery.start()?;
//! let position = log.append(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
//! log.wait_synced(position)?;
//!
//! let mut sink = log.switch()?;
//! sink.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")?;
//! sink.finish()?;
//! log.close()?;
//! # Ok(())
//! # }
//! ```

mod blocks;
mod error;
mod frame;
mod log;
mod manifest;
mod options;
mod reader;
mod rewrite;
mod shared;
mod simulated;
mod start;
mod storage;
mod verify;
mod writer;

pub use error::{AofError, LogError};
pub use log::{Log, LogStatistics};
pub use options::{FsyncPolicy, Options};
pub use reader::{ApplyError, Cut, Recovery, Report};
pub use rewrite::RewriteSink;
pub use shared::{LogState, Position};
pub use simulated::{Chance, SimulatedDisk};
pub use storage::{Claim, File, RealStorage, Storage};
