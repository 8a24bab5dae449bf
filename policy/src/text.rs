//! Texts as they may be shown, and as a policy may hold them: nothing that makes a terminal do more than print.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::bounds::{
    API_KEY_ID_BYTES_MAX, CLAIM_BYTES_MAX, LOCATION_BYTES_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX,
    SCOPE_NAME_BYTES_MAX, SUBJECT_BYTES_MAX,
};
use crate::model::{Agent, CertificateName, Identity, Issuer, Keys, Methods, Origin, Policy, Proofs, Subject};

/// Characters of a text that are repeated in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// Whether a terminal would do something with it: a control character (C0, DEL, C1), or one that turns the direction
/// of text (Unicode Bidi_Control, UAX #9 §2) and so makes it read other than it is.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every harmful character but those of `kept` as JSON writes it, such as `\u001b`: JSON stays JSON
/// and means the same.
pub fn escaped<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let does_harm = |c: char| is_harmful(c) && !kept.contains(&c);
    if !text.contains(does_harm) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if does_harm(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A text of a policy that its source could not have held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place}, {field}: expected at most {bytes_max} bytes without control characters or characters that turn the \
     direction of text, found {found}; no policy source gives this: do not sign it, ask who built it"
)]
pub struct TextFault {
    /// Such as `route 3 ("orders")`.
    pub place: String,
    pub field: &'static str,
    pub bytes_max: usize,
    /// The text, or how long it is.
    pub found: String,
}

/// Checks every text that names something, is compared, or leads somewhere. Embedded files (JWK Sets, PEM) are exact
/// texts of others, are shown to nobody, and are parsed where they are used.
///
/// # Errors
/// The first text that is too long or has a harmful character.
pub fn check(policy: &Policy) -> Result<(), TextFault> {
    let place = |kind, index, name| Place { kind, index, name };
    for (index, issuer) in policy.issuers.iter().enumerate() {
        check_issuer(&place("issuer", index, &issuer.name), issuer)?;
    }
    for (index, ca) in policy.client_cas.iter().enumerate() {
        let at = place("client CA", index, &ca.name);
        at.one("name", &ca.name, NAME_BYTES_MAX)?;
        at.some("crl, path", ca.crl.as_ref().map(|crl| crl.path.as_str()), LOCATION_BYTES_MAX)?;
    }
    for (index, origin) in policy.origins.iter().enumerate() {
        check_origin(&place("origin", index, &origin.name), origin)?;
    }
    for (index, route) in policy.routes.iter().enumerate() {
        let at = place("route", index, &route.name);
        at.one("name", &route.name, NAME_BYTES_MAX)?;
        at.one("host", &route.host, CLAIM_BYTES_MAX)?;
        if let Methods::Only(methods) = &route.methods {
            at.each("methods", methods, METHOD_BYTES_MAX)?;
        }
        at.one("path", &route.path, PATH_BYTES_MAX)?;
        at.one("origin", &route.origin, NAME_BYTES_MAX)?;
    }
    for (index, scope) in policy.scopes.iter().enumerate() {
        let at = place("scope", index, &scope.name);
        at.one("name", &scope.name, SCOPE_NAME_BYTES_MAX)?;
        at.each("routes", &scope.routes, NAME_BYTES_MAX)?;
    }
    for (index, agent) in policy.agents.iter().enumerate() {
        check_agent(&place("agent", index, &agent.name), agent)?;
    }
    for (index, key) in policy.api_keys.iter().enumerate() {
        let at = place("API key", index, &key.id);
        at.one("id", &key.id, API_KEY_ID_BYTES_MAX)?;
        at.some("sha256", key.sha256.as_deref(), CLAIM_BYTES_MAX)?;
    }
    Place { kind: "policy", index: 0, name: &policy.name }.one("name", &policy.name, CLAIM_BYTES_MAX)
}

fn check_issuer(at: &Place<'_>, issuer: &Issuer) -> Result<(), TextFault> {
    at.one("name", &issuer.name, NAME_BYTES_MAX)?;
    at.one("issuer", &issuer.issuer, CLAIM_BYTES_MAX)?;
    at.each("audience", &issuer.audience, CLAIM_BYTES_MAX)?;
    at.some("scope_claim", issuer.scope_claim.as_deref(), CLAIM_BYTES_MAX)?;
    if let Some(asked) = &issuer.introspection {
        at.one("introspection, url", &asked.url, LOCATION_BYTES_MAX)?;
        at.one("introspection, client", &asked.client, NAME_BYTES_MAX)?;
        at.some("introspection, prefix", asked.prefix.as_deref(), CLAIM_BYTES_MAX)?;
    }
    match &issuer.keys {
        Keys::Pinned { .. } | Keys::None => Ok(()),
        Keys::Watch { path } => at.one("keys, path", path, LOCATION_BYTES_MAX),
        Keys::Url(fetched) | Keys::Discovery(fetched) => at.one("keys, url", &fetched.url, LOCATION_BYTES_MAX),
    }
}

fn check_origin(at: &Place<'_>, origin: &Origin) -> Result<(), TextFault> {
    at.one("name", &origin.name, NAME_BYTES_MAX)?;
    at.each("addresses", &origin.addresses, CLAIM_BYTES_MAX)?;
    if let Some(credential) = &origin.credential {
        at.one("credentials, from", &credential.from, NAME_BYTES_MAX)?;
        at.one("credentials, header", &credential.header, CLAIM_BYTES_MAX)?;
        at.one("credentials, value", &credential.value, CLAIM_BYTES_MAX)?;
    }
    at.some("assertion, audience", origin.assertion.as_ref().map(|of| of.audience.as_str()), CLAIM_BYTES_MAX)?;
    let Some(tls) = &origin.tls else { return Ok(()) };
    at.some("tls, server_name", tls.server_name.as_deref(), CLAIM_BYTES_MAX)?;
    at.some("tls, identity", tls.identity.as_deref(), CLAIM_BYTES_MAX)
}

fn check_agent(at: &Place<'_>, agent: &Agent) -> Result<(), TextFault> {
    at.one("name", &agent.name, NAME_BYTES_MAX)?;
    at.each("scopes", &agent.scopes, SCOPE_NAME_BYTES_MAX)?;
    agent.limits.iter().try_for_each(|limit| at.one("limits, name", &limit.name, CLAIM_BYTES_MAX))?;
    for identity in &agent.identity {
        let Identity::Proofs(Proofs { certificate, token, api_keys }) = identity else { continue };
        if let Some(proof) = certificate {
            let (CertificateName::Spiffe(name) | CertificateName::Dns(name) | CertificateName::SpkiSha256(name)) =
                &proof.name;
            at.one("identity, certificate", name, LOCATION_BYTES_MAX)?;
            at.one("identity, ca", &proof.ca, NAME_BYTES_MAX)?;
        }
        if let Some(proof) = token {
            at.one("identity, issuer", &proof.issuer, NAME_BYTES_MAX)?;
            match &proof.subject {
                Subject::Exactly(subject) => at.one("identity, subject", subject, SUBJECT_BYTES_MAX)?,
                Subject::AnyBut(subjects) => at.each("identity, except", subjects, SUBJECT_BYTES_MAX)?,
            }
        }
        at.each("identity, api_key", api_keys, API_KEY_ID_BYTES_MAX)?;
    }
    Ok(())
}

/// Whose text it is.
struct Place<'p> {
    kind: &'static str,
    index: usize,
    name: &'p str,
}

impl Place<'_> {
    fn one(&self, field: &'static str, text: &str, bytes_max: usize) -> Result<(), TextFault> {
        let short = |text: &str| format!("{:?}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>());
        let found = if text.len() > bytes_max {
            format!("{} bytes", text.len())
        } else if text.contains(is_harmful) {
            short(text)
        } else {
            return Ok(());
        };
        let place = format!("{} {} ({})", self.kind, self.index + 1, short(self.name));
        Err(TextFault { place, field, bytes_max, found })
    }

    fn some(&self, field: &'static str, text: Option<&str>, bytes_max: usize) -> Result<(), TextFault> {
        text.map_or(Ok(()), |text| self.one(field, text, bytes_max))
    }

    fn each(&self, field: &'static str, texts: &[String], bytes_max: usize) -> Result<(), TextFault> {
        texts.iter().try_for_each(|text| self.one(field, text, bytes_max))
    }
}

#[cfg(test)]
mod tests;
