//! Publish and subscribe.

use super::spec::CommandSpec;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[];
pub fn unsubscribe_all(_: &mut crate::services::SessionState, _: &crate::services::Services) {}
