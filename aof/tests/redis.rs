//! A real redis-server reads what we write, and we read what it writes. Runs where redis-server is on the path.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use innkeep_aof::{FsyncPolicy, Options, RealStorage, Recovery};

type Failure = Box<dyn std::error::Error>;

/// A server on a port of its own, ended with the test.
struct Server {
    child: Child,
    stream: TcpStream,
}

impl Server {
    /// `None` where there is no redis-server.
    fn start(directory: &Path) -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let spawned = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "yes",
                "--aof-use-rdb-preamble",
                "no",
            ])
            .args(["--appendfsync", "always", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            return Ok(None);
        };
        loop {
            if let Some(status) = child.try_wait()? {
                return Err(format!("redis-server refused the directory: {status}").into());
            }
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                let mut server = Self { child, stream };
                while server.ask("PING")?.starts_with("-LOADING") {}
                return Ok(Some(server));
            }
            std::thread::yield_now();
        }
    }

    /// Sends an inline command; answers what comes back in one read.
    fn ask(&mut self, command: &str) -> Result<String, Failure> {
        self.stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..read])
            .trim_end()
            .to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set(key: &str) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\n1\r\n", key.len()).into_bytes()
}

fn open(directory: &Path) -> Result<Recovery, Failure> {
    let mut options = Options::new(directory);
    options.policy = FsyncPolicy::Always;
    Ok(Recovery::open(Arc::new(RealStorage), options)?)
}

fn keys(recovery: &Recovery) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    let apply = |arguments: &[&[u8]], _| -> Result<(), std::convert::Infallible> {
        if arguments.len() == 3 {
            keys.push(String::from_utf8_lossy(arguments[1]).into_owned());
        }
        Ok(())
    };
    recovery
        .for_each_command(|_, _| {}, apply)
        .map_err(|error| format!("{error:?}"))?;
    Ok(keys)
}

#[test]
fn a_directory_goes_to_redis_and_back() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let log = open(directory.path())?.start()?;
    log.append(&set("old"));
    let mut sink = log.switch()?;
    log.append(&set("during"));
    sink.write(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n")?;
    sink.write(&set("base"))?;
    sink.finish()?;
    log.append(&set("after"));
    log.close()?;
    // A second increment, so that one of them has its length in the manifest.
    let log = open(directory.path())?.start()?;
    log.append(&set("second"));
    log.close()?;

    let Some(mut redis) = Server::start(directory.path())? else {
        return Ok(());
    };
    assert_eq!(redis.ask("EXISTS base during after second old")?, ":4");
    assert_eq!(redis.ask("SET theirs 1")?, "+OK");
    drop(redis);
    let recovery = open(directory.path())?;
    assert_eq!(
        keys(&recovery)?,
        ["base", "during", "after", "second", "theirs"]
    );

    let log = recovery.start()?;
    log.append(&set("ours"));
    log.close()?;
    let Some(mut redis) = Server::start(directory.path())? else {
        return Ok(());
    };
    assert_eq!(redis.ask("DBSIZE")?, ":6");
    // Redis rewrites everything in its own way.
    assert!(redis.ask("BGREWRITEAOF")?.starts_with("+Background"));
    while !redis
        .ask("INFO persistence")?
        .contains("aof_rewrite_in_progress:0")
    {}
    assert_eq!(redis.ask("SET last 1")?, "+OK");
    drop(redis);
    let recovery = open(directory.path())?;
    let mut found = keys(&recovery)?;
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "after", "base", "during", "last", "ours", "second", "theirs"
        ]
    );
    assert!(!recovery.report().checksums);
    Ok(())
}
