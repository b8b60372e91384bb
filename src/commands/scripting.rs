//! EVAL, FCALL and SCRIPT over the registry of scripts.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
