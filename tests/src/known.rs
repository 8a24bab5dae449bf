//! Known secrets, in all forms in which one could be written: as it is, in hex, in base64 at any place of another text.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

/// Bytes of a secret that nobody may see together.
const PART: usize = 12;

#[derive(Default)]
pub struct Known {
    parts: HashMap<[u8; PART], String>,
}

impl Known {
    pub fn text(&mut self, name: &str, secret: &str) {
        self.bytes(name, secret.as_bytes());
    }

    /// The private part of a key in PEM (PKCS #8 of P-256 or Ed25519): the rest of it is public.
    pub fn key(&mut self, name: &str, pem: &str) {
        let body: String =
            pem.lines().filter(|line| !line.starts_with(['-', '#']) && !line.starts_with("adamant-")).collect();
        let der = STANDARD.decode(body).unwrap();
        self.der(name, &der);
        // As it stands in the file, line breaks and all: what is encoded once more, as in a Secret of Kubernetes.
        let private = Self::private(&der).map(|at| at.start * 4 / 3 + 1..at.end * 4 / 3).unwrap();
        let begins = pem.find("-----BEGIN").map(|at| at + pem[at..].find('\n').unwrap()).unwrap();
        let is_line = |character: &(usize, char)| !character.1.is_whitespace();
        let characters: Vec<usize> = pem[begins..].char_indices().filter(is_line).map(|(at, _)| begins + at).collect();
        self.bytes(name, &pem.as_bytes()[characters[private.start]..characters[private.end]]);
    }

    /// The same, in DER.
    pub fn der(&mut self, name: &str, der: &[u8]) {
        let private = Self::private(der).unwrap_or_else(|| panic!("{name} is no such key"));
        self.bytes(name, &der[private]);
    }

    /// Where the private part is.
    fn private(der: &[u8]) -> Option<Range<usize>> {
        // An octet string of 32 bytes, behind the version of an EC key or within another octet string.
        let marks: [&[u8]; 2] = [&[2, 1, 1, 4, 32], &[4, 34, 4, 32]];
        marks.iter().find_map(|mark| {
            let at = der.windows(mark.len()).position(|found| found == *mark)? + mark.len();
            (at + 32 <= der.len()).then_some(at..at + 32)
        })
    }

    /// The private part of a key of P-256 that its public half follows, in base64url.
    pub fn scalar(&mut self, name: &str, key: &str) {
        self.bytes(name, &URL_SAFE_NO_PAD.decode(key).unwrap()[..32]);
    }

    pub fn bytes(&mut self, name: &str, secret: &[u8]) {
        self.add(name, secret);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(name, hex.as_bytes());
        self.add(name, hex.to_uppercase().as_bytes());
        for before in 0..3 {
            for engine in [STANDARD, URL_SAFE] {
                let text = engine.encode([&vec![0; before], secret].concat());
                // The first and last characters are of other bytes too.
                self.add(name, text.as_bytes().get(4..text.len() - 4).unwrap());
            }
        }
    }

    fn add(&mut self, name: &str, form: &[u8]) {
        for part in form.windows(PART) {
            self.parts.insert(part.try_into().unwrap(), name.to_owned());
        }
    }

    /// Names of the secrets of which any part stands in `bytes`.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let found = bytes.windows(PART).filter_map(|part| self.parts.get(part));
        found.map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_is_found() {
        let mut known = Known::default();
        known.text("it", "0123456789-abcdefghijkl");
        let plain = "x0123456789-abcdefghijkly";
        let hex: String = plain.bytes().map(|byte| format!("{byte:02X}")).collect();
        for form in [plain.to_owned(), hex, STANDARD.encode(plain), URL_SAFE.encode(format!("zz{plain}"))] {
            assert_eq!(known.found_in(form.as_bytes()), ["it"], "{form}");
        }
        assert_eq!(known.found_in(b"another text, 0123456789"), [""; 0]);

        let key = rcgen::KeyPair::generate().unwrap();
        known = Known::default();
        known.key("key", &key.serialize_pem());
        let der = key.serialize_der();
        let private = Known::private(&der).unwrap();
        for form in [der.clone(), key.serialize_pem().into_bytes(), STANDARD.encode(key.serialize_pem()).into_bytes()] {
            assert_eq!(known.found_in(&form), ["key"], "{}", String::from_utf8_lossy(&form));
        }
        assert_eq!(known.found_in(&der[..private.start]), [""; 0]);
        assert_eq!(known.found_in(key.public_key_pem().as_bytes()), [""; 0]);
    }
}
