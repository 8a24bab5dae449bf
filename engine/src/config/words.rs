//! What of `gateway.toml` no error may show: secrets belong into files that it names, and stand in it all the same, in the place
//! of such a file, under a key that there is not, or where a table was expected. Wherever the mistake is that is told.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use policy::credential::Covered;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Error};

use super::{credentials, schema};

/// Settings that take the file of a secret which is one word, in whatever table.
const SETTINGS: [&str; 3] = ["token", "secret", "state_identity"];
/// The same in one table alone.
const SETTINGS_OF: [(&str, &str); 2] = [("external_account", "key"), ("origin_credential", "file")];
/// Settings that take the file of a private key: one that is not there is told by its name, where that looks like one.
const KEY_SETTING: &str = "key";
/// Tables that can be written as a text: a directory, or a URL.
const TEXTS: [(&str, &str); 2] = [("gateway", "store"), ("records", "checkpoints")];
/// Bytes from which a word is taken for a secret.
const WORD_BYTES_MIN: usize = 4;
/// What the TOML reader says of the second of two values, which is left out of what it gives.
const DUPLICATE: &str = "duplicate key";
/// Mistakes that are looked at: the first is told.
const MISTAKES_MAX: usize = 64;
const COVER: &str = "******";

/// A configuration without its secrets.
pub struct Cover<'t> {
    covered: Covered<'t>,
    words: Vec<String>,
}

impl<'t> Cover<'t> {
    /// `text` is the configuration at `path`. What is no TOML is looked at as far as it can be.
    pub fn of(path: &Path, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut found = Found { path, text, places: Vec::new(), words: Vec::new() };
        found.table(root.get_ref(), ("", ""));
        errors.iter().take(MISTAKES_MAX).for_each(|error| found.broken(error));
        Self { covered: found.places.into_iter().fold(Covered::of(text), Covered::and), words: found.words }
    }

    /// With `*` for each byte of a secret.
    pub fn text(&self) -> Cow<'t, str> {
        self.covered.text()
    }

    /// What is said about the text, without the secrets that it quotes.
    pub fn message(&self, message: &str) -> String {
        let mut said = without_queries(message);
        for word in self.words.iter().filter(|word| word.len() >= WORD_BYTES_MIN) {
            let quoted = format!("{word:?}");
            said = said.replace(quoted.trim_matches('"'), COVER).replace(word, COVER);
        }
        self.covered.message(&said).into_owned()
    }
}

/// Whether what is written as the file of a private key can be told by that name where it is not there.
pub fn may_be_secret(written: &str) -> bool {
    let extension = written.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_named = (1..=4).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_path = (is_named || written.contains('/')) && !written.contains([':', ' ']);
    written.len() >= WORD_BYTES_MIN && !is_path && !written.starts_with(credentials::PREFIX)
}

struct Found<'t> {
    path: &'t Path,
    text: &'t str,
    places: Vec<Range<usize>>,
    /// What is written there, as the reader has it.
    words: Vec<String>,
}

impl Found<'_> {
    /// `name`: the table in which it is, and its own.
    fn table(&mut self, table: &DeTable<'_>, name: (&str, &str)) {
        let known = schema::keys(name.0, name.1).unwrap_or_default();
        for (key, value) in table.iter() {
            let setting = key.get_ref().as_ref();
            if known.contains(&setting) {
                self.value(value.get_ref(), value.span(), (name.1, setting));
            } else {
                self.unknown(key, value);
            }
        }
    }

    /// Of what there is no setting for: it may be anything.
    fn unknown(&mut self, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        // A text where a key is expected.
        if value.span().is_empty() && self.text.get(key.span()).is_some_and(|key| key.starts_with(['"', '\''])) {
            self.cover(key.span(), key.get_ref());
        }
        self.all(value.get_ref(), value.span());
    }

    /// Of a setting that there is, by its table and name.
    fn value(&mut self, value: &DeValue<'_>, at: Range<usize>, setting: (&str, &str)) {
        let is_table = schema::keys(setting.0, setting.1).is_some();
        let is_word = SETTINGS.contains(&setting.1) || SETTINGS_OF.contains(&setting);
        match value {
            DeValue::Table(table) if is_table => self.table(table, setting),
            DeValue::Array(list) => {
                list.iter().for_each(|value| self.value(value.get_ref(), value.span(), setting));
            }
            DeValue::String(word) if is_word => self.word(at, word),
            DeValue::String(word) if setting.1 == KEY_SETTING && !may_be_secret(word) => {}
            DeValue::String(text) if setting.1 != KEY_SETTING && (!is_table || TEXTS.contains(&setting)) => {
                self.query(at, text);
            }
            DeValue::String(_) | DeValue::Table(_) => self.all(value, at),
            _ if is_table || is_word || setting.1 == KEY_SETTING => self.all(value, at),
            _ => {}
        }
    }

    fn all(&mut self, value: &DeValue<'_>, at: Range<usize>) {
        match value {
            DeValue::Table(table) => table.iter().for_each(|(key, value)| self.unknown(key, value)),
            DeValue::Array(list) => list.iter().for_each(|value| self.all(value.get_ref(), value.span())),
            DeValue::String(word) => self.word(at, word),
            DeValue::Boolean(_) => {}
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                let written = self.text.get(at.clone()).unwrap_or_default().to_owned();
                self.cover(at, &written);
            }
        }
    }

    fn word(&mut self, at: Range<usize>, word: &str) {
        if !credentials::is_file(self.path, word) {
            self.cover(at, word);
        }
    }

    /// A URL can have a secret in its query.
    fn query(&mut self, at: Range<usize>, text: &str) {
        let after = |text: &str| {
            let scheme = text.find("://")?;
            Some(scheme + text.get(scheme..)?.find(['?', '#'])? + 1)
        };
        if let Some(word) = after(text).and_then(|begin| text.get(begin..)) {
            let written = self.text.get(at.clone()).unwrap_or_default().trim_end_matches(['"', '\'']);
            // With an escape in the place of its sign, the whole of it.
            let begin = after(written).unwrap_or(0);
            self.cover(at.start + begin..at.start + written.len(), word);
        }
    }

    fn cover(&mut self, at: Range<usize>, word: &str) {
        self.places.push(at);
        self.words.push(word.to_owned());
    }

    /// A line that is no TOML: what stands behind a secret on it may belong to it, and not all of it is known.
    fn broken(&mut self, error: &Error) {
        let Some(at) = error.span() else { return };
        let before = self.text.get(..at.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let end = start + line.len();
        let known = self.places.iter().map(|place| place.start).filter(|place| (start..end).contains(place)).min();
        let written = doubtful(line).map(|from| start + from);
        let second = Some(at.end).filter(|_| error.message() == DUPLICATE);
        let unsigned = unsigned(before.get(..start).unwrap_or_default(), line).map(|from| start + from);
        let from = [known, written, second, unsigned].into_iter().flatten().min();
        self.places.extend(from.filter(|from| *from < end).map(|from| from..end));
    }
}

/// Where in a line a value begins that may be a secret by what stands before it.
fn doubtful(line: &str) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'');
    let is_shown = |name: &str| {
        let is_word = name == KEY_SETTING || SETTINGS.contains(&name) || SETTINGS_OF.iter().any(|(_, of)| *of == name);
        schema::is_key(name) && !is_word
    };
    line.match_indices(['=', ':']).find_map(|(at, sign)| {
        let (before, after) = (line.get(..at)?, line.get(at + 1..)?);
        let name = before.trim_end().rsplit(|c| !inside(c)).next()?.trim_matches(['"', '\'']);
        // As elsewhere than in TOML: `name: value`.
        let assigns = sign == "=" || before.ends_with(' ') || after.starts_with(' ');
        (assigns && !is_shown(name)).then_some(at + 1)
    })
}

/// Where in a line that has no sign between name and value a value may begin; `before`: what stands above it.
fn unsigned(before: &str, line: &str) -> Option<usize> {
    let above = before.lines().next_back().unwrap_or_default();
    // It may go on with what was begun there.
    if above.trim_end().ends_with('=') || above.matches(['"', '\'']).count() % 2 == 1 {
        return Some(0);
    }
    let name = line.trim_start();
    if line.contains(['=', ':']) || name.starts_with(['[', '#']) {
        return None;
    }
    let length = name.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(name.len());
    Some(line.len() - name.len() + length)
}

fn without_queries(message: &str) -> String {
    let mut parts = message.split("://");
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['"', '\'', '`', ' ']).unwrap_or(part.len());
        let (url, rest) = part.split_at(end);
        said.push_str("://");
        match url.find(['?', '#']) {
            Some(query) => {
                said.push_str(url.get(..=query).unwrap_or_default());
                said.push_str(COVER);
            }
            None => said.push_str(url),
        }
        said.push_str(rest);
    }
    said
}

#[cfg(test)]
mod tests;
