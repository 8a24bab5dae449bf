//! The certificate of a request's connection: what its names prove, and which CAs vouch for it.

use std::cell::{Cell, RefCell};

use activation::Activation;
use activation::record::put_name;
use activation::uses::Place;
use identity::certificate::{Chains, Facts, Verdict};
use policy::decide::CertificateProofs;
use policy::reason::Reason;
use policy::table::CaIndex;
use rustls::pki_types::CertificateDer;

use crate::revoked::Known;

/// The client certificate of a connection.
pub struct PeerCertificate {
    pub facts: Facts,
    /// The names of the facts as records take them.
    pub names: Box<[u8]>,
    /// What the names prove in the activation that was last asked.
    proofs: RefCell<Option<(u64, Vouched)>>,
    pub revoked: Known,
    /// Where its use was noted last.
    pub used_at: Cell<Place>,
}

/// What a certificate proves, and which CAs vouch for it until when.
#[derive(Clone, Copy)]
pub(super) struct Vouched {
    pub(super) verdict: Verdict,
    pub(super) proofs: CertificateProofs,
}

impl PeerCertificate {
    /// Reads the names of a chain that the handshake accepted; none when the leaf cannot be read.
    pub fn new(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let mut facts = Facts::from_der(chain.first()?).ok()?;
        facts.names.shrink_to_fit();
        let mut names = Vec::new();
        facts.names.iter().for_each(|name| put_name(&mut names, &name.to_string()));
        Some(Self {
            facts,
            names: names.into(),
            proofs: RefCell::new(None),
            revoked: Known::default(),
            used_at: Cell::default(),
        })
    }

    /// Until when a request has found the chain to be good under `activation`, seconds since the Unix epoch; none where none
    /// asked.
    pub fn vouched_until_s(&self, activation: &Activation) -> Option<u64> {
        let known = self.proofs.borrow();
        known.as_ref().filter(|(id, _)| *id == activation.id).map(|(_, vouched)| vouched.verdict.until_s)
    }

    /// What the certificate, the first of `chain`, proves under `activation`. The chain is checked against the
    /// activation's own CAs, because a resumed session skips the check and because CAs change with releases.
    pub(super) fn proofs(
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
