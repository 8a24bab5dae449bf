//! Stage 3: from the credentials that a request presents to its caller. Every one presented must be valid.
//!
//! Failures are counted per client prefix and in total, and once there are too many, further unknown credentials are refused
//! without a look.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use activation::Activation;
use activation::filled::Term;
use activation::inquiries::Inquiries;
use activation::stats::WorkerStats;
use identity::api_key;
use identity::certificate::Chains;
use identity::throttle::{Charged, Throttle, ThrottleBounds};
use identity::token::dpop::Proof;
use identity::token::{Cache, CacheBounds};
use policy::decide::{Caller, Presented};
use policy::rate::Gcra;
use policy::reason::Reason;
use policy::table::{ApiKeyIndex, ProofId};
use rustls::pki_types::CertificateDer;

use crate::bound::{self, Asked, Dpop};
use crate::fresh_keys::Question;
use crate::opaque::Answered;
use crate::sent::{Sent, split};
use crate::settings::Bounds;
use crate::waiting::Waiting;

mod certificate;
mod token;

pub use certificate::PeerCertificate;
use token::check_token;
pub use token::{TokenUse, Tokens};

/// Bytes of cached tokens per entry of the bound: a token of ordinary size with its facts.
const CACHED_TOKEN_BYTES: usize = 2 << 10;
const REFUSED_TOKEN_ENTRIES_MAX: usize = 1 << 10;
/// Certificate chains whose verdict is kept.
const CHAINS_MAX: usize = 4 << 10;
/// Client prefixes whose failures are counted at the same time.
const THROTTLED_CLIENTS_MAX: usize = 4 << 10;

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
    pub(crate) question: Option<Question>,
    /// What it waited for, for its second look.
    pub(crate) answered: Option<Box<Answered>>,
    pub(crate) waiting: Waiting,
    /// Of all workers; both.
    pub dpop: Arc<Dpop>,
    pub inquiries: Arc<Inquiries>,
}

impl Memory {
    /// `seed` is random, so that nobody outside can choose what collides.
    pub fn new(bounds: &Bounds, seed: [u64; 4], dpop: Arc<Dpop>, inquiries: Arc<Inquiries>) -> Self {
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
            answered: None,
            waiting: Waiting::default(),
            dpop,
            inquiries,
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
    let (inquiries, client) = (&*memory.inquiries, credentials.client);
    let (answered, waiting) = (&mut memory.answered, &memory.waiting);
    let mut gate = Gate { throttle, holders, question, answered, waiting, inquiries, client, now_unix_ns };
    let mut term = None;
    if let Some(key) = key {
        let (index, proof, of_key) = check_key(activation, key, &mut gate)?;
        term = Some(of_key);
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
    term.map_or(Ok(()), |term| term.check(now_s))?;
    identified.caller = activation.table.caller(&identified.presented)?;
    Ok(())
}

/// Refuses unknown credentials once too many failed, and counts those that do.
pub(crate) struct Gate<'a> {
    pub(crate) throttle: &'a mut Throttle,
    holders: &'a mut Throttle,
    question: &'a mut Option<Question>,
    pub(crate) answered: &'a mut Option<Box<Answered>>,
    pub(crate) waiting: &'a Waiting,
    pub(crate) inquiries: &'a Inquiries,
    pub(crate) client: IpAddr,
    pub(crate) now_unix_ns: u64,
}

impl Gate<'_> {
    pub(crate) fn now_s(&self) -> u64 {
        self.now_unix_ns / 1_000_000_000
    }

    pub(crate) fn pass(&mut self) -> Result<(), Reason> {
        self.throttle.check(self.client, self.now_unix_ns).map_err(|_| Reason::IdentificationThrottled)
    }

    /// The request may wait, and be looked at again.
    pub(crate) fn wait_for(&mut self, question: Question) {
        *self.question = Some(question);
    }

    pub(crate) fn failed(&mut self, reason: Reason) -> Reason {
        self.throttle.failed(self.client, self.now_unix_ns);
        reason
    }

    /// Counts a failure that may turn out to be none.
    pub(crate) fn charge(&mut self) -> Charged {
        self.throttle.charge(self.client, self.now_unix_ns)
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

fn check_key(activation: &Activation, key: &[u8], gate: &mut Gate<'_>) -> Result<(ApiKeyIndex, ProofId, Term), Reason> {
    let form = api_key::parse(key).map_err(|_| gate.failed(Reason::CredentialMalformed))?;
    gate.pass()?;
    let found = activation.table.proof_api_key(form.id.as_bytes());
    // An unknown id costs the same as a wrong secret.
    let term = activation.api_key_term(found.map(|(index, _)| index), &api_key::digest(key));
    let held = found.zip(term).map(|((index, proof), term)| (index, proof, term));
    held.ok_or_else(|| gate.failed(Reason::ApiKeyInvalid))
}
