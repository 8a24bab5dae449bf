//! Tokens that say nothing themselves: which they are, which issuer is asked about them, and what its answer comes to
//! (RFC 7662).
//!
//! A token is its bearer's: it goes to the one issuer that can have made it, or to nobody. What looks like a JWT goes to
//! nobody.

use std::borrow::Cow;
use std::sync::Arc;

use policy::model;
use sha2::{Digest, Sha256};

use super::claims::{Claims, optional_text};
use super::{Issuer, TokenFault, VerifiedToken, check_time};
use crate::bounds::OPAQUE_TOKEN_BYTES_MAX;
use crate::json::{JsonFault, Members, Value};

/// Under which an opaque token is known: never the token.
pub type OpaqueKey = [u8; 33];

/// Why an answer is none: the issuer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    #[error("expected a JSON object (RFC 7662 §2.2): {0}")]
    Json(JsonFault),
    #[error("expected `active` to be true or false (RFC 7662 §2.2), found neither")]
    Active,
}

/// The issuer that is to be asked about `token`, with its position; none for what is no opaque token, or could be that of
/// two.
pub fn asked_about<'i>(token: &[u8], issuers: &'i [Arc<Issuer>]) -> Option<(u16, &'i Arc<Issuer>)> {
    let begins =
        |asked: &model::Introspection| asked.prefix.as_ref().is_none_or(|prefix| token.starts_with(prefix.as_bytes()));
    let is_asked = |issuer: &Arc<Issuer>| issuer.rules.introspection.as_ref().is_some_and(begins);
    let mut fitting = issuers.iter().enumerate().filter(|(_, issuer)| is_asked(issuer));
    let (Some((position, issuer)), None) = (fitting.next(), fitting.next()) else { return None };
    if !is_opaque(token) {
        return None;
    }
    Some((u16::try_from(position).ok()?, issuer))
}

/// Whether `token` has the characters of a bearer token (RFC 6750 §2.1) and not the parts of a JWS or JWE (RFC 7515 §7.1,
/// RFC 7516 §7.1).
fn is_opaque(token: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let dots = token.iter().filter(|byte| **byte == b'.').count();
    (1..=OPAQUE_TOKEN_BYTES_MAX).contains(&token.len()) && token.iter().all(fits) && !matches!(dots, 2 | 4)
}

/// The key of `token` with what `issuer`'s section says: after another release, an answer to other words is none. Its
/// first byte is one that no token has, so that it stands beside tokens in one table.
pub fn key_of(token: &[u8], issuer: &Issuer) -> OpaqueKey {
    let hash = Sha256::new().chain_update(issuer.section).chain_update(token).finalize();
    let mut key = [0; 33];
    key.iter_mut().skip(1).zip(hash).for_each(|(to, from)| *to = from);
    key
}

/// What `answer`, asked for at `asked_ms` (milliseconds since the Unix epoch), says of a token of `issuer`: its facts, or
/// why it is not accepted.
pub fn read_answer(
    answer: &[u8],
    issuer: &Issuer,
    asked_ms: u64,
) -> Result<Result<VerifiedToken, TokenFault>, AnswerFault> {
    let members = Members::read(answer).map_err(AnswerFault::Json)?;
    match members.find("active") {
        Some(Value::Bool(true)) => Ok(accept(members, issuer, asked_ms)),
        Some(Value::Bool(false)) => Ok(Err(TokenFault::Inactive)),
        _ => Err(AnswerFault::Active),
    }
}

fn accept(members: Members<'_>, issuer: &Issuer, asked_ms: u64) -> Result<VerifiedToken, TokenFault> {
    let (rules, now_s) = (&issuer.rules, asked_ms / 1_000);
    let asked = rules.introspection.as_ref().ok_or(TokenFault::IntrospectionUnavailable)?;
    check_kind(&members)?;
    let is_bound = says_dpop(&members)?;
    if optional_text(&members, "iss")?.is_some_and(|found| *found != *rules.issuer) {
        return Err(TokenFault::IssuerUnknown);
    }
    let claims = Claims::of(members, Cow::Borrowed(rules.issuer.as_str()), asked.subject.name())?;
    // A server that says so and not to which key: whoever holds the token would pass for its owner.
    if is_bound && claims.confirmation.bindings().is_empty() {
        return Err(TokenFault::ConfirmationUnknown);
    }
    if !claims.is_for(&rules.audience) {
        return Err(TokenFault::AudienceWrong);
    }
    check_time(claims.expires_s, claims.not_before_s, now_s, rules.leeway_s)?;
    claims.check_issued(now_s, rules.leeway_s)?;
    let scopes = rules.scope_claim.as_deref().map(|claim| claims.scopes(claim)).transpose()?;
    let ends_s = claims.expires_s.saturating_add(u64::from(rules.leeway_s));
    let believed_until_ms = asked_ms.saturating_add(u64::from(asked.cache_s) * 1_000).min(ends_s.saturating_mul(1_000));
    Ok(VerifiedToken {
        issuer: 0,
        subject: claims.subject.into(),
        scopes,
        expires_s: claims.expires_s,
        not_before_s: claims.not_before_s,
        issued_s: claims.issued_s,
        kid: None,
        other_kids: Box::default(),
        id: claims.id.map(Into::into),
        confirmation: claims.confirmation,
        believed_until_ms: Some(believed_until_ms),
    })
}

/// A refresh token is active too, and none to call with. Servers that say what a token is say it in one of these.
fn check_kind(members: &Members<'_>) -> Result<(), TokenFault> {
    const KINDS: [(&str, &[&str]); 3] = [
        ("token_type", &["bearer", "dpop", "access_token"]),
        ("token_use", &["access_token", "access"]),
        ("typ", &["bearer", "dpop", "jwt", "at+jwt"]),
    ];
    for (name, admitted) in KINDS {
        let found = optional_text(members, name)?;
        if found.is_some_and(|found| !admitted.iter().any(|kind| found.eq_ignore_ascii_case(kind))) {
            return Err(TokenFault::Type);
        }
    }
    Ok(())
}

/// Whether the token is one that a key must be shown for (RFC 9449 §6.2).
fn says_dpop(members: &Members<'_>) -> Result<bool, TokenFault> {
    let is_dpop = |name| Ok(optional_text(members, name)?.is_some_and(|found| found.eq_ignore_ascii_case("dpop")));
    Ok(is_dpop("token_type")? || is_dpop("typ")?)
}

#[cfg(test)]
mod tests;
