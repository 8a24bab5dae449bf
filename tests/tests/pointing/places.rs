//! Somebody who may write to the store puts an older profile document, or an older pointer, back: the place that it names is
//! not signed again by whoever names none.

use super::*;

const KEYS: &str = "--key alice.key --key bob.key";

fn issue(host: &str) -> String {
    format!("profile issue {AT} --gateway https://{host}:8443 --gateway-spki {} {KEYS}", "0a".repeat(32))
}

/// Where the document of a release stands.
fn place(digest: &str) -> String {
    format!("store/profiles/{}.json", digest.replace(':', "-"))
}

/// Release 1 in force, whose document named a.example, and b.example since; its place, and the first document.
fn moved() -> (Desk, String, Vec<u8>) {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    desk.good(&issue("a.example"));
    let place = place(pointer(&desk, POINTER)["release"].as_str().unwrap());
    let first = desk.read(&place);
    desk.good(&issue("b.example"));
    release(&desk, 2, 1, "alice.key");
    (desk, place, first)
}

#[test]
fn an_older_profile_document_in_the_store_names_no_place() {
    let (desk, place, first) = moved();
    let next = format!("profile issue {AT} --release 2.json {KEYS}");
    let again = format!("profile issue {AT} {KEYS}");
    desk.write(&place, &first);
    for line in [&next, &again, &again] {
        let told =
            ["the store has an older profile document (serial 1, made ", "seen from here has serial 2", "--carry-on"];
        assert_says(&desk.bad(line), &told);
        assert_eq!(desk.read(&place), first);
    }
    let shown = desk.good(&format!("profile show {AT}"));
    assert_says(&shown, &["warning: the store has an older profile document", "a.example"]);
    // What is remembered goes back, and is gone on from.
    let said = desk.bad(&again);
    let (_, after) = said.split_once("profile publish ").unwrap();
    desk.good(&format!("profile publish {} {AT}", after.split_once(' ').unwrap().0));
    let said = desk.good(&again);
    assert!(said.contains("b.example") && said.contains("serial   3") && !said.contains("warning"), "{said}");

    desk.write(&place, &first);
    let said = desk.good(&format!("{next} --carry-on"));
    assert!(said.contains("b.example") && !said.contains("a.example"), "{said}");
    let said = desk.good(&format!("{again} --carry-on"));
    assert_says(&said, &["warning: the store has an older profile document", "b.example", "serial   4"]);
    // A place that is named is meant; its serial goes on from the newest.
    desk.write(&place, &first);
    assert_says(&desk.good(&issue("a.example")), &["warning: the store has an older", "a.example", "serial   5"]);
    fs::remove_file(desk.path(&place)).unwrap();
    assert_says(&desk.bad(&again), &["the store has no profile document any more"]);

    // Where nothing is remembered, the store alone tells, and that is said.
    desk.write(&place, &first);
    let said = desk.good(&format!("{again} --memory nothing --out elsewhere.json"));
    assert_says(&said, &["warning: the place https://a.example:8443 is taken", "nothing is remembered here"]);
}

#[test]
fn an_older_pointer_in_the_store_names_no_place() {
    let (desk, ..) = moved();
    let before = desk.read(POINTER);
    let next = |release: u64| format!("profile issue {AT} --release {release}.json {KEYS}");
    // The same place, for the release to come: nothing to ask about.
    assert!(!desk.good(&next(2)).contains("warning"));
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    desk.good(&issue("c.example"));
    release(&desk, 3, 1, "alice.key");
    desk.write(POINTER, &before);
    let told = ["the store names https://b.example:8443", "seen from here names https://c.example:8443", "--carry-on"];
    assert_says(&desk.bad(&next(3)), &told);
    let said = desk.good(&format!("{} --carry-on", next(3)));
    assert!(said.contains("c.example") && !said.contains("b.example"), "{said}");
}

#[test]
fn a_release_that_ends_before_its_pointer_is_told() {
    let desk = office();
    let (_, _, said) = desk.run(&format!("point {AT} --release 1.json --key alice.key --expires 2199-01-01T00:00:00Z"));
    assert_says(
        &said,
        &[&format!("the release ends at {END} ("), "before the pointer: gateways that have not taken it"],
    );
}
