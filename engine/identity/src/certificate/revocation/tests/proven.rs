//! Lists of intermediates, whose keys show with chains alone.

use super::*;

fn proven(lists: &RevocationLists) -> Vec<Vec<u8>> {
    lists.proven_lists().iter().map(|list| list.der.clone()).collect()
}

#[test]
fn intermediates_are_looked_up_too_and_need_a_list_of_their_own() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let chain = [middle.leaf(7), middle.0.der().clone()];
    let ca = root.ca();
    let verdict = |text: String| with(&ca, &text).verify(&chain, NOW_S);
    assert_eq!(verdict(root.list(1, &[])), Err(CertificateFault::StatusUnknown), "the leaf's issuer has no list");
    assert_eq!(verdict(root.list(1, &[]) + &middle.list(1, &[])), Ok(()));
    assert_eq!(verdict(root.list(1, &[]) + &middle.list(1, &[7])), Err(CertificateFault::Revoked));
    assert_eq!(verdict(root.list(1, &[40]) + &middle.list(1, &[])), Err(CertificateFault::Revoked));
    let forged = Authority::new("middle").list(2, &[]);
    assert!(verdict(root.list(1, &[]) + &forged).is_err(), "a list in the intermediate's name by another key");
    assert!(matches!(read(&ca, &middle.list(1, &[])), Err(RevocationError::NoneOfTheCa(_))));
}

#[test]
fn a_list_of_an_intermediate_counts_once_a_chain_has_proven_it() {
    let (root, middle, chain) = with_middle();
    let ca = root.ca();
    let file = |list: String| read(&ca, &(root.list(1, &[]) + &list)).unwrap();
    let forged = Authority::new("middle").list(700, &[]);
    let first = Arc::new(file(forged));
    assert!(ca.with_revocation(Some(Arc::clone(&first))).verify(&chain, NOW_S).is_err());
    assert_eq!(proven(&first), Vec::<Vec<u8>>::new());
    // The forged one does not keep the true one out, however large its number.
    let second = Arc::new(file(middle.list(5, &[7])).follow(&first, NOW_S).unwrap());
    assert_eq!(ca.with_revocation(Some(Arc::clone(&second))).verify(&chain, NOW_S), Ok(()));
    assert_eq!(proven(&second).len(), 1);
    assert!(stays(file(middle.list(4, &[])).follow(&second, NOW_S), "middle 5"));
    // Another forged one takes its place, to no avail but that nothing verifies; the floor stays.
    let third = file(Authority::new("middle").list(701, &[])).follow(&second, NOW_S).unwrap();
    assert_eq!(proven(&third), proven(&second), "it is kept, in force or not");
    assert!(stays(file(middle.list(4, &[])).follow(&third, NOW_S), "middle 5"));
    let last = Arc::new(file(middle.list(6, &[7])).follow(&third, NOW_S).unwrap());
    assert_eq!(ca.with_revocation(Some(last)).verify(&chain, NOW_S), Ok(()));
}

#[test]
fn a_proven_list_stays_where_a_file_leaves_it_out_and_over_a_restart() {
    let (root, middle, chain) = with_middle();
    let ca = root.ca();
    let revoked = [middle.leaf(7), middle.0.der().clone()];
    let before = Arc::new(read(&ca, &(root.list(1, &[]) + &middle.list(5, &[7]))).unwrap());
    assert_eq!(ca.with_revocation(Some(Arc::clone(&before))).verify(&chain, NOW_S), Ok(()));
    let alone = || read(&ca, &root.list(2, &[])).unwrap();
    let after = alone().follow(&before, NOW_S).unwrap();
    assert_eq!(after.facts().count(), 2, "carried on");
    let older = || read(&ca, &(root.list(3, &[]) + &middle.list(4, &[]))).unwrap();
    assert!(stays(older().follow(&after, NOW_S), "middle 5"));
    let again = restarted(&after, &ca, true, NOW_S);
    assert!(stays(older().follow(&again, NOW_S), "middle 5"));
    for lists in [alone().follow(&again, NOW_S).unwrap(), again] {
        let ca = ca.with_revocation(Some(Arc::new(lists)));
        assert_eq!(ca.verify(&revoked, NOW_S), Err(CertificateFault::Revoked));
        assert_eq!(ca.verify(&chain, NOW_S), Ok(()));
    }
}

#[test]
fn another_list_beside_it_does_not_keep_one_from_being_proven() {
    let (root, middle, chain) = with_middle();
    let ca = root.ca();
    let (forged, own) = (Authority::new("middle").list_of_cas(700), middle.list(5, &[7]));
    for beside in [forged.clone() + &own, own.clone() + &forged] {
        let before = Arc::new(read(&ca, &(root.list(1, &[]) + &beside)).unwrap());
        for _ in 0..2 {
            assert_eq!(ca.with_revocation(Some(Arc::clone(&before))).verify(&chain, NOW_S), Ok(()));
        }
        assert_eq!(proven(&before), ders(&own), "and nothing of the forged one");
        let older = read(&ca, &(root.list(2, &[]) + &forged + &middle.list(4, &[]))).unwrap();
        assert!(stays(older.follow(&before, NOW_S), "middle 5"));
    }
    let parted = root.list(1, &[]) + &middle.list_of_cas(3) + &own;
    let before = Arc::new(read(&ca, &parted).unwrap());
    assert_eq!(ca.with_revocation(Some(Arc::clone(&before))).verify(&chain, NOW_S), Ok(()));
    let after = read(&ca, &root.list(2, &[])).unwrap().follow(&before, NOW_S).unwrap();
    assert_eq!(after.facts().count(), 3, "each part is proven by its own signature");
}

#[test]
fn a_list_that_its_file_leaves_out_goes_once_it_has_ended_and_still_nothing_goes_back() {
    let (root, middle, chain) = with_middle();
    let ca = root.ca();
    for (enforced, left) in [(true, 1), (false, 2)] {
        let read = |text: String| RevocationLists::read(text.as_bytes(), &ca, enforced, NOW_S).unwrap();
        let before = Arc::new(read(root.list(1, &[]) + &middle.list(5, &[7])));
        assert_eq!(ca.with_revocation(Some(Arc::clone(&before))).verify(&chain, NOW_S), Ok(()));
        let alone = || read(root.list(2, &[]));
        assert_eq!(alone().follow(&before, NEXT_S - 1).unwrap().facts().count(), 2, "{enforced}");
        let after = alone().follow(&before, NEXT_S).unwrap();
        assert_eq!(after.facts().count(), left, "{enforced}");
        assert_eq!(restarted(&after, &ca, enforced, NEXT_S).facts().count(), left, "{enforced}");
        let older = read(root.list(3, &[]) + &middle.list(4, &[]));
        assert!(stays(older.follow(&after, NEXT_S), "middle 5"), "{enforced}");
    }
}
