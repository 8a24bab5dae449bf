use std::sync::Arc;

use policy::model::{ApiKey, Identity, Keys, Proofs};
use policy::reason::Reason;
use policy_release::revocations::Sha256;

use super::*;
use crate::assemble::Frozen;
use crate::testing;

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn filled(id: &str, hashes: Vec<KeyHash>) -> FilledId {
    FilledId { id: id.into(), hashes }
}

fn hash(byte: u8) -> KeyHash {
    KeyHash::new(Sha256([byte; 32]))
}

fn set(serial: u64, keys: Vec<FilledId>) -> KeySet {
    KeySet::new("p", "c", serial, time(1), time(9_000), keys).unwrap()
}

/// `open` and `other` are open, `pinned` is not.
fn policy() -> Policy {
    let mut policy = testing::policy(Keys::Pinned { jwks: testing::JWKS.to_owned() }, None);
    let key = |id: &str, sha256: Option<u8>| ApiKey {
        id: id.into(),
        sha256: sha256.map(|byte| format!("{byte:02x}").repeat(32)),
        expires_s: None,
    };
    policy.api_keys = vec![key("open", None), key("other", None), key("pinned", Some(7))];
    let api_keys = policy.api_keys.iter().map(|key| key.id.clone()).collect();
    policy.agents[0].identity.push(Identity::Proofs(Proofs { api_keys, ..Proofs::default() }));
    policy
}

fn frozen() -> Frozen {
    Frozen::new(policy(), testing::facts(), [1; 32]).unwrap()
}

#[test]
fn fills_what_is_open_and_nothing_else() {
    let policy = policy();
    let all = set(3, ["nobody", "open", "pinned"].map(|id| filled(id, vec![hash(1)])).into());
    let fit = Fit::of(Some(&all), &policy);
    assert_eq!((fit.filled, fit.unfilled, fit.ignored), (1, vec!["other"], vec!["nobody", "pinned"]));
    let none = Fit::of(None, &policy);
    assert_eq!((none.filled, none.unfilled, none.ignored), (0, vec!["open", "other"], vec![]));
    let frozen = frozen();
    assert_eq!(all.compile(&policy, &frozen.table, time(10), 1).len(), 1);
}

#[test]
fn a_key_holds_while_its_set_its_hash_and_the_release_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = testing::write_chain(directory.path(), "a", &["a.example"]);
    let assembled =
        crate::assemble::assemble(frozen(), &testing::node(directory.path(), vec![certificate]), 5).unwrap();
    let file = crate::records::Target::File(directory.path().join("records"));
    let records = crate::records::spawn(file, vec![], vec![], &crate::records::testing::sealing()).unwrap();
    let (arena, handle) = (activation::counters::Arena::new(), records.handle());
    let activator = crate::activate::Activator::start(assembled.frozen, arena, handle, assembled.parts, 5).unwrap();
    let activation = activator.swap().load_full();
    let index = |at| Some(ApiKeyIndex(at));
    let at = |key, byte: u8, now_s| activation.api_key_term(key, &[byte; 32]).map(|term| term.check(now_s));
    assert_eq!((at(index(0), 0, 10), at(index(2), 7, 10)), (None, Some(Ok(()))), "there never was a set");
    let ending = KeyHash { from: Some(time(50)), until: Some(time(100)), ..hash(2) };
    let keys = vec![filled("open", vec![hash(1), ending]), filled("pinned", vec![hash(1)])];
    activator.key_sets().put(Arc::new(set(1, keys)), time(10));
    let (out, over) = (Some(Err(Reason::ApiKeyOutOfTerm)), Some(Err(Reason::KeySetExpired)));
    assert_eq!((at(index(0), 1, 10), at(index(0), 2, 49), at(index(0), 2, 50)), (Some(Ok(())), out, Some(Ok(()))));
    assert_eq!((at(index(0), 2, 100), at(index(0), 1, 8_999), at(index(0), 1, 9_000)), (out, Some(Ok(())), over));
    for (key, byte) in
        [(index(0), 0), (index(0), 3), (index(1), 1), (index(1), 0), (index(2), 1), (index(9), 1), (None, 1), (None, 0)]
    {
        assert_eq!(at(key, byte, 10), None, "{key:?} {byte}");
    }
    assert_eq!(at(index(2), 7, 9_000), Some(Ok(())), "what is pinned does not move");
    activator.key_sets().put(Arc::new(set(2, vec![])), time(10));
    assert_eq!(at(index(0), 1, 10), None);
    records.stop(std::time::Duration::from_secs(5)).unwrap();
}
