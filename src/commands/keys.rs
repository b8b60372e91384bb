//! Keys of any type: DEL, EXPIRE, SCAN …

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
