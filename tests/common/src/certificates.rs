//! Certificates for tests of TLS.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::Launch;

/// An authority, and what it has signed, in files: `ca.crt`, `server.crt`, `server.key`, `client.crt`, `client.key`.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes new ones. The server is called `localhost`.
    ///
    /// # Panics
    ///
    /// Where the disk is full.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "there is no such thing as default certificates"
    )]
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let certificates = Self(directory);
        certificates.write("ca.crt", &authority.pem());
        for name in ["server", "client"] {
            let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            let key = KeyPair::generate().expect("a key");
            let signed = params.signed_by(&key, &authority).expect("a certificate");
            certificates.write(&format!("{name}.crt"), &signed.pem());
            certificates.write(&format!("{name}.key"), &key.serialize_pem());
        }
        certificates
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the disk takes it");
    }

    /// Where a file is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Has a server listen on this port, too, with its certificate.
    #[must_use]
    pub fn secure(&self, launch: Launch, port: u16) -> Launch {
        launch
            .option("tls-port", &port.to_string())
            .option("tls-cert-file", &self.text("server.crt"))
            .option("tls-key-file", &self.text("server.key"))
            .option("tls-ca-cert-file", &self.text("ca.crt"))
    }
}

/// A port that nobody listens on.
///
/// # Panics
///
/// Where none is left.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
