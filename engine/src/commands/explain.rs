//! `adamant explain`: one decision, step by step.

mod asked;
mod recorded;
mod token;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use policy_evaluate::{Evaluation, Presented, Request};
use policy_release::digest::Digest;

use super::audit::IdentityArgs;
use super::status::AccessArgs;
use crate::failure::Failure;
use crate::lookup::{Form, Found, Lookup};
use crate::replay::line::time_text;
use crate::store::StoreAccess;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    which: Which,
    /// The record file in which --request-id is looked for; - is standard input.
    #[arg(long, value_name = "FILE", requires = "request_id")]
    records: Option<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// A release: of the record, or to decide the request with. May be given several times for a record.
    #[arg(long = "release", value_name = "FILE")]
    releases: Vec<PathBuf>,
    /// A store, or a gateway's state directory, that has the release: that of the record, that of --policy, or the only
    /// one there.
    #[arg(long, value_name = "DIR|URL")]
    store: Option<PathBuf>,
    #[command(flatten)]
    store_access: StoreAccess,
    /// What to decide with, whatever release a record names: a policy source, a release file, sha256:… in the store,
    /// gateway:ADDRESS, or a store with one release.
    #[arg(long, conflicts_with = "releases")]
    policy: Option<String>,
    #[command(flatten)]
    caller: CallerArgs,
    #[command(flatten, next_help_heading = "The gateway of --policy gateway:https://…")]
    access: AccessArgs,
}

/// What is explained.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// A past decision: its record, or - to read it from standard input.
    #[arg(long, value_name = "LINE|-")]
    record: Option<String>,
    /// A past decision by the id that the client was told; needs --records.
    #[arg(long, value_name = "ID", requires = "records")]
    request_id: Option<String>,
    /// A request that nobody made yet, like "GET https://api.corp.example/orders/7".
    #[arg(long, value_name = "METHOD URL")]
    request: Option<String>,
}

/// Who makes the request of --request: nobody, unless something says otherwise.
#[derive(Debug, Args)]
#[command(next_help_heading = "The caller of --request")]
pub struct CallerArgs {
    /// Somebody who has all proofs of this agent's first alternative.
    #[arg(long, value_name = "NAME", requires = "request")]
    agent: Option<String>,
    /// Another alternative of the agent, from 1.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "agent")]
    alternative: usize,
    /// The member of the population that --agent is.
    #[arg(long, value_name = "NAME", requires = "agent")]
    subject: Option<String>,
    /// A JWT in a file, or - for standard input. It is verified where the policy pins its issuer's keys.
    #[arg(long, value_name = "FILE|-", requires = "request")]
    token: Option<PathBuf>,
    /// A client certificate by name and CA, like spiffe://corp.example/reports@agents or dns:ci.corp.example@agents.
    /// Given several times, it is one certificate with all these names, and all these CAs vouch for it.
    #[arg(long, value_name = "NAME@CA", requires = "request")]
    certificate: Vec<String>,
    /// An API key by its id.
    #[arg(long, value_name = "ID", requires = "request")]
    api_key_id: Option<String>,
    /// The client's address.
    #[arg(long, value_name = "IP", requires = "request")]
    client: Option<IpAddr>,
    /// The scopes in the token, in place of those it has.
    #[arg(long, value_name = "\"A B\"", requires = "request")]
    scopes: Option<String>,
    /// When, like 2026-11-21T18:07:34Z; now when absent.
    #[arg(long, value_name = "TIME", requires = "request")]
    at: Option<String>,
}

pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.which.request {
        Some(request) => asked::explain(args, request, out),
        None => recorded::explain(args, out),
    }
}

/// The head of an explanation: what was asked, when, from where, and with which policy it is decided.
fn write_head(
    out: &mut dyn Write,
    (presented, request): (&Presented, &Request),
    time_unix_ns: u64,
    decided_with: &str,
) -> Result<(), Failure> {
    let scheme = if presented.tls { "https" } else { "http" };
    let Request { method, host, target } = request;
    writeln!(out, "{method} {scheme}://{host}{target}")?;
    writeln!(out, "  at {} from {}", time_text(time_unix_ns), presented.client)?;
    writeln!(out, "  with {decided_with}\n")?;
    Ok(())
}

fn write_steps(out: &mut dyn Write, evaluation: &Evaluation) -> Result<(), Failure> {
    for step in &evaluation.steps {
        writeln!(out, "{:<10} {}", step.topic.name(), step.text)?;
        for detail in &step.details {
            writeln!(out, "{:<10}   {detail}", "")?;
        }
    }
    Ok(())
}

impl ExplainArgs {
    fn lookup(&self) -> Result<Lookup<'_>, Failure> {
        Ok(Lookup {
            store: self.store_access.of(self.store.as_ref())?,
            access: self.access.read()?,
            ..Lookup::default()
        })
    }
}

/// `release sha256:… of policy "orders-edge"`, or the file.
fn named(found: &Found) -> String {
    let name = &found.policy.name;
    match (found.digest(), found.form) {
        (Some(digest), Form::Gateway) => format!("{}, from {}", named_release(&digest, name), found.name),
        (Some(digest), _) => named_release(&digest, name),
        (None, _) => format!("{}, policy \"{name}\"", found.name),
    }
}

fn named_release(digest: &Digest, policy_name: &str) -> String {
    format!("release {digest} of policy \"{policy_name}\"")
}
