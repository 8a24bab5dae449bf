//! From the names of a list to the numbers of a table. What the release does not know needs no place: nobody can present it.

use std::collections::HashMap;

use activation::revoked::Builder;
use policy::model::Policy;
use policy::table::{ApiKeyIndex, Table};
use policy_release::revocations::{Revocations, Target};
use policy_release::time::Timestamp;

/// Takes the entries that have not lapsed at `now`.
pub fn compile<B: AsRef<[u8]>>(list: &Revocations, policy: &Policy, table: &Table<B>, now: Timestamp) -> Builder {
    let names = Names::new(policy);
    let mut builder = Builder::default();
    for entry in list.entries().iter().filter(|entry| !entry.has_lapsed(now)) {
        match &entry.target {
            Target::Agent(name) => table.agent(name).into_iter().for_each(|agent| builder.agent(agent)),
            Target::ApiKey(id) => names.api_key(id).into_iter().for_each(|key| builder.api_key(key)),
            Target::Certificate(sha256) => builder.certificate(sha256.0),
            Target::NumberedCertificate { issuer_spki, serial } => {
                builder.numbered_certificate(&issuer_spki.0, serial.as_bytes());
            }
            Target::Token { issuer, jti } => names.issuers(issuer).for_each(|issuer| builder.token(issuer, jti)),
            Target::Key { issuer, kid } => names.issuers(issuer).for_each(|issuer| builder.key(issuer, kid)),
            Target::Subject { issuer, subject, issued_before } => {
                names.issuers(issuer).for_each(|issuer| builder.subject(issuer, subject, issued_before.seconds()))
            }
        }
    }
    builder
}

/// Indices by name.
struct Names<'p> {
    api_keys: HashMap<&'p str, u32>,
    /// By the section's name and by the `iss` it stands for, which several sections may share.
    issuers: HashMap<&'p str, Vec<u16>>,
}

impl<'p> Names<'p> {
    fn new(policy: &'p Policy) -> Self {
        let api_keys = policy.api_keys.iter().zip(0..).map(|(key, index)| (key.id.as_str(), index)).collect();
        let mut issuers: HashMap<&str, Vec<u16>> = HashMap::new();
        for (issuer, index) in policy.issuers.iter().zip(0..) {
            issuers.entry(&issuer.name).or_default().push(index);
            if issuer.issuer != issuer.name {
                issuers.entry(&issuer.issuer).or_default().push(index);
            }
        }
        Self { api_keys, issuers }
    }

    fn api_key(&self, id: &str) -> Option<ApiKeyIndex> {
        self.api_keys.get(id).copied().map(ApiKeyIndex)
    }

    fn issuers(&self, issuer: &str) -> impl Iterator<Item = u16> {
        self.issuers.get(issuer).into_iter().flatten().copied()
    }
}

/// How many entries name an agent, an API key or an issuer that `policy` does not have: a slip of the pen, or of another
/// release.
pub fn unknown(list: &Revocations, policy: &Policy) -> usize {
    let names = Names::new(policy);
    let agents: std::collections::HashSet<&str> = policy.agents.iter().map(|agent| agent.name.as_str()).collect();
    let is_unknown = |target: &Target| match target {
        Target::Agent(name) => !agents.contains(name.as_str()),
        Target::ApiKey(id) => names.api_key(id).is_none(),
        Target::Certificate(_) | Target::NumberedCertificate { .. } => false,
        Target::Token { issuer, .. } | Target::Key { issuer, .. } | Target::Subject { issuer, .. } => {
            names.issuers(issuer).next().is_none()
        }
    };
    list.entries().iter().filter(|entry| is_unknown(&entry.target)).count()
}
