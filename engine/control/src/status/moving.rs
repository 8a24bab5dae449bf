//! What is known of that which moves under a release: keysets, certificates, lists, secrets, names of origins.

use policy_release::attestation::Jwk;

#[derive(Clone, Debug, Default)]
pub struct KeysetStatus {
    /// `pinned`, a path, or a URL.
    pub source: String,
    pub thumbprint: Option<String>,
    /// Counts the keysets taken since the start.
    pub version: u64,
    pub keys: usize,
    pub loaded_unix_s: u64,
    /// When it becomes too stale to be used.
    pub stale_unix_s: Option<u64>,
    /// When it is fetched again.
    pub next_unix_s: Option<u64>,
    /// Times that it was read or fetched with success.
    pub refreshes: u64,
    pub failures: u64,
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct CertificateStatus {
    pub sha256: String,
    pub not_before_unix_s: u64,
    pub not_after_unix_s: u64,
    pub names: Vec<String>,
    pub failures: u64,
    pub last_failure: Option<String>,
}

/// A certificate that an issuer gives.
#[derive(Clone, Debug, Default)]
pub struct ObtainedStatus {
    /// As gateway.toml calls it.
    pub source: String,
    /// When it last came; 0: not since the start.
    pub obtained_unix_s: u64,
    /// When it is due, or tried again.
    pub next_unix_s: u64,
    /// Times that it came.
    pub count: u64,
    pub failures: u64,
    /// What it is for, for people.
    pub names: String,
    /// Since the first failure after the last success.
    pub failing: Option<FailingStatus>,
}

/// A refresh that does not succeed.
#[derive(Clone, Debug)]
pub struct FailingStatus {
    pub since_unix_s: u64,
    /// What the last attempt failed at.
    pub why: String,
}

/// A certificate or secret towards origins.
#[derive(Clone, Debug, Default)]
pub struct OriginMaterialStatus {
    /// When it was last read and found good; 0: never.
    pub loaded_unix_s: u64,
    pub failures: u64,
    pub last_failure: Option<String>,
    /// It has not come yet: a certificate that is obtained while the gateway serves; or a secret that is fetched, of whose
    /// first attempt nothing is known.
    pub awaited: bool,
    /// Times that it was fetched with success.
    pub refreshes: u64,
    /// When what was fetched ends, or since when it has been missing.
    pub ends_unix_s: Option<u64>,
    /// When it is fetched again.
    pub next_unix_s: Option<u64>,
}

/// The keys of assertions to origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssertionKeysStatus {
    /// All that are published.
    pub keys: Vec<Jwk>,
    /// `kid` of the one that signs.
    pub signs: String,
    pub since_unix_s: u64,
    /// When the next one does.
    pub next_unix_s: Option<u64>,
    /// Times that another key began to sign.
    pub rotations: u64,
    pub failures: u64,
    pub last_failure: Option<String>,
}

/// The revocation lists of a client CA.
#[derive(Clone, Debug, Default)]
pub struct CrlStatus {
    /// The file that the policy names.
    pub source: String,
    pub lists: Vec<CrlListStatus>,
    pub loaded_unix_s: u64,
    pub failures: u64,
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct CrlListStatus {
    pub issuer: String,
    /// The CRL number, hexadecimal.
    pub number: String,
    pub issued_unix_s: u64,
    pub next_update_unix_s: u64,
    pub revoked: u64,
}

#[derive(Clone, Debug, Default)]
pub struct OriginStatus {
    pub addresses: usize,
    pub failures: u64,
    pub last_failure: Option<String>,
}

impl CrlStatus {
    pub fn revoked(&self) -> u64 {
        self.lists.iter().map(|list| list.revoked).sum()
    }

    /// The CRL numbers of its lists.
    pub fn numbers(&self) -> String {
        match self.lists.as_slice() {
            [] => "none".to_owned(),
            lists => lists.iter().map(|list| list.number.as_str()).collect::<Vec<_>>().join(" "),
        }
    }
}
