//! Scripts through `redis::Script`, over both connections.

use innkeep::Engine;
use redis::{ErrorKind, ServerErrorKind};

#[test]
fn an_unknown_digest_is_answered_with_noscript() {
    let mut connection = Engine::in_memory().connection();
    let error = redis::cmd("EVALSHA")
        .arg("0".repeat(40))
        .arg(0)
        .exec(&mut connection)
        .expect_err("nobody loaded it");
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
}
