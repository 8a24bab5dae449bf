//! What a token says, unverified: enough to see that the gateway cannot take it.

use std::path::Path;

use policy::model::Binding;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Outcome, Report};
use crate::dpop::ProofKey;
use crate::explain::Explained;
use crate::profile::{Profile, TokenSource};
use crate::release::{Granted, Token};
use crate::{clock, jws};

const STEP: &str = "token";

/// A token, with the key that it is bound to, where it is to one of its own.
pub struct Shown {
    pub token: Zeroizing<String>,
    pub key: Option<ProofKey>,
}

/// Looks at the token of a profile; gives it.
pub fn look(generation: &Path, profile: &Profile, report: &mut Report) -> Option<Shown> {
    let granted = profile.granted.as_ref();
    let needed = granted.and_then(|granted| granted.token.as_ref());
    let token = match (profile.token_now(generation), needed) {
        (Ok(Some(token)), _) => token,
        (Ok(None), Some(needed)) => {
            let found =
                format!("the release wants a token of {} with the certificate; this profile has none", needed.issuer);
            report.failed(STEP, "token-missing", found, "enroll again with --token-file or a token endpoint");
            return None;
        }
        (Ok(None), None) => return None,
        (Err(fault), _) => {
            let todo = fault.hint().unwrap_or("is what writes it at work?").to_owned();
            report.failed(STEP, "token-unreadable", fault.to_string(), todo);
            return None;
        }
    };
    let key = match profile.dpop_key(generation) {
        Ok(key) => key,
        Err(fault) => {
            let todo = fault.hint().unwrap_or("have a token fetched anew: adamant agent run PROFILE --once").to_owned();
            report.failed(STEP, "dpop-key-missing", fault.to_string(), todo);
            return None;
        }
    };
    let judged = jws::claims(&token).map(|claims| judged(&claims, granted, clock::now_s())).transpose();
    let why = profile.token.as_ref().and_then(TokenSource::without_key);
    match judged.and_then(|said| bound(&token, key.as_ref(), needed, why).map(|how| (said, how))) {
        Ok((said, how)) => {
            report.ok(STEP, format!("{}{how}", said.unwrap_or_else(|| "there, and opaque to this agent".to_owned())))
        }
        Err(why) => report.wrong(STEP, Outcome::Failed, why),
    }
    Some(Shown { token, key })
}

/// What the token is bound to. `why`: it cannot be bound to a key.
fn bound(
    token: &str,
    key: Option<&ProofKey>,
    needed: Option<&Token>,
    why: Option<&str>,
) -> Result<&'static str, Explained> {
    let wrong = |code, found: &str, todo: &str| Err(Explained { code, found: found.to_owned(), todo: todo.to_owned() });
    let Some(key) = key else {
        if needed.is_none_or(|needed| needed.bound != Some(Binding::Dpop)) {
            return Ok("");
        }
        let found = "the release wants a token that is bound to a key (DPoP); this profile has none of a key";
        let found = why.map_or_else(|| found.to_owned(), |why| format!("{found}: {why}"));
        return wrong("dpop-wanted", &found, "enroll again with --force and a token endpoint (--token-url)");
    };
    match key.unlike(token) {
        None => Ok(", bound to this profile's key (DPoP)"),
        Some(found) => {
            let found = format!("expected a token that is bound to this profile's key (DPoP), found {found}");
            wrong("dpop-key", &found, "have one fetched anew, with its key: adamant agent run PROFILE --once")
        }
    }
}

/// Why a token gives its agent nothing: it has none of the scopes that the release grants. None where it has one, or where
/// tokens do not narrow.
pub(crate) fn without_scope(token: &str, granted: &Granted) -> Option<String> {
    none_in_common(&jws::claims(token)?, granted)
}

fn none_in_common(claims: &Value, granted: &Granted) -> Option<String> {
    let claim = granted.token.as_ref()?.scope_claim.as_ref()?;
    let has = |name: &str| granted.scopes.iter().any(|scope| scope == name);
    let found = match claims.get(claim) {
        None => "no such claim".to_owned(),
        Some(Value::String(text)) if text.split(' ').any(has) => return None,
        Some(Value::Array(all)) if all.iter().filter_map(Value::as_str).any(has) => return None,
        Some(other) => other.to_string(),
    };
    Some(format!(
        "expected a scope of this agent ({}) in its claim {claim:?}, found {found}: the gateway refuses every call",
        granted.scopes.join(", ")
    ))
}

fn judged(claims: &Value, granted: Option<&Granted>, now_s: u64) -> Result<String, Explained> {
    let needed = granted.and_then(|granted| granted.token.as_ref());
    let wrong = |code, found: String, todo: &str| Err(Explained { code, found, todo: todo.to_owned() });
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(ends_s) = time("exp").filter(|ends_s| *ends_s <= now_s) {
        let found = format!("expired {} ago ({})", clock::length(now_s - ends_s), clock::shown(ends_s));
        return wrong("token-expired", found, "is what renews it at work? If it is new, this machine's clock is ahead");
    }
    if let Some(begins_s) = time("nbf").filter(|begins_s| *begins_s > now_s) {
        let found = format!("not valid for {} yet", clock::length(begins_s - now_s));
        return wrong("token-not-yet-valid", found, "this machine's clock is probably behind the issuer's");
    }
    if let Some(needed) = needed {
        if text("iss") != needed.issuer {
            let found = format!("expected issuer {}, found {:?}", needed.issuer, text("iss"));
            return wrong("token-issuer", found, "get a token from the issuer that the release names");
        }
        let audience = claims.get("aud").cloned().unwrap_or_default();
        let fits = |wanted: &String| match &audience {
            Value::Array(all) => all.iter().any(|one| one == wanted.as_str()),
            one => one == wanted.as_str(),
        };
        if !needed.audience.iter().any(fits) {
            let found = format!("expected audience {}, found {audience}", needed.audience.join(" or "));
            return wrong("token-audience", found, "ask the issuer for a token with this audience");
        }
        if let Some(subject) = needed.subject.as_deref().filter(|subject| *subject != text("sub")) {
            let found = format!("expected subject {subject}, found {:?}", text("sub"));
            return wrong("token-subject", found, "get the token of this agent, not of another one");
        }
    }
    if let Some(found) = granted.and_then(|granted| none_in_common(claims, granted)) {
        return wrong("token-scope", found, "ask the issuer for one: enroll again with --token-scope, and --force");
    }
    let scopes = match text("scope") {
        "" => String::new(),
        scopes => format!(", scopes {scopes}"),
    };
    let left = time("exp").map_or("no end".to_owned(), |ends_s| format!("{} more", clock::length(ends_s - now_s)));
    Ok(format!("{} of {}, {left}{scopes}", text("sub"), text("iss")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::release::Token;

    #[test]
    fn each_thing_that_no_gateway_would_take_is_told() {
        let needed = Token {
            issuer: "https://id".into(),
            audience: vec!["orders".into()],
            subject: Some("reports-bot".into()),
            bound: None,
            scope_claim: Some("scope".into()),
        };
        let granted = Granted {
            policy: "orders".into(),
            version: 1,
            release: String::new(),
            scopes: vec!["read".into(), "write".into()],
            routes: Vec::new(),
            limits: Vec::new(),
            token: Some(needed),
            client_ca: String::new(),
        };
        let good = json!({"iss": "https://id", "aud": ["x", "orders"], "sub": "reports-bot", "exp": 200, "nbf": 100,
            "scope": "openid read"});
        assert!(judged(&good, Some(&granted), 150).unwrap().contains("reports-bot"));
        let code = |name: &str, value: Value, now_s| {
            let mut claims = good.clone();
            claims[name] = value;
            judged(&claims, Some(&granted), now_s).err().map_or("ok", |why| why.code)
        };
        assert_eq!(code("scope", json!("openid reading"), 150), "token-scope");
        assert_eq!(code("scope", Value::Null, 150), "token-scope");
        assert_eq!(code("scope", json!(["openid", "write"]), 150), "ok");
        assert_eq!(code("iss", json!("https://other"), 150), "token-issuer");
        assert_eq!(code("aud", json!("invoices"), 150), "token-audience");
        assert_eq!(code("sub", json!("ci"), 150), "token-subject");
        assert_eq!(code("exp", json!(150), 150), "token-expired");
        assert_eq!(code("nbf", json!(151), 150), "token-not-yet-valid");
        assert!(judged(&json!({}), None, 0).is_ok());
    }

    #[test]
    fn a_token_that_is_bound_to_nothing_or_to_something_else_is_told() {
        let key = ProofKey::of(&crate::ca::issue::new_key().unwrap()).unwrap();
        let needed = Token {
            issuer: String::new(),
            audience: Vec::new(),
            subject: None,
            bound: Some(Binding::Dpop),
            scope_claim: None,
        };
        assert_eq!(bound("opaque", None, None, None), Ok(""));
        let why = TokenSource::File { path: "token".into() }.without_key();
        let told = bound("opaque", None, Some(&needed), why).unwrap_err();
        assert!(told.code == "dpop-wanted" && told.found.contains("one from a file cannot be, because"), "{told:?}");
        assert!(bound("opaque", Some(&key), Some(&needed), None).is_ok_and(|how| how.contains("DPoP")));
        assert_eq!(bound("e30.e30.x", Some(&key), None, None).unwrap_err().code, "dpop-key");
    }
}
