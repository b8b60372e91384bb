//! The RESP server: sockets, connections, the program. Nothing else in the crate imports it.

mod acceptor;
mod allocator;
mod batch;
mod buffers;
mod connection;
mod crash;
mod daemon;
mod link;
mod listener;
mod logger;
mod open_files;
mod program;
mod replica;
mod reply_buffer;
mod restart;
mod shutdown;
mod socket;
mod start_words;
mod supervision;
mod title;
mod tls;

pub use allocator::Mimalloc;
pub use listener::{Server, ServerOptions, serve};
pub use program::run;
