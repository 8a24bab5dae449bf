//! A token that is presented: never from the command line, which others can see.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::token::{Confirmation, Issuer, Keyset, TokenFault, verify};
use policy::binding::Bindings;
use policy::model::{self, Keys, Policy};
use policy_evaluate::{Presented, Token};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 64 << 10;

pub(super) enum Read {
    /// And how far it was checked.
    Holds(Token, String),
    Refused(TokenFault),
}

/// Reads a token. Where the policy pins the keys of its issuer it is verified as a gateway does; where the keys lie
/// elsewhere its claims are believed.
pub(super) fn read(path: &Path, policy: &Policy, now_s: u64) -> Result<Read, Failure> {
    let text = text(path)?;
    let claims = claims(&text).ok_or_else(|| {
        let fault = Failure::new("--token: expected a JWT (three parts of base64url with a dot between)");
        fault.help("an opaque token says nothing itself, and its issuer is asked by the gateway alone: see its records")
    })?;
    let Some((position, issuer)) = issuer_of(&claims, policy) else {
        let fault = match claims.get("iss").map(Value::as_str) {
            Some(Some(iss)) => {
                Failure::new(format_args!("--token: no issuer of the policy fits iss {iss:?} and aud of the token"))
            }
            Some(None) => Failure::new("--token: expected an iss claim that is a string, found another value"),
            None => Failure::new("--token: expected an iss claim, found none"),
        };
        return Err(fault.help("a gateway answers such a token with 401, token-issuer-unknown or token-audience-wrong"));
    };
    // Of one without keys it is refused whatever it says.
    if matches!(issuer.keys, Keys::Pinned { .. } | Keys::None) {
        return verified(&text, policy, position, now_s);
    }
    let claim = |name: &str| claims.get(name);
    let subject = claim("sub").and_then(Value::as_str).ok_or_else(|| Failure::new("--token: expected a sub claim"))?;
    let scopes = issuer.scope_claim.as_deref().and_then(claim).map(scopes_of);
    let expires_s = claim("exp").and_then(Value::as_f64).map(|seconds| seconds as u64);
    let bound = match Confirmation::of_claims(claims.to_string().as_bytes()) {
        Ok(confirmation) => confirmation.bindings(),
        Err(fault) => return Ok(Read::Refused(fault)),
    };
    let token = Token { issuer: issuer.name.clone(), subject: subject.to_owned(), scopes, expires_s, bound };
    let name = &issuer.name;
    Ok(Read::Holds(
        token,
        format!(
            "The token's signature is NOT verified: the keys of issuer \"{name}\" are not in the policy. Its claims are believed."
        ),
    ))
}

fn text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path == Path::new("-") {
        let mut text = Zeroizing::new(String::new());
        let limit = TOKEN_BYTES_MAX as u64;
        io::stdin()
            .take(limit)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format_args!("--token: standard input cannot be read: {error}")))?;
        return Ok(Zeroizing::new(text.trim().to_owned()));
    }
    let looks_like_one =
        path.to_str().is_some_and(|text| text.starts_with("eyJ") || text.matches('.').count() == 2 && text.len() > 60);
    if looks_like_one && !path.exists() {
        let fault = Failure::new("--token: expected a file or -, found what looks like a token");
        return Err(fault.help(
            "others can see the command line (and the shell keeps it): put the token into a file, or pipe it in with --token -",
        ));
    }
    let secret = files::read_secret(path, TOKEN_BYTES_MAX)?;
    Ok(Zeroizing::new(secret.text.trim().to_owned()))
}

fn claims(text: &str) -> Option<Value> {
    let mut parts = text.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    (parts.next().is_none() && claims.is_object()).then_some(claims)
}

/// The first issuer whose name and one of whose audiences the token has.
fn issuer_of<'p>(claims: &Value, policy: &'p Policy) -> Option<(usize, &'p model::Issuer)> {
    let iss = claims.get("iss")?.as_str()?;
    let fits = |wanted: &String| match claims.get("aud") {
        Some(Value::String(aud)) => aud == wanted,
        Some(Value::Array(list)) => list.iter().any(|aud| aud.as_str() == Some(wanted)),
        _ => false,
    };
    let mut issuers = policy.issuers.iter().enumerate();
    issuers.find(|(_, issuer)| issuer.issuer == iss && issuer.audience.iter().any(fits))
}

fn verified(text: &str, policy: &Policy, position: usize, now_s: u64) -> Result<Read, Failure> {
    let mut issuers = Vec::new();
    for rules in &policy.issuers {
        let keyset = match &rules.keys {
            Keys::Pinned { jwks } => {
                let fault = |fault| Failure::new(format_args!("issuer \"{}\": {fault}", rules.name));
                Some(Arc::new(Keyset::from_jwks(jwks, &rules.algorithms).map_err(fault)?))
            }
            Keys::Watch { .. } | Keys::Url(_) | Keys::Discovery(_) | Keys::None => None,
        };
        issuers.push(Arc::new(Issuer::new(rules.clone(), keyset)));
    }
    let held = match verify(text.as_bytes(), &issuers, now_s) {
        Ok(held) => held,
        Err(fault) => return Ok(Read::Refused(fault)),
    };
    let name = policy.issuers.get(position).map_or("", |issuer| issuer.name.as_str());
    let scopes = held.scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
    let token = Token {
        issuer: name.to_owned(),
        subject: held.subject.into(),
        scopes,
        expires_s: Some(held.expires_s),
        bound: held.confirmation.bindings(),
    };
    Ok(Read::Holds(token, format!("The token is verified with the keys that the policy pins for issuer \"{name}\".")))
}

/// What nobody showed here, and is believed: that what stands beside the token is what it is bound to.
pub(super) fn believed(presented: &Presented) -> impl Iterator<Item = String> {
    let bound = presented.token.as_ref().map_or(Bindings::NONE, |token| token.bound);
    let certificate = bound.hold(Bindings::CERTIFICATE) && presented.certificate.is_some();
    let certificate = certificate.then_some(
        "The token is bound to one certificate: the one presented is taken for that. With another one a gateway answers \
         401, token-certificate-wrong.",
    );
    let dpop = bound.hold(Bindings::DPOP).then_some(
        "The token is bound to a DPoP key: a proof by that key is taken as sent with it. Without one a gateway answers \
         401, dpop-missing.",
    );
    [certificate, dpop].into_iter().flatten().map(str::to_owned)
}

fn scopes_of(claim: &Value) -> Vec<String> {
    match claim {
        Value::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
