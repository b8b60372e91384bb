//! Lists, and the commands that wait for their elements.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
