//! What tokens are bound to: what the language takes, and what it asks for.

use policy::model::{Binding, Identity, Subject};

use super::{BASE, codes, load_text};

fn bind(text: &str, subject: &str, bound: &str) -> String {
    let subject = format!("subject = \"{subject}\"");
    text.replace(&subject, &format!("{subject}, bound = \"{bound}\""))
}

fn with_tls() -> String {
    BASE.replace("name = \"p\"", "name = \"p\"\ntransport = \"tls\"")
}

#[test]
fn a_token_of_one_subject_and_of_a_population_is_bound() {
    let text = bind(&bind(&with_tls(), "bot", "certificate"), "*", "dpop");
    let loaded = load_text(&text);
    assert_eq!(codes(&loaded), [""; 0]);
    let policy = loaded.policy.expect("a policy");
    let mut found = Vec::new();
    for identity in policy.agents.iter().flat_map(|agent| &agent.identity) {
        if let Identity::Proofs(proofs) = identity
            && let Some(token) = &proofs.token
        {
            found.push((matches!(token.subject, Subject::AnyBut(_)), token.bound));
        }
    }
    assert_eq!(found, [(false, Some(Binding::Certificate)), (true, Some(Binding::Dpop))]);
}

#[test]
fn a_certificate_is_there_to_be_bound_to() {
    let loaded = load_text(&bind(BASE, "bot", "certificate"));
    assert_eq!(codes(&loaded), ["binding-needs-certificate"]);
    let hint = loaded.diagnostics[0].hint.as_deref();
    assert!(hint.is_some_and(|hint| hint.contains("transport = \"tls\"")), "{hint:?}");
    let without_ca = with_tls()
        .replace("[[client_ca]]\nname = \"agents\"\ncertificates = { file = \"agents-ca.pem\" }\n", "")
        .replace("certificate = \"spiffe://corp.example/bot\", ca = \"agents\", ", "");
    assert_eq!(codes(&load_text(&without_ca)), [""; 0]);
    assert_eq!(codes(&load_text(&bind(&without_ca, "bot", "certificate"))), ["binding-needs-certificate"]);
    assert_eq!(codes(&load_text(&bind(BASE, "bot", "dpop"))), [""; 0], "a key needs neither");
    assert_eq!(codes(&load_text(&bind(BASE, "bot", "key"))), ["unknown-value"]);
}

#[test]
fn a_token_is_bound_alike_wherever_it_stands() {
    let second =
        ", { certificate = \"dns:bot.example\", ca = \"agents\", token = { issuer = \"corp\", subject = \"bot\" } }]";
    let twice = BASE.replace("subject = \"bot\" } }]", &format!("subject = \"bot\" }} }}{second}"));
    assert_eq!(codes(&load_text(&twice)), [""; 0]);
    assert_eq!(codes(&load_text(&bind(&twice, "bot", "dpop"))), [""; 0]);
    let once = twice.replacen("subject = \"bot\"", "subject = \"bot\", bound = \"dpop\"", 1);
    assert_eq!(codes(&load_text(&once)), ["bindings-differ"]);
}
