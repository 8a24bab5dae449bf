//! Releases: wider, narrower, and back to either by a pointer.

use std::sync::Arc;

use tests::apikey::ApiKey;
use tests::store::{Built, served};

use crate::Rotator;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;

/// A partner's agent comes and goes with the release.
pub struct Releases {
    key: ApiKey,
    partner: Option<Arc<Credential>>,
    /// The latest with the partner, and the latest without.
    with: Option<Built>,
    without: Option<Built>,
    turns: u64,
}

impl Releases {
    pub fn new() -> Self {
        Self { key: ApiKey::new("partner"), partner: None, with: None, without: None, turns: 0 }
    }

    fn build(&self, day: &Day, version: u64, is_wider: bool) -> Built {
        let policy = day.policy.clone();
        let policy = match is_wider {
            true => policy.agent("partner", "{ api_key = [\"partner\"] }", &["all"], &[]).api_key(&self.key, ""),
            // Another release than any before, which allows the same.
            false => policy.route(&format!("v{version}"), "HEAD", "/v", "office").scope("v", &[&format!("v{version}")]),
        };
        let policy = if is_wider { policy } else { policy.anonymous(&["v"], &[]) };
        let built = day.world.build(version, &policy);
        day.world.put_release(&built, &[1, 2]);
        built
    }
}

impl Rotator for Releases {
    fn name(&self) -> &'static str {
        "the release"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let partner = self.partner.get_or_insert_with(|| {
            let field = format!("X-API-Key: {}\r\n", self.key.text);
            let tls = day.servers.client_config(None);
            Credential::new("the partner's key", tls, move || field.clone())
        });
        let partner = Arc::clone(partner);
        partner.becomes(Phase::Changing);
        // Two new ones, then the pointer goes back to each.
        let (version, is_wider, is_back) = (self.turns + 2, self.turns.is_multiple_of(2), self.turns % 4 > 1);
        let known = if is_wider { self.with.clone() } else { self.without.clone() };
        let next = match known {
            Some(known) if is_back => known,
            _ => self.build(day, version, is_wider),
        };
        day.world.point_anywhere(version, &next.digest);
        self.turns += 1;
        day.until(&format!("release {} serves", next.digest), || served(&day.gateway) == next.digest)?;
        *(if is_wider { &mut self.with } else { &mut self.without }) = Some(next);
        if is_wider { day.enters(&partner) } else { day.leaves(&partner) }
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Lines("activation", "adamant.release.old", usize::try_from(self.turns).unwrap())]
    }
}
