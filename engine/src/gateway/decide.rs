//! What a start would serve on this node, or why it would not: everything that can be checked without binding a socket or
//! starting a thread.

use std::path::PathBuf;

use control::assemble::ClientCertificates::Off;
use control::assemble::access::Access;
use control::assemble::{Assembled, Frozen, assemble, check_listeners};
use control::clock;
use control::obtain;
use control::records::seal::Place;
use control::records::{self, Target};
use policy::model::{Audit, Binding, Identity, MinimumTransport, Policy};
use policy_release::time::Timestamp;

use super::accepted::Memory;
use super::choose::{self, Choice};
use super::sealed::Copies;
use super::state::{self, checked_now};
use super::{Plan, Serve, cores, stand_in, tellers};
use crate::failure::Failure;

/// Agents that a warning names.
const AGENTS_NAMED_MAX: usize = 5;

/// What a start would come to.
pub struct Rehearsal {
    /// What would be served, and why.
    pub serves: String,
    /// What an operator should know of before that start.
    pub warnings: Vec<String>,
    /// What that start does beside serving, and what comes near its end.
    pub notes: Vec<String>,
}

/// What a start would serve, and why: everything that can be checked without binding, writing or starting anything. An
/// error where a start would fail, and only there.
pub fn rehearse(mut plan: Plan) -> Result<Rehearsal, Failure> {
    let now_unix_ns = clock::unix_ns();
    let plain = plan.state.as_deref().map(|state| state::rehearse(state, &plan.node.at_rest, now_unix_ns));
    let mut notes: Vec<String> = plain.transpose()?.and_then(|plain| encrypting(&plain)).into_iter().collect();
    let stand_ins = stand_in::put(&mut plan)?;
    let plan = &plan;
    let memory = plan.state.as_deref().map(Memory::read_only);
    let now_unix_ns = plan.state.as_deref().map_or(Ok(now_unix_ns), |state| checked_now(state, now_unix_ns))?;
    let (mut assembled, choice) = decide(plan, memory, now_unix_ns)?;
    records::check(&plan.records, &plan.record_recipients).map_err(Failure::new)?;
    let facts = &assembled.frozen.facts;
    let (name, version, digest) = (&facts.policy_name, facts.version, &facts.digest);
    let shown = format!("policy {name} version {version}, release {digest}, signed by {}", facts.signers.join(", "));
    let why = choice.as_ref().map(Choice::why).unwrap_or_default();
    let mut warnings = choice.as_ref().map(|choice| choice.warnings(&assembled.frozen.policy)).unwrap_or_default();
    warnings.extend(stand_ins.warnings.iter().cloned());
    warnings.extend(plan.node.access.iter().filter_map(Access::fault));
    warnings.extend(plan.checkpoints.iter().filter_map(Place::fault));
    choice.iter().for_each(|choice| choice.show(&mut assembled.moving));
    let (ends, now_s) = (assembled.ends(), now_unix_ns / clock::NS_PER_S);
    warnings.extend(ends.iter().filter_map(|ends| ends.ended(now_s)));
    notes.extend(ends.iter().filter_map(|ends| ends.nearing(now_s)));
    let workers: Vec<usize> = plan.cores.iter().copied().flatten().collect();
    cores::tell_drifts(&workers);
    Ok(Rehearsal { serves: format!("{shown}{why}"), warnings, notes })
}

/// That a start encrypts these files.
fn encrypting(plain: &[PathBuf]) -> Option<String> {
    let names: Vec<_> = plain.iter().map(|path| path.display().to_string()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "a start encrypts what is plain (state_identity): {}; a copy of before can still be read",
            names.join(", ")
        )
    })
}

/// Chooses what is served, and makes of it what this node can serve.
pub fn decide(plan: &Plan, memory: Option<Memory>, now_unix_ns: u64) -> Result<(Assembled, Option<Choice>), Failure> {
    proxy::probe::check_kernel(plan.settings.ring_entries).map_err(Failure::new)?;
    tellers::check(plan)?;
    // Of no release, and told of none.
    check_listeners(&plan.node).map_err(|fault| {
        Failure::new(format_args!("a certificate of a [[listener]]: {fault}"))
            .help("mend it, or name other files under tls")
    })?;
    let usable = |frozen: Frozen| {
        refuse_unsupported(plan, &frozen.policy)?;
        let frozen = frozen.place(&Copies::plan(&plan.cores, plan.hot).placement).map_err(Failure::new)?;
        warn_of_useless_listeners(plan, &frozen.policy);
        warn_of_certificates_unasked(plan, &frozen.policy);
        let mut assembled = assemble(frozen, &plan.node, clock::unix_s()).map_err(Failure::new)?;
        obtain::declare(&plan.obtained, &mut assembled.moving);
        Ok(assembled)
    };
    match (&plan.serve, memory) {
        (Serve::ThrowAway(release), _) => Ok((usable(choose::freeze(release).map_err(Failure::new)?)?, None)),
        (Serve::Accepted(trust), Some(memory)) => {
            let now = timestamp(now_unix_ns)?;
            choose::choose(trust, memory, now, usable).map(|(assembled, choice)| (assembled, Some(choice)))
        }
        (Serve::Accepted(_), None) => Err(Failure::new("expected a state directory, found none")),
    }
}

fn timestamp(unix_ns: u64) -> Result<Timestamp, Failure> {
    let now = Timestamp::from_seconds(unix_ns / clock::NS_PER_S);
    now.ok_or_else(|| Failure::new("expected a clock before the year 10000").help("set the clock of this machine"))
}

fn refuse_unsupported(plan: &Plan, policy: &Policy) -> Result<(), Failure> {
    let durable = policy.audit == Audit::Durable;
    if durable && plan.records == Target::Stdout && plan.state.is_some() {
        let message = "the policy's audit mode is durable, but records go to stdout, which cannot be made durable";
        return Err(Failure::new(message).help("name a file under [records] to"));
    }
    if durable && plan.records == Target::Stdout {
        control::warning!("audit mode durable with records on stdout: nothing is on stable storage here");
    }
    Ok(())
}

/// Agents that a certificate is needed for, where no listener asks for any.
fn warn_of_certificates_unasked(plan: &Plan, policy: &Policy) {
    let asks = plan.node.listeners.iter().flatten().any(|files| files.client_certificates != Off);
    // `adamant dev` has no such listener, and with mutual TLS all that is refused is told already.
    if asks || matches!(plan.serve, Serve::ThrowAway(_)) || policy.transport == MinimumTransport::Mtls {
        return;
    }
    let needs = |identity: &Identity| match identity {
        Identity::Anonymous => false,
        Identity::Proofs(proofs) => {
            let bound = proofs.token.as_ref().and_then(|token| token.bound);
            proofs.certificate.is_some() || bound == Some(Binding::Certificate)
        }
    };
    let agents: Vec<&str> =
        policy.agents.iter().filter(|agent| agent.identity.iter().any(needs)).map(|agent| &*agent.name).collect();
    if !agents.is_empty() {
        let named = agents.iter().take(AGENTS_NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if agents.len() > AGENTS_NAMED_MAX { " and more" } else { "" };
        control::warning!(
            "no listener asks for client certificates, so none can identify {named}{more}: write client_certificates = \
             \"optional\" under tls of a [[listener]]"
        );
    }
}

/// Listeners on which the policy's minimum transport refuses everything.
fn warn_of_useless_listeners(plan: &Plan, policy: &Policy) {
    for (listener, tls) in plan.settings.listeners.iter().zip(&plan.node.listeners) {
        let needed = match (policy.transport, tls) {
            (MinimumTransport::Tls | MinimumTransport::Mtls, None) => "TLS",
            (MinimumTransport::Mtls, Some(files)) if files.client_certificates == Off => "client certificates",
            _ => continue,
        };
        control::warning!("the policy requires {needed}: every request on {} will be refused", listener.address);
    }
}
