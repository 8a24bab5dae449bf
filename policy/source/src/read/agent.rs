//! `[[agent]]`.

use policy::model::{Agent, Identity, Subject};
use toml::de::{DeTable, DeValue};

use crate::bounds::SCOPES_MAX;
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::draft::AgentDraft;
use crate::fields::{Fields, shown};
use crate::read::{identity, limit};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["name", "identity", "scopes", "limits"];

/// What an agent stands for; decides whether its limits can count subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Single,
    Population,
    Anonymous,
    /// Its identity could not be read.
    Unknown,
}

pub(super) fn read<'d>(table: &'d DeTable<'d>, span: Span, reading: &mut Reading<'d, '_>) -> Option<AgentDraft<'d>> {
    let fields = Fields::new(table, span, "[[agent]]", KEYS, reading);
    let name = super::named(&fields, "name", Kind::Agent, super::plain_name, reading);
    let identity = fields.required("identity", "identity = [{ api_key = [\"…\"] }]", reading);
    let identity = identity.and_then(|value| identity::read(value, reading));
    let scopes = fields.required("scopes", "scopes = [\"…\"]", reading);
    let scopes = match scopes.map(|value| value.get_ref()) {
        Some(DeValue::Array(items)) if items.is_empty() => {
            let span = scopes.map_or(span, |value| value.span().into());
            let message = "this agent may do nothing";
            let diagnostic = Diagnostic::new(codes::AGENT_WITHOUT_SCOPES, span, message).label("no scope");
            reading.sink.push(diagnostic.hint("add a scope, unless the agent is here to be refused by name"));
            Some(Vec::new())
        }
        _ => super::references(scopes, Kind::Scope, SCOPES_MAX, reading),
    };
    let stands = identity.as_ref().map_or(Stands::Unknown, |identity| stands_for(&identity.alternatives));
    let limits = match fields.get("limits") {
        Some(value) => limit::read(value, stands, reading),
        None => Some(Vec::new()),
    };
    if stands == Stands::Anonymous && fields.get("limits").is_none() {
        let shown_name = shown(name.map_or("", |name| name.value));
        let message = format!("everybody may call as `{shown_name}`, as often as they like");
        let diagnostic = Diagnostic::new(codes::ANONYMOUS_UNLIMITED, span, message).label("no limits");
        reading.sink.push(diagnostic.hint("add `limits = [\"60/minute\"]`: it counts by client address"));
    }
    let (name, identity) = (name?, identity?);
    let (limits, limits_at) = limits?.into_iter().map(|draft| (draft.limit, draft.at)).unzip();
    let agent = Agent { name: name.value.to_owned(), identity: identity.alternatives, scopes: scopes?, limits };
    Some(AgentDraft {
        agent,
        name,
        alternatives_at: identity.at,
        excepted: identity.excepted,
        certificate_bound: identity.certificate_bound,
        api_keys: identity.api_keys,
        limits_at,
    })
}

fn stands_for(alternatives: &[Identity]) -> Stands {
    let is_population = |alternative: &Identity| {
        matches!(alternative, Identity::Proofs(proofs)
            if proofs.token.as_ref().is_some_and(|token| matches!(token.subject, Subject::AnyBut(_))))
    };
    if alternatives.contains(&Identity::Anonymous) {
        Stands::Anonymous
    } else if alternatives.iter().any(is_population) {
        Stands::Population
    } else {
        Stands::Single
    }
}
