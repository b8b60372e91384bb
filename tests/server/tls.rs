//! TLS: who may connect with what, what changes while the server runs, and large answers to slow readers.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use innkeep_test_server::Server;
use innkeep_test_server::certificates::{Certificates, free_port};
use innkeep_test_server::wire::Wire;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PONG: &[u8] = b"+PONG\r\n";

/// A client that trusts the authority, and shows the certificate of this name.
fn trusting(certificates: &Certificates, name: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = read_certificate(&certificates.path("ca.crt"));
    roots.add(authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots);
    Arc::new(match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let certificate = read_certificate(&certificates.path(&format!("{name}.crt")));
            let key = PrivateKeyDer::from_pem_file(certificates.path(&format!("{name}.key")));
            let built = builder.with_client_auth_cert(vec![certificate], key.expect("a key"));
            built.expect("they belong together")
        }
    })
}

fn read_certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// A server that asks nobody for a certificate.
fn serve_everybody(certificates: &Certificates, port: u16) -> io::Result<Server> {
    let launch = certificates.secure(crate::launch(), port);
    launch.option("tls-auth-clients", "no").start()
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

fn connect(config: &Arc<ClientConfig>, port: u16) -> io::Result<Secured> {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    stream.set_read_timeout(Some(crate::process::PATIENCE))?;
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

/// Sends bytes, and reads as many as are expected.
fn exchange(stream: &mut Secured, bytes: &[u8], expected: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()?;
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got)?;
    assert!(got == expected, "{}", String::from_utf8_lossy(&got));
    Ok(())
}

fn ping(config: &Arc<ClientConfig>, port: u16) -> io::Result<()> {
    exchange(&mut connect(config, port)?, b"PING\r\n", PONG)
}

fn set(server: &Server, words: &[&str]) -> io::Result<String> {
    let reply = crate::connect(server).ask(&[&["CONFIG", "SET"], words].concat())?;
    Ok(String::from_utf8_lossy(reply.bytes()).into_owned())
}

#[test]
fn commands_and_large_values_go_both_ways() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = serve_everybody(&certificates, port)?;
    let mut stream = connect(&trusting(&certificates, None), port)?;
    exchange(&mut stream, b"PING\r\nECHO a\r\n", b"+PONG\r\n$1\r\na\r\n")?;
    let value = vec![b'v'; 20_000_000];
    let bulk = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let command = [&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"[..], &bulk].concat();
    exchange(&mut stream, &command, b"+OK\r\n")?;
    // Many answers are asked for before one is read.
    let many = "GET k\r\n".repeat(5);
    exchange(&mut stream, many.as_bytes(), &bulk.repeat(5))?;
    // The plain port is another one, and serves as ever.
    assert!(crate::connect(&server).ask(&["PING"])?.is_status("PONG"));
    exchange(&mut stream, b"QUIT\r\n", b"+OK\r\n")?;
    assert_eq!(stream.read(&mut [0; 1])?, 0, "the end is told");
    Ok(())
}

#[test]
fn a_message_reaches_who_waits_for_it() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = serve_everybody(&certificates, port)?;
    let mut subscriber = connect(&trusting(&certificates, None), port)?;
    let subscribed = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    exchange(&mut subscriber, b"SUBSCRIBE c\r\n", subscribed)?;
    let told = crate::connect(&server).ask(&["PUBLISH", "c", "m"])?;
    assert_eq!(told.int(), Some(1));
    exchange(
        &mut subscriber,
        b"",
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
    )
}

#[test]
fn who_speaks_no_tls_is_turned_away() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let _server = serve_everybody(&certificates, port)?;
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    let answer = Wire::new(stream).exchange_all(b"PING\r\n");
    assert!(!answer.is_ok_and(|bytes| bytes.windows(4).any(|part| part == b"PONG")));
    ping(&trusting(&certificates, None), port)
}

#[test]
fn clients_show_certificates_where_that_is_asked() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = certificates.secure(crate::launch(), port).start()?;
    let (nobody, client) = (
        trusting(&certificates, None),
        trusting(&certificates, Some("client")),
    );
    let stranger = Certificates::new();
    fs::copy(certificates.path("ca.crt"), stranger.path("ca.crt"))?;
    let stranger = trusting(&stranger, Some("client"));
    assert!(ping(&nobody, port).is_err() && ping(&stranger, port).is_err());
    ping(&client, port)?;
    assert_eq!(set(&server, &["tls-auth-clients", "optional"])?, "OK");
    ping(&nobody, port)?;
    ping(&client, port)?;
    assert!(ping(&stranger, port).is_err());
    assert_eq!(set(&server, &["tls-auth-clients", "no"])?, "OK");
    ping(&stranger, port)
}

#[test]
fn it_begins_and_ends_while_the_server_runs() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = crate::server();
    let client = trusting(&certificates, None);
    let (cert, key) = (
        certificates.text("server.crt"),
        certificates.text("server.key"),
    );
    let text = port.to_string();
    let refused = "ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to update TLS configuration. \
                   Check server logs.";
    assert_eq!(set(&server, &["tls-port", &text])?, refused);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let words = [
        "tls-port",
        &text,
        "tls-cert-file",
        &cert,
        "tls-key-file",
        &key,
    ];
    let words = [&words[..], &["tls-auth-clients", "no"]].concat();
    assert_eq!(set(&server, &words)?, "OK");
    ping(&client, port)?;
    // What is wrong changes nothing.
    let wrong = set(&server, &["tls-key-file", &cert])?;
    assert!(
        wrong.contains("'tls-key-file') - Unable to update TLS"),
        "{wrong}"
    );
    let another = Certificates::new().text("server.crt");
    let wrong = set(&server, &["maxclients", "100", "tls-cert-file", &another])?;
    assert!(
        wrong.contains("'tls-cert-file') - Unable to update TLS"),
        "{wrong}"
    );
    ping(&client, port)?;
    assert_eq!(set(&server, &["tls-port", "0"])?, "OK");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}

#[test]
fn protocols_and_ciphers_are_those_allowed() -> io::Result<()> {
    let (certificates, port) = (Certificates::new(), free_port());
    let server = serve_everybody(&certificates, port)?;
    let client = trusting(&certificates, None);
    let cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
    assert_eq!(
        set(
            &server,
            &["tls-protocols", "TLSv1.2", "tls-ciphers", cipher]
        )?,
        "OK"
    );
    let mut stream = connect(&client, port)?;
    exchange(&mut stream, b"PING\r\n", PONG)?;
    let negotiated = stream.conn.negotiated_cipher_suite().expect("it is open");
    assert_eq!(
        negotiated.suite(),
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    );
    for wrong in [
        ["tls-protocols", "TLSv1.1"],
        ["tls-protocols", "SSL"],
        ["tls-ciphers", "NULL"],
    ] {
        assert!(
            set(&server, &wrong)?.contains("Unable to update TLS"),
            "{wrong:?}"
        );
    }
    assert_eq!(
        set(
            &server,
            &["tls-protocols", "TLSv1.3", "tls-session-caching", "no"]
        )?,
        "OK"
    );
    ping(&client, port)
}

#[test]
fn a_server_without_a_certificate_does_not_start() {
    let started = crate::launch()
        .option("tls-port", &free_port().to_string())
        .start();
    let problem = started.err().map(|error| error.to_string());
    let problem = problem.expect("it cannot do what it was told");
    assert!(
        problem.contains("No tls-cert-file configured!"),
        "{problem}"
    );
    assert!(problem.contains("Failed to configure TLS"), "{problem}");
}
