//! `rename-command`: other names for commands, or none.

use super::table::table;
use crate::config::Config;
use crate::services::Renamed;

/// What the configuration renames; nothing where it renames nothing.
///
/// # Errors
///
/// The line that cannot be done, as Redis tells it before it exits.
pub fn configured(config: &Config) -> Result<Option<Renamed>, String> {
    let mut renamed = Renamed::default();
    for directive in &config.renamed_commands {
        let [old, new] = directive.args.as_slice() else {
            continue;
        };
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        let own = match renamed.get(&old) {
            Some(own) => own,
            None => table().find(&old).map(|command| command.spec.name),
        };
        let Some(own) = own else {
            let reason = "No such command in rename-command";
            return Err(directive.refuse(reason).to_string());
        };
        renamed.set(&old, None);
        if new.is_empty() {
            continue;
        }
        let taken = match renamed.get(&new) {
            Some(own) => own.is_some(),
            None => table().find(&new).is_some(),
        };
        if taken {
            let reason = "Target command name already exists";
            return Err(directive.refuse(reason).to_string());
        }
        renamed.set(&new, Some(own));
    }
    Ok((!config.renamed_commands.is_empty()).then_some(renamed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Identity;

    fn renamed(lines: &str) -> Result<Option<Renamed>, String> {
        let mut config = Config::new(Identity::RedisServer);
        config
            .load_text(lines.as_bytes())
            .expect("the lines have the right form");
        configured(&config)
    }

    #[test]
    fn names_move() {
        assert!(renamed("port 1").expect("nothing to do").is_none());
        let lines =
            "rename-command GET fetch\nrename-command flushall \"\"\nrename-command set GET";
        let renamed = renamed(lines).expect("each can be done").expect("some are");
        assert_eq!(renamed.get(b"FETCH"), Some(Some("get")));
        assert_eq!(renamed.get(b"get"), Some(Some("set")));
        assert_eq!(renamed.get(b"Set"), Some(None));
        assert_eq!(renamed.get(b"flushall"), Some(None));
        assert_eq!(renamed.get(b"del"), None);
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (lines, reason) in [
            (
                "rename-command nosuch x",
                "No such command in rename-command",
            ),
            (
                "rename-command get set",
                "Target command name already exists",
            ),
            (
                "rename-command get \"\"\nrename-command get x",
                "No such command in rename-command",
            ),
        ] {
            let error = renamed(lines).expect_err("it cannot be done");
            assert!(error.ends_with(reason), "{error}");
        }
    }
}
