//! The public keys of the assertions of several gateways as one JWK Set, for origins behind all of them.

use std::collections::BTreeSet;

use serde_json::json;

use super::judge::Judged;
use crate::failure::Failure;

/// The JWK Set (RFC 7517 §5). A set without the keys of one gateway would have its requests refused: without the answer of
/// each there is none.
pub fn merged(judged: &[Judged]) -> Result<String, Failure> {
    let mut keys = BTreeSet::new();
    for of in judged {
        let refused = |why: &str| Failure::new(format_args!("{}: {why}: no keys are shown", of.host));
        let Some(said) = &of.answer else {
            return Err(refused(of.problems.first().map_or("no answer", |problem| problem.text.as_str())));
        };
        if of.pinned == Some(false) {
            return Err(refused("its answer is signed by a key that is not pinned for it"));
        }
        keys.extend(said.assertions.iter().flat_map(|of| &of.keys));
    }
    Ok(format!("{:#}", json!({ "keys": keys })))
}
