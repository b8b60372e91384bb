//! Users of ACL files and of the configuration: their lines read into rights, and written.

use std::path::{Path, PathBuf};

use super::describe;
use super::rules::{apply, is_user_name, merge_selectors, new_user};
use crate::config::{Config, LoadError, read_file};
use crate::services::Services;
use crate::services::acl::Rights;
use crate::value::lossless;
use crate::value::split::split_args;

/// A user as a line describes it.
type Described = (Box<[u8]>, Rights);

/// The rights that rules give to a new user. The error names the rule, where it is one that fails.
fn rights_of(rules: &[&[u8]], all_channels: bool) -> Result<Rights, String> {
    let merged = merge_selectors(rules).map_err(|word| {
        let word = lossless::text(&word);
        format!("Unmatched parenthesis in selector definition. (starting at '{word}')")
    })?;
    let mut rights = new_user(all_channels);
    for rule in &merged {
        apply(&mut rights, rule, all_channels).map_err(|error| error.to_string())?;
    }
    Ok(rights)
}

/// Reads the text of an ACL file. All or nothing: the error lists every line that is wrong, each with its number.
pub(super) fn parse(text: &[u8], path: &str, all_channels: bool) -> Result<Vec<Described>, String> {
    let mut users: Vec<Described> = Vec::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match parse_line(line, all_channels) {
            Ok((name, _)) if users.iter().any(|(known, _)| *known == name) => {
                let name = String::from_utf8_lossy(&name);
                errors.push_str(&format!(
                    "WARNING: Duplicate user '{name}' found on line {}. ",
                    index + 1
                ));
            }
            Ok(user) => users.push(user),
            Err(error) => errors.push_str(&format!("{path}:{}: {error}. ", index + 1)),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

fn parse_line(line: &[u8], all_channels: bool) -> Result<Described, String> {
    let words = split_args(line).ok_or("unbalanced quotes in acl line")?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let (name, rules) = match words.as_slice() {
        [first, name, rules @ ..] if *first == b"user" => (*name, rules),
        _ => return Err("should start with user keyword followed by the username".to_owned()),
    };
    if !is_user_name(name) {
        let name = String::from_utf8_lossy(name);
        return Err(format!("username '{name}' contains invalid characters"));
    }
    Ok((name.into(), rights_of(rules, all_channels)?))
}

/// Where the `aclfile` is, if there is one: relative to `dir`.
pub(super) fn path(config: &Config) -> Option<PathBuf> {
    let path = config.path("aclfile");
    (!path.as_os_str().is_empty()).then(|| config.path("dir").join(path))
}

/// Reads an ACL file.
pub(super) fn read(path: &Path, all_channels: bool) -> Result<Vec<Described>, String> {
    let text = read_file(path).map_err(|error| {
        format!(
            "Error loading ACLs, opening file '{}': {error}",
            path.display()
        )
    })?;
    parse(&text, &path.display().to_string(), all_channels)
}

/// Every user as the text of an ACL file.
pub(super) fn text(services: &Services) -> Vec<u8> {
    let mut text = Vec::new();
    for user in services.acl.users() {
        text.extend_from_slice(b"user ");
        text.extend_from_slice(&describe::line(&user));
        text.push(b'\n');
    }
    text
}

/// Whether `acl-pubsub-default` lets new users use every channel.
pub(super) fn default_channels(config: &Config) -> bool {
    config.word("acl-pubsub-default") == "allchannels"
}

/// Makes the users that the configuration wants: the password of `requirepass`, `user` lines, or the `aclfile`.
///
/// # Errors
///
/// A line or file that cannot be understood, as Redis tells it before it exits.
pub fn load_configured(services: &Services) -> Result<(), String> {
    let config = services.config.read();
    services
        .acl
        .set_default_password(config.text("requirepass"));
    let all_channels = default_channels(&config);
    let Some(file) = path(&config) else {
        for directive in &config.users {
            let refuse = |reason: String| LoadError::to_string(&directive.refuse(reason));
            let words: Vec<&[u8]> = directive.args.iter().map(Vec::as_slice).collect();
            let [name, rules @ ..] = words.as_slice() else {
                continue;
            };
            if !is_user_name(name) {
                return Err(refuse("Spaces not allowed in ACL usernames".to_owned()));
            }
            let rights = rights_of(rules, all_channels).map_err(|error| {
                let name = String::from_utf8_lossy(name);
                refuse(format!("Error in user declaration '{name}': {error}"))
            })?;
            services.acl.set(name, rights);
        }
        return Ok(());
    };
    if !config.users.is_empty() {
        return Err(
            "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This \
             setup is very likely to lead to configuration errors and security holes, please define either an ACL file or \
             declare users directly in your redis.conf, but not both."
                .to_owned(),
        );
    }
    let users = read(&file, all_channels)
        .map_err(|error| format!("Aborting Redis startup because of ACL errors: {error}"))?;
    services.acl.replace(users);
    Ok(())
}
