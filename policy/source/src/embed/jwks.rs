//! Pinned JWK Sets (RFC 7517 §5): public keys alone, and at least one that fits the issuer's algorithms.

use policy::model::Algorithm;
use serde_json::{Map, Value};

use crate::bounds::KEYS_PER_SET_MAX;
use crate::codes::{BAD_JWKS, NO_USABLE_KEY, PRIVATE_KEY, TOO_MANY};
use crate::fields::shown;
use crate::forms::Flaw;

/// Members of a JWK that hold a secret (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(crate) fn public_keys(text: &str, algorithms: &[Algorithm]) -> Result<(), Flaw> {
    let bad = |why: String| {
        let flaw = Flaw::new(BAD_JWKS, format!("not a JWK Set: {why}")).label("not a JWK Set");
        flaw.hint("expected `{\"keys\": [{\"kty\": …}]}` (RFC 7517 §5)")
    };
    let value: Value = serde_json::from_str(text).map_err(|error| bad(shown(&error.to_string())))?;
    if let Some(member) = value.as_object().and_then(private_member) {
        return Err(private(0, None, member));
    }
    let keys = value.get("keys").and_then(Value::as_array).ok_or_else(|| bad("it has no list `keys`".to_owned()))?;
    if keys.is_empty() {
        return Err(bad("its list `keys` is empty".to_owned()));
    }
    if keys.len() > KEYS_PER_SET_MAX {
        let message = format!("a JWK Set of {} keys, the most is {KEYS_PER_SET_MAX}", keys.len());
        return Err(Flaw::new(TOO_MANY, message).label("too many keys"));
    }
    let mut usable = false;
    for (position, key) in keys.iter().enumerate() {
        let key = key.as_object().ok_or_else(|| bad(format!("key {} is not an object", position + 1)))?;
        if let Some(member) = private_member(key) {
            return Err(private(position, key.get("kid").and_then(Value::as_str), member));
        }
        let kty = key.get("kty").and_then(Value::as_str);
        let kty = kty.ok_or_else(|| bad(format!("key {} has no `kty`", position + 1)))?;
        usable |= algorithms.iter().any(|algorithm| fits(key, kty, *algorithm));
    }
    if !usable && !algorithms.is_empty() {
        let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        let message = format!("no key of the set can verify {}", names.join(" or "));
        let flaw = Flaw::new(NO_USABLE_KEY, message).label("no usable key");
        return Err(flaw.hint("check `algorithms` against `kty`, `crv`, `alg` and `use` of the keys"));
    }
    Ok(())
}

fn private_member(key: &Map<String, Value>) -> Option<&'static str> {
    PRIVATE_MEMBERS.into_iter().find(|member| key.contains_key(*member))
}

fn private(position: usize, kid: Option<&str>, member: &str) -> Flaw {
    let which = kid.map_or_else(|| format!("key {}", position + 1), |kid| format!("key `{}`", shown(kid)));
    let flaw = Flaw::new(PRIVATE_KEY, format!("{which} has the private member `{member}`"));
    let hint = "export the public keys alone; a key that was in a policy repository must be replaced";
    flaw.label("holds a private key").hint(hint)
}

/// Whether a key may verify an algorithm (RFC 7517 §4.1–4.4, RFC 7518 §6, RFC 8037 §2).
fn fits(key: &Map<String, Value>, kty: &str, algorithm: Algorithm) -> bool {
    let member = |name: &str| key.get(name).and_then(Value::as_str);
    let family = match algorithm {
        Algorithm::ES256 => kty == "EC" && member("crv") == Some("P-256"),
        Algorithm::ES384 => kty == "EC" && member("crv") == Some("P-384"),
        Algorithm::EdDSA => kty == "OKP" && member("crv") == Some("Ed25519"),
        Algorithm::RS256 | Algorithm::PS256 => kty == "RSA",
        Algorithm::HS256 => kty == "oct",
    };
    let named = format!("{algorithm:?}");
    let alg_fits = member("alg").is_none_or(|alg| alg == named || (alg == "Ed25519" && named == "EdDSA"));
    let operations = key.get("key_ops").and_then(Value::as_array);
    let may_verify = operations.is_none_or(|operations| operations.iter().any(|o| o.as_str() == Some("verify")));
    family && alg_fits && may_verify && member("use").is_none_or(|usage| usage == "sig")
}
