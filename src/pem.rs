//! PEM files: certificates, and keys with a password or without. Knows neither who shows them nor to whom.

use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Begins a key that takes a password.
const ENCRYPTED_LABEL: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// The certificates of a file, of which there has to be one at least.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// The first key of a file. `password` is what the key takes, if it takes one, and where that comes from.
pub(crate) fn private_key(
    path: &Path,
    (password, from): (&[u8], &str),
) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let Some(at) = text.find(ENCRYPTED_LABEL) else {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string());
    };
    let (_, encrypted) =
        SecretDocument::from_pem(&text[at..]).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes())
        .and_then(|key| key.decrypt(password))
        .map_err(|error| format!("{error} ({from})"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
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
        private_key(&path, (password, "the option"))
    }

    #[test]
    fn keys_may_have_a_password() {
        let plain = read(PLAIN, b"").expect("a key");
        assert_eq!(read(ENCRYPTED, b"secret"), Ok(plain));
        for password in [&b""[..], b"public"] {
            let problem = read(ENCRYPTED, password).expect_err("it is another one");
            assert!(problem.ends_with("(the option)"), "{problem}");
        }
        assert!(read("nothing", b"").is_err() && read(ENCRYPTED_LABEL, b"secret").is_err());
    }
}
