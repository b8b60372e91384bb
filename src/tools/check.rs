//! `innkeep check`: reads what is on disk as a start does, says what is damaged, where, and what it costs; with `--fix` cuts
//! to the last good point and keeps what is removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use innkeep_aof::{AofError, Cut, Options, RealStorage, Recovery};

use super::backup::claim;
use super::failure::Failure;
use super::{DAMAGED, SOUND, TORN, settings};
use crate::commands::lookup;
use crate::engine::Engine;
use crate::error::Error;

const LOG_DIRECTORY: &str = "appendonlydir";
const OLD_LOG: &str = "appendonly.aof";
const SNAPSHOT: &str = "dump.rdb";
const MANIFEST: &str = "manifest";
/// Keys that are named; the others are counted.
const NAMED_KEYS: usize = 20;

/// Looks at whatever stands under this path; answers the exit code.
pub(super) fn check(path: &Path, fix: bool) -> Result<u8, Failure> {
    let kind = fs::metadata(path).map_err(Failure::at(path))?;
    if !kind.is_dir() {
        return check_file(path, fix);
    }
    if let Some(options) = log_in(path)? {
        return check_log(options, fix);
    }
    let log = path.join(LOG_DIRECTORY);
    let mut codes = Vec::new();
    if is_there(&log)? || is_there(&path.join(OLD_LOG))? {
        codes.push(check_log(Options::new(path), fix)?);
    }
    let snapshot = path.join(SNAPSHOT);
    if is_there(&snapshot)? {
        codes.push(check_rdb(&snapshot, fix)?);
    }
    if codes.is_empty() {
        return Err(Failure::new(format!(
            "{} holds neither a log nor a snapshot",
            path.display()
        )));
    }
    let worst = [DAMAGED, TORN];
    Ok(worst
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(SOUND))
}

fn is_there(path: &Path) -> Result<bool, Failure> {
    path.try_exists().map_err(Failure::at(path))
}

fn check_file(path: &Path, fix: bool) -> Result<u8, Failure> {
    let mut magic = Vec::new();
    let file = fs::File::open(path).map_err(Failure::at(path))?;
    file.take(5)
        .read_to_end(&mut magic)
        .map_err(Failure::at(path))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let of_log = log_in(parent)?;
    match of_log {
        // A file of a log is as good as the log is.
        Some(options) => check_log(options, fix),
        None if magic == b"REDIS" => check_rdb(path, fix),
        None => {
            let mut options = Options::new(parent);
            options.file_name = name_of(path);
            check_log(options, fix)
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The log whose own directory this is: the one that has a manifest.
fn log_in(directory: &Path) -> Result<Option<Options>, Failure> {
    for entry in fs::read_dir(directory).map_err(Failure::at(directory))? {
        let path = entry.map_err(Failure::at(directory))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == MANIFEST)
        {
            let directory = fs::canonicalize(directory).map_err(Failure::at(directory))?;
            let mut options = Options::new(directory.parent().unwrap_or(Path::new("/")));
            options.append_directory = name_of(&directory);
            options.file_name = name_of(&path.with_extension(""));
            return Ok(Some(options));
        }
    }
    Ok(None)
}

// ------------------------------------------------------------------------------------------------ logs

fn check_log(options: Options, fix: bool) -> Result<u8, Failure> {
    let _claim = if fix { claim(&options)? } else { None };
    match open(&options, false) {
        Ok(recovery) => {
            let code = check_base(&recovery)?;
            let report = recovery.report();
            println!(
                "Log in {}: {} files, {} commands, {} bytes, {}",
                options.directory.join(&options.append_directory).display(),
                report.files,
                report.commands,
                report.bytes,
                if report.checksums {
                    "every checksum is right"
                } else {
                    "no checksums: only its form was checked"
                }
            );
            match &report.cut {
                _ if code != SOUND => Ok(code),
                None => {
                    println!("It is sound");
                    Ok(SOUND)
                }
                Some(cut) => {
                    describe(&recovery, cut)?;
                    println!("Nothing of that was ever synced: a start cuts it off by itself");
                    if fix { repair(recovery) } else { Ok(TORN) }
                }
            }
        }
        Err(error @ AofError::Corrupt { .. }) => {
            println!("{error}");
            let recovery = open(&options, true).map_err(Error::from)?;
            if check_base(&recovery)? != SOUND {
                return Ok(DAMAGED);
            }
            if let Some(cut) = &recovery.report().cut {
                describe(&recovery, cut)?;
            }
            println!("That was safe on disk once: a start is refused");
            if fix { repair(recovery) } else { Ok(DAMAGED) }
        }
        Err(error @ AofError::Manifest { .. }) => {
            println!("{error}");
            Ok(DAMAGED)
        }
        Err(error) => Err(Error::from(error).into()),
    }
}

fn open(options: &Options, repair: bool) -> Result<Recovery, AofError> {
    let options = Options {
        repair,
        ..options.clone()
    };
    let mut recovery = Recovery::open(Arc::new(RealStorage), options)?;
    // Commands may follow the RDB that an old log begins with.
    let tail = recovery.rdb_base().and_then(|(_, mut bytes)| {
        let limits = crate::keyspace::Limits::default();
        let read = crate::rdb::read(&mut bytes, &limits, |_| Ok::<(), Error>(()));
        read.ok().map(|summary| summary.bytes)
    });
    if let Some(tail) = tail {
        recovery.set_base_tail(tail)?;
    }
    Ok(recovery)
}

/// The RDB that a log begins with. It cannot be cut: what stands behind it needs all of it.
fn check_base(recovery: &Recovery) -> Result<u8, Failure> {
    let Some((path, mut bytes)) = recovery.rdb_base() else {
        return Ok(SOUND);
    };
    let limits = crate::keyspace::Limits::default();
    let read = crate::rdb::read(&mut bytes, &limits, |_| Ok::<(), Error>(()));
    match read {
        Ok(summary) => {
            println!("{}: an RDB with {} keys", path.display(), summary.keys);
            Ok(SOUND)
        }
        Err(Error::Rdb { source, .. }) => {
            println!(
                "{} is damaged at offset {}: {source}. Commands follow that need all of it, so it cannot be cut: restore a backup",
                path.display(),
                source.offset
            );
            Ok(DAMAGED)
        }
        Err(error) => Err(error.into()),
    }
}

/// Says what a cut takes away.
fn describe(recovery: &Recovery, cut: &Cut) -> Result<(), Failure> {
    let mut keys = BTreeSet::new();
    let commands = recovery
        .for_each_cut_command(|args| {
            if let Ok(command) = lookup(args) {
                command.key_positions(args, |at| {
                    keys.extend(args.get(at).map(|key| key.to_vec()));
                });
            }
        })
        .map_err(Error::from)?;
    println!(
        "{}: damaged from offset {} on ({}). A cut there takes {} bytes of it; {commands} commands on {} keys can be made out \
         in what is taken",
        cut.path.display(),
        cut.offset,
        cut.reason,
        cut.bytes,
        keys.len()
    );
    for key in keys.iter().take(NAMED_KEYS) {
        println!("  {}", key.escape_ascii());
    }
    if keys.len() > NAMED_KEYS {
        println!("  and {} more", keys.len() - NAMED_KEYS);
    }
    Ok(())
}

/// Cuts and starts the log once, which writes its manifest anew.
fn repair(recovery: Recovery) -> Result<u8, Failure> {
    let cut = recovery.report().cut.clone();
    let log = recovery.start().map_err(Error::from)?;
    log.close()
        .map_err(|error| Failure::new(error.to_string()))?;
    if let Some(cut) = cut {
        println!(
            "Repaired: {} ends at offset {} now, what stood behind is in {}",
            cut.path.display(),
            cut.offset,
            cut.kept_in.display()
        );
    }
    Ok(SOUND)
}

// ------------------------------------------------------------------------------------------------ snapshots

fn check_rdb(path: &Path, fix: bool) -> Result<u8, Failure> {
    let engine = Engine::without_disk(settings(Path::new("."), false)?)?;
    let source = match engine.read_rdb(path) {
        Ok(summary) => {
            println!(
                "{}: an RDB of version {} with {} keys, {} bytes, {}. It is sound",
                path.display(),
                summary.version,
                summary.keys,
                summary.bytes,
                if summary.has_checksum {
                    "its checksum is right"
                } else {
                    "it has no checksum"
                }
            );
            return Ok(SOUND);
        }
        Err(Error::Rdb { source, .. }) => source,
        Err(error) => return Err(error.into()),
    };
    let keys: usize = (0..engine.keyspace().databases())
        .map(|db| keys_in(&engine, db))
        .sum();
    println!(
        "{} is damaged at offset {}: {source}. {keys} keys stand before that",
        path.display(),
        source.offset
    );
    if !fix {
        return Ok(DAMAGED);
    }
    let aside = aside(path);
    fs::rename(path, &aside).map_err(Failure::at(path))?;
    engine.write_rdb(path)?;
    println!(
        "Repaired: {} holds these {keys} keys now, the damaged file is {}",
        path.display(),
        aside.display()
    );
    Ok(SOUND)
}

fn keys_in(engine: &Engine, db: usize) -> usize {
    use crate::reply::Response;
    let mut session = engine.session();
    session.execute(&[b"SELECT", db.to_string().as_bytes()]);
    match session.execute(&[b"DBSIZE"]) {
        Response::Int(keys) => usize::try_from(keys).unwrap_or(0),
        _ => 0,
    }
}

fn aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |since| since.as_secs());
    path.with_file_name(format!("{}.damaged-{now_s}", name_of(path)))
}
