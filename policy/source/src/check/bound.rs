//! What tokens must be bound to: a certificate that connections have, and one thing for one token.

use std::collections::HashMap;

use policy::model::{Binding, Identity, MinimumTransport, Proofs, Subject};

use crate::check::agents::place;
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::Draft;
use crate::fields::shown;
use crate::reading::Reading;

/// Issuer and subject; none is the population.
type Token<'p> = (&'p str, Option<&'p str>);

pub(super) fn check<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    for at in draft.agents.iter().flat_map(|agent| &agent.certificate_bound) {
        needs_certificate(draft, *at, reading);
    }
    alike(draft, reading);
}

fn needs_certificate<'d>(draft: &Draft<'d>, at: Span, reading: &mut Reading<'d, '_>) {
    let (message, label, hint) = if draft.transport == MinimumTransport::Plain {
        let message = "a token is bound to the certificate of its connection, and `transport` admits plain ones";
        (message, "not over plain HTTP", "write `transport = \"tls\"` in [policy], or `bound = \"dpop\"` here")
    } else if draft.has_client_ca {
        return;
    } else {
        let message = "a token is bound to a client certificate, and no [[client_ca]] vouches for any";
        (message, "whose certificates?", "add a [[client_ca]] that client certificates chain to")
    };
    reading.sink.push(Diagnostic::new(codes::BINDING_NEEDS_CERTIFICATE, at, message).label(label).hint(hint));
}

/// A binding is a matter of the token: an alternative that asks for less would undo it for all the others.
fn alike<'d>(draft: &Draft<'d>, reading: &mut Reading<'d, '_>) {
    let mut first: HashMap<Token<'_>, (Option<Binding>, Span)> = HashMap::new();
    for agent in &draft.agents {
        for (position, identity) in agent.agent.identity.iter().enumerate() {
            let Identity::Proofs(Proofs { token: Some(token), .. }) = identity else {
                continue;
            };
            let subject = match &token.subject {
                Subject::Exactly(subject) => Some(subject.as_str()),
                Subject::AnyBut(_) => None,
            };
            let at = place(agent, position);
            let (bound, first_at) = *first.entry((&token.issuer, subject)).or_insert((token.bound, at));
            if bound != token.bound {
                let whose = subject.map_or_else(|| "the population".to_owned(), |it| format!("`{}`", shown(it)));
                let message =
                    format!("a token of `{}` for {whose} is bound to something else elsewhere", shown(&token.issuer));
                let diagnostic = Diagnostic::new(codes::BINDINGS_DIFFER, at, message).label(said(token.bound));
                let diagnostic = diagnostic.related(first_at, said(bound));
                reading
                    .sink
                    .push(diagnostic.hint("write the same `bound` in both: the weaker one would count for both"));
            }
        }
    }
}

const fn said(bound: Option<Binding>) -> &'static str {
    match bound {
        None => "not bound",
        Some(Binding::Certificate) => "bound to a certificate",
        Some(Binding::Dpop) => "bound to a DPoP key",
    }
}
