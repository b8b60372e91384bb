//! Users, rules and refusals.

use proptest::strategy::Strategy;

use super::*;
use crate::commands::testing::Harness;
use crate::reply::Response;

#[test]
fn one_user_and_many_categories() {
    let mut harness = Harness::new();
    assert_eq!(
        harness.run("ACL WHOAMI"),
        Response::Bulk(b"default".to_vec())
    );
    assert_eq!(
        harness.run("ACL USERS"),
        Response::Array(vec![Response::Bulk(b"default".to_vec())])
    );
    assert!(
        matches!(harness.run("ACL CAT"), Response::Array(all) if all.len() == CATEGORIES.len())
    );
    let ping = Response::Bulk(b"ping".to_vec());
    assert!(matches!(harness.run("ACL CAT fast"), Response::Array(all) if all.contains(&ping)));
    assert_eq!(
        harness.run("ACL CAT x"),
        Response::Error("ERR Unknown category 'x'".into())
    );
    assert!(matches!(harness.run("ACL GENPASS 5"), Response::Bulk(text) if text.len() == 2));
    assert!(matches!(harness.run("ACL GENPASS 0"), Response::Error(_)));
}

#[test]
fn entries_use_known_categories() {
    for command in &table().all {
        for name in command.spec.acl.split_whitespace() {
            assert!(
                CATEGORIES.contains(&name),
                "{name} of {}",
                command.full_name
            );
        }
    }
}

/// The line of ACL LIST for a user that these rules made.
fn described(harness: &mut Harness, rules: &str) -> String {
    harness.run("ACL DELUSER u");
    let answer = harness.run(&format!("ACL SETUSER u {rules}"));
    if let Response::Error(text) = answer {
        return text;
    }
    let user = harness.services.acl.user(b"u").expect("it was made");
    String::from_utf8(describe::line(&user)).expect("these rules are text")
}

#[test]
fn rules_are_shown_as_a_real_server_shows_them() {
    let mut harness = Harness::new();
    for (rules, line) in [
        ("off", "u off resetchannels -@all"),
        (
            "+@all -@write +set",
            "u off resetchannels +@all -@write +set",
        ),
        ("-@all +@all -get +get", "u off resetchannels +@all +get"),
        ("+client|id +client", "u off resetchannels -@all +client"),
        (
            "+client -client|id",
            "u off resetchannels -@all +client -client|id",
        ),
        (
            "+select|0 +select|1",
            "u off resetchannels -@all +select|0 +select|1",
        ),
        ("+select|0 -select", "u off resetchannels -@all -select"),
        ("+get +get|x", "u off resetchannels -@all +get"),
        ("+@all +client|id", "u off resetchannels +@all"),
        ("+GET -Set", "u off resetchannels -@all +get"),
        (
            "nocommands +get ~a ~b &c &d %R~x %RW~y %W~y",
            "u off ~a ~b %R~x ~y resetchannels &c &d -@all +get",
        ),
        (
            "+get (+set ~a &b) ( +@all )",
            "u off resetchannels -@all +get (~a resetchannels &b -@all +set) (resetchannels +@all)",
        ),
        (
            "on >a sanitize-payload",
            "u on sanitize-payload #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb resetchannels -@all",
        ),
        (
            "nopass skip-sanitize-payload",
            "u off nopass skip-sanitize-payload resetchannels -@all",
        ),
        ("~a ~* &*", "u off ~* &* -@all"),
        ("%R", "u off %R~ resetchannels -@all"),
        ("%R~a %W~a", "u off ~a resetchannels -@all"),
        (
            "+@all -select +select|0",
            "u off resetchannels +@all -select +select|0",
        ),
    ] {
        assert_eq!(described(&mut harness, rules), line, "{rules}");
    }
}

#[test]
fn rules_that_are_none_are_refused() {
    let mut harness = Harness::new();
    let keys = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
                'resetkeys' to start with an empty list of patterns";
    for (rules, rule, error) in [
        ("~* ~a", "~a", keys),
        (
            "-get|x",
            "-get|x",
            "Unknown command or category name in ACL",
        ),
        (
            "+@nosuch",
            "+@nosuch",
            "Unknown command or category name in ACL",
        ),
        (
            "+client|nosuch",
            "+client|nosuch",
            "Unknown command or category name in ACL",
        ),
        (
            "+get|a|b",
            "+get|a|b",
            "Unknown command or category name in ACL",
        ),
        (
            "+client|id|a",
            "+client|id|a",
            "Allowing first-arg of a subcommand is not supported",
        ),
        ("foo", "foo", "Syntax error"),
        ("%RX~a", "%RX~a", "Syntax error"),
        ("%~", "%~", "Syntax error"),
        (")", ")", "Syntax error"),
        ("(on)", "(on)", "Syntax error"),
        (
            "<x",
            "<x",
            "The password you are trying to remove from the user does not exist",
        ),
        (
            "#xx",
            "#xx",
            "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
        ),
    ] {
        let text = format!("ERR Error in ACL SETUSER modifier '{rule}': {error}");
        assert_eq!(described(&mut harness, rules), text);
        assert!(
            harness.services.acl.user(b"u").is_none(),
            "nothing is half done"
        );
    }
    assert_eq!(
        described(&mut harness, "(+get ~x"),
        "ERR Unmatched parenthesis in acl selector starting at '(+get'."
    );
}

#[test]
fn a_dry_run_tells_what_is_missing() {
    let mut harness = Harness::new();
    harness.run("ACL SETUSER u %R~r* %W~w* &c +@all -client|kill (+get ~other)");
    harness.expect(&[
        ("ACL DRYRUN u GET r", "+OK"),
        ("ACL DRYRUN u GET other", "+OK"),
        (
            "ACL DRYRUN u GET w",
            "\"This user has no permissions to access the 'w' key\"",
        ),
        ("ACL DRYRUN u COPY r w", "+OK"),
        (
            "ACL DRYRUN u COPY w r",
            "\"This user has no permissions to access the 'w' key\"",
        ),
        ("ACL DRYRUN u SET w 1", "+OK"),
        ("ACL DRYRUN u SET w get", "+OK"),
        (
            "ACL DRYRUN u SET w 1 get",
            "\"This user has no permissions to access the 'w' key\"",
        ),
        ("ACL DRYRUN u EXISTS r w", "+OK"),
        (
            "ACL DRYRUN u EXISTS x",
            "\"This user has no permissions to access the 'x' key\"",
        ),
        (
            "ACL DRYRUN u PUBLISH d x",
            "\"This user has no permissions to access the 'd' channel\"",
        ),
        (
            "ACL DRYRUN u SUBSCRIBE c d",
            "\"This user has no permissions to access the 'd' channel\"",
        ),
        ("ACL DRYRUN u UNSUBSCRIBE d", "+OK"),
        (
            "ACL DRYRUN u PSUBSCRIBE c*",
            "\"This user has no permissions to access the 'c*' channel\"",
        ),
        (
            "ACL DRYRUN u CLIENT KILL x",
            "\"This user has no permissions to run the 'client|kill' command\"",
        ),
        (
            "ACL DRYRUN u SET w",
            "-ERR wrong number of arguments for 'set' command",
        ),
        ("ACL DRYRUN u NOSUCH w", "-ERR Command 'NOSUCH' not found"),
        ("ACL DRYRUN v GET w", "-ERR User 'v' not found"),
    ]);
}

#[test]
fn what_is_left_of_a_user_who_is_gone() {
    let mut harness = Harness::new();
    harness
        .services
        .clients
        .add(Arc::clone(&harness.session.info));
    harness.run("ACL SETUSER u on >p ~* +@all");
    harness.run("AUTH u p");
    harness.expect(&[
        ("ACL WHOAMI", "\"u\""),
        (
            "ACL DELUSER default",
            "-ERR The 'default' user cannot be removed",
        ),
        ("ACL DELUSER nobody u", "1"),
    ]);
    assert_eq!(harness.outcome, Some(Outcome::Close));
    assert!(!harness.session.authenticated);
    harness.expect(&[("ACL GETUSER u", "nil"), ("ACL USERS", "[\"default\"]")]);
}

#[test]
fn failed_logins_are_remembered() {
    let mut harness = Harness::new();
    harness.run("ACL SETUSER u on >p");
    harness.run("AUTH u x");
    harness.run("AUTH u y");
    let Response::Array(entries) = harness.run("ACL LOG") else {
        panic!("ACL LOG answers an array");
    };
    let shown = crate::commands::testing::shown(&entries[0]);
    assert!(
        shown.starts_with(
            r#"["count" 2 "reason" "auth" "context" "toplevel" "object" "AUTH" "username" "u""#
        ),
        "{shown}"
    );
    harness.expect(&[
        ("ACL LOG 0", "[]"),
        ("ACL LOG RESET", "+OK"),
        ("ACL LOG", "[]"),
        ("ACL LOG x", "-ERR value is not an integer or out of range"),
        ("ACL LOAD", &format!("-{NO_FILE}")),
    ]);
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let good = b"# users\n\nuser ada on nopass ~a* +@all\n  user bob off (+get ~b) \n";
    let users = file::parse(good, "f", false).expect("the lines are right");
    assert_eq!(users.len(), 2);
    let shown = describe::rules(&users[1].1);
    assert_eq!(
        shown,
        b"off resetchannels -@all (~b resetchannels -@all +get)"
    );
    let bad = b"user ada on\nuser ada off\nada on\nuser x +nosuch\nuser y (+get";
    let error = file::parse(bad, "f", false).expect_err("every line but one is wrong");
    for part in [
        "Duplicate user 'ada' found on line 2",
        "f:3: should start with user keyword",
        "f:4: Unknown command",
        "f:5: Unmatched parenthesis",
        "no change to the previously active ACL rules",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

/// One rule of every kind.
fn any_rule() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        ">a",
        ">b",
        "<a",
        "~a",
        "~b*",
        "%R~a",
        "%W~a",
        "%RW~c",
        "~*",
        "allkeys",
        "resetkeys",
        "&a",
        "&b*",
        "&*",
        "resetchannels",
        "+@all",
        "-@all",
        "+@read",
        "-@read",
        "+@string",
        "-@admin",
        "+get",
        "-get",
        "+client",
        "-client",
        "+client|id",
        "-client|id",
        "+select|0",
        "+select|1",
        "-select",
        "+select",
        "(+get ~x)",
        "(%R~y &z -@all +@read)",
        "clearselectors",
        "reset",
        "skip-sanitize-payload",
    ])
    .prop_map(str::to_owned)
}

proptest::proptest! {
    /// What a user is shown as makes a user with the same rights.
    #[test]
    fn a_line_makes_the_user_that_it_describes(
        given in proptest::collection::vec(any_rule(), 0..12),
    ) {
        let mut rights = rules::new_user(false);
        for rule in &given {
            let before = rights.clone();
            if rules::apply(&mut rights, rule.as_bytes(), false).is_err() {
                rights = before;
            }
        }
        let line = describe::rules(&rights);
        let users = file::parse(&[b"user u ", line.as_slice()].concat(), "f", false).expect("it is a line");
        let again = &users[0].1;
        for (left, right) in rights.all_selectors().zip(again.all_selectors()) {
            for command in 0..table().all.len() {
                for first in [None, Some(&b"0"[..]), Some(b"1")] {
                    proptest::prop_assert_eq!(
                        left.allows_command(command, first),
                        right.allows_command(command, first),
                    );
                }
            }
        }
    }
}
