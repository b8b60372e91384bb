//! Random sequences of commands to innkeep and to a real redis-server: every reply and, at the end, all data must be
//! the same. `INNKEEP_DIFF_COMMANDS` says how many commands, `INNKEEP_DIFF_SEED` which sequence, and
//! `INNKEEP_DIFF_FAMILIES` which families, by the names of their files (`strings,keys`; all if it says nothing). A
//! difference is shown with the shortest sequence found that still brings it about.

mod compare;
mod coverage;
mod data;
mod debugger;
mod families;
mod grammar;
mod information;
mod listeners;
mod pair;
mod payloads;
mod plays;
mod pool;
mod random;
mod raw;
mod reasons;
mod scripts;
mod shorten;
mod sweep;
mod table;

use innkeep_test_server::{Launch, may_skip};

use crate::grammar::{Command, Compare, Grammar};
use crate::pair::{COMMON, Outcome, PLAYERS, Pair, SUBSCRIBERS, Step, WAITERS};
use crate::random::Random;
use crate::reasons::runs_out_soon;

/// Commands between two fresh starts; a difference is looked for among no more than these.
const ROUND: usize = 1500;
const DEFAULT_COMMANDS: usize = 20_000;

/// What each round starts with: thresholds so low that both forms of every collection are met, or none is compact,
/// or Redis's own. Redis 7.0 keeps no set in a listpack.
const SETTINGS: &[&[(&str, &str)]] = &[
    &[
        ("slowlog-log-slower-than", "-1"),
        ("notify-keyspace-events", "KEA"),
        ("hash-max-listpack-entries", "6"),
        ("hash-max-listpack-value", "16"),
        ("zset-max-listpack-entries", "6"),
        ("zset-max-listpack-value", "16"),
        ("set-max-intset-entries", "6"),
        ("set-max-listpack-entries", "0"),
        ("list-max-listpack-size", "4"),
        ("stream-node-max-entries", "3"),
        ("hll-sparse-max-bytes", "40"),
    ],
    &[
        ("slowlog-log-slower-than", "-1"),
        ("notify-keyspace-events", ""),
        ("hash-max-listpack-entries", "0"),
        ("hash-max-listpack-value", "0"),
        ("zset-max-listpack-entries", "0"),
        ("zset-max-listpack-value", "0"),
        ("set-max-intset-entries", "0"),
        ("set-max-listpack-entries", "0"),
        ("list-max-listpack-size", "1"),
        ("stream-node-max-entries", "1"),
        ("hll-sparse-max-bytes", "0"),
    ],
    &[
        ("slowlog-log-slower-than", "-1"),
        ("notify-keyspace-events", "KEAn"),
        ("hash-max-listpack-entries", "128"),
        ("hash-max-listpack-value", "64"),
        ("zset-max-listpack-entries", "128"),
        ("zset-max-listpack-value", "64"),
        ("set-max-intset-entries", "512"),
        ("set-max-listpack-entries", "0"),
        ("list-max-listpack-size", "-2"),
        ("stream-node-max-entries", "100"),
        ("hll-sparse-max-bytes", "3000"),
    ],
];

/// The grammars of all roles.
struct Grammars {
    common: Grammar,
    subscribers: Grammar,
    publishers: Grammar,
    waiters: Grammar,
    wakers: Grammar,
    players: Grammar,
    lapses: Grammar,
    /// Whether raw bytes, events, MONITOR, INFO and the contents of streams are compared, too.
    whole: bool,
}

impl Grammars {
    fn new(only: &str) -> Self {
        Self {
            common: Grammar::new(families::FAMILIES, only),
            subscribers: Grammar::new(families::SUBSCRIBERS, only),
            publishers: Grammar::new(families::PUBLISHERS, only),
            waiters: Grammar::new(families::WAITERS, only),
            wakers: Grammar::new(families::WAKERS, only),
            players: Grammar::new(families::PLAYERS, only),
            lapses: Grammar::new(families::LAPSES, only),
            whole: true,
        }
    }

    /// What only a newer server knows: commands that neither publish nor wait. Of itself and of
    /// streams it tells otherwise.
    fn of_newer_commands() -> Self {
        let none = || Grammar::new(&[], "");
        Self {
            common: Grammar::new(families::NEWER_FAMILIES, ""),
            subscribers: none(),
            publishers: none(),
            waiters: none(),
            wakers: none(),
            players: none(),
            lapses: none(),
            whole: false,
        }
    }

    /// A step, and how many commands it has.
    fn step(&self, random: &mut Random) -> (Step, usize) {
        match random.below(100) {
            0..3 if !self.subscribers.is_empty() => (
                Step::Subscriber(random.below(SUBSCRIBERS), self.subscribers.command(random)),
                1,
            ),
            3..6 if !self.publishers.is_empty() => {
                (Step::Publish(self.publishers.command(random)), 1)
            }
            6..16 if !self.waiters.is_empty() => {
                let waiters: Vec<_> = (0..=random.below(WAITERS))
                    .map(|_| self.waiters.command(random))
                    .collect();
                let wakers: Vec<_> = (0..random.below(5))
                    .map(|_| self.wakers.command(random))
                    .collect();
                let count = waiters.len() + wakers.len();
                (Step::Wait(waiters, wakers), count)
            }
            16..22 if !self.players.is_empty() => {
                let length = 3 + random.below(12);
                let acts = (0..length)
                    .map(|_| (random.below(PLAYERS), self.players.command(random)))
                    .collect();
                (Step::Play(acts), length)
            }
            22..24 if !self.lapses.is_empty() => {
                let length = 1 + random.below(3);
                let mut lapses: Vec<Command> =
                    (0..length).map(|_| self.lapses.command(random)).collect();
                // A second one could find that the first is over, or not.
                lapses.sort_by(|one, other| one.key().cmp(other.key()));
                lapses.dedup_by(|one, other| one.key() == other.key());
                let commands = (0..random.below(6))
                    .map(|_| self.common.command_or_worse(random))
                    .filter(|command| {
                        stays_with_its_keys(command) && !runs_out_soon(&command.arguments)
                    })
                    .collect();
                (Step::Lapse(random.below(COMMON), lapses, commands), length)
            }
            24..26 if self.whole => (Step::Raw(raw::stream(random)), 1),
            _ => {
                let length = if random.chance(10) {
                    40
                } else {
                    1 + random.below(8)
                };
                let commands = (0..length)
                    .map(|_| self.common.command_or_worse(random))
                    .filter(|command| !runs_out_soon(&command.arguments))
                    .collect();
                (Step::Batch(random.below(COMMON), commands), length)
            }
        }
    }

    fn round(&self, seed: u64, length: usize) -> Vec<Step> {
        let mut random = Random::new(seed);
        let mut steps = Vec::new();
        let mut commands = 0;
        while commands < length {
            let (step, count) = self.step(&mut random);
            commands += count;
            steps.push(step);
        }
        steps.push(Step::Data(self.whole));
        steps.extend(self.whole.then_some(Step::Information));
        steps
    }
}

/// Whether a command looks at keys that it names, in the database that the connection is in, at once.
fn stays_with_its_keys(command: &Command) -> bool {
    let by_chance = matches!(
        command.compare,
        Compare::AnyKey | Compare::Iteration | Compare::Removal
    );
    // A destination that has run out is deleted by Redis, here it has run out before: `reasons` tells.
    let stores = |word: &Vec<u8>| {
        let word = word.to_ascii_uppercase();
        word.ends_with(b"STORE") || word.ends_with(b"STOREDIST")
    };
    let leaves = ["SELECT", "SWAPDB", "MOVE", "MULTI", "RESET", "DBSIZE"];
    !by_chance
        && !command.is("BITOP")
        && !command.arguments.iter().any(stores)
        && !leaves.iter().any(|name| command.is(name))
}

/// Runs the steps on servers made empty, up to the first difference: its step, and what it is.
fn run(pair: &mut Pair, settings: &[(&str, &str)], steps: &[Step]) -> Result<(), (usize, String)> {
    pair.reset(settings)
        .map_err(|error| (0, format!("the servers cannot be made ready: {error}")))?;
    for (at, step) in steps.iter().enumerate() {
        let outcome: Outcome = pair.step(step);
        outcome.map_err(|what| (at, what))?;
    }
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// Compares as many commands of these grammars as the environment says, from the sequence that it names.
fn compare(reference: Launch, grammars: &Grammars) {
    let commands = number("INNKEEP_DIFF_COMMANDS").map_or(DEFAULT_COMMANDS, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    let seed = number("INNKEEP_DIFF_SEED").unwrap_or(20_260);
    let ours = Launch::under_test(env!("CARGO_BIN_EXE_innkeep"));
    let mut pair = Pair::start(ours, reference, grammars.whole).expect("both servers start");
    let rounds = commands.div_ceil(ROUND);
    for round in 0..rounds {
        let seed = seed.wrapping_add(u64::try_from(round).unwrap_or_default());
        let settings = SETTINGS[round % SETTINGS.len()];
        let steps = grammars.round(seed, ROUND.min(commands));
        if let Err((at, what)) = run(&mut pair, settings, &steps) {
            let (steps, what) = shorten::shorten(&mut pair, settings, steps, at, what);
            panic!(
                "a difference in round {round} (seed {seed}, {settings:?}):\n{}\n{what}",
                shorten::print(&steps)
            );
        }
    }
    println!("{commands} commands in {rounds} rounds from seed {seed}: no difference");
}

#[test]
fn replies_and_data_are_those_of_a_real_server() {
    let Some(reference) = Launch::redis() else {
        assert!(may_skip("redis-server"));
        return;
    };
    let families = std::env::var("INNKEEP_DIFF_FAMILIES").unwrap_or_default();
    compare(reference, &Grammars::new(&families));
}

/// What version 7.0 does not know, beside a server that does.
#[test]
fn newer_commands_are_those_of_a_newer_server() {
    if let Some(reference) = Launch::newer_redis() {
        compare(reference, &Grammars::of_newer_commands());
    }
}
