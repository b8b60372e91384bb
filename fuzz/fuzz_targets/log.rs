//! Any bytes as an increment of a log: recovery never panics, and what it lets through can be loaded, started, and loaded
//! again with the same commands.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use innkeep_aof::{Options, Recovery, SimulatedDisk, Storage};
use libfuzzer_sys::fuzz_target;

fn open(disk: &SimulatedDisk) -> Option<Recovery> {
    Recovery::open(
        Arc::new(disk.clone()),
        Options {
            unix_time: 1,
            ..Options::new("data")
        },
    )
    .ok()
}

fn commands(recovery: &Recovery) -> u64 {
    recovery
        .for_each_command(|_, _| {}, |_, _| Ok::<(), ()>(()))
        .expect("what was verified can be read")
}

fuzz_target!(|data: &[u8]| {
    let disk = SimulatedDisk::new();
    let write = |path: &str, bytes: &[u8]| {
        disk.create(Path::new(path))
            .and_then(|file| file.write_all_at(bytes, 0))
            .expect("a disk without faults");
    };
    write(
        "data/appendonlydir/appendonly.aof.manifest",
        b"file appendonly.aof.1.incr.aof seq 1 type i\n",
    );
    write("data/appendonlydir/appendonly.aof.1.incr.aof", data);
    let Some(recovery) = open(&disk) else { return };
    let before = commands(&recovery);
    assert_eq!(before, recovery.report().commands);
    drop(recovery.start_stepped().expect("a disk without faults"));
    let again = open(&disk).expect("a log that was started is whole");
    assert_eq!(commands(&again), before);
});
