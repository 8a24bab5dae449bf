//! Stage 3: from the credentials that a request presents to its caller. Every one presented must be valid.
//!
//! A token that was verified before costs a look-up; its times are checked on each use. Failures are counted per client
//! prefix and in total, and once there are too many, further unknown credentials are refused without a look.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use activation::Activation;
use activation::record::put_name;
use activation::stats::WorkerStats;
use identity::api_key;
use identity::certificate::{Chains, Facts, Verdict};
use identity::throttle::{Throttle, ThrottleBounds};
use identity::token::dpop::Proof;
use identity::token::{Cache, CacheBounds, Confirmation, Found, VerifiedToken, verify};
use policy::account::counted_as;
use policy::decide::{Caller, CertificateProofs, Presented};
use policy::rate::Gcra;
use policy::reason::Reason;
use policy::table::{ApiKeyIndex, CaIndex, IssuerIndex, ProofId, TokenProofId, TokenScopes};
use rustls::pki_types::CertificateDer;

use crate::bound::{self, Asked, Dpop};
use crate::fresh_keys::{Look, Question, look};
use crate::revoked::Known;
use crate::sent::{Sent, split};
use crate::settings::Bounds;

/// Bytes of cached tokens per entry of the bound: a token of ordinary size with its facts.
const CACHED_TOKEN_BYTES: usize = 2 << 10;
const REFUSED_TOKEN_ENTRIES_MAX: usize = 1 << 10;
/// Certificate chains whose verdict is kept.
const CHAINS_MAX: usize = 4 << 10;
/// Client prefixes whose failures are counted at the same time.
const THROTTLED_CLIENTS_MAX: usize = 4 << 10;

/// The verified tokens of one worker.
pub type Tokens = Cache<Rc<TokenUse>>;

/// A verified token as one activation sees it.
pub struct TokenUse {
    activation: u64,
    /// Whom the token names; none when nobody.
    proof: Option<TokenProofId>,
    pub scopes: TokenScopes,
    pub issuer: u16,
    pub subject: Box<str>,
    /// Issuer and subject, for limits that count subjects: equal names of two issuers are two subjects.
    pub counted_as: Box<[u8]>,
    /// Of the key that verified it, and others of the same key.
    pub kid: Option<Box<str>>,
    pub other_kids: Box<[Box<str>]>,
    /// `jti`.
    pub id: Option<Box<str>>,
    pub issued_s: Option<u64>,
    pub expires_s: u64,
    pub confirmation: Confirmation,
    /// Space-separated, for the record; see `one_text`.
    pub scopes_text: Option<Box<str>>,
    pub revoked: Known,
}

/// The client certificate of a connection.
pub struct PeerCertificate {
    pub facts: Facts,
    /// The names of the facts as records take them.
    pub names: Box<[u8]>,
    /// What the names prove in the activation that was last asked.
    proofs: RefCell<Option<(u64, Vouched)>>,
    pub revoked: Known,
}

/// What a certificate proves, and which CAs vouch for it until when.
#[derive(Clone, Copy)]
struct Vouched {
    verdict: Verdict,
    proofs: CertificateProofs,
}

/// Who calls, and with what. Of a request that is refused: what was found valid before.
pub struct Identified {
    pub caller: Caller,
    pub presented: Presented,
    pub token: Option<Rc<TokenUse>>,
    /// What was shown with a token that a key is bound to; to be remembered once the request is let through.
    pub proof: Option<Proof>,
    pub api_key: Option<ApiKeyIndex>,
    /// The client CAs that vouch for the certificate, as bits.
    pub certificate_cas: u64,
}

impl Identified {
    /// Nothing was presented yet.
    pub fn nobody() -> Self {
        let caller = Caller { agent: None, population: false };
        Self { caller, presented: Presented::default(), token: None, proof: None, api_key: None, certificate_cas: 0 }
    }
}

/// The credentials of one request.
pub struct Credentials<'a> {
    /// Value of `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// Value of `X-API-Key`.
    pub api_key: Option<&'a [u8]>,
    /// The client's certificate, with the chain that it is the first of.
    pub certificate: Option<(&'a PeerCertificate, &'a [CertificateDer<'static>])>,
    /// For tokens that a key is bound to.
    pub asked: Asked<'a>,
    pub client: IpAddr,
}

impl Credentials<'_> {
    pub fn any(&self) -> bool {
        self.authorization.is_some() || self.api_key.is_some() || self.certificate.is_some()
    }
}

/// What a worker knows of credentials that it saw before.
pub struct Memory {
    pub tokens: Tokens,
    /// Look-ups of tokens that were, and were not, known.
    token_hits: u64,
    token_misses: u64,
    pub chains: Chains,
    pub throttle: Throttle,
    /// The same of those who hold a valid token, and fail to prove its key: apart, so that neither shut out the other.
    holders: Throttle,
    /// What the request that was just refused may wait for.
    pub question: Option<Question>,
    /// Of all workers.
    pub dpop: Arc<Dpop>,
}

impl Memory {
    /// `seed` is random, so that nobody outside can choose what collides.
    pub fn new(bounds: &Bounds, seed: [u64; 4], dpop: Arc<Dpop>) -> Self {
        let per_second =
            |count: u32| Gcra { emission_interval_ns: 1_000_000_000 / u64::from(count.max(1)), burst: count.max(1) };
        let throttle = ThrottleBounds {
            per_client: per_second(bounds.identification_failures_per_prefix_per_s_max),
            total: per_second(bounds.identification_failures_per_s_max),
            clients_max: THROTTLED_CLIENTS_MAX,
        };
        Self {
            tokens: tokens(bounds, seed),
            token_hits: 0,
            token_misses: 0,
            chains: Chains::new(CHAINS_MAX, seed),
            throttle: Throttle::new(throttle, seed),
            holders: Throttle::new(throttle, seed),
            question: None,
            dpop,
        }
    }

    /// Tells the metrics.
    pub fn tell(&self, stats: &WorkerStats) {
        stats.token_cache_hits.set(self.token_hits);
        stats.token_cache_misses.set(self.token_misses);
    }
}

fn tokens(bounds: &Bounds, seed: [u64; 4]) -> Tokens {
    let bounds = CacheBounds {
        verified_entries_max: bounds.token_cache_entries_max,
        verified_bytes_max: bounds.token_cache_entries_max.saturating_mul(CACHED_TOKEN_BYTES),
        refused_entries_max: REFUSED_TOKEN_ENTRIES_MAX,
        refused_bytes_max: REFUSED_TOKEN_ENTRIES_MAX * CACHED_TOKEN_BYTES,
    };
    Cache::new(bounds, seed)
}

impl PeerCertificate {
    /// Reads the names of a chain that the handshake accepted; none when the leaf cannot be read.
    pub fn new(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let mut facts = Facts::from_der(chain.first()?).ok()?;
        facts.names.shrink_to_fit();
        let mut names = Vec::new();
        facts.names.iter().for_each(|name| put_name(&mut names, &name.to_string()));
        Some(Self { facts, names: names.into(), proofs: RefCell::new(None), revoked: Known::default() })
    }

    /// Until when a request has found the chain to be good under `activation`, seconds since the Unix epoch; none where none
    /// asked.
    pub fn vouched_until_s(&self, activation: &Activation) -> Option<u64> {
        let known = self.proofs.borrow();
        known.as_ref().filter(|(id, _)| *id == activation.id).map(|(_, vouched)| vouched.verdict.until_s)
    }

    /// What the certificate, the first of `chain`, proves under `activation`. The chain is checked against the
    /// activation's own CAs, because a resumed session skips the check and because CAs change with releases.
    fn proofs(
        &self,
        chain: &[CertificateDer<'_>],
        activation: &Activation,
        chains: &mut Chains,
        now_s: u64,
    ) -> Result<Vouched, Reason> {
        if let Some((known, vouched)) = &*self.proofs.borrow()
            && *known == activation.id
            && (vouched.verdict.from_s..=vouched.verdict.until_s).contains(&now_s)
        {
            return Ok(*vouched);
        }
        let verdict = chains.cas_of(chain, &activation.client_cas, now_s).map_err(|fault| fault.reason())?;
        let under = (0..64).filter(|ca| verdict.cas & (1 << ca) != 0).map(CaIndex);
        let proofs = activation.table.certificate_proofs(under, self.facts.names.iter().map(Into::into));
        let vouched = Vouched { verdict, proofs };
        *self.proofs.borrow_mut() = Some((activation.id, vouched));
        Ok(vouched)
    }
}

/// Identifies the caller. What is valid is put into `identified` as it is found, also before an error.
///
/// # Errors
/// Why a presented credential does not hold, or why the proofs name nobody.
pub fn identify(
    activation: &Activation,
    memory: &mut Memory,
    credentials: &Credentials<'_>,
    now_unix_ns: u64,
    identified: &mut Identified,
) -> Result<(), Reason> {
    let now_s = now_unix_ns / 1_000_000_000;
    if let Some((certificate, chain)) = credentials.certificate {
        let vouched = certificate.proofs(chain, activation, &mut memory.chains, now_s)?;
        identified.presented.certificate = vouched.proofs;
        identified.certificate_cas = vouched.verdict.cas;
    }
    let Sent { token, key, by_dpop } = split(credentials)?;
    let (throttle, holders, question) = (&mut memory.throttle, &mut memory.holders, &mut memory.question);
    let mut gate = Gate { throttle, holders, question, client: credentials.client, now_unix_ns };
    if let Some(key) = key {
        let (index, proof) = check_key(activation, key, &mut gate)?;
        identified.api_key = Some(index);
        identified.presented.api_key = Some(Some(proof));
    }
    if let Some(token) = token {
        let (used, known) = check_token(activation, &mut memory.tokens, token, &mut gate, now_s);
        *if known { &mut memory.token_hits } else { &mut memory.token_misses } += 1;
        let used = used?;
        identified.presented.token = Some(used.proof);
        let used = &**identified.token.insert(used);
        if by_dpop || !used.confirmation.bindings().is_empty() {
            let certificate = credentials.certificate.map(|(certificate, _)| certificate);
            let sent = bound::Sent { token, by_dpop, asked: &credentials.asked, certificate };
            let held = bound::hold(activation, &memory.dpop, used, &sent, &mut gate)?;
            (identified.presented.bound, identified.proof) = held;
        }
    }
    // Last, so that the record of a refusal holds all that was presented.
    let key = identified.api_key.and_then(|key| activation.api_keys.get(key.index()));
    if key.and_then(|key| key.expires_s).is_some_and(|expires_s| now_s >= expires_s) {
        return Err(Reason::ApiKeyExpired);
    }
    identified.caller = activation.table.caller(&identified.presented)?;
    Ok(())
}

/// Refuses unknown credentials once too many failed, and counts those that do.
pub(crate) struct Gate<'a> {
    throttle: &'a mut Throttle,
    holders: &'a mut Throttle,
    question: &'a mut Option<Question>,
    client: IpAddr,
    now_unix_ns: u64,
}

impl Gate<'_> {
    pub(crate) fn now_s(&self) -> u64 {
        self.now_unix_ns / 1_000_000_000
    }

    pub(crate) fn pass(&mut self) -> Result<(), Reason> {
        self.throttle.check(self.client, self.now_unix_ns).map_err(|_| Reason::IdentificationThrottled)
    }

    pub(crate) fn failed(&mut self, reason: Reason) -> Reason {
        self.throttle.failed(self.client, self.now_unix_ns);
        reason
    }

    /// For what only the holder of a valid token can present.
    pub(crate) fn pass_holder(&mut self) -> Result<(), Reason> {
        self.holders.check(self.client, self.now_unix_ns).map_err(|_| Reason::IdentificationThrottled)
    }

    pub(crate) fn holder_failed(&mut self, reason: Reason) -> Reason {
        self.holders.failed(self.client, self.now_unix_ns);
        reason
    }
}

fn check_key(activation: &Activation, key: &[u8], gate: &mut Gate<'_>) -> Result<(ApiKeyIndex, ProofId), Reason> {
    let form = api_key::parse(key).map_err(|_| gate.failed(Reason::CredentialMalformed))?;
    gate.pass()?;
    let found = activation.table.proof_api_key(form.id.as_bytes());
    let declared = found.and_then(|(index, _)| activation.api_keys.get(index.index()));
    // An unknown id costs the same as a wrong secret.
    let expected = declared.and_then(|key| key.sha256);
    let same = api_key::matches(&api_key::digest(key), &expected.unwrap_or([0; 32]));
    match (found, same && expected.is_some()) {
        (Some(found), true) => Ok(found),
        _ => Err(gate.failed(Reason::ApiKeyInvalid)),
    }
}

/// What a token proves, and whether it was known before.
fn check_token(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
    now_s: u64,
) -> (Result<Rc<TokenUse>, Reason>, bool) {
    match tokens.find(token, &activation.issuers) {
        Found::Verified { token: verified, value } => {
            let issuer = activation.issuers.get(usize::from(verified.issuer));
            let leeway_s = issuer.map_or(0, |issuer| issuer.rules().leeway_s);
            if let Err(fault) = verified.check_time(now_s, leeway_s) {
                return (Err(fault.reason()), true);
            }
            if value.activation != activation.id {
                *value = Rc::new(TokenUse::new(activation, verified));
            }
            (Ok(Rc::clone(value)), true)
        }
        Found::Refused(fault) => (Err(gate.failed(fault.reason())), true),
        Found::Unknown => (verify_token(activation, tokens, token, gate, now_s), false),
    }
}

fn verify_token(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
    now_s: u64,
) -> Result<Rc<TokenUse>, Reason> {
    gate.pass()?;
    match verify(token, &activation.issuers, now_s) {
        Ok(verified) => {
            let used = Rc::new(TokenUse::new(activation, &verified));
            tokens.keep(token, &activation.issuers, verified, Rc::clone(&used));
            Ok(used)
        }
        Err(fault) => {
            match look(token, &activation.issuers, fault) {
                Look::Final => drop(tokens.keep_refused(token, &activation.issuers, fault)),
                Look::Closed => {}
                Look::Asked(question) => {
                    // Not counted as a failure before it is one.
                    *gate.question = Some(question);
                    return Err(fault.reason());
                }
            }
            Err(gate.failed(fault.reason()))
        }
    }
}

impl TokenUse {
    fn new(activation: &Activation, token: &VerifiedToken) -> Self {
        let table = &activation.table;
        let scopes = token.scopes.as_ref();
        let issuer = activation.issuers.get(usize::from(token.issuer));
        Self {
            activation: activation.id,
            proof: table.proof_token(IssuerIndex(token.issuer), token.subject.as_bytes()),
            scopes: scopes.map_or(TokenScopes::everything(), |names| {
                table.token_scopes(names.iter().map(|name| name.as_bytes()))
            }),
            issuer: token.issuer,
            subject: token.subject.clone(),
            counted_as: counted_as(issuer.map_or("", |issuer| &issuer.rules().issuer), &token.subject),
            kid: token.kid.clone(),
            other_kids: token.other_kids.clone(),
            id: token.id.clone(),
            issued_s: token.issued_s,
            expires_s: token.expires_s,
            confirmation: token.confirmation,
            scopes_text: scopes.map(|names| one_text(names)),
            revoked: Known::default(),
        }
    }
}

/// Scopes with spaces between them. A name with a space in it, which a list can have, is left out: no scope of a policy
/// has one, and it would read as two.
fn one_text(names: &[Box<str>]) -> Box<str> {
    let names: Vec<&str> = names.iter().map(|name| &**name).filter(|name| !name.contains(' ')).collect();
    names.join(" ").into()
}
