//! What every gateway makes of a release, whatever its node: one that fails here would be signed and published, and then
//! refused by each of them.

use control::assemble::material::Material;
use control::assemble::origins::{Planned, check_credential};
use control::assemble::{Frozen, Node, keysets};
use control::introspection;
use identity::certificate::{CaSet, ClientCa};
use policy::model::{Keys, Origin, Policy, ServerCa};
use policy_release::candidate::Release;

use crate::gateway::freeze_as_stated;

/// Compiles a release, and reads the certificates and keys that it holds. Files of the node (watched keysets, identities
/// and secrets towards origins) are for each gateway.
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
        introspection::check(issuer, None).map_err(|fault| format!("issuer \"{}\": {fault}", issuer.name))?;
        let of_the_release = match &issuer.keys {
            Keys::Pinned { .. } => true,
            Keys::Watch { .. } | Keys::None => false,
            Keys::Url(fetched) | Keys::Discovery(fetched) => fetched.ca != Some(ServerCa::System),
        };
        if of_the_release {
            keysets::read(issuer, &Node::default(), 0).map_err(|fault| fault.to_string())?;
        }
    }
    for origin in &policy.origins {
        check_credential(origin).map_err(|fault| fault.to_string())?;
        Planned::new(&without_files(origin), &Material::default()).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

/// The origin as a stranger meets it: without what only a node has.
pub fn without_files(origin: &Origin) -> Origin {
    let mut origin = Origin { credential: None, assertion: None, ..origin.clone() };
    if let Some(tls) = &mut origin.tls {
        tls.identity = None;
    }
    origin
}
