//! Whether a target does the work that it is to be timed at: the same requests to each, and what must come of them.
//!
//! What is refused must not reach the origin, and what is permitted must be answered by it: the origin of the probes
//! counts, and its content cannot be guessed. A target that answers 200 to everything fails.

mod cases;
pub(crate) mod client;
mod origin;

use std::net::SocketAddr;

use crate::results;
use crate::target::{Context, LIMIT_SMALL, Material, Place, Running, Target, Work};

use cases::{Case, Expected};
use client::{Answer, Client};
use origin::Origin;

/// Requests sent to reach the limit: beyond a full bucket and all that flows in while they are sent.
const BURST: u32 = LIMIT_SMALL * 10;

/// What came of the probes of one work.
#[derive(Clone, Debug)]
pub struct Probed {
    pub work: Work,
    pub probes: Vec<results::Probe>,
    /// Why it does not do the work; none if it does.
    pub why_not: Option<String>,
}

impl Probed {
    pub fn does(&self) -> bool {
        self.why_not.is_none()
    }

    /// A work that was not even tried.
    pub fn not_done(work: Work, why: String) -> Self {
        Self { work, probes: Vec::new(), why_not: Some(why) }
    }
}

/// Starts the target with a small limit and asks it everything that belongs to `work`.
pub fn probe(target: &Target, place: &Place, material: &Material, core: usize, work: Work) -> Probed {
    if let Err(fault) = target.does(work) {
        let why = target.cannot.get(&work).cloned().unwrap_or_else(|| fault.to_string());
        return Probed::not_done(work, why);
    }
    let origin = match Origin::start() {
        Ok(origin) => origin,
        Err(failure) => return Probed::not_done(work, failure.to_string()),
    };
    let context = Context { place, material, origin: origin.address, core, limit: LIMIT_SMALL };
    match target.start(&context, work) {
        Ok(running) => ask(&running, &origin, material),
        Err(fault) => Probed::not_done(work, fault.to_string()),
    }
}

fn ask(running: &Running, origin: &Origin, material: &Material) -> Probed {
    ask_at(running.address, running.work(), origin, material)
}

/// Asks whatever listens at `address`.
fn ask_at(address: SocketAddr, work: Work, origin: &Origin, material: &Material) -> Probed {
    let cases = match cases::of(work, material) {
        Ok(cases) => cases,
        Err(fault) => return Probed::not_done(work, fault.to_string()),
    };
    let mut probes: Vec<results::Probe> = cases.iter().map(|case| one(address, work, origin, material, case)).collect();
    if let (true, Some(permitted)) = (work.is_limited(), cases.first()) {
        probes.push(limit(address, work, material, permitted));
    }
    let failed: Vec<String> = probes
        .iter()
        .filter(|probe| !probe.passed)
        .map(|probe| format!("{}: expected {}, found {}", probe.request, probe.expected, probe.found))
        .collect();
    let why_not = (!failed.is_empty()).then(|| failed.join("; "));
    Probed { work, probes, why_not }
}

fn one(address: SocketAddr, work: Work, origin: &Origin, material: &Material, case: &Case) -> results::Probe {
    let seen = origin.requests();
    let answer = client(address, work, material, case).and_then(|mut client| client.ask(&case.path, &case.fields));
    let reached = origin.requests() > seen;
    let (found, good) = match (&answer, &case.expected) {
        (Ok(answer), Expected::FromOrigin) => {
            let genuine = answer.content == origin.content();
            let found =
                if genuine { answer.status.to_string() } else { format!("{} with other content", answer.status) };
            (found, answer.status == 200 && genuine && reached)
        }
        (Ok(Answer { status, .. }), Expected::Status(statuses)) => (status.to_string(), statuses.contains(status)),
        (Ok(Answer { status, .. }), Expected::Refused) => (status.to_string(), (400..500).contains(status)),
        (Err(client::Closed::Refused(why)), Expected::Refused) => (format!("closed ({why})"), true),
        (Err(closed), _) => (closed.to_string(), false),
    };
    let leaked = reached && case.expected != Expected::FromOrigin;
    results::Probe {
        work: work.name().to_owned(),
        request: case.request.to_owned(),
        expected: case.expected.to_string(),
        found: if leaked { format!("{found}, and the origin was asked") } else { found },
        passed: good && !leaked,
    }
}

/// Asks for what is permitted until the limit refuses.
fn limit(address: SocketAddr, work: Work, material: &Material, permitted: &Case) -> results::Probe {
    let mut counts = std::collections::BTreeMap::<u16, u32>::new();
    let mut failed = None;
    match client(address, work, material, permitted) {
        Ok(mut client) => {
            for _ in 0..BURST {
                match client.ask(&permitted.path, &permitted.fields) {
                    Ok(answer) => *counts.entry(answer.status).or_default() += 1,
                    // Some close after a refusal; the next request has a connection of its own.
                    Err(_) => match self::client(address, work, material, permitted) {
                        Ok(again) => client = again,
                        Err(closed) => {
                            failed = Some(closed.to_string());
                            break;
                        }
                    },
                }
            }
        }
        Err(closed) => failed = Some(closed.to_string()),
    }
    let told: Vec<String> = counts.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    results::Probe {
        work: work.name().to_owned(),
        request: format!("{BURST} requests at once, {LIMIT_SMALL} a second are allowed"),
        expected: "200, then 429".to_owned(),
        passed: failed.is_none()
            && counts.contains_key(&200)
            && counts.get(&429).is_some_and(|many| *many >= BURST / 2)
            && counts.len() == 2,
        found: failed.unwrap_or_else(|| told.join(", ")),
    }
}

fn client(address: SocketAddr, work: Work, material: &Material, case: &Case) -> Result<Client, client::Closed> {
    let roots = work.transport().is_tls().then(|| material.server_ca.clone());
    Client::connect(address, roots, case.identity.clone())
}

#[cfg(test)]
mod tests;
