//! The binary: arguments in, server or tool out. No logic lives here.

use innkeep::Counting;
use innkeep::server::Mimalloc;

#[global_allocator]
static ALLOCATOR: Counting<Mimalloc> = Counting(Mimalloc);

fn main() -> std::process::ExitCode {
    innkeep::server::run(std::env::args_os())
}
