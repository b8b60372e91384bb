//! What the `tls-` parameters ask for, as the library's configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::ciphers::retain_allowed;
use crate::config::Config;

/// Begins a key in a PEM file that takes a password.
const ENCRYPTED_LABEL: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

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
    let key = private_key(&path, config.text("tls-key-file-pass")).map_err(|text| wrong(&text))?;
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

fn private_key(path: &Path, password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let Some(at) = text.find(ENCRYPTED_LABEL) else {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string());
    };
    let (_, encrypted) =
        SecretDocument::from_pem(&text[at..]).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes())
        .and_then(|key| key.decrypt(password))
        .map_err(|error| format!("{error} (tls-key-file-pass)"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
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
    let wrong = |problem: &dyn std::fmt::Display| {
        format!("Failed to load certificate: {}: {problem}", path.display())
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(&error))?
        .collect();
    let found = found.map_err(|error| wrong(&error))?;
    if found.is_empty() {
        return Err(wrong(&"no certificate in it"));
    }
    Ok(found)
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

    /// A key, and the same with the password `secret`; `openssl pkcs8` has written both.
    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpEoQPSlFihScxpfw\n\
        sdW2Kc8n1WgsEObg++3QtoW9lqOhRANCAAR8cTwp/sF/hDYIyXzSMX7hSOU5VXpV\n\
        17kbnAOt+JwHbP3L6mS4hfmTdybb64pA+xxeshptbTSV1dy43aNZE40M\n\
        -----END PRIVATE KEY-----";
    const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjVOPxQKij2sQICCAAw\n\
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEPnQBBjXhVqyNmxQb/kRRJkEgZAD\n\
        VASfWx0KEUznlPU0dw6PcpaxtZHwkWmMwy0WpKV0qdpL8Yvd/XcuSrAbrUfdAP37\n\
        c6uqTRVHbyHAO9MYj472JcTJV25AUCWzgNiSCqM/rSc4HL43Y46FIamSNNh3lOxK\n\
        p1RG6y01LNQr7BcxrFSnkr5gh+ekvC3xCO8/Gw5JqGeoia6XKqC32UL0f+AYqaU=\n\
        -----END ENCRYPTED PRIVATE KEY-----";

    fn read(text: &str, password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("key");
        std::fs::write(&path, text).expect("the disk takes it");
        private_key(&path, password)
    }

    #[test]
    fn keys_may_have_a_password() {
        let plain = read(PLAIN, b"").expect("a key");
        assert_eq!(read(ENCRYPTED, b"secret"), Ok(plain));
        for password in [&b""[..], b"public"] {
            let problem = read(ENCRYPTED, password).expect_err("it is another one");
            assert!(problem.ends_with("(tls-key-file-pass)"), "{problem}");
        }
        assert!(read("nothing", b"").is_err() && read(ENCRYPTED_LABEL, b"secret").is_err());
    }

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
