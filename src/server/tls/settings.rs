//! What the `tls-` parameters ask for, as the library's configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::ciphers::retain_allowed;
use crate::config::Config;
use crate::pem;

/// Reads the files that the parameters name.
///
/// # Errors
///
/// What is missing or wrong, and where.
pub(super) fn server_config(config: &Config) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider(config)?);
    let key = certified_key(config, &provider)?;
    let verifier = client_verifier(config, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider);
    let mut tls = builder
        .with_protocol_versions(&versions(config)?)
        .map_err(|problem| format!("TLS cannot be configured: {problem}"))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    tls.ignore_client_order = config.bool("tls-prefer-server-ciphers");
    if config.bool("tls-session-caching") {
        let size = config.usize("tls-session-cache-size");
        tls.session_storage = ServerSessionMemoryCache::new(size);
    } else {
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
    }
    Ok(tls)
}

fn provider(config: &Config) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    let text = |name| String::from_utf8_lossy(config.text(name));
    retain_allowed(
        &mut provider.cipher_suites,
        &text("tls-ciphers"),
        &text("tls-ciphersuites"),
    );
    if provider.cipher_suites.is_empty() {
        return Err("tls-ciphers and tls-ciphersuites leave no cipher that is known here".into());
    }
    Ok(provider)
}

fn versions(config: &Config) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let text = String::from_utf8_lossy(config.text("tls-protocols"));
    let mut versions = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.3" => versions.push(&TLS13),
            "tlsv1.2" => versions.push(&TLS12),
            // They are broken, and there is no code for them here.
            "tlsv1" | "tlsv1.1" => {}
            _ => {
                return Err(format!(
                    "tls-protocols: {word} is none of TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3"
                ));
            }
        }
    }
    match (versions.is_empty(), text.trim().is_empty()) {
        (true, true) => Ok(vec![&TLS13, &TLS12]),
        (true, false) => Err("tls-protocols: only TLSv1.2 and TLSv1.3 are served".into()),
        (false, _) => Ok(versions),
    }
}

/// The server's certificate with those that vouch for it, and its key.
fn certified_key(config: &Config, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = certificates(&named(config, "tls-cert-file")?)?;
    let path = named(config, "tls-key-file")?;
    let wrong = |problem: &dyn std::fmt::Display| {
        format!("Failed to load private key: {}: {problem}", path.display())
    };
    let password = (config.text("tls-key-file-pass"), "tls-key-file-pass");
    let key = pem::private_key(&path, password).map_err(|text| wrong(&text))?;
    let key = provider.key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, key.map_err(|problem| wrong(&problem))?);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(wrong(&"it does not belong to the certificate"))
        }
        // A certificate of an old form cannot be looked into here, but a client may take it.
        _ => Ok(certified),
    }
}

/// Whether clients show certificates, and who may have signed them.
fn client_verifier(
    config: &Config,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let wanted = config.word("tls-auth-clients");
    if wanted == "no" {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let roots = Arc::new(authorities(config)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match wanted {
        "optional" => builder.allow_unauthenticated(),
        _ => builder,
    };
    let verifier = builder.build();
    verifier.map_err(|problem| format!("tls-ca-cert-file, tls-ca-cert-dir: {problem}"))
}

fn authorities(config: &Config) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (file, directory) = (
        config.path("tls-ca-cert-file"),
        config.path("tls-ca-cert-dir"),
    );
    if file.as_os_str().is_empty() && directory.as_os_str().is_empty() {
        return Err(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-auth-clients is enabled!".into(),
        );
    }
    if !file.as_os_str().is_empty() {
        let found = certificates(&file)?;
        if roots.add_parsable_certificates(found).0 == 0 {
            return Err(format!(
                "{}: it has no certificate of an authority",
                file.display()
            ));
        }
    }
    if !directory.as_os_str().is_empty() {
        let wrong = |error| format!("tls-ca-cert-dir: {}: {error}", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(wrong)? {
            // There may be anything in it.
            let found = certificates(&entry.map_err(wrong)?.path()).unwrap_or_default();
            roots.add_parsable_certificates(found);
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    pem::certificates(path)
        .map_err(|problem| format!("Failed to load certificate: {}: {problem}", path.display()))
}

/// The path that a parameter has to give.
fn named(config: &Config, name: &'static str) -> Result<PathBuf, String> {
    let path = config.path(name);
    if path.as_os_str().is_empty() {
        return Err(format!("No {name} configured!"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let check = |text: &str, expected: &str| {
            let mut config = Config::default();
            config.load_text(text.as_bytes()).expect("valid options");
            let problem = server_config(&config).expect_err("files are missing");
            assert!(problem.contains(expected), "{text}: {problem}");
        };
        check("", "No tls-cert-file configured!");
        check("tls-cert-file /none", "Failed to load certificate: /none: ");
        check("tls-cert-file /dev/null", "no certificate in it");
        check("tls-protocols SSLv3", "No tls-cert-file");
    }
}
