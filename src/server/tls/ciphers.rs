//! Which ciphers `tls-ciphers` and `tls-ciphersuites` allow, in the names that OpenSSL gave them.

use rustls::CipherSuite::{self, *};
use rustls::SupportedCipherSuite;

/// What there is for TLS 1.2.
const NAMES_1_2: [(CipherSuite, &str); 6] = [
    (
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    (
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
    ),
    (
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
    ),
];
/// What there is for TLS 1.3.
const NAMES_1_3: [(CipherSuite, &str); 3] = [
    (TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (
        TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_CHACHA20_POLY1305_SHA256",
    ),
];

/// Names in a list of OpenSSL's that mean all there is.
const ALL: [&str; 4] = ["ALL", "DEFAULT", "HIGH", "kEECDH"];

/// Keeps of `suites` what the two parameters allow; empty ones allow everything. Names of what there is not are passed over.
pub(super) fn retain_allowed(
    suites: &mut Vec<SupportedCipherSuite>,
    ciphers: &str,
    ciphersuites: &str,
) {
    suites.retain(|suite| {
        let find = |names: &[(CipherSuite, &'static str)]| {
            let mut names = names.iter();
            names
                .find(|(id, _)| *id == suite.suite())
                .map(|(_, name)| *name)
        };
        match (find(&NAMES_1_2), find(&NAMES_1_3)) {
            (Some(name), _) => ciphers.is_empty() || is_selected(ciphers, name),
            (_, Some(name)) => {
                ciphersuites.is_empty() || words(ciphersuites).any(|word| word == name)
            }
            (None, None) => false,
        }
    });
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    let words = list.split([':', ',', ' ']);
    words.filter(|word| !word.is_empty())
}

/// Whether a list of OpenSSL's selects a cipher: each word adds ciphers, or takes them away (`-`), for good (`!`).
fn is_selected(list: &str, name: &str) -> bool {
    let mut selected = false;
    for word in words(list) {
        if let Some(rest) = word.strip_prefix('!') {
            if is_meant(rest, name) {
                return false;
            }
        } else if let Some(rest) = word.strip_prefix('-') {
            selected &= !is_meant(rest, name);
        } else if !word.starts_with(['+', '@']) {
            // What begins with a plus or an at sign only says something about the order.
            selected |= is_meant(word, name);
        }
    }
    selected
}

/// Whether a word means a cipher: by its name, a part of that, or several of them with pluses between.
fn is_meant(word: &str, name: &str) -> bool {
    let has = |part: &str| {
        name.split('-').any(|of_name| of_name == part)
            || ALL.contains(&part)
            || (part == "AESGCM" && name.contains("-GCM-"))
            || (part == "AES" && name.contains("-AES"))
            || (part.ends_with("ECDHE") && name.starts_with("ECDHE-"))
            || (part.trim_start_matches('a') == "RSA" && name.contains("-RSA-"))
            || (part.trim_start_matches('a') == "ECDSA" && name.contains("-ECDSA-"))
    };
    word == name || word.split('+').all(has)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::ALL_CIPHER_SUITES;

    use super::*;

    fn count(ciphers: &str, ciphersuites: &str) -> usize {
        let mut suites = ALL_CIPHER_SUITES.to_vec();
        retain_allowed(&mut suites, ciphers, ciphersuites);
        suites.len()
    }

    #[test]
    fn every_cipher_has_a_name() {
        assert_eq!(count("", ""), ALL_CIPHER_SUITES.len());
        assert_eq!(ALL_CIPHER_SUITES.len(), NAMES_1_2.len() + NAMES_1_3.len());
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        let lists = [
            ("DEFAULT", 6),
            ("DEFAULT:!MEDIUM", 6),
            ("ECDHE-RSA-AES128-GCM-SHA256", 1),
            (
                "ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256",
                2,
            ),
            ("DEFAULT:-AES128", 4),
            ("-AES128:DEFAULT", 6),
            ("!AES128:DEFAULT:AES128", 4),
            ("ECDHE+AESGCM", 4),
            ("ECDHE+CHACHA20:@STRENGTH", 2),
            ("aRSA+AES256 +SHA384", 1),
            ("AES128-SHA:DHE-RSA-AES128-SHA", 0),
        ];
        for (list, expected) in lists {
            assert_eq!(count(list, "none"), expected, "{list}");
        }
        assert_eq!(
            count("none", "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256"),
            1
        );
    }
}
