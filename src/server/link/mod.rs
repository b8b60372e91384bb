//! The link to the server that this one follows as its replica: a thread that opens it, introduces itself, receives the
//! snapshot and executes the stream, until somebody else, or nobody, is to be followed. What comes over it is hostile.

mod handshake;
mod snapshot;
mod stream;
mod wire;

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{info, warn};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::watch;

use self::handshake::Greeting;
use self::stream::Stream;
use self::wire::{Problem, Wire};
use crate::engine::Engine;
use crate::services::Primary;
use crate::services::primary::{Address, LinkStage, OpensLinks};

/// How long it takes until a link is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether the data of the start is there.
const LOOK: Duration = Duration::from_millis(10);

/// Opens links of an engine, from when one is first wanted.
#[derive(Debug)]
pub(super) struct Links {
    engine: Engine,
    stopped: watch::Receiver<bool>,
    thread: Arc<LinkThread>,
}

/// The thread, once there is one.
#[derive(Debug, Default)]
pub(super) struct LinkThread(Mutex<Option<JoinHandle<()>>>);

impl LinkThread {
    /// Waits for its end.
    pub(super) fn join(&self) {
        let thread = self.0.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            // The thread said why on its way out; there is nobody else to tell.
        }
    }
}

impl Links {
    pub(super) fn new(
        engine: Engine,
        stopped: watch::Receiver<bool>,
        thread: Arc<LinkThread>,
    ) -> Self {
        Self {
            engine,
            stopped,
            thread,
        }
    }
}

impl OpensLinks for Links {
    fn begin(&self) -> Result<(), String> {
        let mut thread = self.thread.0.lock();
        if thread.is_some() {
            return Ok(());
        }
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let (engine, stopped) = (self.engine.clone(), self.stopped.clone());
        let work = move || runtime.block_on(follow_all(&engine, stopped));
        let spawned = std::thread::Builder::new()
            .name("innkeep-link".into())
            .spawn(work)
            .map_err(|error| error.to_string())?;
        *thread = Some(spawned);
        Ok(())
    }
}

/// Follows whoever is to be followed until the server ends.
async fn follow_all(engine: &Engine, mut stopped: watch::Receiver<bool>) {
    loop {
        let primary = &engine.services().primary;
        let (wish, address) = primary.wish();
        let changed = poll_fn(|cx| primary.poll_change(wish, cx.waker()));
        let following = async {
            match address {
                Some(address) => follow(engine, wish, &address).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = changed => {}
            never = following => match never {},
        }
    }
}

/// Tries for as long as this server is wanted.
async fn follow(engine: &Engine, wish: u64, address: &Address) -> Infallible {
    while engine.0.is_loading() {
        tokio::time::sleep(LOOK).await;
    }
    let mut link = Link {
        engine,
        wish,
        has_stood: false,
    };
    loop {
        let Err(problem) = link.attempt(address).await;
        tell_end(link.primary(), address, &problem);
        let now_ms = engine.keyspace().now_ms();
        link.primary().detach(wish, now_ms);
        // A link that stood is tried again at once.
        if !std::mem::take(&mut link.has_stood) {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Says why a link has ended, in the lines of Redis where they are known.
fn tell_end(primary: &Primary, address: &Address, problem: &Problem) {
    let stage = primary.figures().map(|figures| figures.stage);
    match (problem, stage) {
        (Problem::Silence, Some(LinkStage::Connected)) => {
            warn!("MASTER timeout: no data nor PING received...");
        }
        (Problem::Silence, Some(LinkStage::Sync)) => {
            warn!("Timeout receiving bulk data from MASTER...");
        }
        (Problem::Silence, _) => warn!("Timeout connecting to the MASTER..."),
        (Problem::Closed, Some(LinkStage::Connected)) => warn!("Connection with master lost."),
        _ => {}
    }
    warn!("The link to MASTER {address} has ended: {problem}");
}

/// One wish to follow.
struct Link<'e> {
    engine: &'e Engine,
    wish: u64,
    has_stood: bool,
}

impl<'e> Link<'e> {
    fn primary(&self) -> &'e Primary {
        &self.engine.services().primary
    }

    fn enter(&self, stage: LinkStage) {
        let now_ms = self.engine.keyspace().now_ms();
        self.primary().enter(self.wish, stage, now_ms);
    }

    async fn attempt(&mut self, address: &Address) -> Result<Infallible, Problem> {
        info!("Connecting to MASTER {address}");
        self.enter(LinkStage::Connecting);
        let mut wire = Wire::open(self.engine, address).await?;
        self.enter(LinkStage::Handshake);
        info!("MASTER <-> REPLICA sync started");
        let backlog_size = || {
            let config = self.engine.services().config.read();
            config.usize("repl-backlog-size")
        };
        let replicas = &self.engine.services().replicas;
        let db = match handshake::greet(self.engine, &mut wire).await? {
            Greeting::GoesOn { name, db } => {
                info!("Successful partial resynchronization with master.");
                replicas.go_on(name, backlog_size());
                db
            }
            Greeting::Snapshot(start) => {
                info!("Full resync from master: {}:{}", start.name, start.offset);
                self.enter(LinkStage::Sync);
                snapshot::receive(self, &mut wire, start).await?
            }
        };
        self.has_stood = true;
        let mut stream = Stream::begin(self, wire, db)?;
        self.enter(LinkStage::Connected);
        info!("MASTER <-> REPLICA sync: Finished with success");
        stream.run().await
    }
}
