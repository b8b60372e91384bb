//! Full and partial synchronisation of replicas: a snapshot of this very moment is written to a file while the stream of
//! effects goes on; whoever owns the connection sends it the file and then the stream. Knows no socket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use log::{info, warn};
use parking_lot::Mutex;

use super::Inner;
use super::disk_file::Replacement;
use super::propagation::in_log;
use super::session::{Blocked, Flow};
use super::snapshot::Snapshot;
use crate::commands::replication::{From, NO_LOG};
use crate::commands::{Command, CommandError, TimeoutReply};
use crate::keyspace::{Txn, Waiter};
use crate::rdb::{RdbHeader, RdbWriter};
use crate::reply::Reply;
use crate::services::primary::LinkStage;
use crate::services::replicas::{Replica, Resumed, Stage, Wanted};
use crate::services::{ClientFlags, SessionState};

/// How often a replica looks again whether another snapshot has ended that its own has to wait for.
const SNAPSHOT_RETRY_MS: i64 = 50;
/// How often replicas are looked after.
const BEAT_MS: i64 = 1000;

/// A snapshot on disk, removed when it is dropped.
pub type SnapshotFile = Replacement;

#[derive(Debug, Default)]
struct Handover {
    ended: Option<io::Result<SnapshotFile>>,
    waker: Option<Waker>,
}

/// The way of a snapshot to the connection of a replica.
#[derive(Debug, Clone)]
pub struct SnapshotTransfer {
    /// Whom it is for.
    pub replica: Arc<Replica>,
    handover: Arc<Mutex<Handover>>,
}

impl SnapshotTransfer {
    fn new(replica: Arc<Replica>) -> Self {
        Self {
            replica,
            handover: Arc::default(),
        }
    }

    fn end(&self, result: io::Result<SnapshotFile>) {
        let waker = {
            let mut handover = self.handover.lock();
            handover.ended = Some(result);
            handover.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The file when it is complete, or why there is none; or a promise to wake.
    pub fn poll(&self, waker: &Waker) -> Poll<io::Result<SnapshotFile>> {
        let mut handover = self.handover.lock();
        match handover.ended.take() {
            Some(result) => Poll::Ready(result),
            None => {
                handover.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

impl Inner {
    /// Makes a session a replica: with what it lacks of the stream, or with a snapshot.
    pub(super) fn follow(
        self: &Arc<Self>,
        state: &SessionState,
        txn: &mut Txn<'_>,
        command: &'static Command,
        from: &From,
        reply: &mut dyn Reply,
    ) -> Flow {
        if state.info.fd < 0 {
            self.fail(command, &NO_CONNECTION, reply);
            return Flow::Continue;
        }
        if let Some(figures) = self.services.primary.figures()
            && figures.stage != LinkStage::Connected
        {
            self.fail(command, &NO_PRIMARY_LINK, reply);
            return Flow::Continue;
        }
        txn.lock_all();
        let now_ms = txn.now_ms();
        let announced = state.announced.as_deref().cloned().unwrap_or_default();
        let acknowledges = *from != From::Snapshot;
        let client = Arc::clone(&state.info);
        let replica = Arc::new(Replica::new(client, announced, acknowledges));
        if self.resumes(&replica, from, now_ms, reply) {
            self.become_replica(state);
            return Flow::Continue;
        }
        // One snapshot at a time.
        if self.is_saving() || self.is_rewriting() {
            return Flow::Paused(now_ms + SNAPSHOT_RETRY_MS);
        }
        let stats = &self.services.stats;
        stats.full_syncs.fetch_add(1, Ordering::Relaxed);
        if let From::Stream { byte: Some(_), .. } = from {
            stats.refused_partial_syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.become_replica(state);
        let backlog_size = self.services.config.read().usize("repl-backlog-size");
        let replicas = &self.services.replicas;
        let offset = replicas.attach(Arc::clone(&replica), backlog_size);
        if acknowledges {
            let name = self.services.replicas.figures().name;
            reply.simple(&format!("FULLRESYNC {name} {offset}"));
        }
        info!(
            "Full resynchronization of replica {} begins",
            replica.address()
        );
        Flow::Follow(self.begin_transfer(txn, replica))
    }

    /// Has a replica go on where it was, if it knows the stream and what it lacks can still be told.
    fn resumes(
        &self,
        replica: &Arc<Replica>,
        from: &From,
        now_ms: i64,
        reply: &mut dyn Reply,
    ) -> bool {
        let From::Stream {
            name,
            byte: Some(byte),
        } = from
        else {
            return false;
        };
        let stats = &self.services.stats;
        let replicas = &self.services.replicas;
        if replicas.resume(Arc::clone(replica), name, *byte, now_ms) == Resumed::TooLate {
            return false;
        }
        let stream_name = replicas.figures().name;
        stats.partial_syncs.fetch_add(1, Ordering::Relaxed);
        if replica.announced.psync2 {
            reply.simple(&format!("CONTINUE {stream_name}"));
        } else {
            reply.simple("CONTINUE");
        }
        info!(
            "Replica {} goes on from byte {byte} of the stream",
            replica.address()
        );
        true
    }

    fn become_replica(&self, state: &SessionState) {
        state.info.set_flag(ClientFlags::REPLICA, true);
        self.services.apply_output_limits(&state.info);
        self.background
            .request_beat(self.keyspace.now_ms() + BEAT_MS);
    }

    fn begin_transfer(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        replica: Arc<Replica>,
    ) -> SnapshotTransfer {
        self.forget_abandoned_save();
        let functions_only = replica.announced.functions_only;
        let snapshot = self.begin_snapshot(txn, false);
        if functions_only {
            txn.end_snapshot();
        }
        self.note_saving_begun();
        let transfer = SnapshotTransfer::new(replica);
        let (inner, handover) = (Arc::clone(self), transfer.clone());
        let spawned = self.threads.start_aside("innkeep-replica", move || {
            let result = inner.write_transfer(&handover.replica, &snapshot);
            inner.end_transfer(&handover, result);
        });
        if let Err(error) = spawned {
            txn.end_snapshot();
            self.end_transfer(&transfer, Err(error));
        }
        transfer
    }

    fn write_transfer(&self, replica: &Replica, snapshot: &Snapshot) -> io::Result<SnapshotFile> {
        let name = format!(
            "temp-replica-{}-{}.rdb",
            std::process::id(),
            replica.client.id
        );
        let file = self
            .begin_file_named(&name)
            .inspect_err(|_| self.keyspace.end_snapshot(&snapshot.as_sink()))?;
        if replica.announced.functions_only {
            let header = RdbHeader {
                sizes: Vec::new(),
                ..snapshot.header().clone()
            };
            return RdbWriter::begin(file, &header)?.finish()?.0.complete();
        }
        self.write_until_given_up(snapshot, file)?.complete()
    }

    fn end_transfer(&self, transfer: &SnapshotTransfer, result: io::Result<SnapshotFile>) {
        self.note_saving_ended();
        let now_ms = self.keyspace.now_ms();
        match &result {
            Ok(_) => transfer.replica.enter(Stage::ReceivesSnapshot, now_ms),
            Err(error) => {
                let address = transfer.replica.address();
                warn!("The snapshot for replica {address} was not written: {error}");
            }
        }
        transfer.end(result);
        self.after_saving();
    }

    /// Looks after the replicas; answers when to do it again (Unix milliseconds).
    pub(super) fn beat(&self) -> Option<i64> {
        let now_ms = self.keyspace.now_ms();
        let seconds = |name: &'static str| self.services.config.read().i64(name);
        let ms = |name| seconds(name).saturating_mul(1000);
        let (ping, timeout) = (ms("repl-ping-replica-period"), ms("repl-timeout"));
        let backlog = ms("repl-backlog-ttl");
        let log_fails = self.look_at_log_for_waiters();
        let replicas = &self.services.replicas;
        let goes_on = replicas.beat(now_ms, ping, timeout, backlog);
        (goes_on || log_fails).then_some(now_ms + BEAT_MS)
    }

    /// WAIT and WAITAOF: leaves a waiter that acknowledgements answer, and our own log.
    pub(super) fn await_replicas(
        &self,
        state: &SessionState,
        txn: &Txn<'_>,
        (command, args, deadline_ms): (&'static Command, &[&[u8]], Option<i64>),
        wanted: Wanted,
    ) -> Blocked {
        let waiter = Waiter::new(state.info.id, args, state.db, state.resp3, 0, Vec::new());
        let waiter = Arc::new(waiter);
        state.info.set_flag(ClientFlags::BLOCKED, true);
        *state.info.blocked.lock() = Some(Arc::clone(&waiter));
        let replicas = &self.services.replicas;
        replicas.wait(Arc::clone(&waiter), wanted, txn.now_ms());
        if wanted.disk.is_some_and(|disk| disk.here) {
            self.background.request_beat(0);
        }
        let on_timeout = TimeoutReply::Acknowledged(wanted);
        Blocked::new(waiter, command, (deadline_ms, on_timeout))
    }

    /// Tells those who wait for our log what the disk has of it by now. True while the log fails: it has to be asked again.
    fn look_at_log_for_waiters(&self) -> bool {
        let log = self.propagation.log();
        let mut fails = false;
        for (waiter, position) in self.services.replicas.waiting_for_log() {
            if self.propagation.is_replacing() {
                fails = true;
                continue;
            }
            let Some(log) = &log else {
                if waiter.claim() {
                    waiter.deliver(Box::new(NO_LOG));
                }
                continue;
            };
            // Progress of the log asks for the next look.
            let waker = self.background.beat_waker();
            match log.poll_synced(in_log(log, position), &mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(())) => self.services.replicas.log_is_on_disk(position),
                Poll::Ready(Err(_)) => fails = true,
                Poll::Pending => {}
            }
        }
        fails
    }
}

/// What who wants to follow is answered while the data is not that of the server that this one follows.
const NO_PRIMARY_LINK: CommandError =
    CommandError::text("NOMASTERLINK Can't SYNC while not connected with my master");

/// What a session in this process answers: it has no connection that a stream could go to.
pub(super) const NO_CONNECTION: CommandError =
    CommandError::text("ERR a session in this process cannot be a replica");
