//! Lists are found by who signed them, whatever their CA is called, then and now.

use proptest::prelude::*;
use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint};

use super::super::RevocationError;
use super::super::tests::{Authority, NOW_S, read, restarted, stays, with, with_middle};
use super::*;
use crate::bounds::REVOCATION_LISTS_MAX;
use crate::certificate::CertificateFault;

fn named(name: &str, authorities: &[&Authority]) -> ClientCa {
    let pem: String = authorities.iter().map(|authority| authority.0.pem()).collect();
    ClientCa::from_pem(name, &pem).unwrap()
}

/// What `ca` is given of what serves and of what was kept of `all`: the same.
fn known(ca: &ClientCa, all: &[&ClientCa]) -> Option<RevocationLists> {
    let (mut serving, mut kept) = (Before::new(ca, &[], true, NOW_S), Before::new(ca, &[], true, NOW_S));
    for of in all {
        serving.add_in_force(of);
        kept.add(&Kept::read(&of.lists().unwrap().kept(of)).unwrap());
    }
    let (serving, kept) = (serving.lists(), kept.lists());
    let digests =
        |lists: &Option<RevocationLists>| lists.as_ref().map(|lists| (*lists.digest(), lists.kept_digest(ca)));
    assert_eq!(digests(&serving), digests(&kept));
    serving
}

fn numbers(lists: Option<RevocationLists>) -> Vec<String> {
    let facts = lists.iter().flat_map(RevocationLists::facts);
    let mut numbers: Vec<String> = facts.map(|list| format!("{} {}", list.issuer, list.number)).collect();
    numbers.sort();
    numbers
}

#[test]
fn a_ca_is_given_the_lists_of_its_issuers_under_every_name_and_beside_whatever_else() {
    let (a, b, other) = (Authority::new("a"), Authority::new("b"), Authority::new("a"));
    let [of_a, of_b, of_both] = [
        with(&named("x", &[&a]), &a.list(5, &[7])),
        with(&named("y", &[&b]), &b.list(3, &[])),
        with(&named("z", &[&a, &b]), &(a.list(4, &[]) + &b.list(4, &[]))),
    ];
    for (now, before, expected) in [
        (named("x-2", &[&a]), vec![&of_a], vec!["CN=a 5"]),
        (named("y", &[&a]), vec![&of_a, &of_b], vec!["CN=a 5"]),
        (named("x", &[&a, &b]), vec![&of_a], vec!["CN=a 5"]),
        (named("x", &[&b, &a]), vec![&of_a, &of_b], vec!["CN=a 5", "CN=b 3"]),
        (named("x", &[&a]), vec![&of_a, &of_both], vec!["CN=a 5", "CN=b 4"]),
        (named("x", &[&b, &a]), vec![&of_both, &of_b, &of_a], vec!["CN=a 5", "CN=b 4"]),
        (named("x", &[&a, &b]), vec![&of_a, &of_b, &of_both], vec!["CN=a 5", "CN=b 4"]),
        // The same name, another key.
        (named("x", &[&other]), vec![&of_a, &of_b, &of_both], vec![]),
    ] {
        assert_eq!(numbers(known(&now, &before)), expected, "{}", now.name());
    }
    let ca = named("x-2", &[&a]);
    let before = known(&ca, &[&of_a]).unwrap();
    assert!(matches!(read(&ca, &a.list(4, &[])).unwrap().follow(&before, NOW_S), Err(RevocationError::Older { .. })));
    let ca = ca.with_revocation(Some(Arc::new(before)));
    assert_eq!(ca.verify(&[a.leaf(7)], NOW_S), Err(CertificateFault::Revoked));
}

#[test]
fn what_a_chain_proved_goes_with_its_root_alone() {
    let (root, middle, chain) = with_middle();
    let partner = Authority::new("partner");
    let of_partner = partner.intermediate("middle", 41);
    let through_partner = [of_partner.leaf(8), of_partner.0.der().clone()];
    // The partner's file has a copy of the other root's list, and its own intermediate of that name is far ahead.
    let theirs =
        with(&named("p", &[&partner]), &(partner.list(1, &[]) + &root.list(1, &[]) + &of_partner.list(700, &[])));
    assert_eq!(theirs.verify(&through_partner, NOW_S), Ok(()));
    let ours = with(&root.ca(), &(root.list(2, &[]) + &middle.list(5, &[8])));
    let good = [middle.leaf(9), middle.0.der().clone()];
    assert_eq!(ours.verify(&good, NOW_S), Ok(()));
    let renamed = named("renamed", &[&root, &Authority::new("new")]);
    let before = known(&renamed, &[&theirs, &ours]).unwrap();
    let file = |number| read(&renamed, &(root.list(3, &[]) + &middle.list(number, &[]))).unwrap();
    assert!(stays(file(4).follow(&before, NOW_S), "middle 5"));
    assert!(file(6).follow(&before, NOW_S).is_ok(), "the partner's holds nothing up");
    let renamed = renamed.with_revocation(Some(Arc::new(before)));
    assert_eq!(renamed.verify(&chain, NOW_S), Err(CertificateFault::Revoked));
    assert_eq!(renamed.verify(&good, NOW_S), Ok(()));
    // An intermediate that becomes a CA of the policy brings its list along.
    assert_eq!(numbers(known(&named("m", &[&middle]), &[&ours])), ["CN=middle 5"]);
    // With what was proven below it, and nothing of what is above.
    let lower = middle.intermediate("lower", 50);
    let both = with(&named("p", &[&root]), &(root.list(1, &[]) + &middle.list(5, &[]) + &lower.list(5, &[])));
    let shown = [lower.leaf(9), lower.0.der().clone(), middle.0.der().clone()];
    assert_eq!(both.verify(&shown, NOW_S), Ok(()));
    assert_eq!(numbers(known(&named("m", &[&middle]), &[&both])), ["CN=lower 5", "CN=middle 5"]);
}

#[test]
fn an_intermediate_that_goes_from_a_policy_leaves_its_list_behind() {
    let (root, middle, chain) = with_middle();
    let both = with(&named("both", &[&root, &middle]), &(root.list(1, &[]) + &middle.list(10, &[8])));
    let alone = named("alone", &[&root]);
    let before = known(&alone, &[&both]).unwrap();
    assert_eq!(numbers(known(&alone, &[&both])), ["CN=middle a", "CN=root 1"]);
    let after = read(&alone, &(root.list(2, &[]) + &middle.list(9, &[]))).unwrap().follow(&before, NOW_S).unwrap();
    assert_eq!(after.left_out(), ["CN=middle"]);
    assert_eq!(alone.with_revocation(Some(Arc::new(after))).verify(&chain, NOW_S), Err(CertificateFault::Revoked));
    // A root that goes takes its list along: nothing is known below it.
    let other = Authority::new("other");
    let both = with(&named("both", &[&root, &other]), &(root.list(1, &[]) + &other.list(10, &[8])));
    let after = read(&alone, &root.list(2, &[])).unwrap().follow(&known(&alone, &[&both]).unwrap(), NOW_S).unwrap();
    assert_eq!(numbers(Some(after)), ["CN=root 2"]);
}

#[test]
fn a_proven_list_takes_the_place_of_an_earlier_one_and_of_no_later_one() {
    let (root, middle, chain) = with_middle();
    let ahead = with(&named("x", &[&root]), &(root.list(1, &[]) + &middle.list(5, &[8])));
    assert_eq!(ahead.verify(&[middle.leaf(9), middle.0.der().clone()], NOW_S), Ok(()));
    let both = named("both", &[&root, &Authority::new("b")]);
    for (number, revoked) in [(4, true), (6, false)] {
        let behind = with(&named("y", &[&root]), &(root.list(1, &[]) + &middle.list(number, &[])));
        let lists = known(&both, &[&behind, &ahead]).unwrap();
        let refused = both.with_revocation(Some(Arc::new(lists))).verify(&chain, NOW_S);
        assert_eq!(refused, if revoked { Err(CertificateFault::Revoked) } else { Ok(()) });
    }
}

/// Two CAs that serve side by side and share an issuer have files of their own, at paces of their own.
#[test]
fn what_a_ca_beside_brought_is_a_floor_and_nothing_more() {
    let (shared, own) = (Authority::new("shared"), Authority::new("own"));
    let (one, two) = (named("one", &[&shared]), named("two", &[&shared, &own]));
    let file = |number: u64, of_own: u64, revoked: &[u64]| shared.list(number, &[]) + &own.list(of_own, revoked);
    let of_one = with(&one, &shared.list(10, &[3]));
    let before = |kept: &[&ClientCa]| {
        let mut before = Before::new(&two, [&one, &two], true, NOW_S);
        kept.iter().for_each(|ca| before.add(&Kept::read(&ca.lists().unwrap().kept(ca)).unwrap()));
        before.lists()
    };
    for known in [vec![&of_one], vec![&of_one, &with(&two, &file(9, 5, &[]))]] {
        let before = before(&known).unwrap();
        assert_eq!(before.fit(), known.len() == 2, "it is no list of this one");
        let after = read(&two, &file(9, 6, &[7])).unwrap().follow(&before, NOW_S).unwrap();
        assert_eq!(after.left_out(), ["CN=shared"]);
        let next = read(&two, &file(9, 7, &[7])).unwrap().follow(&after, NOW_S).unwrap();
        assert_eq!(next.left_out(), ["CN=shared"], "it is a floor for all that follows");
        let ca = two.with_revocation(Some(Arc::new(after)));
        let status = |of: &Authority, serial: u64| ca.verify(&[of.leaf(serial)], NOW_S);
        assert_eq!(status(&own, 7), Err(CertificateFault::Revoked), "what this file says counts at once");
        assert_eq!(status(&shared, 3), Err(CertificateFault::Revoked), "and so does what the other knew before");
        assert_eq!((status(&own, 8), status(&shared, 8)), (Ok(()), Ok(())));
    }
    // What it has and this one never had is not asked for, however much it is.
    let point = |part: usize| CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint { uris: vec![format!("http://crl.example/{part}")] },
        scope: None,
    };
    let parts: String = (0..40).map(|part| shared.list_for(Some(point(part)), 2, 2, &[])).collect();
    let mine: String = (40..80).map(|part| shared.list_for(Some(point(part)), 2, 2, &[])).collect();
    let before = before(&[&with(&one, &parts), &with(&two, &mine)]).unwrap();
    let after = read(&two, &mine).unwrap().follow(&before, NOW_S).unwrap();
    assert_eq!((after.facts().count(), after.left_out().len()), (40, 0));
}

#[test]
fn more_lists_than_there_is_room_for_are_known_and_neither_carried_on_nor_put_in_force() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let parts = |of: &Authority, which: std::ops::Range<usize>| -> String {
        let point = |part: usize| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![format!("http://crl.example/{part}")] },
            scope: None,
        };
        which.map(|part| of.list_for(Some(point(part)), 2, 2, &[])).collect()
    };
    let both = named("both", &[&a, &b]);
    // Two files fill all places that there are in force.
    let most = REVOCATION_LISTS_MAX;
    let (of_a, of_b) = (with(&a.ca(), &parts(&a, 0..most)), with(&b.ca(), &parts(&b, 0..most)));
    let whole = known(&both, &[&of_a, &of_b]).unwrap();
    assert!(whole.fit());
    let of_both = both.with_revocation(Some(Arc::new(whole)));
    let more = with(&named("more", &[&a, &Authority::new("c")]), &parts(&a, most..most + 1));
    assert!(!known(&both, &[&of_both, &more]).unwrap().fit());
    for (count, fits) in [(most - 1, true), (most, false)] {
        let before = read(&both, &parts(&a, 0..most)).unwrap();
        let before = read(&both, &parts(&a, most..most + count)).unwrap().follow(&before, NOW_S).unwrap();
        let after = read(&both, &b.list(1, &[])).unwrap().follow(&before, NOW_S);
        let after = after.unwrap();
        assert_eq!((after.left_out(), after.facts().count()), (["CN=a".to_owned()].as_slice(), 2 * most));
        let told = after.not_taken().iter().filter(|fault| matches!(fault, RevocationError::NoRoom(_))).count();
        assert_eq!(told, usize::from(!fits));
    }
}

proptest! {
    #[test]
    fn what_was_kept_is_read_whole_or_not_at_all(at in 0_usize..2_000, byte in any::<u8>()) {
        let (root, middle, chain) = with_middle();
        let ca = with(&root.ca(), &(root.list(1, &[]) + &middle.list(5, &[])));
        prop_assert_eq!(ca.verify(&chain, NOW_S), Ok(()));
        let lists = ca.lists().unwrap();
        let mut bytes = lists.kept(&ca);
        let again = restarted(lists, &ca, true, NOW_S);
        prop_assert_eq!((again.digest(), again.kept_digest(&ca)), (lists.digest(), lists.kept_digest(&ca)));
        prop_assert!(Kept::read(&[bytes.as_slice(), b"0"].concat()).is_none());
        let at = at % bytes.len();
        prop_assert!(Kept::read(bytes.get(..at).unwrap()).is_none());
        bytes[at] = byte;
        if let Some(kept) = Kept::read(&bytes) {
            let mut before = Before::new(&ca, &[], true, NOW_S);
            before.add(&kept);
            let _ = before.lists();
        }
        prop_assert!(Kept::read(&vec![b'\n'; KEPT_LISTS_BYTES_MAX + 1]).is_none());
    }
}
