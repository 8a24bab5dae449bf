//! Checks across tables, once everything is read.

mod agents;
mod bound;
pub(crate) mod cases;
mod introspection;
pub(crate) mod limits;
mod proofs;
pub(crate) mod references;
mod routes;
mod trie;

use policy::model::MinimumTransport;

use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::Draft;
use crate::reading::Reading;

pub(crate) fn run<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    references::unknown(reading);
    routes::check(&draft.routes, reading);
    agents::check(&draft.agents, reading);
    proofs::check(&draft.agents, reading);
    for agent in &draft.agents {
        limits::check(agent, reading);
    }
    transport(draft, reading);
    bound::check(draft, reading);
    introspection::check(draft, reading);
    cases::check(&draft.cases, draft, reading);
    // What follows is about what a policy leaves out: a table that could not be read may hold it.
    if !reading.sink.has_errors() {
        references::unused(reading);
        nothing_permitted(draft, reading);
    }
}

fn transport<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    if let Some(at) = draft.transport_at
        && draft.transport == MinimumTransport::Mtls
        && !draft.has_client_ca
    {
        let message = "`transport = \"mtls\"` without any [[client_ca]] admits nobody";
        let diagnostic = Diagnostic::new(codes::TRANSPORT_NEEDS_CA, at, message).label("no client CA");
        reading.sink.push(diagnostic.hint("add a [[client_ca]] that client certificates chain to"));
    }
}

fn nothing_permitted<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    let missing = match (draft.routes.is_empty(), draft.scopes.is_empty(), draft.agents.is_empty()) {
        (true, _, _) => "[[route]]",
        (_, true, _) => "[[scope]]",
        (_, _, true) => "[[agent]]",
        _ => return,
    };
    let message = format!("there is no {missing}, so every request is refused");
    let diagnostic = Diagnostic::new(codes::NOTHING_PERMITTED, Span::default(), message);
    reading.sink.push(diagnostic.hint(format!("add a {missing}")));
}
