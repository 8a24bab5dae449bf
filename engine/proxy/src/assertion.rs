//! The assertion about a request that is just being forwarded, for an origin that asks for one.

use activation::assertion::{Assertion, Bound, Said, Scratch};
use policy::reason::Reason;
use policy::table::{AgentId, RouteId, ScopeId};

use crate::forward::Asking;
use crate::journal::Journal;

/// Signs what the record says of the request, and what of it the origin gets. A request that is sent again is signed anew.
///
/// The one clock read is for its life, which begins now: the request may have waited. The signature costs far more.
pub fn sign<'s, T>(
    assertion: &Assertion,
    asking: Asking<'_, T>,
    journal: &Journal<'_>,
    (request_id, request): (&[u8], Bound<'_>),
    scratch: &'s mut Scratch,
) -> Result<&'s [u8], Reason> {
    let (activation, record) = (asking.activation, &journal.record);
    let table = &activation.table;
    let subject = journal.subject().and_then(|(issuer, subject)| {
        let issuer = activation.issuers.get(usize::from(issuer))?;
        Some((issuer.rules().issuer.as_str(), subject))
    });
    let said = Said {
        policy: &activation.release.policy_name,
        release: &activation.release.digest,
        agent: record.agent.map(|agent| table.agent_name(AgentId(agent))),
        subject,
        route: record.route.map_or("", |route| table.route_name(RouteId(route))),
        scope: record.scope.map_or("", |scope| table.scope_name(ScopeId(scope))),
        request_id,
        again: record.retried,
        request,
        now_s: asking.worker.now_unix_ns() / 1_000_000_000,
    };
    // The library is out of memory or randomness: whoever cannot be vouched for is not sent.
    assertion.sign(&said, scratch).map_err(|_| Reason::Overloaded)
}
