//! TLS on the server's side: what the `tls-` parameters ask for (`settings`, `ciphers`), and a session over a socket
//! (`stream`). The protocol itself is the library's (rustls).

mod ciphers;
mod settings;
mod stream;

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;

pub(super) use stream::TlsStream;

use crate::config::Config;

/// How new connections are secured; those that are open keep what they began with.
#[derive(Debug, Default)]
pub(super) struct Tls(RwLock<Option<Arc<ServerConfig>>>);

impl Tls {
    /// Takes what the parameters say from now on. Reads the files that they name.
    ///
    /// # Errors
    ///
    /// What is wrong with them; then everything stays as it was.
    pub(super) fn configure(&self, config: &Config) -> Result<(), String> {
        let new = settings::server_config(config)?;
        *self.0.write() = Some(Arc::new(new));
        Ok(())
    }

    /// What a new connection takes; `None` until [`Self::configure`] has succeeded.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().clone()
    }
}
