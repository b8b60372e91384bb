//! BACKUP: of one moment while others write, refused where a client may not write files, told when it fails, and loaded
//! by a real redis-server.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use innkeep_test_server::Launch;
use innkeep_test_server::wire::{Reply, Wire};

use super::{connect, launch};

fn ask(wire: &mut Wire, words: &[&str]) -> Reply {
    wire.ask(words).expect("an answer")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Keys that always change together, until the flag is raised.
fn write_pairs(mut wire: Wire, stop: &AtomicBool) {
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (pair, value) = ((number % 50).to_string(), number.to_string());
        let (one, other) = (format!("a:{pair}"), format!("b:{pair}"));
        let reply = ask(&mut wire, &["MSET", &one, &value, &other, &value]);
        assert!(reply.is_status("OK"), "{reply:?}");
    }
}

#[test]
fn a_backup_is_of_one_moment_while_others_write() {
    let server = launch()
        .option("enable-protected-configs", "yes")
        .start()
        .expect("it starts");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut wire = connect(&server);
    for number in 0..500 {
        ask(&mut wire, &["SET", &format!("filling:{number}"), "x"]);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (connect(&server), Arc::clone(&stop));
    let writer = thread::spawn(move || write_pairs(writer, &stopped));
    while ask(&mut wire, &["EXISTS", "a:49"]).int() != Some(1) {}
    let mut files = vec![server.directory().join("plain.rdb")];
    files.extend((0..3).map(|number| elsewhere.path().join(number.to_string())));
    for (index, file) in files.iter().enumerate() {
        let name = if index == 0 { "plain.rdb" } else { text(file) };
        let answer = ask(&mut wire, &["BACKUP", name]);
        let [keys, told, bytes, length] = [0, 1, 2, 3].map(|at| answer.items()[at].clone());
        assert_eq!((keys.bytes(), bytes.bytes()), (&b"keys"[..], &b"bytes"[..]));
        assert_eq!(told.int(), Some(600));
        let on_disk = fs::metadata(file).expect("it is there").len();
        assert_eq!(length.int(), i64::try_from(on_disk).ok());
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer ends");
    let mut programs = vec![launch()];
    programs.extend(Launch::redis());
    for (file, program) in files.iter().zip(programs.iter().cycle()) {
        let server = program.clone().start_from(file).expect("it starts");
        let mut wire = connect(&server);
        for pair in 0..50 {
            let pair = ask(
                &mut wire,
                &["MGET", &format!("a:{pair}"), &format!("b:{pair}")],
            );
            assert_eq!(pair.items()[0], pair.items()[1]);
        }
    }
    let leftovers = fs::read_dir(elsewhere.path()).expect("it is there");
    assert_eq!(leftovers.count(), 3);
}

#[test]
fn a_backup_replaces_nothing_and_names_what_went_wrong() {
    let server = launch().start().expect("it starts");
    let mut wire = connect(&server);
    ask(&mut wire, &["SET", "key", "value"]);
    let error = |reply: Reply| {
        assert!(reply.is_error(), "{reply:?}");
        String::from_utf8_lossy(reply.bytes()).into_owned()
    };
    assert_eq!(ask(&mut wire, &["BACKUP", "one.rdb"]).items().len(), 4);
    let again = error(ask(&mut wire, &["BACKUP", "one.rdb"]));
    assert!(again.contains("one.rdb") && again.contains("replaces nothing"));
    let nowhere = error(ask(&mut wire, &["BACKUP", "/no/such/directory/x.rdb"]));
    assert!(nowhere.contains("No such file or directory"), "{nowhere}");
    let inside = ["MULTI"];
    ask(&mut wire, &inside);
    error(ask(&mut wire, &["BACKUP", "two.rdb"]));
    ask(&mut wire, &["DISCARD"]);
    ask(
        &mut wire,
        &["CONFIG", "SET", "rdb-key-save-delay", "1000000"],
    );
    ask(&mut wire, &["BGSAVE"]);
    let busy = error(ask(&mut wire, &["BACKUP", "two.rdb"]));
    assert!(busy.contains("Another snapshot"), "{busy}");
    ask(&mut wire, &["CONFIG", "SET", "rdb-key-save-delay", "0"]);
    assert!(!server.directory().join("two.rdb").exists());
}

#[test]
fn a_client_that_may_not_write_files_may_name_one_in_the_directory_only() {
    let server = launch()
        .option("enable-protected-configs", "no")
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    for name in ["../x.rdb", "/tmp/x.rdb", "x.php", "appendonlydir/x.rdb"] {
        let refused = ask(&mut wire, &["BACKUP", name]);
        assert!(refused.is_error(), "{name}: {refused:?}");
    }
    assert_eq!(ask(&mut wire, &["BACKUP", "x.rdb"]).items().len(), 4);
}

#[test]
fn flushing_and_going_away_end_a_backup() {
    let server = launch().start().expect("it starts");
    let (mut wire, mut other) = (connect(&server), connect(&server));
    for number in 0..1000 {
        ask(&mut wire, &["SET", &format!("key:{number}"), "value"]);
    }
    ask(
        &mut wire,
        &["CONFIG", "SET", "rdb-key-save-delay", "1000000"],
    );
    let words = [b"BACKUP".to_vec(), b"slow.rdb".to_vec()];
    other.send([words.as_slice()]).expect("it is sent");
    let running = |wire: &mut Wire| {
        let info = ask(wire, &["INFO", "persistence"]);
        String::from_utf8_lossy(info.bytes()).contains("rdb_bgsave_in_progress:1")
    };
    while !running(&mut wire) {}
    ask(&mut wire, &["FLUSHALL"]);
    let answer = other.receive().expect("an answer");
    assert!(answer.is_error(), "{answer:?}");
    while running(&mut wire) {}
    for number in 0..1000 {
        ask(&mut wire, &["SET", &format!("key:{number}"), "value"]);
    }
    other.send([words.as_slice()]).expect("it is sent");
    while !running(&mut wire) {}
    drop(other);
    // It goes on without anybody to tell.
    ask(&mut wire, &["CONFIG", "SET", "rdb-key-save-delay", "0"]);
    while running(&mut wire) {}
    assert!(server.directory().join("slow.rdb").exists());
}
