//! How many files the system lets the program have open, which bounds how many clients it can serve. Knows no sockets.

use log::{info, warn};

/// What the program needs besides its clients: the log, snapshots, listeners, and what its threads wait with.
const RESERVED: u64 = 32;

/// Raises the limit for this many clients as far as the system allows, and answers how many there may be then.
pub(super) fn make_room(clients: u64) -> u64 {
    raise(clients.saturating_add(RESERVED)).saturating_sub(RESERVED)
}

/// The same when the program starts, with a word in the log about what changed. `None`: not even one client can be served.
pub(super) fn make_room_at_start(clients: u64) -> Option<u64> {
    let possible = make_room(clients);
    if possible == 0 {
        return None;
    }
    if possible < clients {
        warn!(
            "maxclients {clients} needs {} open files, and the system allows {}: maxclients is {possible} now. A higher \
             'ulimit -n' allows more.",
            clients + RESERVED,
            possible + RESERVED
        );
    }
    Some(possible.min(clients))
}

#[cfg(target_os = "linux")]
fn raise(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let old = getrlimit(Resource::Nofile);
    // No limit at all reads as none.
    let Some(current) = old.current.filter(|current| *current < wanted) else {
        return u64::MAX;
    };
    let most = old.maximum.unwrap_or(u64::MAX);
    // Only a privileged program may have more than the maximum, which every other one may reach.
    for limit in [wanted, wanted.min(most)] {
        let new = Rlimit {
            current: Some(limit),
            maximum: Some(most.max(limit)),
        };
        if limit > current && setrlimit(Resource::Nofile, new).is_ok() {
            info!("The number of open files may be {limit} now instead of {current}");
            return limit;
        }
    }
    current
}

#[cfg(not(target_os = "linux"))]
fn raise(_wanted: u64) -> u64 {
    u64::MAX
}
