//! What a comparison says: its verdict, the classes of requests, the limits and the settings. Serialises to the JSON
//! of `adamant diff`; names and shapes are stable.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a change of policy means for those who call, from least to most to think about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing changes.
    Same,
    /// Nobody can do more than before; somebody can do less, or less often.
    Narrower,
    /// Somebody can do more than before, and nobody less.
    Wider,
    /// Somebody can do more, and somebody less.
    Both,
}

impl Verdict {
    pub const fn of(wider: bool, narrower: bool) -> Self {
        match (wider, narrower) {
            (false, false) => Self::Same,
            (false, true) => Self::Narrower,
            (true, false) => Self::Wider,
            (true, true) => Self::Both,
        }
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Narrower => "narrower",
            Self::Wider => "wider",
            Self::Both => "both",
        }
    }

    pub const fn is_wider(self) -> bool {
        matches!(self, Self::Wider | Self::Both)
    }

    pub const fn is_narrower(self) -> bool {
        matches!(self, Self::Narrower | Self::Both)
    }
}

/// Everything that differs between two policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub verdict: Verdict,
    /// Whether the wider role must sign; see [`Diff::needs_wider`].
    pub needs_wider: bool,
    /// Some lists are shorter than their counts, or (with `exhausted`) counts are lower bounds.
    pub truncated: bool,
    /// The search was given up at a bound, so the verdict is the careful one: it counts as wider.
    pub exhausted: bool,
    pub counts: Counts,
    pub allowed: Vec<Class>,
    pub refused: Vec<Class>,
    pub identities: Vec<IdentityChange>,
    pub limits: Vec<LimitChange>,
    pub settings: Vec<SettingChange>,
}

impl Diff {
    /// Whether the release needs the threshold of `release-wider`: it is not proven narrower (a caller under another
    /// name is not), or touches what a
    /// comparison of rules cannot judge (origins, issuers, CAs, audiences, algorithms, key sources, staleness, leeway,
    /// audit, overflow, a weaker transport).
    pub const fn needs_wider(&self) -> bool {
        self.needs_wider
    }
}

/// How many of each there are, whether listed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub allowed: usize,
    pub refused: usize,
    pub identities: usize,
    pub limits: usize,
    pub settings: usize,
}

/// Callers × requests whose outcome changes, all in the same direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Newly allowed: whoever holds these proofs could not do this before with any part of them.
    /// Newly refused: he can do it no more, whatever part of them he presents.
    /// A token can be presented without his certificate, but where a policy asks for one that is bound to it. (An issuer
    /// that binds it unasked leaves its holder fewer parts.)
    pub by_any_means: bool,
    pub principals: Vec<Principal>,
    /// Number of principals, listed or not.
    pub principals_count: usize,
    pub requests: Vec<Requests>,
    /// Number of entries that `requests` would have unbounded.
    pub requests_count: usize,
    /// What a token must carry for the outcome to change; none when the token does not matter, or when nothing but
    /// what the token allows matters.
    pub token_scopes: Option<TokenScopesCondition>,
    /// One request, confirmed by both tables.
    pub example: Example,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Principal {
    pub kind: PrincipalKind,
    /// Name of the agent: of the new policy where it names the caller there, else of the old one. Empty for anyone.
    pub name: String,
    /// How the other policy calls the same caller, where it takes him for another agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formerly: Option<String>,
    /// Sets of proofs that identify this caller, in words.
    pub by: Vec<String>,
    /// Number of such sets that were found, listed or not.
    pub by_count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// Whoever presents nothing that names anybody.
    Anyone,
    Agent,
    Population,
    /// Whoever presents `name` together with proofs that do not need it.
    Together,
}

/// Requests that go to the same pair of routes: `old_route` in the old policy, `new_route` in the new one, or to none there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Requests {
    /// Sorted; `*` is any but CONNECT and TRACE.
    pub methods: Vec<String>,
    /// Sorted; what `*` does not mean here, because it goes elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// `*` is any host that no other route of the same path takes.
    pub host: String,
    /// A path pattern. Of its paths, those are meant that go to these routes: not what another route takes; and paths with
    /// `%2F` or `;` as far as these routes admit them.
    pub path: String,
    /// The route in the old policy.
    pub old_route: Option<String>,
    /// The route in the new policy.
    pub new_route: Option<String>,
    /// Only paths with `%2F`, or with `;`, or with both, which one of the policies does not admit there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_with: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TokenScopesCondition {
    /// At least one of these; empty when none is needed.
    pub any_of: Vec<String>,
    /// None of these.
    pub none_of: Vec<String>,
}

/// One concrete request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    pub method: String,
    pub host: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ExampleCertificate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<ExampleToken>,
    /// Id of an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Outcome under the old policy.
    pub old: Outcome,
    /// Outcome under the new policy.
    pub new: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExampleCertificate {
    /// Client CAs that it chains to.
    pub cas: Vec<String>,
    /// As in a policy source; empty when none of its names names anybody.
    pub names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExampleToken {
    pub issuer: String,
    pub subject: String,
    /// What it is bound to, like `certificate` or `certificate dpop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// Scopes by the claim that holds them; empty when no claim of scopes is read.
    pub scopes: BTreeMap<String, Vec<String>>,
}

/// What a policy says to a request before its limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    pub permitted: bool,
    /// The agent whose scope grants it, or that the caller is taken for.
    pub agent: Option<String>,
    pub route: Option<String>,
    /// The scope that grants it.
    pub scope: Option<String>,
    /// Why not, as in records.
    pub reason: Option<&'static str>,
}

/// Callers whom the policies take for agents of different names, and permit a request in common: origins are told the
/// name, and records are kept under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentityChange {
    /// Always `changed`: what an origin makes of the name is not known.
    pub direction: Direction,
    /// What origins are told of these callers by the old policy: the name of an agent; none is nothing.
    pub old: Option<String>,
    /// The same by the new policy.
    pub new: Option<String>,
    /// Sets of proofs that identify these callers, in words.
    pub by: Vec<String>,
    /// Number of such sets that were found, listed or not.
    pub by_count: usize,
    /// One request, permitted by both tables.
    pub example: Example,
    pub needs_wider: bool,
}

/// Limits of the same callers, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitChange {
    pub direction: Direction,
    pub agents: Vec<String>,
    /// Number of agents, listed or not.
    pub agents_count: usize,
    /// As one writes them in a policy source.
    pub old: Vec<String>,
    pub new: Vec<String>,
    /// What the numbers do not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// Needs the wider role, whatever the direction.
    pub needs_wider: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Proven to admit no more than before.
    Narrower,
    /// Admits more.
    Wider,
    /// Neither is proven: counts as wider.
    Changed,
    /// Admits more in one way and less in another.
    Both,
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Narrower => "narrower",
            Self::Wider => "wider",
            Self::Changed => "changed",
            Self::Both => "both",
        }
    }

    pub const fn is_wider(self) -> bool {
        !matches!(self, Self::Narrower)
    }

    pub const fn is_narrower(self) -> bool {
        matches!(self, Self::Narrower | Self::Both)
    }
}

/// One thing beside rules and limits that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SettingChange {
    /// `policy`, `issuer`, `client-ca`, `origin`, `route`, `api-key`.
    pub kind: &'static str,
    pub name: String,
    /// What of it: `audience`, `addresses`, …; `itself` when it is new or gone.
    pub what: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
    pub direction: Direction,
    /// Needs the wider role, whatever the direction.
    pub needs_wider: bool,
}
