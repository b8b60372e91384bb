//! Users and the log of refusals.

use super::*;

#[test]
fn users_log_in_with_their_passwords() {
    let acl = Acl::default();
    assert!(!acl.needs_password());
    assert!(acl.authenticate(b"default", b"anything").is_some());
    acl.set_default_password(b"secret");
    assert!(acl.needs_password());
    assert!(acl.authenticate(b"default", b"anything").is_none());
    assert!(acl.authenticate(b"default", b"secret").is_some());
    let mut rights = Rights::nothing();
    rights.add_password(PasswordHash::of(b"pass"));
    acl.set(b"ada", rights.clone());
    assert!(acl.authenticate(b"ada", b"pass").is_none(), "not enabled");
    rights.enabled = true;
    acl.set(b"ada", rights);
    assert!(acl.authenticate(b"ada", b"pass").is_some());
    assert!(acl.authenticate(b"bob", b"pass").is_none());
}

#[test]
fn hashes_are_those_of_everybody() {
    let digits = "d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1";
    assert_eq!(PasswordHash::of(b"pass").digits(), digits);
    assert_eq!(
        PasswordHash::parse(digits.as_bytes()),
        Some(PasswordHash::of(b"pass"))
    );
    for wrong in [&digits[1..], &digits.to_uppercase(), "", &"g".repeat(64)] {
        assert_eq!(PasswordHash::parse(wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn who_is_removed_may_do_nothing() {
    let acl = Acl::default();
    acl.set(b"ada", Rights::everything());
    let ada = acl.user(b"ada").expect("it was made");
    assert!(ada.is_unrestricted());
    assert!(acl.remove(b"default").is_none());
    assert!(
        acl.remove(b"ada")
            .is_some_and(|gone| Arc::ptr_eq(&gone, &ada))
    );
    assert!(!ada.is_unrestricted() && !ada.rights().root.has_command(0));
}

#[test]
fn a_file_takes_the_place_of_all_users() {
    let acl = Acl::default();
    let default = Arc::clone(acl.default_user());
    acl.set(b"ada", Rights::everything());
    let gone = acl.replace(vec![
        (b"bob"[..].into(), Rights::everything()),
        (b"default"[..].into(), Rights::nothing()),
    ]);
    assert_eq!(gone.len(), 1);
    let names: Vec<_> = acl.users().iter().map(|user| user.name.clone()).collect();
    assert_eq!(names, [b"bob"[..].into(), b"default"[..].into()]);
    assert!(Arc::ptr_eq(acl.default_user(), &default) && !default.is_unrestricted());
    acl.replace(Vec::new());
    assert!(
        default.is_unrestricted(),
        "no line: as before any configuration"
    );
}

#[test]
fn commands_are_allowed_one_by_one() {
    let mut selector = Selector::everything();
    selector.set_command(70, false, 100);
    assert!(!selector.all_commands && !selector.has_command(70) && selector.has_command(99));
    selector.set_all_commands(false);
    selector.set_command(70, true, 100);
    assert!(selector.has_command(70) && !selector.has_command(71));
    selector.allow_first_argument(3, b"a");
    assert!(selector.allows_command(3, Some(b"A")) && !selector.allows_command(3, Some(b"b")));
    assert!(!selector.allows_command(3, None) && selector.is_changed_by(3, false));
}

#[test]
fn keys_need_all_of_the_access_in_one_pattern() {
    let pattern = |text: &[u8], read, write| KeyPattern {
        pattern: text.into(),
        access: Access { read, write },
    };
    let mut selector = Selector::default();
    selector.keys = vec![pattern(b"a*", true, false), pattern(b"*b", false, true)];
    let (reads, writes) = (
        Access {
            read: true,
            write: false,
        },
        Access {
            read: false,
            write: true,
        },
    );
    assert!(selector.allows_key(b"a", reads) && !selector.allows_key(b"a", writes));
    assert!(selector.allows_key(b"ab", writes) && !selector.allows_key(b"ab", Access::FULL));
    assert!(
        selector.allows_key(b"a", Access::default()),
        "whatever it allows"
    );
    assert!(!selector.allows_key(b"c", Access::default()));
    assert!(!selector.allows_all_keys(reads));
}

#[test]
fn refusals_alike_are_counted_together() {
    let log = AclLog::default();
    let entry = |object: &[u8], at| LogEntry {
        id: 0,
        count: 0,
        reason: Reason::Key,
        stage: Stage::TopLevel,
        object: object.into(),
        user: b"ada"[..].into(),
        client: String::new(),
        created_ms: at,
        updated_ms: at,
    };
    for (object, at) in [(b"a", 0), (b"b", 1), (b"a", 60_000), (b"a", 130_000)] {
        log.record(entry(object, at));
    }
    let shown: Vec<_> = log
        .newest(9)
        .iter()
        .map(|entry| (entry.id, entry.count, entry.created_ms, entry.updated_ms))
        .collect();
    assert_eq!(
        shown,
        [(2, 1, 130_000, 130_000), (0, 2, 0, 60_000), (1, 1, 1, 1)]
    );
    log.set_max_len(1);
    assert_eq!(log.newest(9).len(), 1);
    log.clear();
    assert!(log.newest(9).is_empty());
}
