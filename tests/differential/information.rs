//! What the servers tell of themselves after a round: the same fields in each section of INFO, and the same values where
//! they count what was done.

use std::collections::{BTreeMap, BTreeSet};

use innkeep_test_server::wire::Reply;

use crate::grammar::{Command, Compare};
use crate::pair::{OBSERVER, Outcome, Pair};
use crate::reasons::{ASKED_UNEVENLY, has_fields_of_its_own, is_field_of_its_own};

/// Fields that count what was done. Not the hits and misses: each page of an iteration is one, and each page is a server's own; and
/// Redis counts some commands twice that look a key up twice inside. Those of whole sections stand in `COUNTED_SECTIONS`.
#[rustfmt::skip]
const COUNTED: &[&str] = &[
    "expired_keys", "evicted_keys", "pubsub_channels", "pubsub_patterns",
    "pubsubshard_channels", "total_error_replies", "rejected_connections", "expired_stale_perc",
    "expired_time_cap_reached_count", "blocked_clients", "loading", "role", "connected_slaves", "cluster_enabled",
    "maxmemory", "maxmemory_policy", "tracking_clients", "aof_enabled", "rdb_bgsave_in_progress", "evicted_clients",
    "current_eviction_exceeded_time", "acl_access_denied_auth",
];

const COUNTED_SECTIONS: &[&str] = &["Keyspace", "Errorstats", "Commandstats"];

type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn sections(info: &Reply) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in String::from_utf8_lossy(info.bytes()).lines() {
        if let Some(name) = line.strip_prefix("# ") {
            name.clone_into(&mut current);
            sections.entry(current.clone()).or_default();
        } else if let Some((name, value)) = line.split_once(':') {
            let section = sections.entry(current.clone()).or_default();
            section.insert(name.to_owned(), value.to_owned());
        }
    }
    sections
}

/// A counted value: how often a command was called, but not how long it took; how many keys a database has, but not how
/// long they live.
fn counted(section: &str, value: &str) -> String {
    let is_time = |field: &&str| {
        let time = field.starts_with("usec") || field.starts_with("avg_ttl");
        !time || section == "Errorstats"
    };
    value
        .split(',')
        .filter(is_time)
        .collect::<Vec<_>>()
        .join(",")
}

fn is_uneven(section: &str, name: &str) -> bool {
    let command = name.trim_start_matches("cmdstat_").replace('|', "\" \"");
    section == "Commandstats"
        && ASKED_UNEVENLY
            .iter()
            .any(|uneven| uneven.trim_matches('"') == command)
}

pub(crate) fn compare(pair: &mut Pair) -> Outcome {
    let (ours, theirs) = pair.ask(
        OBSERVER,
        &Command::new(&["INFO", "EVERYTHING"], Compare::Exact),
    )?;
    let (ours, theirs) = (sections(&ours), sections(&theirs));
    let names = |sections: &Sections| sections.keys().cloned().collect::<BTreeSet<_>>();
    if names(&ours) != names(&theirs) {
        return Err(format!(
            "sections of INFO\n  ours:   {:?}\n  theirs: {:?}",
            names(&ours),
            names(&theirs)
        ));
    }
    let differences: Vec<String> = theirs
        .iter()
        .flat_map(|(name, theirs)| section(name, &ours[name], theirs))
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(differences.join("\n"))
}

fn section(
    name: &str,
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut differences = Vec::new();
    if has_fields_of_its_own(name) {
        return differences;
    }
    let whole = COUNTED_SECTIONS.contains(&name);
    let fields: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for field in fields {
        if is_field_of_its_own(field) || is_uneven(name, field) {
            continue;
        }
        let values = [ours.get(field), theirs.get(field)];
        let same = match values {
            [Some(ours), Some(theirs)] => {
                (!whole && !COUNTED.contains(&field.as_str()))
                    || counted(name, ours) == counted(name, theirs)
            }
            _ => false,
        };
        if !same {
            differences.push(format!(
                "{field} in section {name} of INFO\n  ours:   {:?}\n  theirs: {:?}",
                values[0], values[1]
            ));
        }
    }
    differences
}
