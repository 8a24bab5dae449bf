//! What is revoked, as workers look it up: a revocation list compiled against one table. Pure look-ups in fixed memory.

use policy::table::{AgentId, ApiKeyIndex};
use sha2::{Digest, Sha256};

/// Everything revoked in one table. It does not wait for an activation: see [`crate::live`].
#[derive(Debug, Default)]
pub struct Revoked {
    /// Counts the lists in force since the process began; 0: there never was one.
    pub generation: u64,
    /// Serial of the list, for records; 0 without one.
    pub serial: u64,
    /// One bit each, by index.
    agents: Bits,
    api_keys: Bits,
    /// SHA-256 over the DER.
    certificates: Hashes,
    numbered_certificates: Hashes,
    tokens: Hashes,
    keys: Hashes,
    /// With the time before which tokens were issued, seconds since the Unix epoch.
    subjects: Box<[([u8; 32], u64)]>,
}

/// A [`Revoked`] in the making.
#[derive(Debug, Default)]
pub struct Builder {
    agents: Vec<u32>,
    api_keys: Vec<u32>,
    certificates: Vec<[u8; 32]>,
    numbered_certificates: Vec<[u8; 32]>,
    tokens: Vec<[u8; 32]>,
    keys: Vec<[u8; 32]>,
    subjects: Vec<([u8; 32], u64)>,
}

impl Builder {
    pub fn agent(&mut self, agent: AgentId) {
        self.agents.push(agent.0);
    }

    pub fn api_key(&mut self, key: ApiKeyIndex) {
        self.api_keys.push(key.0);
    }

    pub fn certificate(&mut self, sha256: [u8; 32]) {
        self.certificates.push(sha256);
    }

    /// `serial` as bytes without leading zeros.
    pub fn numbered_certificate(&mut self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) {
        self.numbered_certificates.push(numbered(issuer_spki_sha256, serial));
    }

    /// `issuer` by its index in the table, here and below.
    pub fn token(&mut self, issuer: u16, jti: &str) {
        self.tokens.push(of_issuer(issuer, jti));
    }

    pub fn key(&mut self, issuer: u16, kid: &str) {
        self.keys.push(of_issuer(issuer, kid));
    }

    /// Tokens that were issued before `before_s`, seconds since the Unix epoch.
    pub fn subject(&mut self, issuer: u16, subject: &str, before_s: u64) {
        self.subjects.push((of_issuer(issuer, subject), before_s));
    }

    pub fn build(mut self, generation: u64, serial: u64) -> Revoked {
        // Of one subject the latest time comes last.
        self.subjects.sort_unstable();
        self.subjects.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        Revoked {
            generation,
            serial,
            agents: Bits::new(&self.agents),
            api_keys: Bits::new(&self.api_keys),
            certificates: Hashes::new(self.certificates),
            numbered_certificates: Hashes::new(self.numbered_certificates),
            tokens: Hashes::new(self.tokens),
            keys: Hashes::new(self.keys),
            subjects: self.subjects.into(),
        }
    }
}

impl Revoked {
    pub fn agent(&self, agent: AgentId) -> bool {
        self.agents.has(agent.0)
    }

    pub fn api_key(&self, key: ApiKeyIndex) -> bool {
        self.api_keys.has(key.0)
    }

    /// By SHA-256 over the DER.
    pub fn certificate(&self, sha256: &[u8; 32]) -> bool {
        self.certificates.has(sha256)
    }

    /// Whether any certificate is listed at all, by hash or by number.
    pub fn names_certificates(&self) -> bool {
        !(self.certificates.is_empty() && self.numbered_certificates.is_empty())
    }

    /// Whether certificates are listed by their number.
    pub fn numbers_certificates(&self) -> bool {
        !self.numbered_certificates.is_empty()
    }

    /// `serial` as bytes without leading zeros.
    pub fn numbered_certificate(&self, issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> bool {
        self.numbers_certificates() && self.numbered_certificates.has(&numbered(issuer_spki_sha256, serial))
    }

    /// Whether a token is revoked, by its own id, its key or its subject. One that does not say when it was issued counts
    /// as issued before every time.
    pub fn token(&self, issuer: u16, token: &TokenFacts<'_>) -> bool {
        let id = || token.jti.is_some_and(|jti| self.tokens.has(&of_issuer(issuer, jti)));
        (!self.tokens.is_empty() && id())
            || token.kid.is_some_and(|kid| self.key(issuer, kid))
            || self.subject(issuer, token)
    }

    /// Whether an issuer's key is revoked.
    pub fn key(&self, issuer: u16, kid: &str) -> bool {
        !self.keys.is_empty() && self.keys.has(&of_issuer(issuer, kid))
    }

    fn subject(&self, issuer: u16, token: &TokenFacts<'_>) -> bool {
        if self.subjects.is_empty() {
            return false;
        }
        let key = of_issuer(issuer, token.subject);
        let found = self.subjects.binary_search_by(|(listed, _)| listed.cmp(&key)).ok();
        let before_s = found.and_then(|at| self.subjects.get(at)).map_or(0, |(_, before_s)| *before_s);
        token.issued_s.unwrap_or(0) < before_s
    }
}

/// What a token says that can be revoked.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts<'t> {
    pub jti: Option<&'t str>,
    pub kid: Option<&'t str>,
    pub subject: &'t str,
    /// Seconds since the Unix epoch.
    pub issued_s: Option<u64>,
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(numbers: &[u32]) -> Self {
        let words = numbers.iter().max().map_or(0, |most| *most as usize / 64 + 1);
        let mut bits = vec![0; words];
        for number in numbers {
            if let Some(word) = bits.get_mut(*number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        Self(bits.into())
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// A set of hashes, sorted.
#[derive(Debug, Default)]
struct Hashes(Box<[[u8; 32]]>);

impl Hashes {
    fn new(mut hashes: Vec<[u8; 32]>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes.into())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, hash: &[u8; 32]) -> bool {
        self.0.binary_search(hash).is_ok()
    }
}

fn numbered(issuer_spki_sha256: &[u8; 32], serial: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(issuer_spki_sha256).chain_update(serial).finalize().into()
}

fn of_issuer(issuer: u16, text: &str) -> [u8; 32] {
    Sha256::new().chain_update(issuer.to_le_bytes()).chain_update(text).finalize().into()
}

#[cfg(test)]
mod tests;
