//! The first synchronisation of a replica over its connection: the snapshot from its file, piece by piece. The stream
//! that follows waits in the mailbox until then, within the limits for replicas, and goes out as all mail does.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use log::{info, warn};

use super::connection::{Connection, End};
use crate::engine::replication::{SnapshotFile, SnapshotTransfer};
use crate::services::replicas::Stage;

/// How often a replica hears that its snapshot is still being written.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// What is read of the snapshot at a time.
const PIECE_BYTES: usize = 64 * 1024;

enum Event {
    Snapshot(io::Result<SnapshotFile>),
    Readable,
    SignOfLife,
    Gone,
}

impl Connection {
    /// Sends the snapshot when it is there; the connection ends with it if the replica wants nothing else.
    pub(super) async fn synchronise(&mut self, transfer: SnapshotTransfer) -> Result<(), End> {
        self.flush().await?;
        let file = self.await_snapshot(&transfer).await?;
        let len = file.len();
        self.output_mut().raw(format!("${len}\r\n").as_bytes());
        let mut sent = 0;
        while sent < len {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read_at(&mut piece, sent)?;
            if read == 0 {
                return Err(End::Closed);
            }
            sent += read as u64;
            self.output_mut().raw(piece.get(..read).unwrap_or_default());
            self.flush().await?;
        }
        let replica = &transfer.replica;
        if replica.announced.snapshot_only {
            info!("Replica {} has its snapshot", replica.address());
            return Err(End::Closed);
        }
        let now_ms = self.session().engine().keyspace().now_ms();
        replica.enter(Stage::Online, now_ms);
        info!(
            "Synchronization with replica {} succeeded",
            replica.address()
        );
        Ok(())
    }

    async fn await_snapshot(&mut self, transfer: &SnapshotTransfer) -> Result<SnapshotFile, End> {
        loop {
            let mailbox = &self.session().state.info.mailbox;
            let full = self.is_input_full();
            let socket = self.socket();
            let next = poll_fn(|cx| {
                if mailbox.poll_killed(cx.waker()).is_ready() {
                    return Poll::Ready(Event::Gone);
                }
                if let Poll::Ready(result) = transfer.poll(cx.waker()) {
                    return Poll::Ready(Event::Snapshot(result));
                }
                if full {
                    return Poll::Pending;
                }
                socket.poll_readable(cx).map(|result| match result {
                    Ok(()) => Event::Readable,
                    Err(_) => Event::Gone,
                })
            });
            let event = tokio::select! {
                biased;
                event = next => event,
                () = tokio::time::sleep(SIGN_OF_LIFE) => Event::SignOfLife,
            };
            match event {
                Event::Snapshot(Ok(file)) => return Ok(file),
                Event::Snapshot(Err(error)) => {
                    let address = transfer.replica.address();
                    warn!("Replica {address} is cut off without a snapshot: {error}");
                    return Err(End::Closed);
                }
                Event::Readable => self.read_ahead()?,
                Event::SignOfLife => {
                    self.output_mut().raw(b"\n");
                    self.flush().await?;
                }
                Event::Gone => return Err(End::Closed),
            }
        }
    }
}
