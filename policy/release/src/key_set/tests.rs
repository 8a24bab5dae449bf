use proptest::prelude::*;

use super::*;
use crate::canonical;
use crate::lists::verify_list;
use crate::root::edit::EditFault;
use crate::testing::{claims, keys, root_of, signed, time};
use crate::verify::VerifyError;

const ISSUED: &str = "2026-01-01T00:00:00Z";

fn hash(byte: u8) -> KeyHash {
    KeyHash::new(Sha256([byte; 32]))
}

fn filled(id: &str, hashes: &[KeyHash]) -> FilledId {
    FilledId { id: id.into(), hashes: hashes.to_vec() }
}

fn try_set(keys: Vec<FilledId>) -> Result<KeySet, ListFault> {
    KeySet::new("orders", "production", 7, time(ISSUED), time("2026-04-01T00:00:00Z"), keys)
}

fn set(keys: Vec<FilledId>) -> KeySet {
    try_set(keys).unwrap()
}

/// The bytes themselves: a change here is a change of the format.
#[test]
fn golden() {
    let old = KeyHash { until: Some(time("2026-02-01T00:00:00Z")), ..hash(0xbb) };
    let new = KeyHash { from: Some(time("2026-01-15T00:00:00Z")), ..hash(0xaa) };
    let payload = canonical::to_bytes(&set(vec![filled("ci-2", &[hash(1)]), filled("ci-1", &[old, new])])).unwrap();
    let (aa, bb, one) = ("aa".repeat(32), "bb".repeat(32), "01".repeat(32));
    let expected = format!(
        "{{\"channel\":\"production\",\"expires\":\"2026-04-01T00:00:00Z\",\"issued\":\"2026-01-01T00:00:00Z\",\"keys\":[\
         {{\"hashes\":[{{\"from\":\"2026-01-15T00:00:00Z\",\"sha256\":\"{aa}\"}},{{\"sha256\":\"{bb}\",\
         \"until\":\"2026-02-01T00:00:00Z\"}}],\"id\":\"ci-1\"}},{{\"hashes\":[{{\"sha256\":\"{one}\"}}],\"id\":\"ci-2\"}}],\
         \"policy_name\":\"orders\",\"serial\":7,\"type\":\"adamant.key-set.v1\"}}"
    );
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
}

#[test]
fn signed_by_the_role_keys_alone() {
    let keys = keys(3);
    let root = root_of(&keys, 2);
    let mut envelope = set(vec![filled("ci-1", &[hash(1)])]).to_envelope().unwrap();
    envelope.sign(&keys[0]).unwrap();
    let below = |bytes: &[u8], root| {
        let fault = verify_list::<KeySet>(bytes, root).unwrap_err();
        let ListFault::Verify(VerifyError::BelowThreshold(below)) = fault else { panic!("{fault}") };
        (below.role, below.found.len())
    };
    assert_eq!(below(&envelope.to_bytes(), &root), (Role::Keys, 1));
    envelope.sign(&keys[1]).unwrap();
    assert_eq!(verify_list::<KeySet>(&envelope.to_bytes(), &root).unwrap().list.keys().len(), 1);
    assert!(verify_list::<crate::revocations::Revocations>(&envelope.to_bytes(), &root).is_err());
    // A trust root from before there was the role: nobody signs key sets.
    let mut before = claims(1, &keys, 2);
    before.roles.keys = None;
    let bytes = signed(&before, &keys);
    assert!(!String::from_utf8(before.to_envelope().unwrap().payload().to_vec()).unwrap().contains("\"keys\":{"));
    assert_eq!(below(&envelope.to_bytes(), &crate::root::verify_root(&bytes).unwrap()), (Role::Keys, 0));
}

#[test]
fn the_role_comes_with_its_first_key_and_goes_with_its_last() {
    let keys = keys(3);
    let mut before = claims(1, &keys, 1);
    before.roles.keys = None;
    let alice = before.keys[0].clone();
    let mut more = before.successor();
    more.add(&alice, &[Role::Keys]).unwrap();
    let with = more.finish().unwrap();
    assert_eq!(with.roles.of(Role::Keys), &crate::root::RoleKeys { keys: vec![alice.id], threshold: 1 });
    let mut less = with.successor();
    less.remove(alice.id, &[Role::Keys]).unwrap();
    assert_eq!(less.finish().unwrap().roles.keys, None);
    let mut nobody = before.successor();
    nobody.set_threshold(Role::Keys, 1);
    assert!(matches!(nobody.finish(), Err(EditFault::Unreachable { role: Role::Keys, keys: 0, .. })));
}

#[test]
fn refuses_what_means_nothing() {
    let ended =
        KeyHash { from: Some(time("2026-02-01T00:00:00Z")), until: Some(time("2026-02-01T00:00:00Z")), ..hash(1) };
    let long = "a".repeat(33);
    for (bad, expected) in [
        (filled("", &[hash(1)]), KeyFault::Id),
        (filled(&long, &[hash(1)]), KeyFault::Id),
        (filled("Ci", &[hash(1)]), KeyFault::Id),
        (filled("a", &[]), KeyFault::Hashes { found: 0 }),
        (filled("a", &[hash(1), hash(2), hash(3)]), KeyFault::Hashes { found: 3 }),
        (filled("a", &[hash(1), hash(1)]), KeyFault::Order),
        (
            filled("a", &[ended]),
            KeyFault::Times { from: time("2026-02-01T00:00:00Z"), until: time("2026-02-01T00:00:00Z") },
        ),
    ] {
        let told = format!("{bad:?}");
        let Err(ListFault::Key { fault, .. }) = try_set(vec![bad]) else { panic!("{told}") };
        assert_eq!(fault, expected, "{told}");
    }
    let twice = vec![filled("a", &[hash(1)]), filled("a", &[hash(2)])];
    assert!(matches!(try_set(twice), Err(ListFault::Order { .. })));
    let many = (0..=KEY_SET_IDS_MAX).map(|number| filled(&format!("k{number:05}"), &[hash(1)])).collect();
    assert!(matches!(try_set(many), Err(ListFault::Entries { .. })));
    let whole = String::from_utf8(canonical::to_bytes(&set(vec![])).unwrap()).unwrap();
    for keys in ["null", "{}", "[{\"hashes\":[],\"id\":\"a\"}]", "[{\"hashes\":[{\"sha256\":\"00\"}],\"id\":\"a\"}]"] {
        assert!(KeySet::read(whole.replace("\"keys\":[]", &format!("\"keys\":{keys}")).as_bytes()).is_err(), "{keys}");
    }
    let with = |more: &str| {
        let hashes = format!("\"keys\":[{{\"hashes\":[{{{more}\"sha256\":\"{}\"}}],\"id\":\"a\"}}]", "00".repeat(32));
        KeySet::read(whole.replace("\"keys\":[]", &hashes).as_bytes())
    };
    assert!(with("").is_ok() && with("\"from\":null,").is_err() && with("\"key\":\"secret\",").is_err());
}

#[test]
fn none_is_made_for_more_than_a_year() {
    let until = |seconds| {
        let expires = time(ISSUED).later_by(seconds);
        KeySet::new("orders", "production", 7, time(ISSUED), expires, Vec::new())
    };
    assert!(until(KEY_SET_LIFE_S_MAX).is_ok());
    let told = until(KEY_SET_LIFE_S_MAX + 1).unwrap_err().to_string();
    assert!(told.starts_with("expected a key set that ends within 366 days of its issue (2026-01-01"), "{told}");
}

#[test]
fn an_id_is_found_by_its_name() {
    let set = set(vec![filled("b", &[hash(2)]), filled("a", &[hash(1)]), filled("c", &[hash(3)])]);
    for (id, found) in [("a", Some(1)), ("b", Some(2)), ("c", Some(3)), ("d", None), ("", None)] {
        assert_eq!(set.of(id).map(|key| key.hashes[0].sha256), found.map(|byte| Sha256([byte; 32])), "{id}");
    }
    assert_eq!(hash(0xab).thumbprint(), "abababababab");
    let until = KeyHash { until: Some(time(ISSUED)), ..hash(1) };
    assert!(until.has_ended(time(ISSUED)) && !hash(1).has_ended(time(ISSUED)));
}

fn any_key() -> impl Strategy<Value = FilledId> {
    let when = |range: std::ops::Range<u64>| {
        prop::option::of(range.prop_map(|seconds| Timestamp::from_seconds(seconds).unwrap()))
    };
    let hash = (any::<u8>(), when(1..1_000), when(1_000..9_000_000_000)).prop_map(|(byte, from, until)| KeyHash {
        sha256: Sha256([byte; 32]),
        from,
        until,
    });
    ("[a-z0-9-]{1,32}", prop::collection::vec(hash, 1..=2)).prop_map(|(id, mut hashes)| {
        hashes.sort_by_key(|hash| hash.sha256);
        hashes.dedup_by_key(|hash| hash.sha256);
        FilledId { id, hashes }
    })
}

proptest! {
    #[test]
    fn round_trip(keys in prop::collection::vec(any_key(), 0..12)) {
        let mut keys = keys;
        keys.sort_by(|one, other| one.id.cmp(&other.id));
        keys.dedup_by(|one, other| one.id == other.id);
        let set = set(keys);
        let payload = canonical::to_bytes(&set).unwrap();
        let again = KeySet::read(&payload).unwrap();
        prop_assert_eq!(&again, &set);
        prop_assert_eq!(canonical::to_bytes(&again).unwrap(), payload);
        prop_assert!(set.keys().iter().all(|key| again.of(&key.id) == Some(key)));
    }

    #[test]
    fn changed_bytes_never_panic_and_never_mean_the_same(at in 0_usize..2_000, byte in any::<u8>()) {
        let whole = set(vec![filled("ci-1", &[hash(1), hash(2)]), filled("ci-2", &[hash(3)])]);
        let mut payload = canonical::to_bytes(&whole).unwrap();
        let at = at % payload.len();
        prop_assume!(payload[at] != byte);
        payload[at] = byte;
        if let Ok(read) = KeySet::read(&payload) {
            prop_assert_ne!(read, whole);
        }
    }
}
