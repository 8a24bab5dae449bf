use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn pair() -> (Identity, String) {
    let (identity, text) = Identity::generate().unwrap();
    (identity, text.to_string())
}

fn encrypted(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let mut into = Vec::new();
    encrypt(plain, recipients, &mut into).unwrap();
    into
}

#[test]
fn keys_read_as_they_are_written() {
    // Of the specification's authors.
    let text = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
    let identity: Identity = text.parse().unwrap();
    let public = identity.recipient().to_string();
    assert_eq!(public.parse::<Recipient>().unwrap(), identity.recipient());
    let (made, text) = pair();
    assert_eq!(text.parse::<Identity>().unwrap().recipient(), made.recipient());
    assert!(!format!("{made:?}").contains(&text[16..26]));
    let file = format!("# created: 2026-11-22\n# public key: {}\n{text}\n\n", made.recipient());
    assert_eq!(identities(&file).unwrap()[0].recipient(), made.recipient());
    assert!(text.to_lowercase().parse::<Identity>().is_err());
    let secret = text.parse::<Recipient>().unwrap_err().to_string();
    assert!(secret.contains("private") && !secret.contains(&text[16..]), "{secret}");
    for wrong in ["", "age1", &public[..public.len() - 1], &public.replacen("age1", "age2", 1), "ssh-ed25519 AAAA"] {
        assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
        let refused = identities(wrong).unwrap_err().to_string();
        assert!(refused.contains("AGE-SECRET-KEY-1"), "{refused}");
    }
    let mut changed = public.into_bytes();
    changed[20] = if changed[20] == b'q' { b'p' } else { b'q' };
    assert!(String::from_utf8(changed).unwrap().parse::<Recipient>().is_err());
}

#[test]
fn each_recipient_reads_it_and_nobody_else() {
    let (one, other, stranger) = (pair().0, pair().0, pair().0);
    for length in [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000] {
        let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let file = encrypted(&plain, &[one.recipient(), other.recipient()]);
        assert!(is_encrypted(&file));
        for identity in [&one, &other] {
            assert_eq!(decrypt(&file, std::slice::from_ref(identity)).unwrap().as_slice(), plain);
        }
        assert_eq!(decrypt(&file, std::slice::from_ref(&stranger)).unwrap_err(), Fault::NoMatch);
        assert_eq!(decrypt(&file, &[]).unwrap_err(), Fault::NoMatch);
        for cut in [0, 30, file.len() / 2, file.len() - 1] {
            assert!(decrypt(&file[..cut], std::slice::from_ref(&one)).is_err(), "{length} {cut}");
        }
    }
    assert_ne!(encrypted(b"x", &[one.recipient()]), encrypted(b"x", &[one.recipient()]), "a key of its own each time");
    let many = vec![one.recipient(); RECIPIENTS_MAX];
    assert!(decrypt(&encrypted(b"x", &many), std::slice::from_ref(&one)).is_ok());
    let more = [many.as_slice(), &[one.recipient()]].concat();
    for wrong in [&[][..], &more] {
        assert_eq!(encrypt(b"x", wrong, &mut Vec::new()).unwrap_err(), Fault::Recipients(wrong.len()));
    }
}

#[test]
fn one_bit_that_is_changed_is_found() {
    let identity = pair().0;
    let file = encrypted(b"a record", &[identity.recipient()]);
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decrypt(&changed, std::slice::from_ref(&identity)).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_read_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let identity: Identity =
            "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6".parse().unwrap();
        let bytes = if head { [INTRO, b"-> X25519 ", &bytes].concat() } else { bytes };
        prop_assert!(decrypt(&bytes, std::slice::from_ref(&identity)).is_err());
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(text.parse::<Recipient>().is_err() && identities(&text).is_err());
    }
}

/// What `command` prints for `input`; none where it is not installed.
fn piped(command: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(command);
    let child = child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("SKIPPED: {command} is not installed");
        return None;
    };
    let mut into = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || into.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}");
    Some(output.stdout)
}

#[test]
fn the_age_command_reads_ours_and_we_read_its() {
    let (identity, text) = pair();
    let key = std::env::temp_dir().join(format!("adamant-age-{}", std::process::id()));
    std::fs::write(&key, text).unwrap();
    let plain: Vec<u8> = (0..150_000_u32).map(|at| (at % 253) as u8).collect();
    let ours = encrypted(&plain, &[pair().0.recipient(), identity.recipient()]);
    let read = piped("age", &["-d", "-i", key.to_str().unwrap()], &ours);
    let public = identity.recipient().to_string();
    let theirs = piped("age", &["-r", &public], &plain);
    std::fs::remove_file(&key).unwrap();
    if let (Some(read), Some(theirs)) = (read, theirs) {
        assert_eq!(read, plain);
        assert_eq!(decrypt(&theirs, std::slice::from_ref(&identity)).unwrap().as_slice(), plain);
    }
    if let Some(made) = piped("age-keygen", &[], b"") {
        let made = String::from_utf8(made).unwrap();
        let identity = &identities(&made).unwrap()[0];
        assert!(made.contains(&identity.recipient().to_string()), "the public key that age-keygen says");
    }
}
