//! DEBUG's ways to end the program: as hard as a fault would, or to start it again. Knows no data.

use std::alloc::{Layout, handle_alloc_error};
use std::process::abort;

use super::parse_i64;
use crate::commands::acl;
use crate::commands::{CommandError, CommandResult, Context, Outcome, Shutdown};

const NOT_RESTARTED: CommandError =
    CommandError::text("ERR failed to restart the server. Check server logs.");

/// Ends it at once; nothing is brought to disk that is not there.
pub(super) fn at_once(ctx: &Context<'_, '_>, sub: &[u8]) -> ! {
    match sub {
        b"segfault" => {
            if let Some(crash) = ctx.services.switches.crash.get() {
                crash();
            }
        }
        b"oom" => {
            let everything = Layout::from_size_align(isize::MAX.unsigned_abs(), 1)
                .expect("no size is larger, and one byte is aligned");
            log::error!("Out Of Memory allocating {} bytes!", isize::MAX);
            handle_alloc_error(everything);
        }
        b"assert" => log::error!("=== ASSERTION FAILED === DEBUG ASSERT called"),
        _ => log::error!("DEBUG PANIC called"),
    }
    abort()
}

/// RESTART: after an end as SHUTDOWN makes it, with what CONFIG SET has changed in the file of the configuration.
pub(super) fn restart(ctx: &Context<'_, '_>, delay: Option<&[u8]>) -> CommandResult {
    let delay_ms = milliseconds(delay)?;
    if ctx.services.switches.restart.get().is_none() {
        return Err(NOT_RESTARTED);
    }
    let config = ctx.services.config.read().clone();
    if config.file.is_some()
        && let Err(problem) = config.rewrite_file(&acl::lines(ctx.services), false)
    {
        log::warn!("The configuration was not rewritten: {problem}");
        return Err(NOT_RESTARTED);
    }
    Ok(Outcome::Shutdown(Shutdown {
        restart_ms: Some(delay_ms),
        ..Shutdown::default()
    }))
}

/// CRASH-AND-RECOVER: without saving anything.
pub(super) fn crash_and_recover(ctx: &Context<'_, '_>, delay: Option<&[u8]>) -> CommandResult {
    let delay_ms = milliseconds(delay)?;
    if let Some(restart) = ctx.services.switches.restart.get() {
        let problem = restart(delay_ms);
        log::warn!("The program was not started again: {problem}");
    }
    Err(NOT_RESTARTED)
}

/// A delay that is missing or below 0 is none.
fn milliseconds(word: Option<&[u8]>) -> Result<u64, CommandError> {
    word.map_or(Ok(0), |word| {
        let delay = parse_i64(word).ok_or(CommandError::NotInteger)?;
        Ok(u64::try_from(delay).unwrap_or(0))
    })
}
