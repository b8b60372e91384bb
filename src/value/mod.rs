//! The data structures. Bytes in, bytes out: no keys, no clock, no commands, no locks.

pub mod bitmap;
mod copying;
pub mod geohash;
pub mod glob;
pub mod hash;
pub mod hasher;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod listpack;
pub mod long_double;
pub mod lossless;
mod member;
pub mod number;
pub mod prefetch;
pub mod random;
pub mod set;
pub mod split;
pub mod stream;
pub mod table;
mod thin_bytes;
pub mod tree;
pub mod view;
mod wide;
pub mod zset;
