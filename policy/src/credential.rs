//! What may be a secret in a text: what a file is by its look, and texts with the credentials in them covered. Whatever
//! is said about a file that somebody named ends up in logs, and it may be the wrong file.
//!
//! A look decides, not a parser: a secret that is damaged is one too.

use std::borrow::Cow;
use std::ops::Range;

/// What stands in the place of a credential in a message.
const COVER: &str = "******";
/// Bytes from which a text without an order to it may be a key.
const RANDOM_BYTES_MIN: usize = 16;
/// Bytes from which a line of base64 alone may be a part of a key.
const LINE_BYTES_MIN: usize = 16;
/// Bytes that what follows a known prefix has at least.
const TAIL_BYTES_MIN: usize = 12;
/// Bytes of a quoted piece from which it is compared with what is covered.
const PIECE_BYTES_MIN: usize = 4;

/// What API keys, JWTs (a JSON object in base64url), tokens of Vault and OpenBao, and age identities begin with.
const PREFIXES: [&str; 6] = ["adm_", "eyJ", "hvs.", "hvb.", "hvr.", "AGE-SECRET-KEY-1"];
/// What public digests and keys begin with: shown, however random they look.
const PUBLIC_PREFIXES: [&str; 2] = ["sha256:", "ed25519:"];
/// Parts of the names of settings whose values are secrets.
const SECRET_NAMES: [&str; 6] = ["password", "passwd", "passphrase", "secret", "private_key", "_token"];
/// Settings that name the file of a secret which is one word.
const WORD_NAMES: [&str; 2] = ["token", "secret"];
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// What a file is by its look, with its article; none where that is not known. `bytes` may be its beginning alone.
pub fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(if bytes.starts_with(&[0x30, 0x82]) { "a certificate or key (DER)" } else { "no text" });
    };
    let begins = text.trim_start();
    if begins.is_empty() {
        return Some("nothing");
    }
    if begins.starts_with('{') {
        return json_kind(text);
    }
    if let Some(after) = text.find(BEGIN).and_then(|at| text.get(at + BEGIN.len()..)) {
        let label = after.split("-----").next().unwrap_or_default();
        return match () {
            () if text.contains("adamant-ed25519:") => Some("a private key of Adamant (of a signer or a node)"),
            () if label.ends_with("PRIVATE KEY") => Some("a private key (PEM)"),
            () if label.ends_with("CERTIFICATE") => Some("a certificate (PEM)"),
            () if label.ends_with("PUBLIC KEY") => Some("a public key (PEM)"),
            () => Some("a PEM file"),
        };
    }
    let header = |name: &str| text.lines().any(|line| line.trim_start().starts_with(name));
    let mut lines = begins.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    match () {
        () if header("[gateway]") => Some("a gateway's configuration"),
        () if header("[policy]") => Some("a policy source"),
        () if first.starts_with("adm_") => Some("an API key"),
        () if first.starts_with("eyJ") && first.contains('.') => Some("a token (JWT)"),
        () if first.starts_with("AGE-SECRET-KEY-1") => Some("an age identity"),
        () if PREFIXES.iter().any(|prefix| first.starts_with(prefix)) => Some("a token"),
        () if first.starts_with("adamant-ed25519:") => Some("a public key"),
        () if is_base64_line(first) => Some("a text in base64"),
        () => None,
    }
}

fn json_kind(text: &str) -> Option<&'static str> {
    let known = [
        ("vnd.adamant.release.", "a release"),
        ("vnd.adamant.trust-root.", "a trust root"),
        ("vnd.adamant.pointer.", "a pointer"),
        ("vnd.adamant.attestation.", "an attestation"),
        ("vnd.in-toto+json", "a provenance statement"),
        ("\"adamant.signature.v1\"", "a detached signature"),
        ("\"adamant.kind\"", "records"),
        ("\"kty\"", "a JWK or JWK Set"),
    ];
    known.iter().find(|(mark, _)| text.contains(mark)).map(|(_, kind)| *kind).or(Some("JSON"))
}

/// A text, and where credentials stand in it.
pub struct Covered<'t> {
    text: &'t str,
    secret: Vec<Range<usize>>,
}

impl<'t> Covered<'t> {
    pub fn of(text: &'t str) -> Self {
        let mut secret = Vec::new();
        let (mut start, mut in_block) = (0, false);
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end_matches(['\n', '\r']);
            in_block = mark_line(bare, start, in_block, &mut secret);
            start += line.len();
        }
        Self { text, secret }
    }

    /// Covers a further place, which is known to hold a secret.
    pub fn and(mut self, range: Range<usize>) -> Self {
        self.secret.push(range);
        self
    }

    /// The text with `*` for each byte of a credential: every other byte stays where it was.
    pub fn text(&self) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(self.text);
        for range in &self.secret {
            if let Some(stars) = self.text.get(range.clone()).map(|secret| "*".repeat(secret.len())) {
                text.to_mut().replace_range(range.clone(), &stars);
            }
        }
        text
    }

    /// What is said about the text, without the credentials that it quotes from it.
    pub fn message<'m>(&self, message: &'m str) -> Cow<'m, str> {
        let mut said = known(message);
        if self.secret.is_empty() {
            return said;
        }
        let quoted: Vec<String> =
            said.split(['`', '"', '\'']).map(|piece| piece.trim_end_matches(['…', '=']).to_owned()).collect();
        for piece in quoted.iter().filter(|piece| piece.len() >= PIECE_BYTES_MIN) {
            let secrets = self.secret.iter().filter_map(|range| self.text.get(range.clone()));
            if secrets.into_iter().any(|secret| secret.contains(piece.as_str())) {
                said = Cow::Owned(said.replace(piece.as_str(), COVER));
            }
        }
        said
    }
}

/// A message without what has the form of a credential: those with a known beginning, and the user and password of an
/// address.
pub fn known(message: &str) -> Cow<'_, str> {
    let mut found = Vec::new();
    prefixed(message, 0, &mut found);
    user_info(message, 0, &mut found);
    let mut said = Cow::Borrowed(message);
    found.sort_by_key(|range| std::cmp::Reverse(range.start));
    let mut before = usize::MAX;
    for range in found.into_iter().filter(|range| range.end <= message.len()) {
        if range.end <= before {
            before = range.start;
            said.to_mut().replace_range(range, COVER);
        }
    }
    said
}

/// Marks what is secret in a line that begins at `start`; tells whether the next line is inside a PEM block.
fn mark_line(line: &str, start: usize, in_block: bool, secret: &mut Vec<Range<usize>>) -> bool {
    let whole = start..start + line.len();
    if let Some(at) = line.find(BEGIN) {
        let body = line
            .get(at + BEGIN.len()..)
            .and_then(|rest| rest.find("-----"))
            .map_or(line.len(), |dashes| at + BEGIN.len() + dashes + "-----".len());
        let end = line.find(END).filter(|end| *end >= body);
        secret.push(start + body..end.map_or(whole.end, |end| start + end));
        return end.is_none();
    }
    if in_block && !line.contains(END) && !line.trim_start().starts_with('[') {
        secret.push(whole);
        return true;
    }
    if is_base64_line(line.trim()) {
        secret.push(whole);
        return false;
    }
    prefixed(line, start, secret);
    user_info(line, start, secret);
    random(line, start, secret);
    named(line, start, secret);
    word(line, start, secret);
    unquoted(line, start, secret);
    false
}

/// Letters, digits, `+` and `/`, padded: nothing that a person writes on a line of its own.
fn is_base64_line(line: &str) -> bool {
    let body = line.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mixed =
        body.bytes().any(|byte| byte.is_ascii_uppercase()) && body.bytes().any(|byte| byte.is_ascii_lowercase());
    line.len() >= LINE_BYTES_MIN && mixed && body.bytes().all(fits)
}

fn prefixed(text: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    for prefix in PREFIXES {
        for (at, _) in text.match_indices(prefix) {
            let begins = text.get(..at).is_none_or(|before| !before.ends_with(|c: char| c.is_ascii_alphanumeric()));
            let rest = text.get(at..).unwrap_or_default();
            let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            if begins && length >= prefix.len() + TAIL_BYTES_MIN {
                secret.push(start + at..start + at + length);
            }
        }
    }
}

/// `user:password` of `https://user:password@host`.
fn user_info(text: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    for (at, scheme) in text.match_indices("://") {
        let from = at + scheme.len();
        let rest = text.get(from..).unwrap_or_default();
        let authority = rest.split(['/', '"', '\'', '`', ' ', '?', '#']).next().unwrap_or_default();
        if let Some(end) = authority.rfind('@').filter(|end| *end > 0) {
            secret.push(start + from..start + from + end);
        }
    }
}

/// Runs of base64 or base64url that look like no word and no path.
fn random(line: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-');
    let mut at = 0;
    while let Some(begin) = line.get(at..).and_then(|rest| rest.find(inside)).map(|found| at + found) {
        let rest = line.get(begin..).unwrap_or_default();
        let run = rest.get(..rest.find(|c| !inside(c)).unwrap_or(rest.len())).unwrap_or_default();
        let is_public = line.get(..begin).is_some_and(|before| PUBLIC_PREFIXES.iter().any(|of| before.ends_with(of)));
        if !is_public && run.split('/').any(looks_random) {
            secret.push(start + begin..start + begin + run.len());
        }
        at = begin + run.len();
    }
}

/// Upper case, lower case and others follow one another without an order.
fn looks_random(text: &str) -> bool {
    let class = |byte: u8| match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        _ => 2,
    };
    let changes = text.bytes().zip(text.bytes().skip(1)).filter(|(one, next)| class(*one) != class(*next)).count();
    let all = (0..3).all(|wanted| text.bytes().any(|byte| class(byte) == wanted));
    text.len() >= RANDOM_BYTES_MIN && all && changes * 3 >= text.len()
}

/// The value of a setting that is called a secret: of the first on a line all of it, of one in a table on the line its text.
fn named(line: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    let line = line.trim_end();
    let mut covered = 0;
    for (nth, (sign, _)) in line.match_indices(['=', ':']).enumerate() {
        if sign < covered {
            continue;
        }
        let before = line.get(..sign).unwrap_or_default().trim_end();
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'');
        let name = if nth == 0 { before } else { before.rsplit(|c| !inside(c)).next().unwrap_or_default() };
        let name = name.to_ascii_lowercase();
        let name = name.trim().trim_matches(['"', '\'']);
        let is_secret = SECRET_NAMES.iter().any(|part| name.contains(part)) || name == "token" && is_upper(line);
        let value = line.get(sign + 1..).unwrap_or_default().trim_start();
        if is_secret && !value.is_empty() {
            let quoted = value.chars().next().filter(|first| nth > 0 && matches!(first, '"' | '\''));
            let from = line.len() - value.len() + usize::from(quoted.is_some());
            let value = line.get(from..).unwrap_or_default();
            let end = match quoted {
                _ if nth == 0 => None,
                Some(quote) => value.find(quote),
                None => value.find([',', '}', ']', ' ']),
            };
            covered = from + end.unwrap_or(value.len());
            secret.push(start + from..start + covered);
        }
    }
}

/// What a table on one line has as its token or secret, where that looks like no file: it may be the word itself.
fn word(line: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    let is_file = |value: &str| value.starts_with("credential:") || value.contains(['/', '.']) && !value.contains(':');
    for name in WORD_NAMES {
        for (at, _) in line.match_indices(name) {
            let begins =
                line.get(..at).is_none_or(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            let after = line.get(at + name.len()..).unwrap_or_default().trim_start();
            let Some(value) = after.strip_prefix('=').map(str::trim_start).filter(|_| begins) else { continue };
            let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else { continue };
            let from = line.len() - value.len() + 1;
            let value = line.get(from..).and_then(|rest| rest.split(quote).next()).unwrap_or_default();
            if !value.is_empty() && !is_file(value) {
                secret.push(start + from..start + from + value.len());
            }
        }
    }
}

/// A long value that somebody forgot to quote: a setting has no such, and it may be the secret in place of its file.
fn unquoted(line: &str, start: usize, secret: &mut Vec<Range<usize>>) {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '~');
    for (sign, _) in line.match_indices('=') {
        let after = line.get(sign + 1..).unwrap_or_default();
        let from = line.len() - after.trim_start().len();
        let value = after.trim_start().split([' ', '\t', ',', '}', '#', '=']).next().unwrap_or_default();
        // With a letter: it is no number.
        let has_letter = value.contains(|c: char| c.is_ascii_alphabetic());
        if has_letter && value.len() >= RANDOM_BYTES_MIN && value.chars().all(inside) {
            secret.push(start + from..start + from + value.len());
        }
    }
}

/// As variables of an environment are written.
fn is_upper(line: &str) -> bool {
    line.trim_start().starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
