//! What keeps a policy from being compiled. The author of the policy is at fault; trying again cannot help.

use thiserror::Error;

use crate::bounds::{
    ALTERNATIVES_PER_AGENT_MAX, IDENTITIES_PER_AGENT_MAX, LIMITS_PER_AGENT_MAX, METHODS_EXTENSION_MAX, ROUTE_STEPS_MAX,
};
use crate::bounds::{IMAGE_BYTES_MAX, SEGMENTS_MAX, STRING_BYTES_MAX};
use crate::table::TableError;

/// Why a policy does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    #[error("expected at most {max} {what}, found {found}; split the policy")]
    TooMany { what: &'static str, max: usize, found: usize },
    #[error("expected {list} sorted by unique names, found `{name}` after `{after}`; sort them and name each once")]
    NotSorted { list: &'static str, name: String, after: String },
    #[error("{user} names the {what} `{name}`, which the policy does not have; add it or correct the name")]
    Unresolved { what: &'static str, name: String, user: String },
    #[error(
        "a name, host, segment, subject or method has {found} bytes, more than {STRING_BYTES_MAX}; shorten `{start}…`"
    )]
    StringTooLong { start: String, found: usize },
    #[error("route `{route}`: the host is empty; write a host or `*`")]
    HostEmpty { route: String },
    #[error("route `{route}`: {what} in the path `{path}`")]
    Path { route: String, path: String, what: &'static str },
    #[error(
        "route `{route}`: the path has {found} segments, more than {SEGMENTS_MAX}; end it earlier with {{rest...}}"
    )]
    PathTooLong { route: String, found: usize },
    #[error("route `{route}`: a method is missing or empty; name at least one, or `*` for any but CONNECT and TRACE")]
    MethodEmpty { route: String },
    #[error(
        "route `{route}`: `{method}` is one method too many; a policy can name {METHODS_EXTENSION_MAX} beside the usual"
    )]
    TooManyMethods { route: String, method: String },
    #[error("routes `{first}` and `{second}` admit the same method of the same host and path; narrow or remove one")]
    RoutesOverlap { first: String, second: String },
    #[error(
        "a route look-up would take up to {steps} steps, more than {ROUTE_STEPS_MAX}; replace literals beside {{segment}}s"
    )]
    RouteSteps { steps: u32 },
    #[error("agents `{first}` and `{second}` are both anonymous; keep one and give it the scopes of both")]
    SeveralAnonymous { first: String, second: String },
    #[error(
        "agent `{agent}`: a set of proofs is empty, so everybody would hold it; name a proof or write \"anonymous\""
    )]
    ProofsEmpty { agent: String },
    #[error(
        "agent `{agent}` has {found} sets of proofs, counted with each API key, more than {ALTERNATIVES_PER_AGENT_MAX}"
    )]
    TooManyAlternatives { agent: String, found: usize },
    #[error(
        "agent `{agent}` has {found} alternatives in its identity, more than {IDENTITIES_PER_AGENT_MAX}; make two agents of it"
    )]
    TooManyIdentities { agent: String, found: usize },
    #[error("agents `{first}` and `{second}` have the same set of proofs, so neither could be told; change one")]
    AlternativeShared { first: String, second: String },
    #[error(
        "agent `{agent}`: the population of issuer `{issuer}` has other exceptions here than elsewhere; make them equal"
    )]
    ExceptionsDiffer { agent: String, issuer: String },
    #[error(
        "agent `{agent}`: a token of issuer `{issuer}` is bound to something else here than in another set of proofs; make them equal"
    )]
    BindingsDiffer { agent: String, issuer: String },
    #[error("agent `{agent}` has {found} limits, more than {LIMITS_PER_AGENT_MAX}; remove those that never bind")]
    TooManyLimits { agent: String, found: usize },
    #[error("agent `{agent}`: limit `{limit}` is named twice; name each once")]
    LimitNamedTwice { agent: String, limit: String },
    #[error("agent `{agent}`: limit `{limit}` has {what} of 0; it must be at least 1")]
    LimitZero { agent: String, limit: String, what: &'static str },
    #[error("limits of agents `{first}` and `{second}` have the same stable id; rename one of them")]
    StableIdShared { first: String, second: String },
    #[error("no hash seed of those tried places all {what}; report this policy")]
    SeedNotFound { what: &'static str },
    #[error("the table would have more than {IMAGE_BYTES_MAX} bytes; split the policy")]
    ImageTooLarge,
    #[error("the compiler made a table that does not open; report this policy")]
    Table(#[source] TableError),
}
