//! BACKUP, which no Redis has: a copy of the data of one moment in a file that a client names.
//!
//! Whoever may write files can do harm with them. So a backup never replaces a file, and without
//! `enable-protected-configs`, which guards `dir` and `dbfilename` in the same way, it is a plain name that ends in `.rdb`
//! in the data directory.

use std::path::{Component, Path, PathBuf};

use super::protection::is_allowed;
use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    arguments: "path:string",
    acl: "admin slow dangerous",
    group: "server",
    since: "7.2.4",
    summary: "Writes the data of one moment into a new RDB file, reads it back, and answers its keys and bytes",
    complexity: "O(N) where N is the total number of keys in all databases, on a thread of its own",
    ..CommandSpec::new(
        "backup",
        2,
        Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::NO_ASYNC_LOADING)
            .and(Flags::NO_MULTI),
        backup,
    )
}];

const NOT_TEXT: CommandError = CommandError::text("ERR The name of a backup must be UTF-8");
const NOT_ALLOWED: CommandError = CommandError::text(
    "ERR A backup is a plain file name that ends in .rdb, in the data directory. If the enable-protected-configs option is set to \"local\", a local connection may name any new file, otherwise you need to set this option in the configuration file, and then restart the server.",
);

fn backup(ctx: &mut Context<'_, '_>) -> CommandResult {
    let name = ctx.args.get(1).copied().unwrap_or_default();
    let name = Path::new(std::str::from_utf8(name).map_err(|_| NOT_TEXT)?);
    if !is_plain(name) && !is_allowed(ctx.services, &ctx.session.info, "enable-protected-configs") {
        return Err(NOT_ALLOWED);
    }
    let directory: PathBuf = ctx.services.config.read().path("dir");
    Ok(Outcome::BackUp(directory.join(name)))
}

/// Whether this is the name of a file that stands in the directory itself and looks like what it is.
fn is_plain(name: &Path) -> bool {
    let mut components = name.components();
    let first = components.next();
    first == Some(Component::Normal(name.as_os_str()))
        && components.next().is_none()
        && name.extension().is_some_and(|end| end == "rdb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn plain_names_are_free_and_others_are_guarded() {
        let mut harness = Harness::new();
        harness.run("BACKUP today.rdb");
        let directory = harness.services.config.read().path("dir");
        let expected = Outcome::BackUp(directory.join("today.rdb"));
        assert_eq!(harness.outcome, Some(expected));
        for name in [
            "../x.rdb",
            "a/b.rdb",
            "/tmp/x.rdb",
            "shell.php",
            ".rdb",
            "x.rdb/",
            "./x.rdb",
            "..",
        ] {
            let refused = harness.run(&format!("BACKUP {name}"));
            assert_eq!(refused, Response::Error(NOT_ALLOWED.to_string()), "{name}");
        }
        let mut config = harness.services.config.write();
        config
            .assign(b"enable-protected-configs", b"yes")
            .expect("a valid value");
        drop(config);
        harness.run("BACKUP /backups/x");
        let expected = Outcome::BackUp("/backups/x".into());
        assert_eq!(harness.outcome, Some(expected));
        let refused = harness.run_words(&[b"BACKUP", b"\xff"]);
        assert_eq!(refused, Response::Error(NOT_TEXT.to_string()));
    }
}
