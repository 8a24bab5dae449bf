//! Access tokens that the gateway fetches for an origin, of a real authorization server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tests::answer::Answer;
use tests::oidc::{OidcProvider, directory};
use tests::origin::RecordingOrigin;
use tests::tokens::now_s;

use crate::Rotator;
use crate::credential::{Credential, ORDERS, Phase, Place};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{Plan, put_secret};

/// Of a token, seconds; it is renewed at two thirds of it.
const LIFE_S: u64 = 18;

/// Its origin takes tokens that have not ended, and nothing else.
pub struct OriginTokens {
    _server: OidcProvider,
    _files: tempfile::TempDir,
    _origin: RecordingOrigin,
    /// Tokens that the origin took.
    seen: Arc<Mutex<BTreeSet<String>>>,
    caller: Arc<Credential>,
}

impl OriginTokens {
    /// None, and said so, where there is no server to ask.
    pub fn new(plan: &mut Plan) -> Option<Self> {
        let (directory, files) = (directory()?, tempfile::tempdir().unwrap());
        let server = OidcProvider::start_tls(&directory, &plan.servers, files.path());
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let takes = Arc::clone(&seen);
        let origin = RecordingOrigin::scripted(move |head, _| {
            let token = head.value("Authorization").and_then(|value| value.strip_prefix("Bearer "));
            let Some(token) = token.filter(|token| now_s() < ends_s(token)) else { return Answer::new(401) };
            takes.lock().unwrap().insert(token.to_owned());
            Answer::text("an order")
        });
        plan.toml(&format!(
            "[[origin_credential]]\nname = \"tokens\"\n[origin_credential.oauth]\ntoken_url = \"{}/token\"\nca = \"servers.pem\"\nclient_id = \
             \"bot\"\nsecret = \"client.key\"\nscope = \"all\"\nresource = \"https://api.test/jwt/{LIFE_S}\"",
            server.issuer()
        ));
        plan.before(|world| put_secret(world, "client.key", "secret-of-the-bot\n"));
        let own = "credentials = { from = \"tokens\", header = \"Authorization\", value = \"Bearer {secret}\" }";
        plan.policy(|policy| policy.origin_with("tokens", &[origin.address()], own));
        plan.route("tokens", "/tokens/{rest...}", "tokens");
        let (field, tls) = (plan.caller(), plan.servers.client_config(None));
        let place = Place { path: "/tokens/7", is_short: true, ..ORDERS };
        let caller = Credential::at(place, "the caller of the origin that wants tokens", tls, move || field.clone());
        Some(Self { _server: server, _files: files, _origin: origin, seen, caller })
    }
}

/// `exp` of a JWT.
fn ends_s(token: &str) -> u64 {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["exp"].as_u64().unwrap()
}

impl Rotator for OriginTokens {
    fn name(&self) -> &'static str {
        "the tokens for an origin"
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// The gateway fetches them by itself.
    fn turn(&mut self, day: &Day) -> Result<(), String> {
        if self.caller.phase() == Phase::Good { Ok(()) } else { day.enters(&self.caller) }
    }

    fn told(&self) -> Vec<Told> {
        let count = self.seen.lock().unwrap().len();
        assert!(count >= 2 && self.caller.is_used(), "the origin saw {count} tokens");
        // The first one is of the start.
        vec![Told::TakenAtLeast("origin-credential", "tokens".to_owned(), count - 1)]
    }
}
