use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing;

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_secret_is_told_from_another_by_its_line_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, salt) = (directory.path().join("token"), Salt::draw());
    let paper = Paper::Secret(path.clone());
    let of = |content: &str| {
        write(&path, content);
        paper.thumbprints(&salt).map_err(|fault| fault.to_string())
    };
    let first = of("user:pass word\n").unwrap();
    assert_eq!(first.len(), 1);
    for same in ["user:pass word", "user:pass word\r\n", " user:pass word \nand a remark"] {
        assert_eq!(of(same).unwrap(), first, "{same}");
    }
    assert_ne!(of("user:password").unwrap(), first);
    for (content, found) in [("", "nothing"), (" \n", "nothing"), ("a\u{1}b", "control characters in it")] {
        let told = of(content).unwrap_err();
        assert!(told.contains("token: expected a line of text, found ") && told.ends_with(found), "{told}");
    }
    assert!(of(&"x".repeat(TOKEN_BYTES_MAX + 1)).unwrap_err().contains("found more"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(paper.thumbprints(&salt).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn a_word_is_what_a_credential_takes() {
    let directory = tempfile::tempdir().unwrap();
    let (path, salt) = (directory.path().join("word"), Salt::draw());
    let of = |content: &str| {
        write(&path, content);
        Paper::Word(path.clone()).thumbprints(&salt).ok()
    };
    assert!(of("s3cr3t\n").is_some() && of("s3cr3t\n") == of("s3cr3t"));
    assert_eq!(["two words", "a\n\n", "a\nb", ""].map(of), [const { None }; 4]);
}

#[test]
fn cas_are_told_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| testing::write_chain(directory.path(), name, &["ca.example"]));
    let both = [&one, &two].map(|of| std::fs::read_to_string(&of.chain).unwrap()).concat();
    let (path, salt) = (directory.path().join("ca.pem"), Salt::draw());
    let of = |content: &str| {
        std::fs::write(&path, content).unwrap();
        Paper::Cas(path.clone()).thumbprints(&salt).map_err(|fault| fault.to_string())
    };
    let found = of(&both).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(Paper::Certificate(two.clone()).thumbprints(&salt).unwrap(), found[1..]);
    for wrong in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n"] {
        assert!(of(wrong).unwrap_err().contains("ca.pem: expected one or more CA certificates in PEM"), "{wrong}");
    }
    let mixed = ChainFiles { key: one.key, ..two };
    assert!(Paper::Certificate(mixed).thumbprints(&salt).is_err());
}
