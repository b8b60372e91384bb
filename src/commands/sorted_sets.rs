//! Sorted sets, and the commands that wait for their members.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
