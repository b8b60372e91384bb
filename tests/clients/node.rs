//! Runs the tests of ioredis, node-redis and the packages on top of them in `node/` against one server; `npm ci` has to be run there before.

use std::path::Path;
use std::process::{Command, Stdio};

use innkeep_test_server::{find_program, may_skip};

#[test]
fn ioredis_node_redis_and_what_is_built_on_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node");
    let Some(node) = find_program("node").filter(|_| folder.join("node_modules").is_dir()) else {
        assert!(may_skip(
            "node, or what `npm ci` installs in tests/clients/node"
        ));
        return;
    };
    let server = crate::server();
    let output = Command::new(node)
        .args([
            "--test",
            "--test-concurrency=1",
            "--test-timeout=60000",
            "--test-reporter=spec",
        ])
        .current_dir(&folder)
        .env("INNKEEP_TEST_URL", server.url())
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
