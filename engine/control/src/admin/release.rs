//! `/release`: what serves, as JSON. Names and digests, never a rule.

use serde_json::{Value, json};

use crate::status::{KeysetStatus, Status};

/// The document, ended by a newline.
pub fn document(status: &Status) -> String {
    let activation = status.activation.load();
    let release = &activation.release;
    let moving = status.moving();
    let keysets: serde_json::Map<String, Value> =
        moving.keysets.iter().map(|(name, keyset)| (name.clone(), keyset_value(keyset))).collect();
    let certificates: Vec<Value> = moving
        .certificates
        .iter()
        .map(|(chain, of)| {
            json!({
                "chain": chain, "sha256": of.sha256, "not_after": time(of.not_after_unix_s), "names": of.names,
                "last_failure": of.last_failure,
            })
        })
        .collect();
    let document = json!({
        "release": release.digest,
        "version": release.version,
        "policy": release.policy_name,
        "signers": release.signers,
        "expires": release.expires_s.map(time),
        "since": time(moving.since_unix_s),
        "activation": activation.id,
        "table_sha256": moving.table_sha256,
        "audit": activation.audit,
        "keysets": keysets,
        "certificates": certificates,
        "config": status.facts.config_digest,
        "binary": status.facts.version,
    });
    format!("{document:#}\n")
}

fn keyset_value(keyset: &KeysetStatus) -> Value {
    json!({
        "source": keyset.source,
        "thumbprint": keyset.thumbprint,
        "version": keyset.version,
        "keys": keyset.keys,
        "loaded": time(keyset.loaded_unix_s),
        "stale": keyset.stale_unix_s.map(time),
        "last_failure": keyset.last_failure,
    })
}

fn time(unix_s: u64) -> String {
    let time = i64::try_from(unix_s).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    time.map_or_else(String::new, |time| time.to_string())
}
