//! Backups: one RDB file with everything in it, of one moment, which a real Redis loads too; and the way back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use innkeep_aof::{Claim, Options, RealStorage, Storage};

use super::failure::Failure;
use super::peer::{Peer, field};
use super::{Source, settings};
use crate::engine::Engine;
use crate::engine::backup::{Backup, copy_rdb, verify_rdb};
use crate::reply::Response;

/// How often a server is asked whether its snapshot is written.
const ASKED_EVERY: Duration = Duration::from_millis(50);
const LOG_DIRECTORY: &str = "appendonlydir";
const OLD_LOG: &str = "appendonly.aof";
const SNAPSHOT: &str = "dump.rdb";

/// Writes everything into one file and reads it back.
pub(super) fn back_up(dest: &Path, source: &Source) -> Result<(), Failure> {
    let Backup { keys, bytes } = match &source.dir {
        Some(dir) => Engine::read_only(settings(dir, true)?)?.write_rdb(dest)?,
        None => take_from_server(dest, Peer::connect(&source.from, &source.trust)?)?,
    };
    println!(
        "{}: {keys} keys, {bytes} bytes, read back and found sound",
        dest.display()
    );
    Ok(())
}

/// Has a server on this machine write its snapshot, which is of one moment, and copies that.
fn take_from_server(dest: &Path, mut server: Peer) -> Result<Backup, Failure> {
    wait_until_saved(&mut server)?;
    while !begin_snapshot(&mut server)? {
        wait_until_saved(&mut server)?;
    }
    let info = wait_until_saved(&mut server)?;
    if field(&info, "rdb_last_bgsave_status") != Some("ok") {
        return Err(Failure::new(format!(
            "{} could not write its snapshot; its log says why",
            server.name()
        )));
    }
    let path =
        PathBuf::from(setting(&mut server, "dir")?).join(setting(&mut server, "dbfilename")?);
    copy_rdb(&disk(), &path, dest).map_err(|error| {
        Failure::new(format!(
            "{}: {error}. A backup is taken on the machine of the server",
            path.display()
        ))
    })
}

/// False where something else is being written at the moment.
fn begin_snapshot(server: &mut Peer) -> Result<bool, Failure> {
    match server.ask(&[vec![b"BGSAVE".to_vec()]])?.pop() {
        Some(Response::Error(text))
            if text.contains("progress") || text.contains("child process") =>
        {
            Ok(false)
        }
        Some(Response::Error(text)) => Err(Failure::new(format!(
            "{} refuses BGSAVE: {text}",
            server.name()
        ))),
        _ => Ok(true),
    }
}

fn wait_until_saved(server: &mut Peer) -> Result<String, Failure> {
    loop {
        let info = server.demand_text(&["INFO", "persistence"])?;
        let busy = [
            "rdb_bgsave_in_progress",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
        ]
        .iter()
        .any(|name| field(&info, name).is_some_and(|value| value != "0"));
        if !busy {
            return Ok(info);
        }
        std::thread::sleep(ASKED_EVERY);
    }
}

fn setting(server: &mut Peer, name: &str) -> Result<String, Failure> {
    let words = ["CONFIG", "GET", name];
    let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    match server.demand(words)? {
        Response::Array(mut pair) => match pair.pop() {
            Some(Response::Bulk(value)) => Ok(String::from_utf8_lossy(&value).into_owned()),
            _ => Err(Failure::new(format!(
                "{} does not tell {name}",
                server.name()
            ))),
        },
        _ => Err(Failure::new(format!(
            "{} does not tell {name}",
            server.name()
        ))),
    }
}

fn disk() -> Arc<dyn Storage> {
    Arc::new(RealStorage)
}

/// Puts a backup into a data directory.
pub(super) fn restore(file: &Path, dir: &Path, force: bool) -> Result<(), Failure> {
    verify_rdb(&*disk(), file)?;
    fs::create_dir_all(dir).map_err(Failure::at(dir))?;
    let _claim = claim(&Options::new(dir))?;
    if holds_data(dir)? {
        if !force {
            return Err(Failure::new(format!(
                "{} holds data already. With --force it is set aside",
                dir.display()
            )));
        }
        set_aside(dir)?;
    }
    let path = dir.join(SNAPSHOT);
    let Backup { keys, .. } = copy_rdb(&disk(), file, &path)?;
    println!(
        "{}: {keys} keys; the next start of innkeep on {} loads them",
        path.display(),
        dir.display()
    );
    Ok(())
}

/// The log of a server that runs is not touched: it is taken until this is dropped.
pub(super) fn claim(options: &Options) -> Result<Option<Claim>, Failure> {
    let log = options.directory.join(&options.append_directory);
    if !log.try_exists().map_err(Failure::at(&log))? {
        return Ok(None);
    }
    let lock = options.lock_file();
    match disk().claim(&lock).map_err(Failure::at(&lock))? {
        Some(claim) => Ok(Some(claim)),
        None => Err(Failure::new(format!(
            "{} is in use by a server that runs: it has to be stopped first",
            log.display()
        ))),
    }
}

/// Whether a start would find a log or a snapshot there.
pub(super) fn holds_data(dir: &Path) -> Result<bool, Failure> {
    for name in [LOG_DIRECTORY, OLD_LOG, SNAPSHOT] {
        let path = dir.join(name);
        if path.try_exists().map_err(Failure::at(&path))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn set_aside(dir: &Path) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |since| since.as_secs());
    for name in [LOG_DIRECTORY, OLD_LOG, SNAPSHOT] {
        let path = dir.join(name);
        if path.try_exists().map_err(Failure::at(&path))? {
            let aside = dir.join(format!("{name}.before-{now_s}"));
            fs::rename(&path, &aside).map_err(Failure::at(&path))?;
            println!("{} is now {}", path.display(), aside.display());
        }
    }
    Ok(())
}
