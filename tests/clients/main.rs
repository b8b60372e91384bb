//! The clients that people use, as black boxes: redis-cli, the `redis` crate over sockets, packages of node (ioredis,
//! node-redis, BullMQ and others) and of Python (redis-py, rq, celery).
//! Each test starts its own server; `INNKEEP_TEST_SERVER` names another one than the binary just built.

mod native_scripts;
mod node;
mod python;
mod redis_cli;
mod redis_crate;
mod redis_crate_async;
mod scripts;
mod terminal;

use innkeep_test_server::{Launch, Server};

fn server() -> Server {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
        .start()
        .expect("the server starts")
}
