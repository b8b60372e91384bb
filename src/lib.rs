//! innkeep: an embedded, in-process, Redis-compatible engine, and the RESP server around it.
//!
//! An [`Engine`] holds the data. Clients of it in the same process need no socket: [`Engine::session`] runs commands as
//! slices of bytes, and with the feature `redis` (on by default) [`Engine::connection`], [`Engine::async_connection`] and
//! [`Engine::subscriber`] speak through the `redis` crate's own traits. With the feature `server` (on by default)
//! [`server::serve`] lets `redis-cli` and every other client into the running program.
//!
//! The modules marked hidden are the rooms of the house (see ARCHITECTURE.md): they are reachable for
//! benches, fuzz targets and the binary, and are no stable API.

#[cfg(feature = "redis")]
mod client;
#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod engine;
mod error;
#[doc(hidden)]
pub mod keyspace;
mod memory;
#[cfg(feature = "server")]
mod pem;
#[doc(hidden)]
pub mod rdb;
#[doc(hidden)]
pub mod reply;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod script;
#[cfg(feature = "server")]
pub mod server;
#[doc(hidden)]
pub mod services;
#[cfg(feature = "server")]
mod tools;
#[doc(hidden)]
pub mod value;

#[cfg(feature = "redis")]
pub use client::{AsyncConnection, Connection, Messages, Subscriber};
pub use config::Config;
pub use engine::{Engine, Session};
pub use error::Error;
pub use memory::{Counting, allocated_memory, allocated_size};
pub use reply::Response;
pub use script::{RegisterError, Script, ScriptContext, ScriptError, ScriptResult};
