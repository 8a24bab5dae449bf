//! Names behind the indices of a record, for as long as records of their activation can still come.

use std::sync::{Arc, Weak};

use activation::Activation;
use activation::counters::Slots;
use policy::model::Audit;
use policy::table::{AgentId, LimitIndex, RouteId, ScopeId, Table};

/// What the audit writer asks about an activation.
pub trait Naming: Send {
    fn activation(&self) -> u64;
    fn release(&self) -> &str;
    fn audit(&self) -> Audit;
    /// Whether a worker can still write records of this activation.
    fn is_live(&self) -> bool;
    fn agent(&self, index: u32) -> Option<&str>;
    fn route(&self, index: u32) -> Option<&str>;
    fn scope(&self, index: u32) -> Option<&str>;
    fn limit(&self, index: u32) -> Option<&str>;
    fn issuer(&self, index: u32) -> Option<&str>;
    fn api_key(&self, index: u32) -> Option<&str>;
    fn client_ca(&self, index: u32) -> Option<&str>;
}

/// Names of one activation. Holds its table, but not the activation: whether that is gone tells when the last record
/// of it was pushed.
pub struct Names {
    /// What all copies of the activation share.
    limits: Weak<Slots>,
    id: u64,
    audit: Audit,
    release: String,
    table: Arc<Table<sys::Image>>,
    issuers: Vec<String>,
    client_cas: Vec<String>,
    api_keys: Arc<[String]>,
}

impl Names {
    /// `api_keys`: ids in the order of the policy.
    pub fn of(activation: &Arc<Activation>, api_keys: Arc<[String]>) -> Self {
        Self {
            limits: Arc::downgrade(&activation.limits),
            id: activation.id,
            audit: activation.audit,
            release: activation.release.digest.clone(),
            table: Arc::clone(&activation.table),
            issuers: activation.issuers.iter().map(|issuer| issuer.rules().name.clone()).collect(),
            client_cas: activation.client_cas.cas().iter().map(|ca| ca.name().to_owned()).collect(),
            api_keys,
        }
    }
}

impl Naming for Names {
    fn activation(&self) -> u64 {
        self.id
    }

    fn release(&self) -> &str {
        &self.release
    }

    fn audit(&self) -> Audit {
        self.audit
    }

    fn is_live(&self) -> bool {
        self.limits.strong_count() > 0
    }

    fn agent(&self, index: u32) -> Option<&str> {
        known(self.table.agent_name(AgentId(index)))
    }

    fn route(&self, index: u32) -> Option<&str> {
        known(self.table.route_name(RouteId(index)))
    }

    fn scope(&self, index: u32) -> Option<&str> {
        known(self.table.scope_name(ScopeId(u16::try_from(index).ok()?)))
    }

    fn limit(&self, index: u32) -> Option<&str> {
        known(self.table.limit_name(LimitIndex(index)))
    }

    fn issuer(&self, index: u32) -> Option<&str> {
        self.issuers.get(index as usize).map(String::as_str)
    }

    fn api_key(&self, index: u32) -> Option<&str> {
        self.api_keys.get(index as usize).map(String::as_str)
    }

    fn client_ca(&self, index: u32) -> Option<&str> {
        self.client_cas.get(index as usize).map(String::as_str)
    }
}

/// The table gives an empty name for what it does not know.
fn known(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
pub(crate) mod fake {
    //! Names made from indices.

    use super::*;

    pub struct Fake;

    /// `agent-1` and so on, for small indices.
    macro_rules! numbered {
        ($name:ident, $text:literal) => {
            fn $name(&self, index: u32) -> Option<&str> {
                let all = [
                    concat!($text, "-0"),
                    concat!($text, "-1"),
                    concat!($text, "-2"),
                    concat!($text, "-3"),
                    concat!($text, "-4"),
                    concat!($text, "-5"),
                    concat!($text, "-6"),
                    concat!($text, "-7"),
                ];
                all.get(index as usize).copied()
            }
        };
    }

    impl Naming for Fake {
        fn activation(&self) -> u64 {
            3
        }

        fn release(&self) -> &str {
            "sha256:fake"
        }

        fn audit(&self) -> Audit {
            Audit::Durable
        }

        fn is_live(&self) -> bool {
            true
        }

        numbered!(agent, "agent");
        numbered!(route, "route");
        numbered!(scope, "scope");
        numbered!(limit, "limit");
        numbered!(issuer, "issuer");
        numbered!(api_key, "key");
        numbered!(client_ca, "ca");
    }
}
