//! Each policy has channels of its own: nothing that people do by mistake gives one of them a pointer of another policy, and
//! where one is there, it can be replaced.

use tests::policy::open_to_all;

use super::*;

/// Builds `others.json`, of another policy than the rest.
fn others(desk: &Desk) {
    let text = open_to_all("127.0.0.1:9".parse().unwrap()).text().replace("\"tests\"", "\"others\"");
    desk.write("others.toml", text);
    desk.good(&format!("release build others.toml --version 2 --expires {END} -o others.json"));
    desk.good("release sign others.json --key alice.key --key bob.key");
}

/// A pointer of the other policy from a store of its own, with a channel of the same name.
fn pointer_of_others(desk: &Desk) -> Vec<u8> {
    others(desk);
    fs::create_dir(desk.path("elsewhere")).unwrap();
    let at = AT.replace("--store store", "--store elsewhere");
    desk.good(&format!("point {at} --release others.json --serial 7 --key alice.key"));
    desk.read("elsewhere/channels/production/pointer.json")
}

#[test]
fn another_policy_needs_another_channel() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    others(&desk);
    let said = desk.bad(&format!("point {AT} --release others.json --key alice.key"));
    assert_says(&said, &["is of policy \"tests\"", "\"others\"", "--channel"]);
    let said = desk.bad(&format!("point {AT} --release others.json --key alice.key --serial 9"));
    assert_says(&said, &["is of policy \"tests\"", "\"others\"", "nothing was published"]);
    desk.good(&format!("point {} --release others.json --key alice.key", AT.replace("production", "others")));
    assert_says(&desk.good("point show --store store"), &["channel others", "channel production"]);
    assert_says(&desk.good("point show --store store --channel others"), &["policy   others"]);
}

#[test]
fn a_pointer_of_another_policy_is_not_published() {
    let desk = office();
    desk.write("others.pointer", pointer_of_others(&desk));
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let before = desk.all("store");
    let said = desk.bad(&format!("point publish others.pointer {AT} --release others.json"));
    assert_says(
        &said,
        &["others.pointer: channel production is of policy \"tests\", the pointer is of \"others\"", "--other-policy"],
    );
    assert_eq!(desk.all("store"), before);

    // Changed on its way to whoever signs it, who is shown that.
    release(&desk, 2, 1, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key --out changed.json"));
    let mut changed: Value = serde_json::from_slice(&desk.read("changed.json")).unwrap();
    let payload = pointer(&desk, "changed.json").to_string().replace("\"tests\"", "\"others\"");
    changed["payload"] = STANDARD.encode(payload).into();
    changed["signatures"] = serde_json::json!([]);
    desk.write("changed.json", changed.to_string());
    let said = desk.good("point sign changed.json --key alice.key");
    assert_says(&said, &["policy others, channel production runs sha256:"]);
    let publish = format!("point publish changed.json {AT} --release 2.json");
    assert_says(&desk.bad(&publish), &["the pointer is of \"others\"", "nothing was published"]);
    assert_eq!(desk.all("store"), before);
    // Nor where nothing tells what the channel is of, or that is meant.
    let mismatch = "the pointer is of policy \"others\", and its release of \"tests\"; nothing was published";
    assert_says(&desk.bad(&format!("{publish} --other-policy")), &[mismatch]);
    assert_eq!(desk.all("store"), before);
    fs::remove_dir_all(desk.path("store/channels")).unwrap();
    assert_says(&desk.bad(&publish), &[mismatch]);
    assert!(!desk.path(POINTER).exists());
}

#[test]
fn a_pointer_of_another_policy_is_replaced_where_that_is_meant() {
    let desk = office();
    desk.good(&format!("point {AT} --release 1.json --key alice.key"));
    let two = release(&desk, 2, 1, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 2.json --key alice.key"));
    let wrong = pointer_of_others(&desk);
    desk.write(POINTER, &wrong);
    desk.write(&file_of(pointer(&desk, POINTER)["release"].as_str().unwrap()), desk.read("others.json"));
    let said = desk.bad(&format!("point {AT} --release 2.json --key alice.key --serial 3"));
    assert_says(&said, &["is of policy \"others\", the release is of \"tests\"", "--other-policy", "--serial"]);
    let said = desk.bad(&format!("point {AT} --release 2.json --key alice.key --other-policy"));
    assert_says(&said, &["is not believed: it is of policy \"others\"", "--serial above"]);
    assert_eq!(desk.read(POINTER), wrong);

    // No gateway has taken the wrong one, whatever its serial.
    let replaced =
        "warning: the pointer of channel production is not believed and is replaced: it is of policy \"others\"";
    let said = desk.good(&format!("point {AT} --release {two} --key alice.key --other-policy --serial 3"));
    assert_says(&said, &[replaced, "serial 3"]);
    assert_eq!(pointer(&desk, POINTER)["policy_name"], "tests");
    assert_says(&desk.good(&format!("point {AT} --release current --key alice.key")), &["serial 4"]);
    desk.write(POINTER, &wrong);
    let said = desk.good(&format!("rollback {AT} --to {two} --key alice.key --other-policy --serial 5"));
    assert_says(&said, &[replaced, "serial 5"]);
    // By several people.
    desk.write(POINTER, &wrong);
    let line = format!("point {AT} --release {two} --key alice.key --other-policy --serial 6 --out back.json");
    desk.good(&line);
    let publish = format!("point publish back.json {AT}");
    assert_says(&desk.bad(&publish), &["is of policy \"others\", the pointer is of \"tests\"", "--other-policy"]);
    assert_says(&desk.good(&format!("{publish} --other-policy")), &[replaced, "serial 6"]);
    assert_eq!(desk.read(POINTER), desk.read("back.json"));
    // Not back behind what gateways may have had, as anywhere else.
    release(&desk, 3, 3, "alice.key bob.key");
    desk.good(&format!("point {AT} --release 3.json --key alice.key"));
    desk.write(POINTER, &wrong);
    let back = format!("point {AT} --release {two} --other-policy --serial 8 --key alice.key");
    assert_says(&desk.bad(&back), &["the store has version 3 already", "release-wider", "nothing was published"]);
    assert_eq!(desk.read(POINTER), wrong);
    assert_says(&desk.good(&format!("{back} --key bob.key")), &[replaced, "serial 8"]);
}
