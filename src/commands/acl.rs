//! ACL: the one user that there is, and the categories of commands.

use super::spec::{CommandSpec, Flags};
use super::table::table;
use super::{CommandError, CommandResult, Context, Outcome, help};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "6.0.0",
    summary: "A container for Access List Control commands ",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "categoryname:string?",
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "List the ACL categories or the commands inside a category",
            complexity: "O(1) since the categories and commands are a fixed set.",
            ..CommandSpec::new(
                "cat",
                -2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_cat,
            )
        },
        CommandSpec {
            arguments: "bits:integer?",
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Generate a pseudorandom secure password to use for ACL users",
            complexity: "O(1)",
            ..CommandSpec::new(
                "genpass",
                -2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_genpass,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), acl_help)
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "6.0.0",
            summary: "List the username of all the configured ACL rules",
            complexity: "O(N). Where N is the number of configured users.",
            ..CommandSpec::new(
                "users",
                2,
                Flags::ADMIN
                    .and(Flags::NOSCRIPT)
                    .and(Flags::LOADING)
                    .and(Flags::STALE),
                acl_users,
            )
        },
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "6.0.0",
            summary: "Return the name of the user associated to the current connection",
            complexity: "O(1)",
            ..CommandSpec::new(
                "whoami",
                2,
                Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
                acl_whoami,
            )
        },
    ],
    ..CommandSpec::new("acl", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];

/// Every category, in the order in which ACL CAT names them.
const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

fn acl_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn acl_whoami(ctx: &mut Context<'_, '_>) -> CommandResult {
    let user = ctx.session.info.user.lock();
    let user = if user.is_empty() { "default" } else { &user };
    ctx.reply.bulk(user.as_bytes());
    Ok(Outcome::Done)
}

fn acl_users(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.array(1);
    ctx.reply.bulk(b"default");
    Ok(Outcome::Done)
}

fn acl_cat(ctx: &mut Context<'_, '_>) -> CommandResult {
    let args = ctx.args;
    let names: Vec<&str> = match *args {
        [_, _] => CATEGORIES.to_vec(),
        [_, _, wanted] => {
            let named = |name: &&&str| wanted.eq_ignore_ascii_case(name.as_bytes());
            let Some(category) = CATEGORIES.iter().find(named) else {
                let wanted = String::from_utf8_lossy(wanted);
                return Err(format!("ERR Unknown category '{wanted}'").into());
            };
            let all = table().all.iter();
            all.filter(|command| command.spec.acl.split(' ').any(|name| name == *category))
                .map(|command| command.full_name.as_str())
                .collect()
        }
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    ctx.reply.array(names.len());
    names
        .iter()
        .for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(Outcome::Done)
}

fn acl_genpass(ctx: &mut Context<'_, '_>) -> CommandResult {
    const DEFAULT_BITS: i64 = 256;
    const MAX_BITS: i64 = 4096;
    let bits = match ctx.args.len() {
        2 => DEFAULT_BITS,
        3 => ctx.int(2)?,
        _ => return Err(help::wrong_subcommand(ctx)),
    };
    if !(1..=MAX_BITS).contains(&bits) {
        let text = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
        return Err(CommandError::text(text));
    }
    let digits = usize::try_from(bits).unwrap_or(0).div_ceil(4);
    let mut password = String::new();
    while password.len() < digits {
        password.push_str(&crate::services::stats::random_id());
    }
    password.truncate(digits);
    ctx.reply.bulk(password.as_bytes());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn one_user_and_many_categories() {
        let mut harness = Harness::new();
        assert_eq!(
            harness.run("ACL WHOAMI"),
            Response::Bulk(b"default".to_vec())
        );
        assert_eq!(
            harness.run("ACL USERS"),
            Response::Array(vec![Response::Bulk(b"default".to_vec())])
        );
        assert!(
            matches!(harness.run("ACL CAT"), Response::Array(all) if all.len() == CATEGORIES.len())
        );
        let ping = Response::Bulk(b"ping".to_vec());
        assert!(matches!(harness.run("ACL CAT fast"), Response::Array(all) if all.contains(&ping)));
        assert_eq!(
            harness.run("ACL CAT x"),
            Response::Error("ERR Unknown category 'x'".into())
        );
        assert!(matches!(harness.run("ACL GENPASS 5"), Response::Bulk(text) if text.len() == 2));
        assert!(matches!(harness.run("ACL GENPASS 0"), Response::Error(_)));
    }

    #[test]
    fn entries_use_known_categories() {
        for command in &table().all {
            for name in command.spec.acl.split_whitespace() {
                assert!(
                    CATEGORIES.contains(&name),
                    "{name} of {}",
                    command.full_name
                );
            }
        }
    }
}
