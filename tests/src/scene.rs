//! The scene most tests play in: a gateway that serves everybody, or a known agent, before a recording origin.

use std::fs;
use std::net::SocketAddr;

use crate::answer::Answer;
use crate::gateway::Gateway;
use crate::origin::RecordingOrigin;
use crate::policy::{PolicyText, open_to_all};
use crate::tokens::{TokenKey, jwks};
use crate::wire::RequestHead;

/// A gateway before an origin.
pub struct Scene {
    pub gateway: Gateway,
    pub origin: RecordingOrigin,
}

impl Scene {
    /// Everybody may do everything; the origin answers `ok`.
    pub fn open() -> Self {
        Self::scripted(|_, _| Answer::text("ok"))
    }

    /// Everybody may do everything; the origin answers as `script` says.
    pub fn scripted(script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_policy(script, |origin| open_to_all(origin).text())
    }

    pub fn with_policy(
        script: impl Fn(&RequestHead, usize) -> Answer + Send + Sync + 'static,
        policy: impl FnOnce(SocketAddr) -> String,
    ) -> Self {
        let origin = RecordingOrigin::scripted(script);
        let gateway = Gateway::dev(&policy(origin.address()));
        Self { gateway, origin }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }
}

/// A scene with the issuer `corp`, whose one key signs, and a policy made on top of origin, route `all`, scope `all`.
pub fn with_tokens(key: &TokenKey, rest: impl FnOnce(PolicyText) -> PolicyText) -> Scene {
    with_keys(&[key], &[key.algorithm], rest)
}

/// As [`with_tokens`], with several keys and an allow-list of algorithms.
pub fn with_keys(keys: &[&TokenKey], algorithms: &[&str], rest: impl FnOnce(PolicyText) -> PolicyText) -> Scene {
    let origin = RecordingOrigin::start();
    let policy = PolicyText::new()
        .origin("origin", &[origin.address()])
        .route("all", "*", "/{rest...}", "origin")
        .scope("all", &["all"])
        .issuer(algorithms, "");
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("corp.jwks.json"), jwks(keys)).expect("the key set can be written");
    let gateway = Gateway::dev_in(directory, &rest(policy).text(), &[]);
    Scene { gateway, origin }
}

/// The field line that carries a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
