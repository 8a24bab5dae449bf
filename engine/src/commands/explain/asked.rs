//! A request that nobody made yet.

use std::io::Write;
use std::path::Path;

use policy::bounds::API_KEY_ID_BYTES_MAX;
use policy::model::{CertificateName, ClientCa, MinimumTransport, Policy};
use policy_evaluate::{Certificate, Evaluation, Evaluator, Memory, Presented, PresentedError, Request, presented_by};

use super::token::{self, Read};
use super::{CallerArgs, ExplainArgs, named, write_head, write_steps};
use crate::failure::Failure;
use crate::lookup::{Form, Found};
use crate::replay::line::parse_time;
use crate::replay::policies::{self, Shelf};

/// Names of agents that a hint lists.
const AGENTS_SHOWN_MAX: usize = 20;
/// What an API key begins with.
const API_KEY_PREFIX: &str = "adm_";

pub(super) fn explain(args: &ExplainArgs, request: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let (tls, request) = parse_request(request)?;
    let time_unix_ns = match &args.caller.at {
        None => control::clock::unix_ns(),
        Some(text) => parse_time(text).ok_or_else(|| {
            Failure::new(format_args!("--at: expected a time in UTC like 2026-11-21T18:07:34Z, found {text:?}"))
        })?,
    };
    let found = decided_with(args)?;
    let (name, digest, form) = (named(&found), found.digest(), found.form);
    let shelf = Shelf::default();
    let evaluator = policies::evaluator(found.policy, digest, &shelf)?;
    let (presented, mut said) = match presented(&args.caller, &evaluator, tls, time_unix_ns / 1_000_000_000)? {
        Caller::Presents(presented, said) => (presented, said),
        Caller::TokenRefused { status, reason, fault } => {
            writeln!(out, "refused: {status}, {reason}")?;
            writeln!(out, "  the token does not hold: {fault}")?;
            return Ok(());
        }
    };
    let evaluation = evaluator.evaluate(&presented, &request, time_unix_ns, &mut Memory::default());
    write_head(out, (&presented, &request), time_unix_ns, &name)?;
    write_steps(out, &evaluation)?;
    said.extend(of_revocations(&evaluation, form, args.store.as_deref()));
    if !said.is_empty() || !evaluation.limits.is_empty() {
        writeln!(out)?;
    }
    for line in said {
        writeln!(out, "{line}")?;
    }
    if !evaluation.limits.is_empty() {
        writeln!(out, "The limits count as if nobody had used them before.")?;
    }
    Ok(())
}

/// That a release says nothing of who was revoked since. Nobody expects that of a source.
fn of_revocations(evaluation: &Evaluation, form: Form, store: Option<&Path>) -> Option<String> {
    if !evaluation.permitted || form == Form::Source {
        return None;
    }
    let store = store.map_or_else(|| "DIR".to_owned(), |store| store.display().to_string());
    Some(format!(
        "Revocations are not looked at: whoever is revoked is refused all the same (adamant revoke list --store {store} \
         --channel NAME)."
    ))
}

/// The policy that was named, or the only one that can be meant.
fn decided_with(args: &ExplainArgs) -> Result<Found, Failure> {
    let lookup = args.lookup()?;
    match (&args.policy, args.releases.as_slice(), &args.store) {
        (Some(given), ..) => lookup.find(given),
        (None, [path], _) => lookup.file(path),
        (None, [], Some(store)) => lookup.only_one(&args.store_access.at(store)?),
        (None, ..) => {
            let fault = Failure::new("expected a policy to decide with");
            Err(fault.help("give --policy policy.toml, one --release FILE, or --policy sha256:… with --store DIR"))
        }
    }
}

/// Whether it comes over TLS, and what it asks for.
fn parse_request(text: &str) -> Result<(bool, Request), Failure> {
    // A fragment is never sent.
    let sent = text.trim().split('#').next().unwrap_or_default();
    let asked = policy_source::request(sent).map_err(|(message, hint)| {
        let fault = Failure::new(format_args!("--request: {message}"));
        hint.into_iter().fold(fault, Failure::help)
    })?;
    Ok((asked.tls, Request { method: asked.method, host: asked.host, target: asked.target }))
}

enum Caller {
    /// And what there is to say about it.
    Presents(Presented, Vec<String>),
    /// Its signature or a claim does not hold.
    TokenRefused { status: u16, reason: &'static str, fault: String },
}

fn presented(args: &CallerArgs, evaluator: &Evaluator<'_>, tls: bool, now_s: u64) -> Result<Caller, Failure> {
    let policy = evaluator.policy();
    let mut said = Vec::new();
    let mut presented = match &args.agent {
        Some(agent) => presented_by(policy, agent, args.alternative, args.subject.as_deref())
            .map_err(|fault| of_caller(&fault, policy))?,
        None => Presented::nothing(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
    };
    presented.tls = tls;
    if let Some(client) = args.client {
        presented.client = client;
    }
    if let Some(id) = &args.api_key_id {
        presented.api_key = Some(api_key_id(id)?);
    }
    if !args.certificate.is_empty() {
        presented.certificate = Some(certificate(&args.certificate, policy)?);
    } else if !tls {
        presented.certificate = None;
    }
    if let Some(path) = &args.token {
        match token::read(path, policy, now_s)? {
            Read::Holds(token, how) => {
                presented.token = Some(token);
                said.push(how);
                said.extend(token::believed(&presented));
            }
            Read::Refused(fault) => {
                let reason = fault.reason();
                let (status, reason) = (reason.status(), reason.name());
                return Ok(Caller::TokenRefused { status, reason, fault: fault.to_string() });
            }
        }
    }
    if let Some(scopes) = &args.scopes {
        let token = presented.token.as_mut().ok_or_else(|| {
            Failure::new("--scopes: expected a token whose scopes they are").help("give --agent or --token")
        })?;
        token.scopes = Some(scopes.split_ascii_whitespace().map(str::to_owned).collect());
    }
    if policy.transport == MinimumTransport::Mtls && args.agent.is_some() && tls {
        said.push("A client certificate is there, because the policy's transport asks for one.".to_owned());
    }
    Ok(Caller::Presents(presented, said))
}

/// With the names that there are, where the one that was given is none.
fn of_caller(fault: &PresentedError, policy: &Policy) -> Failure {
    let told = Failure::new(fault);
    if !matches!(fault, PresentedError::AgentUnknown { .. }) || policy.agents.is_empty() {
        return told;
    }
    let names: Vec<&str> = policy.agents.iter().map(|agent| agent.name.as_str()).take(AGENTS_SHOWN_MAX).collect();
    let more = match policy.agents.len().saturating_sub(AGENTS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(", and {more} more: the [[agent]] sections of the policy name them"),
    };
    told.help(format_args!("its agents are: {}{more}", names.join(", ")))
}

/// The id of a key. Whatever may be a secret is not repeated.
fn api_key_id(text: &str) -> Result<String, Failure> {
    let is_like_one = text.len() <= API_KEY_ID_BYTES_MAX && !text.starts_with(API_KEY_PREFIX);
    if is_like_one {
        return Ok(text.to_owned());
    }
    let fault = Failure::new("--api-key-id: expected the id of a key, found what looks like a whole key");
    Err(fault.help(
        "the id stands between adm_ and the next _; others can see the command line (and the shell keeps it): replace that key",
    ))
}

/// One certificate, of all names and client CAs that are given.
fn certificate(texts: &[String], policy: &Policy) -> Result<Certificate, Failure> {
    let mut whole = Certificate { cas: Vec::new(), names: Vec::new() };
    for text in texts {
        let (name, ca) = name_and_ca(text, policy)?;
        if !whole.names.contains(&name) {
            whole.names.push(name);
        }
        if !whole.cas.contains(&ca) {
            whole.cas.push(ca);
        }
    }
    let most = policy::bounds::CERTIFICATE_NAMES_MAX;
    if whole.names.len() > most {
        let message = format!("--certificate: expected at most {most} names, found {}", whole.names.len());
        return Err(Failure::new(message).help("a gateway closes the connection of a certificate with more"));
    }
    Ok(whole)
}

fn name_and_ca(text: &str, policy: &Policy) -> Result<(CertificateName, String), Failure> {
    let cas = &policy.client_cas;
    let (name, ca) = match (text.rsplit_once('@'), cas.as_slice()) {
        (Some((name, ca)), _) if cas.iter().any(|known| known.name == ca) => (name, ca),
        (Some((name, ca)), _) => {
            let fault =
                Failure::new(format_args!("--certificate: expected a client CA of the policy after @, found {ca:?}"));
            let near = policy_source::nearest(ca, cas.iter().map(|known| known.name.as_str()));
            return Err(match near {
                Some(near) => fault.help(format_args!("did you mean {name}@{near}?")),
                None => fault.help(format_args!("the policy's client CAs are: {}", names_of(cas))),
            });
        }
        (None, [only]) => (text, only.name.as_str()),
        (None, _) => {
            let fault = Failure::new(format_args!("--certificate: expected NAME@CA, found {text:?}"));
            return Err(fault.help(format_args!("the policy's client CAs are: {}", names_of(cas))));
        }
    };
    let parsed = CertificateName::from_text(name).ok_or_else(|| {
        Failure::new(format_args!("--certificate: expected spiffe://…, dns:… or spki-sha256:…, found {name:?}"))
    })?;
    Ok((parsed, ca.to_owned()))
}

fn names_of(cas: &[ClientCa]) -> String {
    let names: Vec<&str> = cas.iter().map(|ca| ca.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_agent_is_told_with_a_bounded_number_of_those_there_are() {
        let hint = |count: usize| {
            let agent =
                |number| format!(r#"{{"name":"bot-{number}","identity":["anonymous"],"scopes":[],"limits":[]}}"#);
            let agents = (0..count).map(agent).collect::<Vec<_>>().join(",");
            let text = format!(
                r#"{{"name":"p","audit":"queued","transport":"plain","client_cas":[],"origins":[],"routes":[],"scopes":[],
                "api_keys":[],"issuers":[],"agents":[{agents}]}}"#
            );
            let policy: Policy = serde_json::from_str(&text).unwrap();
            let fault = presented_by(&policy, "robot", 1, None).unwrap_err();
            of_caller(&fault, &policy).hint().map(str::to_owned)
        };
        assert_eq!(hint(0), None);
        assert_eq!(hint(2).unwrap(), "its agents are: bot-0, bot-1");
        assert!(hint(AGENTS_SHOWN_MAX).unwrap().ends_with("bot-19"));
        assert!(hint(AGENTS_SHOWN_MAX + 2).unwrap().contains("bot-19, and 2 more: "));
    }

    #[test]
    fn requests_are_taken_apart() {
        let of = |text: &str| {
            parse_request(text).map(|(tls, request)| (tls, request.method, request.host, request.target)).ok()
        };
        let is = |tls: bool, method: &str, host: &str, target: &str| {
            Some((tls, method.to_owned(), host.to_owned(), target.to_owned()))
        };
        assert_eq!(of("GET https://a.example/b?c=d#e"), is(true, "GET", "a.example", "/b?c=d"));
        assert_eq!(of("PUT http://a.example:8080"), is(false, "PUT", "a.example", "/"));
        assert_eq!(of("GET https://[::1]/x"), is(true, "GET", "[::1]", "/x"));
        for wrong in ["GET", "https://a/", "GET a.example/b", "GET ftp://a/", "GET https:///x", "GET https://u@a/"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
