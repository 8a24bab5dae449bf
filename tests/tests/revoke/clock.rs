//! Whoever revokes by a clock that is behind revokes no less for that.

use std::process::Command;

use tests::faketime;
use tests::store::payload_of;

use super::*;

#[test]
fn a_clock_that_is_behind_is_told_and_revokes_no_less() {
    let Some(library) = faketime::library() else { return };
    let stage = Stage::new();
    stage.revoke(&["--agent", "other"]);
    let before: Value = serde_json::from_slice(&payload_of(&fs::read(stage.list_path()).unwrap())).unwrap();
    let said = {
        let place = ["revoke", "--store", "store", "--channel", "production", "--trust-root", "root.json"];
        let subject = ["--subject", "corp/token-bot", "--key", "1.key", "--format", "json"];
        let mut command = Command::new(gateway::binary());
        command.args([&place[..], &subject].concat()).current_dir(stage.world.home());
        command.env("XDG_STATE_HOME", stage.world.path(".state"));
        command.env("LD_PRELOAD", library).env("FAKETIME", "-10m").output().unwrap()
    };
    let (out, told) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{told}");
    assert!(told.contains("what the channel has was signed at") && told.contains("set the clock"), "{told}");
    let list: Value = serde_json::from_str(&out).unwrap();
    let counted = list["added"][0]["issued_before"].as_str().unwrap_or_else(|| panic!("{list}"));
    assert!(counted > before["issued"].as_str().unwrap(), "{counted} after {before}");
    assert!(list["issued"].as_str().unwrap() < before["issued"].as_str().unwrap(), "the clock is behind: {list}");
}
