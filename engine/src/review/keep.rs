//! What a review leaves alone: what is rarely used on purpose.

use std::collections::BTreeSet;
use std::path::Path;

use policy::model::Policy;
use serde::Deserialize;

use super::bounds::KEEP_BYTES_MAX;
use crate::failure::Failure;
use crate::files;

/// Stands beside the policy source, where there is any.
pub const KEEP_FILE: &str = "review.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keep: Keep,
}

/// Names that no finding is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// With all that they have.
    pub agents: BTreeSet<String>,
    /// With the scopes that hold them.
    pub routes: BTreeSet<String>,
    /// With all their routes, for all agents that have them.
    pub scopes: BTreeSet<String>,
    pub api_keys: BTreeSet<String>,
    /// Each as `AGENT/LIMIT`.
    pub limits: BTreeSet<String>,
}

const KINDS: &str = "agent:NAME, route:NAME, scope:NAME, api-key:ID or limit:AGENT/LIMIT";

impl Keep {
    /// What stands in `review.toml` beside `source`, and what was given.
    ///
    /// # Errors
    /// The file cannot be read, or names what the policy does not have.
    pub fn read(source: Option<&Path>, given: &[String], policy: &Policy) -> Result<Self, Failure> {
        let mut keep = Self::default();
        if let Some(path) = source.map(|source| source.with_file_name(KEEP_FILE)).filter(|path| path.exists()) {
            let bytes = files::read(&path, KEEP_BYTES_MAX)?;
            let text = std::str::from_utf8(&bytes).map_err(|fault| Failure::at(&path, fault))?;
            let file: File = toml::from_str(text).map_err(|fault| {
                Failure::at(&path, fault.to_string().trim_end()).help(
                    "expected [keep] with lists: agents, routes, scopes, api_keys, limits (each as \"AGENT/LIMIT\")",
                )
            })?;
            keep = file.keep;
            keep.check(policy).map_err(|fault| Failure::at(&path, fault))?;
        }
        for entry in given {
            keep.add(entry).map_err(|fault| Failure::new(format_args!("--keep {entry}: {fault}")))?;
        }
        keep.check(policy).map_err(|fault| Failure::new(format_args!("--keep: {fault}")))?;
        Ok(keep)
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        let (kind, name) = entry.split_once(':').ok_or_else(|| format!("expected {KINDS}"))?;
        let names = match kind {
            "agent" => &mut self.agents,
            "route" => &mut self.routes,
            "scope" => &mut self.scopes,
            "api-key" => &mut self.api_keys,
            "limit" => &mut self.limits,
            _ => return Err(format!("expected {KINDS}")),
        };
        names.insert(name.to_owned());
        Ok(())
    }

    /// A name that the policy does not have is a mistake of spelling.
    fn check(&self, policy: &Policy) -> Result<(), String> {
        let agents: BTreeSet<&str> = policy.agents.iter().map(|agent| agent.name.as_str()).collect();
        let routes = policy.routes.iter().map(|route| route.name.as_str()).collect();
        let scopes = policy.scopes.iter().map(|scope| scope.name.as_str()).collect();
        let keys = policy.api_keys.iter().map(|key| key.id.as_str()).collect();
        let limits = policy
            .agents
            .iter()
            .flat_map(|agent| agent.limits.iter().map(|limit| format!("{}/{}", agent.name, limit.name)));
        let limits: BTreeSet<String> = limits.collect();
        let limits = limits.iter().map(String::as_str).collect();
        for (what, wanted, known) in [
            ("agent", &self.agents, agents),
            ("route", &self.routes, routes),
            ("scope", &self.scopes, scopes),
            ("API key", &self.api_keys, keys),
            ("limit", &self.limits, limits),
        ] {
            if let Some(name) = wanted.iter().find(|name| !known.contains(name.as_str())) {
                let near = policy_source::nearest(name, known.iter().copied());
                let near = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
                return Err(format!("the policy has no {what} \"{name}\"{near}"));
            }
        }
        Ok(())
    }

    /// Whether an agent keeps this scope whatever was used of it.
    pub fn holds_scope(&self, policy: &Policy, scope: &str) -> bool {
        let found = policy.scopes.iter().find(|found| found.name == scope);
        self.scopes.contains(scope)
            || found.is_some_and(|scope| scope.routes.iter().any(|route| self.routes.contains(route)))
    }
}
