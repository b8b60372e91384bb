//! What two clients hear that do nothing themselves: one of every change of a key, one of every command.

use innkeep_test_server::wire::Reply;

use crate::pair::{LISTENER, MONITOR, Outcome, Pair, Step, because};
use crate::reasons::ASKED_UNEVENLY;

/// Whatever both have heard since the last time has to be the same, in order.
pub(crate) fn compare(pair: &mut Pair, step: &Step) -> Outcome {
    // What order bytes of several connections came in is nobody's to say; the data is only read.
    let unseen = matches!(step, Step::Data(_) | Step::Information);
    for listener in [LISTENER, MONITOR] {
        let mut heard = Vec::new();
        for side in [&mut pair.ours, &mut pair.theirs] {
            let frames = side.drain(listener).map_err(|error| because(&error))?;
            let lines = frames.iter().filter_map(line);
            let lines = lines.map(|line| side.without_own(line));
            // In which order the members of a large collection lead to other keys is the server's own.
            let (mut missed, mut all): (Vec<_>, Vec<_>) =
                lines.partition(|line| line.contains("keymiss"));
            missed.sort();
            all.append(&mut missed);
            heard.push(all);
        }
        if heard[0] != heard[1] && !unseen {
            let at = heard[0]
                .iter()
                .zip(&heard[1])
                .take_while(|(ours, theirs)| ours == theirs)
                .count();
            let what = if listener == LISTENER {
                "events"
            } else {
                "monitored commands"
            };
            return Err(format!(
                "the {what} of {step:?}\n  ours:   {:?}\n  theirs: {:?}",
                &heard[0][at..],
                &heard[1][at..]
            ));
        }
    }
    Ok(())
}

/// A frame as text; a line of MONITOR without its time and address, and none where the test asks one side more often.
fn line(frame: &Reply) -> Option<String> {
    let text = String::from_utf8_lossy(frame.bytes()).into_owned();
    let Some((_, command)) = text.split_once("] ").filter(|_| frame.kind == b'+') else {
        return Some(format!("{frame:?}"));
    };
    let (database, _) = text.split_once(' ')?.1.split_once(' ')?;
    let is_uneven = |name: &&str| command.to_ascii_lowercase().starts_with(*name);
    (!ASKED_UNEVENLY.iter().any(is_uneven)).then(|| format!("{database} {command}"))
}
