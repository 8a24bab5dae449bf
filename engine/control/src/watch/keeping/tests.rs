//! What is in force is kept, also where it could not be at first.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::certificate::{Before, ClientCa, Kept, RevocationLists};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;
use crate::bounds::KEPT_LISTS_OF_GONE_CAS_MAX;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// 2026-01-01.
const NOW_S: u64 = 1_767_225_600;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(params(name), KeyPair::generate().unwrap()).unwrap()
}

fn list(issuer: &Issuer, number: u64) -> String {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 12, 1),
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}

fn with(ca: &ClientCa, lists: &str, before: Option<&CaSet>) -> CaSet {
    let lists = RevocationLists::read(lists.as_bytes(), ca, true, NOW_S).unwrap();
    let lists = match before {
        Some(before) => lists.follow(before.cas()[0].lists().unwrap(), NOW_S).unwrap(),
        None => lists,
    };
    CaSet::new(vec![ca.with_revocation(Some(Arc::new(lists)))]).unwrap()
}

fn rules(name: &str, path: &str) -> model::ClientCa {
    let crl = model::Crl { path: path.to_owned(), enforce_expiration: true };
    model::ClientCa { name: name.to_owned(), certificates: String::new(), crl: Some(crl) }
}

/// What is kept, newest first.
fn files(state: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(state.join("moving")) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
    files.sort_by_key(|entry| std::cmp::Reverse(entry.metadata().unwrap().modified().unwrap()));
    files.iter().map(|entry| fs::read(entry.path()).unwrap()).collect()
}

fn kept(set: &CaSet) -> Vec<u8> {
    set.cas()[0].lists().unwrap().kept(&set.cas()[0])
}

#[test]
fn what_could_not_be_written_is_written_once_it_can_be_and_then_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let root = root("root");
    let middle = CertifiedIssuer::signed_by(params("middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2030, 1, 1));
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &middle).unwrap();
    let ca = ClientCa::from_pem("ca", &root.pem()).unwrap();
    let set = with(&ca, &(list(&root, 1) + &list(&middle, 5)), None);
    let mut keeping = Keeping::new(Some(state.clone()));
    let mut write = |set: &CaSet, name: &str| keeping.write(set, &[rules(name, "a.crl")]);
    write(&set, "ca");
    assert_eq!(files(&state), Vec::<Vec<u8>>::new());
    fs::create_dir(&state).unwrap();
    write(&set, "ca");
    let unproven = kept(&set);
    assert_eq!(files(&state), std::slice::from_ref(&unproven));
    // A chain shows whose list it is: that is written down as well.
    assert_eq!(set.cas()[0].verify(&[leaf.der().clone(), middle.der().clone()], NOW_S), Ok(()));
    write(&set, "ca");
    assert_eq!(files(&state), [kept(&set)]);
    assert_ne!(files(&state), [unproven]);
    fs::remove_dir_all(state.join("moving")).unwrap();
    write(&set, "another name");
    assert_eq!(files(&state), Vec::<Vec<u8>>::new(), "another name is nothing new");
    // What the file leaves out, and what another's list displaced, is kept with what it has.
    let next = with(&ca, &(list(&root, 2) + &list(&self::root("middle"), 700)), Some(&set));
    write(&next, "ca");
    assert_eq!(files(&state), [kept(&next)]);
    let again = Kept::read(&files(&state)[0]).unwrap();
    let mut before = Before::new(&ca, &[], true, NOW_S);
    before.add(&again);
    let before = before.lists().unwrap();
    let older = list(&root, 3) + &list(&middle, 4);
    let after = RevocationLists::read(older.as_bytes(), &ca, true, NOW_S).unwrap().follow(&before, NOW_S).unwrap();
    assert_eq!(after.left_out(), ["CN=middle"], "what is older does not take its place");
}

#[test]
fn two_cas_that_have_files_of_their_own_never_write_over_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let root = root("root");
    let ca = ClientCa::from_pem("ca", &root.pem()).unwrap();
    let [one, two] = [5, 6].map(|number| with(&ca, &list(&root, number), None));
    let set = CaSet::new(vec![one.cas()[0].clone(), two.cas()[0].clone(), two.cas()[0].clone()]).unwrap();
    let rules = [rules("one", "1.crl"), rules("two", "2.crl"), rules("three", "2.crl")];
    let mut keeping = Keeping::new(Some(directory.path().to_owned()));
    keeping.write(&set, &rules);
    let mut expected = [kept(&one), kept(&two)];
    let mut found = files(directory.path());
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn of_cas_that_are_gone_the_newest_files_stay() {
    let directory = tempfile::tempdir().unwrap();
    let moving = directory.path().join("moving");
    fs::create_dir(&moving).unwrap();
    let at = |name: &str, seconds: u64| {
        let file = fs::File::create(moving.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    let most = KEPT_LISTS_OF_GONE_CAS_MAX as u64;
    (1..=most).for_each(|number| at(&format!("crl.{number:064x}"), number));
    at("expiry.json", 0);
    at(&format!("crl.{:064x}", 0), 0);
    let root = root("root");
    let ca = ClientCa::from_pem("ca", &root.pem()).unwrap();
    let set = with(&ca, &list(&root, 1), None);
    let mut keeping = Keeping::new(Some(directory.path().to_owned()));
    // Nothing goes before what is in force is written.
    let in_the_way = moving.join(format!(".crl.{}.new", key(&ca, rules("ca", "a.crl").crl.as_ref().unwrap())));
    fs::create_dir(&in_the_way).unwrap();
    keeping.write(&set, &[rules("ca", "a.crl")]);
    assert!(moving.join(format!("crl.{:064x}", 0)).exists());
    fs::remove_dir(in_the_way).unwrap();
    keeping.write(&set, &[rules("ca", "a.crl")]);
    let left = |name: &str| moving.join(name).exists();
    assert!(left("expiry.json") && !left(&format!("crl.{:064x}", 0)));
    assert!((1..=most).all(|number| left(&format!("crl.{number:064x}"))));
    // The file of the client CA in force never counts; it is the oldest of all.
    at(&format!("crl.{}", key(&ca, rules("ca", "a.crl").crl.as_ref().unwrap())), 0);
    at(&format!("crl.{:064x}", most + 1), most + 1);
    keeping.write(&with(&ca, &list(&root, 2), Some(&set)), &[rules("ca", "a.crl")]);
    assert!(!left(&format!("crl.{:064x}", 1)) && left(&format!("crl.{:064x}", 2)));
    assert_eq!(fs::read_dir(&moving).unwrap().count() as u64, most + 2);
}
