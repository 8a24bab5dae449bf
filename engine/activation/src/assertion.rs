//! What an origin can hold a gateway to: a short-lived signed statement (a JWT, RFC 7519) that one request came through it,
//! for whom and under which rule. Bound to that request, so that it is of no use for another one.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http1::{put_decimal, put_json_string};
use sha2::{Digest, Sha256};

use crate::bounds::ASSERTION_LIFE_S;

mod key;

pub use key::{KEY_BYTES, KeyFault, SigningKey};

/// The field that carries it. `Adamant-*` is the gateway's own: taken from no client, in no spelling, in no trailer.
pub const FIELD: &str = "Adamant-Assertion";
/// `typ` of its header (RFC 8725 §3.11): no other token of anybody passes for one, and it passes for no other.
pub const TYPE: &str = "adamant-assertion+jwt";

/// What an origin gets with every request: for which audience, signed with which key.
#[derive(Clone)]
pub struct Assertion {
    pub audience: String,
    pub key: Arc<SigningKey>,
}

impl PartialEq for Assertion {
    fn eq(&self, other: &Self) -> bool {
        self.audience == other.audience && self.key.kid() == other.key.kid()
    }
}

/// What is said of one request.
#[derive(Clone, Copy, Debug)]
pub struct Said<'s> {
    /// Name of the policy: of all gateways that serve it.
    pub policy: &'s str,
    /// `sha256:…` of the release that the request was permitted by.
    pub release: &'s str,
    /// Name of the agent; none for an anonymous caller.
    pub agent: Option<&'s str>,
    /// Issuer and subject of the token that came with the request, if any: who it is of a population.
    pub subject: Option<(&'s str, &'s str)>,
    pub route: &'s str,
    pub scope: &'s str,
    pub request_id: &'s [u8],
    /// It is sent a second time: another assertion, which is no replay of the first.
    pub again: bool,
    pub request: Bound<'s>,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
}

/// The request as the origin gets it.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'b> {
    pub method: &'b [u8],
    /// The value of `Host`.
    pub host: &'b [u8],
    /// With the query this is the request-target, byte by byte.
    pub path: &'b [u8],
    /// Without `?`.
    pub query: Option<&'b [u8]>,
}

/// What one thread writes assertions into, again and again.
#[derive(Default)]
pub struct Scratch {
    claims: Vec<u8>,
    compact: Vec<u8>,
}

/// The library did not sign: it is out of memory or of randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the assertion could not be signed: the library is out of memory or randomness")]
pub struct Unsigned;

impl Assertion {
    /// The value of the field: a JWS in its compact form (RFC 7515 §3.1).
    pub fn sign<'s>(&self, said: &Said<'_>, scratch: &'s mut Scratch) -> Result<&'s [u8], Unsigned> {
        let Scratch { claims, compact } = scratch;
        claims.clear();
        put_claims(claims, &self.audience, said);
        compact.clear();
        compact.extend_from_slice(self.key.header());
        put_base64url(compact, claims)?;
        let signature = self.key.sign(compact)?;
        compact.push(b'.');
        put_base64url(compact, signature.as_ref())?;
        Ok(compact)
    }
}

fn put_claims(out: &mut Vec<u8>, audience: &str, said: &Said<'_>) {
    put(out, "{\"iss\":", said.policy.as_bytes());
    put(out, ",\"aud\":", audience.as_bytes());
    if let Some(agent) = said.agent {
        put(out, ",\"sub\":", agent.as_bytes());
    }
    if let Some((issuer, subject)) = said.subject {
        // RFC 9493 §3.2.3: a subject is one only together with who says so.
        put(out, ",\"sub_id\":{\"format\":\"iss_sub\",\"iss\":", issuer.as_bytes());
        put(out, ",\"sub\":", subject.as_bytes());
        out.push(b'}');
    }
    put(out, ",\"jti\":", said.request_id);
    if said.again {
        // Into the text that was just ended.
        out.pop();
        out.extend_from_slice(b".1\"");
    }
    put(out, ",\"route\":", said.route.as_bytes());
    put(out, ",\"scope\":", said.scope.as_bytes());
    put(out, ",\"release\":", said.release.as_bytes());
    put(out, ",\"htm\":", said.request.method);
    put(out, ",\"authority\":", said.request.host);
    let mut hash = [0; 43];
    let length = URL_SAFE_NO_PAD.encode_slice(target_sha256(&said.request), &mut hash).unwrap_or(0);
    put(out, ",\"target_sha256\":", hash.get(..length).unwrap_or_default());
    out.extend_from_slice(b",\"iat\":");
    put_decimal(out, said.now_s);
    out.extend_from_slice(b",\"exp\":");
    put_decimal(out, said.now_s.saturating_add(ASSERTION_LIFE_S));
    out.push(b'}');
}

/// One claim. The values are texts by their types, or ASCII that was looked at: nothing of them is replaced.
fn put(out: &mut Vec<u8>, before: &str, value: &[u8]) {
    out.extend_from_slice(before.as_bytes());
    put_json_string(out, &String::from_utf8_lossy(value));
}

/// Over the request-target as it stands in the request line: a hash, so that an assertion in somebody's log shows nothing
/// of a query, and has one size.
fn target_sha256(request: &Bound<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(request.path);
    if let Some(query) = request.query {
        hash.update(b"?");
        hash.update(query);
    }
    hash.finalize().into()
}

fn put_base64url(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unsigned> {
    let start = out.len();
    out.resize(start + base64::encoded_len(bytes.len(), false).ok_or(Unsigned)?, 0);
    let place = out.get_mut(start..).unwrap_or_default();
    URL_SAFE_NO_PAD.encode_slice(bytes, place).map(drop).map_err(|_| Unsigned)
}

/// The key is shown to nobody.
impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assertion for {} by {:?}", self.audience, self.key)
    }
}

#[cfg(test)]
mod tests;
