use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use proptest::prelude::*;

use super::*;

const NOW_S: u64 = 1_800_000_000;
const TOKEN: &[u8] = b"token.of.somebody";

/// RFC 9449 §7.1, the request with its token; §6.1 has the thumbprint.
const RFC_TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const RFC_JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const RFC_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RFC_TIME_S: u64 = 1_562_262_618;

const URI: RequestUri<'_> = RequestUri { tls: true, authority: b"resource.example.org", path: b"/protectedresource" };

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (base64url::encode(&point[1..33]), base64url::encode(&point[33..]));
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
    }

    fn thumbprint(&self) -> [u8; 32] {
        Sha256::digest(self.jwk()).into()
    }

    fn header(&self) -> String {
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, self.jwk())
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(claims.as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", base64url::encode(signature.as_ref()))
    }

    fn wanted<'a>(thumbprint: &'a [u8; 32]) -> Wanted<'a> {
        let (method, token) = (&b"GET"[..], TOKEN);
        Wanted { method, uri: URI, token, key_thumbprint: thumbprint, now_s: NOW_S, leeway_s: 0, nonces: None }
    }
}

fn claims() -> String {
    let ath = base64url::encode(&Sha256::digest(TOKEN));
    format!(
        r#"{{"jti":"a-1","htm":"GET","htu":"https://resource.example.org/protectedresource","iat":{NOW_S},"ath":"{ath}"}}"#
    )
}

#[test]
fn the_example_of_the_rfc_verifies() {
    let thumbprint = sha256(RFC_JKT.as_bytes()).unwrap();
    let wanted = Wanted { token: RFC_TOKEN, now_s: RFC_TIME_S + 9, ..Signer::wanted(&thumbprint) };
    let proof = check(RFC_PROOF.as_bytes(), &wanted).unwrap();
    assert_eq!(proof.kept_until_s, RFC_TIME_S + DPOP_AGE_S_MAX + DPOP_KEPT_S_MORE);
    assert_eq!(proof.kept_s_max, DPOP_AHEAD_S_MAX + DPOP_AGE_S_MAX + DPOP_KEPT_S_MORE);
    let lenient = check(RFC_PROOF.as_bytes(), &Wanted { leeway_s: 10, ..wanted }).unwrap();
    assert_eq!((lenient.kept_until_s, lenient.kept_s_max), (proof.kept_until_s + 10, proof.kept_s_max + 20));
    let uri = RequestUri { path: b"/other", ..URI };
    assert_eq!(check(RFC_PROOF.as_bytes(), &Wanted { uri, ..wanted }), Err(DpopFault::RequestWrong("htu")));
    let flipped = format!("{}AAAA", &RFC_PROOF[..RFC_PROOF.len() - 4]);
    assert_eq!(check(flipped.as_bytes(), &wanted), Err(DpopFault::Signature));
}

#[test]
fn a_proof_is_for_one_request_one_token_one_key_and_one_time() {
    let (signer, other) = (Signer::new(), Signer::new());
    let thumbprint = signer.thumbprint();
    let wanted = Signer::wanted(&thumbprint);
    let proof = signer.sign(&signer.header(), &claims());
    let with = |wanted: Wanted<'_>| check(proof.as_bytes(), &wanted).err();
    assert_eq!(with(wanted), None);
    assert_eq!(with(Wanted { method: b"POST", ..wanted }), Some(DpopFault::RequestWrong("htm")));
    assert_eq!(with(Wanted { method: b"get", ..wanted }), Some(DpopFault::RequestWrong("htm")));
    assert_eq!(with(Wanted { uri: RequestUri { tls: false, ..URI }, ..wanted }), Some(DpopFault::RequestWrong("htu")));
    assert_eq!(with(Wanted { token: b"another", ..wanted }), Some(DpopFault::TokenWrong));
    assert_eq!(with(Wanted { key_thumbprint: &other.thumbprint(), ..wanted }), Some(DpopFault::KeyWrong));
    let at = |now_s: u64, leeway_s: u32| with(Wanted { now_s, leeway_s, ..wanted });
    assert_eq!(at(NOW_S + DPOP_AGE_S_MAX, 0), None);
    assert_eq!(at(NOW_S + DPOP_AGE_S_MAX + 1, 0), Some(DpopFault::TooOld));
    assert_eq!(at(NOW_S + DPOP_AGE_S_MAX + 1, 1), None);
    assert_eq!(at(NOW_S - DPOP_AHEAD_S_MAX, 0), None);
    assert_eq!(at(NOW_S - DPOP_AHEAD_S_MAX - 1, 0), Some(DpopFault::IssuedInFuture));
    assert_eq!(at(NOW_S - DPOP_AHEAD_S_MAX - 1, 1), None);
    let foreign = other.sign(&signer.header(), &claims());
    assert_eq!(check(foreign.as_bytes(), &wanted), Err(DpopFault::Signature), "signed by another key");
}

#[test]
fn headers_that_try_something_are_refused() {
    let signer = Signer::new();
    let (thumbprint, jwk) = (signer.thumbprint(), signer.jwk());
    let wanted = Signer::wanted(&thumbprint);
    let with = |header: &str| check(signer.sign(header, &claims()).as_bytes(), &wanted).unwrap_err();
    for typ in [r#""typ":"JWT","#, r#""typ":"at+jwt","#, r#""typ":1,"#, ""] {
        assert_eq!(with(&format!(r#"{{{typ}"alg":"ES256","jwk":{jwk}}}"#)), DpopFault::Type);
    }
    for alg in [r#""none""#, r#""HS256""#, r#""es256""#, r#""RS512""#, "1", r#""""#] {
        let header = format!(r#"{{"typ":"dpop+jwt","alg":{alg},"jwk":{jwk}}}"#);
        assert_eq!(with(&header), DpopFault::AlgorithmRefused, "{alg}");
    }
    for name in ["crit", "b64", "cty", "jku", "x5u", "x5c"] {
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk},"{name}":"a"}}"#);
        assert_eq!(with(&header), DpopFault::HeaderRefused(name));
    }
    let of_key = |key: &str| with(&format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{key}}}"#));
    assert_eq!(of_key("\"a\""), DpopFault::Key);
    assert_eq!(of_key(&jwk.replace('{', r#"{"d":"AA","#)), DpopFault::PrivateKey);
    assert_eq!(of_key(r#"{"kty":"oct","k":"AAAA"}"#), DpopFault::PrivateKey);
    assert!(matches!(of_key(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#), DpopFault::KeyUnfit(_)));
    assert!(matches!(of_key(&jwk.replace("P-256", "P-384")), DpopFault::KeyUnfit(_)));
    assert!(matches!(of_key(&format!("{}{}", &jwk[..jwk.len() - 1], r#","kty":"EC"}"#)), DpopFault::Json(..)));
    // The key of the header is another than the one that the token is bound to, and signs well.
    let other = Signer::new();
    let foreign = other.sign(&other.header(), &claims());
    assert_eq!(check(foreign.as_bytes(), &wanted), Err(DpopFault::KeyWrong));
}

#[test]
fn claims_are_there_and_have_their_form() {
    let signer = Signer::new();
    let thumbprint = signer.thumbprint();
    let wanted = Signer::wanted(&thumbprint);
    let with = |claims: &str| check(signer.sign(&signer.header(), claims).as_bytes(), &wanted).unwrap_err();
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let renamed = claims().replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(with(&renamed), DpopFault::Claim(name));
    }
    assert_eq!(with(&claims().replace("a-1", "")), DpopFault::Claim("jti"));
    assert_eq!(with(&claims().replace("a-1", &"a".repeat(DPOP_ID_BYTES_MAX + 1))), DpopFault::Claim("jti"));
    assert_eq!(with(&claims().replace(&NOW_S.to_string(), "-1")), DpopFault::Claim("iat"));
    assert_eq!(with(&claims().replace(&NOW_S.to_string(), "1e300")), DpopFault::Claim("iat"));
    assert!(matches!(with(&claims().replace("{", r#"{"jti":"b","#)), DpopFault::Json(..)));
    let long = "a".repeat(DPOP_BYTES_MAX);
    assert_eq!(with(&claims().replace("a-1", &long)), DpopFault::TooLong);
    assert_eq!(check(b"a.b", &wanted), Err(DpopFault::Form));
    assert_eq!(check(b"", &wanted), Err(DpopFault::Form));
}

#[test]
fn a_nonce_is_needed_where_it_is_asked_for() {
    let (signer, nonces) = (Signer::new(), Nonces::new(&[7; 32]));
    let thumbprint = signer.thumbprint();
    let wanted = Wanted { nonces: Some(&nonces), ..Signer::wanted(&thumbprint) };
    let with = |nonce: &str| {
        let claims = claims().replace('{', &format!(r#"{{"nonce":"{nonce}","#));
        check(signer.sign(&signer.header(), &claims).as_bytes(), &wanted).err()
    };
    assert_eq!(check(signer.sign(&signer.header(), &claims()).as_bytes(), &wanted), Err(DpopFault::NonceWrong));
    assert_eq!(with("AAAAAAAAAAAAAAAAAAAAAA"), Some(DpopFault::NonceWrong));
    assert_eq!(with(&nonces.at(NOW_S)), None);
}

#[test]
fn ids_tell_proofs_apart() {
    let (one, two) = (Signer::new(), Signer::new());
    let id = |signer: &Signer, jti: &str| {
        let thumbprint = signer.thumbprint();
        let proof = signer.sign(&signer.header(), &claims().replace("a-1", jti));
        check(proof.as_bytes(), &Signer::wanted(&thumbprint)).unwrap().id
    };
    assert_eq!(id(&one, "x"), id(&one, "x"), "another signature, but the same proof");
    assert_ne!(id(&one, "x"), id(&one, "y"));
    assert_ne!(id(&one, "x"), id(&two, "x"));
}

proptest! {
    #[test]
    fn one_changed_byte_is_another_proof(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let thumbprint = sha256(RFC_JKT.as_bytes()).unwrap();
        let wanted = Wanted { token: RFC_TOKEN, now_s: RFC_TIME_S, ..Signer::wanted(&thumbprint) };
        let mut proof = RFC_PROOF.as_bytes().to_vec();
        let at = at.index(proof.len());
        let changed = proof[at] != byte;
        proof[at] = byte;
        prop_assert_eq!(check(&proof, &wanted).is_err(), changed);
    }

    #[test]
    fn no_bytes_panic(proof in prop::collection::vec(any::<u8>(), 0..200), parts in "[a-zA-Z0-9_.{}\":,-]{0,200}") {
        let thumbprint = [0; 32];
        let wanted = Signer::wanted(&thumbprint);
        prop_assert!(check(&proof, &wanted).is_err());
        let json = format!("{}.{}.AA", base64url::encode(parts.as_bytes()), base64url::encode(parts.as_bytes()));
        prop_assert!(check(json.as_bytes(), &wanted).is_err());
    }
}
