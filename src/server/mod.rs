//! The RESP server: sockets, connections, the request parser. Nothing else in the crate imports it.

mod buffers;
mod connection;
mod listener;
mod logger;
mod program;
pub mod request;
mod socket;

pub use listener::{Server, ServerOptions, serve};
pub use program::run;
