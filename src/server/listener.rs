//! The server: an acceptor and the worker threads behind it. Each worker runs its connections on a runtime of its own,
//! so that a connection never moves between threads.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::acceptor::{self, Accepted, Sockets};
use super::buffers::Buffers;
use super::connection::{Connection, End};
use super::link::{LinkThread, Links};
use super::socket::Socket;
use super::tls::{Tls, TlsStream};
use crate::commands::Shutdown;
use crate::engine::Engine;
use crate::services::stats::PurgesWorkers;
use crate::services::{ClientFlags, ClientInfo};

/// Pending connections that the system queues unless configured otherwise.
const BACKLOG: i32 = 511;
/// How long a client that asked for the end waits for it, should nobody carry it out.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(10);

/// Where to listen and how to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// TCP addresses; port 0 takes a free one.
    pub tcp: Vec<SocketAddr>,
    /// TCP addresses where connections are secured, as the parameters `tls-cert-file`, `tls-key-file` … of the engine say.
    pub tls: Vec<SocketAddr>,
    /// Path of a Unix socket.
    pub unix: Option<PathBuf>,
    /// Permissions of the Unix socket, such as `0o700`; 0 leaves them as the system makes them.
    pub unix_permissions: u32,
    /// Worker threads.
    pub workers: usize,
    /// `tcp-backlog`.
    pub backlog: i32,
    /// `tcp-keepalive` in seconds; 0: none.
    pub keepalive_s: u64,
}

impl Default for ServerOptions {
    /// 127.0.0.1:6379, one worker for every two processors, four at most: clients on the same
    /// machine need the others.
    fn default() -> Self {
        let workers =
            std::thread::available_parallelism().map_or(1, |count| (count.get() / 2).clamp(1, 4));
        Self {
            tcp: vec![SocketAddr::from(([127, 0, 0, 1], 6379))],
            tls: Vec::new(),
            unix: None,
            unix_permissions: 0,
            workers,
            backlog: BACKLOG,
            keepalive_s: 300,
        }
    }
}

/// A running server. Dropping it closes the listeners and every connection; the engine goes on.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    stop_accepting: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    shutdown: mpsc::UnboundedReceiver<Shutdown>,
    acceptor: Option<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    link: Arc<LinkThread>,
    unix: Option<PathBuf>,
}

impl Server {
    /// The TCP addresses that it began to listen on; CONFIG SET may have changed them since.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same of those where connections are secured.
    #[must_use]
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Waits until a client sends SHUTDOWN.
    pub async fn shutdown_requested(&mut self) -> Shutdown {
        match self.shutdown.recv().await {
            Some(shutdown) => shutdown,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.engine.services().rebind.write() = None;
        *self.engine.services().primary.links.write() = None;
        // Who sees its connection end may start another server at the same address.
        self.stop_accepting.send_replace(true);
        self.acceptor.take().into_iter().for_each(join);
        self.stop.send_replace(true);
        self.threads.drain(..).for_each(join);
        self.link.join();
        if let Some(path) = &self.unix {
            drop(std::fs::remove_file(path));
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        // The thread said why on its way out; there is nobody else to tell.
    }
}

/// What a worker is to do besides serving its clients.
enum Errand {
    /// Serve one more.
    Serve(Accepted),
    /// Give back to the system what the allocator keeps for it.
    Purge,
}

struct Shared {
    engine: Engine,
    /// One for each worker.
    queues: Vec<mpsc::UnboundedSender<Errand>>,
    next: AtomicUsize,
    shutdown: mpsc::UnboundedSender<Shutdown>,
    keepalive_s: u64,
    tls: Arc<Tls>,
    unix: Option<PathBuf>,
}

/// Starts a server on an engine, beside whatever clients it has in this process. It runs on threads of its own, until the
/// [`Server`] is dropped.
///
/// ```
/// use innkeep::{Engine, server};
///
/// let engine = Engine::in_memory();
/// let options = server::ServerOptions {
///     tcp: vec![([127, 0, 0, 1], 0).into()],
///     ..server::ServerOptions::default()
/// };
/// let server = server::serve(&engine, options)?;
/// println!("redis-cli -p {}", server.addresses()[0].port());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The address, or the path, when it cannot be listened on; what is wrong with the parameters of TLS, where it is wanted.
pub fn serve(engine: &Engine, options: ServerOptions) -> io::Result<Server> {
    let tls = Arc::new(Tls::default());
    if !options.tls.is_empty() {
        let configured = tls.configure(&engine.services().config.read());
        configured.map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))?;
    }
    let tcp = acceptor::listen_all(&options.tcp, options.backlog)?;
    let secured = acceptor::listen_all(&options.tls, options.backlog)?;
    let (addresses, tls_addresses) = (addresses_of(&tcp)?, addresses_of(&secured)?);
    let unix = match &options.unix {
        Some(path) => Some(
            acceptor::listen_unix(path, options.unix_permissions)
                .map_err(|e| named(&path.display().to_string(), &e))?,
        ),
        None => None,
    };
    let (stop_accepting, accepting_stopped) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let (shutdown, requests) = mpsc::unbounded_channel();
    let (queues, inboxes): (Vec<_>, Vec<_>) = (0..options.workers.max(1))
        .map(|_| mpsc::unbounded_channel())
        .unzip();
    let shared = Arc::new(Shared {
        engine: engine.clone(),
        queues,
        next: AtomicUsize::new(0),
        shutdown,
        keepalive_s: options.keepalive_s,
        tls: Arc::clone(&tls),
        unix: options.unix.clone(),
    });
    let mut threads = Vec::new();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        let name = format!("innkeep-worker-{index}");
        let work = move || work(&shared, inbox, stopped);
        threads.push(std::thread::Builder::new().name(name).spawn(work)?);
    }
    let sockets = Sockets {
        tcp,
        tls: secured,
        unix,
        backlog: options.backlog,
    };
    *engine.services().stats.workers.write() = Some(purge_through(shared.queues.clone()));
    let hand_over = Arc::new(move |accepted| shared.hand_over(accepted));
    let inner = Arc::clone(&engine.0);
    let is_starting = move || inner.is_loading();
    let (rebinder, acceptor) =
        acceptor::start(sockets, tls, hand_over, accepting_stopped, is_starting)?;
    *engine.services().rebind.write() = Some(Box::new(rebinder));
    let link = Arc::new(LinkThread::default());
    let links = Links::new(engine.clone(), stopped, Arc::clone(&link));
    *engine.services().primary.links.write() = Some(Box::new(links));
    engine.follow_configured().map_err(io::Error::other)?;
    Ok(Server {
        link,
        engine: engine.clone(),
        addresses,
        tls_addresses,
        stop_accepting,
        stop,
        shutdown: requests,
        acceptor: Some(acceptor),
        threads,
        unix: options.unix,
    })
}

fn addresses_of(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn work(
    shared: &Arc<Shared>,
    mut inbox: mpsc::UnboundedReceiver<Errand>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(runtime) = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    else {
        eprintln!("the system refuses a worker thread its event queue");
        return;
    };
    let local = LocalSet::new();
    let buffers = Rc::new(Buffers::default());
    local.block_on(&runtime, async move {
        loop {
            tokio::select! {
                errand = inbox.recv() => match errand {
                    Some(Errand::Serve(accepted)) => begin(accepted, shared, &buffers),
                    Some(Errand::Purge) => purge(shared),
                    None => return,
                },
                _ = stopped.changed() => return,
            }
        }
    });
}

impl Shared {
    fn hand_over(&self, accepted: Accepted) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let Some(queue) = self.queues.get(next) else {
            return;
        };
        if queue.send(Errand::Serve(accepted)).is_err() {
            // The worker is stopping, and so is everything else.
        }
    }

    fn describe(&self, accepted: &Accepted) -> ClientInfo {
        use std::os::fd::AsRawFd;
        let services = self.engine.services();
        let mut info = ClientInfo::new(self.engine.keyspace().now_ms());
        info.id = services.clients.next_id();
        match accepted {
            Accepted::Tcp(stream, address) | Accepted::Tls(stream, address) => {
                info.addr = address.to_string();
                info.laddr = stream
                    .local_addr()
                    .map_or_else(|_| String::new(), |address| address.to_string());
                info.fd = stream.as_raw_fd();
            }
            Accepted::Unix(stream) => {
                let path = self
                    .unix
                    .as_ref()
                    .map_or_else(String::new, |path| path.display().to_string());
                info.addr = format!("{path}:0");
                info.laddr = format!("{path}:0");
                info.fd = stream.as_raw_fd();
                info.set_flag(ClientFlags::UNIX, true);
            }
        }
        info
    }
}

fn purge_through(queues: Vec<mpsc::UnboundedSender<Errand>>) -> PurgesWorkers {
    PurgesWorkers(Box::new(move || {
        for queue in &queues {
            if queue.send(Errand::Purge).is_err() {
                // The worker has ended, and its memory is nobody's.
            }
        }
    }))
}

fn purge(shared: &Shared) {
    if let Some(allocator) = shared.engine.services().stats.allocator.get() {
        (allocator.purge)();
    }
}

/// Greets a new connection on its worker, or turns it away.
fn begin(accepted: Accepted, shared: &Arc<Shared>, buffers: &Rc<Buffers>) {
    let services = shared.engine.services();
    services.stats.connections.fetch_add(1, Ordering::Relaxed);
    let from_outside = matches!(&accepted, Accepted::Tcp(_, address) | Accepted::Tls(_, address) if !address.ip().to_canonical().is_loopback());
    if let Some(refusal) = services.refusal(from_outside) {
        services
            .stats
            .rejected_connections
            .fetch_add(1, Ordering::Relaxed);
        return refuse(accepted, &refusal);
    }
    let info = shared.describe(&accepted);
    let Ok(socket) = prepare(accepted, shared) else {
        return;
    };
    let (session, alone) = (shared.engine.session_for(info), shared.queues.len() == 1);
    let mut connection = Connection::new(socket, session, Rc::clone(buffers), alone);
    let shared = Arc::clone(shared);
    tokio::task::spawn_local(async move {
        if let End::Shutdown(how) = connection.run().await {
            if shared.shutdown.send(how).is_err() {
                // Somebody else's SHUTDOWN has been carried out already.
            }
            // Its end tells the client that nobody listens any more, so it does not come before that.
            tokio::time::sleep(LONGEST_SHUTDOWN).await;
        }
    });
}

fn refuse(accepted: Accepted, text: &str) {
    let line = format!("-{text}\r\n");
    // The client may be gone; then nobody misses the line.
    drop(match accepted {
        Accepted::Tcp(mut stream, _) => stream.write_all(line.as_bytes()),
        // It could not read the line before the handshake, for which there is no room.
        Accepted::Tls(..) => Ok(()),
        Accepted::Unix(mut stream) => stream.write_all(line.as_bytes()),
    });
}

fn prepare(accepted: Accepted, shared: &Shared) -> io::Result<Socket> {
    match accepted {
        Accepted::Tcp(stream, _) => Ok(Socket::Tcp(prepare_tcp(stream, shared.keepalive_s)?)),
        Accepted::Tls(stream, _) => {
            let stream = prepare_tcp(stream, shared.keepalive_s)?;
            let config = shared.tls.current().ok_or(io::ErrorKind::NotConnected)?;
            Ok(Socket::Tls(Box::new(TlsStream::new(stream, config)?)))
        }
        Accepted::Unix(stream) => Ok(Socket::Unix(tokio::net::UnixStream::from_std(stream)?)),
    }
}

fn prepare_tcp(stream: std::net::TcpStream, keepalive_s: u64) -> io::Result<tokio::net::TcpStream> {
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let every = Duration::from_secs(keepalive_s.div_ceil(3));
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(keepalive_s))
            .with_interval(every)
            .with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    tokio::net::TcpStream::from_std(stream)
}
