//! Both policies with what a comparison looks up in them, in numbers that mean the same on both sides.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use policy::binding::Bindings;
use policy::model::{CertificateName, Identity, MinimumTransport, Policy, Proofs, Subject};

use crate::look::Look;
use crate::sets::{EMPTY, Names, SetId, Sets};

/// Which of the two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Old,
    New,
}

impl Which {
    pub const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// An issuer or CA of either policy: its position in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    pub old: Option<u16>,
    pub new: Option<u16>,
}

impl Pair {
    pub fn at(self, which: Which) -> Option<u16> {
        match which {
            Which::Old => self.old,
            Which::New => self.new,
        }
    }
}

/// Holders of proofs: who has which.
#[derive(Default)]
pub struct Holders<'p> {
    pub certificates: HashMap<(u16, &'p CertificateName), Vec<u32>>,
    pub subjects: HashMap<(u16, &'p str), Vec<u32>>,
    pub populations: HashMap<u16, Vec<u32>>,
    pub excepted: HashSet<(u16, &'p str)>,
    /// Declared API keys, used or not.
    pub keys: HashMap<&'p str, Vec<u32>>,
}

/// One policy.
pub struct Face<'p> {
    pub policy: &'p Policy,
    pub table: &'p dyn Look,
    pub agent_scopes: Vec<SetId>,
    pub route_scopes: Vec<SetId>,
    pub anonymous: Option<u32>,
    pub anonymous_scopes: SetId,
    pub holders: Holders<'p>,
    pub agents: HashMap<&'p str, u32>,
    /// A client certificate cannot be left out.
    pub certificate_needed: bool,
}

impl<'p> Face<'p> {
    pub fn agent_name(&self, agent: u32) -> &'p str {
        self.policy.agents.get(agent as usize).map_or("", |agent| &agent.name)
    }

    pub fn route_name(&self, route: u32) -> &'p str {
        self.policy.routes.get(route as usize).map_or("", |route| &route.name)
    }

    pub fn scopes_of_agent(&self, agent: u32) -> SetId {
        self.agent_scopes.get(agent as usize).copied().unwrap_or(EMPTY)
    }

    pub fn scopes_of_route(&self, route: u32) -> SetId {
        self.route_scopes.get(route as usize).copied().unwrap_or(EMPTY)
    }

    pub fn is_population(&self, agent: u32) -> bool {
        let population = |identity: &Identity| {
            matches!(identity, Identity::Proofs(Proofs { token: Some(token), .. })
                if matches!(token.subject, Subject::AnyBut(_)))
        };
        self.policy.agents.get(agent as usize).is_some_and(|agent| agent.identity.iter().any(population))
    }
}

/// Both policies.
pub struct World<'p> {
    pub old: Face<'p>,
    pub new: Face<'p>,
    pub scopes: Names<'p>,
    pub sets: Sets,
    pub issuers: Vec<Pair>,
    pub cas: Vec<Pair>,
    issuers_of: [HashMap<&'p str, u16>; 2],
    cas_of: [HashMap<&'p str, u16>; 2],
    /// A subject that neither policy mentions.
    pub fresh_subject: &'p str,
}

/// A name that is not one of `taken`.
pub fn fresh<'s>(start: &str, taken: impl Iterator<Item = &'s str>) -> String {
    let taken: HashSet<&str> = taken.filter(|name| name.starts_with(start)).collect();
    let numbered = (0_usize..).map(|number| if number == 0 { start.to_owned() } else { format!("{start}-{number}") });
    numbered.take(taken.len() + 1).find(|name| !taken.contains(name.as_str())).unwrap_or_default()
}

/// Every subject that a policy mentions.
pub fn subjects(policy: &Policy) -> impl Iterator<Item = &str> {
    let proofs = policy.agents.iter().flat_map(|agent| &agent.identity).filter_map(|identity| match identity {
        Identity::Proofs(proofs) => proofs.token.as_ref(),
        Identity::Anonymous => None,
    });
    proofs
        .flat_map(|token| match &token.subject {
            Subject::Exactly(subject) => std::slice::from_ref(subject).iter(),
            Subject::AnyBut(excepted) => excepted.iter(),
        })
        .map(String::as_str)
}

impl<'p> World<'p> {
    pub fn new(
        (old, old_table): (&'p Policy, &'p dyn Look),
        (new, new_table): (&'p Policy, &'p dyn Look),
        fresh_subject: &'p str,
    ) -> Self {
        let mut scopes = Names::default();
        let mut sets = Sets::default();
        let (issuers, issuers_of) = pairs(
            old.issuers.iter().map(|issuer| (issuer.name.as_str(), issuer.issuer.as_str())),
            new.issuers.iter().map(|issuer| (issuer.name.as_str(), issuer.issuer.as_str())),
        );
        let (cas, cas_of) = pairs(
            old.client_cas.iter().map(|ca| (ca.name.as_str(), ca.certificates.as_str())),
            new.client_cas.iter().map(|ca| (ca.name.as_str(), ca.certificates.as_str())),
        );
        let [old_issuers, new_issuers] = &issuers_of;
        let [old_cas, new_cas] = &cas_of;
        let old = face(old, old_table, (old_issuers, old_cas), &mut scopes, &mut sets);
        let new = face(new, new_table, (new_issuers, new_cas), &mut scopes, &mut sets);
        Self { old, new, scopes, sets, issuers, cas, issuers_of, cas_of, fresh_subject }
    }

    pub fn face(&self, which: Which) -> &Face<'p> {
        match which {
            Which::Old => &self.old,
            Which::New => &self.new,
        }
    }

    pub fn issuer(&self, which: Which, name: &str) -> Option<u16> {
        let [old, new] = &self.issuers_of;
        (if which == Which::Old { old } else { new }).get(name).copied()
    }

    pub fn ca(&self, which: Which, name: &str) -> Option<u16> {
        let [old, new] = &self.cas_of;
        (if which == Which::Old { old } else { new }).get(name).copied()
    }

    pub fn issuer_pair(&self, issuer: u16) -> Pair {
        self.issuers.get(usize::from(issuer)).copied().unwrap_or_default()
    }

    /// What a side needs a token to be bound to.
    pub fn needed(&self, which: Which, issuer: u16, subject: &str) -> Bindings {
        let proof = self.issuer_pair(issuer).at(which).and_then(|issuer| self.face(which).table.token(issuer, subject));
        proof.map_or(Bindings::NONE, |proof| proof.0.bound())
    }

    /// The bindings that stand for all that a token may have: those that suffice for one side, and for both. With others
    /// it fares no better, and with fewer it is refused by both.
    pub fn forms(&self, issuer: u16, subject: &str) -> Vec<Bindings> {
        let (old, new) = (self.needed(Which::Old, issuer, subject), self.needed(Which::New, issuer, subject));
        let mut forms = vec![old, new, old.and(new)];
        forms.sort_unstable();
        forms.dedup();
        forms
    }

    pub fn ca_pair(&self, ca: u16) -> Pair {
        self.cas.get(usize::from(ca)).copied().unwrap_or_default()
    }

    /// The claim of scopes that a side reads in tokens of an issuer.
    pub fn claim(&self, which: Which, issuer: u16) -> Option<&'p str> {
        let index = self.issuer_pair(issuer).at(which)?;
        self.face(which).policy.issuers.get(usize::from(index))?.scope_claim.as_deref()
    }
}

type Numbers<'p> = HashMap<&'p str, u16>;

/// Things of both policies by name, and those that are left by what they are, so that a new name is no new thing.
fn pairs<'p>(
    old: impl Iterator<Item = (&'p str, &'p str)>,
    new: impl Iterator<Item = (&'p str, &'p str)>,
) -> (Vec<Pair>, [Numbers<'p>; 2]) {
    let mut all: Vec<Pair> = Vec::new();
    let (mut old_numbers, mut new_numbers) = (Numbers::new(), Numbers::new());
    let mut left: BTreeMap<&str, u16> = BTreeMap::new();
    for ((name, what), index) in old.zip(0_u16..) {
        let number = all.len() as u16;
        all.push(Pair { old: Some(index), new: None });
        old_numbers.insert(name, number);
        left.insert(what, number);
    }
    let new: Vec<_> = new.zip(0_u16..).collect();
    let kept: BTreeSet<u16> = new.iter().filter_map(|((name, _), _)| old_numbers.get(name).copied()).collect();
    left.retain(|_, number| !kept.contains(number));
    for ((name, what), index) in new {
        let known = old_numbers.get(name).copied().or_else(|| left.remove(what));
        let number = known.unwrap_or(all.len() as u16);
        match all.get_mut(usize::from(number)) {
            Some(pair) => pair.new = Some(index),
            None => all.push(Pair { old: None, new: Some(index) }),
        }
        new_numbers.insert(name, number);
    }
    (all, [old_numbers, new_numbers])
}

fn face<'p>(
    policy: &'p Policy,
    table: &'p dyn Look,
    (issuers, cas): (&Numbers<'p>, &Numbers<'p>),
    scopes: &mut Names<'p>,
    sets: &mut Sets,
) -> Face<'p> {
    let routes: HashMap<&str, usize> = policy.routes.iter().map(|route| route.name.as_str()).zip(0..).collect();
    let mut of_routes: Vec<Vec<u32>> = vec![Vec::new(); policy.routes.len()];
    for scope in &policy.scopes {
        let number = scopes.number(&scope.name);
        for route in &scope.routes {
            if let Some(set) = routes.get(route.as_str()).and_then(|route| of_routes.get_mut(*route)) {
                set.push(number);
            }
        }
    }
    let route_scopes = of_routes.into_iter().map(|set| sets.id(set)).collect();
    let numbered = |agent: &'p policy::model::Agent, scopes: &mut Names<'p>| {
        agent.scopes.iter().map(|scope| scopes.number(scope)).collect::<Vec<u32>>()
    };
    let agent_scopes: Vec<SetId> = policy.agents.iter().map(|agent| sets.id(numbered(agent, scopes))).collect();
    let is_anonymous = |agent: &policy::model::Agent| agent.identity.contains(&Identity::Anonymous);
    let anonymous = policy.agents.iter().position(is_anonymous).map(|index| index as u32);
    let anonymous_scopes = anonymous.and_then(|agent| agent_scopes.get(agent as usize).copied()).unwrap_or(EMPTY);
    let agents = policy.agents.iter().map(|agent| agent.name.as_str()).zip(0..).collect();
    let certificate_needed = policy.transport == MinimumTransport::Mtls;
    let holders = holders(policy, issuers, cas);
    Face { policy, table, agent_scopes, route_scopes, anonymous, anonymous_scopes, holders, agents, certificate_needed }
}

fn holders<'p>(policy: &'p Policy, issuers: &Numbers<'p>, cas: &Numbers<'p>) -> Holders<'p> {
    let mut holders = Holders::default();
    holders.keys.extend(policy.api_keys.iter().map(|key| (key.id.as_str(), Vec::new())));
    for (agent, index) in policy.agents.iter().zip(0_u32..) {
        let add = |to: &mut Vec<u32>| {
            if to.last() != Some(&index) {
                to.push(index);
            }
        };
        for identity in &agent.identity {
            let Identity::Proofs(proofs) = identity else { continue };
            if let Some(proof) = &proofs.certificate
                && let Some(ca) = cas.get(proof.ca.as_str())
            {
                add(holders.certificates.entry((*ca, &proof.name)).or_default());
            }
            if let Some(token) = &proofs.token
                && let Some(issuer) = issuers.get(token.issuer.as_str())
            {
                match &token.subject {
                    Subject::Exactly(subject) => add(holders.subjects.entry((*issuer, subject)).or_default()),
                    Subject::AnyBut(excepted) => {
                        add(holders.populations.entry(*issuer).or_default());
                        holders.excepted.extend(excepted.iter().map(|subject| (*issuer, subject.as_str())));
                    }
                }
            }
            for id in &proofs.api_keys {
                add(holders.keys.entry(id).or_default());
            }
        }
    }
    // A subject that an agent names is that agent's, excepted or not.
    holders.excepted.retain(|subject| !holders.subjects.contains_key(subject));
    holders
}
