//! Who signs: a key in a file, or a key that never leaves the transit engine of OpenBao or Vault.
//!
//! Whatever made it, a signature is checked with the public key before it goes anywhere.

mod address;
mod transit;

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use control::node::is_node_key;
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::envelope::{Detached, Envelope, Signature};
use policy_release::key::{PublicKey, SignatureBytes, SigningKey};
use policy_release::key_file;

pub use self::address::TransitAddress;
use self::transit::Transit;
use crate::failure::{Failure, warn};
use crate::files;
use crate::passphrase;

/// What a file is that is no signer's.
const OF_NODE: &str = "the key of a gateway's node";

/// Where a signing key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Transit(TransitAddress),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(TransitAddress::PREFIX) {
            Some(_) => text.parse().map(Self::Transit),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// How to reach a transit engine; nothing here is needed for key files.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options for transit keys")]
pub struct TransitArgs {
    /// File whose first line is the token; BAO_TOKEN or VAULT_TOKEN when absent.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the CA of the server; BAO_CACERT, VAULT_CACERT, or this machine's CAs when absent.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Namespace of the transit engine; BAO_NAMESPACE or VAULT_NAMESPACE when absent.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

/// The keys that a command signs with.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// Key file, or transit:https://HOST:PORT/MOUNT/keys/NAME[@VERSION] for a key in OpenBao or Vault. May be repeated.
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<KeySource>,
    /// File whose first line is the passphrase of the key files; asked for on the terminal when absent.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    transit: TransitArgs,
}

impl KeyArgs {
    /// Opens every key: reads files, asks for passphrases, fetches public halves of transit keys.
    pub fn open(&self) -> Result<Vec<Signer>, Failure> {
        let open = |source: &KeySource| match source {
            KeySource::File(path) => Ok(Signer::Local(read_key(path, self.passphrase_file.as_deref())?)),
            KeySource::Transit(address) => Ok(Signer::Transit(Transit::open(address, &self.transit)?)),
        };
        self.keys.iter().map(open).collect()
    }
}

/// Refuses a file with the key of a gateway's node where that of a signer is expected.
pub fn expect_signer(source: &KeySource) -> Result<(), Failure> {
    let KeySource::File(path) = source else { return Ok(()) };
    match files::read_secret(path, SMALL_FILE_BYTES_MAX) {
        Ok(secret) if is_node_key(path, &secret.text) => {
            Err(Failure::at(path, format_args!("expected the key of a signer, found {OF_NODE}")).help(
                "whoever takes that gateway over could sign its rules; adamant key signer makes keys for people and machines",
            ))
        }
        _ => Ok(()),
    }
}

/// The public half of a transit key.
pub fn public_of_transit(address: &TransitAddress, args: &TransitArgs) -> Result<PublicKey, Failure> {
    Ok(Transit::open(address, args)?.public())
}

/// Whatever can sign for one public key.
#[derive(Debug)]
pub enum Signer {
    Local(SigningKey),
    Transit(Transit),
}

impl Signer {
    pub const fn public(&self) -> PublicKey {
        match self {
            Self::Local(key) => key.public(),
            Self::Transit(transit) => transit.public(),
        }
    }

    /// Signs `envelope`; signing twice changes nothing.
    pub fn sign(&self, envelope: &mut Envelope) -> Result<(), Failure> {
        let bytes = self.signature(envelope)?;
        envelope.attach(&self.public(), bytes).map_err(Failure::new)
    }

    /// A signature over `envelope` to be sent to whoever gathers them.
    pub fn detached(&self, envelope: &Envelope) -> Result<Detached, Failure> {
        let public_key = self.public();
        let signature = Signature { key_id: public_key.id(), bytes: self.signature(envelope)? };
        Ok(Detached { kind: envelope.kind(), digest: envelope.digest(), public_key, signature })
    }

    /// A signature that verifies.
    fn signature(&self, envelope: &Envelope) -> Result<SignatureBytes, Failure> {
        let message = envelope.signed_bytes();
        match self {
            Self::Local(key) => key.sign(message).map_err(Failure::new),
            Self::Transit(transit) => Ok(transit.sign(message)?),
        }
    }
}

/// The signing key of a file; asks for its passphrase if it has one.
fn read_key(path: &std::path::Path, passphrase_file: Option<&std::path::Path>) -> Result<SigningKey, Failure> {
    let secret = files::read_secret(path, SMALL_FILE_BYTES_MAX)?;
    if !secret.text.contains("-----BEGIN ") && key_file::public_of(&secret.text).is_ok() {
        return Err(Failure::at(path, "expected a private key to sign with, found a public half alone")
            .help("give the file that adamant key signer wrote"));
    }
    if is_node_key(path, &secret.text) {
        let path = path.display();
        warn(format_args!("{path}: {OF_NODE}: whoever takes that gateway over can sign; let people sign with theirs"));
    }
    let key = if key_file::is_encrypted(&secret.text) {
        let passphrase = passphrase::read(passphrase_file, &path.display().to_string())?;
        key_file::parse(&secret.text, Some(passphrase.as_bytes()))
    } else {
        // What is no key at all is told as that, whoever may read it.
        let key = key_file::parse(&secret.text, None).map_err(|fault| Failure::at(path, fault))?;
        if let Some(exposed) = secret.exposed {
            let help = format!("own it, run chmod 600 {}, and think about who may have read it", path.display());
            let message = format!("others may read this key ({exposed}), and it is not encrypted");
            return Err(Failure::at(path, message).help(help));
        }
        Ok(key)
    };
    if let Some(exposed) = secret.exposed {
        let path = path.display();
        warn(format_args!("{path}: others may read this key file ({exposed}); own it, and run chmod 600 on it"));
    }
    key.map_err(|fault| Failure::at(path, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_file_unless_it_says_transit() {
        assert_eq!("alice.key".parse(), Ok(KeySource::File("alice.key".into())));
        assert_eq!("./transit:x".parse(), Ok(KeySource::File("./transit:x".into())));
        let transit: KeySource = "transit:https://bao.example:8200/transit/keys/alice".parse().unwrap();
        assert!(matches!(transit, KeySource::Transit(_)));
        assert!("transit:alice".parse::<KeySource>().is_err());
    }
}
