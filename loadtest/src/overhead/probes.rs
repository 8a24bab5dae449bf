//! Whether each gateway does the work of its policy, before anything is timed.

use super::variant::{Policy, Variant};
use crate::failure::Failure;
use crate::probe::client::Client;
use crate::results::{Probe, Subject};
use crate::target::material::{Material, PATH, PATH_UNKNOWN};
use crate::target::process::Process;
use crate::target::{Algorithm, Flaw, Transport};

/// One request: what it is, its path, the token's flaw (`None` sends no token), and what must come.
type Case = (&'static str, &'static str, Option<Flaw>, u16);

const FULL: [Case; 5] = [
    ("a good token", PATH, Some(Flaw::None), 200),
    ("no token", PATH, None, 401),
    ("an expired token", PATH, Some(Flaw::Expired), 401),
    ("a token without the scope", PATH, Some(Flaw::Scope), 403),
    ("a path that it may not have", PATH_UNKNOWN, Some(Flaw::None), 403),
];
const NULL: [Case; 2] = [("no token", PATH, None, 200), ("any path", PATH_UNKNOWN, None, 200)];

/// Asks a running gateway, and writes the answers to the account of its subject.
pub fn ask(variant: Variant, running: &Process, material: &Material, subjects: &mut [Subject]) -> Result<(), Failure> {
    let cases: &[Case] = if variant.policy == Policy::Full { &FULL } else { &NULL };
    let Some(subject) = subjects.iter_mut().find(|subject| subject.name == variant.name()) else { return Ok(()) };
    for case in cases {
        let probe = one(variant, running, material, case)?;
        if !probe.passed && subject.ranked {
            subject.ranked = false;
            subject.why_not = Some(format!("{}: expected {}, found {}", probe.request, probe.expected, probe.found));
        }
        subject.probes.push(probe);
    }
    Ok(())
}

fn one(
    variant: Variant,
    running: &Process,
    material: &Material,
    (request, path, flaw, expected): &Case,
) -> Result<Probe, Failure> {
    let token = flaw.map(|flaw| material.token(Algorithm::Es256, flaw, 0)).transpose();
    let token = token.map_err(|fault| Failure::Subject(fault.to_string()))?;
    let fields: Vec<String> = token.into_iter().map(|token| format!("Authorization: Bearer {token}")).collect();
    let roots = variant.transport.is_tls().then(|| material.server_ca.clone());
    let identity = (variant.transport == Transport::Mtls).then(|| material.agent.clone());
    let answer = Client::connect(running.address, roots, identity).and_then(|mut client| client.ask(path, &fields));
    let found = answer.map_or_else(|closed| closed.to_string(), |answer| answer.status.to_string());
    let expected = expected.to_string();
    let work = format!("over {}", variant.transport.name());
    Ok(Probe { work, request: (*request).to_owned(), passed: found == expected, expected, found })
}
