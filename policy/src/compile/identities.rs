//! Proofs, the alternatives that they make up, and the hash table over both.

use std::collections::{BTreeMap, BTreeSet};

use super::CompileError;
use super::names::Names;
use super::places;
use super::strings::Strings;
use crate::binding::Bindings;
use crate::bounds::{ALTERNATIVES_PER_AGENT_MAX, IDENTITIES_PER_AGENT_MAX};
use crate::hash::{self, Probe};
use crate::model::{Agent, Binding, Identity, Policy, Proofs, Subject, TokenProof};
use crate::table::CertificateNameRef;
use crate::table::format::{BELONGS, Combination, NONE, Proof, SLOTS_PER_LINE, Slot, proof_flag, proof_kind, shape};

/// How full the lines of slots are: eight to a line with two lines to choose from go up to about 99 %.
const FILL_PERCENT: usize = 90;

pub(super) struct Identities {
    pub seed: u64,
    pub slots: Vec<Slot>,
    pub proofs: Vec<Proof>,
    pub combinations: Vec<Combination>,
    pub shapes: u32,
}

/// What a proof is told by. The order is that of the records: API keys first, as the policy lists them.
type Key<'p> = (u8, u16, &'p str);

/// Proofs needed together: certificate, token, API key.
type Alternative<'p> = [Option<Key<'p>>; 3];

pub(super) fn build<'p>(
    policy: &'p Policy,
    names: &Names<'_>,
    strings: &mut Strings<'p>,
    digest: &[u8; 32],
) -> Result<Identities, CompileError> {
    let alternatives = alternatives(policy, names)?;
    let excepted = exceptions(policy, names)?;
    let keys = policy.api_keys.iter().map(|key| (proof_kind::API_KEY, 0, key.id.as_str()));
    let named: BTreeSet<Key<'p>> = keys.chain(alternatives.keys().flatten().flatten().copied()).collect();
    let bound = bindings(policy, names)?;
    let mut proofs = Vec::new();
    let mut ids = BTreeMap::new();
    for key in named.union(&excepted) {
        let (kind, qualifier, text) = *key;
        let (value, value_length) = strings.intern(text)?;
        let bound = bound.get(key).map_or(0, |binding| Bindings::of(*binding).bits() << proof_flag::BOUND_SHIFT);
        let flags = bound | if named.contains(key) { 0 } else { proof_flag::EXCEPTED };
        ids.insert(*key, proofs.len() as u32);
        proofs.push(Proof { value, agent: NONE, value_length, qualifier, kind, flags, reserved: 0 });
    }
    let id_of = |key: Option<Key<'p>>| key.and_then(|key| ids.get(&key).copied()).unwrap_or(NONE);
    let sets: BTreeMap<[u32; 3], u32> = alternatives.iter().map(|(set, agent)| (set.map(id_of), *agent)).collect();
    let (combinations, shapes) = combine(&sets, &mut proofs);
    let dpop = bound.values().any(|binding| *binding == Some(Binding::Dpop));
    let shapes = shapes | if dpop { shape::DPOP } else { 0 };
    let (seed, slots) = slots(&ids, &combinations, digest)?;
    Ok(Identities { seed, slots, proofs, combinations, shapes })
}

/// Every alternative with its agent; a set with several API keys is one alternative for each.
fn alternatives<'p>(policy: &'p Policy, names: &Names<'_>) -> Result<BTreeMap<Alternative<'p>, u32>, CompileError> {
    let mut all: BTreeMap<Alternative<'p>, u32> = BTreeMap::new();
    for (agent, index) in policy.agents.iter().zip(0_u32..) {
        let found = agent.identity.len();
        if found > IDENTITIES_PER_AGENT_MAX {
            return Err(CompileError::TooManyIdentities { agent: agent.name.clone(), found });
        }
        let mut own = BTreeSet::new();
        for identity in &agent.identity {
            let Identity::Proofs(proofs) = identity else { continue };
            let (certificate, token) = certificate_and_token(agent, proofs, names)?;
            if proofs.api_keys.is_empty() {
                own.insert([certificate, token, None]);
            }
            for id in &proofs.api_keys {
                names.api_key(id, &agent.name)?;
                own.insert([certificate, token, Some((proof_kind::API_KEY, 0, id.as_str()))]);
            }
        }
        if own.contains(&[None, None, None]) {
            return Err(CompileError::ProofsEmpty { agent: agent.name.clone() });
        }
        if own.len() > ALTERNATIVES_PER_AGENT_MAX {
            return Err(CompileError::TooManyAlternatives { agent: agent.name.clone(), found: own.len() });
        }
        for alternative in own {
            if let Some(other) = all.insert(alternative, index) {
                let first = policy.agents.get(other as usize).map_or_else(String::new, |agent| agent.name.clone());
                return Err(CompileError::AlternativeShared { first, second: agent.name.clone() });
            }
        }
    }
    Ok(all)
}

fn certificate_and_token<'p>(
    agent: &Agent,
    proofs: &'p Proofs,
    names: &Names<'_>,
) -> Result<(Option<Key<'p>>, Option<Key<'p>>), CompileError> {
    let certificate = match &proofs.certificate {
        Some(proof) => {
            let name = CertificateNameRef::from(&proof.name);
            Some((name.kind(), names.ca(&proof.ca, &agent.name)?, name.value()))
        }
        None => None,
    };
    let token = proofs.token.as_ref().map(|proof| token_key(agent, proof, names)).transpose()?;
    Ok((certificate, token))
}

fn token_key<'p>(agent: &Agent, proof: &'p TokenProof, names: &Names<'_>) -> Result<Key<'p>, CompileError> {
    let issuer = names.issuer(&proof.issuer, &agent.name)?;
    Ok(match &proof.subject {
        Subject::Exactly(subject) => (proof_kind::TOKEN, issuer, subject.as_str()),
        Subject::AnyBut(_) => (proof_kind::POPULATION, issuer, ""),
    })
}

/// What each token must be bound to. It is a matter of the token, so all alternatives that hold one must say the same:
/// else whoever stole it would take the one that asks for less.
fn bindings<'p>(policy: &'p Policy, names: &Names<'_>) -> Result<BTreeMap<Key<'p>, Option<Binding>>, CompileError> {
    let mut all = BTreeMap::new();
    for agent in &policy.agents {
        for identity in &agent.identity {
            let Identity::Proofs(Proofs { token: Some(token), .. }) = identity else { continue };
            if *all.entry(token_key(agent, token, names)?).or_insert(token.bound) != token.bound {
                return Err(CompileError::BindingsDiffer { agent: agent.name.clone(), issuer: token.issuer.clone() });
            }
        }
    }
    Ok(all)
}

/// The subjects that populations except, as keys of kind `TOKEN`. An issuer has one population, so all agents that
/// stand for it must except the same.
fn exceptions<'p>(policy: &'p Policy, names: &Names<'_>) -> Result<BTreeSet<Key<'p>>, CompileError> {
    let mut by_issuer: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for agent in &policy.agents {
        for identity in &agent.identity {
            let Identity::Proofs(Proofs { token: Some(token), .. }) = identity else { continue };
            let Subject::AnyBut(excepted) = &token.subject else { continue };
            let issuer = names.issuer(&token.issuer, &agent.name)?;
            let excepted: BTreeSet<&str> = excepted.iter().map(String::as_str).collect();
            if *by_issuer.entry(issuer).or_insert_with(|| excepted.clone()) != excepted {
                return Err(CompileError::ExceptionsDiffer { agent: agent.name.clone(), issuer: token.issuer.clone() });
            }
        }
    }
    let keys = by_issuer
        .into_iter()
        .flat_map(|(issuer, excepted)| excepted.into_iter().map(move |subject| (proof_kind::TOKEN, issuer, subject)));
    Ok(keys.collect())
}

/// Marks each proof with what it is part of, and lists the alternatives of several proofs.
fn combine(sets: &BTreeMap<[u32; 3], u32>, proofs: &mut [Proof]) -> (Vec<Combination>, u32) {
    let mut combinations = Vec::new();
    let mut shapes = 0;
    for (set, agent) in sets {
        let alone = set.iter().filter(|id| **id != NONE).count() == 1;
        for id in set {
            let Some(proof) = proofs.get_mut(*id as usize) else { continue };
            if proof.agent != NONE && proof.agent != *agent {
                proof.flags |= proof_flag::SHARED;
                shapes |= shape::SHARED;
            }
            // No two agents have the same alternative, so at most one can be identified by this proof alone.
            if alone || proof.agent == NONE {
                proof.agent = *agent;
            }
            proof.flags |= if alone { proof_flag::ALONE } else { proof_flag::COMBINES };
        }
        if !alone {
            let [certificate, token, api_key] = *set;
            shapes |= shape_of(*set);
            combinations.push(Combination { certificate, token, api_key, agent: *agent });
        }
    }
    let mut belongings = BTreeSet::new();
    for (set, agent) in sets {
        for id in set {
            let shared = proofs.get(*id as usize).filter(|proof| proof.flags & proof_flag::SHARED != 0);
            if shared.is_some_and(|proof| proof.agent != *agent) {
                belongings.insert((*id, *agent));
            }
        }
    }
    let belongs = |(id, agent)| Combination { certificate: id, token: BELONGS, api_key: agent, agent };
    combinations.extend(belongings.into_iter().map(belongs));
    (combinations, shapes)
}

fn shape_of([certificate, token, api_key]: [u32; 3]) -> u32 {
    match (certificate != NONE, token != NONE, api_key != NONE) {
        (true, true, true) => shape::ALL_THREE,
        (true, true, false) => shape::CERTIFICATE_TOKEN,
        (true, false, true) => shape::CERTIFICATE_KEY,
        (false, true, true) => shape::TOKEN_KEY,
        _ => 0,
    }
}

fn slots(
    ids: &BTreeMap<Key<'_>, u32>,
    combinations: &[Combination],
    digest: &[u8; 32],
) -> Result<(u64, Vec<Slot>), CompileError> {
    let keys: Vec<&Key<'_>> = ids.keys().collect();
    let hash_of = |seed: u64, index: usize| match (keys.get(index), combinations.get(index.wrapping_sub(keys.len()))) {
        (Some((kind, qualifier, text)), _) => hash::proof(seed, *kind, *qualifier, text.as_bytes()),
        (None, Some(entry)) => hash::combination(seed, [entry.certificate, entry.token, entry.api_key]),
        (None, None) => 0,
    };
    let count = keys.len() + combinations.len();
    let places = places::search(("identities", 2), digest, (count, SLOTS_PER_LINE, FILL_PERCENT), hash_of)?;
    let slots = places.keys.iter().map(|key| match *key {
        NONE => Slot { tag: 0, index: NONE },
        index => Slot { tag: Probe::new(hash_of(places.seed, index as usize), places.lines).tag, index },
    });
    Ok((places.seed, slots.collect()))
}
