//! The decision: from proofs to the caller, and from caller, route and token scopes to the grant.

use crate::bounds::CERTIFICATE_NAMES_MAX;
use crate::model::MinimumTransport;
use crate::reason::Reason;
use crate::table::format::{Agent, BELONGS, NONE, Proof, Route, proof_flag, proof_kind, shape};
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

/// What is asked for, in normal form.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// None: the request is about the gateway itself, which no route is.
    pub target: Option<&'a Target<'a>>,
}

/// Proofs that the names of one certificate are.
pub type CertificateProofs = [Option<ProofId>; CERTIFICATE_NAMES_MAX];

/// The valid credentials of one request, as proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// Proofs that the names of the client's certificate are; names that name nobody are none.
    pub certificate: CertificateProofs,
    /// `Some(None)`: presented, but names nobody.
    pub token: Option<Option<TokenProofId>>,
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
        let mut proofs = CertificateProofs::default();
        let named = cas.flat_map(|ca| names.clone().map(move |name| (ca, name)));
        let found = named.filter_map(|(ca, name)| self.proof_certificate(ca, name));
        for (place, proof) in proofs.iter_mut().zip(found) {
            *place = Some(proof);
        }
        proofs
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
        self.granted(caller, scopes, asked).map_err(|reason| match reason {
            Reason::RouteUnknown | Reason::ScopeMissing if !presented => Reason::CredentialMissing,
            reason => reason,
        })
    }

    fn granted(
        &self,
        caller: &Caller,
        scopes: &TokenScopes,
        asked: &Asked<'_>,
    ) -> Result<(Grant, OriginIndex), Reason> {
        let target = asked.target.ok_or(Reason::RouteUnknown)?;
        let route = self.route(asked.host, asked.method, target.path).ok_or(Reason::RouteUnknown)?;
        let options = self.route_options(route).ok_or(Reason::RouteUnknown)?;
        let grant = self.grant(caller, scopes, route).ok_or(Reason::ScopeMissing)?;
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
    /// - `AgentUnknown`: a token or API key names nobody.
    pub fn caller(&self, presented: &Presented) -> Result<Caller, Reason> {
        let proofs = Proofs::read(self, presented);
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

    /// What allows this caller this route, if anything does: first the caller's own scopes as the token narrows them,
    /// then the anonymous agent's.
    pub fn grant(&self, caller: &Caller, scopes: &TokenScopes, route: RouteId) -> Option<Grant> {
        let record = self.record::<Route>(Section::Routes, route.0)?;
        let row = RowRef { start: record.scopes, count: record.scopes_count };
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
            found.add(AgentId(held.proof.agent), held.is_population())?;
        }
        let combines = |held: Option<Held>| held.filter(|held| held.has(proof_flag::COMBINES));
        let (token, api_key) = (combines(proofs.token), combines(proofs.api_key));
        let population = token.is_some_and(|token| token.is_population());
        let mut look = |shape: u32, members: [Option<Held>; 3], population: bool| {
            let exists = self.shapes() & shape != 0;
            match exists.then(|| self.combination(members.map(|held| held.map_or(NONE, |held| held.id.0)))).flatten() {
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
    fn belongs(&self, held: Held, agent: AgentId) -> bool {
        let shared = || held.has(proof_flag::SHARED) && self.combination([held.id.0, BELONGS, agent.0]).is_some();
        held.proof.agent == agent.0 || shared()
    }
}

/// A presented proof that names somebody.
#[derive(Clone, Copy)]
struct Held {
    id: ProofId,
    proof: Proof,
}

impl Held {
    fn has(&self, flag: u8) -> bool {
        self.proof.flags & flag != 0
    }

    fn is_population(&self) -> bool {
        self.proof.kind == proof_kind::POPULATION
    }
}

struct Proofs {
    certificates: [Option<Held>; CERTIFICATE_NAMES_MAX],
    token: Option<Held>,
    api_key: Option<Held>,
    /// A token or API key was presented that names nobody.
    nobody: bool,
}

impl Proofs {
    fn read<B: AsRef<[u8]>>(table: &Table<B>, presented: &Presented) -> Self {
        let held = |id: ProofId| {
            let proof = table.record::<Proof>(Section::Proofs, id.0)?;
            (proof.agent != NONE).then_some(Held { id, proof })
        };
        let token = presented.token.map(|token| token.and_then(|token| held(token.into())));
        let api_key = presented.api_key.map(|key| key.and_then(held));
        Self {
            certificates: presented.certificate.map(|certificate| certificate.and_then(held)),
            token: token.flatten(),
            api_key: api_key.flatten(),
            nobody: matches!(token, Some(None)) || matches!(api_key, Some(None)),
        }
    }

    fn all(&self) -> impl Iterator<Item = Held> {
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
