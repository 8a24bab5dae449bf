//! Whether the release of the channel has what is to be revoked: a kill switch with a slip of the pen switches nothing.

use policy::model::{Identity, Issuer, Keys, Policy, Subject};

use crate::failure::{Failure, warn};
use crate::review::plan::kids;

/// Refuses a `name` that is none of the `known` ones; none: nobody can tell.
pub fn expect(what: &str, name: &str, known: Option<Vec<&str>>) -> Result<(), Failure> {
    let Some(known) = known.filter(|known| !known.contains(&name)) else { return Ok(()) };
    let near = policy_source::nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
    Err(Failure::new(format_args!("the release of the channel has no {what} {name:?}"))
        .help(format_args!("{near}To revoke it all the same, say --unknown")))
}

/// The sections of `policy` for tokens of `issuer`.
fn sections<'p>(policy: &'p Policy, issuer: &str) -> Vec<&'p Issuer> {
    policy.issuers.iter().filter(|section| section.issuer == issuer).collect()
}

/// Refuses a key that no section of `issuer` pins. Where keys move, the release does not tell.
pub fn expect_kid(policy: &Policy, issuer: &str, kid: &str) -> Result<(), Failure> {
    let (mut known, mut moving) = (Vec::new(), None);
    for section in sections(policy, issuer) {
        match &section.keys {
            Keys::Pinned { jwks } => known.extend(kids(jwks)),
            Keys::Watch { .. } | Keys::Url(_) | Keys::Discovery(_) => moving = Some(&section.name),
            Keys::None => {}
        }
    }
    if known.iter().any(|known| known == kid) {
        return Ok(());
    }
    if let Some(section) = moving {
        warn(format_args!(
            "kid {kid:?} is not checked: the keys of issuer {section} are not in the release; compare it with the issuer's \
             JWK Set"
        ));
        return Ok(());
    }
    let what = format!("key of {issuer} with the kid");
    expect(&what, kid, Some(known.iter().map(String::as_str).collect()))
}

/// Refuses a subject that no agent has and no population takes in.
pub fn expect_subject(policy: &Policy, issuer: &str, subject: &str) -> Result<(), Failure> {
    let sections = sections(policy, issuer);
    let (mut known, mut population) = (Vec::new(), None);
    for agent in &policy.agents {
        let proofs = agent.identity.iter().filter_map(|identity| match identity {
            Identity::Proofs(proofs) => proofs.token.as_ref(),
            Identity::Anonymous => None,
        });
        for token in proofs.filter(|token| sections.iter().any(|section| section.name == token.issuer)) {
            match &token.subject {
                Subject::Exactly(exactly) => known.push(exactly.as_str()),
                Subject::AnyBut(but) if !but.iter().any(|but| but == subject) => population = Some(&agent.name),
                Subject::AnyBut(_) => {}
            }
        }
    }
    if known.contains(&subject) {
        return Ok(());
    }
    if let Some(agent) = population {
        warn(format_args!(
            "subject {subject:?} is not checked: agent {agent} is everybody of {issuer} whom the release does not name"
        ));
        return Ok(());
    }
    expect(&format!("agent with a token of {issuer} and the subject"), subject, Some(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(keys: &str, subject: &str) -> Policy {
        let text = format!(
            r#"{{"name":"p","audit":"queued","transport":"plain","client_cas":[],"origins":[],"routes":[],"scopes":[],
            "api_keys":[],"issuers":[{{"name":"corp","issuer":"https://id.example","audience":["a"],
            "algorithms":["ES256"],"keys":{keys},"scope_claim":null,"leeway_s":0}}],
            "agents":[{{"name":"reports","identity":[{{"proofs":{{"certificate":null,"api_keys":[],
            "token":{{"issuer":"corp","subject":{subject}}}}}}}],"scopes":[],"limits":[]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const PINNED: &str = r#"{"pinned":{"jwks":"{\"keys\":[{\"kid\":\"k1\"}]}"}}"#;
    const ISSUER: &str = "https://id.example";

    fn help(found: Result<(), Failure>) -> Option<String> {
        found.err().map(|failure| failure.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_key_that_is_not_pinned_is_refused_and_one_that_may_be_fetched_is_not() {
        let pinned = policy(PINNED, r#"{"exactly":"bot"}"#);
        assert!(expect_kid(&pinned, ISSUER, "k1").is_ok());
        assert!(help(expect_kid(&pinned, ISSUER, "k2")).unwrap().contains("did you mean \"k1\"?"));
        let moving = policy(r#"{"watch":{"path":"keys.json"}}"#, r#"{"exactly":"bot"}"#);
        assert!(expect_kid(&moving, ISSUER, "k2").is_ok());
        let none = policy(r#""none""#, r#"{"exactly":"bot"}"#);
        assert!(expect_kid(&none, ISSUER, "k1").is_err(), "no token of a key is believed");
    }

    #[test]
    fn a_subject_that_nobody_has_is_refused_and_one_of_a_population_is_not() {
        let one = policy(PINNED, r#"{"exactly":"reports-bot"}"#);
        assert!(expect_subject(&one, ISSUER, "reports-bot").is_ok());
        assert!(help(expect_subject(&one, ISSUER, "report-bot")).unwrap().contains("did you mean \"reports-bot\"?"));
        let all = policy(PINNED, r#"{"any-but":["eve"]}"#);
        assert!(expect_subject(&all, ISSUER, "anybody").is_ok());
        assert!(expect_subject(&all, ISSUER, "eve").is_err(), "the population does not take her in");
    }
}
