//! innkeep: an embedded, in-process, Redis-compatible engine, and the RESP server around it.
//!
//! The modules marked hidden are the rooms of the house (see ARCHITECTURE.md): they are reachable for
//! benches, fuzz targets and the binary, and are no stable API.

#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod engine;
mod error;
#[doc(hidden)]
pub mod keyspace;
#[doc(hidden)]
pub mod reply;
#[doc(hidden)]
pub mod script;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod services;
#[doc(hidden)]
pub mod value;

pub use error::Error;
