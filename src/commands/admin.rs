//! Administration: CONFIG, INFO, COMMAND, CLIENT's siblings that concern the whole server.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
