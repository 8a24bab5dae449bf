//! One file after the other: what was named once stays refused until a list that is later in all says otherwise.

use super::*;

/// With an issuing distribution point of this name.
fn part(name: &str) -> Option<CrlIssuingDistributionPoint> {
    let distribution_point = CrlDistributionPoint { uris: vec![format!("http://crl.example/{name}")] };
    Some(CrlIssuingDistributionPoint { distribution_point, scope: None })
}

/// What comes of each leaf with these numbers.
fn verdicts<const N: usize>(
    ca: &ClientCa,
    lists: &Arc<RevocationLists>,
    of: &Authority,
    now_s: u64,
    serials: [u64; N],
) -> [Result<(), CertificateFault>; N] {
    let ca = ca.with_revocation(Some(Arc::clone(lists)));
    serials.map(|serial| ca.verify(&[of.leaf(serial), of.0.der().clone()], now_s))
}

fn revoked() -> Result<(), CertificateFault> {
    Err(CertificateFault::Revoked)
}

/// One of several lists of an issuer ends and leaves the file: the others do not say that what it named is good.
#[test]
fn what_a_list_named_stays_refused_after_its_end_where_others_go_on() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let ca = root.ca();
    let ended_s = NOW_S + 2 * 86_400;
    for (of, rest) in [(&root, String::new()), (&middle, root.list_until((2027, 1, 1), None, 1, 1, &[]))] {
        let whole = of.list_until((2027, 1, 1), None, 100, 1, &[]);
        let ends = of.list_until((2026, 1, 2), part("part"), 101, 2, &[7]);
        let file = |lists: &str| read(&ca, &(rest.clone() + lists)).unwrap();
        let first = Arc::new(file(&(whole.clone() + &ends)));
        assert_eq!(verdicts(&ca, &first, of, NOW_S, [7, 8]), [revoked(), Ok(())]);
        let carried = file(&whole).follow(&first, NOW_S).unwrap();
        assert_eq!(
            (first.due_s(NOW_S), carried.due_s(NOW_S)),
            (None, Some(NOW_S + 86_400)),
            "it is looked at again then"
        );
        let second = Arc::new(file(&whole).follow(&carried, ended_s).unwrap());
        assert_eq!(second.due_s(ended_s), None);
        assert!(second.left_out().is_empty() && second.facts().all(|list| list.number != "65"), "it is not asked for");
        let third = Arc::new(file(&whole).follow(&second, ended_s).unwrap());
        assert_eq!(third.digest(), second.digest());
        let again = Arc::new(restarted(&third, &ca, true, ended_s));
        assert_eq!((again.digest(), again.kept_digest(&ca)), (third.digest(), third.kept_digest(&ca)));
        for lists in [&second, &third, &again] {
            assert_eq!(verdicts(&ca, lists, of, ended_s, [7, 8]), [revoked(), Ok(())]);
        }
        let set = CaSet::new(vec![ca.with_revocation(Some(Arc::clone(&third)))]).unwrap();
        assert!(set.may_have_revoked(&[of.leaf(7)]) && !set.may_have_revoked(&[of.leaf(8)]));
        // The next one about the same says what holds now.
        let next = of.list_until((2027, 1, 1), part("part"), 102, 24 * 32, &[]);
        let next = RevocationLists::read((rest.clone() + &whole + &next).as_bytes(), &ca, true, ended_s).unwrap();
        let next = Arc::new(next.follow(&again, ended_s).unwrap());
        assert_eq!(verdicts(&ca, &next, of, ended_s, [7, 8]), [Ok(()), Ok(())]);
    }
}

/// Where another client CA has the intermediate itself, and where a policy begins to enforce ends.
#[test]
fn what_an_ended_list_named_is_refused_elsewhere_too() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let rest = || root.list_until((2027, 1, 1), None, 1, 1, &[]);
    let first = RevocationLists::read((rest() + &middle.list(5, &[7])).as_bytes(), &root.ca(), false, NOW_S).unwrap();
    let first = Arc::new(first);
    assert_eq!(verdicts(&root.ca(), &first, &middle, NOW_S, [7, 8]), [revoked(), Ok(())]);
    let after = Arc::new(read(&root.ca(), &rest()).unwrap().follow(&first, NEXT_S).unwrap());
    assert_eq!(after.facts().count(), 1);
    let team = ClientCa::from_pem("team", &middle.0.pem()).unwrap();
    let set = CaSet::new(vec![root.ca().with_revocation(Some(after)), team]).unwrap();
    assert_eq!(set.verify(&[middle.leaf(7)], NEXT_S), Err(CertificateFault::Revoked));
    assert_eq!(set.verify(&[middle.leaf(8)], NEXT_S), Ok(2));
}

/// A CA that gives a number and a second twice.
#[test]
fn of_two_lists_of_one_number_and_second_neither_undoes_the_other() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let ca = root.ca();
    for (of, rest) in [(&root, String::new()), (&middle, root.list(1, &[]))] {
        let [less, more] = [&[7][..], &[7, 8]].map(|serials| rest.clone() + &of.list(5, serials));
        for known in [more.clone(), less.clone() + &more] {
            let known = Arc::new(read(&ca, &known).unwrap());
            assert_eq!(verdicts(&ca, &known, of, NOW_S, [8, 9]), [revoked(), Ok(())]);
            let after = Arc::new(read(&ca, &less).unwrap().follow(&known, NOW_S).unwrap());
            let again = Arc::new(restarted(&after, &ca, true, NOW_S));
            for lists in [after, again] {
                assert_eq!(verdicts(&ca, &lists, of, NOW_S, [7, 8, 9]), [revoked(), revoked(), Ok(())]);
            }
        }
    }
}

#[test]
fn a_ca_may_begin_its_numbers_anew() {
    let root = Authority::new("root");
    let ca = root.ca();
    let old = Arc::new(read(&ca, &root.list_of(500, 1, &[7])).unwrap());
    let first = Arc::new(read(&ca, &root.list_of(1, 2, &[8])).unwrap().follow(&old, NOW_S).unwrap());
    assert_eq!(verdicts(&ca, &first, &root, NOW_S, [7, 8, 9]), [revoked(), revoked(), Ok(())]);
    assert_eq!(first.left_out(), ["CN=root"], "the old one stays until its end, and that is told");
    let next = root.list_until((2027, 1, 1), None, 2, 24 * 40, &[8]);
    let next = RevocationLists::read(next.as_bytes(), &ca, true, NEXT_S).unwrap().follow(&first, NEXT_S).unwrap();
    let next = Arc::new(next);
    assert_eq!((next.facts().count(), next.left_out().len()), (1, 0));
    assert_eq!(verdicts(&ca, &next, &root, NEXT_S, [7, 8, 9]), [revoked(), revoked(), Ok(())]);
    // Replayed beside the one in force it refuses more, and holds up nothing.
    let both = read(&ca, &(root.list_of(4, 4, &[8]) + &root.list_of(500, 1, &[7]))).unwrap();
    assert!(read(&ca, &root.list_of(5, 5, &[8])).unwrap().follow(&both, NOW_S).is_ok());
}

/// Of two of one second about the same certificate, whichever stands first in the file.
#[test]
fn the_order_in_a_file_says_nothing() {
    let root = Authority::new("root");
    let (whole, ends) = (root.list(5, &[]), root.list_until((2026, 1, 2), part("part"), 5, 5, &[]));
    for text in [whole.clone() + &ends, ends + &whole] {
        let lists = Arc::new(read(&root.ca(), &text).unwrap());
        let after = verdicts(&root.ca(), &lists, &root, NOW_S + 2 * 86_400, [8]);
        assert_eq!(after, [Err(CertificateFault::ListExpired)]);
    }
}

#[test]
fn a_list_that_is_ahead_is_said_to_count_later() {
    let root = Authority::new("root");
    let ca = root.ca();
    let ahead = root.list_of(6, 24 * 31 + 1, &[]);
    let lists = read(&ca, &(root.list(1, &[]) + &ahead + &root.list_of(7, 24 * 31 + 2, &[]))).unwrap();
    assert_eq!(lists.due_s(NOW_S), Some(NOW_S + 3_600 - 300));
    let foreign = Authority::new("root").list(1, &[]);
    for text in [ahead.clone(), foreign + &ahead, root.0.pem() + &ahead] {
        assert_eq!(read(&ca, &text).unwrap_err().is_over_at_s(NOW_S), Some(NOW_S + 3_600 - 300));
    }
    let in_force = read(&ca, &root.list(5, &[])).unwrap();
    let behind = read(&ca, &(root.list(4, &[]) + &ahead)).unwrap().follow(&in_force, NOW_S).unwrap_err();
    assert_eq!(behind.is_over_at_s(NOW_S), Some(NOW_S + 3_600 - 300));
    assert_eq!(in_force.due_s(NOW_S), None);
    assert!(RevocationLists::read(ahead.as_bytes(), &ca, true, NOW_S + 3_600 - 300).is_ok());
}

/// As many in force as there is room for, and a file that has an older one of each.
#[test]
fn nothing_in_force_goes_back_however_much_there_is() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", 40);
    let ca = root.ca();
    let parts = |name: &str, number: u64, names: bool| -> String {
        let list = |at: u64| {
            let named = [100 + at];
            middle.list_for(
                part(&format!("{name}{at}")),
                number,
                number.cast_signed(),
                if names { &named } else { &[] },
            )
        };
        (0..63).map(list).collect()
    };
    let file = |number: u64, parts: &str| read(&ca, &(root.list(number, &[]) + parts)).unwrap();
    let first = Arc::new(file(1, &parts("a", 5, true)));
    let serials: [u64; 63] = std::array::from_fn(|at| 100 + at as u64);
    let all_refused = |lists: &Arc<RevocationLists>| {
        assert!(verdicts(&ca, lists, &middle, NOW_S, serials).iter().all(|verdict| *verdict == revoked()));
    };
    all_refused(&first);
    let second = Arc::new(file(2, &parts("b", 5, false)).follow(&first, NOW_S).unwrap());
    assert_eq!(second.facts().count(), 127);
    let older = parts("a", 4, false);
    for known in [Arc::clone(&second), Arc::new(restarted(&second, &ca, true, NOW_S))] {
        all_refused(&known);
        all_refused(&Arc::new(file(3, &older).follow(&known, NOW_S).unwrap()));
    }
}

/// A list of a history: number, hours, what it names, and whether it ends before the second half.
type Said = (u64, i64, Vec<u64>, bool);

fn said() -> impl Strategy<Value = Said> {
    (1_u64..4, 1_i64..4, proptest::collection::vec(1_u64..6, 0..3), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// What is named at any time is what the lists so far name that none of them is later than in all.
    #[test]
    fn nothing_named_is_lost_and_nothing_lifted_comes_back(
        files in proptest::collection::vec((proptest::collection::vec(said(), 1..3), any::<bool>()), 1..7), of_middle in any::<bool>()
    ) {
        let root = Authority::new("root");
        let middle = root.intermediate("middle", 40);
        let (ca, of) = (root.ca(), if of_middle { &middle } else { &root });
        let rest = if of_middle { root.list_until((2027, 1, 1), None, 1, 1, &[]) } else { String::new() };
        let mut all: Vec<(Said, String)> = Vec::new();
        let mut known: Option<Arc<RevocationLists>> = None;
        let half = files.len() / 2;
        for (turn, (file, restarts)) in files.into_iter().enumerate() {
            let now_s = if turn < half { NOW_S } else { NOW_S + 2 * 86_400 };
            let mut text = Vec::new();
            for (number, hours, serials, ends) in file {
                let end = if ends { (2026, 1, 2) } else { (2027, 1, 1) };
                let list = of.list_until(end, None, number, hours, &serials);
                all.push(((number, hours, serials, ends), list.clone()));
                text.push(list);
            }
            let follow = |texts: Vec<String>, before: &RevocationLists| {
                read(&ca, &(rest.clone() + &texts.concat())).unwrap().follow(before, now_s)
            };
            let turned: Vec<String> = text.iter().rev().cloned().collect();
            let lists = match &known {
                None => Arc::new(read(&ca, &(rest.clone() + &text.concat())).unwrap()),
                Some(before) => match follow(text.clone(), before) {
                    Ok(after) => {
                        prop_assert_eq!(*after.digest(), *follow(turned, before).unwrap().digest());
                        Arc::new(after)
                    }
                    Err(_) => Arc::clone(before),
                },
            };
            // Shows whose lists these are.
            let _ = verdicts(&ca, &lists, of, now_s, [99]);
            if let Ok(once) = follow(text.clone(), &lists)
                && let Ok(twice) = follow(text.clone(), &once)
                && let Ok(after) = follow(text, &restarted(&lists, &ca, true, now_s))
            {
                prop_assert_eq!(twice.digest(), once.digest());
                let [once, after] = [once, after].map(|lists| verdicts(&ca, &Arc::new(lists), of, now_s, [1, 2, 3, 4, 5]));
                prop_assert_eq!(once, after, "a restart changes nothing");
            }
            let last = all.iter().filter(|(a, _)| !all.iter().any(|(b, _)| b.0 >= a.0 && b.1 >= a.1 && (b.0, b.1) != (a.0, a.1)));
            let expected: BTreeSet<u64> = last.flat_map(|((_, _, serials, _), _)| serials.iter().copied()).collect();
            for lists in [&lists, &Arc::new(restarted(&lists, &ca, true, now_s))] {
                let found = verdicts(&ca, lists, of, now_s, [1, 2, 3, 4, 5]);
                let found: BTreeSet<u64> = (1..).zip(found).filter(|(_, of)| *of == revoked()).map(|(at, _)| at).collect();
                prop_assert_eq!(&found, &expected, "{:?}", all);
            }
            known = Some(if restarts { Arc::new(restarted(&lists, &ca, true, now_s)) } else { lists });
        }
    }
}
