//! What a shutdown waits for before it begins: replicas that have not got everything, for as long as `shutdown-timeout`
//! says, while nothing more is written. SHUTDOWN ABORT calls it off.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::commands::Shutdown;
use crate::engine::Engine;
use crate::services::{Paused, Services};

/// How often a shutdown that waits looks whether it still has to.
const LOOK: Duration = Duration::from_millis(20);

/// Where a shutdown comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Command,
    /// A signal is seen by periodic work, which DEBUG PAUSE-CRON has rest.
    Signal,
}

/// Writes wait as long as this lives.
#[derive(Debug)]
struct WritesHeld<'a> {
    services: &'a Services,
    before: Option<Paused>,
    now_ms: i64,
}

impl<'a> WritesHeld<'a> {
    fn new(services: &'a Services, now_ms: i64) -> Self {
        let before = services.pause.get();
        let wanted = Paused {
            until_ms: i64::MAX,
            only_writes: true,
        };
        services.pause.begin(now_ms, wanted);
        Self {
            services,
            before,
            now_ms,
        }
    }
}

impl Drop for WritesHeld<'_> {
    fn drop(&mut self) {
        self.services.pause.lift();
        if let Some(before) = self.before {
            self.services.pause.begin(self.now_ms, before);
        }
    }
}

/// Waits until the server may end; false where that was called off.
pub(super) async fn may_begin(engine: &Engine, how: Shutdown, origin: Origin) -> bool {
    let services = engine.services();
    let waiting = services.ending.begin();
    let timeout = Duration::from_secs(services.config.read().u64("shutdown-timeout"));
    let begun = Instant::now();
    let mut held = None;
    loop {
        if waiting.is_aborted() {
            return false;
        }
        let rests =
            origin == Origin::Signal && services.switches.cron_paused.load(Ordering::Relaxed);
        let lagging = match services.replicas.lagging() {
            _ if how.now => 0,
            lagging if lagging > 0 && begun.elapsed() >= timeout => {
                warn!("{lagging} replicas have not got everything when the server ends");
                0
            }
            lagging => lagging,
        };
        if !rests && lagging == 0 {
            return true;
        }
        if lagging > 0 && held.is_none() {
            info!("{lagging} replicas lag behind: waiting for replicas before shutting down");
            held = Some(WritesHeld::new(services, engine.keyspace().now_ms()));
        }
        let mut look = pin!(tokio::time::sleep(LOOK));
        // Whatever wakes the task: that it was called off is seen before anything else.
        poll_fn(|cx| match waiting.is_aborted() {
            true => Poll::Ready(()),
            false => look.as_mut().poll(cx),
        })
        .await;
    }
}
