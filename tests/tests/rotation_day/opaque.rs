//! Opaque tokens: their issuer is asked about each.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::json;
use tests::issuer::{HttpsIssuer, Reply};
use tests::scene::bearer;
use tests::tokens::{AUDIENCE, now_s};

use crate::Rotator;
use crate::credential::{Credential, ORDERS, Phase, Place};
use crate::day::Day;
use crate::log::Told;
use crate::plan::{Plan, put_secret};

const PATH: &str = "/introspect";
const ISSUER: &str = "https://asked.test";
const INACTIVE: &str = r#"{"active":false}"#;

/// One token after another is issued, and the one before is taken back. No refresh of the gateway's.
pub struct OpaqueTokens {
    issuer: HttpsIssuer,
    tls: Arc<ClientConfig>,
    last: Option<(String, Arc<Credential>)>,
    turns: usize,
}

impl OpaqueTokens {
    pub fn new(plan: &mut Plan) -> Self {
        let issuer = HttpsIssuer::start();
        issuer.say(PATH, Reply::json(INACTIVE));
        let ca = issuer.ca.clone();
        plan.before(move |world| {
            world.write("asked-ca.pem", ca.as_bytes());
            put_secret(world, "asker.key", "secret-of-the-asker\n");
        });
        plan.toml("[[introspection_client]]\nname = \"asker\"\nid = \"the gateway\"\nsecret = \"asker.key\"");
        plan.policy(|policy| {
            policy
                .with(&format!(
                    "[[issuer]]\nname = \"asked\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nintrospection = {{ url = \
                     \"{}\", ca = {{ file = \"asked-ca.pem\" }}, client = \"asker\", cache = \"1s\" }}",
                    issuer.url(PATH)
                ))
                .agent("holder", "{ token = { issuer = \"asked\", subject = \"holder\" } }", &["all"], &[])
        });
        Self { issuer, tls: plan.servers.client_config(None), last: None, turns: 0 }
    }

    fn shown(&self, token: &str) -> Arc<Credential> {
        let (place, field) = (Place { is_asked: true, ..ORDERS }, bearer(token));
        Credential::at(place, token, Arc::clone(&self.tls), move || field.clone())
    }
}

impl Rotator for OpaqueTokens {
    fn name(&self) -> &'static str {
        "opaque tokens"
    }

    fn turn(&mut self, day: &Day) -> Result<(), String> {
        if self.turns == 0 {
            day.never_enters(&self.shown("opaque-and-never-issued"));
        }
        let token = format!("opaque-{}", self.turns);
        let active = json!({"active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "holder", "exp": now_s() + 3_600});
        self.issuer.say_of(PATH, &token, Reply::json(&active.to_string()));
        let shown = self.shown(&token);
        day.enters(&shown)?;
        self.turns += 1;
        if let Some((old, gone)) = self.last.replace((token, shown)) {
            gone.becomes(Phase::Changing);
            self.issuer.say_of(PATH, &old, Reply::json(INACTIVE));
            day.leaves(&gone)?;
        }
        Ok(())
    }

    fn told(&self) -> Vec<Told> {
        Vec::new()
    }
}
