//! What is wrong with a key, or with what is to be decrypted.

/// Nothing of it is tried again; no message holds anything of a key or of what is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("expected an age public key (age1…), found {0}")]
    Recipient(&'static str),
    #[error("expected an age identity (AGE-SECRET-KEY-1…), found {0}")]
    Identity(&'static str),
    #[error("expected 1 to {max} recipients, found {0}", max = crate::RECIPIENTS_MAX)]
    Recipients(usize),
    #[error("expected an age file, version 1, found {0}")]
    Header(&'static str),
    #[error("it is encrypted to other keys than the identities given")]
    NoMatch,
    #[error("the head of the age file was changed: its authentication code does not fit")]
    Mac,
    #[error("the age file was changed or cut off: {0}")]
    Payload(&'static str),
    #[error("the system gives no randomness")]
    Randomness,
    #[error("the cryptography library failed")]
    Library,
}
