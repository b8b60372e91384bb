//! `innkeep check` on logs and snapshots that are sound, torn and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use innkeep_test_server::Server;

use super::{ask, connect, launch, succeeds, text, tool};

/// A data directory with a log that was closed well, and the log's last file.
fn stopped() -> (Server, PathBuf) {
    let mut server = launch().start().expect("the server starts");
    let mut wire = connect(&server);
    for index in 0..100 {
        ask(&mut wire, &["SET", &format!("key:{index}"), "value"]);
    }
    ask(&mut wire, &["SAVE"]);
    assert!(wire.ask(&["SHUTDOWN", "NOSAVE"]).is_err(), "it ends");
    server
        .wait_for_exit(std::time::Duration::from_secs(20))
        .expect("it stops");
    let file = last_file(server.directory());
    (server, file)
}

fn last_file(directory: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(directory.join("appendonlydir"))
        .expect("there is a log")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| text(path).ends_with(".incr.aof"))
        .collect();
    files.sort();
    files.pop().expect("an increment")
}

fn dbsize(server: Server) -> i64 {
    let server = server.restart().expect("it starts");
    let size = ask(&mut connect(&server), &["DBSIZE"]).int();
    size.expect("a number")
}

fn replace(path: &Path, from: &[u8], to: &[u8]) -> usize {
    let mut bytes = fs::read(path).expect("it is there");
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("it holds these bytes");
    bytes.splice(at..at + from.len(), to.iter().copied());
    fs::write(path, bytes).expect("there is room");
    at
}

#[test]
fn what_is_sound_is_left_alone() {
    let (server, file) = stopped();
    let before = fs::read(&file).expect("it is there");
    let told = succeeds(&["check", text(server.directory())]);
    assert!(
        told.contains("101 commands") && told.contains("with 100 keys"),
        "{told}"
    );
    for path in [&file, &server.directory().join("dump.rdb")] {
        succeeds(&["check", text(path)]);
    }
    succeeds(&["check", text(file.parent().expect("it has one"))]);
    assert_eq!(fs::read(&file).expect("it is there"), before);
    assert_eq!(dbsize(server), 100);
}

#[test]
fn a_torn_end_is_told_from_damage() {
    let (server, file) = stopped();
    let mut bytes = fs::read(&file).expect("it is there");
    bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$1");
    fs::write(&file, bytes).expect("there is room");
    let (code, told) = tool(&["check", text(server.directory())]);
    assert_eq!(code, 4, "{told}");
    assert!(
        told.contains("1 commands on 1 keys") && told.contains("  lost\n"),
        "{told}"
    );
    succeeds(&["check", "--fix", text(server.directory())]);
    succeeds(&["check", text(server.directory())]);
    assert_eq!(dbsize(server), 100);
}

#[test]
fn damage_is_named_and_repaired_and_what_is_removed_is_kept() {
    let (server, file) = stopped();
    let size = fs::metadata(&file).expect("it is there").len();
    replace(&file, b"key:70", b"kex:70");
    let (code, told) = tool(&["check", text(server.directory())]);
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains("damaged at offset") && told.contains("kex:70"),
        "{told}"
    );
    let told = succeeds(&["check", "--fix", text(&file)]);
    assert!(told.contains("Repaired"), "{told}");
    let kept: u64 = fs::read_dir(file.parent().expect("it has one"))
        .expect("it is there")
        .map(|entry| entry.expect("it can be read"))
        .filter(|entry| text(&entry.path()).contains(".cut-"))
        .map(|entry| entry.metadata().expect("it is there").len())
        .sum();
    let left = fs::metadata(&file).map_or(0, |file| file.len());
    assert!(kept > 0 && left + kept >= size, "{left} {kept} {size}");
    succeeds(&["check", text(server.directory())]);
    assert!(dbsize(server) <= 70);
}

#[test]
fn a_damaged_snapshot_keeps_the_keys_before_the_damage() {
    let (server, _) = stopped();
    fs::remove_dir_all(server.directory().join("appendonlydir")).expect("it is there");
    let dump = server.directory().join("dump.rdb");
    let mut bytes = fs::read(&dump).expect("it is there");
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    fs::write(&dump, &bytes).expect("there is room");
    let (code, told) = tool(&["check", text(server.directory())]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("offset"), "{told}");
    succeeds(&["check", "--fix", text(&dump)]);
    succeeds(&["check", text(&dump)]);
    let aside = fs::read_dir(server.directory())
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").path())
        .find(|path| text(path).contains("dump.rdb.damaged-"))
        .expect("the damaged file is kept");
    assert_eq!(fs::read(aside).expect("it is there"), bytes);
    let keys = dbsize(server);
    assert!((20..80).contains(&keys), "{keys}");
}

#[test]
fn a_log_of_redis_itself_is_checked_by_its_form() {
    let Some(redis) = innkeep_test_server::Launch::redis() else {
        assert!(innkeep_test_server::may_skip("redis-server"));
        return;
    };
    let server = redis
        .option("appendonly", "yes")
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    for index in 0..10 {
        ask(&mut wire, &["SET", &format!("key:{index}"), "value"]);
    }
    let told = succeeds(&["check", text(server.directory())]);
    assert!(
        told.contains("no checksums") && told.contains("is sound"),
        "{told}"
    );
}
