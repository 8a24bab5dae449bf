//! Tokens that a key is bound to (DPoP, RFC 9449): the key, and the proofs that it signs, one for each request. Not the key of
//! the certificate: that one signs for TLS alone, and a token would last no longer than its certificate.

use std::path::Path;

use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{self, HeaderMap, HeaderValue};
use policy_release::key_file;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use stores::oauth::{self, DPOP};
use zeroize::Zeroizing;

use crate::bounds::FILE_BYTES_MAX;
use crate::fault::Fault;
use crate::{clock, files, jws, x509};

/// A P-256 key that signs proofs.
pub struct ProofKey {
    key: EcdsaKeyPair,
    jwk: Map<String, Value>,
}

/// What a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a str,
    /// Scheme, authority and path, as whoever checks the proof sees them.
    pub uri: &'a str,
    /// The token that is shown with it; none where one is asked for.
    pub token: Option<&'a str>,
    /// What whoever checks it gave for it.
    pub nonce: Option<&'a str>,
}

impl ProofKey {
    /// The key in a file that its owner alone may read.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let help = "have a token fetched anew, with a new key: adamant agent run PROFILE --once";
        if !path.exists() {
            return Err(Fault::at(path, "expected the key that the token is bound to, found no file").help(help));
        }
        let pem = files::read_secret(path, FILE_BYTES_MAX)?;
        Self::of(&pem).map_err(|why| Fault::at(path, why).help(help))
    }

    /// The key in PEM.
    pub fn of(pem: &str) -> Result<Self, String> {
        let pkcs8 = key_file::pkcs8_in(pem, None).map_err(|fault| fault.to_string())?;
        let key = jws::key(&pkcs8).ok_or("expected a P-256 key, found another")?;
        let jwk = jws::jwk(&key);
        Ok(Self { key, jwk })
    }

    /// As a token names it in `cnf.jkt` (RFC 7638).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(Value::from(self.jwk.clone()).to_string()))
    }

    /// What a token says that it is bound to, if that is not this key; none of one that is opaque.
    pub fn unlike(&self, token: &str) -> Option<&'static str> {
        match jws::claims(token)?.pointer("/cnf/jkt").and_then(Value::as_str) {
            Some(found) if found == self.thumbprint() => None,
            Some(_) => Some("one that is bound to another (`cnf.jkt`)"),
            None => Some("one that is bound to none (no `cnf.jkt`)"),
        }
    }

    /// A proof as of now (RFC 9449 §4.2). It is good for one request.
    pub fn prove(&self, asked: &Asked<'_>) -> Result<HeaderValue, Fault> {
        let head = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk});
        let mut body = json!({"jti": x509::hex(&files::random::<16>()?), "htm": asked.method, "htu": asked.uri,
            "iat": clock::now_s()});
        let more = [
            ("ath", asked.token.map(|token| URL_SAFE_NO_PAD.encode(Sha256::digest(token)))),
            ("nonce", asked.nonce.map(str::to_owned)),
        ];
        if let Some(body) = body.as_object_mut() {
            body.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        }
        sensitive(&jws::sign(&self.key, &head, &body)?)
    }
}

/// Puts a token into the fields of a request in place of what is there; with a proof where a key is bound to it.
pub fn attach(
    fields: &mut HeaderMap,
    token: &str,
    key: Option<&ProofKey>,
    (method, uri, nonce): (&str, &str, Option<&str>),
) -> Result<(), Fault> {
    let scheme = if key.is_some() { "DPoP" } else { "Bearer" };
    fields.insert(header::AUTHORIZATION, sensitive(&Zeroizing::new(format!("{scheme} {token}")))?);
    fields.remove(DPOP);
    if let Some(key) = key {
        fields.insert(DPOP, key.prove(&Asked { method, uri, token: Some(token), nonce })?);
    }
    Ok(())
}

fn sensitive(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Fault::new("the token is no field value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a gateway says is wrong with a token or its proof (RFC 9449 §7.1): the error of its challenge. Empty where DPoP is
/// asked for and nothing is said to be wrong; none where it is not asked for. What came by way of the gateway (`Via`) is an
/// origin's word, which says nothing of the gateway: the request was carried out.
pub fn challenged(fields: &HeaderMap) -> Option<&str> {
    if fields.contains_key(header::VIA) {
        return None;
    }
    let challenges = fields.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let of_dpop = |text: &&str| text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop "));
    let challenge = challenges.into_iter().find(of_dpop)?;
    Some(challenge.split_once("error=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default())
}

/// The nonce that a gateway wants in the proof, and gives with its refusal (RFC 9449 §9).
pub fn nonce_wanted(fields: &HeaderMap) -> Option<String> {
    challenged(fields).filter(|error| *error == "use_dpop_nonce").and_then(|_| oauth::nonce(fields))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};

    use super::*;
    use crate::ca::issue::new_key;

    fn key() -> ProofKey {
        ProofKey::of(&new_key().unwrap()).unwrap()
    }

    fn part(jwt: &str, number: usize) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(number).unwrap()).unwrap()).unwrap()
    }

    /// RFC 9449 §4.1, figure 2: the key of its examples, and §6.1, figure 9: its thumbprint.
    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        let jwk = [
            ("crv", "P-256"),
            ("kty", "EC"),
            ("x", "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"),
            ("y", "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"),
        ];
        let jwk = jwk.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let key = ProofKey { jwk, ..key() };
        assert_eq!(key.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn each_proof_is_another_one_and_says_what_it_is_for() {
        let key = key();
        let asked = Asked { method: "GET", uri: "https://a.example/x", token: Some("t"), nonce: Some("n") };
        let proofs = [key.prove(&asked).unwrap(), key.prove(&asked).unwrap()];
        let [first, second] = proofs.each_ref().map(|proof| proof.to_str().unwrap());
        assert!(proofs[0].is_sensitive() && part(first, 1)["jti"] != part(second, 1)["jti"]);
        let (head, body) = (part(first, 0), part(first, 1));
        assert_eq!((&head["typ"], &head["alg"], head["jwk"].get("d")), (&json!("dpop+jwt"), &json!("ES256"), None));
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest("t"));
        for (name, value) in [("htm", "GET"), ("htu", asked.uri), ("ath", &hash), ("nonce", "n")] {
            assert_eq!(body[name], *value);
        }
        assert!(clock::now_s().abs_diff(body["iat"].as_u64().unwrap()) < 60);
        let (signed, signature) = first.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.key.public_key());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let bare = key.prove(&Asked { token: None, nonce: None, ..asked }).unwrap();
        let bare = part(bare.to_str().unwrap(), 1);
        assert!(bare.get("ath").is_none() && bare.get("nonce").is_none());
    }

    #[test]
    fn a_token_of_another_key_is_known() {
        let key = key();
        let jwt = |claims: Value| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert_eq!(key.unlike(&jwt(json!({"cnf": {"jkt": key.thumbprint()}}))), None);
        assert_eq!(key.unlike("opaque"), None);
        for other in [json!({"jkt": "AA"}), json!({"jkt": 1}), json!({}), json!(null)] {
            assert!(key.unlike(&jwt(json!({"cnf": other}))).is_some(), "{other}");
        }
    }

    #[test]
    fn what_stood_in_the_fields_is_replaced() {
        let mut fields = HeaderMap::new();
        for name in [header::AUTHORIZATION, DPOP] {
            fields.append(&name, HeaderValue::from_static("mine"));
            fields.append(&name, HeaderValue::from_static("mine too"));
        }
        let (key, asked) = (key(), ("GET", "https://a.example/", None));
        attach(&mut fields, "t", Some(&key), asked).unwrap();
        assert_eq!((fields.get_all(DPOP).iter().count(), fields.get_all(header::AUTHORIZATION).iter().count()), (1, 1));
        assert!(fields[header::AUTHORIZATION] == "DPoP t" && fields[DPOP].len() > 100);
        attach(&mut fields, "t", None, asked).unwrap();
        assert_eq!((&fields[header::AUTHORIZATION], fields.get(DPOP)), (&HeaderValue::from_static("Bearer t"), None));
    }

    #[test]
    fn a_challenge_is_known_among_others() {
        let of = |values: &[&'static str]| {
            let field = |value: &&'static str| (header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
            challenged(&values.iter().map(field).collect()).map(str::to_owned)
        };
        let bearer = "Bearer realm=\"adamant\", error=\"invalid_token\"";
        assert_eq!((of(&[]), of(&[bearer]), of(&["DPoPx error=\"a\""])), (None, None, None));
        assert_eq!(of(&[bearer, "DPoP realm=\"adamant\", algs=\"ES256\""]).as_deref(), Some(""));
        let nonce = "dpop realm=\"adamant\", error=\"use_dpop_nonce\", algs=\"ES256\"";
        assert_eq!(of(&[bearer, nonce]).as_deref(), Some("use_dpop_nonce"));
        let of_an_origin = [(header::WWW_AUTHENTICATE, nonce), (header::VIA, "1.1 adamant")];
        let of_an_origin = of_an_origin.map(|(name, value)| (name, HeaderValue::from_static(value)));
        assert_eq!(challenged(&of_an_origin.into_iter().collect()), None);
    }
}
