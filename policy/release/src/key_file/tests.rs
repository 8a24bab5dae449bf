use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn key() -> SigningKey {
    SigningKey::generate([9; 32]).unwrap()
}

fn encrypted() -> String {
    to_encrypted(&key(), b"correct horse", EncryptionSeed { salt: [1; 16], iv: [2; 16] }).unwrap()
}

#[test]
fn plain_round_trip() {
    let text = to_plain(&key()).unwrap();
    assert!(!is_encrypted(&text));
    assert_eq!(parse(&text, None).unwrap().public(), key().public());
    assert_eq!(public_of(&text).unwrap(), key().public());
}

#[test]
fn encrypted_round_trip() {
    let text = encrypted();
    assert_eq!(text, encrypted(), "a function of key, passphrase and seed");
    assert!(is_encrypted(&text));
    assert_eq!(public_of(&text).unwrap(), key().public());
    assert_eq!(parse(&text, Some(b"correct horse")).unwrap().public(), key().public());
    assert!(matches!(parse(&text, None), Err(KeyFileFault::PassphraseNeeded)));
    assert!(matches!(parse(&text, Some(b"wrong")), Err(KeyFileFault::WrongPassphrase)));
    assert!(matches!(parse(&text, Some(b"")), Err(KeyFileFault::WrongPassphrase)));
}

#[test]
fn a_swapped_public_half_is_found() {
    let other = SigningKey::generate([8; 32]).unwrap();
    let text = to_plain(&key()).unwrap().replace(&key().public().to_string(), &other.public().to_string());
    assert!(matches!(parse(&text, None), Err(KeyFileFault::Mismatch { .. })));
}

/// With a changed IV, CBC gives another plaintext without complaint; the header of PKCS#8 or the public half says so.
#[test]
fn changed_ciphertext_is_found() {
    let text = encrypted();
    let block = &text[text.find("-----BEGIN").unwrap()..];
    let (_, der) = decode_vec(block.as_bytes()).unwrap();
    for at in (0..der.len()).step_by(7) {
        let mut changed = der.clone();
        changed[at] ^= 1;
        let changed = format!("{}{}", header(&key()), pem(ENCRYPTED_LABEL, &changed).unwrap());
        match parse(&changed, Some(b"correct horse")) {
            Err(_) => {}
            Ok(key) => panic!("byte {at} changed and still {key:?}"),
        }
    }
}

#[test]
fn a_file_cannot_ask_for_memory_without_bound() {
    for (n, r, p) in
        [(1 << 40, 8, 1), (0, 8, 1), (1, 8, 1), (3, 8, 1), (1 << 14, 0, 1), (1 << 14, 8, 0), (1 << 14, 8, 17)]
    {
        let scrypt = ScryptParams {
            salt: [0; 16].as_slice().try_into().unwrap(),
            cost_parameter: n,
            block_size: r,
            parallelization: p,
            key_length: None,
        };
        let info = EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: Parameters { kdf: scrypt.into(), encryption: Cipher::Aes256Cbc { iv: [0; 16] } }
                .into(),
            encrypted_data: pkcs8::der::asn1::OctetString::new([0; 64]).unwrap(),
        };
        let text = format!("{}{}", header(&key()), pem(ENCRYPTED_LABEL, &info.to_der().unwrap()).unwrap());
        assert!(matches!(parse(&text, Some(b"x")), Err(KeyFileFault::Cost { .. })), "{n} {r} {p}");
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let plain = to_plain(&key()).unwrap();
    let pem_only = plain[plain.find("-----").unwrap()..].to_owned();
    for text in ["", "hello", &pem_only, &plain.replace("-----BEGIN", ""), &plain.replace("PRIVATE KEY", "CERTIFICATE")]
    {
        assert!(matches!(parse(text, None), Err(KeyFileFault::Form { .. })), "{text}");
    }
    assert!(matches!(
        parse(&format!("{}{}", *plain, " ".repeat(SMALL_FILE_BYTES_MAX)), None),
        Err(KeyFileFault::Form { .. })
    ));
}

/// What `openssl pkey` makes of a file, if openssl is there.
fn openssl_public(text: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap().stdout)
}

#[test]
fn openssl_reads_it() {
    for (text, arguments) in
        [(to_plain(&key()).unwrap().to_string(), [].as_slice()), (encrypted(), &["-passin", "pass:correct horse"])]
    {
        let Some(der) = openssl_public(&text, arguments) else {
            eprintln!("openssl is not installed: not tried");
            return;
        };
        assert_eq!(der.get(12..), Some(key().public().as_bytes().as_slice()));
        assert_eq!(crate::digest::Digest::of(&der).to_string(), format!("sha256:{}", key().public().id()));
    }
}

proptest! {
    #[test]
    fn no_panic(text in any::<String>(), at in any::<prop::sample::Index>(), to in any::<char>()) {
        let _ = parse(&text, Some(b"x"));
        let mut changed: Vec<char> = to_plain(&key()).unwrap().chars().collect();
        let at = at.index(changed.len());
        changed[at] = to;
        let _ = parse(&changed.into_iter().collect::<String>(), Some(b"x"));
    }
}
