//! A client CA that is replaced, which takes a release: with overlap and without.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use tests::certificates::Authority;

use crate::credential::{Credential, Phase};
use crate::day::Day;
use crate::plan::Plan;

const ID: &str = "spiffe://fleet.test/one";
/// What a release pins.
const FILE: &str = "fleet.pem";

pub struct ClientCas {
    /// Each with who shows its certificate.
    all: Vec<(Authority, Arc<Credential>)>,
    servers: Arc<Authority>,
    /// Those of the release that serves, by their numbers.
    serving: Vec<usize>,
}

impl ClientCas {
    pub fn new(plan: &mut Plan) -> Self {
        let mut cas = Self { all: Vec::new(), servers: Arc::clone(&plan.servers), serving: Vec::new() };
        cas.make();
        let first = cas.all[0].0.pem.clone();
        plan.before(move |world| world.write(FILE, first.as_bytes()));
        plan.policy(|policy| {
            let certificate = format!("{{ certificate = \"{ID}\", ca = \"fleet\" }}");
            policy.client_ca("fleet", FILE).agent("fleet", &certificate, &["all"], &[])
        });
        cas
    }

    fn make(&mut self) {
        let number = self.all.len();
        let authority = Authority::new(&format!("fleet {number}"));
        let version = if number.is_multiple_of(2) { &TLS13 } else { &TLS12 };
        let tls = self.servers.client_config_of(Some(&authority.spiffe(ID)), &[version]);
        let shown = Credential::new(format!("a certificate of client CA {number}"), tls, String::new);
        self.all.push((authority, shown));
    }

    /// The next release that is built pins these.
    pub fn pin(&mut self, day: &Day, wanted: &[usize]) {
        while self.all.len() <= wanted.iter().copied().max().unwrap_or(0) {
            self.make();
        }
        let pem: String = wanted.iter().map(|number| self.all[*number].0.pem.as_str()).collect();
        day.world.write(FILE, pem.as_bytes());
    }

    /// A release with these is about to serve: of others nothing changes.
    pub fn begins(&self, wanted: &[usize]) {
        let changes = |number: &usize| self.serving.contains(number) != wanted.contains(number);
        for number in (0..self.all.len()).filter(changes) {
            self.all[number].1.becomes(Phase::Changing);
        }
    }

    /// It serves.
    pub fn serves(&mut self, day: &Day, wanted: &[usize]) -> Result<(), String> {
        for number in wanted.iter().filter(|number| !self.serving.contains(number)) {
            day.enters(&self.all[*number].1)?;
        }
        for number in self.serving.iter().filter(|number| !wanted.contains(number)) {
            day.leaves(&self.all[*number].1)?;
        }
        wanted.clone_into(&mut self.serving);
        Ok(())
    }
}
