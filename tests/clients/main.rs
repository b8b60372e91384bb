//! The clients that people use, as black boxes: redis-cli, the `redis` crate over sockets, ioredis and node-redis.
//! Each test starts its own server; `INNKEEP_TEST_SERVER` names another one than the binary just built.

mod native_scripts;
mod node;
mod redis_cli;
mod redis_crate;
mod redis_crate_async;
mod terminal;

use innkeep_test_server::{Launch, Server};

fn server() -> Server {
    Launch::under_test(env!("CARGO_BIN_EXE_innkeep"))
        .start()
        .expect("the server starts")
}
