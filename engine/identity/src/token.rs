//! Tokens: strict JWT verification (RFC 7519 with RFC 8725) in compact form, and a per-worker cache of verdicts.
//!
//! Everything cheap comes first (form, JSON, issuer, audience, algorithm, times, key), so that garbage cannot buy a
//! signature check. Which check failed is for the record alone: clients see one answer.

mod ask;
mod cache;
mod claims;
mod confirmation;
pub mod dpop;
mod fault;
mod jwk;
pub mod jws;
mod keyset;
pub mod opaque;
mod roca;

use std::fmt;
use std::sync::Arc;

use policy::model;
use sha2::{Digest, Sha256};

pub use ask::{Ask, Asked};
pub use cache::{Cache, CacheBounds, Found};
pub use confirmation::Confirmation;
pub use fault::{Part, TokenFault};
pub use jwk::Unfit;
pub use keyset::{Key, KeyNote, Keyset, KeysetError, Thumbprint};

use crate::base64url;
use crate::bounds::TOKEN_HEADER_BYTES_MAX;
use claims::Claims;
use jws::{Compact, Header};

/// One issuer section with the keyset that it has now.
pub struct Issuer {
    rules: model::Issuer,
    keyset: Option<Arc<Keyset>>,
    /// There was a keyset, which is too old to be believed.
    stale: bool,
    section: [u8; 32],
    digest: [u8; 32],
    ask: Ask,
}

impl Issuer {
    /// `keyset` is none while none was fetched yet.
    pub fn new(rules: model::Issuer, keyset: Option<Arc<Keyset>>) -> Self {
        let mut hash = Sha256::new();
        let section = section_digest(&rules);
        hash.update(section);
        hash.update(keyset.as_ref().map_or([0; 32], |keyset| keyset.digest()));
        Self { rules, keyset, stale: false, section, digest: hash.finalize().into(), ask: Ask::default() }
    }

    /// One whose keyset is staler than its policy admits.
    pub fn stale(rules: model::Issuer) -> Self {
        Self { stale: true, ..Self::new(rules, None) }
    }

    pub fn rules(&self) -> &model::Issuer {
        &self.rules
    }

    /// Whether it is the issuer that `other`, of this activation or another one, is: it has its name.
    pub fn is_same(&self, other: &Self) -> bool {
        self.rules.name == other.rules.name
    }

    pub fn keyset(&self) -> Option<&Arc<Keyset>> {
        self.keyset.as_ref()
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether there are newer keys.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// Changes whenever a verdict could: over the section and the keyset.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Issuer").field("name", &self.rules.name).field("keyset", &self.keyset).finish()
    }
}

/// Over every field that bears on a verdict, each preceded by its length. The name does not, nor where keys come from:
/// what came from there is in the keyset's digest. Of what is asked of the issuer nothing is: all of that bears.
fn section_digest(rules: &model::Issuer) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(rules.issuer.as_bytes());
    field(&(rules.audience.len() as u64).to_le_bytes());
    for audience in &rules.audience {
        field(audience.as_bytes());
    }
    for algorithm in &rules.algorithms {
        field(&[*algorithm as u8]);
    }
    field(b"");
    field(&[u8::from(rules.scope_claim.is_some())]);
    field(rules.scope_claim.as_deref().unwrap_or_default().as_bytes());
    field(&rules.leeway_s.to_le_bytes());
    if let Some(model::Introspection { url, ca, client, cache_s, prefix, subject }) = &rules.introspection {
        let (kind, certificates) = match ca {
            None => (0, ""),
            Some(model::ServerCa::System) => (1, ""),
            Some(model::ServerCa::Pinned { certificates }) => (2, certificates.as_str()),
        };
        for text in [url.as_str(), client.as_str(), certificates, prefix.as_deref().unwrap_or_default()] {
            field(text.as_bytes());
        }
        field(&[kind, u8::from(prefix.is_some()), *subject as u8]);
        field(&cache_s.to_le_bytes());
    }
    hash.finalize().into()
}

/// The verified facts of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Position in the list of issuers that it was verified (or found in the cache) with.
    pub issuer: u16,
    pub subject: Box<str>,
    /// None when the issuer's section has no `scope_claim`; empty when it has one and the token does not.
    pub scopes: Option<Vec<Box<str>>>,
    /// Seconds since the Unix epoch; refused from then on.
    pub expires_s: u64,
    /// Seconds since the Unix epoch; refused before.
    pub not_before_s: Option<u64>,
    pub issued_s: Option<u64>,
    /// Of the key that verified it, whatever the token says; none where the key set names none.
    pub kid: Option<Box<str>>,
    /// Others under which the same key stands there.
    pub other_kids: Box<[Box<str>]>,
    pub id: Option<Box<str>>,
    pub confirmation: Confirmation,
    /// Of a token that its issuer was asked about: until when the answer counts, milliseconds since the Unix epoch. Not
    /// beyond the end of the token, with the issuer's leeway.
    pub believed_until_ms: Option<u64>,
}

impl VerifiedToken {
    /// Whether the token lives at `now_s` (seconds since the Unix epoch): to be asked on every use, a cached one too.
    pub fn check_time(&self, now_s: u64, leeway_s: u32) -> Result<(), TokenFault> {
        check_time(self.expires_s, self.not_before_s, now_s, leeway_s)
    }

    /// Whether an answer of `issuer` still counts at `now_ms` (milliseconds since the Unix epoch): neither too old, nor from
    /// the future of a clock that was put back.
    pub fn is_believed(&self, issuer: &Issuer, now_ms: u64) -> bool {
        let cache_s = issuer.rules.introspection.as_ref().map_or(0, |asked| u64::from(asked.cache_s));
        let left_ms = self.believed_until_ms.and_then(|until_ms| until_ms.checked_sub(now_ms));
        left_ms.is_some_and(|left_ms| (1..=cache_s * 1_000).contains(&left_ms))
    }

    /// Bytes on the heap, for the cache's bound.
    fn heap_bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let scopes = self.scopes.as_deref().unwrap_or_default();
        let names: usize = scopes.iter().map(|name| name.len() + size_of::<Box<str>>()).sum();
        let kids: usize = self.other_kids.iter().map(|kid| kid.len() + size_of::<Box<str>>()).sum();
        self.subject.len() + text(&self.kid) + kids + text(&self.id) + names
    }
}

fn check_time(expires_s: u64, not_before_s: Option<u64>, now_s: u64, leeway_s: u32) -> Result<(), TokenFault> {
    let leeway_s = u64::from(leeway_s);
    if now_s >= expires_s.saturating_add(leeway_s) {
        return Err(TokenFault::Expired);
    }
    if not_before_s.is_some_and(|from_s| now_s.saturating_add(leeway_s) < from_s) {
        return Err(TokenFault::NotYetValid);
    }
    Ok(())
}

/// Verifies a compact token at `now_s` (seconds since the Unix epoch).
///
/// The issuer is the first section whose `issuer` equals `iss` and one of whose audiences stands in `aud`. In a policy no two
/// sections share an issuer (`check` refuses that); were there two, each would have the tokens of its audiences.
pub fn verify(token: &[u8], issuers: &[Arc<Issuer>], now_s: u64) -> Result<VerifiedToken, TokenFault> {
    let compact = Compact::split(token)?;
    let mut room = [0; TOKEN_HEADER_BYTES_MAX];
    let header = Header::read(compact.header, &mut room)?;
    header.check_token_type()?;
    let payload = base64url::decode(compact.payload).ok_or(TokenFault::Encoding(Part::Claims))?;
    let claims = Claims::read(&payload)?;
    let (position, issuer) = select_issuer(&claims, issuers)?;
    let rules = &issuer.rules;
    if !rules.algorithms.contains(&header.algorithm) {
        return Err(TokenFault::AlgorithmRefused);
    }
    check_time(claims.expires_s, claims.not_before_s, now_s, rules.leeway_s)?;
    claims.check_issued(now_s, rules.leeway_s)?;
    let scopes = rules.scope_claim.as_deref().map(|claim| claims.scopes(claim)).transpose()?;
    let absent = || if issuer.stale { TokenFault::KeysetStale } else { TokenFault::KeysetUnavailable };
    let keyset = issuer.keyset.as_deref().ok_or_else(absent)?;
    let key = jws::check_signature(&compact, &header, keyset)?;
    let mut kids = keyset.kids_of(key).map(Into::into);
    Ok(VerifiedToken {
        issuer: position,
        subject: claims.subject.into(),
        scopes,
        expires_s: claims.expires_s,
        not_before_s: claims.not_before_s,
        issued_s: claims.issued_s,
        kid: kids.next(),
        other_kids: kids.collect(),
        id: claims.id.map(Into::into),
        confirmation: claims.confirmation,
        believed_until_ms: None,
    })
}

/// The issuer whose keys `token` is to be verified with, by what the token itself says: for a second look at one that was
/// refused.
pub fn issuer_of<'i>(token: &[u8], issuers: &'i [Arc<Issuer>]) -> Option<&'i Arc<Issuer>> {
    let compact = Compact::split(token).ok()?;
    let payload = base64url::decode(compact.payload)?;
    let claims = Claims::read(&payload).ok()?;
    select_issuer(&claims, issuers).ok().and_then(|(position, _)| issuers.get(usize::from(position)))
}

fn select_issuer<'i>(claims: &Claims<'_>, issuers: &'i [Arc<Issuer>]) -> Result<(u16, &'i Issuer), TokenFault> {
    let mut known = false;
    for (position, issuer) in issuers.iter().enumerate() {
        if issuer.rules.issuer == claims.issuer {
            known = true;
            if claims.is_for(&issuer.rules.audience) {
                let position = u16::try_from(position).map_err(|_| TokenFault::IssuerUnknown)?;
                return Ok((position, issuer));
            }
        }
    }
    Err(if known { TokenFault::AudienceWrong } else { TokenFault::IssuerUnknown })
}
