//! The RESP server: sockets, connections, the request parser. Nothing else in the crate imports it.

pub mod request;
