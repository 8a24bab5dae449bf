//! Arbitrary bytes and changed tokens: nothing panics, and no change of a valid token verifies.

use std::sync::{Arc, LazyLock};

use identity::token::{Issuer, Keyset, verify};
use policy::model::Algorithm;
use proptest::prelude::*;

use crate::signatures::ALL;
use crate::signer::Signer;
use crate::tokens::{NOW_S, claims, issuer, rules};

struct Valid {
    issuers: Vec<Arc<Issuer>>,
    tokens: Vec<String>,
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let signers = [Signer::es256(1), Signer::es384(), Signer::ed25519(1), Signer::rsa("RS256"), Signer::rsa("PS256")];
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let secret = Signer::hs256(1);
    let mut of_secret = rules("secret", "hmac", &[Algorithm::HS256]);
    of_secret.issuer = "https://hmac.example".to_owned();
    let issuers = vec![issuer(rules("corp", "orders", &ALL), &keys), issuer(of_secret, &[secret.jwk("HS256")])];
    let mut tokens: Vec<String> = signers.iter().map(|signer| signer.token(signer.algorithm(), &claims())).collect();
    let mut of_secret = claims();
    of_secret["iss"] = "https://hmac.example".into();
    of_secret["aud"] = "hmac".into();
    tokens.push(secret.token("HS256", &of_secret));
    for token in &tokens {
        verify(token.as_bytes(), &issuers, NOW_S).unwrap();
    }
    Valid { issuers, tokens }
});

#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    Splice(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    use prop::sample::Index;
    let byte = || prop_oneof![prop::sample::select(b"ABCDEFabcdef0123-_.=+/ ".to_vec()), any::<u8>()];
    prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        2 => (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 0..6_usize).prop_map(|(part, other)| Change::Splice(part, other)),
    ]
}

fn apply(token: &mut Vec<u8>, change: &Change, others: &[String]) {
    if token.is_empty() {
        return;
    }
    match change {
        Change::Flip(at, byte) => {
            let at = at.index(token.len());
            token[at] = *byte;
        }
        Change::Insert(at, byte) => token.insert(at.index(token.len() + 1), *byte),
        Change::Remove(at) => {
            token.remove(at.index(token.len()));
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(token.len()), b.index(token.len()));
            token.swap(a, b);
        }
        Change::Cut(at) => token.truncate(at.index(token.len())),
        Change::Splice(part, other) => {
            // One of the three parts from another valid token.
            let mut parts: Vec<Vec<u8>> = token.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect();
            let foreign: Vec<&str> = others[other % others.len()].split('.').collect();
            let at = part.index(parts.len().min(3));
            parts[at] = foreign[at].as_bytes().to_vec();
            *token = parts.join(&b'.');
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_valid_token_verifies(which in 0..6_usize, changes in prop::collection::vec(change(), 1..4)) {
        let valid = &*VALID;
        let mut token = valid.tokens[which].clone().into_bytes();
        for change in &changes {
            apply(&mut token, change, &valid.tokens);
        }
        prop_assume!(!valid.tokens.iter().any(|known| known.as_bytes() == token));
        prop_assert!(verify(&token, &valid.issuers, NOW_S).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, &VALID.issuers, NOW_S).is_err());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = Keyset::from_jwks(text, &ALL);
        }
    }

    /// Bytes that get past the outer form: arbitrary texts as header and claims, signed or not.
    #[test]
    fn arbitrary_texts_inside_never_panic(header in ".{0,60}", claims in ".{0,60}", signature in prop::collection::vec(any::<u8>(), 0..80)) {
        use crate::signer::encode;
        let token = format!("{}.{}.{}", encode(&header), encode(&claims), encode(&signature));
        prop_assert!(verify(token.as_bytes(), &VALID.issuers, NOW_S).is_err());
        let keys = format!(r#"{{"keys":[{header},{{"kty":"{claims}"}}]}}"#);
        let _ = Keyset::from_jwks(&keys, &ALL);
    }
}

/// All changes of one byte of one token: 256 values at each place.
#[test]
fn no_single_byte_of_an_es256_token_can_be_changed() {
    let valid = &*VALID;
    let token = valid.tokens[0].as_bytes();
    let mut tried = 0;
    for at in 0..token.len() {
        // Every bit, and a few neighbours in the alphabet.
        for to in (0..8).map(|bit| token[at] ^ (1 << bit)).chain(*b"Aa0-_.=") {
            if to != token[at] {
                let mut changed = token.to_vec();
                changed[at] = to;
                assert!(verify(&changed, &valid.issuers, NOW_S).is_err(), "byte {at} to {to}");
                tried += 1;
            }
        }
    }
    assert!(tried > 3_000, "{tried}");
}
