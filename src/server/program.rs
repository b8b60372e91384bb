//! The program: command line and configuration in, a server until somebody stops it.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use log::{error, info, warn};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::acceptor;
use super::allocator::ALLOCATOR;
use super::crash;
use super::daemon::{self, Half};
use super::listener::{Server, ServerOptions, serve};
use super::logger;
use super::open_files;
use super::restart;
use super::shutdown::{self, Origin};
use super::supervision::Supervisor;
use super::title;
use crate::commands::Shutdown;
use crate::config::{Config, Invocation, Source, USAGE, parse_arguments};
use crate::engine::Engine;
use crate::error::Error;
use crate::tools;

/// What `-v` prints after `v=`: the Redis version whose commands are all here.
pub(super) const COMPATIBLE_VERSION: &str = "7.2.4";

/// Where the number of a process is written that goes on by itself, unless another file is configured.
const DAEMON_PIDFILE: &[u8] = b"/var/run/redis.pid";

/// Runs the program. `arguments` begin with its own name, which decides whose defaults hold.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if tools::are_meant(&arguments) {
        return tools::run(arguments);
    }
    let program = arguments.first().cloned().unwrap_or_default();
    let words = arguments.clone();
    match parse_arguments(arguments) {
        Invocation::Run(source) => {
            if !source.standard_input {
                restart::prepare(words);
            }
            title::prepare(program);
            run_server(&source)
        }
        Invocation::Version => {
            let (own, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
            println!(
                "Redis server v={COMPATIBLE_VERSION} sha=00000000:0 malloc=mimalloc bits={bits} build=innkeep-{own}"
            );
            ExitCode::SUCCESS
        }
        Invocation::Help => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Invocation::CheckSystem => {
            println!("innkeep relies on no setting of the system that this could check.");
            ExitCode::SUCCESS
        }
        Invocation::Unsupported(option) => {
            eprintln!("innkeep has no {option}.");
            ExitCode::FAILURE
        }
    }
}

fn run_server(source: &Source) -> ExitCode {
    let loaded = match source.load(&mut io::stdin().lock()) {
        Ok(loaded) => loaded,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let mut config = loaded.config;
    let supervisor = Supervisor::of(&config);
    if supervisor == Supervisor::Nobody && config.bool("daemonize") {
        match go_on_alone(&mut config) {
            Ok(Half::Daemon) => {}
            Ok(Half::Starter(code)) => return code,
            Err(problem) => {
                eprintln!("Can't go on in the background: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    let logfile = config.path("logfile");
    let path = (!logfile.as_os_str().is_empty()).then_some(logfile.as_path());
    match logger::start(path, config.word("loglevel")) {
        Ok(log) if config.bool("crash-log-enabled") => crash::tell_crashes(log),
        Ok(_) => {}
        Err(problem) => {
            eprintln!("Can't open the log file {}: {problem}", logfile.display());
            return ExitCode::FAILURE;
        }
    }
    for warning in loaded.warnings {
        warn!("{warning}");
    }
    supervisor.warn_where_missing(&config);
    let Some(clients) = open_files::make_room_at_start(config.u64("maxclients")) else {
        error!("The system allows too few open files for a single client: raise 'ulimit -n'");
        log::logger().flush();
        return ExitCode::FAILURE;
    };
    if let Err(refusal) = config.assign(b"maxclients", clients.to_string().as_bytes()) {
        warn!("{refusal}");
    }
    let end = Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(host(config, supervisor)));
    let code = match end {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(delay_ms)) => {
            error!("It can't be started again: {}", restart::now(delay_ms));
            ExitCode::FAILURE
        }
        Err(problem) => {
            error!("{problem}");
            ExitCode::FAILURE
        }
    };
    log::logger().flush();
    code
}

/// Leaves whoever started the program, for a process of its own whose number a file tells.
fn go_on_alone(config: &mut Config) -> io::Result<Half> {
    if config.text("pidfile").is_empty() {
        config
            .assign(b"pidfile", DAEMON_PIDFILE)
            .map_err(|refusal| io::Error::other(refusal.to_string()))?;
    }
    daemon::detach()
}

/// Serves an engine while it loads and after, and closes it when asked to; answers after how many milliseconds the program
/// is to start again, if it is.
async fn host(config: Config, supervisor: Supervisor) -> io::Result<Option<u64>> {
    // A file that may not grow is an error of the write then, as a full disk is, and not the end of the program.
    let _file_too_large = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
    let (own, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let port = config.u64("port");
    let options = server_options(&config)?;
    let pidfile = config.path("pidfile");
    // Whoever is served may rely on it that a signal ends the server as it should.
    let mut signals = Signals::new()?;
    let engine = Engine::prepare(config).map_err(io::Error::other)?;
    let named = engine.services().stats.allocator.set(ALLOCATOR);
    debug_assert!(named.is_ok(), "nobody else knows the allocator");
    let switches = &engine.services().switches;
    // Nobody has set them before.
    let _ = switches.crash.set(crash::provoke);
    if restart::is_possible() {
        let _ = switches.restart.set(restart::now);
    }
    let _ = switches.room_for_clients.set(open_files::make_room);
    let _ = switches.show_title.set(title::show);
    let _ = switches.supervisor.set(supervisor.name());
    let mut server = serve(&engine, options).inspect_err(|problem| match problem.kind() {
        io::ErrorKind::InvalidInput => error!("Failed to configure TLS. Check logs for more info."),
        _ => error!("Failed listening on port {port} (tcp), aborting."),
    })?;
    title::show_first(&engine.services().config.read());
    // Whoever reads this may connect.
    info!(
        "innkeep {own} is starting, port {port}, compatible with Redis {COMPATIBLE_VERSION}. PID: {pid}"
    );
    if !pidfile.as_os_str().is_empty()
        && let Err(problem) = std::fs::write(&pidfile, format!("{pid}\n"))
    {
        warn!(
            "The pid file {} could not be written: {problem}",
            pidfile.display()
        );
    }
    supervisor.started();
    let addresses = [server.addresses(), server.tls_addresses()].concat();
    let failure = load(&engine, addresses, supervisor)?;
    let restart_ms = tokio::select! {
        Ok(problem) = failure => return Err(io::Error::other(problem)),
        stopped = stop(&mut server, &engine, &mut signals) => stopped?,
    };
    supervisor.stopping();
    drop(server);
    if !pidfile.as_os_str().is_empty() {
        drop(std::fs::remove_file(&pidfile));
    }
    info!("Everything is on disk; ready to exit, bye bye...");
    engine.end_with_process();
    Ok(restart_ms)
}

/// Loads on a thread of its own. What it returns has a value only where that fails.
fn load(
    engine: &Engine,
    addresses: Vec<SocketAddr>,
    supervisor: Supervisor,
) -> io::Result<oneshot::Receiver<Error>> {
    let (failed, failure) = oneshot::channel();
    let engine = engine.clone();
    let work = move || match engine.load() {
        Ok(()) => {
            for address in addresses {
                info!("Ready to accept connections on {address}");
            }
            info!("Ready to accept connections");
            supervisor.ready();
        }
        // Nobody listens any more where the server stops already.
        Err(problem) => drop(failed.send(problem)),
    };
    std::thread::Builder::new()
        .name("innkeep-loader".into())
        .spawn(work)?;
    Ok(failure)
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one: its name, and the parameter that says how the server ends with it.
    async fn next(&mut self) -> (&'static str, &'static str) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", "shutdown-on-sigterm"),
            _ = self.interrupt.recv() => ("SIGINT", "shutdown-on-sigint"),
        }
    }
}

/// Waits for the wish to stop, and brings everything to disk. Answers after how many milliseconds the program is to start
/// again, if it is.
async fn stop(
    server: &mut Server,
    engine: &Engine,
    signals: &mut Signals,
) -> io::Result<Option<u64>> {
    loop {
        let mut restart_ms = None;
        let ended = tokio::select! {
            (name, parameter) = signals.next() => {
                info!("Received {name} scheduling shutdown...");
                let how = shutdown_by_signal(engine, parameter);
                stop_by_signal(server, engine, signals, how).await?
            }
            how = server.shutdown_requested() => {
                info!("User requested shutdown...");
                restart_ms = how.restart_ms;
                Some(engine.shut_down(how))
            }
        };
        match ended {
            Some(Ok(())) => return Ok(restart_ms),
            Some(Err(problem)) => {
                warn!("Errors trying to shut down the server: {problem}. Check the log above.");
            }
            None => {}
        }
    }
}

/// None where it was called off. Another signal meanwhile ends the program at once.
async fn stop_by_signal(
    server: &mut Server,
    engine: &Engine,
    signals: &mut Signals,
    how: Shutdown,
) -> io::Result<Option<Result<(), Error>>> {
    let may_begin = tokio::select! {
        // A signal that follows SHUTDOWN ABORT is another one, and no insisting.
        biased;
        may_begin = shutdown::may_begin(engine, how, Origin::Signal) => may_begin,
        _ = signals.next() => insist(engine),
        how = server.shutdown_requested() => return Ok(Some(engine.shut_down(how))),
    };
    if !may_begin {
        return Ok(None);
    }
    let (done, ended) = oneshot::channel();
    let its_engine = engine.clone();
    // Nobody waits for the result where a second signal came.
    let work = move || {
        let result = its_engine.shut_down(how);
        // Whoever hears of it may end the process: it shall be the last owner.
        drop(its_engine);
        drop(done.send(result));
    };
    std::thread::Builder::new()
        .name("innkeep-shutdown".into())
        .spawn(work)?;
    tokio::select! {
        ended = ended => Ok(Some(ended.map_err(io::Error::other)?)),
        _ = signals.next() => insist(engine),
    }
}

/// Whoever asks twice does not want to wait.
fn insist(engine: &Engine) -> ! {
    warn!("You insist... exiting now.");
    engine.leave_no_temporary_snapshot();
    log::logger().flush();
    std::process::exit(1)
}

fn shutdown_by_signal(engine: &Engine, parameter: &'static str) -> Shutdown {
    let config = engine.services().config.read();
    let words = config.words(parameter);
    let save = words.contains(&"save").then_some(true);
    Shutdown {
        save: save.or(words.contains(&"nosave").then_some(false)),
        now: words.contains(&"now"),
        force: words.contains(&"force"),
        ..Shutdown::default()
    }
}

fn server_options(config: &Config) -> io::Result<ServerOptions> {
    let defaults = ServerOptions::default();
    let unix = config.path("unixsocket");
    let permissions = u32::try_from(config.u64("unixsocketperm")).unwrap_or(0);
    let threads = config.usize("io-threads");
    Ok(ServerOptions {
        tcp: acceptor::addresses(config, "port")?,
        tls: acceptor::addresses(config, "tls-port")?,
        unix: (!unix.as_os_str().is_empty()).then(|| PathBuf::from(&unix)),
        unix_permissions: permissions,
        workers: if threads > 1 {
            threads
        } else {
            defaults.workers
        },
        backlog: i32::try_from(config.u64("tcp-backlog")).unwrap_or(defaults.backlog),
        keepalive_s: config.u64("tcp-keepalive"),
    })
}
