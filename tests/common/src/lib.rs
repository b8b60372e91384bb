//! Starts and ends the servers that black-box tests talk to: the one under test, and a real redis-server beside it.
//! It knows processes, ports and directories.

pub mod certificates;
pub mod wire;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Names another server binary for all black-box tests, for instance a real redis-server.
pub const SERVER_VARIABLE: &str = "INNKEEP_TEST_SERVER";

/// Options for the server under test only, separated by spaces: `--shards 1`.
pub const OPTIONS_VARIABLE: &str = "INNKEEP_TEST_SERVER_OPTIONS";

/// Names a redis-server of version 8.2, for what version 7.0 does not know.
pub const NEWER_REDIS_VARIABLE: &str = "INNKEEP_TEST_NEWER_REDIS";

/// The longest that a server may take to be ready, with a debug build on a busy machine in mind.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How often another free port is tried when somebody else took the one found.
const PORT_ATTEMPTS: usize = 5;

/// How a server is to be started. Data lives in a temporary directory, persistence is off and the address is a free
/// port of the loopback interface, unless arguments say otherwise.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What a shell runs first, in the process that becomes the server.
    limits: Option<String>,
}

impl Launch {
    /// The server under test: what [`SERVER_VARIABLE`] names, or `built`, the binary that cargo has just built
    /// (`env!("CARGO_BIN_EXE_innkeep")`, which only an integration test can say).
    #[must_use]
    pub fn under_test(built: &str) -> Self {
        let program = std::env::var_os(SERVER_VARIABLE).filter(|name| !name.is_empty());
        let mut launch = Self::program(program.as_deref().unwrap_or(OsStr::new(built)));
        let options = std::env::var(OPTIONS_VARIABLE).unwrap_or_default();
        launch.arguments = options.split_whitespace().map(str::to_owned).collect();
        launch
    }

    /// A real redis-server, where one is installed.
    #[must_use]
    pub fn redis() -> Option<Self> {
        find_program("redis-server").map(|path| Self::program(path.as_os_str()))
    }

    /// The real redis-server of a newer version that [`NEWER_REDIS_VARIABLE`] names; says so where it names none. Few
    /// systems have one, so what needs it may always be left out.
    #[must_use]
    pub fn newer_redis() -> Option<Self> {
        let program = std::env::var_os(NEWER_REDIS_VARIABLE).filter(|name| !name.is_empty());
        if program.is_none() {
            println!("skipped: {NEWER_REDIS_VARIABLE} names no redis-server of version 8.2");
        }
        program.map(|program| Self::program(&program))
    }

    /// Any program that takes redis-server's arguments.
    #[must_use]
    pub fn program(program: &OsStr) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            limits: None,
        }
    }

    /// Adds `--name value`, which replaces the default of that name.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments
            .extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server under limits of the system, in the words of a shell: `ulimit -n 64`.
    #[must_use]
    pub fn under(mut self, limits: &str) -> Self {
        self.limits = Some(limits.to_owned());
        self
    }

    /// Starts the server in a new temporary directory and waits until it answers.
    ///
    /// # Errors
    /// When the program cannot be run, ends at once, or does not answer in time; the message holds its log.
    pub fn start(self) -> io::Result<Server> {
        self.start_in(Arc::new(TempDir::with_prefix("innkeep-test-")?))
    }

    /// Starts the server in the directory of another one that has ended.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn start_after(self, server: &Server) -> io::Result<Server> {
        self.start_in(Arc::clone(&server.directory))
    }

    /// Starts the server in a new directory with this file as its snapshot, and no log.
    ///
    /// # Errors
    /// As [`Launch::start`], and when the file cannot be copied.
    pub fn start_from(self, dump: &Path) -> io::Result<Server> {
        let directory = TempDir::with_prefix("innkeep-test-")?;
        std::fs::copy(dump, directory.path().join("dump.rdb"))?;
        self.option("appendonly", "no")
            .start_in(Arc::new(directory))
    }

    fn start_in(self, directory: Arc<TempDir>) -> io::Result<Server> {
        let mut last = io::Error::other("no attempt was made");
        for _ in 0..PORT_ATTEMPTS {
            match self.attempt(&directory) {
                Ok(server) => return Ok(server),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn command(&self) -> Command {
        let Some(limits) = &self.limits else {
            return Command::new(&self.program);
        };
        let mut shell = Command::new("sh");
        shell.arg("-c");
        shell.arg(format!("{limits} && exec \"$0\" \"$@\""));
        shell.arg(&self.program);
        shell
    }

    fn attempt(&self, directory: &Arc<TempDir>) -> io::Result<Server> {
        let port = free_port()?;
        let socket = directory.path().join("server.sock");
        let mut command = self.command();
        command
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args([
                "--daemonize",
                "no",
                "--enable-debug-command",
                "yes",
                "--enable-protected-configs",
                "yes",
            ])
            .arg("--dir")
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.program.display()))
        })?;
        let log = Arc::new(Log::default());
        let mut server = Server {
            launch: self.clone(),
            child,
            log,
            port,
            socket,
            directory: Arc::clone(directory),
        };
        server.follow_output();
        server.wait_until_ready()?;
        Ok(server)
    }
}

/// A running server. Dropping it kills the process and removes its directory.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    child: Child,
    log: Arc<Log>,
    port: u16,
    socket: PathBuf,
    directory: Arc<TempDir>,
}

impl Server {
    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The address as clients write it: `redis://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to the TCP port, with a read timeout so that a server that stays silent fails a test
    /// instead of hanging it.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READY_WITHIN))?;
        Ok(stream)
    }

    /// All that the server has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text().lines.clone()
    }

    /// Waits until the log holds `words` and says whether it came to that within `limit`.
    #[must_use]
    pub fn wait_for_log(&self, words: &str, limit: Duration) -> bool {
        self.log.wait(limit, |text| text.lines.contains(words))
    }

    /// Waits until the process has ended by itself, its output closed.
    ///
    /// # Errors
    /// When it runs on after `limit`.
    pub fn wait_for_exit(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        if self.log.wait(limit, |text| text.open == 0) {
            self.child.wait()
        } else {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the server runs on:\n{}", self.log()),
            ))
        }
    }

    /// Kills the process as `kill -9` does and waits for its end.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Kills this server and starts another one on the same directory (and another port).
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn restart(mut self) -> io::Result<Self> {
        self.kill()?;
        self.launch.clone().start_in(Arc::clone(&self.directory))
    }

    /// Reads both outputs for as long as they are open, so that the server never waits for a reader.
    fn follow_output(&mut self) {
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            self.child
                .stdout
                .take()
                .map(|output| Box::new(output) as Box<dyn Read + Send>),
            self.child
                .stderr
                .take()
                .map(|output| Box::new(output) as Box<dyn Read + Send>),
        ];
        for output in outputs.into_iter().flatten() {
            self.log.text().open += 1;
            let log = Arc::clone(&self.log);
            thread::spawn(move || log.follow(output));
        }
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let started = Instant::now();
        let ready = self
            .log
            .wait(READY_WITHIN, |text| text.is_ready() || text.open == 0);
        let fails =
            |why: &str| io::Error::other(format!("{why}; the server's log:\n{}", self.log()));
        if !ready {
            return Err(fails("not ready in time"));
        }
        if !self.log.text().is_ready() {
            let taken = self.log().contains("ddress already in use");
            let kind = if taken {
                io::ErrorKind::AddrInUse
            } else {
                io::ErrorKind::Other
            };
            return Err(io::Error::new(kind, fails("it ended at once")));
        }
        let mut stream = self.connect()?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 1];
        stream
            .read_exact(&mut answer)
            .map_err(|_| fails("no answer to PING"))?;
        debug_assert!(started.elapsed() < READY_WITHIN * 2);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.kill());
    }
}

/// What a server has printed, and the wish to be woken when there is more.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<LogText>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct LogText {
    lines: String,
    open: usize,
}

impl LogText {
    fn is_ready(&self) -> bool {
        self.lines.contains("Ready to accept connections")
    }
}

impl Log {
    /// A reader that panicked has left whole lines behind.
    fn text(&self) -> MutexGuard<'_, LogText> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, output: impl Read) {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            self.text().lines.push_str(&String::from_utf8_lossy(&line));
            self.grown.notify_all();
            line.clear();
        }
        self.text().open -= 1;
        self.grown.notify_all();
    }

    fn wait(&self, limit: Duration, done: impl Fn(&LogText) -> bool) -> bool {
        let (text, _) = self
            .grown
            .wait_timeout_while(self.text(), limit, |text| !done(text))
            .unwrap_or_else(PoisonError::into_inner);
        done(&text)
    }
}

/// Where `PATH` has this program.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Whether a part of the tests that needs other software may be left out because it is missing. Continuous
/// integration sets `INNKEEP_TEST_EVERYTHING`, and then nothing may. Prints why in either case.
#[must_use]
pub fn may_skip(missing: &str) -> bool {
    let everything =
        std::env::var_os("INNKEEP_TEST_EVERYTHING").is_some_and(|value| !value.is_empty());
    println!(
        "{}: {missing} is not installed",
        if everything { "failed" } else { "skipped" }
    );
    !everything
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
