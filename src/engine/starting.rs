//! The start of an engine: the log or the snapshot is found and loaded, and one line says in plain words what was loaded,
//! what was cut off, and what is at risk under the present settings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use innkeep_aof::{FsyncPolicy, Report};
use log::info;

use super::Inner;
use super::recovery::policy_of;
use crate::config::{Config, SavePoint};
use crate::error::Error;
use crate::keyspace::txn::Journal;

/// Where the data came from.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The disk held nothing.
    Nothing,
    /// A snapshot, of so many bytes. With `begins_log` it became the base of a log that had nothing yet.
    Snapshot {
        path: PathBuf,
        bytes: u64,
        begins_log: bool,
    },
    /// The log in this directory.
    Log { directory: PathBuf, report: Report },
}

impl Inner {
    /// Loads what the disk holds, and says so.
    pub(super) fn load(&self) -> Result<(), Error> {
        let started = Instant::now();
        let logged = self.services.config.read().bool("appendonly");
        let loaded = if logged {
            self.open_log()?
        } else {
            self.open_snapshot()?
        };
        let report = self.report(&loaded, started.elapsed().as_secs_f64());
        info!("{report}");
        *self.services.stats.start_report.lock() = report;
        self.end_loading();
        Ok(())
    }

    fn report(&self, loaded: &Loaded, seconds: f64) -> String {
        let txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let keys: usize = (0..self.keyspace.databases())
            .map(|db| txn.db_len(db))
            .sum();
        self.close(txn);
        let mut line = match loaded {
            Loaded::Nothing => "Started with no data: there was none on disk.".to_owned(),
            Loaded::Snapshot {
                path,
                bytes,
                begins_log,
            } => {
                let more = if *begins_log {
                    ", which is the base of the new log now"
                } else {
                    ""
                };
                format!(
                    "Started with {keys} keys from the snapshot {} ({bytes} bytes){more}, in {seconds:.3} seconds.",
                    path.display()
                )
            }
            Loaded::Log { directory, report } => tell_log(keys, directory, report, seconds),
        };
        line.push(' ');
        line.push_str(&risk(&self.services.config.read()));
        line
    }
}

fn tell_log(keys: usize, directory: &Path, report: &Report, seconds: f64) -> String {
    let checked = if report.checksums {
        "every checksum is right"
    } else {
        "it has no checksums"
    };
    let mut line = format!(
        "Started with {keys} keys from the log {} ({} files, {} commands, {} bytes, {checked}), in {seconds:.3} seconds.",
        directory.display(),
        report.files,
        report.commands,
        report.bytes
    );
    match &report.cut {
        None => line.push_str(" Nothing was cut off."),
        Some(cut) => {
            let _ = write!(
                line,
                " Cut off: {} bytes with {} whole commands at offset {} of {}, because of {}; they had never been synced and are \
                 kept in {}.",
                cut.bytes,
                cut.commands,
                cut.offset,
                cut.path.display(),
                cut.reason,
                cut.kept_in.display()
            );
        }
    }
    line
}

/// What a crash or a power cut may take under these settings.
fn risk(config: &Config) -> String {
    if config.bool("appendonly") {
        return match policy_of(config) {
            FsyncPolicy::Always => "At risk (appendfsync always): nothing that was acknowledged.",
            FsyncPolicy::EverySec => {
                "At risk (appendfsync everysec): the last second before a power cut; nothing that a client was told at kill -9."
            }
            FsyncPolicy::No => {
                "At risk (appendfsync no): at a power cut all that the system has not written yet; nothing that a client was told \
                 at kill -9."
            }
        }
        .to_owned();
    }
    let points = config.save_points();
    if points.is_empty() {
        return "At risk (appendonly no, no save points): everything that changes from now on; only SAVE and BGSAVE keep it."
            .to_owned();
    }
    let words: Vec<String> = points.iter().map(describe).collect();
    format!(
        "At risk (appendonly no): every change since the last snapshot, which is taken after {}.",
        words.join(" or ")
    )
}

fn describe(point: &SavePoint) -> String {
    format!("{} changes in {} seconds", point.changes, point.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_risk_follows_the_settings() {
        let risk_of = |settings: &[(&str, &str)]| {
            let mut config = Config::default();
            for (name, value) in settings {
                config
                    .assign(name.as_bytes(), value.as_bytes())
                    .expect("a valid value");
            }
            risk(&config)
        };
        let always = risk_of(&[("appendonly", "yes"), ("appendfsync", "always")]);
        assert!(always.contains("nothing that was acknowledged"));
        let none = risk_of(&[("appendonly", "no"), ("save", "")]);
        assert!(none.contains("everything that changes"));
        let points = risk_of(&[("appendonly", "no"), ("save", "60 5")]);
        assert!(points.contains("5 changes in 60 seconds"));
    }
}
