//! When what the gateway stands on ends: shown in the status, and told at set distances.

use std::sync::Arc;

use identity::certificate::{CaSet, ClientCa};
use policy::model::{Keys, Policy, ServerCa};
use tokio::time::{Duration, Instant};

use super::{Watcher, material};
use crate::assemble::material::Material;
use crate::assemble::{ClientProof, IntrospectionClient, tls};
use crate::bounds::{EXPIRY_API_KEYS_MAX, EXPIRY_DISTANCES_S, EXPIRY_INTERVAL_S, EXPIRY_SHOWN_MAX};
use crate::clock;
use crate::expiry::{Ends, OBTAINED};
use crate::status::Moving;

/// What a policy pins, by the policy: it is read once.
pub(super) type Pinned = Option<(Arc<Policy>, Vec<Ends>)>;

impl Watcher {
    pub(super) fn look_at_ends(&mut self) {
        if Instant::now() < self.ends_at {
            return;
        }
        self.ends_at = Instant::now() + Duration::from_secs(EXPIRY_INTERVAL_S);
        let now_s = clock::unix_s();
        let frozen = self.start.activator.frozen();
        let mut ends = of_release(frozen.facts.version, frozen.facts.expires_s).into_iter().collect::<Vec<_>>();
        ends.extend(of_api_keys(&frozen.policy, now_s));
        ends.extend_from_slice(pinned(&mut self.pinned, &frozen.policy));
        ends.extend(self.start.node.introspection_clients.iter().filter_map(of_introspection_client));
        {
            let moving = self.start.status.moving();
            ends.extend(of(&self.start.material, &self.start.parts.client_cas, &moving));
            ends.extend(of_trust(&moving));
        }
        ends.sort_by(|a, b| (a.ends_s, a.of, &a.name).cmp(&(b.ends_s, b.of, &b.name)));
        self.expiry.tell(&ends, &self.start.records, now_s);
        ends.truncate(EXPIRY_SHOWN_MAX);
        self.start.status.moving().ends = ends;
    }
}

/// What a gateway with these parts stands on, and when it ends.
pub fn of(material: &Material, client_cas: &CaSet, moving: &Moving) -> Vec<Ends> {
    let mut ends = material::ends(material, moving);
    for ca in client_cas.cas() {
        ends.extend(Ends::of_ca("client-ca", ca.name().to_owned(), ca));
    }
    ends.extend(moving.certificates.iter().filter(|(_, of)| of.not_after_unix_s > 0).map(|(chain, of)| {
        // The file of what is obtained is the gateway's own: nobody puts another one there.
        let (kind, name) = match moving.obtained.get(chain) {
            Some(obtained) => (OBTAINED, format!("for {} from {}", of.names.join(", "), obtained.source)),
            None => ("certificate", chain.clone()),
        };
        Ends { of: kind, name, begins_s: of.not_before_unix_s, ends_s: of.not_after_unix_s }
    }));
    ends.extend(moving.key_set.iter().filter(|set| set.serial > 0).map(|set| Ends {
        of: "key-set",
        name: format!("serial {}", set.serial),
        begins_s: set.issued_unix_s,
        ends_s: set.expires_unix_s,
    }));
    for (ca, of) in &moving.crls {
        ends.extend(of.lists.iter().map(|list| Ends {
            of: "crl",
            name: format!("{ca} ({})", list.issuer),
            begins_s: list.issued_unix_s,
            ends_s: list.next_update_unix_s,
        }));
    }
    ends
}

/// What the gateway goes by, and the keysets that become too old to be believed.
pub fn of_trust(moving: &Moving) -> Vec<Ends> {
    let mut ends = moving.fleet_cas.clone();
    if let Some(of) = &moving.pointer {
        let (begins_s, ends_s) = (of.issued_unix_s, of.expires_unix_s);
        ends.push(Ends { of: "pointer", name: of.channel.clone(), begins_s, ends_s });
    }
    if let Some(of) = moving.revocations.as_ref().filter(|of| of.serial > 0) {
        let (begins_s, ends_s) = (of.issued_unix_s, of.expires_unix_s);
        ends.push(Ends { of: "revocations", name: "in force".to_owned(), begins_s, ends_s });
    }
    if moving.root_expires_unix_s > 0 {
        let name = format!("version {}", moving.root_version);
        ends.push(Ends { of: "trust-root", name, begins_s: 0, ends_s: moving.root_expires_unix_s });
    }
    for (issuer, of) in &moving.keysets {
        let stale_s = of.stale_unix_s.filter(|_| of.loaded_unix_s > 0);
        let one = |ends_s| Ends { of: "keyset", name: issuer.clone(), begins_s: of.loaded_unix_s, ends_s };
        ends.extend(stale_s.map(one));
    }
    ends
}

pub fn of_release(version: u64, expires_s: Option<u64>) -> Option<Ends> {
    expires_s.map(|ends_s| Ends { of: "release", name: format!("version {version}"), begins_s: 0, ends_s })
}

/// Those of API keys that come soonest; then those that ended lately.
fn of_api_keys(policy: &Policy, now_s: u64) -> Vec<Ends> {
    let near_s = EXPIRY_DISTANCES_S.into_iter().max().unwrap_or(0);
    let ends_s = policy.api_keys.iter().filter_map(|key| Some((key.expires_s?, &key.id)));
    let mut near: Vec<_> = ends_s.filter(|(ends_s, _)| ends_s.abs_diff(now_s) <= near_s).collect();
    near.sort_unstable_by_key(|(ends_s, id)| (*ends_s <= now_s, ends_s.abs_diff(now_s), *id));
    near.truncate(EXPIRY_API_KEYS_MAX);
    near.into_iter().map(|(ends_s, id)| Ends { of: "api-key", name: id.clone(), begins_s: 0, ends_s }).collect()
}

/// The CAs that a release pins for servers that the gateway calls.
fn pinned<'p>(known: &'p mut Pinned, policy: &Arc<Policy>) -> &'p [Ends] {
    if !known.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, policy)) {
        *known = Some((Arc::clone(policy), of_server_cas(policy)));
    }
    known.as_ref().map_or(&[], |(_, ends)| ends)
}

/// Those CAs.
pub fn of_server_cas(policy: &Policy) -> Vec<Ends> {
    let origins = policy.origins.iter().filter_map(|of| Some(("origin-ca", &of.name, of.tls.as_ref()?.ca.as_str())));
    let issuers = policy.issuers.iter().flat_map(|of| {
        let keys = match &of.keys {
            Keys::Url(fetched) | Keys::Discovery(fetched) => fetched.ca.as_ref(),
            Keys::Pinned { .. } | Keys::Watch { .. } | Keys::None => None,
        };
        let asked = of.introspection.as_ref().and_then(|of| of.ca.as_ref());
        [keys, asked].into_iter().flatten().filter_map(pem_of).map(|pem| ("issuer-ca", &of.name, pem))
    });
    let mut ends = Vec::new();
    for (of, name, pem) in origins.chain(issuers) {
        // One that cannot be read has been refused where it is used.
        if let Ok(ca) = ClientCa::from_pem(name, pem) {
            ends.extend(Ends::of_ca(of, name.clone(), &ca));
        }
    }
    // Of an issuer that is fetched from and asked under the same CA.
    ends.dedup();
    ends
}

fn pem_of(ca: &ServerCa) -> Option<&str> {
    match ca {
        ServerCa::Pinned { certificates } => Some(certificates),
        ServerCa::System => None,
    }
}

fn of_introspection_client(client: &IntrospectionClient) -> Option<Ends> {
    let ClientProof::Certificate(files) = &client.proof else { return None };
    let (begins_s, ends_s) = tls::life_s(files)?;
    Some(Ends { of: "introspection-client", name: client.name.clone(), begins_s, ends_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{KeysetStatus, PointerStatus, RevocationsStatus};
    use crate::testing;

    const DAY_S: u64 = 86_400;

    fn keys(expires_s: impl IntoIterator<Item = Option<u64>>) -> Policy {
        let key = |(number, expires_s): (usize, Option<u64>)| policy::model::ApiKey {
            id: format!("k{number}"),
            sha256: None,
            expires_s,
        };
        let api_keys = expires_s.into_iter().enumerate().map(key).collect();
        Policy { api_keys, ..testing::policy(Keys::None, None) }
    }

    #[test]
    fn of_api_keys_those_that_end_soonest_are_looked_at_and_no_more_than_so_many() {
        let now_s = 100 * DAY_S;
        let some = [None, Some(now_s + 40 * DAY_S), Some(now_s - 2), Some(now_s + 9), Some(now_s + 3), Some(now_s)];
        let names = |policy: &Policy| of_api_keys(policy, now_s).into_iter().map(|of| of.name).collect::<Vec<_>>();
        assert_eq!(names(&keys(some)), ["k4", "k3", "k5", "k2"]);
        let many = keys((0..EXPIRY_API_KEYS_MAX as u64 + 5).map(|after_s| Some(now_s + 1 + after_s)));
        let names = names(&many);
        assert_eq!((names.len(), names.last().unwrap().as_str()), (EXPIRY_API_KEYS_MAX, "k255"));
    }

    #[test]
    fn everything_that_is_gone_by_has_an_end() {
        let mut moving = Moving { root_version: 3, root_expires_unix_s: 9, ..Moving::default() };
        moving.pointer = Some(PointerStatus { channel: "prod".to_owned(), expires_unix_s: 7, ..Default::default() });
        moving.revocations = Some(RevocationsStatus { serial: 2, expires_unix_s: 8, ..Default::default() });
        let keyset = |loaded_unix_s| KeysetStatus { loaded_unix_s, stale_unix_s: Some(5), ..Default::default() };
        moving.keysets = [("corp".to_owned(), keyset(1)), ("never".to_owned(), keyset(0))].into();
        let ends: Vec<_> =
            of_trust(&moving).into_iter().map(|of| format!("{} {} {}", of.of, of.name, of.ends_s)).collect();
        assert_eq!(ends, ["pointer prod 7", "revocations in force 8", "trust-root version 3 9", "keyset corp 5"]);
        moving.revocations = Some(RevocationsStatus::default());
        assert_eq!(of_trust(&moving).len(), 3, "a list that is refused is none");
    }

    #[test]
    fn a_ca_that_a_release_pins_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let mut policy = testing::policy(Keys::None, None);
        let tls = policy::model::OriginTls { ca: ca.clone(), server_name: None, identity: None };
        policy.origins.iter_mut().for_each(|of| of.tls = Some(tls.clone()));
        let pinned_ca = Some(ServerCa::Pinned { certificates: ca });
        let fetched = policy::model::Fetched { url: String::new(), refresh_s: 1, max_stale_s: 1, ca: pinned_ca };
        policy.issuers.iter_mut().for_each(|of| of.keys = Keys::Url(fetched.clone()));
        let (policy, mut known) = (Arc::new(policy), None);
        let kinds = |ends: &[Ends]| ends.iter().map(|of| of.of).collect::<Vec<_>>();
        assert_eq!(kinds(pinned(&mut known, &policy)), ["origin-ca", "issuer-ca"]);
        let before = pinned(&mut known, &policy).as_ptr();
        assert_eq!(pinned(&mut known, &policy).as_ptr(), before);
        assert!(pinned(&mut known, &Arc::new(keys([]))).is_empty());
        let files = testing::write_chain(directory.path(), "asks", &["asks"]);
        let client = |proof| IntrospectionClient { name: "me".to_owned(), id: String::new(), proof };
        assert!(of_introspection_client(&client(ClientProof::Certificate(files))).is_some());
        assert!(of_introspection_client(&client(ClientProof::Secret(directory.path().join("s")))).is_none());
    }
}
