//! The tools beside the server: looking at what is on disk, backing up, moving data in and out. Arguments in, lines and an
//! exit code out; nothing imports this but the program.

mod backup;
mod check;
mod failure;
mod peer;
mod stream;
mod transfer;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Identity};
use failure::Failure;
use stream::Trust;

/// Everything is as it should be, or was repaired.
const SOUND: u8 = 0;
/// Data that was safe is damaged: a start is refused.
const DAMAGED: u8 = 1;
/// It could not be done: a file, a server, the disk.
const FAILED: u8 = 3;
/// The end was never synced and is torn: a start cuts it off by itself.
const TORN: u8 = 4;

const EXIT_CODES: &str = "Exit codes: 0 sound (or repaired), 1 damaged, 2 wrong arguments, 3 it could not be done, \
                          4 only an end that was never synced is torn (a start cuts it off by itself).";

#[derive(Debug, Parser)]
#[command(name = "innkeep", version, about = "Tools for the data of innkeep and Redis", after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Verifies a data directory, a log or an RDB file: manifest, batches, checksums
    #[command(after_help = EXIT_CODES)]
    Check {
        /// A data directory, a directory of a log, or a file
        path: PathBuf,
        /// Repair to the last good point; what is removed is kept in a file beside
        #[arg(long)]
        fix: bool,
    },
    /// Writes all data into one RDB file, consistent, and verifies it by reading it back
    Backup {
        /// The file to write
        dest: PathBuf,
        #[command(flatten)]
        source: Source,
    },
    /// Puts a backup into a data directory, from which the next start loads it
    Restore {
        /// An RDB file
        file: PathBuf,
        /// The data directory; what it holds is set aside
        #[arg(long, default_value = "data")]
        dir: PathBuf,
        /// Set data aside that is there already
        #[arg(long)]
        force: bool,
    },
    /// Takes data in: from a data directory of Redis, an RDB file, or a running server
    Import {
        /// A directory, a file, or redis://[[user]:password@]host[:port], rediss:// with TLS
        source: String,
        /// The data directory of innkeep that receives it; no server may run there
        #[arg(long, default_value = "data")]
        dir: PathBuf,
        /// A running server that receives it instead
        #[arg(long, conflicts_with = "dir")]
        to: Option<String>,
        /// Go on although there is data already: its keys are kept unless they are imported too
        #[arg(long)]
        merge: bool,
        #[command(flatten)]
        trust: Trust,
    },
    /// Gives data out: into an RDB file, or to a running Redis or Valkey
    Export {
        /// A file, or redis://[[user]:password@]host[:port], rediss:// with TLS
        dest: String,
        #[command(flatten)]
        source: Source,
    },
}

/// Where a backup or an export takes its data from.
#[derive(Debug, Args)]
struct Source {
    /// The running server, as redis://[[user]:password@]host[:port], rediss:// with TLS
    #[arg(long, default_value = "redis://127.0.0.1:6379")]
    from: String,
    /// A data directory that no server uses, instead
    #[arg(long, conflicts_with = "from")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

const NAMES: [&str; 6] = ["check", "backup", "restore", "import", "export", "help"];

/// Whether the arguments, which begin with the program's name, name a tool. Under the name redis-server there is none: a
/// configuration file may have any name.
#[must_use]
pub(crate) fn are_meant(arguments: &[OsString]) -> bool {
    let program = arguments.first().map_or(Path::new(""), Path::new);
    let first = arguments.get(1).and_then(|first| first.to_str());
    Identity::of_program(program) == Identity::Innkeep
        && first.is_some_and(|first| NAMES.contains(&first))
}

/// Runs a tool.
#[must_use]
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let tool = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.tool,
        Err(problem) => {
            // Where nobody reads it there is nobody to tell.
            drop(problem.print());
            return ExitCode::from(u8::try_from(problem.exit_code()).unwrap_or(FAILED));
        }
    };
    let done = match tool {
        Tool::Check { path, fix } => check::check(&path, fix),
        Tool::Backup { dest, source } => backup::back_up(&dest, &source).map(|()| SOUND),
        Tool::Restore { file, dir, force } => backup::restore(&file, &dir, force).map(|()| SOUND),
        Tool::Import {
            source,
            dir,
            to,
            merge,
            trust,
        } => transfer::import((&source, &trust), &dir, to.as_deref(), merge).map(|()| SOUND),
        Tool::Export { dest, source } => transfer::export(&dest, &source).map(|()| SOUND),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(FAILED)
        }
    }
}

/// The settings of an engine that works for a tool: with a log or without one, and with room for every database that
/// anybody may have used.
fn settings(dir: &Path, log: bool) -> Result<Config, Failure> {
    let mut config = Config::default();
    let dir = dir.as_os_str().as_encoded_bytes();
    let settings: [(&[u8], &[u8]); 4] = [
        (b"dir", dir),
        (b"appendonly", if log { b"yes" } else { b"no" }),
        (b"databases", b"256"),
        (b"save", b""),
    ];
    for (name, value) in settings {
        config
            .assign(name, value)
            .map_err(|problem| Failure::new(problem.to_string()))?;
    }
    Ok(config)
}
