//! The file of a signing key: a line with the public half, then PKCS#8 in PEM (RFC 7468), encrypted (RFC 5958,
//! PBES2 with scrypt and AES-256-CBC, RFC 8018 and 7914) or not. `openssl pkey -in FILE` reads it.
//!
//! CBC detects no change, so the key that comes out is compared with the public half in the file.

use pkcs8::der::pem::{LineEnding, decode_vec, encode_string};
use pkcs8::der::{Decode, Encode};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, ScryptParams};
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::bounds::{PBKDF2_ITERATIONS_MAX, SCRYPT_MEMORY_BYTES_MAX, SCRYPT_PARALLEL_MAX, SMALL_FILE_BYTES_MAX};
use crate::key::{KeyFault, PublicKey, SigningKey};

/// The randomness of one encryption; never used twice.
pub struct EncryptionSeed {
    pub salt: [u8; 16],
    pub iv: [u8; 16],
}

/// scrypt cost: OWASP's figures for 16 MiB, the most that OpenSSL reads without being asked.
const SCRYPT_N: u64 = 1 << 14;
const SCRYPT_R: u16 = 8;
const SCRYPT_P: u16 = 5;

/// DER before the 32 bytes of an Ed25519 seed in PKCS#8 version 1 (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PLAIN_LABEL: &str = "PRIVATE KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileFault {
    #[error(
        "expected a key file with `adamant-ed25519:…` and a PEM block, found {found}; make one with `adamant key signer`"
    )]
    Form { found: String },
    #[error("the key is encrypted; give its passphrase")]
    PassphraseNeeded,
    #[error("the passphrase does not open this key, or the file was changed")]
    WrongPassphrase,
    #[error("expected the private key of {stated}, found that of {found}; the file was changed or two were mixed up")]
    Mismatch { stated: PublicKey, found: PublicKey },
    #[error(
        "expected scrypt of at most {} MiB or PBKDF2 of at most {PBKDF2_ITERATIONS_MAX} rounds, found {found}",
        SCRYPT_MEMORY_BYTES_MAX >> 20
    )]
    Cost { found: String },
    #[error("the library could not encrypt the key: {0}")]
    Encrypt(String),
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// The file text with the private key in the clear.
pub fn to_plain(key: &SigningKey) -> Result<Zeroizing<String>, KeyFileFault> {
    let pem = Zeroizing::new(pem(PLAIN_LABEL, &pkcs8_of(key))?);
    Ok(Zeroizing::new(format!("{}{}", header(key), *pem)))
}

/// The file text with the private key encrypted under `passphrase`. Takes about 0.2 s and 16 MiB.
pub fn to_encrypted(key: &SigningKey, passphrase: &[u8], seed: EncryptionSeed) -> Result<String, KeyFileFault> {
    Ok(format!("{}{}", header(key), encrypted_pem(&pkcs8_of(key), passphrase, seed)?))
}

/// Any private key in PKCS#8, in the clear: a PEM block.
pub fn plain_pem(pkcs8: &[u8]) -> Result<String, KeyFileFault> {
    pem(PLAIN_LABEL, pkcs8)
}

/// Any private key in PKCS#8, encrypted under `passphrase` in the same way: a PEM block.
pub fn encrypted_pem(pkcs8: &[u8], passphrase: &[u8], seed: EncryptionSeed) -> Result<String, KeyFileFault> {
    let encrypt = |error: &dyn std::fmt::Display| KeyFileFault::Encrypt(error.to_string());
    let scrypt = ScryptParams {
        salt: seed.salt.as_slice().try_into().map_err(|error| encrypt(&error))?,
        cost_parameter: SCRYPT_N,
        block_size: SCRYPT_R,
        parallelization: SCRYPT_P,
        key_length: None,
    };
    let parameters = Parameters { kdf: scrypt.into(), encryption: Cipher::Aes256Cbc { iv: seed.iv } };
    let encrypted = parameters.encrypt(passphrase, pkcs8).map_err(|error| encrypt(&error))?;
    let info = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: parameters.into(),
        encrypted_data: pkcs8::der::asn1::OctetString::new(encrypted).map_err(|error| encrypt(&error))?,
    };
    let der = info.to_der().map_err(|error| encrypt(&error))?;
    pem(ENCRYPTED_LABEL, &der)
}

/// The public half that a key file states, without its passphrase.
pub fn public_of(text: &str) -> Result<PublicKey, KeyFileFault> {
    let line = text.lines().find(|line| line.starts_with("adamant-ed25519:"));
    let line = line.ok_or_else(|| KeyFileFault::Form { found: "no public key line".into() })?;
    Ok(line.trim_end().parse()?)
}

/// Whether a passphrase is needed to read the key.
pub fn is_encrypted(text: &str) -> bool {
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// The signing key of a file. The passphrase is ignored when the file is not encrypted.
pub fn parse(text: &str, passphrase: Option<&[u8]>) -> Result<SigningKey, KeyFileFault> {
    let form = |found: &str| KeyFileFault::Form { found: found.into() };
    if text.len() > SMALL_FILE_BYTES_MAX {
        return Err(form("a larger file"));
    }
    let stated = public_of(text)?;
    let plain = pkcs8_in(text, passphrase)?;
    let Some(seed) = plain.strip_prefix(&PKCS8_PREFIX).and_then(|seed| <[u8; 32]>::try_from(seed).ok()) else {
        // With a wrong passphrase one padding in 256 looks right.
        return Err(if is_encrypted(text) {
            KeyFileFault::WrongPassphrase
        } else {
            form("no Ed25519 key in PKCS#8 version 1")
        });
    };
    let key = SigningKey::generate(seed)?;
    if key.public() == stated { Ok(key) } else { Err(KeyFileFault::Mismatch { stated, found: key.public() }) }
}

/// The PKCS#8 of the first PEM block, decrypted where it is encrypted. CBC detects no change: whether it is a key, and the
/// right one, is for the caller to check.
pub fn pkcs8_in(text: &str, passphrase: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, KeyFileFault> {
    let form = |found: &str| KeyFileFault::Form { found: found.into() };
    let block = text.find("-----BEGIN ").and_then(|at| text.get(at..)).ok_or_else(|| form("no PEM block"))?;
    let (label, der) = decode_vec(block.as_bytes()).map_err(|error| form(&format!("a bad PEM block ({error})")))?;
    let der = Zeroizing::new(der);
    match label {
        PLAIN_LABEL => Ok(der),
        ENCRYPTED_LABEL => decrypt(&der, passphrase.ok_or(KeyFileFault::PassphraseNeeded)?),
        other => Err(form(&format!("a PEM block {:?}", other.chars().take(40).collect::<String>()))),
    }
}

fn decrypt(der: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileFault> {
    let form = |error: &dyn std::fmt::Display| KeyFileFault::Form { found: format!("a bad encrypted key ({error})") };
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|error| form(&error))?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(form(&"not PBES2"));
    };
    check_cost(&parameters.kdf)?;
    let mut buffer = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let plain = parameters.decrypt_in_place(passphrase, &mut buffer).map_err(|_| KeyFileFault::WrongPassphrase)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

/// A file must not make its reader spend memory or time without bound.
fn check_cost(kdf: &Kdf) -> Result<(), KeyFileFault> {
    match kdf {
        Kdf::Scrypt(scrypt) => {
            let memory = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size)).saturating_mul(128);
            let fits = scrypt.cost_parameter.is_power_of_two()
                && scrypt.cost_parameter > 1
                && (1..=SCRYPT_MEMORY_BYTES_MAX).contains(&memory)
                && (1..=SCRYPT_PARALLEL_MAX).contains(&scrypt.parallelization);
            let (n, r, p) = (scrypt.cost_parameter, scrypt.block_size, scrypt.parallelization);
            if fits { Ok(()) } else { Err(KeyFileFault::Cost { found: format!("scrypt N={n} r={r} p={p}") }) }
        }
        Kdf::Pbkdf2(pbkdf2) => {
            let rounds = pbkdf2.iteration_count;
            let fits = (1..=PBKDF2_ITERATIONS_MAX).contains(&rounds);
            if fits { Ok(()) } else { Err(KeyFileFault::Cost { found: format!("PBKDF2 of {rounds} rounds") }) }
        }
        _ => Err(KeyFileFault::Cost { found: "another key derivation".into() }),
    }
}

fn header(key: &SigningKey) -> String {
    format!("# Adamant signing key. Its public half, for the trust root:\n{}\n", key.public())
}

fn pkcs8_of(key: &SigningKey) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
    der.extend_from_slice(&PKCS8_PREFIX);
    der.extend_from_slice(key.seed());
    der
}

fn pem(label: &str, der: &[u8]) -> Result<String, KeyFileFault> {
    encode_string(label, LineEnding::LF, der).map_err(|error| KeyFileFault::Encrypt(error.to_string()))
}

#[cfg(test)]
mod tests;
