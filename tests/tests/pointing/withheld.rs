//! Somebody who can write to the store takes the newest trust root out of it.

use std::fs;

use super::{AT, office};
use tests::desk::{Desk, END, assert_says};

/// A channel under root 2: bob's key was replaced by carol's.
fn replaced() -> Desk {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    desk.good("trust rotate root.json bob=carol.pub -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key --key bob.key --key carol.key");
    desk.good("trust publish root-2.json --trust-root root.json --store store");
    desk
}

#[test]
fn a_trust_root_that_was_seen_and_is_gone_is_asked_for() {
    let desk = replaced();
    let renew = format!("point {AT} --release current --key alice.key");
    let revoke = format!("revoke {AT} --agent bot --unknown --key alice.key --key carol.key");
    desk.good(&renew);
    fs::rename(desk.path("store/roots/2.json"), desk.path("gone.json")).unwrap();
    let pointer = desk.read(super::POINTER);
    for line in [&renew, &revoke, &format!("profile show {AT}")] {
        let said = desk.bad(line);
        assert_says(&said, &["does not show trust root version 2, which was seen from here", "adamant trust publish"]);
    }
    assert_eq!(desk.read(super::POINTER), pointer);
    // What is said there helps: a copy is kept here.
    let said = desk.bad(&renew);
    let copy = said.split("seen from here (").nth(1).unwrap().split(')').next().unwrap();
    desk.good(&format!("trust publish {copy} --trust-root root.json --store store"));
    desk.good(&renew);
    // Who has seen nothing can say nothing.
    fs::remove_file(desk.path("store/roots/2.json")).unwrap();
    desk.good(&format!("{renew} --memory nothing"));
}

#[test]
fn what_held_by_a_root_before_is_remembered_by_who_names_the_newest() {
    let desk = replaced();
    let list = |at: &str, agent: &str| format!("revoke {at} --agent {agent} --unknown --key alice.key --key carol.key");
    desk.good(&list(AT, "one"));
    let first = desk.read("store/channels/production/revocations.json");
    desk.good(&list(AT, "two"));
    desk.good("trust renew root-2.json --threshold pointer=2 -o root-3.json");
    desk.good("trust sign root-3.json --after root-2.json --key alice.key --key carol.key");
    desk.good("trust publish root-3.json --trust-root root.json --store store");
    // Whoever looks at the store sees what follows what.
    desk.bad(&format!("profile show {AT}"));
    // Root 3 is what is placed on machines by now; nobody issued a list under it yet.
    desk.write("store/channels/production/revocations.json", first);
    let at = AT.replace("root.json", "root-3.json");
    assert_says(&desk.good(&list(&at, "three")), &["the store has an older revocation list"]);
    let shown = desk.good(&format!("revoke list {at}"));
    assert_says(&shown, &["one", "two", "three"]);
}

/// The same people sign another chain: its roots are not taken for successors of this one.
#[test]
fn roots_of_another_chain_are_not_asked_for() {
    let desk = replaced();
    desk.good(&format!("point {AT} --release current --key alice.key"));
    desk.good(&format!(
        "trust init --key alice=alice.pub --key bob=bob.pub --threshold 2 --role release-narrower=2 --role pointer=1 \
         --expires {END} -o other.json"
    ));
    desk.good("trust sign other.json --key alice.key --key bob.key");
    fs::create_dir(desk.path("other")).unwrap();
    let other = AT.replace("root.json", "other.json").replace("store store", "store other");
    desk.good(&format!("point {other} --release 1.json --key alice.key"));
    desk.good(&format!("point {other} --release current --key alice.key"));
}
