//! Stage 3, of tokens that are bound: what must be shown beside them (RFC 8705 §3, RFC 9449 §7).

use activation::Activation;
use activation::seen::{Seen, Shown};
use identity::token::dpop::{DpopFault, Nonces, Proof, RequestUri, Wanted, check};
use policy::binding::Bindings;
use policy::reason::Reason;

use crate::identify::{Gate, Identified, PeerCertificate, TokenUse};

/// What the workers of a gateway know of DPoP together: a proof that one of them saw is known to all.
#[derive(Debug)]
pub struct Dpop {
    seen: Seen,
    /// Where the gateway asks for nonces.
    nonces: Option<Nonces>,
}

impl Dpop {
    /// `seed` and `nonce_key` are random.
    pub fn new(proofs_max: usize, asks_for_nonces: bool, seed: [u64; 4], nonce_key: &[u8; 32]) -> Self {
        Self { seen: Seen::new(proofs_max, seed), nonces: asks_for_nonces.then(|| Nonces::new(nonce_key)) }
    }

    /// The nonce to give out at `now_s`, where the gateway asks for them.
    pub fn nonce(&self, now_s: u64) -> Option<String> {
        self.nonces.as_ref().map(|nonces| nonces.at(now_s))
    }

    /// Remembers the proof of a request that is let through, so that it is the last one with it: at `now_s`, once its limits
    /// are charged, because what an agent may not do must not fill the room that all share.
    ///
    /// # Errors
    /// Another request was let through with it since it was looked at; there is no room, or none for this subject.
    pub fn remember(&self, identified: &Identified, now_s: u64) -> Result<(), Reason> {
        let (Some(proof), Some(token)) = (&identified.proof, &identified.token) else { return Ok(()) };
        match self.seen.show(&proof.id, &token.counted_as, (proof.kept_until_s, proof.kept_s_max), now_s) {
            Shown::First => Ok(()),
            Shown::Again => Err(Reason::DpopReplayed),
            Shown::Full => Err(Reason::DpopReplaysFull),
        }
    }
}

/// What a DPoP proof must say of its request, and the proof.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a [u8],
    pub uri: RequestUri<'a>,
    /// Value of `DPoP`.
    pub proof: Option<&'a [u8]>,
}

/// A token as it was sent.
pub(crate) struct Sent<'a> {
    pub token: &'a [u8],
    /// `Authorization: DPoP`, not `Bearer`.
    pub by_dpop: bool,
    pub asked: &'a Asked<'a>,
    pub certificate: Option<&'a PeerCertificate>,
}

/// Checks all that a token is bound to, and gives what holds, with the proof that is to be remembered.
///
/// # Errors
/// What is missing or wrong. Wrong proofs are counted as unknown credentials are, and apart from those.
pub(crate) fn hold(
    activation: &Activation,
    dpop: &Dpop,
    token: &TokenUse,
    sent: &Sent<'_>,
    gate: &mut Gate<'_>,
) -> Result<(Bindings, Option<Proof>), Reason> {
    let confirmation = &token.confirmation;
    if confirmation.certificate_sha256.is_some() {
        let certificate = sent.certificate.ok_or(Reason::TokenCertificateMissing)?;
        if !confirmation.is_certificate(&certificate.facts.sha256) {
            return Err(Reason::TokenCertificateWrong);
        }
    }
    let proof = match (&confirmation.key_thumbprint, sent.by_dpop) {
        (None, false) => None,
        // A token that no key is bound to proves nothing by a key.
        (None, true) => return Err(Reason::DpopKeyWrong),
        (Some(_), false) => return Err(Reason::DpopMissing),
        (Some(key_thumbprint), true) => {
            let proof = sent.asked.proof.ok_or(Reason::DpopMissing)?;
            let issuer = activation.issuers.get(usize::from(token.issuer));
            let wanted = Wanted {
                method: sent.asked.method,
                uri: sent.asked.uri,
                token: sent.token,
                key_thumbprint,
                now_s: gate.now_s(),
                leeway_s: issuer.map_or(0, |issuer| issuer.rules().leeway_s),
                nonces: dpop.nonces.as_ref(),
            };
            Some(prove(dpop, proof, &wanted, gate)?)
        }
    };
    Ok((confirmation.bindings(), proof))
}

fn prove(dpop: &Dpop, proof: &[u8], wanted: &Wanted<'_>, gate: &mut Gate<'_>) -> Result<Proof, Reason> {
    gate.pass_holder()?;
    let proof = check(proof, wanted).map_err(|fault| match fault {
        // The first request of each client comes without one.
        DpopFault::NonceWrong => fault.reason(),
        fault => gate.holder_failed(fault.reason()),
    })?;
    if dpop.seen.knows(&proof.id, proof.kept_until_s, wanted.now_s) {
        return Err(gate.holder_failed(Reason::DpopReplayed));
    }
    Ok(proof)
}
