//! The origin: behind mutual TLS, with a certificate that moves, and it wants its own secret with every request.

use std::sync::{Arc, Mutex};

use tests::answer::Answer;
use tests::certificates::{Authority, MovingServer};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;

use crate::Rotator;
use crate::day::Day;
use crate::log::Told;
use crate::plan::Plan;

const NAME: &str = "office.test";
/// The field of the gateway's own secret.
const FIELD: &str = "X-Office-Key";

pub struct Office {
    origin: RecordingOrigin,
    /// Who vouches for the origin.
    pub origins: Arc<Authority>,
    /// Who vouches for the gateway to the origin.
    pub gateways: Authority,
    /// Secrets that the origin knows, the latest one last.
    secrets: Arc<Mutex<Vec<String>>>,
    server: Arc<MovingServer>,
}

impl Office {
    pub fn open() -> Self {
        let (origins, gateways) = (Arc::new(Authority::new("origins")), Authority::new("gateways"));
        let server = Arc::new(MovingServer::new(&origins.server(&[NAME])));
        let secrets: Arc<Mutex<Vec<String>>> = Arc::default();
        let known = Arc::clone(&secrets);
        let origin = RecordingOrigin::tls(server.config_for(&gateways), move |head, _| {
            let shown = head.value(FIELD).unwrap_or_default();
            let is_known = known.lock().unwrap().iter().any(|secret| secret == shown);
            if is_known { Answer::text("an order") } else { Answer::new(500) }
        });
        Self { origin, origins, gateways, secrets, server }
    }

    pub fn policy(&self, policy: PolicyText) -> PolicyText {
        let more = format!(
            "tls = {{ ca = {{ file = \"origins.pem\" }}, server_name = \"{NAME}\", identity = \"office\" }}\ncredentials = \
             {{ from = \"office\", header = \"{FIELD}\" }}"
        );
        policy.origin_with("office", &[self.origin.address()], &more)
    }

    /// From now on it takes this secret, and the one before.
    pub fn knows(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.push(secret.to_owned());
        let beyond = secrets.len().saturating_sub(2);
        secrets.drain(..beyond);
    }
}

/// The origin's own certificate: the next connections to it see another one. No refresh of the gateway's.
pub struct OriginCertificate {
    origins: Arc<Authority>,
}

impl OriginCertificate {
    pub fn new(plan: &mut Plan) -> Self {
        Self { origins: Arc::clone(&plan.office.origins) }
    }
}

impl Rotator for OriginCertificate {
    fn name(&self) -> &'static str {
        "the origin's certificate"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let shown = day.office.server.shown();
        day.office.server.moves_to(&self.origins.server(&[NAME]));
        // The gateway connects anew after each rotation of its own certificate.
        day.until("a connection sees the new one", || day.office.server.shown() > shown + 1)
    }

    fn told(&self) -> Vec<Told> {
        Vec::new()
    }
}
