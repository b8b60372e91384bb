//! LATENCY's monitor: for each kind of event, the last times that it took longer than `latency-monitor-threshold`.
//! Knows no reply and no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Samples kept of an event.
const MAX_SAMPLES: usize = 160;

/// One event took long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Unix seconds.
    pub at: i64,
    /// Milliseconds; the longest of that second.
    pub ms: u64,
}

/// The samples of one event.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    pub max_ms: u64,
}

/// Every event that was ever slow.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    /// Milliseconds from which an event is noted; 0: none is.
    pub threshold_ms: AtomicU64,
    events: Mutex<BTreeMap<String, Series>>,
    /// What goes on beside the commands, and since when (Unix milliseconds).
    running: Mutex<Option<(&'static str, i64)>>,
}

impl LatencyMonitor {
    /// Notes that an event (`command`, `fast-command`, `aof-fsync-always`, `expire-cycle` …) took so long, if that is
    /// long enough.
    pub fn record(&self, event: &str, ms: u64, now_ms: i64) {
        let threshold = self.threshold_ms.load(Ordering::Relaxed);
        if threshold == 0 || ms < threshold {
            return;
        }
        let at = now_ms / 1000;
        let mut events = self.events.lock();
        let series = events.entry(event.to_owned()).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.at == at => last.ms = last.ms.max(ms),
            _ => {
                series.samples.push_back(Sample { at, ms });
                if series.samples.len() > MAX_SAMPLES {
                    series.samples.pop_front();
                }
            }
        }
    }

    /// Something begins that goes on beside the commands, so that they may ask about it before its end.
    pub fn begin(&self, event: &'static str, now_ms: i64) {
        *self.running.lock() = Some((event, now_ms));
    }

    /// Notes how long what was begun has taken by now.
    pub fn look(&self, now_ms: i64) {
        if let Some((event, began_ms)) = *self.running.lock() {
            let ms = (now_ms - began_ms).max(0).unsigned_abs();
            self.record(event, ms, began_ms);
        }
    }

    /// What was begun has ended.
    pub fn end(&self, now_ms: i64) {
        self.look(now_ms);
        self.running.lock().take();
    }

    /// One event's samples.
    #[must_use]
    pub fn series(&self, event: &str) -> Option<Series> {
        self.events.lock().get(event).cloned()
    }

    /// All events with their samples.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Series)> {
        let events = self.events.lock();
        events
            .iter()
            .map(|(name, series)| (name.clone(), series.clone()))
            .collect()
    }

    /// Forgets one event, or all, with what goes on of it; returns how many were forgotten.
    pub fn reset(&self, event: Option<&str>) -> usize {
        let mut running = self.running.lock();
        if running.is_some_and(|(going_on, _)| event.is_none_or(|event| event == going_on)) {
            running.take();
        }
        let mut events = self.events.lock();
        match event {
            Some(event) => usize::from(events.remove(event).is_some()),
            None => std::mem::take(&mut *events).len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample() {
        let monitor = LatencyMonitor::default();
        monitor.record("command", 500, 1_000);
        assert!(
            monitor.series("command").is_none(),
            "no threshold: nothing is noted"
        );
        monitor.threshold_ms.store(100, Ordering::Relaxed);
        for (ms, now) in [
            (99, 1_000),
            (100, 1_000),
            (300, 1_999),
            (200, 1_500),
            (150, 2_000),
        ] {
            monitor.record("command", ms, now);
        }
        let series = monitor.series("command").expect("it was slow");
        let expected = [Sample { at: 1, ms: 300 }, Sample { at: 2, ms: 150 }];
        assert_eq!(
            (series.samples.as_slices().0, series.max_ms),
            (&expected[..], 300)
        );
        assert_eq!(monitor.reset(Some("fork")), 0);
        assert_eq!(monitor.reset(None), 1);
    }

    #[test]
    fn what_goes_on_is_seen_before_its_end() {
        let monitor = LatencyMonitor::default();
        monitor.threshold_ms.store(100, Ordering::Relaxed);
        monitor.look(5_000);
        monitor.begin("expire-cycle", 1_900);
        monitor.look(1_950);
        assert!(monitor.all().is_empty(), "it has not taken long yet");
        for now in [2_050, 2_100] {
            monitor.look(now);
        }
        monitor.end(2_200);
        monitor.end(9_000);
        monitor.begin("expire-cycle", 10_000);
        let series = monitor.series("expire-cycle").expect("it was slow");
        let expected = [Sample { at: 1, ms: 300 }];
        assert_eq!(series.samples.as_slices().0, expected);
        assert_eq!(monitor.reset(None), 1);
        monitor.end(20_000);
        assert!(monitor.all().is_empty(), "it was forgotten");
    }
}
