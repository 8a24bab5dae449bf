//! Assertions that an origin asks for: what the language takes.

use super::{BASE, codes, load_text};

const ADDRESSES: &str = r#"addresses = ["10.0.0.5:80"]
"#;

fn with(line: &str) -> String {
    BASE.replace(ADDRESSES, &format!("{ADDRESSES}{line}\n"))
}

#[test]
fn an_origin_asks_for_assertions_for_an_audience() {
    let loaded = load_text(&with("assertion = { audience = \"https://orders.example\" }"));
    assert_eq!(codes(&loaded), [""; 0]);
    let origin = loaded.policy.unwrap().origins.remove(0);
    assert_eq!(origin.assertion.unwrap().audience, "https://orders.example");
    let without = load_text(BASE).policy.unwrap().origins.remove(0);
    assert!(without.assertion.is_none());
    assert!(!serde_json::to_string(&without).unwrap().contains("assertion"), "older releases keep their digest");
    let long = format!("assertion = {{ audience = \"{}\" }}", "a".repeat(1_025));
    for (line, code) in [
        ("assertion = {}", "missing-key"),
        ("assertion = true", "wrong-type"),
        ("assertion = { audience = [\"orders\"] }", "wrong-type"),
        ("assertion = { audience = \"\" }", "empty-text"),
        ("assertion = { audience = \"orders\", life = \"1m\" }", "unknown-key"),
        (long.as_str(), "too-long"),
    ] {
        assert_eq!(codes(&load_text(&with(line))), [code], "{line}");
    }
}
