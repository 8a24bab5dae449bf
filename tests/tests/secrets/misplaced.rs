//! A secret in `gateway.toml` itself, where it has no place.

use super::*;

const GATEWAY: &str = "[gateway]\npolicy = \"tests\"\nstate = \"state\"\ntrust_root = \"root.json\"\n";
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n";

/// Refused, by whatever command reads the file, and in nothing that is said of it.
#[test]
fn a_secret_under_a_key_that_there_is_not_is_shown_nowhere() {
    let desk = desk();
    let of_store = |store: &str| format!("{GATEWAY}channel = \"c\"\nstore = {store}\n{LISTENER}");
    let of = |more: &str| format!("{GATEWAY}release = \"release.json\"\n{LISTENER}{more}\n");
    let origin = |from: &str| of(&format!("[[origin_credential]]\nname = \"k\"\n{from}"));
    let acme = |more: &str| {
        let acme = format!("directory = \"https://a/d\", agree_to_terms = true, {more}");
        of(&format!("[[certificate_source]]\nname = \"n\"\nacme = {{ {acme} }}"))
    };
    let url = "url = \"etcd+https://127.0.0.1:1/x\"";
    for text in [
        origin("oauth = { token_url = \"https://a/t\", client_id = \"i\", client_secret = \"hunter2\" }"),
        origin("openbao = { address = \"https://a:1\", token_value = \"hunter2\" }"),
        origin("openbao.token_value = \"hunter2\""),
        origin("oauth = \"hunter2\""),
        origin("value = \"hunter2\""),
        origin("values = [\"x\", \"hunter2\"]"),
        origin("password = \"hunter2\""),
        acme("external_account = { key_id = \"1\", mac_key = \"hunter2\" }"),
        acme("external_account = { key_id = \"1\", key = \"hunter2\" }"),
        acme("external_account = \"hunter2\""),
        of_store(&format!("{{ {url}, password = \"hunter2\" }}")),
        of_store(&format!("{{ {url}, key = \"hunter2\" }}")),
        of_store(&format!("{{ {url}, chain = \"c.pem\", key = \"hunter2\" }}")),
        of_store(&format!("{{ {url}, chain = \"c.pem\", value = hunter2 }}")),
        of_store("{ url = \"https://127.0.0.1:1/x?token=hunter2\" }"),
        of_store("\"https://127.0.0.1:1/x?token=hunter2\""),
        of_store("\"https://me:hunter2@127.0.0.1:1/x\""),
        of("[admin]\nvalue = \"hunter2\""),
        origin("file \"hunter2\""),
        origin("file(\"hunter2\")"),
        origin("file -> \"hunter2\""),
        origin("file =\n\"hunter2\""),
        origin("file = \"begun\nhunter2\""),
        of("[status]\naddress = \"127.0.0.1:0\"\nclient_ca = \"c\"\ntls = { chain = \"c\", key = \"hunter2\" }"),
    ] {
        desk.write("gateway.toml", &text);
        for command in ["run gateway.toml --check", "run gateway.toml"] {
            let said = desk.bad(command);
            assert!(said.contains("gateway.toml:") && !said.contains("hunter2"), "{text}\n{said}");
        }
    }
}
