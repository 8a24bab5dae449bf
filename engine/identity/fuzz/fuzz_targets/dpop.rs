//! DPoP proofs: raw bytes must never verify; a header and claims (cut at the first NUL) that are signed by the target itself
//! reach what stands behind the signature. `KEY`, `TIME`, `HASH` and `NONCE` in them stand for what only the target knows.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::token::dpop::{Nonces, Proof, RequestUri, Wanted, check};
use libfuzzer_sys::fuzz_target;

const NOW_S: u64 = 1_800_000_000;
const LEEWAY_S: u32 = 7;
const TOKEN: &[u8] = b"a.b.c";
const URI: RequestUri<'_> = RequestUri { tls: true, authority: b"api.example:8443", path: b"/orders/7" };

/// A key that is the same in every run.
struct Holder {
    key: Ed25519KeyPair,
    jwk: String,
    thumbprint: [u8; 32],
    nonces: Nonces,
}

static HOLDER: LazyLock<Holder> = LazyLock::new(|| {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    // In the order of RFC 7638 §3.2.
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let thumbprint = digest(&SHA256, jwk.as_bytes()).as_ref().try_into().unwrap();
    Holder { key, jwk, thumbprint, nonces: Nonces::new(&[9; 32]) }
});

fuzz_target!(|data: &[u8]| {
    let holder = &*HOLDER;
    let wanted = |nonces| Wanted {
        method: b"GET",
        uri: URI,
        token: TOKEN,
        key_thumbprint: &holder.thumbprint,
        now_s: NOW_S,
        leeway_s: LEEWAY_S,
        nonces,
    };
    assert!(check(data, &wanted(None)).is_err(), "verified without the key");
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (header, claims) = data.split_at(cut);
    let (Ok(header), Ok(claims)) =
        (std::str::from_utf8(header), std::str::from_utf8(claims.get(1..).unwrap_or_default()))
    else {
        return;
    };
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, TOKEN));
    let header = header.replace("KEY", &holder.jwk);
    let claims =
        claims.replace("TIME", &NOW_S.to_string()).replace("HASH", &hash).replace("NONCE", &holder.nonces.at(NOW_S));
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
    let proof = format!("{input}.{}", URL_SAFE_NO_PAD.encode(holder.key.sign(input.as_bytes())));
    let verdict = |wanted: &Wanted<'_>| check(proof.as_bytes(), wanted).ok();
    let plain = wanted(None);
    let found = verdict(&plain);
    let with_nonce = verdict(&wanted(Some(&holder.nonces)));
    assert!(with_nonce.is_none() || with_nonce == found, "a nonce only adds to what is asked");
    let Some(Proof { kept_until_s, kept_s_max, .. }) = found else { return };
    // It is remembered for as long as it is taken, and it is for this request, token and key alone.
    assert!(claims.contains(&hash) && proof.len() <= 4 * 1024);
    assert_eq!(kept_s_max, 60 + 5 + 3 + 2 * u64::from(LEEWAY_S));
    assert!(kept_until_s > NOW_S && kept_until_s <= NOW_S + kept_s_max);
    assert!(verdict(&Wanted { now_s: kept_until_s, ..plain }).is_none());
    for other in [
        Wanted { method: b"POST", ..plain },
        Wanted { uri: RequestUri { path: b"/orders/8", ..URI }, ..plain },
        Wanted { uri: RequestUri { tls: false, ..URI }, ..plain },
        Wanted { uri: RequestUri { authority: b"api.example", ..URI }, ..plain },
        Wanted { token: b"a.b.d", ..plain },
        Wanted { key_thumbprint: &[0; 32], ..plain },
        Wanted { now_s: NOW_S + 3_600, ..plain },
        Wanted { now_s: NOW_S - 3_600, ..plain },
    ] {
        assert!(verdict(&other).is_none(), "{other:?}");
    }
});
