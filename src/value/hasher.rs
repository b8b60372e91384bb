//! The keyed hash of keys, fields and members: one random seed a process, all 64 bits usable.
//! It must not know what the bytes mean.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

static STATE: OnceLock<SeedableRandomState> = OnceLock::new();

/// Fixes the process-wide seed, so that a run can be repeated. It must come before the first hash: false, and no
/// effect, when the seed is already in use.
pub fn set_process_seed(seed: u64) -> bool {
    let mut fresh = false;
    STATE.get_or_init(|| {
        fresh = true;
        state_from(seed, seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15)
    });
    fresh
}

/// The hash of `bytes` under the process-wide random seed.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = STATE.get_or_init(random_state).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cold]
fn random_state() -> SeedableRandomState {
    // RandomState takes its keys from the operating system; its SipHash turns them into two words.
    let entropy = RandomState::new();
    state_from(entropy.hash_one(1_u8), entropy.hash_one(2_u8))
}

// The shared part has to be secret as well: with known multiplicands, collisions exist for every per-hasher seed.
fn state_from(shared: u64, own: u64) -> SeedableRandomState {
    let shared: &'static SharedSeed = Box::leak(Box::new(SharedSeed::from_u64(shared)));
    SeedableRandomState::with_seed(own, shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_cannot_change_under_a_table() {
        let before = hash_bytes(b"key");
        assert!(!set_process_seed(7));
        assert_eq!(before, hash_bytes(b"key"));
    }

    #[test]
    fn top_and_low_bits_are_both_spread() {
        let (mut top, mut low) = ([0_u32; 64], [0_u32; 64]);
        for number in 0..64_000_u32 {
            let hash = hash_bytes(format!("key:{number}").as_bytes());
            top[(hash >> 58) as usize] += 1;
            low[(hash & 63) as usize] += 1;
        }
        for count in top.into_iter().chain(low) {
            assert!((700..1300).contains(&count), "{count} of 1000 expected");
        }
    }
}
