//! What a policy holds that identifies nobody any more: right in form, and hardly meant.

use control::assemble::tls::ends_unix_s;
use policy::model::Policy;
use policy_release::time::Timestamp;
use policy_source::{DIAGNOSTICS_MAX, Diagnostic, Severity};

use super::place::{Place, Tables};

/// What has ended: the kind of its table, its name, what is said of it, and what to do.
type Ended<'p> = (&'static str, &'p str, String, &'static str);

/// What is to be said at `now_s` (Unix seconds) of a policy that was read from `text`: a bounded number, and how many more.
pub fn warnings(policy: &Policy, text: &str, now_s: u64) -> Vec<Diagnostic> {
    let all = || ended(policy, now_s);
    if all().next().is_none() {
        return Vec::new();
    }
    let tables = Tables::of(text);
    let told = all().take(DIAGNOSTICS_MAX);
    let mut found: Vec<Diagnostic> = told
        .map(|(kind, name, message, hint)| warning(tables.place(kind, name, name), message, "this one", hint))
        .collect();
    let more = all().skip(DIAGNOSTICS_MAX).count();
    if more > 0 {
        let nowhere = tables.place("", "", "");
        let hint = "remove or replace those that are shown and check again";
        found.push(warning(nowhere, format!("{more} more have ended and are not shown"), "in all of it", hint));
    }
    found
}

fn ended(policy: &Policy, now_s: u64) -> impl Iterator<Item = Ended<'_>> {
    let at = move |ends: &[u64]| ends.iter().copied().max().filter(|end| *end <= now_s).map(date);
    let keys = policy.api_keys.iter().filter_map(move |key| {
        let message = format!("the API key `{}` expired at {}", key.id, at(key.expires_s.as_slice())?);
        Some(("api_key", key.id.as_str(), message, "make a new key with `adamant key new`, or remove it"))
    });
    let successor = "embed its successor";
    let cas = policy.client_cas.iter().filter_map(move |ca| {
        let end = at(&ends_unix_s(ca.certificates.as_bytes()))?;
        let message = format!("the client CA `{}` ended at {end}: no certificate under it is accepted", ca.name);
        Some(("client_ca", ca.name.as_str(), message, successor))
    });
    let origins = policy.origins.iter().filter_map(move |origin| {
        let end = at(&ends_unix_s(origin.tls.as_ref()?.ca.as_bytes()))?;
        let message = format!("the CA of origin `{}` ended at {end}: no connection to it will come about", origin.name);
        Some(("origin", origin.name.as_str(), message, successor))
    });
    keys.chain(cas).chain(origins)
}

fn date(unix_s: u64) -> String {
    Timestamp::from_seconds(unix_s).map_or_else(|| format!("{unix_s} s after 1970"), |time| time.to_string())
}

fn warning(Place { span, line, column }: Place, message: String, label: &str, hint: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: "ended",
        message,
        span,
        line,
        column,
        label: label.to_owned(),
        hint: Some(hint.to_owned()),
        related: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use policy::model::{ApiKey, Policy};

    use super::*;

    #[test]
    fn so_many_are_told_and_the_rest_is_counted() {
        let text: String = (0..DIAGNOSTICS_MAX + 5).map(|id| format!("[[api_key]]\nid = \"k{id}\"\n")).collect();
        let key = |id: usize| ApiKey { id: format!("k{id}"), sha256: None, expires_s: Some(9) };
        let empty = r#"{"name":"p","audit":"queued","transport":"plain","issuers":[],"client_cas":[],"origins":[],
            "routes":[],"scopes":[],"agents":[],"api_keys":[]}"#;
        let mut policy: Policy = serde_json::from_str(empty).unwrap();
        policy.api_keys = (0..DIAGNOSTICS_MAX + 5).map(key).collect();
        let found = warnings(&policy, &text, 9);
        assert_eq!((found.len(), found[7].line, found[7].column), (DIAGNOSTICS_MAX + 1, 16, 6));
        assert!(found[DIAGNOSTICS_MAX].message.starts_with("5 more have ended"), "{:?}", found[DIAGNOSTICS_MAX]);
        assert!(warnings(&policy, &text, 8).is_empty());
    }
}
