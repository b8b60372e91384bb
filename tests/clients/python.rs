//! Runs the tests of redis-py, rq and celery in `python/` against one server; what `requirements.txt` names has to be
//! installed in `target/python` before.

use std::path::Path;
use std::process::{Command, Stdio};

use innkeep_test_server::may_skip;

#[test]
fn redis_py_rq_and_celery() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    if !python.is_file() {
        assert!(may_skip(
            "target/python, a virtual environment with tests/clients/python/requirements.txt"
        ));
        return;
    }
    let server = crate::server();
    let output = Command::new(python)
        .args(["-B", "-m", "unittest", "-v"])
        .current_dir(root.join("tests/clients/python"))
        .env("INNKEEP_TEST_URL", server.url())
        .stdin(Stdio::null())
        .output()
        .expect("python runs");
    let told = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}");
}
