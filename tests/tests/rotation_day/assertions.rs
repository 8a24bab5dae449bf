//! The keys by which the gateway tells an origin what came through it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tests::asserting::{AUDIENCE, Looks, Verifier};
use tests::certificates::Authority;
use tests::origin::RecordingOrigin;

use crate::Rotator;
use crate::credential::{Credential, ORDERS, Phase, Place};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{Plan, put_secret};

/// Its origin verifies each assertion, with keys that it fetches at the status listener where it does not know one.
pub struct AssertionKeys {
    verifier: Arc<Verifier>,
    _origin: RecordingOrigin,
    /// As what the origin asks.
    asker: Arc<ClientConfig>,
    caller: Arc<Credential>,
    turns: usize,
}

impl AssertionKeys {
    pub fn new(plan: &mut Plan) -> Self {
        let verifier = Verifier::new(Looks::AtAll);
        let door = Arc::clone(&verifier);
        let origin = RecordingOrigin::scripted(move |head, _| door.answer(head));
        let (askers, status) = (Authority::new("askers"), plan.servers.server(&["localhost"]));
        let asker = plan.servers.client_config(Some(&askers.spiffe("spiffe://fleet.test/orders")));
        plan.toml(
            "[status]\naddress = \"127.0.0.1:0\"\ntls = { chain = \"status.pem\", key = \"status.key\" }\nclient_ca = \
             \"askers.pem\"\n\n[assertions]\nrotate = \"5s\"",
        );
        plan.before(move |world| {
            world.write("askers.pem", askers.pem.as_bytes());
            world.write("status.pem", status.certificate.as_bytes());
            put_secret(world, "status.key", &status.key);
        });
        let own = format!("assertion = {{ audience = \"{AUDIENCE}\" }}");
        plan.policy(|policy| policy.origin_with("asserted", &[origin.address()], &own));
        plan.route("asserted", "/asserted/{rest...}", "asserted");
        let (field, tls) = (plan.caller(), plan.servers.client_config(None));
        let place = Place { path: "/asserted/7?x=1", ..ORDERS };
        let caller = Credential::at(place, "the caller of the origin that verifies", tls, move || field.clone());
        Self { verifier, _origin: origin, asker, caller, turns: 0 }
    }
}

impl Rotator for AssertionKeys {
    fn name(&self) -> &'static str {
        "the keys of assertions"
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// The gateway makes them by itself.
    fn turn(&mut self, day: &Day) -> Result<(), String> {
        if self.turns == 0 {
            self.verifier.trust_status(day.gateway.status_address(), "localhost", Arc::clone(&self.asker));
        }
        self.turns += 1;
        if self.caller.phase() != Phase::Good {
            day.enters(&self.caller)?;
        }
        self.verifier.refusals().pop().map_or(Ok(()), |why| Err(format!("the origin refuses: {why}")))
    }

    fn told(&self) -> Vec<Told> {
        let count = self.verifier.used().len();
        assert!(count >= 3 && self.caller.is_used(), "the origin saw signatures of {count} keys");
        vec![Told::TakenAtLeast("assertion-key", "tests".to_owned(), count - 1)]
    }
}
