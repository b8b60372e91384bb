//! HELP of containers, and the error for a subcommand with too many words. Knows no command.

use super::error::shown;
use super::{CommandError, CommandResult, Context, Outcome};

/// Answers HELP: a heading, the lines, and HELP itself.
pub(super) fn reply(ctx: &mut Context<'_, '_>, lines: &[&str]) -> CommandResult {
    let name = container_name(ctx).to_uppercase();
    ctx.reply.array(lines.len() + 3);
    ctx.reply.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    lines.iter().for_each(|line| ctx.reply.simple(line));
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Prints this help.");
    Ok(Outcome::Done)
}

fn container_name<'a>(ctx: &'a Context<'_, '_>) -> &'a str {
    let name = &ctx.command.full_name;
    name.split('|').next().unwrap_or(name)
}

/// The error for a subcommand whose words do not fit, where its arity alone does not tell.
pub(super) fn wrong_subcommand(ctx: &Context<'_, '_>) -> CommandError {
    let sub = shown(ctx.args.get(1).copied().unwrap_or_default());
    let name = container_name(ctx).to_uppercase();
    format!("ERR unknown subcommand or wrong number of arguments for '{sub}'. Try {name} HELP.")
        .into()
}

/// Stands in the entry of a container, whose subcommands run instead: only its bare name leads here.
pub(super) fn container(ctx: &mut Context<'_, '_>) -> CommandResult {
    Err(CommandError::WrongArity(ctx.command.full_name.clone()))
}
