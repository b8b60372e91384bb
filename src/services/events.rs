//! What the services make of the configuration and of keyspace events, for every command.

use std::sync::atomic::Ordering;

use super::Services;
use crate::keyspace::{Event, EventClass};

/// What a stranger is told before a server without a password.
const PROTECTED_MODE: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no password \
    is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
    connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
    sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same \
    host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG \
    REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis \
    configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started \
    the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication \
    password for the default user. NOTE: You only need to do one of the above things in order for the server to start \
    accepting connections from the outside.";

impl Services {
    /// Why a new connection is turned away, if it is: too many of them, or a stranger before a server without password.
    #[must_use]
    pub fn refusal(&self, from_outside: bool) -> Option<String> {
        let config = self.config.read();
        if self.clients.len() as u64 >= config.u64("maxclients") {
            return Some("ERR max number of clients reached".to_owned());
        }
        let open = from_outside
            && config.bool("protected-mode")
            && self.acl.default_user().rights().no_password;
        open.then(|| PROTECTED_MODE.to_owned())
    }

    /// Whether somebody wants to know of commands that take less than a millisecond, or of every one that takes some.
    #[must_use]
    pub fn wants_exact_times(&self) -> bool {
        const SHORT_US: i64 = 1000;
        let slower_than = self.slow_log.slower_than_us.load(Ordering::Relaxed);
        (0..SHORT_US).contains(&slower_than)
            || self.latency.threshold_ms.load(Ordering::Relaxed) > 0
    }

    /// Classes of events that somebody may hear.
    #[must_use]
    pub fn wanted_events(&self) -> EventClass {
        let mask = self.event_mask.load(Ordering::Relaxed);
        if mask == 0 || self.channels.is_idle() {
            EventClass::default()
        } else {
            EventClass(mask)
        }
    }

    /// Publishes an event to `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`, as far as wanted.
    pub fn publish_event(&self, event: &Event, now_ms: i64) {
        let mask = EventClass(self.event_mask.load(Ordering::Relaxed));
        if mask.intersects(EventClass::KEYSPACE) {
            let mut channel = format!("__keyspace@{}__:", event.db).into_bytes();
            channel.extend_from_slice(&event.key);
            self.channels
                .publish(&channel, event.name.as_bytes(), now_ms);
        }
        if mask.intersects(EventClass::KEYEVENT) {
            let channel = format!("__keyevent@{}__:{}", event.db, event.name);
            self.channels
                .publish(channel.as_bytes(), &event.key, now_ms);
        }
    }
}
