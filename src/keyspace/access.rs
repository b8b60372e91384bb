//! The 24 access bits of an entry: when it was last used, or how often, as `maxmemory-policy` wants. Knows no entry.
//!
//! ```text
//! recency:    24 bits: the second of the last access, which wraps around
//! frequency:  16 bits: the minute of the last decay | 8 bits: a counter that grows with the logarithm of the accesses
//! ```
//! The counter is a Morris counter ("Counting large numbers of events in small registers", 1978).

/// Bits of an entry's access clock.
const MASK: u32 = 0x00ff_ffff;
/// The counter of a new key, so that it is not evicted before it was used at all.
const NEW_COUNTER: u32 = 5;
const MAX_COUNTER: u32 = 255;
const MINUTE_MS: i64 = 60_000;

/// How entries note that they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessClock {
    /// By the second of the last access.
    #[default]
    Recency,
    /// By a counter of accesses.
    Frequency {
        /// `lfu-log-factor`: how fast the counter saturates; 0 counts every access.
        log_factor: u32,
        /// `lfu-decay-time`: minutes after which it loses one; 0: never.
        decay_minutes: u32,
    },
}

impl AccessClock {
    /// The bits of a new entry.
    #[must_use]
    pub fn born(self, now_ms: i64) -> u32 {
        match self {
            Self::Recency => second(now_ms),
            Self::Frequency { .. } => minute(now_ms) << 8 | NEW_COUNTER,
        }
    }

    /// The bits after another access. `random` gives uniform words.
    #[must_use]
    #[inline]
    pub fn used(self, bits: u32, now_ms: i64, random: impl FnOnce() -> u64) -> u32 {
        match self {
            Self::Recency => second(now_ms),
            Self::Frequency { log_factor, .. } => {
                let counter = incremented(self.frequency(bits, now_ms), log_factor, random());
                minute(now_ms) << 8 | counter
            }
        }
    }

    /// The counter of accesses, after what it has lost with time.
    #[must_use]
    pub fn frequency(self, bits: u32, now_ms: i64) -> u32 {
        let counter = bits & MAX_COUNTER;
        let Self::Frequency { decay_minutes, .. } = self else {
            return counter;
        };
        let minutes = minute(now_ms).wrapping_sub(bits >> 8) & 0xffff;
        counter.saturating_sub(minutes.checked_div(decay_minutes).unwrap_or(0))
    }

    /// How much an entry with these bits deserves to be evicted: the larger, the more.
    #[must_use]
    pub fn staleness(self, bits: u32, now_ms: i64) -> u64 {
        match self {
            Self::Recency => u64::from(idle_seconds(bits, now_ms)),
            Self::Frequency { .. } => u64::from(MAX_COUNTER - self.frequency(bits, now_ms)),
        }
    }
}

/// Seconds since the last access, where that is what the bits tell.
#[must_use]
pub fn idle_seconds(bits: u32, now_ms: i64) -> u32 {
    second(now_ms).wrapping_sub(bits) & MASK
}

const fn second(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & MASK
}

const fn minute(now_ms: i64) -> u32 {
    (now_ms / MINUTE_MS) as u32 & 0xffff
}

/// One access more: the larger the counter, the less likely it grows.
fn incremented(counter: u32, log_factor: u32, random: u64) -> u32 {
    if counter >= MAX_COUNTER {
        return MAX_COUNTER;
    }
    let above_new = f64::from(counter.saturating_sub(NEW_COUNTER));
    let chance = 1.0 / (above_new * f64::from(log_factor) + 1.0);
    let draw = (random >> 11) as f64 / (1_u64 << 53) as f64;
    counter + u32::from(draw < chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: AccessClock = AccessClock::Frequency {
        log_factor: 10,
        decay_minutes: 1,
    };

    #[test]
    fn recency_is_a_second_that_wraps_around() {
        let clock = AccessClock::Recency;
        let bits = clock.born(5_999);
        assert_eq!((bits, idle_seconds(bits, 9_000)), (5, 4));
        assert_eq!(clock.used(bits, 9_000, || 0), 9);
        let late = i64::from(MASK) * 1000;
        assert_eq!(idle_seconds(clock.born(late), late + 3_000), 3);
        assert!(clock.staleness(5, 9_000) > clock.staleness(6, 9_000));
    }

    #[test]
    fn a_counter_grows_with_chance_and_falls_with_time() {
        let new = LFU.born(0);
        assert_eq!(LFU.frequency(new, 0), 5);
        assert_eq!(LFU.frequency(LFU.used(new, 0, || u64::MAX), 0), 6);
        let busy = 15;
        assert_eq!(LFU.frequency(LFU.used(busy, 0, || u64::MAX), 0), 15);
        assert_eq!(LFU.frequency(LFU.used(busy, 0, || 0), 0), 16);
        assert_eq!(LFU.frequency(busy, 3 * MINUTE_MS), 12);
        assert_eq!(LFU.frequency(busy, 90 * MINUTE_MS), 0);
        assert_eq!(LFU.frequency(255, 0), 255);
        assert_eq!(LFU.frequency(LFU.used(255, 0, || 0), 0), 255);
        assert!(LFU.staleness(6, 0) > LFU.staleness(7, 0));
    }

    #[test]
    fn without_decay_a_counter_stays() {
        let clock = AccessClock::Frequency {
            log_factor: 0,
            decay_minutes: 0,
        };
        assert_eq!(clock.frequency(100, 1_000 * MINUTE_MS), 100);
        assert_eq!(clock.frequency(clock.used(100, 0, || u64::MAX), 0), 101);
    }

    /// A million accesses fill the counter at factor 10; Redis's own table says so.
    #[test]
    fn the_logarithm_saturates_where_it_should() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state ^ state >> 31
        };
        let mut bits = LFU.born(0);
        for _ in 0..1000 {
            bits = LFU.used(bits, 0, &mut random);
        }
        assert!((12..26).contains(&LFU.frequency(bits, 0)));
    }
}
