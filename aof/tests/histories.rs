//! Thousands of seeded histories on a disk that fails, of lives that end in a power loss or, the process killed, without one.
//! `INNKEEP_HISTORIES` says how many.
//!
//! Fault model: that of `SimulatedDisk` (unsynced pages kept, lost, zeroed, garbled or torn; names in part; failed fsync drops
//! pages; short and full writes; power off at any operation). What must hold after each recovery:
//!
//! 1. The log starts: a power loss is never taken for corruption.
//! 2. What it holds is a prefix of what was appended.
//! 3. Everything that was confirmed as synced is in it.

use std::path::Path;
use std::sync::Arc;

use innkeep_aof::{Chance, FsyncPolicy, Log, Options, Recovery, RewriteSink, SimulatedDisk};

type Failure = Box<dyn std::error::Error>;

fn options() -> Options {
    let mut options = Options::new("data");
    options.policy = FsyncPolicy::Always;
    options.unix_time = 1;
    options.unsynced_limit = 16 * 1024;
    options
}

/// Command number `number`, with a value whose length depends on it.
fn command(number: u64) -> Vec<u8> {
    let len = match number % 7 {
        0 => 3000,
        1 => 600,
        other => other * 9,
    };
    let value = "x".repeat(usize::try_from(len).unwrap_or(0));
    let name = number.to_string();
    format!(
        "*3\r\n$3\r\nSET\r\n${}\r\n{name}\r\n${}\r\n{value}\r\n",
        name.len(),
        value.len()
    )
    .into_bytes()
}

fn database(number: u64) -> Vec<u8> {
    format!("*2\r\n$6\r\nSELECT\r\n$1\r\n{}\r\n", number % 10).into_bytes()
}

/// The numbers that a recovery hands out, checked to be commands of ours; with the database that is selected at the end.
fn numbers(recovery: &Recovery) -> Result<Vec<u64>, Failure> {
    let mut numbers = Vec::new();
    let selected = std::cell::Cell::new(0);
    recovery
        .for_each_command(
            |_, _| selected.set(0),
            |arguments, _| -> Result<(), Failure> {
                if arguments.len() == 2 {
                    selected.set(std::str::from_utf8(arguments[1])?.parse()?);
                    return Ok(());
                }
                let number: u64 = std::str::from_utf8(arguments[1])?.parse()?;
                assert!(
                    arguments[2].iter().all(|&byte| byte == b'x'),
                    "a damaged value was loaded"
                );
                // Each ten lives in a database of its own.
                assert_eq!(selected.get(), number / 10 % 10, "the database of {number}");
                numbers.push(number);
                Ok(())
            },
        )
        .map_err(|error| format!("{error:?}"))?;
    Ok(numbers)
}

struct History {
    disk: SimulatedDisk,
    chance: Chance,
    /// Commands appended by all lives so far.
    appended: u64,
    /// Commands known to be on disk.
    safe: u64,
    /// Commands that the last recovery found.
    recovered: u64,
}

/// The life of one log, between two recoveries.
struct Life {
    log: Log,
    /// Position behind each command that this life appended.
    positions: Vec<(u64, u64)>,
    sink: Option<RewriteSink>,
    selected: Option<u64>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            disk: SimulatedDisk::new(),
            chance: Chance::new(seed),
            appended: 0,
            safe: 0,
            recovered: 0,
        }
    }

    fn recover(&mut self) -> Result<Recovery, Failure> {
        let recovery = Recovery::open(Arc::new(self.disk.clone()), options())?;
        let numbers = numbers(&recovery)?;
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "a prefix of what was appended");
        assert!(
            numbers.len() as u64 >= self.safe,
            "{} of {} safe ones are there",
            numbers.len(),
            self.safe
        );
        assert!(numbers.len() as u64 <= self.appended);
        self.recovered = numbers.len() as u64;
        Ok(recovery)
    }

    /// One life up to the power loss. Errors of the disk are part of it.
    fn live(&mut self, recovery: Recovery) {
        if self.chance.below(3) == 0 {
            self.disk.power_off_after(self.chance.below(40));
        }
        let Ok(log) = recovery.start_stepped() else {
            return;
        };
        // What was recovered is on disk once the log has started, and nothing else is. A start that fails decides nothing:
        // a name that was not on disk for sure may be there at the next one, and more of what was appended with it.
        self.appended = self.recovered;
        self.safe = self.appended;
        let mut life = Life {
            log,
            positions: Vec::new(),
            sink: None,
            selected: None,
        };
        for _ in 0..self.chance.below(30) {
            self.act(&mut life);
            self.note_synced(&life);
        }
        if self.chance.below(8) == 0 && life.log.close().is_ok() {
            self.safe = self.appended;
        }
    }

    fn act(&mut self, life: &mut Life) {
        match self.chance.below(21) {
            0..=8 => self.append(life),
            9..=10 => drop(life.log.write_step()),
            11 => {
                let position = life.log.position();
                let is_written = life.log.write_through(position);
                assert_eq!(is_written, life.log.is_written(position));
            }
            12..=14 => drop(life.log.step()),
            15 => self.begin_rewrite(life),
            16 => {
                if let Some(sink) = life.sink.take() {
                    if self.chance.below(4) == 0 {
                        sink.abort()
                    } else {
                        drop(sink.finish())
                    }
                }
            }
            17 => self.disk.fail_syncs(1),
            18 => self.disk.fail_writes(1),
            19 => self
                .disk
                .fail_directory_sync_after(u32::from(self.chance.below(3) > 0)),
            _ => match self.chance.below(3) {
                0 => self
                    .disk
                    .set_capacity(Some(self.disk.used() + self.chance.below(3000))),
                1 => self.disk.set_capacity(None),
                _ => self.disk.limit_writes(Some(
                    1 + usize::try_from(self.chance.below(700)).unwrap_or(0),
                )),
            },
        }
    }

    fn append(&mut self, life: &mut Life) {
        for _ in 0..=self.chance.below(4) {
            let wanted = self.appended / 10;
            let position = life.log.append_with(|buffer| {
                if life.selected != Some(wanted) {
                    buffer.extend_from_slice(&database(wanted));
                }
                buffer.extend_from_slice(&command(self.appended));
            });
            life.selected = Some(wanted);
            self.appended += 1;
            life.positions.push((self.appended, position));
        }
    }

    fn begin_rewrite(&mut self, life: &mut Life) {
        if life.sink.is_some() {
            return;
        }
        let Ok(mut sink) = life.log.switch() else {
            return;
        };
        life.selected = None;
        let mut selected = None;
        for number in 0..self.appended {
            if selected != Some(number / 10) {
                selected = Some(number / 10);
                drop(sink.write(&database(number / 10)));
            }
            if sink.write(&command(number)).is_err() {
                return;
            }
        }
        life.sink = Some(sink);
    }

    fn note_synced(&mut self, life: &Life) {
        let synced = life.log.synced();
        let known = life
            .positions
            .iter()
            .filter(|(_, position)| *position <= synced);
        self.safe = known.map(|(count, _)| *count).fold(self.safe, u64::max);
    }
}

fn run(seed: u64) -> Result<(), Failure> {
    let mut history = History::new(seed);
    for _ in 0..=history.chance.below(4) {
        let recovery = history.recover()?;
        history.live(recovery);
        let crash = history.chance.below(u64::MAX);
        history.disk = match history.chance.below(3) {
            0 => history.disk.restart(),
            _ => history.disk.crash(crash),
        };
    }
    history.recover()?;
    Ok(())
}

/// How many histories are played: `INNKEEP_HISTORIES`, or some.
fn histories() -> u64 {
    let wanted = std::env::var("INNKEEP_HISTORIES");
    wanted
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(10_000)
}

#[test]
fn what_was_synced_survives_every_power_loss() {
    for seed in 0..histories() {
        let outcome = std::panic::catch_unwind(|| run(seed));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("seed {seed}: {error}"),
            Err(_) => panic!("seed {seed}: see the panic above"),
        }
    }
}

/// A bit that flips in what the log itself says is on disk is refused, wherever it is.
#[test]
fn a_flipped_bit_in_synced_data_is_always_found() -> Result<(), Failure> {
    for seed in 0..400 {
        let mut chance = Chance::new(seed);
        let disk = SimulatedDisk::new();
        let log = Recovery::open(Arc::new(disk.clone()), options())?.start_stepped()?;
        log.append(&database(0));
        for number in 0..=chance.below(8) {
            log.append(&command(number));
            log.step()?;
        }
        if chance.below(2) == 0 {
            log.close()?;
        } else {
            log.append(&command(9));
            log.write_step()?;
        }
        let path = Path::new("data/appendonlydir/appendonly.aof.1.incr.aof");
        let synced = last_synced(&disk, path)?;
        let (offset, bit) = (chance.below(synced), u8::try_from(chance.below(8))?);
        assert!(disk.flip_bit(path, offset, bit));
        let outcome = Recovery::open(Arc::new(disk), options());
        assert!(
            outcome.is_err(),
            "seed {seed}: bit {bit} at {offset} of {synced}: {outcome:?}"
        );
    }
    Ok(())
}

/// The largest `synced` that the file's own lines tell.
fn last_synced(disk: &SimulatedDisk, path: &Path) -> Result<u64, Failure> {
    use innkeep_aof::Storage;
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?)?];
    file.read_full_at(&mut bytes, 0)?;
    let text = String::from_utf8(bytes)?;
    let numbers = text
        .lines()
        .filter(|line| line.starts_with("#CRC:"))
        .filter_map(|line| line.rsplit(':').next());
    Ok(numbers
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>()?
        .into_iter()
        .max()
        .unwrap_or(0))
}
