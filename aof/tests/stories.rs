//! Single stories of a log: real files and threads, a full disk, a failing fsync, torn and damaged files, Redis's own files.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::{fmt, io};

use innkeep_aof::{
    AofError, Chance, File, FsyncPolicy, Log, LogState, Options, RealStorage, Recovery,
    RewriteSink, SimulatedDisk, Storage,
};

type Failure = Box<dyn std::error::Error>;

const FIRST: &str = "data/appendonlydir/appendonly.aof.1.incr.aof";
const MANIFEST: &str = "data/appendonlydir/appendonly.aof.manifest";

fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    out.into_bytes()
}

fn options() -> Options {
    let mut options = Options::new("data");
    options.policy = FsyncPolicy::Always;
    options.unix_time = 7;
    options
}

fn open(disk: &SimulatedDisk) -> Result<Recovery, AofError> {
    Recovery::open(Arc::new(disk.clone()), options())
}

fn start(disk: &SimulatedDisk) -> Result<Log, AofError> {
    open(disk)?.start_stepped()
}

/// Every command as one line of text.
fn contents(recovery: &Recovery) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    recovery
        .for_each_command(
            |_, _| {},
            |arguments, _| -> Result<(), std::convert::Infallible> {
                lines.push(String::from_utf8_lossy(&arguments.join(&b' ')).into_owned());
                Ok(())
            },
        )
        .map_err(|error| format!("{error:?}"))?;
    Ok(lines)
}

fn put(disk: &SimulatedDisk, path: &str, bytes: &[u8]) -> Result<(), Failure> {
    disk.create(Path::new(path))?.write_all_at(bytes, 0)?;
    Ok(())
}

fn get(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>, Failure> {
    let file = storage.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?)?];
    file.read_full_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn many_threads_append_to_real_files_and_rewrite_meanwhile() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    for policy in [FsyncPolicy::Always, FsyncPolicy::EverySec, FsyncPolicy::No] {
        let place = directory.path().join(format!("{policy:?}"));
        let mut options = Options::new(&place);
        options.policy = policy;
        let log = Recovery::open(Arc::new(RealStorage), options.clone())?.start()?;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..100 {
                        let position =
                            log.append(&command(&["SET", &format!("{thread}:{number}"), "v"]));
                        if policy == FsyncPolicy::Always && number % 10 == 0 {
                            log.wait_synced(position).expect("a sound disk");
                            assert!(log.is_synced(position));
                        }
                    }
                });
            }
        });
        log.flush_and_sync()?;
        assert_eq!(log.synced(), log.position());
        let mut sink = log.switch()?;
        assert!(matches!(log.switch(), Err(AofError::RewriteInProgress)));
        log.append(&command(&["SET", "after", "v"]));
        sink.write(&command(&["SET", "base", "v"]))?;
        sink.finish()?;
        log.append(&command(&["SET", "last", "v"]));
        let statistics = log.statistics();
        assert!(
            statistics.base_size > 0
                && statistics.current_size > statistics.base_size
                && !statistics.rewriting
        );
        log.close()?;
        assert_eq!(log.state(), LogState::Closed);

        let recovery = Recovery::open(Arc::new(RealStorage), options)?;
        assert_eq!(
            contents(&recovery)?,
            ["SET base v", "SET after v", "SET last v"]
        );
        let report = recovery.report();
        assert!(
            report.checksums && report.cut.is_none() && report.files == 2,
            "{report:?}"
        );
        let names = RealStorage.list(&place.join("appendonlydir"))?;
        assert_eq!(
            names,
            [
                "appendonly.aof.1.base.aof",
                "appendonly.aof.2.incr.aof",
                "appendonly.aof.manifest"
            ]
        );
    }
    Ok(())
}

#[test]
fn a_waker_is_woken_by_the_sync_and_not_before() -> Result<(), Failure> {
    let log = start(&SimulatedDisk::new())?;
    let position = log.append(&command(&["PING"]));
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    assert!(log.poll_synced(position, &mut context).is_pending());
    log.write_step()?;
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "written is not synced");
    log.step()?;
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(log.poll_synced(position, &mut context), Poll::Ready(Ok(())));
    Ok(())
}

#[test]
fn short_writes_are_taken_over_from_the_writer() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let first = log.append(&command(&["SET", "a", "1"]));
    assert!(!log.write_through(first), "a file begins with an fsync");
    assert!(log.poll_written(first, &mut context).is_pending());
    log.write_step()?;
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(log.poll_written(first, &mut context), Poll::Ready(Ok(())));
    let second = log.append(&command(&["SET", "b", "2"]));
    assert!(!log.is_written(second) && log.write_through(second) && log.is_written(second));
    assert!(!log.is_synced(second));
    let bytes = get(&disk, Path::new(FIRST))?;
    assert!(bytes.windows(5).any(|part| part == b"b\r\n$1"));
    let sink = log.switch()?;
    let third = log.append(&command(&["SET", "c", "3"]));
    assert!(!log.write_through(third), "another file is to be begun");
    log.write_step()?;
    sink.abort();
    assert!(log.is_written(third));
    disk.set_capacity(Some(disk.used()));
    let fourth = log.append(&command(&["SET", "d", "4"]));
    assert!(!log.write_through(fourth));
    assert!(log.poll_written(fourth, &mut context).is_ready());
    disk.set_capacity(None);
    log.step()?;
    assert!(log.is_synced(fourth));
    assert_eq!(contents(&open(&disk.crash(1))?)?.len(), 4);
    Ok(())
}

#[test]
fn what_others_wrote_is_synced_within_a_second_too() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let mut options = Options::new(directory.path());
    options.policy = FsyncPolicy::EverySec;
    let log = Recovery::open(Arc::new(RealStorage), options)?.start()?;
    let mut position = log.append(&command(&["SET", "a", "0"]));
    log.wait_synced(position)?;
    for number in 0..20_000 {
        position = log.append(&command(&["SET", "a", &number.to_string()]));
        while !log.write_through(position) && !log.is_written(position) {
            std::thread::yield_now();
        }
    }
    log.wait_synced(position)?;
    log.close()?;
    Ok(())
}

#[test]
fn a_full_disk_refuses_acknowledges_nothing_and_recovers() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let mut options = options();
    options.pending_limit = 100;
    let log = Recovery::open(Arc::new(disk.clone()), options)?.start_stepped()?;
    let safe = log.append(&command(&["SET", "a", "1"]));
    log.step()?;
    let before = disk.used();
    disk.set_capacity(Some(before + 10));
    let position = log.append(&command(&["SET", "b", &"x".repeat(200)]));
    assert!(!log.has_room() && !log.is_writable());
    assert!(log.step().is_err());
    let LogState::Failing(error) = log.state() else {
        panic!("the disk is full")
    };
    assert_eq!(error.cause(), "No space left on device");
    assert_eq!(disk.used(), before, "the short write is taken back");
    assert!(log.is_synced(safe) && !log.is_synced(position));
    assert_eq!(log.wait_synced(position), Err(error.clone()));
    assert_eq!(log.wait_for_room(), Err(error));
    disk.set_capacity(None);
    log.step()?;
    assert_eq!(log.state(), LogState::Open);
    assert!(log.is_synced(position) && log.is_writable());
    assert_eq!(contents(&open(&disk.crash(1))?)?.len(), 2);
    Ok(())
}

/// The disk of a real log is full for a while; its writer thread comes back by itself.
#[test]
fn the_writer_thread_recovers_by_itself() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = open(&disk)?.start()?;
    disk.set_capacity(Some(disk.used()));
    let position = log.append(&command(&["SET", "a", "1"]));
    assert!(log.wait_synced(position).is_err());
    disk.set_capacity(None);
    while log.wait_synced(position).is_err() {
        std::thread::yield_now();
    }
    log.close()?;
    Ok(())
}

#[test]
fn after_a_failed_fsync_a_new_file_holds_what_was_not_safe() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SELECT", "3"]));
    log.append(&command(&["SET", "a", "1"]));
    log.step()?;
    let old = get(&disk, Path::new(FIRST))?.len();
    let position = log.append(&command(&["SET", "b", "2"]));
    disk.fail_syncs(1);
    log.step()?;
    assert!(log.is_synced(position));
    for seed in 0..50 {
        let recovery = open(&disk.crash(seed))?;
        assert_eq!(
            contents(&recovery)?,
            ["SELECT 3", "SET a 1", "SELECT 3", "SET b 2"]
        );
    }
    assert_eq!(
        get(&disk, Path::new(FIRST))?.len(),
        old,
        "the old file is cut at what was on disk"
    );
    // No disk at all: nothing is acknowledged, and it goes on when there is one.
    disk.fail_syncs(2);
    let position = log.append(&command(&["SET", "c", "3"]));
    assert!(log.step().is_err());
    assert!(!log.is_synced(position) && matches!(log.state(), LogState::Failing(_)));
    log.step()?;
    assert!(log.is_synced(position));
    Ok(())
}

/// An fsync has failed and the process is killed before a new file holds what was not safe: what the next one reads is not
/// all on disk, and no fsync of its own writes it.
#[test]
fn a_start_after_a_failed_fsync_writes_again_what_was_not_safe() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SET", "a", "1"]));
    log.step()?;
    log.append(&command(&["MULTI"]));
    log.append(&command(&["SET", "b", &"2".repeat(9000)]));
    log.append(&command(&["EXEC"]));
    // Neither this file nor a new one can be brought to disk.
    disk.fail_syncs(2);
    assert!(log.step().is_err());
    let next = disk.restart();
    let log = start(&next)?;
    let position = log.append(&command(&["SET", "c", "3"]));
    log.step()?;
    assert!(log.is_synced(position));
    for seed in 0..50 {
        let found = contents(&open(&next.crash(seed))?)?;
        assert_eq!(found.len(), 5, "seed {seed}: {found:?}");
    }
    Ok(())
}

#[test]
fn a_torn_tail_is_cut_and_kept_and_damage_before_it_is_refused() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    for key in ["a", "b", "c"] {
        log.append(&command(&["SET", key, "v"]));
        log.step()?;
    }
    let bytes = get(&disk, Path::new(FIRST))?;
    let (torn, garbage) = (disk.crash(0), [0; 100]);
    torn.open(Path::new(FIRST))?
        .write_all_at(&garbage, bytes.len() as u64)?;
    let recovery = open(&torn)?;
    let cut = recovery.report().cut.clone().expect("zeros at the end");
    assert_eq!((cut.offset, cut.bytes), (bytes.len() as u64, 100));
    assert_eq!(contents(&recovery)?.len(), 3);
    recovery.start_stepped()?;
    assert_eq!(get(&torn, &cut.kept_in)?, garbage);
    assert!(open(&torn)?.report().cut.is_none());

    let damaged = disk.crash(0);
    assert!(damaged.flip_bit(Path::new(FIRST), 60, 1));
    let error = open(&damaged)
        .expect_err("damage in what was safe")
        .to_string();
    assert!(
        error.contains("incr.aof") && error.contains("innkeep check --fix"),
        "{error}"
    );
    let repair = Options {
        repair: true,
        ..options()
    };
    let recovery = Recovery::open(Arc::new(damaged.clone()), repair)?;
    let kept = recovery.report().cut.clone().expect("what was cut").kept_in;
    assert_eq!(contents(&recovery)?.len(), 0);
    recovery.start_stepped()?;
    assert!(damaged.exists(&kept)?);
    Ok(())
}

#[test]
fn a_file_that_is_not_the_last_must_be_whole() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SET", "a", "v"]));
    log.append(&command(&["SET", "b", "v"]));
    log.step()?;
    let whole_batches = get(&disk, Path::new(FIRST))?.len();
    log.switch()?.abort();
    log.append(&command(&["SET", "c", "v"]));
    log.step()?;
    assert_eq!(contents(&open(&disk)?)?.len(), 3);
    let file = disk.open(Path::new(FIRST))?;
    for len in [file.len()? - 1, whole_batches as u64] {
        file.set_len(len)?;
        assert!(matches!(open(&disk), Err(AofError::Corrupt { .. })));
    }
    disk.remove(Path::new(FIRST))?;
    assert!(matches!(
        open(&disk),
        Err(AofError::Io { action: "open", .. })
    ));
    Ok(())
}

#[test]
fn files_of_redis_follow_the_rules_of_redis() -> Result<(), Failure> {
    let mut bytes = b"#TS:1700000000\r\n".to_vec();
    bytes.extend(command(&["SELECT", "0"]));
    bytes.extend(command(&["SET", "a", "1"]));
    let whole = bytes.len();
    bytes.extend(command(&["MULTI"]));
    bytes.extend(command(&["SET", "b", "1"]));
    let disk = SimulatedDisk::new();
    put(
        &disk,
        MANIFEST,
        b"file appendonly.aof.1.incr.aof seq 1 type i\n",
    )?;
    put(&disk, FIRST, &bytes)?;
    for len in [bytes.len(), bytes.len() - 3, whole + 4] {
        disk.open(Path::new(FIRST))?.set_len(len as u64)?;
        let recovery = open(&disk)?;
        assert_eq!(
            contents(&recovery)?,
            ["SELECT 0", "SET a 1"],
            "cut at {len}"
        );
        assert!(!recovery.report().checksums);
        assert_eq!(
            recovery.report().cut.as_ref().map(|cut| cut.offset),
            Some(whole as u64)
        );
        let strict = Options {
            load_truncated: false,
            ..options()
        };
        let error = Recovery::open(Arc::new(disk.clone()), strict)
            .expect_err("an unfinished end")
            .to_string();
        assert!(
            error.contains("Unexpected end of file reading the append only file"),
            "{error}"
        );
    }
    put(&disk, FIRST, b"*1\r\n$4\r\nPING\r\n!!!")?;
    let error = open(&disk).expect_err("a bad format").to_string();
    assert!(
        error.contains("Bad file format reading the append only file"),
        "{error}"
    );
    Ok(())
}

/// Redis took over a directory of ours, went on in our last file, and now it is ours again.
#[test]
fn what_redis_wrote_behind_our_batches_is_loaded() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SELECT", "1"]));
    log.step()?;
    log.append(&command(&["SET", "a", "1"]));
    log.step()?;
    let file = disk.open(Path::new(FIRST))?;
    file.write_all_at(
        &[command(&["SELECT", "0"]), command(&["SET", "b", "1"])].concat(),
        file.len()?,
    )?;
    let recovery = open(&disk)?;
    assert_eq!(
        contents(&recovery)?,
        ["SELECT 1", "SET a 1", "SELECT 0", "SET b 1"]
    );
    assert!(recovery.report().cut.is_none());
    recovery.start_stepped()?;
    assert_eq!(contents(&open(&disk)?)?.len(), 4);
    Ok(())
}

#[test]
fn a_single_file_of_an_older_redis_is_moved_into_the_directory() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    put(&disk, "data/appendonly.aof", &command(&["SET", "a", "1"]))?;
    let recovery = open(&disk)?;
    assert_eq!(contents(&recovery)?, ["SET a 1"]);
    assert!(
        disk.exists(Path::new("data/appendonly.aof"))?,
        "opening changes nothing"
    );
    recovery.start_stepped()?;
    assert!(!disk.exists(Path::new("data/appendonly.aof"))?);
    assert!(disk.exists(Path::new("data/appendonlydir/appendonly.aof"))?);
    let manifest = String::from_utf8(get(&disk, Path::new(MANIFEST))?)?;
    assert_eq!(
        manifest,
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
    assert_eq!(contents(&open(&disk)?)?, ["SET a 1"]);
    Ok(())
}

#[test]
fn an_interrupted_move_goes_on_and_an_rdb_base_is_left_to_the_engine() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let tail = command(&["SET", "k3", "v3"]);
    put(
        &disk,
        "data/appendonly.aof",
        &[b"REDIS0009...".to_vec(), tail].concat(),
    )?;
    put(&disk, MANIFEST, b"file appendonly.aof seq 1 type b\n")?;
    let mut recovery = open(&disk)?;
    let (path, mut bytes) = recovery.rdb_base().expect("it begins with an RDB");
    assert_eq!(path, Path::new("data/appendonly.aof"));
    let mut magic = [0; 5];
    std::io::Read::read_exact(&mut bytes, &mut magic)?;
    assert_eq!(&magic, b"REDIS");
    assert!(contents(&recovery)?.is_empty());
    recovery.set_base_tail(12)?;
    assert_eq!(contents(&recovery)?, ["SET k3 v3"]);
    Ok(())
}

/// A command larger than a block, and one with thousands of arguments.
#[test]
fn large_commands_are_read_in_blocks() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    let many: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let words: Vec<&str> = std::iter::once("DEL")
        .chain(many.iter().map(String::as_str))
        .collect();
    log.append(&command(&["SET", "big", &"x".repeat(3 << 20)]));
    log.append(&command(&words));
    log.step()?;
    let lines = contents(&open(&disk)?)?;
    assert_eq!(
        lines.iter().map(String::len).collect::<Vec<_>>(),
        [8 + (3 << 20), words.join(" ").len()]
    );
    Ok(())
}

/// Hostile files, made from pieces of good ones: no panic, and what is let through can be started and loaded again.
#[test]
fn any_pieces_in_any_order_are_judged_once() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    for words in [
        &["SET", "a", "1"][..],
        &["MULTI"],
        &["SELECT", "2"],
        &["EXEC"],
        &["SET", "b", "2"],
    ] {
        log.append(&command(words));
        log.step()?;
    }
    let good = get(&disk, Path::new(FIRST))?;
    let mut pieces: Vec<Vec<u8>> = good
        .split_inclusive(|&byte| byte == b'#')
        .map(<[u8]>::to_vec)
        .collect();
    pieces.extend([
        command(&["MULTI"]),
        command(&["EXEC"]),
        command(&["SELECT", "0"]),
        command(&["SET", "c", "3"]),
    ]);
    pieces.extend([
        b"#TS:1\r\n".to_vec(),
        b"#CRC:".to_vec(),
        vec![0; 40],
        b"*1\r\n$99999999999\r\n".to_vec(),
        good,
    ]);
    for seed in 0..3000 {
        let mut chance = Chance::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..chance.below(6) {
            bytes.extend_from_slice(&pieces[usize::try_from(chance.below(pieces.len() as u64))?]);
        }
        bytes.truncate(
            bytes
                .len()
                .saturating_sub(usize::try_from(chance.below(12))?),
        );
        let disk = SimulatedDisk::new();
        put(
            &disk,
            MANIFEST,
            b"file appendonly.aof.1.incr.aof seq 1 type i\n",
        )?;
        put(&disk, FIRST, &bytes)?;
        let Ok(recovery) = open(&disk) else { continue };
        let before = contents(&recovery)?;
        assert_eq!(
            before.len() as u64,
            recovery.report().commands,
            "seed {seed}"
        );
        drop(recovery.start_stepped()?);
        let again = open(&disk)
            .map_err(|error| format!("seed {seed}: {error}: {}", bytes.escape_ascii()))?;
        assert_eq!(contents(&again)?, before, "seed {seed}");
    }
    Ok(())
}

/// The manifest with the new file may be on disk or not, so nothing more goes to the old file before that is settled.
#[test]
fn a_switch_that_may_have_happened_loses_nothing() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SET", "a", "1"]));
    log.step()?;
    let sink = log.switch()?;
    // The first is for the new file's name, the second for the manifest's.
    disk.fail_directory_sync_after(1);
    log.append(&command(&["SET", "b", "1"]));
    log.step()?;
    let error = sink
        .finish()
        .expect_err("no file was switched to")
        .to_string();
    assert!(error.contains("fsync"), "{error}");
    for seed in 0..50 {
        let recovery = open(&disk.crash(seed))?;
        assert_eq!(contents(&recovery)?, ["SET a 1", "SET b 1"], "seed {seed}");
    }
    Ok(())
}

/// A base of commands that lost its end, at a place where a batch ends.
#[test]
fn a_base_that_was_cut_short_is_refused() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let mut sink = RewriteSink::alone(Arc::new(disk.clone()), &options())?;
    sink.write(&command(&["SET", "a", &"x".repeat(1 << 20)]))?;
    sink.write(&command(&["SET", "b", "1"]))?;
    sink.finish()?;
    let path = Path::new("data/appendonlydir/appendonly.aof.1.base.aof");
    assert_eq!(contents(&open(&disk)?)?.len(), 2);
    drop(start(&disk)?);
    assert_eq!(contents(&open(&disk)?)?.len(), 2);
    let bytes = get(&disk, path)?;
    let begins = |bytes: &[u8]| bytes.starts_with(b"#CRC:");
    let lines = (0..bytes.len()).filter(|&at| begins(&bytes[at..]));
    for end in lines.skip(2) {
        let cut = disk.crash(0);
        cut.open(path)?.set_len(end as u64)?;
        assert!(matches!(open(&cut), Err(AofError::Corrupt { .. })), "{end}");
    }
    Ok(())
}

/// A log that begins anew counts only with its first base; until then, and where it is given up, the old one does.
#[test]
fn a_log_that_begins_anew_takes_over_with_its_first_base() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let log = start(&disk)?;
    log.append(&command(&["SET", "old", "1"]));
    log.close()?;
    let names = disk.list(Path::new("data/appendonlydir"))?;

    let (log, mut sink) = Log::begin_stepped(Arc::new(disk.clone()), options())?;
    assert!(matches!(log.switch(), Err(AofError::RewriteInProgress)));
    log.set_keep_history(false);
    log.append(&command(&["SET", "behind", "1"]));
    log.step()?;
    sink.write(&command(&["SET", "base", "1"]))?;
    disk.fail_syncs(1);
    log.append(&command(&["SET", "again", "1"]));
    log.step()?;
    for seed in 0..20 {
        let recovery = open(&disk.crash(seed))?;
        assert_eq!(contents(&recovery)?, ["SET old 1"], "seed {seed}");
    }
    sink.abort();
    log.close()?;
    assert_eq!(disk.list(Path::new("data/appendonlydir"))?, names);

    let (log, mut sink) = Log::begin_stepped(Arc::new(disk.clone()), options())?;
    log.append(&command(&["SET", "behind", "1"]));
    log.step()?;
    sink.write(&command(&["SET", "base", "1"]))?;
    sink.finish()?;
    for seed in 0..20 {
        let recovery = open(&disk.crash(seed))?;
        assert_eq!(contents(&recovery)?, ["SET base 1", "SET behind 1"]);
    }
    log.append(&command(&["SET", "last", "1"]));
    log.step()?;
    let expected = ["SET base 1", "SET behind 1", "SET last 1"];
    assert_eq!(contents(&open(&disk.crash(0))?)?, expected);
    let manifest = String::from_utf8(get(&disk, Path::new(MANIFEST))?)?;
    assert_eq!(
        manifest,
        "file appendonly.aof.1.base.aof seq 1 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    );
    Ok(())
}

/// Power fails at every step of a beginning anew: one log or the other is there, whole.
#[test]
fn a_beginning_anew_may_be_interrupted_anywhere() -> Result<(), Failure> {
    for steps in 0..30 {
        let disk = SimulatedDisk::new();
        let log = start(&disk)?;
        log.append(&command(&["SET", "old", "1"]));
        log.close()?;
        disk.power_off_after(steps);
        let begun = Log::begin_stepped(Arc::new(disk.clone()), options());
        let finished = begun.map_err(Failure::from).and_then(|(log, mut sink)| {
            sink.write(&command(&["SET", "new", "1"]))?;
            sink.finish()?;
            Ok(log)
        });
        for seed in 0..10 {
            let recovery = open(&disk.crash(seed))?;
            let found = contents(&recovery)?;
            let expected = if finished.is_ok() { "new" } else { "old" };
            assert!(
                found == [format!("SET {expected} 1")]
                    || finished.is_err() && found == ["SET new 1"],
                "after {steps} steps, seed {seed}: {found:?}"
            );
        }
    }
    Ok(())
}

/// Redis goes on in the last file at each start, and so do we; a timestamp line comes first in a file.
#[test]
fn the_last_file_goes_on_and_may_begin_with_a_time() -> Result<(), Failure> {
    let disk = SimulatedDisk::new();
    let mut expected = Vec::new();
    for (time, key) in ["a", "b", "c"].into_iter().enumerate() {
        let log = start(&disk)?;
        let line = format!("#TS:{time}\r\n").into_bytes();
        log.append(&[line, command(&["SET", key, "1"])].concat());
        log.step()?;
        expected.push(format!("SET {key} 1"));
        if time == 1 {
            log.close()?;
        }
    }
    let recovery = open(&disk.crash(3))?;
    assert!(recovery.report().checksums && recovery.report().files == 1);
    assert_eq!(contents(&recovery)?, expected);
    let bytes = get(&disk, Path::new(FIRST))?;
    assert!(bytes.starts_with(b"#TS:0\r\n#CRC:"));
    Ok(())
}

/// A disk on which something is done before each rename and each sync of a directory.
struct Watched {
    disk: SimulatedDisk,
    before: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Watched {
    fn look(&self) {
        if let Some(before) = self.before.get() {
            before();
        }
    }
}

impl Storage for Watched {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look();
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.create_directory(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.look();
        self.disk.sync_directory(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        self.disk.free_bytes(directory)
    }
}

#[test]
fn the_log_is_written_while_a_new_base_is_put_in_its_place() -> Result<(), Failure> {
    let (disk, before) = (SimulatedDisk::new(), Arc::new(OnceLock::new()));
    let storage = Watched {
        disk: disk.clone(),
        before: Arc::clone(&before),
    };
    let log = Recovery::open(Arc::new(storage), options())?.start_stepped()?;
    let log = Arc::new(log);
    log.append(&command(&["SET", "old", "1"]));
    log.step()?;
    let mut sink = log.switch()?;
    log.append(&command(&["SET", "new", "1"]));
    log.step()?;
    let (its_log, written) = (Arc::downgrade(&log), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&written);
    let write = move || {
        if let Some(log) = its_log.upgrade() {
            let position = log.append(&command(&["INCR", "meanwhile"]));
            assert!(log.write_through(position), "nobody holds the log up");
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    assert!(
        before.set(Box::new(write)).is_ok(),
        "it was set nowhere else"
    );
    sink.write(&command(&["SET", "base", "1"]))?;
    sink.finish()?;
    let written = written.load(Ordering::SeqCst) as usize;
    // The base and two manifests get their names.
    assert_eq!(written, 6);
    drop(log);
    let found = contents(&open(&disk.restart())?)?;
    assert_eq!(found[..2], ["SET base 1", "SET new 1"]);
    assert_eq!(found[2..], vec!["INCR meanwhile"; written]);
    Ok(())
}
