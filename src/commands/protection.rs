//! What only a parameter of files lets clients do: `enable-debug-command` and its like. It knows no handlers.

use super::CommandError;
use crate::services::{ClientFlags, ClientInfo, Services};

const DEBUG: CommandError = CommandError::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

const MODULE: CommandError = CommandError::text(
    "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// Whether a client may run a command that is flagged as protected, by its full name.
///
/// # Errors
///
/// What it is told if it may not.
pub fn admit(services: &Services, client: &ClientInfo, name: &str) -> Result<(), CommandError> {
    let (parameter, refusal) = if name == "debug" {
        ("enable-debug-command", DEBUG)
    } else {
        ("enable-module-command", MODULE)
    };
    if is_allowed(services, client, parameter) {
        Ok(())
    } else {
        Err(refusal)
    }
}

/// Whether a client may do what a parameter allows: everybody, nobody, or who is on this machine.
pub(super) fn is_allowed(
    services: &Services,
    client: &ClientInfo,
    parameter: &'static str,
) -> bool {
    match services.config.read().word(parameter) {
        "yes" => true,
        "local" => is_local(client),
        _ => false,
    }
}

fn is_local(client: &ClientInfo) -> bool {
    client.addr.is_empty()
        || client.has_flag(ClientFlags::UNIX)
        || ["127.", "[::1]:", "::1:"]
            .iter()
            .any(|prefix| client.addr.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;

    #[test]
    fn not_for_everybody() {
        let harness = Harness::new();
        let admitted = |name: &str| admit(&harness.services, &harness.session.info, name);
        assert_eq!(admitted("debug"), Err(DEBUG));
        assert_eq!(admitted("module|load"), Err(MODULE));
        for (parameter, word) in [
            (&b"enable-debug-command"[..], &b"local"[..]),
            (b"enable-module-command", b"yes"),
        ] {
            let set = harness.services.config.write().assign(parameter, word);
            set.expect("a parameter of files");
        }
        assert_eq!(admitted("debug"), Ok(()));
        assert_eq!(admitted("module|unload"), Ok(()));
    }
}
