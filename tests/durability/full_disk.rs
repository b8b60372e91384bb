//! A disk that fills up: what is refused, what still works, and how it goes on. On the simulated disk, and on a small real
//! file system where this process may mount one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::reply::Response;
use innkeep_aof::{RealStorage, SimulatedDisk, Storage};

const PATIENCE: Duration = Duration::from_secs(60);
const RESERVE: u64 = 4 << 20;

fn open(directory: &Path, storage: Arc<dyn Storage>) -> Engine {
    let mut config = Config::default();
    let reserve = RESERVE.to_string();
    for (name, value) in [
        ("dir", directory.to_str().expect("a plain path")),
        ("disk-reserve", &reserve),
        ("auto-aof-rewrite-percentage", "0"),
    ] {
        config
            .assign(name.as_bytes(), value.as_bytes())
            .expect("a valid value");
    }
    Engine::open_on(config, storage).expect("the log opens")
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

fn is_ok(response: &Response) -> bool {
    !matches!(response, Response::Error(_))
}

/// Tries again until it is no error.
fn until_ok(engine: &Engine, words: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = run(engine, words);
        if is_ok(&response) {
            return;
        }
        assert!(Instant::now() < deadline, "{words:?}: {response:?}");
        std::thread::yield_now();
    }
}

/// Writes until that is refused; answers how many keys there are, and the refusal.
fn fill(engine: &Engine) -> (usize, String) {
    let value = "x".repeat(16 << 10);
    for key in 0..100_000 {
        if let Response::Error(text) = run(engine, &["SET", &format!("key:{key}"), &value]) {
            return (key, text);
        }
    }
    panic!("the disk is full and nobody says so");
}

fn rewrite(engine: &Engine) {
    let log = &engine.services().stats.log;
    let before = log.rewrites.load(Ordering::Acquire);
    until_ok(engine, &["BGREWRITEAOF"]);
    let deadline = Instant::now() + PATIENCE;
    while log.rewrites.load(Ordering::Acquire) == before {
        assert!(Instant::now() < deadline, "the rewrite does not end");
        std::thread::yield_now();
    }
}

/// The whole story, on a disk with some megabytes. Three keys are there in the end, and the engine.
fn story(directory: &Path, storage: Arc<dyn Storage>) -> Engine {
    let engine = open(directory, storage);
    let (keys, refusal) = fill(&engine);
    assert!(keys > 100, "there was room for more than {keys}");
    let names_it = refusal.contains(directory.to_str().expect("a plain path"))
        && refusal.contains(&RESERVE.to_string());
    assert!(refusal.starts_with("MISCONF") && names_it, "{refusal}");
    let push = ["LPUSH", "list", "x"];
    assert!(!is_ok(&run(&engine, &push)), "other writes are refused too");
    assert!(!is_ok(&run(
        &engine,
        &[
            "EVAL",
            "return redis.call('SET', KEYS[1], 'x')",
            "1",
            "key:0"
        ]
    )));
    assert_eq!(run(&engine, &["STRLEN", "key:0"]), Response::Int(16 << 10));
    let transaction = [vec!["MULTI"], vec!["DEL", "key:1"], vec!["EXEC"]];
    let mut session = engine.session();
    for words in &transaction {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        assert!(is_ok(&session.execute(&words)));
    }
    for key in 2..keys {
        let deleted = run(&engine, &["DEL", &format!("key:{key}")]);
        assert_eq!(deleted, Response::Int(1), "key {key}");
    }
    rewrite(&engine);
    until_ok(&engine, &["SET", "after", "1"]);
    until_ok(&engine, &push);
    engine.sync_log().expect("there is room");
    engine
}

/// One key is written again and again: whenever the log has filled the disk, it is rewritten without anybody's asking.
fn overwriting_goes_on(directory: &Path, storage: Arc<dyn Storage>) {
    let engine = open(directory, storage);
    engine.measure_memory(|| 1 << 20);
    let rewrites = &engine.services().stats.log.rewrites;
    let before = rewrites.load(Ordering::Acquire);
    let value = "x".repeat(64 << 10);
    let mut refused = 0;
    for _ in 0..500 {
        if !is_ok(&run(&engine, &["SET", "key", &value])) {
            refused += 1;
            until_ok(&engine, &["SET", "key", &value]);
        }
    }
    assert!(refused > 0, "the disk was never full");
    assert!(rewrites.load(Ordering::Acquire) > before);
    engine.sync_log().expect("there is room");
}

#[test]
fn a_full_disk_is_rewritten_if_that_frees_it() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(16 << 20));
    overwriting_goes_on(Path::new("/data"), Arc::new(disk.clone()));
    // Nothing can be gained where everything is alive.
    let engine = open(Path::new("/full"), Arc::new(disk));
    engine.measure_memory(|| 16 << 20);
    fill(&engine);
    assert!(!is_ok(&run(&engine, &["SET", "key", "x"])));
    let log = &engine.services().stats.log;
    while log.rewriting_since.load(Ordering::Acquire) != 0 {
        std::thread::yield_now();
    }
    assert_eq!(log.rewrite_failures.load(Ordering::Acquire), 0);
}

#[test]
fn what_frees_space_works_on_a_full_simulated_disk() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(16 << 20));
    let engine = story(Path::new("/data"), Arc::new(disk.clone()));
    let after = disk.crash(1);
    let again = open(Path::new("/data"), Arc::new(after));
    assert_eq!(run(&again, &["DBSIZE"]), Response::Int(3));
    drop(engine);
}

#[test]
fn another_size_of_the_reserve_counts_at_once() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(16 << 20));
    let engine = open(Path::new("/data"), Arc::new(disk));
    fill(&engine);
    engine.sync_log().expect("there is room");
    assert!(is_ok(&run(
        &engine,
        &["CONFIG", "SET", "disk-reserve", "1mb"]
    )));
    assert!(is_ok(&run(&engine, &["SET", "key", "x"])));
    assert!(is_ok(&run(
        &engine,
        &["CONFIG", "SET", "disk-reserve", "1gb"]
    )));
    assert!(!is_ok(&run(&engine, &["SET", "key", "x"])));
    assert!(is_ok(&run(
        &engine,
        &["CONFIG", "SET", "disk-reserve", "0"]
    )));
    assert!(is_ok(&run(&engine, &["SET", "key", "x"])));
}

/// A small file system of its own, unmounted in the end.
struct Mount(PathBuf);

impl Mount {
    /// None where this process may not mount one.
    fn new(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What stays mounted is small and lives in memory.
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn what_frees_space_works_on_a_full_file_system() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::new(directory.path()) else {
        println!("skipped: this process may not mount a tmpfs");
        return;
    };
    overwriting_goes_on(&mount.0.join("again"), Arc::new(RealStorage));
    std::fs::remove_dir_all(mount.0.join("again")).expect("nobody uses it");
    let data = mount.0.join("data");
    let engine = story(&data, Arc::new(RealStorage));
    // Somebody else takes all that is left, the reserve too.
    let ballast = mount.0.join("ballast");
    let filled = std::fs::write(&ballast, vec![1; 32 << 20]);
    assert!(filled.is_err(), "the disk has 16 MB");
    let (_, refusal) = fill(&engine);
    assert!(refusal.starts_with("MISCONF"), "{refusal}");
    assert!(is_ok(&run(&engine, &["GET", "after"])));
    std::fs::remove_file(&ballast).expect("it is there");
    until_ok(&engine, &["SET", "at last", "1"]);
    engine.sync_log().expect("there is room");
    let copy = tempfile::tempdir().expect("a directory");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&data)
        .arg(copy.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let again = open(&copy.path().join("data"), Arc::new(RealStorage));
    assert_eq!(run(&again, &["EXISTS", "at last"]), Response::Int(1));
}
