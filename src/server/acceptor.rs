//! The acceptor: a thread that owns the listening sockets, hands on what it accepts, and replaces them when `bind`, `port`
//! or `tls-port` change. Knows neither connections nor commands.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::warn;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, LocalSet};

use super::tls::Tls;
use crate::config::Config;
use crate::services::Rebind;

/// A connection that nobody has greeted yet.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream, SocketAddr),
    Tls(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

/// Whom accepted connections are handed to.
pub(super) type HandOver = Arc<dyn Fn(Accepted) + Send + Sync>;

/// Open sockets, before the thread has them.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) unix: Option<UnixListener>,
    pub(super) backlog: i32,
}

/// Where to listen over TCP, and whether what comes there is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    address: SocketAddr,
    secured: bool,
}

/// A wish to listen elsewhere, and where the outcome goes.
#[derive(Debug)]
struct Request {
    places: Vec<Place>,
    done: std::sync::mpsc::Sender<io::Result<()>>,
}

/// The thread's mailbox, and how new connections are secured.
#[derive(Debug)]
pub(super) struct Rebinder {
    requests: mpsc::UnboundedSender<Request>,
    tls: Arc<Tls>,
}

impl Rebind for Rebinder {
    fn listen(&self, config: &Config) -> Result<(), String> {
        let plain = Place::all(config, false).map_err(|error| error.to_string())?;
        let secured = Place::all(config, true).map_err(|error| error.to_string())?;
        self.replace([plain, secured].concat())
    }

    fn secure(&self, config: &Config) -> Result<(), String> {
        let configured = self.tls.configure(config);
        configured.inspect_err(|problem| warn!("{problem}"))
    }
}

impl Place {
    /// What `bind` means with `port`, or with `tls-port`; nothing where that is 0.
    fn all(config: &Config, secured: bool) -> io::Result<Vec<Self>> {
        let addresses = addresses(config, if secured { "tls-port" } else { "port" })?.into_iter();
        let place = |address| Self { address, secured };
        Ok(addresses.map(place).collect())
    }
}

/// The addresses of `bind` with the port that a parameter gives; none where that is 0.
pub(super) fn addresses(config: &Config, port: &'static str) -> io::Result<Vec<SocketAddr>> {
    let port = u16::try_from(config.u64(port)).unwrap_or(0);
    let names: Vec<_> = config
        .bind()
        .iter()
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    resolve(&names, port)
}

impl Rebinder {
    fn replace(&self, places: Vec<Place>) -> Result<(), String> {
        let (done, outcome) = std::sync::mpsc::channel();
        let stopping = || "the server is stopping".to_owned();
        self.requests
            .send(Request { places, done })
            .map_err(|_| stopping())?;
        outcome
            .recv()
            .map_err(|_| stopping())?
            .map_err(|error| error.to_string())
    }
}

/// How long clients wait in the backlog for what is being loaded: most starts take less, and then nobody is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether that is over.
const LOOK: Duration = Duration::from_millis(1);

/// Starts the thread, which ends when `stopped` says so. Nobody is accepted while `is_starting`, for a moment.
pub(super) fn start(
    sockets: Sockets,
    tls: Arc<Tls>,
    hand_over: HandOver,
    stopped: watch::Receiver<bool>,
    is_starting: impl Fn() -> bool + Send + 'static,
) -> io::Result<(Rebinder, JoinHandle<()>)> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let (requests, inbox) = mpsc::unbounded_channel();
    let work = move || {
        let patience = Instant::now() + PATIENCE;
        while is_starting() && !*stopped.borrow() && Instant::now() < patience {
            std::thread::sleep(LOOK);
        }
        drop(is_starting);
        LocalSet::new().block_on(&runtime, accept_all(sockets, hand_over, inbox, stopped));
    };
    let thread = std::thread::Builder::new()
        .name("innkeep-acceptor".into())
        .spawn(work)?;
    Ok((Rebinder { requests, tls }, thread))
}

async fn accept_all(
    sockets: Sockets,
    hand_over: HandOver,
    mut inbox: mpsc::UnboundedReceiver<Request>,
    mut stopped: watch::Receiver<bool>,
) {
    if let Some(unix) = sockets.unix {
        task::spawn_local(accept_unix(unix, Arc::clone(&hand_over)));
    }
    let mut open = Open {
        listeners: Vec::new(),
        backlog: sockets.backlog,
        hand_over,
    };
    open.add(sockets.tcp, false);
    open.add(sockets.tls, true);
    loop {
        tokio::select! {
            Some(request) = inbox.recv() => {
                let outcome = open.replace(&request.places).await;
                // Who asked waits for it, unless it has died in the meantime.
                drop(request.done.send(outcome));
            }
            _ = stopped.changed() => return,
        }
    }
}

/// A socket that a task accepts from.
struct Listening {
    place: Place,
    task: task::JoinHandle<()>,
}

struct Open {
    listeners: Vec<Listening>,
    backlog: i32,
    hand_over: HandOver,
}

impl Open {
    fn add(&mut self, sockets: Vec<TcpListener>, secured: bool) {
        for socket in sockets {
            let Ok(address) = socket.local_addr() else {
                continue;
            };
            let task = task::spawn_local(accept_tcp(socket, secured, Arc::clone(&self.hand_over)));
            let place = Place { address, secured };
            self.listeners.push(Listening { place, task });
        }
    }

    /// Listens at these places only. When it returns the others are closed; on an error everything is as before.
    async fn replace(&mut self, wanted: &[Place]) -> io::Result<()> {
        let is_missing = |place: &&Place| {
            let mut open = self.listeners.iter();
            !open.any(|listener| listener.place == **place)
        };
        let missing: Vec<Place> = wanted.iter().filter(is_missing).copied().collect();
        match self.open(&missing) {
            Ok(new) => {
                self.close_unless(wanted).await;
                self.add_both(new);
                Ok(())
            }
            // An address and the wildcard of its port are in each other's way; so are the two sides of a port that is secured
            // from now on, or no longer.
            Err(_) if self.shares_a_port(&missing) => {
                let closed = self.close_unless(wanted).await;
                let (result, sockets) = match self.open(&missing) {
                    Ok(new) => (Ok(()), new),
                    Err(error) => (Err(error), self.open(&closed)?),
                };
                self.add_both(sockets);
                result
            }
            Err(error) => Err(error),
        }
    }

    /// Sockets at all of these places: plain ones, and secured ones.
    fn open(&self, places: &[Place]) -> io::Result<[Vec<TcpListener>; 2]> {
        let listen = |secured| {
            let places = places.iter().filter(|place| place.secured == secured);
            let addresses: Vec<_> = places.map(|place| place.address).collect();
            listen_all(&addresses, self.backlog)
        };
        Ok([listen(false)?, listen(true)?])
    }

    fn add_both(&mut self, [plain, secured]: [Vec<TcpListener>; 2]) {
        self.add(plain, false);
        self.add(secured, true);
    }

    fn shares_a_port(&self, places: &[Place]) -> bool {
        self.listeners.iter().any(|listener| {
            let port = listener.place.address.port();
            places.iter().any(|place| place.address.port() == port)
        })
    }

    /// Closes the listeners of other places and returns where they were.
    async fn close_unless(&mut self, wanted: &[Place]) -> Vec<Place> {
        let mut closed = Vec::new();
        for listener in std::mem::take(&mut self.listeners) {
            if wanted.contains(&listener.place) {
                self.listeners.push(listener);
                continue;
            }
            listener.task.abort();
            // The socket is closed when the task is gone.
            drop(listener.task.await);
            closed.push(listener.place);
        }
        closed
    }
}

/// Listens on every address, or on none.
pub(super) fn listen_all(addresses: &[SocketAddr], backlog: i32) -> io::Result<Vec<TcpListener>> {
    let listen = |address: &SocketAddr| {
        listen(*address, backlog).map_err(|error| {
            warn!("Could not create server TCP listening socket {address}: {error}");
            io::Error::new(error.kind(), format!("{address}: {error}"))
        })
    };
    addresses.iter().map(listen).collect()
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Listens on a Unix socket; permissions 0 leave them as the system makes them.
pub(super) fn listen_unix(path: &Path, permissions: u32) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // A socket that a dead server left behind is in the way.
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        drop(std::fs::remove_file(path));
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    if permissions > 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))?;
    }
    Ok(listener)
}

/// The addresses of `bind`: `*` is every IPv4 address, `::*` every IPv6 one, a leading dash allows for its absence.
/// None at all when the port is 0.
pub(super) fn resolve(names: &[impl AsRef<str>], port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    if port == 0 {
        return Ok(found);
    }
    for name in names {
        let name = name.as_ref();
        let (name, optional) = name
            .strip_prefix('-')
            .map_or((name, false), |name| (name, true));
        let host = match name {
            "*" => "0.0.0.0",
            "::*" => "::",
            other => other,
        };
        match (host, port).to_socket_addrs() {
            Ok(addresses) => {
                for address in addresses.filter(|address| !optional || is_there(*address)) {
                    if !found.contains(&address) {
                        found.push(address);
                    }
                }
            }
            Err(_) if optional => {}
            Err(problem) => {
                let text = format!("bind {name}: {problem}");
                warn!("Could not create server TCP listening socket: {text}");
                return Err(io::Error::new(problem.kind(), text));
            }
        }
    }
    Ok(found)
}

/// Whether this machine has the address at all.
fn is_there(address: SocketAddr) -> bool {
    TcpListener::bind((address.ip(), 0)).is_ok()
}

async fn accept_tcp(listener: TcpListener, secured: bool, hand_over: HandOver) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Ok(stream) = stream.into_std() {
                    hand_over(match secured {
                        true => Accepted::Tls(stream, address),
                        false => Accepted::Tcp(stream, address),
                    });
                }
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, hand_over: HandOver) {
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(stream) = stream.into_std() {
                    hand_over(Accepted::Unix(stream));
                }
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Out of file descriptors: trying again at once would only burn the processor.
async fn rest_after(error: &io::Error) {
    warn!("Accepting a client connection failed: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_NAMES: [&str; 0] = [];

    fn here(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// An acceptor on a free port, and how to stop it.
    fn acceptor() -> (Rebinder, u16, watch::Sender<bool>, JoinHandle<()>) {
        let tcp = listen_all(&[here(0)], 16).expect("a port is free");
        let port = tcp[0].local_addr().expect("it is bound").port();
        let (stop, stopped) = watch::channel(false);
        let sockets = Sockets {
            tcp,
            tls: Vec::new(),
            unix: None,
            backlog: 16,
        };
        let (rebinder, thread) = start(sockets, Arc::default(), Arc::new(drop), stopped, || false)
            .expect("threads start");
        (rebinder, port, stop, thread)
    }

    /// A configuration that says so.
    fn at(bind: &str, port: u16) -> Config {
        let mut config = Config::default();
        let text = format!("bind {bind}\nport {port}");
        config.load_text(text.as_bytes()).expect("valid options");
        config
    }

    fn answers(port: u16) -> bool {
        std::net::TcpStream::connect(here(port)).is_ok()
    }

    #[test]
    fn listeners_give_way_to_others_at_once() {
        let (rebinder, port, stop, thread) = acceptor();
        let other = listen(here(0), 1).and_then(|free| free.local_addr());
        let other = other.expect("a port is free").port();
        assert!(answers(port));
        let wanted = at("127.0.0.1", other);
        rebinder.listen(&wanted).expect("the port is free");
        assert!(answers(other) && !answers(port));
        rebinder.listen(&at("*", other)).expect("same port");
        assert!(answers(other));
        let nowhere = at("127.0.0.1", 0);
        rebinder.listen(&nowhere).expect("none is always free");
        assert!(!answers(other));
        stop.send_replace(true);
        thread.join().expect("it does not panic");
    }

    #[test]
    fn a_refusal_leaves_everything_as_it_was() {
        let (rebinder, port, stop, thread) = acceptor();
        let taken = listen(here(0), 1).expect("a port is free");
        let taken_port = taken.local_addr().expect("it is bound").port();
        assert!(rebinder.listen(&at("127.0.0.1", taken_port)).is_err());
        assert!(rebinder.listen(&at("999.999.999.999", port)).is_err());
        assert!(answers(port));
        stop.send_replace(true);
        thread.join().expect("it does not panic");
    }

    #[test]
    fn names_become_addresses() {
        let resolved = |names: &[&str], port| resolve(names, port).expect("they are addresses");
        assert_eq!(resolved(&["127.0.0.1", "127.0.0.1"], 7), [here(7)]);
        assert_eq!(resolved(&["*"], 7), [SocketAddr::from(([0, 0, 0, 0], 7))]);
        assert!(resolved(&["*"], 0).is_empty());
        assert!(resolved(&["-203.0.113.1"], 7).is_empty());
        assert!(resolved(&NO_NAMES, 7).is_empty());
    }
}
