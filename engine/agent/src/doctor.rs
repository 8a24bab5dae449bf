//! `agent doctor`: looks at everything between a profile and an answer of its gateway, step by step, and says in plain words
//! what is wrong and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use serde::Serialize;
use stores::issue::CLIENTS_HELP;

use crate::bounds::{CLOCK_AHEAD_S_MAX, CLOCK_SKEW_S_MAX, CONNECT_S_MAX};
use crate::dpop;
use crate::explain::{self, Explained};
use crate::generation::{self, Identity};
use crate::profile::{self, Profile, TokenSource};
use crate::tls::{self, DialFault};
use crate::x509::Facts;
use crate::{clock, release};

mod ask;
mod channel;
mod date;
mod routes;
pub(crate) mod token;

use ask::ask;
use token::Shown;

/// Asked for where no path is named: no policy routes it by accident, so a known caller gets 403 and a stranger 401.
pub const NOBODYS_PATH: &str = "/.well-known/adamant-doctor";

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Ok,
    Warning,
    Failed,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: &'static str,
    pub outcome: Outcome,
    /// A word for scripts; `ok` where all is well.
    pub code: &'static str,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// All steps that could be taken, in order.
#[derive(Debug, Serialize)]
pub struct Report {
    pub profile: PathBuf,
    pub healthy: bool,
    pub steps: Vec<Step>,
}

impl Report {
    fn ok(&mut self, step: &'static str, found: impl Into<String>) {
        self.steps.push(Step { step, outcome: Outcome::Ok, code: "ok", found: found.into(), todo: None });
    }

    fn wrong(&mut self, step: &'static str, outcome: Outcome, why: Explained) {
        self.healthy &= outcome != Outcome::Failed;
        self.steps.push(Step { step, outcome, code: why.code, found: why.found, todo: Some(why.todo) });
    }

    fn failed(&mut self, step: &'static str, code: &'static str, found: impl Into<String>, todo: impl Into<String>) {
        self.wrong(step, Outcome::Failed, Explained { code, found: found.into(), todo: todo.into() });
    }
}

/// Looks at a profile and calls its gateway with it; `path` is what is asked for.
pub fn examine(directory: &Path, path: Option<&str>) -> Report {
    let mut report = Report { profile: directory.to_owned(), healthy: true, steps: Vec::new() };
    let profile = match Profile::read(directory) {
        Ok(profile) => profile,
        Err(fault) => {
            let todo = fault.hint().unwrap_or("check the path").to_owned();
            report.failed("profile", "profile", fault.to_string(), todo);
            return report;
        }
    };
    modes(directory, &profile, &mut report);
    let identity = certificate(directory, &profile, &mut report);
    let read = identity.as_ref().map(|identity| identity.directory.clone());
    let generation = read.unwrap_or_else(|| directory.join(generation::CURRENT));
    let token = token::look(&generation, &profile, &mut report);
    channel::look(directory, &profile, &mut report);
    routes::look(&profile, &mut report);
    renewal(&profile, &mut report);
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            runtime.block_on(call(directory, &profile, identity, token, path, &mut report));
            // Not waited for: a look-up of a name may hang longer than any bound.
            runtime.shutdown_background();
        }
        Err(error) => report.failed("connect", "system", error.to_string(), "look at this machine's limits"),
    }
    report
}

fn modes(directory: &Path, profile: &Profile, report: &mut Report) {
    let exposed = profile::exposed(directory);
    match exposed.first() {
        None => {
            report.ok("profile", format!("{} of agent {}, for its owner alone", directory.display(), profile.agent))
        }
        Some((path, mode)) => {
            let found =
                format!("others may get at {} (mode {mode:04o}){}", path.display(), and_more(exposed.len() - 1));
            let todo = format!("chmod -R go= {}; and think about who may have read the key", directory.display());
            report.failed("profile", "modes", found, todo);
        }
    }
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

/// Whether key and certificate are in order by themselves.
fn certificate(directory: &Path, profile: &Profile, report: &mut Report) -> Option<Identity> {
    const STEP: &str = "certificate";
    const RENEW: &str = "is adamant agent run at work on this profile? Renew now: adamant agent run PROFILE --once";
    let identity = match generation::current(directory) {
        Ok(identity) => identity,
        Err(fault) => {
            if let Some(exposure) = generation::exposed(directory) {
                let todo = format!("renew it: adamant agent run PROFILE --once; then {}", exposure.todo());
                report.failed(STEP, "key-exposed", exposure.fault.to_string(), todo);
                return None;
            }
            let code = if fault.to_string().contains("for another") { "key-mismatch" } else { "certificate-missing" };
            let todo = fault.hint().unwrap_or("enroll again, with --force").to_owned();
            report.failed(STEP, code, fault.to_string(), todo);
            return None;
        }
    };
    let (facts, now_s) = (&identity.facts, clock::now_s());
    let clocks = "if it was issued just now, this machine's clock is wrong (timedatectl status)";
    if now_s < facts.not_before_s {
        let ahead = clock::length(facts.not_before_s - now_s);
        let found = format!("not valid for {ahead} yet (from {})", clock::shown(facts.not_before_s));
        report.failed(STEP, "certificate-not-yet-valid", found, clocks);
    } else if now_s >= facts.not_after_s {
        let ago = clock::length(now_s - facts.not_after_s);
        let found = format!("expired {ago} ago ({})", clock::shown(facts.not_after_s));
        report.failed(STEP, "certificate-expired", found, format!("{RENEW}; {clocks}"));
    }
    if let Err(why) = profile.id.check(facts) {
        report.failed(STEP, "wrong-name", why, "enroll again; if it stays, the CA names this agent otherwise");
    }
    if !facts.is_for_clients {
        report.failed(STEP, "wrong-use", "it is for servers alone (extendedKeyUsage)", CLIENTS_HELP);
    }
    if let Some(granted) = &profile.granted
        && (facts.not_before_s..facts.not_after_s).contains(&now_s)
        && let Err(why) = release::believes(granted, &identity.chain, now_s)
    {
        let found = format!(
            "expected one of the CA that release version {} believes for this agent, found {why}",
            granted.version
        );
        let todo = "enroll at that CA; or, if there is a newer release with this one, enroll again with it";
        report.failed(STEP, "wrong-ca", found, todo);
    }
    if report.steps.iter().all(|step| step.step != STEP) {
        let left = clock::length(facts.not_after_s.saturating_sub(now_s));
        let found = format!("{} for {left} more (until {})", profile.id, clock::shown(facts.not_after_s));
        let near = crate::schedule::nearness(identity.origin.obtained_s, facts.not_after_s, now_s);
        if near >= crate::schedule::Nearness::Quarter {
            let why = Explained { code: "certificate-expiring", found, todo: RENEW.to_owned() };
            report.wrong(STEP, Outcome::Warning, why);
        } else {
            report.ok(STEP, found);
        }
    }
    Some(identity)
}

async fn call(
    directory: &Path,
    profile: &Profile,
    identity: Option<Identity>,
    token: Option<Shown>,
    path: Option<&str>,
    report: &mut Report,
) {
    let own = identity.as_ref().map(|identity| identity.facts.clone());
    let key = identity.map(|identity| identity.certified);
    let config = profile.pins(directory).map_err(|fault| fault.to_string());
    let config = match config.and_then(|pins| tls::client_config(&pins, key)) {
        Ok(config) => config,
        Err(why) => return report.failed("pins", "pins", why, "enroll again with --gateway-ca or --gateway-spki"),
    };
    let target = &profile.gateway;
    let addresses = match tls::addresses(target).await {
        Ok(addresses) => addresses,
        Err(fault) => return report.wrong("name", Outcome::Failed, explain::dial(&fault)),
    };
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    report.ok("name", format!("{} is {}", target.host, shown.join(", ")));
    let within = Duration::from_secs(CONNECT_S_MAX);
    let connected = tokio::time::timeout(within, tls::connect(&addresses)).await.unwrap_or(Err(DialFault::Timeout));
    let stream = match connected {
        Ok(stream) => stream,
        Err(fault) => return report.wrong("connect", Outcome::Failed, explain::dial(&fault)),
    };
    report.ok("connect", stream.peer_addr().map_or_else(|error| error.to_string(), |peer| format!("to {peer}")));
    let shaken = tokio::time::timeout(within, tls::handshake(target, &config, stream)).await;
    let stream = match shaken.unwrap_or(Err(DialFault::Timeout)) {
        Ok(stream) => stream,
        Err(fault) => return report.wrong("tls", Outcome::Failed, with_own(explain::dial(&fault), own.as_ref())),
    };
    let version = stream.get_ref().1.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let version = version.replace('_', ".").replace("TLSv", "TLS ");
    match ask(stream, profile, token.as_ref(), path.unwrap_or(NOBODYS_PATH)).await {
        Ok((status, fields)) => {
            report.ok("tls", format!("{version}, and the gateway's certificate is the pinned one"));
            compare_clocks(&fields, profile.proves_by_key(), report);
            answered(status, &fields, profile, path, report);
        }
        // With TLS 1.3 the gateway's verdict on a client certificate comes after the handshake.
        Err(why) if why.code != "answer" => report.wrong("tls", Outcome::Failed, with_own(why, own.as_ref())),
        Err(why) => {
            report.ok("tls", format!("{version}, and the gateway's certificate is the pinned one"));
            report.wrong("answer", Outcome::Failed, why);
        }
    }
}

/// What the gateway says of this agent's certificate, with what is known of it here: it was found to be in order.
fn with_own(mut why: Explained, own: Option<&Facts>) -> Explained {
    let Some(own) = own else { return why };
    let holds = (own.not_before_s..own.not_after_s).contains(&clock::now_s());
    match why.code {
        "certificate-expired" if holds => {
            let (from, until) = (clock::shown(own.not_before_s), clock::shown(own.not_after_s));
            why.found = format!("{}; by this machine's clock it is valid, from {from} to {until}", why.found);
            why.todo = "one of the two clocks is wrong, and renewing cannot help: compare date -u here and on the gateway's \
                        machine (timedatectl status)"
                .to_owned();
            Explained { code: "clock", ..why }
        }
        // They fit each other: that was seen when they were read.
        "key-mismatch" => Explained {
            code: "wrong-ca",
            found: "the gateway could not verify this agent's certificate: it is of another CA that has the same name as \
                    the one the release believes"
                .to_owned(),
            todo: "was the CA made anew (adamant ca init)? Enroll at the one that [[client_ca]] in the policy names, or have \
                   the new one added by a new release"
                .to_owned(),
        },
        _ => why,
    }
}

/// `proves`: the agent makes DPoP proofs, which hold the time by its clock.
fn compare_clocks(fields: &HeaderMap, proves: bool, report: &mut Report) {
    let said = fields.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(date::unix_s);
    let Some(theirs_s) = said else { return };
    let ours_s = clock::now_s();
    let apart_s = ours_s.abs_diff(theirs_s);
    let is_early = proves && ours_s > theirs_s + CLOCK_AHEAD_S_MAX;
    if apart_s <= CLOCK_SKEW_S_MAX && !is_early {
        return report.ok("clock", format!("within {CLOCK_SKEW_S_MAX} s of the gateway's"));
    }
    let side = if ours_s < theirs_s { "behind" } else { "ahead of" };
    let found = format!("this machine's clock is {} {side} the gateway's", clock::length(apart_s));
    let what = if proves { "tokens, certificates and DPoP proofs (`iat`)" } else { "tokens and certificates" };
    let todo = format!("{what} depend on it: set this machine's clock (timedatectl set-ntp true)");
    // By a few seconds: whether it matters is for the leeway of the policy to say.
    let outcome = if apart_s > CLOCK_SKEW_S_MAX { Outcome::Failed } else { Outcome::Warning };
    report.wrong("clock", outcome, Explained { code: "clock", found, todo });
    if outcome == Outcome::Failed {
        // What looks wrong with certificate and token comes of it.
        report.steps.rotate_right(1);
    }
}

fn answered(status: StatusCode, fields: &HeaderMap, profile: &Profile, path: Option<&str>, report: &mut Report) {
    if !is_of_gateway(fields) {
        let found = format!("{status}, by a server that is no adamant gateway, or behind one that hides its fields");
        let todo = "is this the gateway's listener for agents, and not its status listener? Check host and port in \
                    profile.json, and who else has a certificate of its CA";
        return report.failed("answer", "not-gateway", found, todo);
    }
    // Known, and told that nobody has this path: that is all that was to be learnt.
    if path.is_none() && matches!(status.as_u16(), 403 | 404) {
        return report.ok("answer", format!("the gateway knows this agent{}", granted(profile)));
    }
    if let Some(why) = dpop::challenged(fields).filter(|_| status == 401).and_then(explain::proof) {
        return report.wrong("answer", Outcome::Failed, why);
    }
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    match explain::status(status.as_u16(), text("retry-after"), text("x-request-id")) {
        None => report.ok("answer", format!("{status}: the gateway lets this agent through{}", granted(profile))),
        // Neither is a fault of the agent's configuration.
        Some(why) if matches!(why.code, "origin" | "not-found") => report.wrong("answer", Outcome::Warning, why),
        Some(why) => report.wrong("answer", Outcome::Failed, routes::refused(why, profile, path)),
    }
}

/// Whether the next renewal will find its files: what is in use goes on without them, until it ends.
fn renewal(profile: &Profile, report: &mut Report) {
    let needed = profile.certificate.files().into_iter().chain(profile.token.iter().flat_map(TokenSource::files));
    let mut missing = needed.filter_map(|path| fs::metadata(&path).err().map(|error| (path, error)));
    if let Some((path, error)) = missing.next() {
        let found = format!("the next one needs {}, which cannot be found: {error}", path.display());
        let todo = "bring it back before the end: is a directory not mounted, or moved?".to_owned();
        report.wrong("renewal", Outcome::Warning, Explained { code: "renewal", found, todo });
    }
}

/// Every answer of a gateway has an id; its own are problem documents, those of origins came by way of it.
fn is_of_gateway(fields: &HeaderMap) -> bool {
    let is_problem = fields.get(header::CONTENT_TYPE).is_some_and(|of| of == "application/problem+json");
    fields.contains_key("x-request-id") && (is_problem || fields.contains_key(header::VIA))
}

/// What the profile has noted; the gateway does not tell an agent what its release says now.
fn granted(profile: &Profile) -> String {
    let Some(granted) = &profile.granted else {
        return "; which scopes it has is not known here: enroll with --release, or name a --path to try".to_owned();
    };
    let limits = if granted.limits.is_empty() { "no limit".to_owned() } else { granted.limits.join(", ") };
    let scopes = granted.scopes.join(", ");
    let when = if profile.follows.is_some() { "in use now, of its channel" } else { "at enrolment" };
    format!("; by this profile (release version {} {when}): scopes {scopes}; {limits}", granted.version)
}
