//! The binary: arguments in, server or tool out. No logic lives here.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    innkeep::server::run(std::env::args_os())
}
