//! What else a client shows, what else a file has, and what else the policy trusts, beside what counts.

use super::*;

fn named(name: &str, authorities: &[&Authority]) -> ClientCa {
    let pem: String = authorities.iter().map(|authority| authority.0.pem()).collect();
    ClientCa::from_pem(name, &pem).unwrap()
}

/// What each order of `cas` says of `chain`: the same.
fn verdict(cas: &[ClientCa], chain: &[CertificateDer<'static>]) -> Result<u32, CertificateFault> {
    let mut cas = cas.to_vec();
    let mut of_each = (0..cas.len()).map(|_| {
        cas.rotate_left(1);
        CaSet::new(cas.clone()).unwrap().verify(chain, NOW_S).map(u64::count_ones)
    });
    let first = of_each.next().unwrap();
    assert!(of_each.all(|other| other == first));
    first
}

/// Which fault rustls-webpki tells of several paths is for the client to choose.
#[test]
fn nothing_that_a_client_shows_beside_hides_what_a_list_says() {
    let (root, partner) = (Authority::new("root"), Authority::new("partner"));
    let middle = root.intermediate("middle", 40);
    let ours = with(&root.ca(), &(root.list(1, &[7]) + &middle.list(1, &[7])));
    let both = named("both", &[&root, &partner]);
    let mut expired = Authority::params("root", vec![KeyUsagePurpose::KeyCertSign]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let expired = CertifiedIssuer::self_signed(expired, KeyPair::generate().unwrap()).unwrap();
    let fakes = |name: &str| (0..6).map(|_| Authority::new(name).0.der().clone()).collect::<Vec<_>>();
    let direct = |serial: u64| vec![root.leaf(serial)];
    let through = |serial: u64| vec![middle.leaf(serial), middle.0.der().clone()];
    for beside in [Vec::new(), vec![expired.der().clone()], fakes("root"), fakes("middle")] {
        for (good, bad) in [(direct(8), direct(7)), (through(8), through(7))] {
            let bad = [bad, beside.clone()].concat();
            assert_eq!(ours.verify(&bad, NOW_S), Err(CertificateFault::Revoked));
            assert_eq!(verdict(&[ours.clone(), both.clone()], &bad), Err(CertificateFault::Revoked));
            assert_eq!(verdict(&[ours.clone(), both.clone()], &[good, beside.clone()].concat()), Ok(2));
        }
    }
    // Given up before it came to the true one: somebody who trusts that one apart does not have the say alone.
    let bad = [vec![middle.leaf(7)], fakes("middle"), fakes("middle"), vec![middle.0.der().clone()]].concat();
    assert!(verdict(&[ours, named("apart", &[&middle])], &bad).is_err());
}

#[test]
fn a_list_in_the_name_of_an_intermediate_by_another_key_lets_nobody_in() {
    let (root, middle, chain) = with_middle();
    let forged = Authority::new("middle").list(700, &[]);
    let verdict_of = |list: String| {
        let ours = with(&root.ca(), &(root.list(1, &[]) + &list));
        verdict(&[ours, named("all", &[&root])], &chain)
    };
    assert_eq!(verdict_of(forged.clone()), Err(CertificateFault::StatusUnknown));
    assert_eq!(verdict_of(middle.list(1, &[])), Ok(2));
    assert_eq!(verdict_of(middle.list(1, &[8]) + &forged), Err(CertificateFault::Revoked));
}

/// Who leaves an intermediate out that the policy has anyway leaves out nothing.
#[test]
fn what_is_above_a_certificate_of_the_policy_need_not_be_shown() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let lower = middle.intermediate("lower", 50);
    let unlisted = named("team", &[&middle]);
    let file = |of_root: &[u64], of_middle: &[u64]| root.list(1, of_root) + &middle.list(1, of_middle);
    let shown = |serial: u64| vec![middle.leaf(serial), middle.0.der().clone()];
    let alone = |serial: u64| vec![middle.leaf(serial)];
    let verdict_of = |text: &str, serial: u64| {
        let cas = [with(&root.ca(), text), unlisted.clone()];
        (verdict(&cas, &shown(serial)), verdict(&cas, &alone(serial)))
    };
    let revoked = || Err(CertificateFault::Revoked);
    assert_eq!(verdict_of(&file(&[], &[8]), 8), (revoked(), revoked()), "the leaf");
    assert_eq!(verdict_of(&file(&[], &[8]), 9), (Ok(2), Ok(1)));
    assert_eq!(verdict_of(&file(&[40], &[]), 9), (revoked(), revoked()), "the intermediate");
    let one = named("one", &[&root, &middle]);
    for (of_root, expected) in [(&[40][..], Err(CertificateFault::Revoked)), (&[], Ok(()))] {
        let ca = with(&one, &file(of_root, &[]));
        assert_eq!([ca.verify(&shown(9), NOW_S), ca.verify(&alone(9), NOW_S)], [expected.clone(), expected]);
        let set = CaSet::new(vec![ca]).unwrap();
        assert_eq!(set.may_have_revoked(&alone(9)), of_root == [40]);
    }
    // Two steps above.
    let cas = |of_root: &[u64]| [with(&root.ca(), &file(of_root, &[])), unlisted.clone(), named("lower", &[&lower])];
    assert_eq!(verdict(&cas(&[40]), &[lower.leaf(1)]), revoked());
    assert_eq!(verdict(&cas(&[]), &[lower.leaf(1)]), Ok(1));
    // By the list of another one of the policy, which nobody has shown yet, in whichever file.
    let cas = [with(&root.ca(), &file(&[], &[50])), unlisted.clone(), named("lower", &[&lower])];
    assert_eq!(verdict(&cas, &[lower.leaf(1)]), revoked());
    let cas = [with(&unlisted, &file(&[40], &[])), root.ca()];
    assert_eq!((verdict(&cas, &alone(9)), verdict(&cas, &shown(9))), (revoked(), revoked()));
    // Another CA of the same name that has given the same number has not named it.
    let other = Authority::new("root");
    let cas = [with(&other.ca(), &other.list(1, &[40])), unlisted];
    assert_eq!(verdict(&cas, &alone(9)), Ok(1));
}

#[test]
fn what_a_chain_shows_of_lists_ends_verdicts_of_before() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let lower = middle.intermediate("lower", 50);
    let ours = with(&root.ca(), &(root.list(1, &[]) + &middle.list(1, &[50])));
    let set = CaSet::new(vec![ours, named("lower", &[&lower])]).unwrap();
    let (leaf, shows) = ([lower.leaf(1)], [middle.leaf(1), middle.0.der().clone()]);
    let mut chains = Chains::new(8, [1, 2, 3, 4]);
    assert_eq!(chains.cas_of(&leaf, &set, NOW_S).map(|verdict| verdict.cas), Ok(2), "whose list it is is not known");
    assert!(set.if_proven_since().is_none() && set.verify(&shows, NOW_S).is_ok());
    let after = set.if_proven_since().unwrap();
    assert_eq!(chains.cas_of(&leaf, &after, NOW_S), Err(CertificateFault::Revoked));
    assert!(after.may_have_revoked(&leaf) && after.if_proven_since().is_none());
}

/// Numbers that begin anew, or a clock that went back: neither of two is the later one in all.
#[test]
fn two_lists_of_which_neither_is_later_both_count() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let [one, two] = [middle.list_of(5, 10, &[7]), middle.list_of(6, 9, &[8])];
    for text in [one.clone() + &two, two.clone() + &one] {
        let cas = [with(&root.ca(), &(root.list(1, &[]) + &text)), named("apart", &[&middle])];
        let status = |serial: u64| verdict(&cas, &[middle.leaf(serial), middle.0.der().clone()]);
        let revoked = || Err(CertificateFault::Revoked);
        assert_eq!([status(7), status(8), status(9)], [revoked(), revoked(), Ok(2)]);
        assert_eq!(verdict(&cas, &[middle.leaf(7)]), revoked());
    }
    // Of the CA itself as well, and whatever is read after that.
    let [one, two] = [root.list_of(5, 10, &[7]) + &one, root.list_of(6, 9, &[8]) + &two];
    for text in [one.clone() + &two, two + &one] {
        let mut lists = Arc::new(read(&root.ca(), &text).unwrap());
        for _ in 0..3 {
            let ca = root.ca().with_revocation(Some(Arc::clone(&lists)));
            let refused = [7, 8, 9].map(|serial| {
                let through = ca.verify(&[middle.leaf(serial), middle.0.der().clone()], NOW_S);
                [ca.verify(&[root.leaf(serial)], NOW_S), through].map(|verdict| verdict.is_err())
            });
            assert_eq!(refused, [[true, true], [true, true], [false, false]]);
            let before = restarted(&lists, &root.ca(), true, NOW_S);
            let again = |before: &RevocationLists| read(&root.ca(), &text).unwrap().follow(before, NOW_S).unwrap();
            assert_eq!(again(&before).digest(), again(&lists).digest());
            lists = Arc::new(again(&lists));
        }
    }
}

/// What gives way to one of two gives way to it alone.
#[test]
fn of_three_lists_one_gives_way_and_two_stay() {
    let root = Authority::new("root");
    let ca = root.ca();
    let [a, b, c] = [root.list_of(1, 3, &[7]), root.list_of(6, 1, &[8]), root.list_of(6, 2, &[9])];
    let point = |name: &str| CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint { uris: vec![format!("http://crl.example/{name}")] },
        scope: None,
    };
    let other = root.list_for(Some(point("other")), 1, 1, &[]);
    for in_force in [a.clone() + &b, b.clone() + &a] {
        let before = read(&ca, &in_force).unwrap();
        for file in [c.clone() + &other, other.clone() + &c] {
            let after = Arc::new(read(&ca, &file).unwrap().follow(&before, NOW_S).unwrap());
            let ca = ca.with_revocation(Some(after));
            let refused = [7, 8, 9].map(|serial| ca.verify(&[root.leaf(serial)], NOW_S).is_err());
            assert_eq!(refused, [true, false, true]);
        }
    }
}

#[test]
fn an_older_list_that_stood_beside_does_not_come_back_after_the_end_of_the_later_one() {
    let (root, middle, chain) = with_middle();
    let ca = root.ca();
    let older = middle.list_until((2027, 1, 1), None, 4, 4, &[]);
    let file = |number: u64, lists: &str| read(&ca, &(root.list(number, &[]) + lists)).unwrap();
    let before = Arc::new(file(1, &(older.clone() + &middle.list(5, &[8]))));
    assert_eq!(ca.with_revocation(Some(Arc::clone(&before))).verify(&chain, NOW_S), Err(CertificateFault::Revoked));
    let after = file(2, &older).follow(&before, NEXT_S).unwrap();
    assert_eq!(after.left_out(), ["CN=middle"]);
    assert!(after.lists.iter().filter(|list| !list.is_own).all(|list| list.names(&[8])));
}

/// The same key and name, once more.
fn again(of: &Authority, issuer: &Authority, serial: u64, usages: Vec<KeyUsagePurpose>) -> Authority {
    let mut params = Authority::params("middle", usages);
    params.serial_number = Some(SerialNumber::from(serial));
    let key = KeyPair::try_from(of.0.key().serialize_der()).unwrap();
    Authority(CertifiedIssuer::signed_by(params, key, &issuer.0).unwrap())
}

#[test]
fn a_list_counts_whichever_certificate_of_its_key_is_shown_first() {
    let (root, partner) = (Authority::new("root"), Authority::new("partner"));
    let middle = root.intermediate("middle", 40);
    let signs_none = again(&middle, &partner, 41, vec![KeyUsagePurpose::KeyCertSign]);
    let ours = with(&root.ca(), &(root.list(1, &[]) + &middle.list(1, &[7])));
    let shown = |serial: u64| [middle.leaf(serial), signs_none.0.der().clone()];
    let cas = [ours, named("partner", &[&partner])];
    assert_eq!(verdict(&cas, &shown(7)), Err(CertificateFault::Revoked));
    assert_eq!(verdict(&cas, &shown(8)), Ok(1));
}

#[test]
fn of_two_certificates_that_a_policy_has_of_one_key_the_good_one_is_enough() {
    let root = Authority::new("root");
    let old = root.intermediate("middle", 40);
    let new = again(&old, &root, 41, vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
    for (named_ones, expected) in [(&[40][..], Ok(1)), (&[41], Ok(1)), (&[40, 41], Err(CertificateFault::Revoked))] {
        for team in [[&old, &new], [&new, &old]] {
            let cas = [with(&root.ca(), &root.list(1, named_ones)), named("team", &team)];
            assert_eq!(verdict(&cas, &[old.leaf(1)]), expected);
        }
    }
}

#[test]
fn an_intermediate_with_a_new_key_under_its_old_name_has_lists_of_its_own() {
    let root = Authority::new("root");
    let (old, new) = (root.intermediate("issuing", 40), root.intermediate("issuing", 41));
    let ca = root.ca();
    let statuses = |lists: &Arc<RevocationLists>| {
        let ca = ca.with_revocation(Some(Arc::clone(lists)));
        [(&old, 7), (&old, 8), (&new, 7), (&new, 8)]
            .map(|(of, serial)| ca.verify(&[of.leaf(serial), of.0.der().clone()], NOW_S).is_ok())
    };
    let file =
        |number: u64, of_old: &str, of_new: &str| read(&ca, &(root.list(number, &[]) + of_old + of_new)).unwrap();
    for [of_old, of_new] in [[51, 1], [51, 52], [1, 51]] {
        let lists = Arc::new(file(1, &old.list(of_old, &[7]), &new.list(of_new, &[8])));
        assert_eq!(statuses(&lists), [false, true, true, false]);
        // Then the old one's goes: it stays in force beside the new one's, of which nothing older is taken.
        let after = file(2, "", &new.list(of_new + 1, &[8])).follow(&lists, NOW_S).unwrap();
        assert_eq!(statuses(&Arc::new(after)), [false, true, true, false]);
        let again = restarted(&lists, &ca, true, NOW_S);
        let after = file(2, "", &new.list(of_new - 1, &[])).follow(&again, NOW_S).unwrap();
        assert_eq!(after.left_out(), ["CN=issuing"]);
        assert_eq!(statuses(&Arc::new(after)), [false, true, true, false]);
    }
}

/// Each issuer publishes its own list; one file has them all.
#[test]
fn a_list_that_cannot_be_taken_holds_up_no_other() {
    let (root, middle, chain) = with_middle();
    let evil = root.intermediate("evil", 41);
    let ca = root.ca();
    let first = Arc::new(read(&ca, &(root.list(1, &[]) + &middle.list(1, &[]) + &evil.list(5, &[7]))).unwrap());
    let with_first = ca.with_revocation(Some(Arc::clone(&first)));
    for of in [&middle, &evil] {
        assert_eq!(with_first.verify(&[of.leaf(9), of.0.der().clone()], NOW_S), Ok(()));
    }
    let garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned();
    let ahead = evil.list_of(6, 24 * 31 + 1, &[]);
    for (bad, not_taken) in [(evil.list(4, &[]), 0), (garbage, 1), (evil.0.pem(), 1), (ahead, 1)] {
        for text in [
            bad.clone() + &root.list(2, &[41]) + &middle.list(2, &[8]),
            root.list(2, &[41]) + &middle.list(2, &[8]) + &bad,
        ] {
            let after = read(&ca, &text).unwrap().follow(&first, NOW_S).unwrap();
            assert_eq!((after.not_taken().len(), after.left_out().len()), (not_taken, 1 - not_taken));
            let ca = ca.with_revocation(Some(Arc::new(after)));
            assert_eq!(ca.verify(&chain, NOW_S), Err(CertificateFault::Revoked));
            assert_eq!(ca.verify(&[evil.leaf(9), evil.0.der().clone()], NOW_S), Err(CertificateFault::Revoked));
            assert_eq!(ca.verify(&[middle.leaf(9), middle.0.der().clone()], NOW_S), Ok(()));
        }
    }
    let told = read(&ca, &root.list_of(9, 24 * 40, &[])).unwrap_err().to_string();
    assert!(told.contains("expected one that is issued by now, found thisUpdate 777600 s ahead"), "{told}");
    let old_and_new = root.list(0, &[]) + &middle.list(2, &[8]);
    let after = read(&ca, &old_and_new).unwrap().follow(&first, NOW_S).unwrap();
    assert_eq!(after.left_out(), ["CN=root"], "the root's own as little as another's");
    assert_eq!(ca.with_revocation(Some(Arc::new(after))).verify(&chain, NOW_S), Err(CertificateFault::Revoked));
}

/// Whoever has many lists, and far into the future, keeps out nobody's.
#[test]
fn one_intermediate_with_many_lists_crowds_out_no_other() {
    let root = Authority::new("root");
    let (middle, evil) = (root.intermediate("middle", 40), root.intermediate("evil", 41));
    let ca = root.ca();
    let parts = |from: usize| -> String {
        let point = |part: usize| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![format!("http://crl.example/{part}")] },
            scope: None,
        };
        (from..from + 60).map(|part| evil.list_until((2099, 1, 1), Some(point(part)), 1, 1, &[])).collect()
    };
    let file = |number: u64, more: String| root.list(number, &[]) + &middle.list(number, &[8]) + &more;
    let mut lists = Arc::new(read(&ca, &file(1, parts(0))).unwrap());
    for turn in 1..4 {
        let ca = ca.with_revocation(Some(Arc::clone(&lists)));
        let _ = ca.verify(&[evil.leaf(1), evil.0.der().clone()], NOW_S);
        assert_eq!(ca.verify(&[middle.leaf(9), middle.0.der().clone()], NOW_S), Ok(()), "{turn}");
        assert_eq!(ca.verify(&[middle.leaf(8), middle.0.der().clone()], NOW_S), Err(CertificateFault::Revoked));
        let next = file(turn + 1, parts(60 * usize::try_from(turn).unwrap()));
        lists = Arc::new(read(&ca, &next).unwrap().follow(&lists, NOW_S).unwrap());
    }
}

/// A list that is past its end beside a later one that says something of the same certificates.
#[test]
fn of_two_lists_about_a_certificate_the_later_one_counts() {
    let authority = Authority::new("a");
    let leaf = [authority.leaf(8)];
    let distribution_point = CrlDistributionPoint { uris: vec!["http://crl.example/part".to_owned()] };
    let point = CrlIssuingDistributionPoint { distribution_point, scope: None };
    let part = authority.list_until((2025, 12, 31), Some(point), 5, 5, &[7]);
    for text in [part.clone() + &authority.list(9, &[]), authority.list(9, &[]) + &part] {
        let ca = with(&authority.ca(), &text);
        assert_eq!(ca.verify(&leaf, NOW_S), Ok(()));
        assert_eq!(ca.verify(&[authority.leaf(7)], NOW_S), Err(CertificateFault::Revoked));
    }
    let ca = with(&authority.ca(), &part);
    assert_eq!(ca.verify(&leaf, NOW_S), Err(CertificateFault::ListExpired));
}
