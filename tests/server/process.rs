//! The process: its arguments, its signals, its sockets.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use innkeep_test_server::wire::{Reply, Wire};
use innkeep_test_server::{Launch, SERVER_VARIABLE, Server};

/// The numbers of the signals that end a program by `abort` and by a wrong access to memory, the same on every system.
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn program() -> String {
    let named = std::env::var(SERVER_VARIABLE)
        .ok()
        .filter(|name| !name.is_empty());
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_innkeep").to_owned())
}

fn signal(id: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

#[test]
fn its_version_is_told_as_tools_read_it() {
    for argument in ["-v", "--version"] {
        let output = Command::new(program())
            .arg(argument)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="))
            .expect("a word v=N.N.N");
        let numbers: Vec<u32> = version
            .split('.')
            .map(|number| number.parse().expect("a number"))
            .collect();
        assert_eq!(numbers.len(), 3, "{text}");
        assert!(
            text.starts_with("Redis server v=") && text.contains(" sha="),
            "{text}"
        );
    }
}

#[test]
fn bad_arguments_end_it_at_once() {
    let bad: &[&[&str]] = &[
        &["--port", "abc"],
        &["--nonsense", "1"],
        &["/no/such/file.conf"],
        &["--port", "70000"],
        &["--appendfsync", "often"],
    ];
    for arguments in bad {
        let output = Command::new(program())
            .args(*arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.is_empty(), "{arguments:?} ended without a word");
    }
}

#[test]
fn it_ends_cleanly_when_asked() {
    for name in ["TERM", "INT"] {
        let mut server = crate::server();
        let mut wire = crate::connect(&server);
        wire.ask(&["SET", "a", "b"]).expect("the server answers");
        signal(server.id(), name);
        let status = server.wait_for_exit(PATIENCE).expect("it ends");
        assert!(status.success(), "{name}: {status:?}\n{}", server.log());
        assert!(wire.receive().is_err(), "the connection is closed");
    }
}

#[test]
fn shutdown_ends_it_too() {
    let mut server = crate::server();
    let mut wire = crate::connect(&server);
    assert!(
        wire.ask(&["SHUTDOWN", "NOSAVE"]).is_err(),
        "there is no reply to SHUTDOWN"
    );
    assert!(server.wait_for_exit(PATIENCE).expect("it ends").success());
}

/// What a server answers as soon as it takes clients and has loaded its data.
fn answer_of_its_next_start(server: &Server, words: &[&str]) -> Reply {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let answer = server
            .connect()
            .and_then(|stream| Wire::new(stream).ask(words));
        match answer {
            Ok(reply) if !reply.is_error() => return reply,
            _ => std::thread::yield_now(),
        }
    }
    panic!("it does not come back: {}", server.log());
}

#[test]
fn it_starts_again_in_its_process() {
    for (how, hardest) in [("RESTART", false), ("CRASH-AND-RECOVER", true)] {
        for delay in [&[][..], &["5"][..], &["-5"][..]] {
            let server = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
                .option("appendonly", "yes")
                .option("appendfsync", if hardest { "always" } else { "no" })
                .start()
                .expect("it starts");
            let mut wire = crate::connect(&server);
            for refused in [&["DEBUG", how, "x"][..], &["DEBUG", how, "1.5"]] {
                let answer = wire.ask(refused).expect("it answers");
                assert!(answer.is_error(), "{answer:?}");
            }
            let words = ["SET", "a", "what was acknowledged"];
            wire.ask(&words).expect("it answers");
            let process = server.id().to_string();
            assert!(wire.ask(&[&["DEBUG", how], delay].concat()).is_err());
            let answer = answer_of_its_next_start(&server, &["GET", "a"]);
            assert_eq!(answer.bytes(), words[2].as_bytes(), "{how}");
            let info = answer_of_its_next_start(&server, &["INFO", "server"]);
            let text = String::from_utf8_lossy(info.bytes()).into_owned();
            assert!(
                text.contains(&format!("process_id:{process}\r\n")),
                "{text}"
            );
        }
    }
}

#[test]
fn debug_ends_it_as_hard_as_a_fault_would() {
    for (how, number) in [
        ("ASSERT", SIGABRT),
        ("PANIC", SIGABRT),
        ("OOM", SIGABRT),
        ("SEGFAULT", SIGSEGV),
    ] {
        let mut server = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
            .option("appendonly", "yes")
            .option("appendfsync", "always")
            .start()
            .expect("it starts");
        let mut wire = crate::connect(&server);
        let words = ["SET", "a", "what was acknowledged"];
        wire.ask(&words).expect("it answers");
        assert!(wire.ask(&["DEBUG", how]).is_err(), "{how} has no reply");
        let status = server.wait_for_exit(PATIENCE).expect("it ends");
        assert_eq!(status.signal(), Some(number), "{how}: {status:?}");
        let server = server.restart().expect("it starts again");
        let answer = answer_of_its_next_start(&server, &["GET", "a"]);
        assert_eq!(answer.bytes(), words[2].as_bytes(), "{how}");
    }
}

/// A process that is killed when a test ends, however it ends.
struct Running(Child);

impl Running {
    /// Starts the program with these arguments and this input, and waits until its log says that it is ready.
    fn start(arguments: &[&str], input: &[u8]) -> Self {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = Self(command.spawn().expect("the program runs"));
        let mut stdin = running.0.stdin.take().expect("it was piped");
        stdin.write_all(input).expect("it reads its input");
        drop(stdin);
        let mut output = BufReader::new(running.0.stdout.take().expect("it was piped"));
        let mut log = String::new();
        while !log.contains("Ready to accept connections")
            && !log.contains("ready to accept connections")
        {
            let length = output.read_line(&mut log).expect("the log is text");
            assert!(length > 0, "it ended: {log}");
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn it_lives_on_a_unix_socket_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("alone.sock");
    let path = |path: &Path| path.to_str().expect("a path of text").to_owned();
    let (folder, socket) = (path(directory.path()), path(&socket));
    let _running = Running::start(
        &[
            "--port",
            "0",
            "--save",
            "",
            "--dir",
            &folder,
            "--unixsocket",
            &socket,
        ],
        b"",
    );
    let mut stream = UnixStream::connect(&socket).expect("the socket accepts");
    stream.write_all(b"PING\r\n").expect("the server reads");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_configuration_comes_from_a_file_from_standard_input_and_from_arguments() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let file = directory.path().join("server.conf");
    let folder = directory.path().display();
    let port = address.port();
    let text = format!(
        "# comment\nport {port}\nmaxclients 123\nrequirepass \"se\\x63ret\"\nsave \"\"\ndir {folder}\n"
    );
    std::fs::write(&file, text).expect("the file can be written");
    let arguments = [
        file.to_str().expect("a path of text"),
        "--databases",
        "7",
        "-",
    ];
    let _running = Running::start(&arguments, b"timeout 77\n");
    let mut wire = Wire::new(TcpStream::connect(address).expect("the server accepts"));
    assert!(
        wire.ask(&["AUTH", "secret"])
            .expect("the server answers")
            .is_status("OK")
    );
    for (name, value) in [("maxclients", "123"), ("timeout", "77"), ("databases", "7")] {
        let reply = wire
            .ask(&["CONFIG", "GET", name])
            .expect("the server answers");
        assert_eq!(
            reply.items().get(1).map(|item| item.bytes().to_vec()),
            Some(value.as_bytes().to_vec()),
            "{name}"
        );
    }
}

/// The words that the system shows for a process, up to the first end of one.
fn title_of(id: u32) -> String {
    let words = std::fs::read(format!("/proc/{id}/cmdline")).expect("it runs");
    let first = words.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(first).into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn its_title_tells_what_is_configured() {
    let server = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
        .environment("A_LONG_ENVIRONMENT", &"room ".repeat(100))
        .start()
        .expect("a server");
    let (id, port) = (server.id(), server.port());
    let mut wire = Wire::new(server.connect().expect("the server accepts"));
    let title = title_of(id);
    assert!(title.ends_with(&format!(" 127.0.0.1:{port}")), "{title}");
    let long = "x".repeat(200);
    for (template, expected) in [
        (
            format!("{{port}} {long} {{tls-port}}"),
            format!("{port} {long} 0"),
        ),
        ("short".to_owned(), "short".to_owned()),
    ] {
        let answer = wire.ask(&["CONFIG", "SET", "proc-title-template", &template]);
        assert!(answer.expect("the server answers").is_status("OK"));
        assert_eq!(title_of(id), expected);
    }
}

/// The lines of a log that is a pipe with a name, from now on.
fn lines_of_pipe(path: &Path) -> mpsc::Receiver<String> {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
    // Who holds both ends waits for nobody, and never reads an end.
    let pipe = OpenOptions::new().read(true).write(true).open(path);
    let lines = BufReader::new(pipe.expect("the pipe opens")).lines();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn wait_for_line(lines: &mpsc::Receiver<String>, words: &str) {
    loop {
        let line = lines.recv_timeout(PATIENCE);
        if line.expect("the log goes on").contains(words) {
            return;
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn it_goes_on_alone_as_a_daemon() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let (socket, log, pidfile) = (path("daemon.sock"), path("log"), path("pid"));
    let lines = lines_of_pipe(&log);
    let settings = [
        ("--dir", directory.path()),
        ("--unixsocket", &socket),
        ("--logfile", &log),
        ("--pidfile", &pidfile),
    ];
    let starter = Command::new(program())
        .args(["--daemonize", "yes", "--port", "0", "--save", ""])
        .args(
            settings
                .iter()
                .flat_map(|(name, path)| [name.as_ref(), path.as_os_str()]),
        )
        .output()
        .expect("the program runs");
    assert!(starter.status.success(), "{starter:?}");
    wait_for_line(&lines, "Ready to accept connections");
    let id = std::fs::read_to_string(&pidfile).expect("the number is written");
    let id: u32 = id.trim().parse().expect("a number");
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let session = fields.split(' ').nth(3);
    assert_eq!(
        session,
        Some(id.to_string().as_str()),
        "a session of its own"
    );
    let input = std::fs::read_link(format!("/proc/{id}/fd/0")).expect("it runs");
    assert_eq!(input, Path::new("/dev/null"));
    let mut stream = UnixStream::connect(&socket).expect("the socket accepts");
    stream
        .write_all(b"SHUTDOWN NOSAVE\r\n")
        .expect("the server reads");
    wait_for_line(&lines, "bye bye");
    assert!(!pidfile.exists(), "the file goes with the process");
}

#[test]
fn systemd_is_told_how_far_it_has_come() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify.sock");
    let notified = UnixDatagram::bind(&path).expect("a socket");
    notified
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    let next = || {
        let mut state = [0; 100];
        let length = notified.recv(&mut state).expect("a state is told");
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    let mut server = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
        .environment("NOTIFY_SOCKET", path.to_str().expect("a path of text"))
        .option("supervised", "auto")
        .option("daemonize", "yes")
        .start()
        .expect("a server");
    assert!(next().starts_with("STATUS=Loading"));
    assert!(next().ends_with("\nREADY=1\n"));
    let mut wire = Wire::new(server.connect().expect("the server accepts"));
    let told = wire.ask(&["INFO", "server"]).expect("the server answers");
    let told = String::from_utf8_lossy(told.bytes()).into_owned();
    assert!(
        told.contains("\r\nprocess_supervised:systemd\r\n"),
        "{told}"
    );
    assert!(wire.ask(&["SHUTDOWN", "NOSAVE"]).is_err());
    assert_eq!(next(), "STOPPING=1\n");
    assert!(server.wait_for_exit(PATIENCE).expect("it ends").success());
}
