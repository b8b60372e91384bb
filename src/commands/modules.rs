//! MODULE. There are no modules, and none can be loaded: what is asked is answered as a Redis does that could not load it.

use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome, help};

const ADMIN: Flags = Flags::ADMIN.and(Flags::NOSCRIPT);
const LOADS: Flags = ADMIN.and(Flags::NO_ASYNC_LOADING).and(Flags::PROTECTED);

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "server",
    since: "4.0.0",
    summary: "A container for module commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            acl: "slow",
            group: "server",
            since: "5.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), module_help)
        },
        CommandSpec {
            acl: "admin slow dangerous",
            group: "server",
            since: "4.0.0",
            summary: "List all modules loaded by the server",
            complexity: "O(N) where N is the number of loaded modules.",
            tips: "nondeterministic_output_order",
            ..CommandSpec::new("list", 2, ADMIN, module_list)
        },
        CommandSpec {
            arguments: "path:string arg:string?*",
            acl: "admin slow dangerous",
            group: "server",
            since: "4.0.0",
            summary: "Load a module",
            complexity: "O(1)",
            ..CommandSpec::new("load", -3, LOADS, module_load)
        },
        CommandSpec {
            arguments: "path:string configs:block=CONFIG?*+{name:string value:string} args:block=ARGS?*{arg:string}",
            acl: "admin slow dangerous",
            group: "server",
            since: "7.0.0",
            summary: "Load a module with extended parameters",
            complexity: "O(1)",
            ..CommandSpec::new("loadex", -3, LOADS, module_load)
        },
        CommandSpec {
            arguments: "name:string",
            acl: "admin slow dangerous",
            group: "server",
            since: "4.0.0",
            summary: "Unload a module",
            complexity: "O(1)",
            ..CommandSpec::new("unload", 3, LOADS, module_unload)
        },
    ],
    ..CommandSpec::new("module", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "LIST",
    "    Return a list of loaded modules.",
    "LOAD <path> [<arg> ...]",
    "    Load a module library from <path>, passing to it any optional arguments.",
    "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
    "    Load a module library from <path>, while passing it module configurations and optional arguments.",
    "UNLOAD <name>",
    "    Unload a module.",
];

fn module_help(ctx: &mut Context<'_, '_>) -> CommandResult {
    help::reply(ctx, HELP)
}

fn module_list(ctx: &mut Context<'_, '_>) -> CommandResult {
    ctx.reply.array(0);
    Ok(Outcome::Done)
}

fn module_load(ctx: &mut Context<'_, '_>) -> CommandResult {
    let path = ctx.args.get(2).copied().unwrap_or_default();
    log::warn!(
        "Module {} failed to load: this server runs no modules",
        String::from_utf8_lossy(path).escape_debug()
    );
    Err(CommandError::text(
        "ERR Error loading the extension. Please check the server logs.",
    ))
}

fn module_unload(_: &mut Context<'_, '_>) -> CommandResult {
    Err(CommandError::text(
        "ERR Error unloading module: no such module with that name",
    ))
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    #[test]
    fn no_module_is_loaded_or_unloaded() {
        let mut harness = Harness::new();
        for (line, error) in [
            (
                "MODULE LOAD /x.so a b",
                "ERR Error loading the extension. Please check the server logs.",
            ),
            (
                "MODULE UNLOAD x",
                "ERR Error unloading module: no such module with that name",
            ),
        ] {
            assert_eq!(
                harness.run(line),
                Response::Error(error.to_owned()),
                "{line}"
            );
        }
        assert_eq!(harness.run("MODULE LIST"), Response::Array(Vec::new()));
    }
}
