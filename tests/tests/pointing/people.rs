//! What people hear who point, roll back and renew: which copy counts, what comes next, and what is likely a slip.

use std::path::Path;

use tests::certificates::Authority;

use super::*;

/// The root that docs/pipeline.md gives: people who decide, and a key of the pipeline that only takes rights away.
#[test]
fn people_roll_back_with_the_root_of_the_pipeline_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/pipeline.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, init) = page.split_once("adamant trust init ").unwrap();
    let (init, _) = init.split_once("```").unwrap();
    let desk = Desk::new();
    desk.keys(&["alice", "bob", "carol", "ci"]);
    desk.good(&format!("trust init {}", init.replace("\\\n", " ").replace("2028-01-01T00:00:00Z", END).trim()));
    desk.good("trust sign root.json --key alice.key --key bob.key");
    fs::create_dir(desk.path("store")).unwrap();
    release(&desk, 1, 2, "alice.key bob.key");
    release(&desk, 2, 1, "ci.key");
    for version in 1..=2 {
        desk.good(&format!("point {AT} --release {version}.json --key ci.key"));
    }
    let back = format!("rollback {AT} --to previous");
    assert_says(&desk.bad(&format!("{back} --key ci.key")), &["leads back to what allows more"]);
    desk.good(&format!("{back} --key alice.key --key bob.key"));
    assert_eq!(serial(&desk), 3);
}

#[test]
fn the_copy_that_counts_and_the_next_step_are_named() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    // Version 2 is wider and got there with one signature; the file has both meanwhile, the store's copy has not.
    let second = release(&desk, 2, 3, "alice.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key --below-threshold"));
    release(&desk, 3, 1, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    desk.good("release sign 2.json --key bob.key");
    let back = format!("rollback {AT} --to {second} --key alice.key");
    let copy = file_of(&second);
    assert_says(&desk.bad(&back), &["release-wider has 1 of 2", "the store's copy counts", &copy, "--release FILE"]);
    desk.good(&format!("release sign {copy} --key bob.key"));

    // It leads back: the pointer needs them too, so publishing it is not what comes next.
    let said = desk.good(&format!("{back} --out back.json"));
    assert_says(&said, &["on the pointer too, which leads back: 1 of 2", "adamant point sign back.json"]);
    let show = "point show back.json --trust-root root.json";
    assert_says(&desk.good(show), &["1 of 1 signature (alice)", "release-wider: 1 of 2 signatures (alice)"]);
    desk.good("point sign back.json --key bob.key");
    assert_says(&desk.good(show), &["release-wider: 2 of 2 signatures"]);
    desk.good(&format!("point publish back.json {AT}"));
}

#[test]
fn an_end_that_cannot_be_and_a_very_long_life_are_told() {
    let desk = office();
    let point = format!("point {AT} --release 1.json --key alice.key");
    let said = desk.bad(&format!("{point} --for 999999w"));
    assert_says(&said, &["--for: expected a span that ends before the year 10000"]);
    let past = "2026-01-01T00:00:00Z";
    assert_says(
        &desk.bad(&format!("{point} --expires {past}")),
        &["in the future, found 2026-01-01T00:00:00Z, ", "ago"],
    );
    assert!(!desk.path("store/channels").exists());
    assert_says(
        &desk.good(&format!("{point} --for 9999w")),
        &["warning: the pointer holds until 22", "longer than a year"],
    );
    let said = desk.good(&format!("{point} --for 365d"));
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_second_channel_of_a_policy_is_noticed() {
    let desk = office();
    let said = desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    assert!(!said.contains("warning"), "{said}");
    let elsewhere = format!("point {} --release 1.json --key alice.key", AT.replace("production", "prodution"));
    let warned = "channel prodution is new, and policy \"tests\" has channel production already";
    // So near a name is a slip until it is said to be meant.
    let (from_file, new) = (format!("{elsewhere} --out pointer.json"), format!("{elsewhere} --new-channel"));
    for line in [&elsewhere, &from_file] {
        assert_says(&desk.bad(line), &["has no channel prodution", "did you mean production?", "--new-channel"]);
    }
    assert_says(&desk.good(&new), &["warning: ", warned, "Was production meant?"]);
    // From then on it is one of two.
    let said = desk.good(&elsewhere);
    assert!(!said.contains("is new"), "{said}");
}

#[test]
fn the_releases_of_a_store_are_listed_and_named_by_a_few_digits() {
    let desk = office();
    assert_says(&desk.good("release list store"), &["no releases in store"]);
    let first = pointer_digest(&desk, "1.json");
    let second = release(&desk, 2, 1, "alice.key");
    for version in 1..=2 {
        desk.good(&format!("point {AT} --release {version}.json --key alice.key"));
    }
    let said = desk.good("release list store --trust-root root.json");
    let of_first = "\n  signed   release-wider: 2 of 2 signatures (alice, bob)\n";
    assert_says(&said, &[&format!("{first}\n  policy   tests version 1\n  parent   none\n  expires  2100-"), of_first]);
    assert_says(&said, &[&format!("{second}\n  policy   tests version 2"), "  channel  production\n"]);
    assert!(said.find(&first) < said.find(&second), "by version: {said}");
    let json: Value =
        serde_json::from_str(&desk.good("release list store --trust-root root.json --format json")).unwrap();
    let entry = &json["releases"][1];
    assert_eq!((entry["version"].as_u64(), entry["channels"][0].as_str()), (Some(2), Some("production")), "{json:#}");
    assert_eq!(entry["roles"][1]["signed"][0], "alice", "{json:#}");

    let digits = &first["sha256:".len()..][..12];
    let back = |to: &str| format!("rollback {AT} --to {to} --key alice.key --key bob.key");
    assert_says(&desk.bad(&back("0123456789ab")), &["begins with 0123456789ab, found 0", "adamant release list store"]);
    assert_eq!(desk.run(&back(&digits[..7])).0, 2);
    assert_says(&desk.good(&back(digits)), &[&first, "serial 3"]);
    // And so wherever a release of the store is named.
    assert_says(&desk.good(&format!("point {AT} --release sha256:{digits} --key alice.key")), &[&first, "serial 4"]);
    let (_, said, _) = desk.run(&format!("diff sha256:{digits} {second} --store store"));
    assert_says(&said, &["narrower: "]);
    let (_, _, said) = desk.run(&format!("diff sha256:0123456789ab {second} --store store"));
    assert_says(&said, &["begins with 0123456789ab, found 0"]);
    fs::write(desk.path(&file_of(&second)), desk.read("1.json")).unwrap();
    assert_says(&desk.bad("release list store"), &["1 release cannot be read"]);
}

#[test]
fn a_mistyped_channel_is_noticed_by_every_command() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let elsewhere = AT.replace("production", "prodution");
    let store = "--store store --channel prodution";
    for line in [
        &format!("rollback --to previous {elsewhere} --key alice.key"),
        &format!("point --release current {elsewhere} --key alice.key"),
        &format!("revoke --agent ci {elsewhere} --key alice.key"),
        &format!("point show {store}"),
        &format!("revoke list {store}"),
        &format!("status http://127.0.0.1:1 {store}"),
        &format!("status http://127.0.0.1:1 {store} --trust-root root.json"),
    ] {
        let said = desk.bad(line);
        assert_says(&said, &["store: the store has no channel prodution", "did you mean production? The store has: "]);
    }
    // A channel begins with its first pointer, so that is no failure of its own, but where the name is likely a slip.
    let live = format!("point live {elsewhere}");
    assert_says(&desk.bad(&live), &["the store has no channel prodution", "did you mean production?", "--new-channel"]);
    for new in [format!("{live} --new-channel"), live.replace("prodution", "staging")] {
        let (code, said, told) = desk.run(&new);
        assert_eq!((code, said.as_str()), (4, "next     2\n"), "{told}");
        assert_says(&told, &["warning: ", "the store has no channel "]);
    }
    assert_says(&desk.good("revoke list --store store --channel production"), &["nothing is revoked on channel"]);
}

/// Gateways that took version 2, and were led back to version 1, ask for the wider role on the pointer at 2 as well.
#[test]
fn the_way_forward_after_a_rollback_is_a_way_back_too() {
    let desk = office();
    let first = pointer_digest(&desk, "1.json");
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let second = release(&desk, 2, 3, "alice.key bob.key");
    // The first time one key is enough, and its renewal is nothing to talk about.
    for release in ["2.json", "current"] {
        let said = desk.good(&format!("point {AT} --release {release} --key alice.key"));
        assert!(!said.contains("leads back") && !said.contains("warning"), "{said}");
    }
    desk.good(&format!("rollback {AT} --to previous --key alice.key"));
    let forward = format!("point {AT} --release 2.json --key alice.key");
    let warned = [
        "warning: the store has version 2 already: gateways that had version 2 or a higher one before",
        "leads back to what allows more, and release-wider has 1 of 2 signatures (alice); 1 more of: bob",
        "several --key",
    ];
    let said = desk.good(&format!("{forward} --out forward.json"));
    assert_says(
        &said,
        &["release-wider on the pointer too, where gateways had version 2", "adamant point sign forward.json"],
    );
    // No other channel can have brought version 2 there: it is refused, unless it is asked for by name.
    let publish = format!("point publish forward.json {AT}");
    assert_says(
        &desk.bad(&publish),
        &[&warned[0]["warning: ".len()..], warned[1], "nothing was published", "--below-threshold"],
    );
    assert_says(&desk.good(&format!("{publish} --below-threshold")), &warned[..2]);
    desk.good(&format!("rollback {AT} --to {first} --key alice.key"));
    let back = format!("rollback {AT} --to {second} --key alice.key");
    assert_says(&desk.bad(&back), &["leads back to what allows more", "several --key", "--below-threshold"]);
    desk.good(&format!("{back} --below-threshold"));
    // Gateways refused that one: the same release with both keys is why both are needed.
    let both = format!("{forward} --key bob.key");
    let why = "release-wider on the pointer too, where gateways had version 2 or a higher one before";
    assert_says(
        &desk.good(&both),
        &["the same release: the channel points at it already", why, "2 of 2 signatures (alice, bob)"],
    );
    let renewal = format!("point {AT} --release current --key alice.key");
    assert_says(&desk.good(&renewal), &["warning: ", "if it leads back to version 2 after a rollback", "will refuse"]);

    desk.good(&format!("rollback {AT} --to {first} --key alice.key"));
    let said = desk.good(&both);
    assert_says(&said, &["where gateways had version 2 or a higher one before: 2 of 2 signatures (alice, bob)"]);
    assert!(!said.contains("warning"), "{said}");

    // Another channel may have: whoever points this one for the first time hears of it alone.
    let staging = AT.replace("production", "staging");
    desk.good(&format!("point {staging} --release 1.json --key alice.key"));
    assert_says(&desk.good(&format!("point {staging} --release 2.json --key alice.key")), &warned);
}

/// A store does not tell what was rolled back: which of two releases a third one follows from, its parent says.
#[test]
fn after_a_rollback_a_release_without_a_parent_leaves_open_what_gateways_run() {
    let desk = office();
    let first = pointer_digest(&desk, "1.json");
    let point = |release: &str| desk.good(&format!("point {AT} --release {release} --key alice.key"));
    point("1.json");
    release(&desk, 2, 1, "alice.key");
    point("2.json");
    desk.good(&format!("rollback {AT} --to {first} --key alice.key --key bob.key"));
    release(&desk, 3, 2, "alice.key");
    point("3.json");
    let (code, said, told) = desk.run(&format!("point live {AT}"));
    assert!(code == 4 && !said.contains("release"), "{said}{told}");
    assert_says(&told, &["(version 3) does not follow from version 2", "not known which of them", "--parent"]);
    let back = desk.bad(&format!("rollback {AT} --to previous --key alice.key"));
    assert_says(&back, &["release-wider has 1 of 2 signatures (alice)", "nothing was published"]);

    desk.good(&format!("release build policy.toml --version 4 --parent {first} --expires {END} -o 4.json"));
    desk.good("release sign 4.json --key alice.key");
    desk.good(&format!("point {AT} --release 4.json --key alice.key --below-threshold"));
    assert_says(&desk.good(&format!("point live {AT}")), &["version  4"]);
}

/// alice's key was replaced: whoever goes on with the old one hears of it, and of what the old one alone signed.
#[test]
fn what_replaced_keys_signed_is_named_with_whose_they_were() {
    let desk = office();
    desk.keys(&["alice-new"]);
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    desk.good(
        "revoke --agent gone --unknown --store store --channel production --trust-root root.json --key alice.key --key bob.key",
    );
    let place = format!("--gateway https://api.example:8443 --gateway-spki {}", "0a".repeat(32));
    desk.good(&format!("profile issue {AT} {place} --key alice.key --key bob.key"));
    desk.good("trust rotate root.json alice=alice-new.pub -o root-2.json");
    desk.good("trust sign root-2.json --after root.json --key alice.key --key bob.key --key alice-new.key");
    let said = desk.good("trust publish root-2.json --trust-root root.json --store store");
    assert_says(
        &said,
        &[
            "warning: the pointer of channel production holds by older keys alone",
            "adamant point --release current --store store --channel production --trust-root root.json --key",
            "warning: the revocation list of channel production holds by older keys alone",
            "adamant revoke --renew --store store --channel production --trust-root root.json --key",
            "release-wider signed this release by older keys alone, and has 1 of 2 signatures (bob); 1 more of: alice",
            "warning: the profile document of sha256:",
            "adamant profile issue --gateway URL --gateway-ca FILE --store store --channel production --trust-root root.json",
        ],
    );
    let live = desk.good(&format!("point live {AT} --format json"));
    assert_says(&live, &["warning: the pointer of channel production holds by older keys alone", "\"outdated\": true"]);
    let shown = desk.good("point show --store store --trust-root root.json");
    assert_says(&shown, &["REFUSED  by every gateway that has trust root 2"]);
    let whose = "alice's until trust root 1; alice's key is now ";
    let renew = format!("point {AT} --release current");
    assert_says(&desk.bad(&format!("{renew} --key alice.key")), &["found ", whose, "would not count"]);
    assert_says(&desk.bad(&format!("revoke --renew {AT} --key alice.key")), &["found ", whose, "would not count"]);
    release(&desk, 2, 3, "alice.key bob.key");
    let said = desk.bad(&format!("point {AT} --release 2.json --key alice-new.key"));
    assert_says(&said, &["release-wider has 1 of 2 signatures (bob)", "is not in trust root 2", whose]);
    release(&desk, 3, 3, "alice.key");
    let said = desk.bad(&format!("point {AT} --release 3.json --key alice-new.key"));
    assert_says(&said, &["found 0", "is not in trust root 2", whose]);

    // What was told to be done is enough.
    desk.good(&format!("release sign {} --key alice-new.key", file_of(&pointer_digest(&desk, "1.json"))));
    desk.good(&format!("{renew} --key alice-new.key"));
    desk.good(&format!("revoke --renew {AT} --key alice-new.key --key bob.key"));
    desk.good(&format!("profile issue {AT} {place} --key alice-new.key --key bob.key"));
    let said = desk.good("trust publish root-2.json --trust-root root.json --store store");
    assert!(!said.contains("warning"), "{said}");
    assert_says(&desk.good(&format!("point live {AT} --format json")), &["\"outdated\": false"]);
    let published = desk.good(&format!("point publish {POINTER} {AT}"));
    assert_says(&published, &["channel production has this pointer already"]);
}

/// A setting that needs the wider role whatever its direction is named as why, also where it leads back.
#[test]
fn a_change_that_is_narrower_and_needs_the_wider_role_says_why() {
    let desk = office();
    let [one, other] = ["one", "other"].map(|name| Authority::new(name).pem);
    let with_ca = |version: u64, pem: &str, signers: &[&str]| {
        desk.write("clients.pem", pem);
        let certificate = "{ certificate = \"spiffe://corp.test/bot\", ca = \"clients\" }";
        let policy = with_routes(2).client_ca("clients", "clients.pem").agent("bot", certificate, &["all"], &[]);
        desk.write("policy.toml", policy.text());
        desk.good(&format!("release build policy.toml --version {version} --expires {END} -o {version}.json"));
        for signer in signers {
            desk.good(&format!("release sign {version}.json --key {signer}.key"));
        }
    };
    with_ca(2, &format!("{one}{other}"), &["alice", "bob"]);
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    with_ca(3, &one, &["alice"]);
    let why = "client-ca clients changes, which needs it whatever its direction";
    let (code, said, told) = desk.run(&format!("point {AT} --release 3.json --key alice.key"));
    let needs = format!("release-wider, because {why}: 1 of 2 signatures");
    assert_says(&said, &["change   narrower", &needs]);
    assert_says(&told, &["release-wider has 1 of 2", why, "nothing was published"]);
    assert_eq!(code, 1, "{said}{told}");
    desk.good("release sign 3.json --key bob.key");
    desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    desk.good(&format!("rollback {AT} --to previous --key alice.key --key bob.key"));
    assert_says(
        &desk.bad(&format!("point {AT} --release 3.json --key alice.key")),
        &[
            "leads back to version 3, and client-ca clients changes, which needs it whatever its direction",
            "release-wider has 1 of 2",
        ],
    );
    desk.write("gateway.toml", "[gateway]\npolicy = \"tests\"\n");
    for (file, parts) in [
        ("policy.toml", ["expected a release, found a policy source", "adamant release build"]),
        ("gateway.toml", ["expected a release, found a gateway's configuration", "is it the right file?"]),
    ] {
        assert_says(&desk.bad(&format!("point {AT} --release {file} --key alice.key")), &parts);
    }
}
