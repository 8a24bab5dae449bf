//! What a least-privilege review says, most important first.

use serde::Serialize;

/// What a finding is about, in the order in which findings are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// An agent that nobody called as.
    AgentUnused,
    /// A scope that an agent has and never needed.
    ScopeUnused,
    /// A population with few users.
    PopulationFew,
    /// An API key that nobody used.
    KeyUnused,
    /// A set of proofs, an issuer, one of its keys or a client CA that nobody used.
    CredentialUnused,
    /// A scope in tokens that their agent's calls never needed.
    TokenBroad,
    /// A route that a scope has and nobody used through it.
    RouteUnused,
    /// A limit far above the peak.
    LimitLoose,
    /// A limit that nothing was charged to.
    LimitIdle,
}

impl Topic {
    pub const ALL: [Self; 9] = [
        Self::AgentUnused,
        Self::ScopeUnused,
        Self::PopulationFew,
        Self::KeyUnused,
        Self::CredentialUnused,
        Self::TokenBroad,
        Self::RouteUnused,
        Self::LimitLoose,
        Self::LimitIdle,
    ];

    /// As in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentUnused => "agent-unused",
            Self::ScopeUnused => "scope-unused",
            Self::PopulationFew => "population-few",
            Self::KeyUnused => "key-unused",
            Self::CredentialUnused => "credential-unused",
            Self::TokenBroad => "token-broad",
            Self::RouteUnused => "route-unused",
            Self::LimitLoose => "limit-loose",
            Self::LimitIdle => "limit-idle",
        }
    }

    /// Above the findings of a topic.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::AgentUnused => "Agents that nobody used",
            Self::ScopeUnused => "Scopes that their agent never needed",
            Self::PopulationFew => "Populations with few users",
            Self::KeyUnused => "API keys that nobody used",
            Self::CredentialUnused => "Other credentials that nobody used",
            Self::TokenBroad => "Tokens broader than their use",
            Self::RouteUnused => "Routes that nobody used through their scope",
            Self::LimitLoose => "Limits far above their peak",
            Self::LimitIdle => "Limits that nothing was charged to",
        }
    }

    /// Whether it rests on something not being in the records.
    pub const fn needs_whole_records(self) -> bool {
        !matches!(self, Self::TokenBroad)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub topic: Topic,
    /// Agent, scope, key, … that it is about.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What to do that no patch does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Number of its edit in the plan.
    #[serde(skip)]
    pub edit: Option<usize>,
}
