//! What a policy holds that identifies nobody any more, as `adamant check` tells it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tests::certificates::Authority;
use tests::desk::{Desk, assert_says};

const POLICY: &str = "[policy]
name = \"p\"
[[client_ca]]
name = \"agents\"
certificates = { file = \"clients.pem\" }
[[origin]]
name = \"orders\"
addresses = [\"orders.test:443\"]
tls = { ca = { file = \"origins.pem\" } }
[[route]]
name = \"read\"
host = \"api.test\"
methods = [\"GET\"]
path = \"/orders\"
origin = \"orders\"
[[scope]]
name = \"all\"
routes = [\"read\"]
[[agent]]
name = \"bot\"
identity = [{ certificate = \"dns:bot.test\", ca = \"agents\" }]
scopes = [\"all\"]
limits = [\"1/minute\"]
[[agent]]
name = \"partner\"
identity = [{ api_key = [\"agents\", \"partner-2\"] }]
scopes = [\"all\"]
limits = [\"1/minute\"]
[[api_key]]
id = \"agents\"
";

fn ca_until(year: i32) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn keys_and_cas_that_ended_are_warned_of() {
    let desk = Desk::new();
    let hash = "b".repeat(64);
    desk.write("clients.pem", ca_until(2021));
    desk.write("origins.pem", ca_until(2022));
    let second = format!("[[api_key]]\nid = \"partner-2\"\nsha256 = \"{hash}\"\n");
    desk.write("policy.toml", format!("{POLICY}{second}expires = 2023-01-01T00:00:00Z\n"));
    let said = desk.good("check policy.toml");
    assert_says(
        &said,
        &[
            "policy.toml:4:8\n",
            "the client CA `agents` ended at 2021-01-01T00:00:00Z",
            "policy.toml:7:8\n",
            "the CA of origin `orders` ended at 2022-01-01T00:00:00Z",
            "policy.toml:32:6\n",
            "warning[ended]: the API key `partner-2` expired at 2023-01-01T00:00:00Z",
            "3 warnings",
            "1 API key has no sha256",
        ],
    );
    assert_says(&desk.bad("check --deny-warnings policy.toml"), &["the policy was refused"]);
    assert_eq!(desk.good("check --format json policy.toml").matches("\"severity\": \"warning\"").count(), 3);

    // One of two that has ended: the other goes on.
    desk.write("clients.pem", ca_until(2021) + &Authority::new("clients").pem);
    desk.write("origins.pem", Authority::new("origins").pem);
    desk.write(
        "policy.toml",
        format!("{POLICY}sha256 = \"{}\"\n{second}expires = 2100-01-01T00:00:00Z\n", "a".repeat(64)),
    );
    assert!(!desk.good("check --deny-warnings policy.toml").contains("warning"));
}
