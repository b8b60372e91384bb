//! A connection to another server, with TLS or without, as a stream of bytes that blocks.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::pem;

/// Whom a connection to `rediss://` trusts, and what it shows of itself.
#[derive(Debug, Default, Args)]
pub(super) struct Trust {
    /// For rediss://: who may have signed the server's certificate; without it those whom the system trusts
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// For rediss://: the certificate to show to the server
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// For rediss://: its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// An open connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Trust {
    /// Begins TLS with the server of this name. The handshake is part of what is written and read first.
    pub(super) fn secure(&self, tcp: TcpStream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = Arc::new(self.config()?);
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Stream::Secured(Box::new(StreamOwned::new(session, tcp))))
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.authorities()?);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let no_password = (&b""[..], "there is no way to tell its password");
        let private = pem::private_key(key, no_password).map_err(|problem| at(key, &problem))?;
        let built = builder.with_client_auth_cert(read_certificates(cert)?, private);
        built.map_err(|problem| at(cert, &problem))
    }

    fn authorities(&self) -> io::Result<RootCertStore> {
        let found = match &self.cacert {
            Some(path) => read_certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(found).0 == 0 {
            return Err(io::Error::other(
                "nobody is trusted to sign certificates: --cacert says who is",
            ));
        }
        Ok(roots)
    }
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    pem::certificates(path).map_err(|problem| at(path, &problem))
}

fn at(path: &Path, problem: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {problem}", path.display()))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secured(stream) => stream.flush(),
        }
    }
}
