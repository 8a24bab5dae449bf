//! The decision: from proofs to the caller, and from caller, route and token scopes to the grant.

use crate::binding::Bindings;
use crate::bounds::CERTIFICATE_NAMES_MAX;
use crate::model::MinimumTransport;
use crate::reason::Reason;
use crate::table::format::{Agent, BELONGS, NONE, proof_flag, shape};
use crate::table::routes::Routed;
use crate::table::scopes::RowRef;
use crate::table::{
    AgentId, CaIndex, CertificateNameRef, OriginIndex, ProofId, RouteId, ScopeId, Section, Table, TokenProofId,
    TokenScopes,
};
use crate::target::Target;

/// Whether a connection is good enough for the policy.
///
/// # Errors
/// `TransportTooWeak`.
#[inline]
pub fn admit_transport(minimum: MinimumTransport, tls: bool, certificate: bool) -> Result<(), Reason> {
    let enough = match minimum {
        MinimumTransport::Plain => true,
        MinimumTransport::Tls => tls,
        MinimumTransport::Mtls => tls && certificate,
    };
    if enough { Ok(()) } else { Err(Reason::TransportTooWeak) }
}

/// What is not there for everybody is told as a missing credential to who presented none.
pub const fn reason_told(reason: Reason, presented: bool) -> Reason {
    match reason {
        Reason::RouteUnknown | Reason::ScopeMissing if !presented => Reason::CredentialMissing,
        reason => reason,
    }
}

/// What is asked for, in normal form.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// None: the request is about the gateway itself, which no route is.
    pub target: Option<&'a Target<'a>>,
}

/// An agent that no table has: a proof of it conflicts with every other.
const NOBODY: u32 = NONE - 1;

/// Proofs that the names of one certificate are.
pub type CertificateProofs = [Option<ProofId>; CERTIFICATE_NAMES_MAX];

/// The proofs of one certificate as they count. Of those that do nothing but identify one agent, one stands for all.
/// What is more than there are places for is not passed over, because what is not seen cannot conflict: it conflicts.
pub fn gathered(found: impl Iterator<Item = ProofId>) -> CertificateProofs {
    let mut proofs = CertificateProofs::default();
    for proof in found {
        if proof.is_plain() && proofs.iter().flatten().any(|it| it.is_plain() && it.agent == proof.agent) {
            continue;
        }
        match proofs.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(proof),
            None => {
                if let Some(last) = proofs.last_mut() {
                    *last = Some(ProofId { number: NONE, agent: NOBODY, flags: 0, population: false });
                }
            }
        }
    }
    proofs
}

/// The valid credentials of one request, as proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// Proofs that the names of the client's certificate are; names that name nobody are none.
    pub certificate: CertificateProofs,
    /// `Some(None)`: presented, but names nobody.
    pub token: Option<Option<TokenProofId>>,
    /// What the token is bound to, and was shown to be.
    pub bound: Bindings,
    /// `Some(None)`: presented, but names nobody.
    pub api_key: Option<Option<ProofId>>,
}

impl Presented {
    /// Something that names somebody, or a token or key, is there: a refusal is then a 403, not a 401. A certificate
    /// that names nobody may be there for the transport alone.
    #[inline]
    pub fn any(&self) -> bool {
        self.token.is_some() || self.api_key.is_some() || self.certificate.iter().any(Option::is_some)
    }

    /// The proof that is there, if it is the only credential.
    fn only(&self) -> Option<ProofId> {
        let [first, others @ ..] = &self.certificate;
        let only = match (first, self.token, self.api_key) {
            (Some(certificate), None, None) => Some(*certificate),
            (None, Some(Some(token)), None) => Some(token.into()),
            (None, None, Some(Some(api_key))) => Some(api_key),
            _ => None,
        };
        only.filter(|_| others.iter().all(Option::is_none))
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// None: nobody presented anything, and only the anonymous agent's scopes count.
    pub agent: Option<AgentId>,
    /// The agent is identified as a population: its subjects are counted one by one.
    pub population: bool,
}

/// A permit before the limits: what allows the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub route: RouteId,
    /// The agent whose scope granted it: the caller or the anonymous agent.
    pub agent: AgentId,
    /// The lowest scope that grants it.
    pub scope: ScopeId,
    pub by_anonymous: bool,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// What the names of a certificate prove under the CAs that its chain verifies under.
    pub fn certificate_proofs<'n>(
        &self,
        cas: impl Iterator<Item = CaIndex>,
        names: impl Iterator<Item = CertificateNameRef<'n>> + Clone,
    ) -> CertificateProofs {
        let named = cas.flat_map(|ca| names.clone().map(move |name| (ca, name)));
        gathered(named.filter_map(|(ca, name)| self.proof_certificate(ca, name)))
    }

    /// Which route is meant, and which scope grants it. A caller who presented nothing is told to.
    ///
    /// # Errors
    /// - `RouteUnknown`, `ScopeMissing`; both are `CredentialMissing` for one who presented nothing;
    /// - `TargetNotAdmitted`: the path has what this route does not admit.
    pub fn decide(
        &self,
        caller: &Caller,
        presented: bool,
        scopes: &TokenScopes,
        asked: &Asked<'_>,
    ) -> Result<(Grant, OriginIndex), Reason> {
        self.granted(caller, scopes, asked).map_err(|reason| reason_told(reason, presented))
    }

    fn granted(
        &self,
        caller: &Caller,
        scopes: &TokenScopes,
        asked: &Asked<'_>,
    ) -> Result<(Grant, OriginIndex), Reason> {
        let target = asked.target.ok_or(Reason::RouteUnknown)?;
        let routed = self.routed(asked.host, asked.method, target.path).ok_or(Reason::RouteUnknown)?;
        let Routed { route, options, scopes: row } = routed;
        let grant = self.grant_of(caller, scopes, route, row).ok_or(Reason::ScopeMissing)?;
        if (target.encoded_slash && !options.encoded_slash) || (target.path_parameters && !options.path_parameters) {
            return Err(Reason::TargetNotAdmitted);
        }
        Ok((grant, options.origin))
    }

    /// Who presents these proofs.
    ///
    /// # Errors
    /// - `ProofsConflict`: alternatives of several agents hold, or a proof is of another agent than the one found;
    /// - `ProofsIncomplete`: a proof names an agent, but no alternative holds;
    /// - `AgentUnknown`: a token or API key names nobody;
    /// - `TokenUnbound`: the token names somebody whose tokens must be bound, and is not.
    pub fn caller(&self, presented: &Presented) -> Result<Caller, Reason> {
        if let Some(Some(TokenProofId(token))) = presented.token
            && !presented.bound.hold(token.bound())
        {
            return Err(Reason::TokenUnbound);
        }
        // Most requests show one proof that suffices: nothing is to be combined with it, and nothing speaks against it.
        if let Some(proof) = presented.only().filter(|proof| proof.agent != NONE && proof.has(proof_flag::ALONE)) {
            return Ok(Caller { agent: Some(AgentId(proof.agent)), population: proof.population });
        }
        let proofs = Proofs::of(presented);
        let found = self.identify(&proofs)?;
        let Some(agent) = found.agent else {
            return match (proofs.all().next(), proofs.nobody) {
                (Some(_), _) => Err(Reason::ProofsIncomplete),
                (None, true) => Err(Reason::AgentUnknown),
                (None, false) => Ok(Caller { agent: None, population: false }),
            };
        };
        if !proofs.all().all(|proof| self.belongs(proof, agent)) {
            return Err(Reason::ProofsConflict);
        }
        if proofs.nobody {
            return Err(Reason::AgentUnknown);
        }
        Ok(Caller { agent: Some(agent), population: found.population })
    }

    /// Whether any token must be bound to a DPoP key: clients are told so that they can make one.
    pub fn asks_for_dpop(&self) -> bool {
        self.shapes() & shape::DPOP != 0
    }

    /// What allows this caller this route, if anything does: first the caller's own scopes as the token narrows them,
    /// then the anonymous agent's.
    pub fn grant(&self, caller: &Caller, scopes: &TokenScopes, route: RouteId) -> Option<Grant> {
        self.grant_of(caller, scopes, route, self.route_scopes(route)?)
    }

    /// The same for a route whose scopes are those of `row`.
    pub(crate) fn grant_of(&self, caller: &Caller, scopes: &TokenScopes, route: RouteId, row: RowRef) -> Option<Grant> {
        let common = |agent: AgentId, scopes: &TokenScopes| {
            let agent = self.record::<Agent>(Section::Agents, agent.0)?;
            self.common_scope(RowRef { start: agent.scopes, count: agent.scopes_count }, row, scopes)
        };
        if let Some(agent) = caller.agent
            && let Some(scope) = common(agent, scopes)
        {
            return Some(Grant { route, agent, scope, by_anonymous: false });
        }
        let agent = self.anonymous()?;
        let scope = common(agent, &TokenScopes::everything())?;
        Some(Grant { route, agent, scope, by_anonymous: true })
    }

    /// The agent of every alternative that holds.
    fn identify(&self, proofs: &Proofs) -> Result<Found, Reason> {
        let mut found = Found::default();
        for held in proofs.all().filter(|held| held.has(proof_flag::ALONE)) {
            found.add(AgentId(held.agent), held.population)?;
        }
        let combines = |held: Option<ProofId>| held.filter(|held| held.has(proof_flag::COMBINES));
        let (token, api_key) = (combines(proofs.token), combines(proofs.api_key));
        let population = token.is_some_and(|token| token.population);
        let mut look = |shape: u32, members: [Option<ProofId>; 3], population: bool| {
            let exists = self.shapes() & shape != 0;
            match exists.then(|| self.combination(members.map(|held| held.map_or(NONE, |held| held.number)))).flatten()
            {
                Some(agent) => found.add(agent, population),
                None => Ok(()),
            }
        };
        if token.is_some() && api_key.is_some() {
            look(shape::TOKEN_KEY, [None, token, api_key], population)?;
        }
        for certificate in proofs.certificates.into_iter().filter_map(combines).map(Some) {
            if token.is_some() {
                look(shape::CERTIFICATE_TOKEN, [certificate, token, None], population)?;
            }
            if api_key.is_some() {
                look(shape::CERTIFICATE_KEY, [certificate, None, api_key], false)?;
            }
            if token.is_some() && api_key.is_some() {
                look(shape::ALL_THREE, [certificate, token, api_key], population)?;
            }
        }
        Ok(found)
    }

    /// Whether a proof is part of an alternative of this agent.
    fn belongs(&self, held: ProofId, agent: AgentId) -> bool {
        let shared = || held.has(proof_flag::SHARED) && self.combination([held.number, BELONGS, agent.0]).is_some();
        held.agent == agent.0 || shared()
    }
}

/// The presented proofs that name somebody.
struct Proofs {
    certificates: CertificateProofs,
    token: Option<ProofId>,
    api_key: Option<ProofId>,
    /// A token or API key was presented that names nobody.
    nobody: bool,
}

impl Proofs {
    fn of(presented: &Presented) -> Self {
        let held = |proof: ProofId| (proof.agent != NONE).then_some(proof);
        let token = presented.token.map(|token| token.and_then(|token| held(token.into())));
        let api_key = presented.api_key.map(|key| key.and_then(held));
        Self {
            certificates: presented.certificate.map(|certificate| certificate.and_then(held)),
            token: token.flatten(),
            api_key: api_key.flatten(),
            nobody: matches!(token, Some(None)) || matches!(api_key, Some(None)),
        }
    }

    fn all(&self) -> impl Iterator<Item = ProofId> {
        self.certificates.iter().copied().chain([self.token, self.api_key]).flatten()
    }
}

#[derive(Default)]
struct Found {
    agent: Option<AgentId>,
    population: bool,
}

impl Found {
    fn add(&mut self, agent: AgentId, population: bool) -> Result<(), Reason> {
        if self.agent.is_some_and(|found| found != agent) {
            return Err(Reason::ProofsConflict);
        }
        self.agent = Some(agent);
        self.population |= population;
        Ok(())
    }
}
