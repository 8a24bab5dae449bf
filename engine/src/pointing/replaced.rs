//! Keys that the newest trust root has no more: a signature by one counts for nothing, and its owner often does not know.

use policy_release::envelope::Envelope;
use policy_release::key::KeyId;
use policy_release::root::TrustRoot;

/// What became of a key that an older root of the chain had: `alice's until trust root 2; alice's key is now fe25…`. None
/// for a key that the newest has, or none had.
pub fn replaced(chain: &[TrustRoot], id: &KeyId) -> Option<String> {
    let newest = chain.last().filter(|newest| !newest.keys().contains_key(id))?;
    let (last, key) = chain.iter().rev().find_map(|root| root.keys().get(id).map(|key| (root.version(), key)))?;
    let owner = &key.owner;
    let now: Vec<_> = newest.keys().values().filter(|key| key.owner == *owner).map(|key| key.id.short()).collect();
    let now = match now.as_slice() {
        [] => format!("{owner} has no key now"),
        [only] => format!("{owner}'s key is now {only}"),
        several => format!("{owner}'s keys are now {}", several.join(", ")),
    };
    Some(format!("{owner}'s until trust root {last}; {now}"))
}

/// The same of each signature by such a key.
pub fn outdated(chain: &[TrustRoot], envelope: &Envelope) -> Vec<String> {
    let newest = chain.last().map_or(0, TrustRoot::version);
    let told = |id: &KeyId| {
        replaced(chain, id).map(|what| format!("key {} is not in trust root {newest} ({what})", id.short()))
    };
    envelope.signatures().iter().filter_map(|signature| told(&signature.key_id)).collect()
}
