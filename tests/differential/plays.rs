//! Plays of several clients: one acts after the other, and after each act everybody who was woken, let go or killed has
//! got what is theirs. Who waits is asked from CLIENT LIST, so that an act is over before the next begins.

use innkeep_test_server::wire::Reply;

use crate::grammar::{Command, Compare};
use crate::pair::{OBSERVER, Outcome, PLAYER, PLAYERS, Pair, Side, because, judge, until};
use crate::reasons;

/// How often a player is looked at again who waits on one server only.
const LATE: usize = 2000;

/// What a player who waits has sent.
type Waiting = Vec<Option<Command>>;

/// Players whom a kill names, which may still be queued in a transaction.
type Condemned = Vec<usize>;

/// What a player got, or that it is gone.
type Got = Result<Reply, String>;

pub(crate) fn play(pair: &mut Pair, acts: &[(usize, Command)]) -> Outcome {
    let mut waiting: Waiting = vec![None; PLAYERS];
    let mut condemned = Condemned::new();
    let pauses = acts.iter().any(|(_, command)| is_client(command, "PAUSE"));
    for (player, command) in acts {
        let is_left_out = pauses && is_client(command, reasons::NOT_WITH_PAUSES);
        if waiting[*player].is_none() && !is_left_out {
            condemned.extend(victim(command));
            act(pair, *player, command, &mut waiting)?;
            bury(pair, &condemned, &mut waiting)?;
        }
    }
    end(pair, &mut waiting)
}

fn act(pair: &mut Pair, player: usize, command: &Command, waiting: &mut Waiting) -> Outcome {
    waiting[player] = Some(command.clone());
    for side in [&mut pair.ours, &mut pair.theirs] {
        side.send(PLAYER + player, command)
            .map_err(|error| because(&error))?;
    }
    settle(pair, waiting).map_err(|what| format!("player {player}, {command:?}: {what}"))
}

/// Waits until everybody has either got an answer or waits, on both servers, and compares that.
fn settle(pair: &mut Pair, waiting: &mut Waiting) -> Outcome {
    // What one of them does may wake another.
    while settle_once(pair, waiting)? {}
    Ok(())
}

/// Whether somebody got something.
fn settle_once(pair: &mut Pair, waiting: &mut Waiting) -> Result<bool, String> {
    let mut any = false;
    for (player, waiter) in waiting.iter_mut().enumerate() {
        let Some(command) = waiter.clone() else {
            continue;
        };
        let mut ours = answer(&mut pair.ours, player)?;
        let mut theirs = answer(&mut pair.theirs, player)?;
        // What wakes it may still be on its way on one of the servers.
        if ours.is_none() && theirs.is_some() {
            ours = late_answer(&mut pair.ours, player)?;
        } else if theirs.is_none() && ours.is_some() {
            theirs = late_answer(&mut pair.theirs, player)?;
        }
        match (&ours, &theirs) {
            (None, None) => continue,
            (Some(Ok(ours)), Some(Ok(theirs))) => {
                let agreed = pair.agree(PLAYER + player, &command, ours, theirs);
                judge(&command, agreed, ours, theirs)?;
            }
            // Who was killed is not there on either side.
            (Some(Err(_)), Some(Err(_))) => replace(pair, player)?,
            _ => {
                return Err(format!(
                    "what player {player} got to {command:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}"
                ));
            }
        }
        *waiter = None;
        any = true;
    }
    Ok(any)
}

/// What has come for this player, or `None` if it waits.
fn answer(side: &mut Side, player: usize) -> Result<Option<Got>, String> {
    let id = side.ids[PLAYER + player].to_string();
    let mut came = false;
    let reached = until(|| {
        // In this order: what is seen to wait after nothing had come may still have got something since.
        let list = side.wires[OBSERVER].ask(&["CLIENT", "LIST", "ID", &id])?;
        came = side.wires[PLAYER + player].has_something()?;
        Ok(came || is_blocked(&list))
    });
    reached.map_err(|error| because(&error))?;
    let reply = || side.wires[PLAYER + player].receive();
    Ok(came
        .then(reply)
        .map(|reply| reply.map_err(|error| error.to_string())))
}

/// What comes for a player who waits, within some patience.
fn late_answer(side: &mut Side, player: usize) -> Result<Option<Got>, String> {
    for _ in 0..LATE {
        let got = answer(side, player)?;
        if got.is_some() {
            return Ok(got);
        }
        std::thread::yield_now();
    }
    Ok(None)
}

fn is_blocked(list: &Reply) -> bool {
    let line = String::from_utf8_lossy(list.bytes()).into_owned();
    let flags = line
        .split(' ')
        .find_map(|field| field.strip_prefix("flags="));
    flags.is_some_and(|flags| flags.contains('b'))
}

fn is_client(command: &Command, subcommand: &str) -> bool {
    command.is("CLIENT") && command.key().eq_ignore_ascii_case(subcommand.as_bytes())
}

/// The player whom this command kills.
fn victim(command: &Command) -> Option<usize> {
    let is_kill = is_client(command, "KILL");
    command
        .arguments
        .iter()
        .filter(|_| is_kill)
        .find_map(|word| match word[..] {
            [b'@', _, digit @ b'0'..=b'9'] => Some(usize::from(digit - b'0')),
            _ => None,
        })
}

/// Other clients take the places of those who are killed by now, on both servers or on neither.
fn bury(pair: &mut Pair, condemned: &[usize], waiting: &mut Waiting) -> Outcome {
    for &victim in condemned {
        let mut gone = Vec::new();
        for side in [&mut pair.ours, &mut pair.theirs] {
            let id = side.ids[PLAYER + victim].to_string();
            let list = side.wires[OBSERVER].ask(&["CLIENT", "LIST", "ID", &id]);
            let list = list.map_err(|error| because(&error))?;
            gone.push(list.bytes().is_empty());
        }
        if gone[0] != gone[1] {
            return Err(format!("whether player {victim} is killed: {gone:?}"));
        }
        if gone[0] {
            waiting[victim] = None;
            replace(pair, victim)?;
        }
    }
    Ok(())
}

fn replace(pair: &mut Pair, player: usize) -> Outcome {
    pair.queued[PLAYER + player] = None;
    for side in [&mut pair.ours, &mut pair.theirs] {
        side.replace(PLAYER + player)
            .map_err(|error| because(&error))?;
    }
    Ok(())
}

/// Nobody is left waiting, in a transaction or in another database.
fn end(pair: &mut Pair, waiting: &mut Waiting) -> Outcome {
    pair.same(
        OBSERVER,
        &Command::new(&["CLIENT", "UNPAUSE"], Compare::Exact),
    )?;
    settle(pair, waiting).map_err(|what| format!("after the pause: {what}"))?;
    for player in 0..PLAYERS {
        if waiting[player].is_some() {
            let word = format!("@i{player}");
            let how = if player % 2 == 0 { "TIMEOUT" } else { "ERROR" };
            let unblock = Command::new(&["CLIENT", "UNBLOCK", &word, how], Compare::Exact);
            pair.same(OBSERVER, &unblock)?;
            settle(pair, waiting).map_err(|what| format!("at the end: {what}"))?;
        }
        pair.same(PLAYER + player, &Command::new(&["RESET"], Compare::Exact))?;
        pair.queued[PLAYER + player] = None;
    }
    Ok(())
}
