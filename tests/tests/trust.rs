//! Trust roots over their life: made, signed, changed, gathered, verified as successors, and put into a store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::desk::{Desk, END, assert_says};

/// alice, bob and carol, two of whom must sign; root.json holds.
fn office() -> Desk {
    let desk = Desk::new();
    desk.keys(&["alice", "bob", "carol", "dave"]);
    desk.good(&format!(
        "trust init --key alice=alice.pub --key bob=bob.pub --key carol=carol.pub --threshold 2 --expires {END} -o root.json"
    ));
    desk.good("trust sign root.json --key alice.key --key bob.key");
    desk
}

fn payload(desk: &Desk, file: &str) -> Value {
    let envelope: Value = serde_json::from_slice(&desk.read(file)).unwrap();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_key_is_added_by_both_thresholds_and_the_old_root_is_not_touched() {
    let desk = office();
    let before = desk.read("root.json");
    let said = desk.good(
        "trust add root.json --key dave=dave.pub --role pointer,root --threshold pointer=1 --threshold root=3 -o root-2.json",
    );
    assert_says(
        &said,
        &[
            "wrote root-2.json: trust root version 2",
            "+ dave, key ",
            "in root, pointer",
            "threshold of root: 2 → 3",
            "of version 1:  0 of 2 signatures; 2 more of: ",
            "of version 2:  0 of 3 signatures; 3 more of: ",
            "next: adamant trust sign root-2.json --after root.json",
        ],
    );
    assert_eq!(desk.read("root.json"), before);
    assert_eq!(payload(&desk, "root-2.json")["version"], 2);

    assert_says(&desk.bad("trust verify root-2.json --after root.json"), &["does not hold", "2 signatures", "found 0"]);
    let said = desk.good("trust sign root-2.json --after root.json --key alice.key");
    assert_says(&said, &["trust root sha256:", "version 2", "of version 1:  1 of 2 signatures (alice); 1 more of: "]);
    // The new one counts for version 2 alone.
    let said = desk.good("trust sign root-2.json --after root.json --key dave.key");
    assert_says(&said, &["of version 1:  1 of 2", "of version 2:  2 of 3"]);
    assert_says(&desk.bad("trust verify root-2.json --after root.json"), &["the one before", "found 1 (alice)"]);
    desk.good("trust sign root-2.json --key bob.key --detached -o bob.sig");
    let said = desk.good("trust merge root-2.json bob.sig");
    assert_says(&said, &["3 signatures, 1 new", "of version 2:  3 of 3 signatures"]);
    assert_says(&desk.good("trust verify root-2.json --after root.json"), &["verified trust root", "holds: "]);
    let shown = desk.good("trust show root-2.json --after root.json");
    assert_says(&shown, &["changes since version 1", "+ dave", "holds: enough root keys of version 1 and of its own"]);
}

#[test]
fn the_old_keys_alone_and_the_new_keys_alone_make_no_successor() {
    let desk = office();
    // Two of three in each, with one key in common.
    desk.keys(&["erin"]);
    desk.good("trust rotate root.json alice=dave.pub bob=erin.pub -o root-2.json");
    for (signers, why) in [
        ("--key dave.key --key erin.key", &["the one before", "found 0"][..]),
        ("--key alice.key --key bob.key", &["its own threshold", "found 0"]),
        ("--key carol.key --key dave.key", &["the one before", "found 1 (carol)"]),
        ("--key carol.key --key alice.key", &["its own threshold", "found 1 (carol)"]),
    ] {
        desk.good(&format!("trust sign root-2.json --after root.json {signers} -o tried.json --force"));
        assert_says(&desk.bad("trust verify tried.json --after root.json"), why);
    }
    desk.good("trust sign root-2.json --after root.json --key carol.key --key alice.key --key erin.key");
    desk.good("trust verify root-2.json --after root.json");
}

#[test]
fn what_would_be_unusable_is_refused_with_what_to_do() {
    let desk = office();
    for (line, parts) in [
        (
            "remove root.json --owner alice --owner bob -o x.json",
            &["threshold of 2 with 1 key", "--threshold root=1"][..],
        ),
        ("remove root.json --owner alice --owner bob --owner carol -o x.json", &["with 0 keys", "add one"]),
        ("remove root.json --owner mallory -o x.json", &["(alice, bob, carol)", "mallory", "trust show"]),
        ("remove root.json --key 0123456789abcdef -o x.json", &["0123456789abcdef", "trust show"]),
        ("remove root.json --key 0123 -o x.json", &["12 digits"]),
        ("renew root.json --threshold pointer=4 -o x.json", &["pointer", "threshold of 4 with 3 keys", "pointer=3"]),
        ("renew root.json --threshold pointer=0 -o x.json", &["pointer", "at least 1"]),
        ("renew root.json --threshold release-narrower=3 -o x.json", &["narrower ≤ release-wider ≤ root", "hint"]),
        ("renew root.json --threshold root=1 -o x.json", &["narrower ≤ release-wider ≤ root", "hint"]),
        ("renew root.json --threshold root=2 -o x.json", &["nothing would change"]),
        ("renew root.json -o x.json", &["--expires or --threshold"]),
        ("renew root.json --expires 2001-01-01T00:00:00Z -o x.json", &["in the future", "2001"]),
        ("add root.json --key mallory=alice.pub --role pointer -o x.json", &["found the one of alice"]),
        ("add root.json --key alice=alice.pub --role pointer -o x.json", &["nothing would change"]),
        ("add root.json --key dave=missing.pub --role pointer -o x.json", &["missing.pub"]),
        ("rotate root.json alice=bob.pub -o x.json", &["found the one of bob"]),
        ("rotate root.json dave=dave.pub -o x.json", &["(alice, bob, carol)", "dave"]),
        ("renew root.json --threshold root=3 -o root.json", &["exists already"]),
        ("renew root.json --threshold root=3 -o root.json --force", &["version N stays as it is"]),
    ] {
        assert_says(&desk.bad(&format!("trust {line}")), parts);
        assert!(!desk.path("x.json").exists(), "{line}");
    }
    for line in ["add root.json --key dave=dave.pub --role admin -o x.json", "remove root.json -o x.json"] {
        let (code, _, said) = desk.run(&format!("trust {line}"));
        assert!(code == 2 && said.contains("error"), "{line}: {said}");
    }
    // A root that nobody signed has no successor.
    desk.good(&format!("trust init --key alice=alice.pub --threshold 1 --expires {END} -o draft.json"));
    assert_says(
        &desk.bad("trust renew draft.json --expires 2099-01-01T00:00:00Z -o x.json"),
        &["draft.json", "found 0"],
    );
}

#[test]
fn a_key_that_would_not_count_does_not_sign() {
    let desk = office();
    desk.good("trust remove root.json --owner carol -o root-2.json");
    let before = desk.read("root-2.json");
    let said = desk.bad("trust sign root.json --key dave.key");
    assert_says(
        &said,
        &["root role of trust root version 1", "not in the trust root", "would not count", "alice", "bob", "carol"],
    );
    // carol's word counts as one of version 1; without that root nobody can tell.
    assert_says(&desk.bad("trust sign root-2.json --key carol.key"), &["would not count", "--after ROOT-1"]);
    assert_says(
        &desk.bad("trust sign root-2.json --after root.json --key dave.key"),
        &["version 1 or 2", "not in the trust root"],
    );
    assert_says(
        &desk.bad("trust sign root-2.json --after root.json --key alice.key --key dave.key"),
        &["would not count"],
    );
    assert_eq!(desk.read("root-2.json"), before);
    desk.good("trust sign root-2.json --after root.json --key carol.key");
    // In the root, but in another role.
    desk.good(&format!(
        "trust init --key alice=alice.pub --key bob=bob.pub --threshold 1 --role root=1:alice --expires {END} -o other.json"
    ));
    assert_says(&desk.bad("trust sign other.json --key bob.key"), &["of bob, in other roles alone", "let sign: alice"]);
    assert_says(
        &desk.bad("trust sign root-2.json --after root-2.json --key alice.key"),
        &["expected version 1", "found 2"],
    );
}

/// The key of a machine, named for one thing, is not to make the next root by the way.
#[test]
fn who_is_named_for_one_thing_and_gets_more_is_told() {
    let desk = office();
    desk.keys(&["ci"]);
    let keys = "--key alice=alice.pub --key bob=bob.pub --key ci=ci.pub --threshold 2";
    let init = |roles: &str| desk.good(&format!("trust init {keys} {roles} --expires {END} -o machine.json --force"));
    for (roles, of) in
        [("--role keys=1:ci", "ci, named for keys, may also sign "), ("--role pointer=1:ci", "named for pointer")]
    {
        let said = init(roles);
        assert_says(&said, &["warning: ", of, "root, ", "release-wider", "--role root=2:alice,bob", "trust add"]);
    }
    let people = "--role root=2:alice,bob --role release-wider=2:alice,bob";
    let others = "--role release-narrower=2:alice,bob --role pointer=2:alice,bob --role revocation=2:alice,bob";
    assert_says(
        &init(&format!("--role keys=1:ci {people}")),
        &["may also sign release-narrower, pointer, revocation:"],
    );
    for roles in [&format!("--role keys=1:ci {people} {others}"), "--role root=2:alice,bob", "--role keys=1"] {
        let said = init(roles);
        assert!(!said.contains("may also sign"), "{roles}: {said}");
    }
}

/// A threshold counts keys: nobody may stand for two people.
#[test]
fn one_person_is_one_person() {
    let desk = office();
    let init = |keys: &str| format!("trust init {keys} --expires {END} -o x.json");
    let twice = "--key alice=alice.pub --key alice=bob.pub";
    assert_says(&desk.bad(&init(&format!("{twice} --threshold 2"))), &["\"alice\"", "several", "sign for two"]);
    assert_says(
        &desk.bad(&init("--key alice=alice.pub --key bob=alice.pub --threshold 2")),
        &["alice and bob have the same key", "adamant key signer"],
    );
    assert_says(
        &desk.bad("trust add root.json --key alice=dave.pub --role root -o x.json"),
        &["role root", "\"alice\"", "trust rotate"],
    );
    assert!(!desk.path("x.json").exists());
    // Where one signature is enough a second key of hers is a spare; it does not become a second person later.
    desk.good(&init(&format!("{twice} --threshold 1")));
    desk.good("trust sign x.json --key alice.key");
    assert_says(
        &desk.bad("trust renew x.json --threshold root=2 -o y.json"),
        &["role root asks for 2 signatures", "\"alice\""],
    );
}

#[test]
fn what_was_given_in_place_of_a_file_is_not_shown_and_a_public_half_does_not_sign() {
    let desk = office();
    let said = desk.bad("trust sign root.json --key alice.pub");
    assert_says(&said, &["alice.pub", "a public half alone"]);
    assert!(!said.contains("chmod"), "{said}");
    let secret = "correct-horse-battery";
    let said = desk.bad(&format!("key signer --out new.key --passphrase-file {secret}"));
    assert!(said.contains("--passphrase-file") && !said.contains(secret), "{said}");
    let key = "transit:https://127.0.0.1:1/transit/keys/alice";
    let said = desk.bad(&format!("trust sign root.json --token-file {secret} --key {key}"));
    assert!(said.contains("--token-file") && !said.contains(secret), "{said}");
    let said = desk.bad("trust sign missing.json --key alice.key");
    assert!(said.contains("check the path") && !said.contains("its directory must exist"), "{said}");
}

/// Signatures that are there and do not count: foreign, twice, over something else.
#[test]
fn forged_and_misplaced_signatures_make_no_successor() {
    let desk = office();
    desk.good("trust rotate root.json carol=dave.pub -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key");
    let good: Value = serde_json::from_slice(&desk.read("root-2.json")).unwrap();
    let of_alice = good["signatures"][0].clone();
    let of_root_1: Value = serde_json::from_slice(&desk.read("root.json")).unwrap();
    let id_of = |name: &str| {
        let shown = desk.good("trust show root.json");
        let (_, rest) = shown.split_once(&format!("  {name}\n")).unwrap();
        rest.split("id ").nth(1).unwrap().lines().next().unwrap().to_owned()
    };
    let under = |id: &str, signature: &Value| json!({ "keyid": id, "sig": signature["sig"] });
    for (what, more) in [
        ("alice twice", of_alice.clone()),
        ("alice's under bob's name", under(&id_of("bob"), &of_alice)),
        ("over version 1", of_root_1["signatures"][0].clone()),
        ("over version 1, the other", of_root_1["signatures"][1].clone()),
        ("of nobody", json!({ "keyid": "0".repeat(64), "sig": STANDARD.encode([0_u8; 64]) })),
    ] {
        let mut forged = good.clone();
        forged["signatures"].as_array_mut().unwrap().push(more);
        desk.write("forged.json", forged.to_string());
        let said = desk.bad("trust verify forged.json --after root.json");
        assert_says(&said, &["found 1 (alice)"]);
        assert_says(&desk.bad("trust publish forged.json --trust-root root.json --store ."), &["found 1 (alice)"]);
        assert!(!desk.path("roots").exists(), "{what}");
    }
    // Another kind of file, a torn one, and a successor of something else.
    desk.good("trust sign root-2.json --after root.json --key bob.key --key dave.key");
    desk.good("trust verify root-2.json --after root.json");
    let whole = desk.read("root-2.json");
    for length in [0, 1, whole.len() / 2, whole.len() - 3] {
        desk.write("torn.json", &whole[..length]);
        assert_says(&desk.bad("trust verify torn.json --after root.json"), &["torn.json", "DSSE envelope"]);
    }
    // A flipped bit: refused, or (in the name of a key that is not needed, or in white space) the same root.
    let digest = |said: &str| said.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    let good = digest(&desk.good("trust verify root-2.json --after root.json"));
    for at in (0..whole.len() - 1).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        desk.write("flipped.json", &flipped);
        let (code, said, told) = desk.run("trust verify flipped.json --after root.json");
        assert!(
            code == 1 && told.contains("flipped.json") || code == 0 && digest(&said) == good,
            "byte {at}: {said}{told}"
        );
    }
    desk.write("kind.json", String::from_utf8(whole).unwrap().replace("trust-root.v1", "pointer.v1"));
    assert_says(&desk.bad("trust verify kind.json --after root.json"), &["expected a trust root, found a pointer"]);
    assert_says(&desk.bad("trust verify root.json --after root-2.json"), &["expected trust root version 3, found 1"]);
}

#[test]
fn successors_go_into_the_store_in_turn_and_are_not_exchanged() {
    let desk = office();
    fs::create_dir(desk.path("store")).unwrap();
    let publish = |file: &str| format!("trust publish {file} --trust-root root.json --store store");
    let all = "--key alice.key --key bob.key --key carol.key";
    desk.good("trust renew root.json --expires 2099-01-01T00:00:00Z -o root-2.json");
    assert_says(&desk.bad(&publish("root.json")), &["after 1", "found 1"]);
    assert_says(&desk.bad(&publish("root-2.json")), &["the one before", "found 0"]);
    desk.good("trust sign root-2.json --key alice.key --key bob.key");
    desk.good("trust rotate root-2.json carol=dave.pub -o root-3.json");
    desk.good("trust sign root-3.json --after root-2.json --key alice.key --key bob.key");
    assert_says(&desk.bad(&publish("root-3.json")), &["expected version 2", "publish version 2 first"]);
    assert_eq!(desk.all("store"), [], "a refusal writes nothing");
    assert_says(&desk.good(&publish("root-2.json")), &["wrote store/roots/2.json"]);
    assert_says(&desk.good(&publish("root-3.json")), &["wrote store/roots/3.json", "gateways with version 2"]);
    assert_eq!((desk.read("store/roots/2.json"), desk.mode("store/roots/2.json")), (desk.read("root-2.json"), 0o644));
    // The same version with other content, well signed: a second truth.
    desk.good("trust renew root.json --threshold root=3 -o other-2.json");
    desk.good(&format!("trust sign other-2.json {all}"));
    assert_says(&desk.bad(&publish("other-2.json")), &["the store has another version 2", "next version is 3"]);
    assert_eq!(desk.read("store/roots/2.json"), desk.read("root-2.json"));
    // A link in the store leads nowhere.
    fs::remove_dir_all(desk.path("store/roots")).unwrap();
    fs::create_dir(desk.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(desk.path("elsewhere"), desk.path("store/roots")).unwrap();
    assert_says(&desk.bad(&publish("root-2.json")), &["symbolic link"]);
    assert_eq!(desk.all("elsewhere"), []);
}

#[test]
fn a_lost_key_and_a_person_who_leaves() {
    let desk = office();
    // carol's key is lost: the other two give her a new one.
    desk.good("trust rotate root.json carol=dave.pub --expires 2099-01-01T00:00:00Z -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key --key bob.key");
    let shown = desk.good("trust show root-2.json --after root.json");
    assert_says(&shown, &["- carol, key ", "+ carol, key ", "holds: "]);
    // bob leaves; what he signs from then on counts for nothing new.
    desk.good("trust remove root-2.json --owner bob -o root-3.json");
    desk.good("trust sign root-3.json --after root-2.json --key alice.key --key dave.key");
    assert_says(&desk.good("trust show root-3.json --after root-2.json"), &["- bob, key ", "2 of 2: alice, carol"]);
    desk.good("trust renew root-3.json --expires 2098-01-01T00:00:00Z -o root-4.json");
    assert_says(&desk.bad("trust sign root-4.json --after root-3.json --key bob.key"), &["not in the trust root"]);
}

#[test]
fn an_api_key_and_what_the_policy_gets_can_be_kept_apart() {
    let desk = Desk::new();
    let (code, toml, told) = desk.run("key new --id reports-1 --expires 2099-01-01T00:00:00Z --out reports-1.key");
    assert_eq!(code, 0, "{told}");
    let key = String::from_utf8(desk.read("reports-1.key")).unwrap();
    assert!(key.starts_with("adm_reports-1_") && key.lines().count() == 1, "a key alone");
    assert_eq!(desk.mode("reports-1.key"), 0o600);
    let parsed: toml::Value = toml::from_str(&toml).unwrap();
    assert_eq!(parsed["api_key"][0]["id"].as_str(), Some("reports-1"));
    assert!(!toml.contains(key.trim()) && !told.contains(key.trim()), "the key is in the file alone");
    assert_says(&desk.bad("key new --id reports-1 --out reports-1.key"), &["exists already", "--force"]);
    assert!(told.contains("what follows goes into the policy\n"), "{told}");
    let (_, _, told) = desk.run("key new --id reports-1 --moving --out next.key");
    assert_says(&told, &["goes into the policy, unless that declares the id already"]);
}
