//! The JSON text of envelopes and detached signatures, read strictly and within bounds.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Detached, Envelope, EnvelopeFault, Kind, Signature, check_size, pae_head};
use crate::bounds::{SIGNATURES_MAX, SMALL_FILE_BYTES_MAX, WRAPPER_BYTES_MAX};
use crate::digest::Digest;
use crate::key::{KeyId, PublicKey};

pub(super) const DETACHED_FORMAT: &str = "adamant.signature.v1";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(borrow, rename = "payloadType")]
    payload_type: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "bounded")]
    signatures: Vec<WireSignature<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature<'a> {
    keyid: KeyId,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDetached {
    #[serde(rename = "type")]
    format: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    digest: Digest,
    public_key: PublicKey,
    sig: String,
}

/// Stops at the bound instead of taking in a list of any length first.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WireSignature<'de>>, D::Error> {
    struct Bounded;
    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<WireSignature<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {SIGNATURES_MAX} signatures")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some(item) = items.next_element()? {
                if out.len() == SIGNATURES_MAX {
                    return Err(A::Error::invalid_length(SIGNATURES_MAX + 1, &self));
                }
                out.push(item);
            }
            Ok(out)
        }
    }
    deserializer.deserialize_seq(Bounded)
}

pub(super) fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeFault> {
    let largest = Kind::ALL.into_iter().map(Kind::envelope_bytes_max).max().unwrap_or_default();
    check_size("envelope", largest, bytes.len())?;
    let wire: Wire<'_> = serde_json::from_slice(bytes)?;
    let Some(kind) = Kind::of(&wire.payload_type) else {
        return Err(EnvelopeFault::PayloadType { found: wire.payload_type.chars().take(80).collect() });
    };
    check_size("text around the payload", WRAPPER_BYTES_MAX, bytes.len().saturating_sub(wire.payload.len()))?;
    let payload_bytes = decoded_bytes(&wire.payload);
    check_size("payload", kind.payload_bytes_max(), payload_bytes)?;

    let mut signed = pae_head(kind.payload_type(), payload_bytes);
    let payload_at = signed.len();
    signed.reserve_exact(payload_bytes + 3);
    decode(&wire.payload, "the payload", &mut signed)?;
    if signed.len() != payload_at + payload_bytes {
        return Err(EnvelopeFault::Base64 { what: "the payload" });
    }
    let signatures = wire.signatures.iter().map(|wire| signature(wire.keyid, &wire.sig)).collect::<Result<_, _>>()?;
    Ok(Envelope { kind, signed, payload_at, signatures })
}

/// Length after decoding padded base64.
fn decoded_bytes(base64: &str) -> usize {
    let padding = base64.bytes().rev().take(2).take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

/// Either alphabet, as DSSE asks of verifiers, but not both in one text; padded; no stray bits.
fn decode(base64: &str, what: &'static str, out: &mut Vec<u8>) -> Result<(), EnvelopeFault> {
    let url_safe = base64.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    engine.decode_vec(base64, out).map_err(|_| EnvelopeFault::Base64 { what })
}

fn signature(key_id: KeyId, base64: &str) -> Result<Signature, EnvelopeFault> {
    let mut bytes = Vec::new();
    decode(base64, "a signature", &mut bytes)?;
    let found = bytes.len();
    let bytes = bytes.try_into().map_err(|_| EnvelopeFault::SignatureLength { key_id, found })?;
    Ok(Signature { key_id, bytes })
}

pub(super) fn parse_detached(bytes: &[u8]) -> Result<Detached, EnvelopeFault> {
    check_size("detached signature", SMALL_FILE_BYTES_MAX, bytes.len())?;
    let wire: WireDetached = serde_json::from_slice(bytes)?;
    let kind = Kind::of(&wire.payload_type).filter(|_| wire.format == DETACHED_FORMAT);
    let Some(kind) = kind else {
        return Err(EnvelopeFault::PayloadType { found: wire.payload_type.chars().take(80).collect() });
    };
    let signature = signature(wire.public_key.id(), &wire.sig)?;
    Ok(Detached { kind, digest: wire.digest, public_key: wire.public_key, signature })
}

pub(super) fn write_detached(detached: &Detached) -> Result<Vec<u8>, EnvelopeFault> {
    let wire = WireDetached {
        format: DETACHED_FORMAT.into(),
        payload_type: detached.kind.payload_type().into(),
        digest: detached.digest,
        public_key: detached.public_key,
        sig: STANDARD.encode(detached.signature.bytes),
    };
    let mut out = serde_json::to_vec(&wire)?;
    out.push(b'\n');
    Ok(out)
}
