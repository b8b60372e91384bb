//! How much goes into one node of a list: the configuration that lists are changed under.
//! Knows no nodes.

use crate::value::listpack;

/// Bytes above which a node takes no second element, where its limit is a number of elements.
const SAFE_BYTES: usize = 8192;

/// The configuration that the calls which add to a list are given.
///
/// There is no compression of inner nodes: `compress_depth` is accepted, so that the setting round-trips, and nothing
/// follows from it. It would cost the hot path a decompression, and no reply depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// `list-max-listpack-size`: elements in a node when positive; -1 to -5 for 4, 8, 16, 32 or 64 KiB.
    pub max_listpack_size: i64,
    /// `list-compress-depth`: nodes at each end that stay uncompressed; 0 compresses none.
    pub compress_depth: u32,
    /// Elements of this many bytes or more stand in a node of their own, outside any listpack.
    pub packed_threshold: usize,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self {
            max_listpack_size: -2,
            compress_depth: 0,
            packed_threshold: listpack::MAX_BYTES,
        }
    }
}

impl ListLimits {
    /// Whether an element of `len` bytes may not stand in a listpack.
    pub(super) fn is_large(&self, len: usize) -> bool {
        len >= self.packed_threshold.min(listpack::MAX_BYTES)
    }

    /// Whether a node of several elements may have this size.
    pub(super) fn allow(&self, bytes: usize, count: usize) -> bool {
        match self.max_listpack_size {
            0.. => {
                bytes <= SAFE_BYTES && count as u64 <= self.max_listpack_size.unsigned_abs().max(1)
            }
            level => bytes <= 4096 << (level.unsigned_abs().min(5) - 1),
        }
    }
}
