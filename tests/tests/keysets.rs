//! Keysets that are fetched from their issuer: they rotate without a request that fails, and whatever the issuer does,
//! keys that are known and fresh enough go on counting.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

#[path = "keysets/lies.rs"]
mod lies;
#[path = "keysets/outage.rs"]
mod outage;
#[path = "keysets/provider.rs"]
mod provider;
#[path = "keysets/rotation.rs"]
mod rotation;

use std::time::Duration;

use serde_json::Value;
use tests::client::get;
use tests::deployment::Deployment;
use tests::gateway::Gateway;
use tests::issuer::{HttpsIssuer, Reply};
use tests::origin::RecordingOrigin;
use tests::policy::PolicyText;
use tests::process::eventually;
use tests::scene::bearer;
use tests::tokens::{AUDIENCE, ISSUER, TokenKey, claims, jwks};

/// More than two workers need to see a change.
const SOON: Duration = Duration::from_secs(60);

/// A gateway whose issuer's keys are fetched as `keys` says, `URL` being where they are.
struct Scene {
    issuer: HttpsIssuer,
    gateway: Gateway,
    _origin: RecordingOrigin,
}

impl Scene {
    fn new(first: &[&TokenKey], refresh: &str, max_stale: &str) -> Self {
        let issuer = HttpsIssuer::start();
        issuer.say("/keys", Reply::json(&jwks(first)));
        let source = format!("url = \"{}\"", issuer.url("/keys"));
        Self::of(issuer, &source, refresh, max_stale)
    }

    fn of(issuer: HttpsIssuer, source: &str, refresh: &str, max_stale: &str) -> Self {
        let origin = RecordingOrigin::start();
        let keys = format!(
            "{{ {source}, refresh = \"{refresh}\", max_stale = \"{max_stale}\", ca = {{ file = \"id-ca.pem\" }} }}"
        );
        let policy = PolicyText::new()
            .origin("origin", &[origin.address()])
            .route("all", "*", "/{rest...}", "origin")
            .scope("all", &["all"])
            .with(&format!(
                "[[issuer]]\nname = \"corp\"\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"ES256\"]\n\
                 keys = {keys}"
            ))
            .agent("bot", "{ token = { issuer = \"corp\", subject = \"bot\" } }", &["all"], &[]);
        let gateway = Deployment::new().file("id-ca.pem", &issuer.ca).run(&policy.text());
        Self { issuer, gateway, _origin: origin }
    }

    fn status(&self, key: &TokenKey) -> u16 {
        self.gateway.once(get("/", &format!("{}Connection: close\r\n", bearer(&key.sign(&claims("bot")))))).status
    }

    fn passes_soon(&self, key: &TokenKey) -> bool {
        eventually(SOON, || self.status(key) == 200)
    }

    /// Lines of the rotation log.
    fn rotations(&self) -> Vec<Value> {
        let text = self.gateway.record_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["adamant.kind"] == "refresh").collect()
    }

    /// Waits for a rotation with this outcome, the latest of them.
    fn rotation(&self, outcome: &str) -> Value {
        let mut found = None;
        let told = eventually(SOON, || {
            found = self.rotations().into_iter().rev().find(|line| line["adamant.refresh.outcome"] == outcome);
            found.is_some()
        });
        assert!(told, "no rotation came out as {outcome}: {:#?}", self.rotations());
        found.unwrap()
    }

    /// Rotations with this outcome, once there are `count` of them.
    fn rotations_of(&self, outcome: &str, count: usize) -> Vec<Value> {
        let found = || {
            let rotations = self.rotations().into_iter();
            rotations.filter(|line| line["adamant.refresh.outcome"] == outcome).collect::<Vec<_>>()
        };
        assert!(eventually(SOON, || found().len() >= count), "{count} {outcome}: {:#?}", self.rotations());
        found()
    }

    /// The latest denial is for this reason, once it is written.
    fn is_refused_for(&self, reason: &str) -> bool {
        eventually(SOON, || {
            let records = self.gateway.records();
            let last = records.iter().rev().find_map(|record| record["adamant.reason"].as_str());
            last == Some(reason)
        })
    }
}

fn key(kid: &str) -> TokenKey {
    TokenKey::generate("ES256", kid)
}
