use super::*;
use crate::ca::issue::new_key;

fn pair() -> (zeroize::Zeroizing<String>, String) {
    let key = new_key().unwrap();
    let pair = rcgen::KeyPair::from_pem(&key).unwrap();
    (key, rcgen::CertificateParams::default().self_signed(&pair).unwrap().pem())
}

fn new<'a>(key_pem: &'a str, chain_pem: &'a str) -> New<'a> {
    New { key_pem, chain_pem, token: None, dpop_key_pem: None, profile: b"{}", gateway_ca: Some(b"ca") }
}

fn put(profile: &Path, new: &New<'_>, origin: &Origin) -> PathBuf {
    stage(profile, new, origin).unwrap().put().unwrap()
}

#[test]
fn one_that_is_not_put_in_use_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path();
    let origin = Origin { obtained_s: 7, from: "test".into(), token: None, is_outdated: false };
    let (key, chain) = pair();
    let new = new(&key, &chain);
    drop(stage(profile, &new, &origin).unwrap());
    assert!(current(profile).is_err());
    assert_eq!(fs::read_dir(profile).unwrap().count(), 1, "the directory of generations");
    let first = put(profile, &new, &origin);
    drop(stage(profile, &new, &origin).unwrap());
    assert_eq!(current(profile).unwrap().directory, first);
    assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), 1);
    assert_eq!(fs::read_dir(profile).unwrap().count(), 4, "the directory of generations, and three links");
}

#[test]
fn what_a_profile_says_is_swapped_with_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path();
    let origin = Origin { obtained_s: 7, from: "test".into(), token: None, is_outdated: false };
    let (key, chain) = pair();
    let said = || fs::read_to_string(profile.join(PROFILE)).unwrap();
    // A file that somebody put there is replaced with the rest, and not before.
    fs::write(profile.join(PROFILE), "old").unwrap();
    drop(stage(profile, &new(&key, &chain), &origin).unwrap());
    assert_eq!(said(), "old");
    put(profile, &new(&key, &chain), &origin);
    assert_eq!((said().as_str(), fs::read(profile.join(GATEWAY_CA)).unwrap()), ("{}", b"ca".to_vec()));
    let staged = stage(profile, &New { profile: b"2", gateway_ca: None, ..new(&key, &chain) }, &origin).unwrap();
    assert!(said() == "{}" && profile.join(GATEWAY_CA).exists());
    fs::rename(profile.join(LINK_NEXT), profile.join(CURRENT)).unwrap();
    assert!(said() == "2" && !profile.join(GATEWAY_CA).exists(), "one rename is all");
    staged.put().unwrap_err();
    fs::remove_file(profile.join(PROFILE)).unwrap();
    fs::create_dir(profile.join(PROFILE)).unwrap();
    assert!(stage(profile, &new(&key, &chain), &origin).is_err());
}

#[test]
fn generations_follow_each_other_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path();
    assert!(current(profile).is_err());
    let origin = Origin { obtained_s: 7, from: "test".into(), token: None, is_outdated: false };
    for number in 1..=5 {
        let (key, chain) = pair();
        let made = put(profile, &new(&key, &chain), &origin);
        assert!(made.ends_with(format!("generations/{number:06}")));
        let read = current(profile).unwrap();
        assert_eq!((read.directory, read.origin.obtained_s), (made, 7));
    }
    assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), GENERATIONS_KEPT);
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path();
    let origin = Origin { obtained_s: 7, from: "test".into(), token: None, is_outdated: false };
    let (key, chain) = pair();
    for in_use in 0..2 {
        // As when it is killed before the swap.
        std::mem::forget(stage(profile, &new(&key, &chain), &origin).unwrap());
        assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), in_use + 1);
        drop(stage(profile, &new(&key, &chain), &origin).unwrap());
        assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), in_use);
        put(profile, &new(&key, &chain), &origin);
        assert_eq!(fs::read_dir(profile.join(GENERATIONS)).unwrap().count(), in_use + 1);
    }
}

#[test]
fn a_key_that_does_not_fit_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (key, _) = pair();
    let (_, chain) = pair();
    assert!(checked(&key, chain.as_bytes()).err().unwrap().contains("one for another"));
    let origin = Origin { obtained_s: 7, from: "test".into(), token: None, is_outdated: false };
    put(directory.path(), &new(&key, &chain), &origin);
    assert!(current(directory.path()).err().unwrap().to_string().contains("one for another"));
}
