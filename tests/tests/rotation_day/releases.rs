//! Releases: wider, narrower, and back to either by a pointer. With them client CAs come and go.

use std::sync::Arc;

use tests::apikey::ApiKey;
use tests::store::{Built, served};

use crate::Rotator;
use crate::client_cas::ClientCas;
use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::log::Told;
use crate::plan::Plan;

/// A partner's agent comes and goes with the release.
pub struct Releases {
    key: ApiKey,
    partner: Option<Arc<Credential>>,
    cas: ClientCas,
    /// Number of the latest client CA.
    ca: usize,
    /// The latest with the partner, and the latest without, each with its client CAs.
    with: Option<(Built, Vec<usize>)>,
    without: Option<(Built, Vec<usize>)>,
    turns: u64,
}

impl Releases {
    pub fn new(plan: &mut Plan) -> Self {
        let (key, cas) = (ApiKey::new("partner"), ClientCas::new(plan));
        Self { key, partner: None, cas, ca: 0, with: None, without: None, turns: 0 }
    }

    /// Client CAs of the next new release: of four turns with overlap, the next four without.
    fn next_cas(&mut self) -> Vec<usize> {
        let (has_overlap, is_first) = ((self.turns / 4).is_multiple_of(2), self.turns.is_multiple_of(4));
        if is_first != has_overlap {
            self.ca += 1;
        }
        if is_first && has_overlap { vec![self.ca, self.ca + 1] } else { vec![self.ca] }
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
        if self.turns == 0 {
            // That of the first release.
            self.cas.serves(day, &[0])?;
        }
        // Two new ones, then the pointer goes back to each.
        let (version, is_wider, is_back) = (self.turns + 2, self.turns.is_multiple_of(2), self.turns % 4 > 1);
        let known = if is_wider { self.with.clone() } else { self.without.clone() };
        let (next, cas) = match known {
            Some(known) if is_back => known,
            _ => {
                let wanted = self.next_cas();
                self.cas.pin(day, &wanted);
                (self.build(day, version, is_wider), wanted)
            }
        };
        self.cas.begins(&cas);
        day.world.point_anywhere(version, &next.digest);
        self.turns += 1;
        day.until(&format!("release {} serves", next.digest), || served(&day.gateway) == next.digest)?;
        if is_wider { day.enters(&partner) } else { day.leaves(&partner) }?;
        self.cas.serves(day, &cas)?;
        *(if is_wider { &mut self.with } else { &mut self.without }) = Some((next, cas));
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        vec![Told::Lines("activation", "adamant.release.old", usize::try_from(self.turns).unwrap())]
    }
}
