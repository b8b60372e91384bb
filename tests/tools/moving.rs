//! Backup, restore, import and export: what arrives is what was there.

use std::fs;

use innkeep_test_server::certificates::{Certificates, free_port};
use innkeep_test_server::{Launch, may_skip};

use super::{ask, connect, contents, fill, launch, succeeds, text, tool};

fn redis() -> Option<Launch> {
    let redis = Launch::redis();
    if redis.is_none() {
        assert!(may_skip("redis-server"));
    }
    redis
}

#[test]
fn a_backup_of_a_running_server_is_what_it_held() {
    let server = launch().start().expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, 300);
    let dest = server.directory().join("backup of today.rdb");
    let told = succeeds(&["backup", text(&dest), "--from", &server.url()]);
    assert!(told.contains("found sound"), "{told}");
    let expected = contents(&mut wire);
    ask(&mut wire, &["FLUSHALL"]);
    let own = launch().start_from(&dest).expect("it starts");
    assert_eq!(contents(&mut connect(&own)), expected);
    if let Some(redis) = redis() {
        let real = redis.start_from(&dest).expect("it starts");
        assert_eq!(contents(&mut connect(&real)), expected);
    }
}

#[test]
fn a_backup_is_restored_and_data_is_not_overwritten_unasked() {
    let server = launch().start().expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, 100);
    let dest = server.directory().join("backup.rdb");
    let expected = contents(&mut wire);
    let mut server = server;
    server.kill().expect("it runs");
    succeeds(&["backup", text(&dest), "--dir", text(server.directory())]);
    let data = text(server.directory()).to_owned();
    let (code, told) = tool(&["restore", text(&dest), "--dir", &data]);
    assert_eq!(code, 3, "{told}");
    fs::remove_file(
        server
            .directory()
            .join("appendonlydir/appendonly.aof.manifest"),
    )
    .expect("it is there");
    succeeds(&["restore", text(&dest), "--dir", &data, "--force"]);
    let server = server.restart().expect("it starts");
    assert_eq!(contents(&mut connect(&server)), expected);
    assert!(server.directory().join("appendonlydir").exists());
}

#[test]
fn the_log_of_a_server_that_runs_is_not_touched() {
    let server = launch().start().expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, 10);
    let place = tempfile::tempdir().expect("a directory");
    let dest = place.path().join("backup.rdb");
    let data = text(server.directory()).to_owned();
    succeeds(&["backup", text(&dest), "--dir", &data]);
    let restore = ["restore", text(&dest), "--dir", &data, "--force"];
    for arguments in [&restore[..], &["check", &data, "--fix"]] {
        let (code, told) = tool(arguments);
        assert_ne!(code, 0, "{arguments:?}");
        assert!(told.contains("in use by a server"), "{told}");
    }
    ask(&mut wire, &["SET", "and", "on"]);
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("backup.rdb");
    fs::write(&file, b"REDIS0010\xfe").expect("there is room");
    let data = directory.path().join("data");
    let (code, told) = tool(&["restore", text(&file), "--dir", text(&data)]);
    assert_eq!(code, 3, "{told}");
    assert!(!data.exists());
}

#[test]
fn redis_moves_in_by_directory_by_file_and_alive() {
    let Some(redis) = redis() else { return };
    let server = redis
        .option("appendonly", "yes")
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, 400);
    ask(&mut wire, &["SAVE"]);
    let expected = contents(&mut wire);
    let dump = server.directory().join("dump.rdb");
    for source in [&server.url(), text(server.directory()), text(&dump)] {
        let data = tempfile::tempdir().expect("a directory");
        succeeds(&["import", source, "--dir", text(data.path())]);
        let own = launch()
            .option("dir", text(data.path()))
            .start()
            .expect("it starts");
        let mut wire = connect(&own);
        assert_eq!(contents(&mut wire), expected, "{source}");
        let ttl = ask(&mut wire, &["PTTL", "list"]).int();
        assert!(ttl.is_some_and(|ttl| ttl > 1_000_000), "{ttl:?}");
        let (code, _) = tool(&["import", source, "--dir", text(data.path())]);
        assert_eq!(code, 3, "there is data already");
    }
}

#[test]
fn an_interrupted_import_goes_on_where_it_was() {
    let source = launch().start().expect("it starts");
    let mut wire = connect(&source);
    fill(&mut wire, 2000);
    let first = ask(&mut wire, &["SCAN", "0", "COUNT", "500"]);
    let cursor = String::from_utf8_lossy(first.items()[0].bytes()).into_owned();
    let seen = first.items()[1].items().len();
    let data = tempfile::tempdir().expect("a directory");
    let address = source.url();
    let note = format!("source:{address}\ndatabase:0\ncursor:{cursor}\n");
    fs::write(data.path().join("import-state"), note).expect("there is room");
    let told = succeeds(&["import", &address, "--dir", text(data.path())]);
    assert!(told.contains("Goes on"), "{told}");
    assert!(!data.path().join("import-state").exists());
    let own = launch()
        .option("dir", text(data.path()))
        .start()
        .expect("it starts");
    let mut there = connect(&own);
    let size = |wire: &mut innkeep_test_server::wire::Wire| ask(wire, &["DBSIZE"]).int();
    let expected = size(&mut wire).map(|keys| keys - i64::try_from(seen).expect("small"));
    assert_eq!(size(&mut there), expected);
    ask(&mut wire, &["SELECT", "5"]);
    ask(&mut there, &["SELECT", "5"]);
    assert_eq!(size(&mut there), size(&mut wire));
}

#[test]
fn data_moves_out_to_a_running_redis_and_in_again() {
    let Some(redis) = redis() else { return };
    let own = launch().start().expect("it starts");
    let mut wire = connect(&own);
    fill(&mut wire, 300);
    let expected = contents(&mut wire);
    let real = redis.start().expect("it starts");
    succeeds(&["export", &real.url(), "--from", &own.url()]);
    assert_eq!(contents(&mut connect(&real)), expected);
    let file = own.directory().join("export.rdb");
    succeeds(&["export", text(&file), "--from", &real.url()]);
    let again = launch().start().expect("it starts");
    succeeds(&["import", text(&file), "--to", &again.url()]);
    assert_eq!(contents(&mut connect(&again)), expected);
}

#[test]
fn a_password_is_asked_for() {
    let own = launch()
        .option("requirepass", "secret")
        .start()
        .expect("it starts");
    let port = own.port();
    let dest = own.directory().join("backup.rdb");
    let open = format!("redis://127.0.0.1:{port}");
    let (code, told) = tool(&["backup", text(&dest), "--from", &open]);
    assert!(code == 3 && told.contains("NOAUTH"), "{told}");
    succeeds(&[
        "backup",
        text(&dest),
        "--from",
        &format!("redis://:secret@127.0.0.1:{port}"),
    ]);
}

#[test]
fn servers_are_reached_over_tls() {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = certificates
        .secure(launch(), port)
        .start()
        .expect("it starts");
    let mut wire = connect(&server);
    fill(&mut wire, 300);
    let url = format!("rediss://localhost:{port}");
    let target = launch().start().expect("it starts");
    let import = ["import", &url, "--to", &target.url()];
    let authority = ["--cacert", &certificates.text("ca.crt")];
    let (code, told) = tool(&import);
    assert_eq!(code, 3, "its authority is unknown: {told}");
    let (code, told) = tool(&[&import[..], &authority].concat());
    assert_eq!(code, 3, "it asks for a certificate: {told}");
    let (cert, key) = (
        certificates.text("client.crt"),
        certificates.text("client.key"),
    );
    let shown = ["--cert", &cert, "--key", &key];
    succeeds(&[&import[..], &authority, &shown].concat());
    assert_eq!(contents(&mut connect(&target)), contents(&mut wire));
    let dest = server.directory().join("backup.rdb");
    let backup = ["backup", text(&dest), "--from", &url];
    let told = succeeds(&[&backup[..], &authority, &shown].concat());
    assert!(told.contains("found sound"), "{told}");
}
