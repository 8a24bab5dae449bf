//! A decision of the past, explained from its record.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;

use policy::reason::Reason;
use policy_evaluate::{Recorded, Request};
use policy_release::digest::Digest;

use super::{ExplainArgs, named, named_release, write_head, write_steps};
use crate::commands::audit::Identities;
use crate::failure::Failure;
use crate::replay::compare::{Standing, differences, outcome, standing};
use crate::replay::line::{Exchange, Line, time_text};
use crate::replay::policies::{self, Policies, Shelf};

/// Bytes of a record.
const LINE_BYTES_MAX: u64 = 1 << 20;

pub(super) fn explain(args: &ExplainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let exchange = exchange(args)?;
    if let Standing::NotDecided(_) = standing(&exchange) {
        return not_decided(&exchange, out);
    }
    let shelf = Shelf::default();
    let mut known = Policies::new(&args.releases, args.store_access.of(args.store.as_ref())?.as_ref(), &shelf)?;
    let (other, name);
    let own = match &args.policy {
        Some(given) => {
            let found = args.lookup()?.find(given)?;
            name = named(&found);
            let digest = found.digest();
            other = policies::evaluator(found.policy, digest, &shelf)?;
            &other
        }
        None => {
            let digest = expect_release(&exchange, args)?;
            let own = known.of(&digest)?.ok_or_else(|| missing(&digest))?;
            name = named_release(&digest, &own.policy().name);
            own
        }
    };
    let mut counters = Recorded::new(exchange.limits.clone());
    let found = own.evaluate(&exchange.presented, &exchange.request, exchange.time_unix_ns, &mut counters);
    write_head(out, (&exchange.presented, &exchange.request), exchange.time_unix_ns, &name)?;
    write_steps(out, &found)?;
    writeln!(out)?;
    if standing(&exchange) == Standing::Granted {
        let reason = exchange.decided.reason.map_or("", Reason::name);
        writeln!(out, "The gateway refused it of its own accord before its limits were charged: {reason}.")?;
    }
    if let (true, Some(reason)) = (exchange.decided.permitted, exchange.decided.reason) {
        writeln!(out, "It was permitted and failed later: {}.", reason.name())?;
    }
    let different = differences(&exchange, &found, &counters, standing(&exchange));
    if different.is_empty() {
        writeln!(out, "as recorded")?;
        return Ok(());
    }
    writeln!(out, "NOT as recorded:")?;
    for difference in &different {
        writeln!(out, "  {:<10} recorded {}, follows {}", difference.what, difference.recorded, difference.now)?;
    }
    out.flush()?;
    Err(Failure::outcome(1))
}

/// The release that the record names.
fn expect_release(exchange: &Exchange, args: &ExplainArgs) -> Result<Digest, Failure> {
    let Some(digest) = exchange.release else {
        let fault = Failure::new("the record does not name its release");
        return Err(fault.help("decide it with --policy FILE"));
    };
    if args.releases.is_empty() && args.store.is_none() {
        let fault = Failure::new(format_args!("the record names release {digest}, and no release was given"));
        return Err(fault.help("give --release FILE, --store DIR, or --policy FILE to decide with another policy"));
    }
    Ok(digest)
}

fn missing(digest: &Digest) -> Failure {
    let fault = Failure::new(format_args!("release {digest} of the record is not among what was given"));
    fault.help(
        "give that release (--release FILE, or --store with the directory that has releases/), or --policy FILE to \
                decide with another policy",
    )
}

/// The policy was not asked: there are no steps to tell.
fn not_decided(exchange: &Exchange, out: &mut dyn Write) -> Result<(), Failure> {
    let decided = &exchange.decided;
    let Request { method, host, target } = &exchange.request;
    let scheme = if exchange.presented.tls { "https" } else { "http" };
    let at = time_text(exchange.time_unix_ns);
    match host.is_empty() {
        true => writeln!(out, "a request that was not understood")?,
        false => writeln!(out, "{method} {scheme}://{host}{target}")?,
    }
    writeln!(out, "  at {at} from {}", exchange.presented.client)?;
    let status = exchange.status.map_or(String::new(), |status| format!(", answered {status}"));
    match decided.reason {
        Some(reason) => {
            writeln!(
                out,
                "The gateway refused it before the policy was asked: {}{status}.",
                outcome(false, decided.reason)
            )?;
            writeln!(out, "{}", refused_for(exchange, reason))?;
        }
        None => writeln!(out, "It was about the gateway itself, which answered it{status}.")?,
    }
    Ok(())
}

/// What a request was refused for before the policy was asked, as far as its record tells.
fn refused_for(exchange: &Exchange, reason: Reason) -> String {
    let caller = exchange.decided.agent.as_deref();
    let whose = caller.map_or_else(|| "of the caller".to_owned(), |agent| format!("of agent {agent}"));
    match (reason, exchange.revocations) {
        (Reason::AgentRevoked, Some(serial)) => {
            let who = caller.map_or_else(|| "The agent".to_owned(), |agent| format!("Agent {agent}"));
            format!("{who} is on revocation list serial {serial} of the channel (adamant revoke list).")
        }
        (Reason::CredentialRevoked, Some(serial)) => {
            format!("A credential {whose} is on revocation list serial {serial} of the channel (adamant revoke list).")
        }
        (Reason::CredentialRevoked, None) => {
            format!("The certificate {whose} is on a revocation list of its CA (crl of the [[client_ca]]).")
        }
        _ => "The record does not hold what it was refused for (bytes of the request, or a credential).".to_owned(),
    }
}

fn exchange(args: &ExplainArgs) -> Result<Box<Exchange>, Failure> {
    let line = match (&args.which.record, &args.which.request_id, &args.records) {
        (Some(record), ..) if record == "-" => first_line(&mut io::stdin().lock())?,
        (Some(record), ..) if record.trim_start().starts_with('{') => record.clone().into_bytes(),
        (Some(_), ..) => {
            let fault = Failure::new("expected a record (one JSON line), or - for standard input");
            return Err(fault.help("to take it from a file: --records FILE --request-id ID"));
        }
        (None, Some(id), Some(path)) => return with_id(path, id, &args.identity.load()?),
        _ => return Err(Failure::new("expected --records FILE and --request-id ID")),
    };
    match Line::parse(&line).map_err(Failure::new)? {
        Line::Exchange(exchange) => Ok(exchange),
        Line::Other(kind) => {
            Err(Failure::new(format_args!("expected a record of kind exchange, found one of kind {kind}")))
        }
    }
}

fn first_line(from: &mut dyn BufRead) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::new(format_args!("standard input cannot be read: {error}")))?;
    Ok(line)
}

/// The exchange with this request id.
fn with_id(path: &Path, id: &str, identities: &Identities) -> Result<Box<Exchange>, Failure> {
    let mut from = BufReader::new(identities.open(path)?);
    let (mut line, mut has_records, mut has_others) = (Vec::new(), false, false);
    loop {
        line.clear();
        let read = from.read_until(b'\n', &mut line).map_err(|error| Failure::at(path, error))?;
        if read == 0 && !has_records && has_others {
            let fault = Failure::at(path, "expected records, found none");
            return Err(fault.help("name the file that [records] to of gateway.toml names"));
        }
        if read == 0 {
            let fault = Failure::at(path, format_args!("expected an exchange with request id {id}, found none"));
            return Err(fault.help("the id is in the response field X-Request-Id, and in the body of a refusal"));
        }
        // One that is found is enough: the rest is not parsed.
        if !has_records {
            has_records = Line::parse(&line).is_ok();
            has_others |= !has_records;
        }
        let has_it = line.windows(id.len().max(1)).any(|part| part == id.as_bytes());
        if has_it
            && let Ok(Line::Exchange(exchange)) = Line::parse(&line)
            && exchange.request_id == id
        {
            return Ok(exchange);
        }
    }
}
