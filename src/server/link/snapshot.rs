//! The snapshot of a first synchronisation: it goes to a file as it comes, of a length that was told or up to a mark that
//! was, and is loaded from there.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use log::info;

use super::Link;
use super::wire::{Problem, Wire};
use crate::engine::primary::{Incoming, StreamStart};
use crate::services::primary::Received;

/// Digits of the mark behind a snapshot of no known length.
const MARK_LENGTH: usize = 40;
/// How often the other side hears that we are busy.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How a snapshot ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// After so many bytes.
    Length(u64),
    /// Before these bytes.
    Mark(Vec<u8>),
}

impl End {
    fn parse(line: &str) -> Option<Self> {
        let told = line.strip_prefix('$')?;
        match told.strip_prefix("EOF:") {
            Some(mark) => (mark.len() == MARK_LENGTH).then(|| Self::Mark(mark.as_bytes().to_vec())),
            None => told.parse().ok().map(Self::Length),
        }
    }
}

/// Receives the snapshot and has the data give way to it; answers the database that the stream goes on in.
pub(super) async fn receive(
    link: &Link<'_>,
    wire: &mut Wire,
    start: StreamStart,
) -> Result<usize, Problem> {
    let line = wire.line().await?;
    let end = End::parse(&line)
        .ok_or_else(|| Problem::Refused(format!("MASTER sends no snapshot: {line}")))?;
    let mut incoming = link.engine.begin_incoming()?;
    let len = match &end {
        End::Length(len) => {
            info!("MASTER <-> REPLICA sync: receiving {len} bytes from master to disk");
            incoming.expect(link.engine, *len)?;
            receive_length(link, wire, &mut incoming, *len).await?;
            *len
        }
        End::Mark(mark) => {
            info!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk");
            receive_to_mark(link, wire, &mut incoming, mark).await?
        }
    };
    load(link, wire, incoming.complete()?, (len, start)).await
}

fn tell(link: &Link<'_>, total: u64, read: u64) {
    let received = Received {
        total,
        read,
        heard_ms: link.engine.keyspace().now_ms(),
    };
    link.primary().receive(link.wish, received);
}

async fn receive_length(
    link: &Link<'_>,
    wire: &mut Wire,
    incoming: &mut Incoming,
    len: u64,
) -> Result<(), Problem> {
    let mut read = 0;
    while read < len {
        if wire.input.is_empty() {
            wire.read_in_time().await?;
        }
        let left = usize::try_from(len - read).unwrap_or(usize::MAX);
        let piece = wire.input.split_to(left.min(wire.input.len()));
        incoming.write(link.engine, &piece)?;
        read += piece.len() as u64;
        tell(link, len, read);
    }
    Ok(())
}

/// What may be the mark's beginning is held back until more has come.
async fn receive_to_mark(
    link: &Link<'_>,
    wire: &mut Wire,
    incoming: &mut Incoming,
    mark: &[u8],
) -> Result<u64, Problem> {
    let mut read = 0;
    loop {
        let (piece, found) = split_at_mark(&mut wire.input, mark);
        incoming.write(link.engine, &piece)?;
        read += piece.len() as u64;
        tell(link, 0, read);
        if found {
            return Ok(read);
        }
        wire.read_in_time().await?;
    }
}

/// Takes what stands before the mark, and the mark; or what surely does.
fn split_at_mark(input: &mut BytesMut, mark: &[u8]) -> (BytesMut, bool) {
    let found = input.windows(mark.len()).position(|bytes| bytes == mark);
    match found {
        Some(at) => {
            let piece = input.split_to(at);
            drop(input.split_to(mark.len()));
            (piece, true)
        }
        None => {
            let sure = (input.len() + 1).saturating_sub(mark.len());
            (input.split_to(sure), false)
        }
    }
}

async fn load(
    link: &Link<'_>,
    wire: &mut Wire,
    incoming: Incoming,
    (len, start): (u64, StreamStart),
) -> Result<usize, Problem> {
    let (engine, wish) = (link.engine.clone(), link.wish);
    let incoming = Arc::new(incoming);
    let mut loading =
        tokio::task::spawn_blocking(move || engine.take_over(wish, (&incoming, len), start));
    loop {
        tokio::select! {
            loaded = &mut loading => {
                let loaded = loaded.map_err(|error| Problem::Refused(error.to_string()))?;
                return loaded.map_err(|error| {
                    Problem::Refused(format!(
                        "Failed trying to load the MASTER synchronization DB from disk: {error}"
                    ))
                });
            }
            () = tokio::time::sleep(SIGN_OF_LIFE) => {
                // Should it be gone, that is found when the data is there.
                let _ = wire.send_bytes(b"\n").await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_snapshot_ends() {
        let mark = "x".repeat(MARK_LENGTH);
        assert_eq!(End::parse("$17"), Some(End::Length(17)));
        let told = End::parse(&format!("$EOF:{mark}"));
        assert_eq!(told, Some(End::Mark(mark.into_bytes())));
        for rubbish in ["", "17", "$", "$-1", "$x", "$EOF:", "$EOF:short", "-ERR no"] {
            assert_eq!(End::parse(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn a_mark_is_found_wherever_it_is_cut() {
        let mark = [b"0123456789".as_slice(); 4].concat();
        let whole = [b"snapshot 0123".as_slice(), &mark, b"stream"].concat();
        for cut in 0..whole.len() {
            let (first, rest) = whole.split_at(cut);
            let mut input = BytesMut::from(first);
            let (mut snapshot, mut found) = split_at_mark(&mut input, &mark);
            input.extend_from_slice(rest);
            if !found {
                let (more, now) = split_at_mark(&mut input, &mark);
                snapshot.extend_from_slice(&more);
                found = now;
            }
            assert!(found);
            assert_eq!(
                (&snapshot[..], &input[..]),
                (&b"snapshot 0123"[..], &b"stream"[..])
            );
        }
    }
}
