//! The origin: behind mutual TLS, with a certificate that moves, and it wants its own secret with every request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::answer::Answer;
use tests::certificates::{Authority, MovingServer};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;

use crate::Rotator;
use crate::day::Day;
use crate::log::Told;
use crate::plan::Plan;

const NAME: &str = "office.test";
/// For connections that are made anew, which takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);
/// The field of the gateway's own secret.
const FIELD: &str = "X-Office-Key";

pub struct Office {
    origin: RecordingOrigin,
    /// Who vouches for the origin.
    pub origins: Arc<Authority>,
    /// Who vouches for the gateway to the origin.
    pub gateways: Authority,
    /// Secrets that the origin knows, the latest one last, and whether each was shown.
    secrets: Arc<Mutex<Vec<(String, bool)>>>,
    server: Arc<MovingServer>,
}

impl Office {
    pub fn open() -> Self {
        let (origins, gateways) = (Arc::new(Authority::new("origins")), Authority::new("gateways"));
        let server = Arc::new(MovingServer::new(&origins.server(&[NAME])));
        let secrets: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
        let known = Arc::clone(&secrets);
        let origin = RecordingOrigin::tls(server.config_for(&gateways), move |head, _| {
            let shown = head.value(FIELD).unwrap_or_default();
            let mut known = known.lock().unwrap();
            let Some((_, is_shown)) = known.iter_mut().find(|(secret, _)| secret == shown) else {
                return Answer::new(500);
            };
            *is_shown = true;
            Answer::text("an order")
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
        secrets.push((secret.to_owned(), false));
        let beyond = secrets.len().saturating_sub(2);
        secrets.drain(..beyond);
    }

    /// Whether the latest secret has come with a request.
    pub fn has_seen_the_latest(&self) -> bool {
        self.secrets.lock().unwrap().last().is_some_and(|(_, is_shown)| *is_shown)
    }
}

/// The origin's own certificate: the next connections to it see another one. No refresh of the gateway's.
pub struct OriginCertificate {
    origins: Arc<Authority>,
    /// How many of them connections have seen.
    seen: usize,
}

impl OriginCertificate {
    pub fn new(plan: &mut Plan) -> Self {
        Self { origins: Arc::clone(&plan.office.origins), seen: 0 }
    }
}

impl Rotator for OriginCertificate {
    fn name(&self) -> &'static str {
        "the origin's certificate"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        let shown = day.office.server.shown();
        day.office.server.moves_to(&self.origins.server(&[NAME]));
        // The gateway connects anew after each rotation of its own certificate, of which there may be no more at the end.
        let is_seen = eventually(PATIENCE, || day.is_over() || day.office.server.shown() > shown + 1);
        self.seen += usize::from(is_seen);
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        assert!(self.seen >= 2, "connections saw {} certificates of the origin", self.seen);
        Vec::new()
    }
}
