//! Node keys that are known beforehand: what turns "somebody signed this" into "this gateway signed this".

use std::collections::BTreeMap;
use std::path::Path;

use policy_release::key::PublicKey;

use crate::failure::Failure;
use crate::files;

/// Bytes of a file of pins.
const PINS_BYTES_MAX: usize = 4 << 20;

/// Bytes of a file with one public key.
const KEY_BYTES_MAX: usize = 4 << 10;
/// What the text of a public key begins with.
const KEY_PREFIX: &str = "adamant-ed25519:";

/// What `--node-key` names: a node's public key as text, or a file that holds it.
pub fn node_key(text: &str) -> Result<PublicKey, Failure> {
    let help = "give the gateway's node.pub, which stands in its state directory, or its adamant-ed25519:… text";
    let wrong = |error: &dyn std::fmt::Display| Failure::new(format_args!("--node-key: {error}")).help(help);
    if text.starts_with(KEY_PREFIX) {
        return text.trim().parse().map_err(|error| wrong(&error));
    }
    let bytes = files::read(text.as_ref(), KEY_BYTES_MAX).map_err(|fault| wrong(&fault))?;
    let held = String::from_utf8(bytes).map_err(|_| wrong(&"expected text, found other bytes"))?;
    match held.trim() {
        key if key.starts_with(KEY_PREFIX) && !key.contains('\n') => {
            key.parse().map_err(|error| wrong(&format_args!("{text}: {error}")))
        }
        // Not shown: it may be a secret.
        _ => Err(wrong(&format_args!("{text}: {}", files::found(held.as_bytes(), "a node's public key")))),
    }
}

/// Pinned node keys: for one gateway, or for any that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    any: Vec<PublicKey>,
    /// By the gateway as it is written on the command line.
    of_host: BTreeMap<String, Vec<PublicKey>>,
}

/// What the pins say of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinned {
    Yes,
    /// There are no pins at all.
    NoneGiven,
    /// Not a pinned key.
    Unknown,
    /// Pinned for these gateways, and nothing is pinned for this one.
    Elsewhere(Vec<String>),
    /// Other keys are pinned for this gateway; the gateways that this one is pinned for.
    Other(Vec<PublicKey>, Vec<String>),
}

impl Pins {
    pub fn new(keys: &[PublicKey]) -> Self {
        Self { any: keys.to_vec(), of_host: BTreeMap::new() }
    }

    /// Adds the lines of a file: `adamant-ed25519:… [GATEWAY]`, `#` for comments. A `node.pub` is such a file.
    pub fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        let bytes = files::read(path, PINS_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(key) = words.next() else { continue };
            let at = |why: &dyn std::fmt::Display| {
                let help = "each line is a node key as in its node.pub, then, if it is only for one, the gateway";
                Failure::new(format_args!("{}:{}: {why}", path.display(), number + 1)).help(help)
            };
            // What is no key at all is not shown: it may be a secret.
            if !key.starts_with(KEY_PREFIX) {
                return Err(at(&files::found(text.as_bytes(), &format!("a node key like {KEY_PREFIX}BASE64"))));
            }
            let key: PublicKey = key.parse().map_err(|fault| at(&fault))?;
            match (words.next(), words.next()) {
                (None, _) => self.any.push(key),
                (Some(host), None) => self.of_host.entry(host.to_owned()).or_default().push(key),
                (_, Some(_)) => return Err(at(&"expected a key and a gateway, found more")),
            }
        }
        Ok(())
    }

    /// A gateway that has pins of its own must answer with one of those.
    pub fn look(&self, host: &str, key: &PublicKey) -> Pinned {
        let elsewhere = || {
            let others = self.of_host.iter().filter(|(_, keys)| keys.contains(key));
            others.map(|(host, _)| host.clone()).collect::<Vec<_>>()
        };
        match self.of_host.get(host) {
            Some(own) if own.contains(key) => Pinned::Yes,
            Some(own) => Pinned::Other(own.clone(), elsewhere()),
            None if self.any.contains(key) => Pinned::Yes,
            None if self.is_empty() => Pinned::NoneGiven,
            None => match elsewhere() {
                others if others.is_empty() => Pinned::Unknown,
                others => Pinned::Elsewhere(others),
            },
        }
    }

    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.of_host.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use policy_release::key::SigningKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SigningKey::generate([seed; 32]).unwrap().public()
    }

    #[test]
    fn a_node_key_is_a_text_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.pub");
        std::fs::write(&path, format!("{}\n", key(1))).unwrap();
        assert_eq!(node_key(&key(1).to_string()).unwrap(), key(1));
        assert_eq!(node_key(path.to_str().unwrap()).unwrap(), key(1));
        std::fs::write(&path, "no key").unwrap();
        for wrong in [path.to_str().unwrap(), "/nonexistent/node.pub", "adamant-ed25519:AAAA"] {
            assert!(node_key(wrong).unwrap_err().to_string().starts_with("--node-key: "));
        }
    }

    #[test]
    fn a_key_is_pinned_for_any_gateway_or_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pins");
        let text = format!("# ours\n{}\n{} https://gw2:9902  # the second\n\n", key(1), key(2));
        std::fs::write(&path, text).unwrap();
        let mut pins = Pins::default();
        assert_eq!(pins.look("https://gw1:9902", &key(1)), Pinned::NoneGiven);
        pins.add_file(&path).unwrap();
        assert_eq!(pins.look("https://gw1:9902", &key(1)), Pinned::Yes);
        assert_eq!(pins.look("https://gw1:9902", &key(2)), Pinned::Elsewhere(vec!["https://gw2:9902".to_owned()]));
        assert_eq!(pins.look("https://gw1:9902", &key(3)), Pinned::Unknown);
        assert_eq!(pins.look("https://gw2:9902", &key(2)), Pinned::Yes);
        assert_eq!(pins.look("https://gw2:9902", &key(1)), Pinned::Other(vec![key(2)], Vec::new()));
        for wrong in ["adamant-ed25519:AAAA", &format!("{} a b", key(1))] {
            std::fs::write(&path, wrong).unwrap();
            let refused = Pins::default().add_file(&path).unwrap_err().to_string();
            assert!(refused.contains("pins:1: expected"), "{refused}");
        }
    }
}
