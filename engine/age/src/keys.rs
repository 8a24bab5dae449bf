//! Keys: a recipient is public (`age1…`), an identity private (`AGE-SECRET-KEY-1…`).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroizing;

use crate::{Fault, bech32};

const OF_RECIPIENT: &str = "age";
const OF_IDENTITY: &str = "age-secret-key-";

/// A public key: what is encrypted to it, its identity decrypts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient([u8; 32]);

impl Recipient {
    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(bytes) = bech32::decode(OF_RECIPIENT, text).filter(|_| text.starts_with(OF_RECIPIENT)) {
            return Ok(Self(*bytes));
        }
        Err(Fault::Recipient(match text {
            text if text.get(..OF_IDENTITY.len()).is_some_and(|head| head.eq_ignore_ascii_case(OF_IDENTITY)) => {
                "a private one, which is not shown: whoever saw it can decrypt"
            }
            text if text.starts_with("age1") => "one with an error in it: copy it again",
            text if text.starts_with("ssh-") => "a key of SSH",
            _ => "something else",
        }))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(OF_RECIPIENT, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key. The library wipes it when it goes.
pub struct Identity {
    key: PrivateKey,
    recipient: Recipient,
}

impl Identity {
    /// A new one, and its text.
    pub fn generate() -> Result<(Self, Zeroizing<String>), Fault> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| Fault::Randomness)?;
        let mut text = bech32::encode(OF_IDENTITY, &bytes);
        text.make_ascii_uppercase();
        Ok((Self::of(&bytes)?, text))
    }

    fn of(bytes: &[u8; 32]) -> Result<Self, Fault> {
        let key = PrivateKey::from_private_key(&X25519, bytes).map_err(|_| Fault::Library)?;
        Ok(Self { recipient: public_of(&key)?, key })
    }

    pub const fn recipient(&self) -> Recipient {
        self.recipient
    }

    /// The secret shared with the holder of `share`.
    pub(crate) fn agree(&self, share: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Fault> {
        agree(&self.key, share)
    }
}

impl FromStr for Identity {
    type Err = Fault;

    /// In capital letters alone, as age writes it.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let capital = !text.bytes().any(|byte| byte.is_ascii_lowercase());
        match bech32::decode(OF_IDENTITY, text).filter(|_| capital) {
            Some(bytes) => Self::of(&bytes),
            None if text.starts_with("AGE-SECRET-KEY-1") => Err(Fault::Identity("one with an error in it")),
            None if text.starts_with("AGE-PLUGIN-") => Err(Fault::Identity("one of a plugin")),
            None if text.starts_with("age1") => Err(Fault::Identity("a public key")),
            None => Err(Fault::Identity("something else (not shown: it may be a secret)")),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient)
    }
}

/// The identities in a file as `age-keygen` writes it: one a line, and lines that begin with `#`.
pub fn identities(text: &str) -> Result<Vec<Identity>, Fault> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Vec<_> = lines.map(str::parse).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(Fault::Identity("nothing")) } else { Ok(found) }
}

/// A key for one agreement: its public half, and the secret shared with `recipient`.
pub fn agree_once(recipient: &Recipient) -> Result<([u8; 32], Zeroizing<[u8; 32]>), Fault> {
    let key = PrivateKey::generate(&X25519).map_err(|_| Fault::Randomness)?;
    Ok((public_of(&key)?.0, agree(&key, recipient.bytes())?))
}

fn public_of(key: &PrivateKey) -> Result<Recipient, Fault> {
    let public = key.compute_public_key().map_err(|_| Fault::Library)?;
    Ok(Recipient(public.as_ref().try_into().map_err(|_| Fault::Library)?))
}

/// Refuses points of low order, with which there is no secret.
fn agree(key: &PrivateKey, share: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let share = UnparsedPublicKey::new(&X25519, share);
    let weak = Fault::Header("a key of low order");
    agreement::agree(key, share, weak.clone(), |secret| {
        Ok(Zeroizing::new(secret.try_into().map_err(|_| weak.clone())?))
    })
}
