//! Names of origins, resolved off the workers with the system's resolver (so /etc/hosts and nsswitch.conf hold).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::assemble::origins::Planned;
use crate::bounds::{RESOLVE_S_MAX, RESOLVED_ADDRESSES_MAX};

/// Addresses by name, in a stable order: what answers last, or the last good answer.
pub type Addresses = BTreeMap<String, Vec<IpAddr>>;

/// What a round of look-ups found out.
#[derive(Debug, Default)]
pub struct Round {
    pub found: Addresses,
    /// By name.
    pub failures: BTreeMap<String, String>,
}

/// Resolves every name of `planned` once, all at the same time.
pub fn resolve(planned: &[Planned]) -> impl Future<Output = Round> + use<> {
    resolve_new(planned, &Addresses::new())
}

/// Resolves the names of `planned` that `known` does not have. Borrows neither, so that others go on meanwhile.
pub fn resolve_new(planned: &[Planned], known: &Addresses) -> impl Future<Output = Round> + use<> {
    let names = planned.iter().flat_map(Planned::names).filter(|(name, _)| !known.contains_key(*name));
    look_up_all(names.map(|(name, port)| (name.to_owned(), port)).collect())
}

async fn look_up_all(names: BTreeMap<String, u16>) -> Round {
    let mut lookups = tokio::task::JoinSet::new();
    for (name, port) in names {
        lookups.spawn(async move {
            let answer = look_up(&name, port).await;
            (name, answer)
        });
    }
    let mut round = Round::default();
    while let Some(done) = lookups.join_next().await {
        match done {
            Ok((name, Ok(addresses))) => drop(round.found.insert(name, addresses)),
            Ok((name, Err(why))) => drop(round.failures.insert(name, why)),
            Err(_) => {}
        }
    }
    round
}

async fn look_up(name: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let patience = Duration::from_secs(RESOLVE_S_MAX);
    let answer = tokio::time::timeout(patience, tokio::net::lookup_host((name, port))).await;
    let answer = answer.map_err(|_| format!("no answer within {RESOLVE_S_MAX} s"))?;
    let mut addresses: Vec<IpAddr> = answer.map_err(|error| error.to_string())?.map(|socket| socket.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(RESOLVED_ADDRESSES_MAX);
    if addresses.is_empty() { Err("the answer holds no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use policy::model;

    use super::*;
    use crate::assemble::material::Material;

    fn planned(address: &str) -> Planned {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let tls = Some(model::OriginTls { ca, server_name: None, identity: None });
        let addresses = vec![address.to_owned()];
        let origin = model::Origin {
            name: "o".to_owned(),
            addresses,
            tls,
            pass_credentials: false,
            credential: None,
            assertion: None,
        };
        Planned::new(&origin, &Material::default()).unwrap()
    }

    #[test]
    fn localhost_is_found_and_nonsense_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let round = runtime.block_on(resolve(&[planned("localhost:80"), planned("no-such-name.invalid:80")]));
        assert!(round.found["localhost"].iter().all(IpAddr::is_loopback));
        assert_eq!(round.failures.keys().collect::<Vec<_>>(), ["no-such-name.invalid"]);
    }
}
