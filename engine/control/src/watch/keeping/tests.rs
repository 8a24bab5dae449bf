//! What is in force is kept, also where it could not be at first.

use std::fs;
use std::sync::Arc;

use identity::certificate::ClientCa;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;

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

/// A client CA with lists, one of an intermediate that a chain has proven.
struct Proven {
    ca: ClientCa,
    root: Issuer,
    file: String,
    set: CaSet,
}

fn proven() -> Proven {
    let root = root("root");
    let middle = CertifiedIssuer::signed_by(params("middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2030, 1, 1));
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &middle).unwrap();
    let file = list(&root, 1) + &list(&middle, 5);
    let ca = ClientCa::from_pem("ca", &root.pem()).unwrap();
    let set = with(&ca, RevocationLists::read(file.as_bytes(), &ca, true).unwrap());
    assert_eq!(set.cas()[0].verify(&[leaf.der().clone(), middle.der().clone()], NOW_S), Ok(()));
    Proven { ca, root, file, set }
}

fn with(ca: &ClientCa, lists: RevocationLists) -> CaSet {
    CaSet::new(vec![ca.with_revocation(Some(Arc::new(lists)))]).unwrap()
}

fn proven_der(set: &CaSet) -> Vec<u8> {
    set.cas()[0].lists().unwrap().proven_der()
}

#[test]
fn what_could_not_be_written_is_written_once_it_can_be_and_then_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let Proven { file, set, .. } = proven();
    let mut keeping = Keeping::new(Some(state.clone()));
    keeping.note("ca", file.clone().into_bytes());
    keeping.write(&set);
    fs::create_dir(&state).unwrap();
    keeping.write(&set);
    let [lists, proven] = ["client-ca.ca.crl", "client-ca-proven.ca.crl"].map(|name| state.join("moving").join(name));
    assert_eq!(fs::read(&lists).unwrap(), file.as_bytes());
    assert_eq!(fs::read(&proven).unwrap(), proven_der(&set));
    [&lists, &proven].into_iter().for_each(|path| fs::remove_file(path).unwrap());
    keeping.write(&set);
    assert!(!lists.exists() && !proven.exists());
}

#[test]
fn a_proven_list_that_a_file_leaves_out_is_kept_before_that_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let moving = directory.path().join("moving");
    let before = proven();
    // Of another key than the intermediate's: it takes the place of the proven one, which stays known.
    let file = list(&before.root, 2) + &list(&root("middle"), 900);
    let lists = RevocationLists::read(file.as_bytes(), &before.ca, true).unwrap();
    let set = with(&before.ca, lists.follow(before.set.cas()[0].lists().unwrap(), &before.ca, NOW_S).unwrap());
    // Nobody writes to a directory.
    let in_the_way = moving.join(".client-ca-proven.ca.crl.new");
    fs::create_dir_all(&in_the_way).unwrap();
    let mut keeping = Keeping::new(Some(directory.path().to_owned()));
    keeping.note("ca", file.clone().into_bytes());
    keeping.write(&set);
    assert!(!moving.join("client-ca.ca.crl").exists());
    fs::remove_dir(in_the_way).unwrap();
    keeping.write(&set);
    assert_eq!(fs::read(moving.join("client-ca.ca.crl")).unwrap(), file.as_bytes());
    assert_eq!(fs::read(moving.join("client-ca-proven.ca.crl")).unwrap(), proven_der(&before.set));
}
