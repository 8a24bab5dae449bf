//! API keys, made by the binary itself: only it knows the form.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::gateway;

/// A key and the digest that a policy names it by.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: String,
    pub text: String,
    /// SHA-256 over the whole key, lower-case hex.
    pub sha256: String,
}

impl ApiKey {
    /// Runs `adamant key new --id ID` and takes the word that starts with `adm_` from its output.
    pub fn new(id: &str) -> Self {
        let (status, stdout, stderr) = gateway::run(&["key", "new", "--id", id], Path::new("/"));
        assert!(status.success(), "adamant key new --id {id} ended with {status}: {stderr}");
        let separators = |letter: char| letter.is_whitespace() || "\"'`".contains(letter);
        let prefix = format!("adm_{id}_");
        let found = stdout.split(separators).chain(stderr.split(separators)).find(|word| word.starts_with(&prefix));
        let text = found.unwrap_or_else(|| panic!("no key {prefix}… in the output of `key new`: {stdout}{stderr}"));
        Self { id: id.into(), text: text.into(), sha256: hex(&Sha256::digest(text.as_bytes())) }
    }

    /// The key with its last character changed: right form, wrong checksum.
    pub fn with_wrong_checksum(&self) -> String {
        let last = self.text.chars().next_back().expect("a key is not empty");
        format!("{}{}", &self.text[..self.text.len() - 1], if last == 'a' { 'b' } else { 'a' })
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
