//! Access control: who may log in, and what each user may do. Users are found by name here; what the rules of ACL SETUSER
//! mean for commands is not known, only their numbers in the command table.

mod log;
mod pattern;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub use log::{AclLog, LogEntry, Reason, Stage};
pub use pattern::{Access, KeyPattern};
pub use user::{CommandRule, PasswordHash, Rights, Selector, User};

/// The name that clients have before they authenticate.
pub const DEFAULT_USER: &[u8] = b"default";

/// Every user, and what was refused lately.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<BTreeMap<Box<[u8]>, Arc<User>>>,
    /// The user of who is not authenticated; it is always there.
    default: Arc<User>,
    /// Held while users change: one ACL SETUSER, DELUSER or LOAD at a time.
    pub changes: Mutex<()>,
    /// ACL LOG.
    pub log: AclLog,
}

impl Default for Acl {
    fn default() -> Self {
        let default = Arc::new(User::new(DEFAULT_USER, Rights::everything()));
        let users = BTreeMap::from([(Box::from(DEFAULT_USER), Arc::clone(&default))]);
        Self {
            users: RwLock::new(users),
            default,
            changes: Mutex::new(()),
            log: AclLog::default(),
        }
    }
}

impl Acl {
    /// The user `default`.
    #[must_use]
    pub const fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// A user by name.
    #[must_use]
    pub fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All users, in order of their names.
    #[must_use]
    pub fn users(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// Gives a user these rights; who is not there yet is made.
    pub fn set(&self, name: &[u8], rights: Rights) {
        let known = self.user(name);
        match known {
            Some(user) => user.set_rights(rights),
            None => {
                let user = Arc::new(User::new(name, rights));
                self.users.write().insert(name.into(), user);
            }
        }
    }

    /// Removes a user, whose sessions may do nothing from now on. The default user stays.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT_USER {
            return None;
        }
        let removed = self.users.write().remove(name);
        if let Some(user) = &removed {
            user.set_rights(Rights::nothing());
        }
        removed
    }

    /// Puts these users in the place of all there are, and returns those who are gone. The default user keeps its
    /// sessions; without a line of its own it may do everything.
    pub fn replace(&self, users: Vec<(Box<[u8]>, Rights)>) -> Vec<Arc<User>> {
        let mut table = BTreeMap::from([(Box::from(DEFAULT_USER), Arc::clone(&self.default))]);
        let mut default = Rights::everything();
        for (name, rights) in users {
            if *name == *DEFAULT_USER {
                default = rights;
            } else {
                let user = Arc::new(User::new(&name, rights));
                table.insert(name, user);
            }
        }
        self.default.set_rights(default);
        let before = std::mem::replace(&mut *self.users.write(), table);
        let gone: Vec<_> = before
            .into_values()
            .filter(|user| !Arc::ptr_eq(user, &self.default))
            .collect();
        for user in &gone {
            user.set_rights(Rights::nothing());
        }
        gone
    }

    /// The user with this name and password, if it may log in.
    #[must_use]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let user = self.user(name)?;
        let rights = user.rights();
        (rights.enabled && (rights.no_password || rights.has_password(password))).then_some(user)
    }

    /// Whether a new connection has to authenticate before it may do anything.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        let rights = self.default.rights();
        !rights.enabled || !rights.no_password
    }

    /// `requirepass`: the default user's only password, or none.
    pub fn set_default_password(&self, password: &[u8]) {
        let mut rights = (*self.default.rights()).clone();
        rights.forget_passwords();
        if password.is_empty() {
            rights.no_password = true;
        } else {
            rights.add_password(PasswordHash::of(password));
        }
        self.default.set_rights(rights);
    }
}

#[cfg(test)]
mod tests;
