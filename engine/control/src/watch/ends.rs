//! When what the gateway stands on ends: shown in the status, and told at set distances.

use identity::certificate::CaSet;
use tokio::time::{Duration, Instant};

use super::{Watcher, material};
use crate::assemble::material::Material;
use crate::bounds::EXPIRY_INTERVAL_S;
use crate::clock;
use crate::expiry::Ends;
use crate::status::Moving;

impl Watcher {
    pub(super) fn look_at_ends(&mut self) {
        if Instant::now() < self.ends_at {
            return;
        }
        self.ends_at = Instant::now() + Duration::from_secs(EXPIRY_INTERVAL_S);
        let ends = {
            let moving = self.start.status.moving();
            of(&self.start.material, &self.start.parts.client_cas, &moving)
        };
        self.expiry.tell(&ends, &self.start.records, clock::unix_s());
        self.start.status.moving().ends = ends;
    }
}

/// What a gateway with these parts stands on, and when it ends.
pub fn of(material: &Material, client_cas: &CaSet, moving: &Moving) -> Vec<Ends> {
    let mut ends = material::ends(material, moving);
    for ca in client_cas.cas() {
        ends.extend(ca.lives_s().map(|(subject, begins_s, ends_s)| Ends {
            of: "client-ca",
            name: format!("{} ({subject})", ca.name()),
            begins_s,
            ends_s,
        }));
    }
    ends.extend(moving.certificates.iter().filter(|(_, of)| of.not_after_unix_s > 0).map(|(chain, of)| Ends {
        of: "certificate",
        name: chain.clone(),
        begins_s: of.not_before_unix_s,
        ends_s: of.not_after_unix_s,
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
