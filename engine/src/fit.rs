//! What every gateway makes of a release, whatever its node: one that fails here would be signed and published, and then
//! refused by each of them.

use control::assemble::origins::Planned;
use control::assemble::{Frozen, Node, keysets};
use identity::certificate::{CaSet, ClientCa};
use policy::model::{Keys, Origin, Policy, ServerCa};
use policy_release::candidate::Release;

use crate::gateway::freeze_as_stated;

/// Compiles a release, and reads the certificates and keys that it holds. Files of the node (watched keysets, identities
/// towards origins) are for each gateway.
pub fn release(release: &Release) -> Result<Frozen, String> {
    let frozen = freeze_as_stated(release)?;
    embedded(&release.policy)?;
    Ok(frozen)
}

/// The same for a policy that is no release yet.
pub fn policy(policy: &Policy) -> Result<(), String> {
    policy::compile::compile(policy, [0; 32]).map_err(|fault| fault.to_string())?;
    let cas = policy.client_cas.iter().map(|ca| ClientCa::from_pem(&ca.name, &ca.certificates));
    let cas = cas.collect::<Result<_, _>>().map_err(|fault| fault.to_string())?;
    CaSet::new(cas).map_err(|fault| fault.to_string())?;
    embedded(policy)
}

fn embedded(policy: &Policy) -> Result<(), String> {
    for issuer in &policy.issuers {
        let of_the_release = match &issuer.keys {
            Keys::Pinned { .. } => true,
            Keys::Watch { .. } => false,
            Keys::Url(fetched) | Keys::Discovery(fetched) => fetched.ca != Some(ServerCa::System),
        };
        if of_the_release {
            keysets::read(issuer, &Node::default(), 0).map_err(|fault| fault.to_string())?;
        }
    }
    for origin in &policy.origins {
        Planned::new(&without_identity(origin), &[]).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

fn without_identity(origin: &Origin) -> Origin {
    let mut origin = origin.clone();
    if let Some(tls) = &mut origin.tls {
        tls.identity = None;
    }
    origin
}
