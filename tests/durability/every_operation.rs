//! The power goes at every single operation on the disk of a rewrite, a snapshot, a backup and a start: afterwards there
//! is everything that was acknowledged, and each file is the old one or the new one, complete.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use innkeep::config::Config;
use innkeep::engine::Engine;
use innkeep::engine::backup::verify_rdb;
use innkeep::reply::Response;
use innkeep_aof::{Chance, SimulatedDisk, Storage};

const SNAPSHOT: &str = "/data/dump.rdb";
const BACKUP: &str = "/data/backup.rdb";

/// Whether the log is kept, and in which form its base is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    log: bool,
    preamble: bool,
}

const FORMS: [Form; 3] = [
    Form {
        log: true,
        preamble: false,
    },
    Form {
        log: true,
        preamble: true,
    },
    Form {
        log: false,
        preamble: false,
    },
];

fn config(form: Form) -> Config {
    let mut config = Config::default();
    let words = |yes: bool| if yes { &b"yes"[..] } else { b"no" };
    for (name, value) in [
        (&b"appendfsync"[..], &b"always"[..]),
        (b"dir", b"/data"),
        (b"appendonly", words(form.log)),
        (b"aof-use-rdb-preamble", words(form.preamble)),
        (b"auto-aof-rewrite-percentage", b"0"),
        (b"enable-debug-command", b"yes"),
        (b"save", b""),
    ] {
        config.assign(name, value).expect("a valid value");
    }
    config
}

fn open(disk: &SimulatedDisk, form: Form) -> Engine {
    Engine::open_on(config(form), Arc::new(disk.clone())).expect("a power loss is no corruption")
}

fn run(engine: &Engine, words: &[&str]) -> Response {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    engine.session().execute(&words)
}

fn is_ok(response: &Response) -> bool {
    !matches!(response, Response::Error(_))
}

/// Whether a write is acknowledged before the power goes. Afterwards nobody is told anything any more.
fn grow(engine: &Engine, disk: &SimulatedDisk) -> bool {
    let mut session = engine.session();
    let mut growing = pin!(session.execute_async(&[b"APPEND", b"grown", b"x"]));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let off = disk.is_off();
        match growing.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return is_ok(&answer),
            Poll::Pending if off => return false,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

fn fill(engine: &Engine) {
    for number in 0..60 {
        let number = number.to_string();
        for words in [
            &["SET", &format!("string:{number}"), &"x".repeat(900)][..],
            &["RPUSH", "list", &number],
            &["SADD", "set", &number],
            &["ZADD", "board", &number, &number],
            &["HSET", "hash", &number, &number],
            &["XADD", "stream", &format!("{number}-1"), "n", &number],
            &["PFADD", "counted", &number],
            &["GEOADD", "places", "13.5", "38.25", &number],
        ] {
            assert!(is_ok(&run(engine, words)), "{words:?}");
        }
    }
    let library = "#!lua name=l\nredis.register_function('f', function() return 7 end)";
    for words in [
        &["HPEXPIREAT", "hash", "4000000000000", "FIELDS", "1", "7"][..],
        &["PEXPIREAT", "list", "4000000000000"],
        &["XGROUP", "CREATE", "stream", "group", "0"],
        &["FUNCTION", "LOAD", library],
    ] {
        assert!(is_ok(&run(engine, words)), "{words:?}");
    }
}

/// The digest of everything but `grown`, how much that has, and whether the library is there.
fn contents(engine: &Engine) -> (Response, Response, Response) {
    let grown = run(engine, &["STRLEN", "grown"]);
    run(engine, &["DEL", "grown"]);
    let digest = run(engine, &["DEBUG", "DIGEST"]);
    (digest, grown, run(engine, &["FCALL", "f", "0"]))
}

fn until_idle(engine: &Engine) {
    let stats = &engine.services().stats;
    while stats.saving_since.load(Ordering::Acquire) != 0
        || stats.log.rewriting_since.load(Ordering::Acquire) != 0
    {
        std::thread::yield_now();
    }
}

/// A disk with data that is all on disk, and with an older snapshot and an older base.
fn prepared(form: Form) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let engine = open(&disk, form);
    run(&engine, &["SET", "old", "value"]);
    assert!(is_ok(&run(&engine, &["SAVE"])));
    if form.log {
        assert!(is_ok(&run(&engine, &["BGREWRITEAOF"])));
        until_idle(&engine);
    }
    fill(&engine);
    if !form.log {
        assert!(is_ok(&run(&engine, &["SAVE"])));
    }
    drop(engine);
    disk
}

/// What is to be survived; answers whether it succeeded.
type Work = fn(&Engine) -> bool;

fn rewrite(engine: &Engine) -> bool {
    let rewrites = &engine.services().stats.log.rewrites;
    let before = rewrites.load(Ordering::Acquire);
    let begun = is_ok(&run(engine, &["BGREWRITEAOF"]));
    until_idle(engine);
    begun && rewrites.load(Ordering::Acquire) > before
}

fn save(engine: &Engine) -> bool {
    is_ok(&run(engine, &["SAVE"]))
}

fn save_in_background(engine: &Engine) -> bool {
    let begun = is_ok(&run(engine, &["BGSAVE"]));
    until_idle(engine);
    let failed = &engine.services().stats.last_save_failed;
    begun && !failed.load(Ordering::Acquire)
}

fn back_up(engine: &Engine) -> bool {
    let done = is_ok(&run(engine, &["BACKUP", "backup.rdb"]));
    // A second one is refused: nothing is replaced.
    done && !is_ok(&run(engine, &["BACKUP", "backup.rdb"]))
}

/// The power goes after `operations` of the work; true when the work was done before.
fn survives(before: &SimulatedDisk, form: Form, work: Work, operations: u64) -> bool {
    let disk = before.crash(0);
    let engine = open(&disk, form);
    let (digest, _, answer) = contents(&engine);
    disk.power_off_after(operations);
    let mut grown = 0;
    let done = std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&engine));
        // Whoever writes meanwhile is acknowledged only what is on disk.
        while form.log && grown < 20 && grow(&engine, &disk) {
            grown += 1;
        }
        working.join().expect("the work ends")
    });
    let after = disk.crash(operations);
    let snapshot = Path::new(SNAPSHOT);
    verify_rdb(&after, snapshot).expect("the snapshot is the old one or the new one");
    if after.exists(Path::new(BACKUP)).expect("a sound disk") {
        verify_rdb(&after, Path::new(BACKUP)).expect("a backup is complete");
    }
    let again = open(&after, form);
    let found = contents(&again);
    assert_eq!((&found.0, &found.2), (&digest, &answer), "{operations}");
    // One more may have been under way.
    let counts = [Response::Int(grown), Response::Int(grown + 1)];
    assert!(!form.log || counts.contains(&found.1), "{operations}");
    done
}

fn at_every_operation(form: Form, work: Work) {
    let before = prepared(form);
    let mut cuts = 0;
    while !survives(&before, form, work, cuts) {
        cuts += 1;
        assert!(cuts < 2000, "it never succeeds");
    }
    assert!(cuts > 3, "{form:?}: only {cuts} cuts");
}

#[test]
fn of_a_rewrite() {
    at_every_operation(FORMS[0], rewrite);
    at_every_operation(FORMS[1], rewrite);
}

#[test]
fn of_a_snapshot() {
    for form in FORMS {
        at_every_operation(form, save);
        at_every_operation(form, save_in_background);
    }
}

#[test]
fn of_a_backup() {
    for form in FORMS {
        at_every_operation(form, back_up);
    }
}

/// Of a directory that nobody uses, as the tool does it.
#[test]
fn of_a_backup_at_rest() {
    for form in FORMS {
        let before = prepared(form);
        for operations in 0.. {
            let disk = before.crash(0);
            let engine = Engine::read_only_on(config(form), Arc::new(disk.clone()));
            let engine = engine.expect("it can be read");
            disk.power_off_after(operations);
            let done = engine.write_rdb(Path::new(BACKUP));
            let after = disk.crash(operations);
            let there = after.exists(Path::new(BACKUP)).expect("a sound disk");
            let found = there.then(|| verify_rdb(&after, Path::new(BACKUP)));
            let found = found.map(|found| found.expect("a backup is complete"));
            if let Ok(done) = done {
                assert_eq!(found, Some(done), "{form:?}");
                break;
            }
        }
    }
}

/// Starts on what power losses left, whose own power goes.
#[test]
fn of_a_start() {
    for form in [FORMS[0], FORMS[1]] {
        for seed in 0..super::number("INNKEEP_POWER_ROUNDS", 4) as u64 {
            let mut chance = Chance::new(seed);
            let disk = prepared(form).crash(seed);
            let engine = open(&disk, form);
            let (digest, _, answer) = contents(&engine);
            disk.power_off_after(chance.below(60));
            let mut grown = 0;
            while grow(&engine, &disk) {
                grown += 1;
            }
            let torn = disk.crash(seed);
            for operations in 0.. {
                let disk = torn.crash(operations);
                disk.power_off_after(operations);
                let started = Engine::open_on(config(form), Arc::new(disk.clone()));
                let done = started.is_ok();
                let after = disk.crash(chance.below(u64::MAX));
                drop(started);
                let found = contents(&open(&after, form));
                assert_eq!((&found.0, &found.2), (&digest, &answer), "seed {seed}");
                let counts = [Response::Int(grown), Response::Int(grown + 1)];
                assert!(counts.contains(&found.1), "seed {seed}, {operations}");
                if done {
                    break;
                }
            }
        }
    }
}
