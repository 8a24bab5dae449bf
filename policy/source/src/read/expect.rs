//! `expect` of a case: a word, or a table where more is expected than a decision.

use policy::case::{Expect, REASONS};
use policy::reason::Reason;
use toml::de::DeValue;

use crate::bounds::CLAIM_BYTES_MAX;
use crate::codes;
use crate::diagnostic::{Diagnostic, Span};
use crate::fields::{Fields, Value, shown};
use crate::reading::{Kind, Reading};

pub(super) const KEYS: &[&str] = &["decision", "reason", "status", "agent", "route", "scope", "limit"];

/// What is expected, and where its `limit` stands.
pub(super) fn read<'d>(value: &'d Value<'d>, reading: &mut Reading<'d, '_>) -> Option<(Expect, Option<Span>)> {
    if let DeValue::String(word) = value.get_ref() {
        return match word.as_ref() {
            "permit" => Some((Expect { permit: true, ..Expect::default() }, None)),
            "deny" => Some((Expect::default(), None)),
            _ => Some((Expect { reason: Some(reason(value, true, reading)?), ..Expect::default() }, None)),
        };
    }
    let example =
        "expect = \"permit\"`, `expect = \"scope-missing\"` or `expect = { decision = \"permit\", scope = \"…\" }";
    let fields = Fields::of_value(value, "expect", KEYS, example, reading)?;
    let decision = fields.required("decision", "decision = \"permit\"", reading);
    let permit = decision.and_then(|value| reading.one_of(value, &[("permit", true), ("deny", false)]));
    let of_denials = ["reason", "limit", "status"];
    if let (Some(true), Some(key)) = (permit, of_denials.into_iter().find(|key| fields.get(key).is_some())) {
        let message = format!("`{key}` is of a denial, and this request is to be permitted");
        let diagnostic = Diagnostic::new(codes::BAD_CASE, fields.key_span(key), message).label("not with \"permit\"");
        reading.sink.push(diagnostic.hint("remove it, or write `decision = \"deny\"`"));
        return None;
    }
    let reason = fields.get("reason").map(|value| reason(value, false, reading));
    let status = fields.get("status").map(|value| reading.integer(value, 100, 599));
    let mut name = |key: &str, kind| {
        fields.get(key).map(|value| super::mention(Some(value), kind, reading).map(|name| name.value.to_owned()))
    };
    let (agent, route, scope) = (name("agent", Kind::Agent), name("route", Kind::Route), name("scope", Kind::Scope));
    let limit = fields.get("limit").map(|value| reading.filled_string(value, CLAIM_BYTES_MAX));
    let limit = super::if_given(limit)?;
    let status = super::if_given(status)?.map(|status| u16::try_from(status).unwrap_or(u16::MAX));
    let expect = Expect {
        permit: permit?,
        reason: super::if_given(reason)?,
        status,
        agent: super::if_given(agent)?,
        route: super::if_given(route)?,
        scope: super::if_given(scope)?,
        limit: limit.map(|limit| limit.value.to_owned()),
    };
    Some((expect, limit.map(|limit| limit.span)))
}

/// A reason by its name; `short` where the word could have been a decision as well.
fn reason<'d>(value: &'d Value<'d>, short: bool, reading: &mut Reading<'d, '_>) -> Option<Reason> {
    let text = reading.string(value, CLAIM_BYTES_MAX)?;
    let found = REASONS.iter().copied().find(|reason| reason.name() == text.value);
    if found.is_some() {
        return found;
    }
    let names = REASONS.iter().map(|reason| reason.name());
    let words = ["permit", "deny"].into_iter().filter(|_| short);
    let is_a_reason = Reason::ALL.iter().any(|reason| reason.name() == text.value);
    let hint = match reading.suggest.nearest(text.value, names.clone().chain(words)) {
        _ if is_a_reason => {
            "a case states facts: what comes of bytes, signatures or origins is not decided here".into()
        }
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let or = if short { "it is `permit`, `deny`, or a reason: " } else { "it is one of " };
            let all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            format!("{or}{}", all.join(", "))
        }
    };
    let message = match is_a_reason {
        true => format!("a case cannot have the reason `{}`", shown(text.value)),
        false if short => format!("unknown outcome `{}`", shown(text.value)),
        false => format!("unknown reason `{}`", shown(text.value)),
    };
    reading.sink.push(Diagnostic::new(codes::UNKNOWN_VALUE, text.span, message).label("not known").hint(hint));
    None
}
