//! The binary: arguments in, server or tool out. No logic lives here.

fn main() {}
