//! The parts of an activation of another release, with everything kept that the release does not touch: verdicts on
//! tokens, connections to origins and TLS sessions of clients outlive it as far as they may.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use activation::activation::Origin;
use identity::token::Issuer;
use policy::model::{self, Keys};

use super::material::Material;
use super::origins::Planned;
use super::tls::{self, Loaded, Tickets};
use super::{AssembleError, Frozen, Node, keysets, revocation};
use crate::activate::Parts;
use crate::moving::fetch::bounds_of;
use crate::names::Addresses;
use crate::status::KeysetStatus;

/// What serves now.
pub struct Present<'a> {
    pub frozen: &'a Frozen,
    pub parts: &'a Parts,
    pub tickets: &'a Tickets,
    /// By listener.
    pub server_certificates: &'a [Option<Vec<Loaded>>],
}

/// What is to serve next.
pub struct Renewed {
    pub parts: Parts,
    pub tickets: Tickets,
    /// By client CA of the policy: the lists that were read.
    pub crls: Vec<Option<revocation::Read>>,
    /// Of issuers whose keyset was read anew, by name.
    pub keysets: BTreeMap<String, KeysetStatus>,
}

/// The origins of a release before their names are resolved.
pub fn plan(frozen: &Frozen, material: &Material) -> Result<Vec<Planned>, AssembleError> {
    let plan = |origin| Planned::new(origin, material);
    Ok(frozen.policy.origins.iter().map(plan).collect::<Result<_, _>>()?)
}

/// Assembles the parts of `frozen`, which comes after `present`.
pub fn renew(
    frozen: &Frozen,
    node: &Node,
    present: &Present<'_>,
    planned: &[Planned],
    addresses: &Addresses,
    now_s: u64,
) -> Result<Renewed, AssembleError> {
    let mut keysets = BTreeMap::new();
    let mut issuers = Vec::new();
    for rules in &frozen.policy.issuers {
        keysets::check_introspection(rules, node)?;
        issuers.push(issuer(rules, node, present, now_s, &mut keysets)?);
    }
    let origins = planned.iter().map(|planned| origin(planned, addresses, &present.parts.origins)).collect();
    let serving = Some(&*present.parts.client_cas);
    let looked = revocation::look(&frozen.client_cas, &frozen.policy.client_cas, node, serving, now_s)?;
    let trust_changes = looked.set.digest() != present.parts.client_cas.digest();
    // Tickets of sessions that other CAs or lists vouched for are worth nothing any more.
    let tickets = if trust_changes { Tickets::new()? } else { present.tickets.clone() };
    let mut listeners = Vec::new();
    for (index, (files, certificates)) in node.listeners.iter().zip(present.server_certificates).enumerate() {
        listeners.push(match (files, certificates) {
            (Some(files), Some(certificates)) if trust_changes => {
                Some(Arc::new(tls::listener_tls(index, files, certificates, &looked.set, &tickets)?))
            }
            _ => present.parts.listeners.get(index).cloned().flatten(),
        });
    }
    let challenges = present.parts.challenges.clone();
    let parts = Parts { issuers, client_cas: looked.set, origins, listeners, challenges };
    Ok(Renewed { parts, tickets, crls: looked.read, keysets })
}

/// The issuer that serves now when nothing about it changed; else one that was read anew.
fn issuer(
    rules: &model::Issuer,
    node: &Node,
    present: &Present<'_>,
    now_s: u64,
    keysets: &mut BTreeMap<String, KeysetStatus>,
) -> Result<Arc<Issuer>, AssembleError> {
    let before = present.parts.issuers.iter().find(|issuer| issuer.rules().name == rules.name);
    // What is fetched goes on under the same name, whatever was kept of it; nobody waits for the network here.
    let fetched =
        before.filter(|before| bounds_of(&rules.keys).is_some() && keysets::is_same_source(before.rules(), rules));
    if let Some(before) = fetched.filter(|before| before.keyset().is_some()) {
        let same = before.rules() == rules;
        let under = || Arc::new(Issuer::new(rules.clone(), before.keyset().cloned()));
        return Ok(if same { Arc::clone(before) } else { under() });
    }
    match keysets::read(rules, node, now_s) {
        Ok(read) => Ok(match before.filter(|before| same(before, &read.issuer)) {
            Some(before) => Arc::clone(before),
            None => {
                if rules.keys != Keys::None {
                    keysets.insert(rules.name.clone(), read.status);
                }
                read.issuer
            }
        }),
        // The last good keyset of the same file goes on being good.
        Err(error) => match before.filter(|before| {
            let then = before.rules();
            then.keys == rules.keys && then.algorithms == rules.algorithms && before.keyset().is_some()
        }) {
            Some(before) => {
                crate::warning!("{error}: the keyset that serves stays in use");
                Ok(Arc::new(Issuer::new(rules.clone(), before.keyset().cloned())))
            }
            None => Err(error.into()),
        },
    }
}

fn same(one: &Issuer, other: &Issuer) -> bool {
    one.rules() == other.rules() && one.digest() == other.digest()
}

/// The origin that serves now when nothing about it changed.
pub fn origin(planned: &Planned, addresses: &Addresses, present: &[Arc<Origin>]) -> Arc<Origin> {
    let next = planned.resolved(|name| addresses.get(name).cloned().unwrap_or_default());
    let before = present.iter().find(|before| before.name == next.name && same_origin(before, &next));
    before.map_or_else(|| Arc::new(next), Arc::clone)
}

/// Whether requests would go to the same place in the same way.
pub fn same_origin(one: &Origin, other: &Origin) -> bool {
    one.identity == other.identity
        && one.pass_credentials == other.pass_credentials
        && one.injected == other.injected
        && one.assertion == other.assertion
        && addresses(one) == addresses(other)
}

/// Where its requests go.
pub fn addresses(origin: &Origin) -> Vec<SocketAddr> {
    origin.addresses.iter().map(|address| address.socket).collect()
}
