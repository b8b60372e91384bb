//! Users as rules: the lines of ACL LIST and of ACL files, and what ACL GETUSER tells.

use crate::services::acl::{Rights, Selector, User};

/// The flags of a user, in the order in which they are shown.
pub(super) fn flags(rights: &Rights) -> Vec<&'static str> {
    let mut flags = vec![if rights.enabled { "on" } else { "off" }];
    if rights.no_password {
        flags.push("nopass");
    }
    match rights.sanitize_payload {
        Some(true) => flags.push("sanitize-payload"),
        Some(false) => flags.push("skip-sanitize-payload"),
        None => {}
    }
    flags
}

/// `~* %R~a`.
pub(super) fn keys(selector: &Selector) -> Vec<u8> {
    if selector.all_keys {
        return b"~*".to_vec();
    }
    let rules: Vec<_> = selector.keys.iter().map(|key| key.rule()).collect();
    rules.join(&b' ')
}

/// `&a &b*`.
pub(super) fn channels(selector: &Selector) -> Vec<u8> {
    if selector.all_channels {
        return b"&*".to_vec();
    }
    let rules: Vec<_> = selector
        .channels
        .iter()
        .map(|channel| [b"&", &**channel].concat())
        .collect();
    rules.join(&b' ')
}

/// `-@all +get`.
pub(super) fn commands(selector: &Selector) -> String {
    let mut text = String::from(match selector.future_commands {
        true => "+@all",
        false => "-@all",
    });
    for rule in &selector.rules {
        text.push_str(if rule.allow { " +" } else { " -" });
        text.push_str(&rule.target);
    }
    text
}

fn selector_rules(selector: &Selector) -> Vec<u8> {
    let mut parts = Vec::new();
    if selector.all_keys || !selector.keys.is_empty() {
        parts.push(keys(selector));
    }
    if !selector.all_channels {
        parts.push(b"resetchannels".to_vec());
    }
    if selector.all_channels || !selector.channels.is_empty() {
        parts.push(channels(selector));
    }
    parts.push(commands(selector).into_bytes());
    parts.join(&b' ')
}

/// All that there is to say about a user: the rules that lead from a new user to it.
pub(super) fn rules(rights: &Rights) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = flags(rights)
        .iter()
        .map(|flag| flag.as_bytes().to_vec())
        .collect();
    let passwords = rights.passwords.iter();
    parts.extend(passwords.map(|hash| format!("#{}", hash.digits()).into_bytes()));
    parts.push(selector_rules(&rights.root));
    for selector in &rights.selectors {
        parts.push([b"(", selector_rules(selector).as_slice(), b")"].concat());
    }
    parts.join(&b' ')
}

/// The user's line without the word `user`: its name and its rules.
pub(super) fn line(user: &User) -> Vec<u8> {
    [&*user.name, b" ", &rules(&user.rights())].concat()
}
