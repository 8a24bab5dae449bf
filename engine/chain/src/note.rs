//! Signed notes (c2sp.org/signed-note): a text, an empty line, and signature lines. Only Ed25519 (type 0x01) is known;
//! other signatures are kept and ignored, as the specification asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy_release::key::{PublicKey, SignatureBytes};
use sha2::{Digest, Sha256};

use crate::bounds::SIGNATURES_MAX;

/// Signature type of Ed25519.
const ED25519: u8 = 0x01;
/// How a signature line begins: an em dash and a space.
const SIGNATURE_START: &str = "\u{2014} ";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    #[error("expected UTF-8 text without control characters other than newlines")]
    Text,
    #[error("expected a text that ends with a newline, an empty line and signature lines like \"— NAME BASE64\"")]
    Form,
    #[error("expected at most {SIGNATURES_MAX} signatures, found more")]
    Signatures,
    #[error("expected a key name without spaces and plus signs, found {0:?}")]
    KeyName(String),
    #[error("expected a verifier key NAME+HEX+BASE64 of type Ed25519, found {0:?}")]
    VerifierKey(String),
}

/// A public key under a name: what a signature line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: PublicKey,
    id: [u8; 4],
}

/// What became of a note's signatures under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Verified,
    /// A signature bears the key's name and id, and is not its.
    Wrong,
    /// No signature bears the key's name and id.
    Absent,
}

/// A note taken apart. Nothing of it is to be believed before a signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'t> {
    /// With its last newline, without the empty line.
    pub text: &'t str,
    signatures: Vec<Line<'t>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line<'t> {
    name: &'t str,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl Verifier {
    pub fn new(name: &str, key: PublicKey) -> Result<Self, NoteFault> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(NoteFault::KeyName(name.to_owned()));
        }
        let hash =
            Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes()).finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Ok(Self { name: name.to_owned(), key, id })
    }

    /// The key of a gateway's node, under the name that its checkpoints have: `adamant-` and the first eight digits of
    /// its key id.
    pub fn of_node(key: PublicKey) -> Result<Self, NoteFault> {
        let id = key.id().to_string();
        Self::new(&format!("adamant-{}", id.get(..8).unwrap_or_default()), key)
    }

    /// From a verifier key ("vkey"): `NAME+HEX of the key id+BASE64 of 0x01 and the 32 bytes`.
    pub fn parse(vkey: &str) -> Result<Self, NoteFault> {
        let wrong = || NoteFault::VerifierKey(vkey.chars().take(200).collect());
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
        let bytes = STANDARD.decode(key).map_err(|_| wrong())?;
        let [ED25519, key @ ..] = bytes.as_slice() else { return Err(wrong()) };
        let key = key.try_into().ok().and_then(|key| PublicKey::from_bytes(key).ok()).ok_or_else(wrong)?;
        let verifier = Self::new(name, key)?;
        if hex(verifier.id) == id { Ok(verifier) } else { Err(wrong()) }
    }

    /// The verifier key, for other tools.
    pub fn vkey(&self) -> String {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        format!("{}+{}+{}", self.name, hex(self.id), STANDARD.encode(bytes))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// The note over `text`, which ends with a newline, with one signature.
pub fn signed(text: &str, by: &Verifier, signature: &SignatureBytes) -> String {
    let mut bytes = by.id.to_vec();
    bytes.extend_from_slice(signature);
    format!("{text}\n{SIGNATURE_START}{} {}\n", by.name, STANDARD.encode(bytes))
}

impl<'t> Note<'t> {
    pub fn parse(note: &'t str) -> Result<Self, NoteFault> {
        if note.chars().any(|character| character < ' ' && character != '\n') {
            return Err(NoteFault::Text);
        }
        let at = note.rfind("\n\n").ok_or(NoteFault::Form)?;
        let (text, rest) = note.split_at_checked(at + 1).ok_or(NoteFault::Form)?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteFault::Form)?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteFault::Signatures);
        }
        let signatures: Option<Vec<_>> = lines.split('\n').map(Line::parse).collect();
        Ok(Self { text, signatures: signatures.ok_or(NoteFault::Form)? })
    }

    pub fn check(&self, verifier: &Verifier) -> Outcome {
        let mut outcome = Outcome::Absent;
        for line in &self.signatures {
            if line.name != verifier.name || line.key_id != verifier.id {
                continue;
            }
            let signature = SignatureBytes::try_from(line.signature.as_slice());
            if !signature.is_ok_and(|signature| verifier.key.verifies(self.text.as_bytes(), &signature)) {
                return Outcome::Wrong;
            }
            outcome = Outcome::Verified;
        }
        outcome
    }

    /// Names of the keys that are said to have signed.
    pub fn signers(&self) -> impl Iterator<Item = &'t str> {
        self.signatures.iter().map(|line| line.name)
    }
}

impl<'t> Line<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_START)?.split_once(' ')?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+') {
            return None;
        }
        let bytes = STANDARD.decode(encoded).ok()?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        (!signature.is_empty()).then(|| Self { name, key_id: *key_id, signature: signature.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use policy_release::key::SigningKey;

    use super::*;

    // golang.org/x/mod/sumdb/note, note_test.go and example_test.go.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const PETERS: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const ENOCHS: &str =
        "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
    // c2sp.org/signed-note, Example.
    const FOO: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const FOOS: &str = "This is an example message.\n\n— example.com/foo \
                        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn published_notes_verify_and_are_made_again() {
        let peter = Verifier::parse(PETER).unwrap();
        let note = format!("{TEXT}\n{PETERS}");
        assert_eq!(Note::parse(&note).unwrap().check(&peter), Outcome::Verified);
        let seed = STANDARD.decode(PETER_SECRET).unwrap()[1..].try_into().unwrap();
        let key = SigningKey::generate(seed).unwrap();
        assert_eq!(Verifier::new("PeterNeumann", key.public()).unwrap().vkey(), PETER);
        assert_eq!(signed(TEXT, &peter, &key.sign(TEXT.as_bytes()).unwrap()), note);
        let foo = Verifier::parse(FOO).unwrap();
        assert_eq!(Note::parse(FOOS).unwrap().check(&foo), Outcome::Verified);
    }

    #[test]
    fn other_signatures_are_ignored_and_wrong_ones_are_not() {
        let peter = Verifier::parse(PETER).unwrap();
        let foo = Verifier::parse(FOO).unwrap();
        let both = format!("{TEXT}\n{PETERS}{ENOCHS}");
        let note = Note::parse(&both).unwrap();
        assert_eq!(note.check(&peter), Outcome::Verified);
        assert_eq!(note.check(&foo), Outcome::Absent);
        assert_eq!(note.signers().collect::<Vec<_>>(), ["PeterNeumann", "EnochRoot"]);
        let changed = both.replace("think", "thinc");
        assert_eq!(Note::parse(&changed).unwrap().check(&peter), Outcome::Wrong);
        // Same name, same id, other bytes: the note is refused although the other one is right.
        let twice = format!("{both}{}", PETERS.replace("ZJku", "ZJkv"));
        assert_eq!(Note::parse(&twice).unwrap().check(&peter), Outcome::Wrong);
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for wrong in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n\n",
            "text\n\n— a\n",
            "text\n\n— a AAAA\n",
            "text\n\n- a AAAAAAAA\n",
            "text\n\n— a+b AAAAAAAA\n",
            "text\n\n— a AAAAAAAA",
            "text\n\n— a AAAAAAAA\nmore\n",
            "te\txt\n\n— a AAAAAAAA\n",
        ] {
            assert!(Note::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Note::parse("text\n\n— a AAAAAAAA\n").is_ok());
        let many = format!("text\n\n{}", "— a AAAAAAAA\n".repeat(SIGNATURES_MAX + 1));
        assert_eq!(Note::parse(&many), Err(NoteFault::Signatures));
    }

    /// As TestNewVerifier of the same source does.
    #[test]
    fn every_mangled_verifier_key_is_refused() {
        for from in 0..PETER.len() {
            for to in from..=PETER.len() {
                assert_eq!(Verifier::parse(&PETER[from..to]).is_ok(), to - from == PETER.len());
            }
        }
        for at in 0..PETER.len() {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] += 1;
            assert!(Verifier::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
        }
        assert!(Verifier::parse("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").is_err());
    }
}
