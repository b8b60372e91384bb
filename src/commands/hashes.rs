//! Hashes.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
