//! Where `gateway.toml` names the file of a secret. Whoever writes the secret itself there finds it in no error, whatever
//! else is wrong, and wherever.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::credentials;

/// Settings that take such a file, in whatever table.
const SETTINGS: [&str; 3] = ["token", "secret", "state_identity"];
/// The same in one table alone.
const SETTINGS_OF: [(&str, &str); 2] = [("external_account", "key"), ("origin_credential", "file")];

/// Where in `text`, the configuration at `path`, something else than the name of a file stands there. What is no TOML is
/// looked at as far as it can be.
pub fn no_files(path: &Path, text: &str) -> Vec<Range<usize>> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    look(root.get_ref(), "", &mut |setting, at| {
        if !credentials::is_file(path, setting) {
            found.push(at);
        }
    });
    found
}

fn look(table: &DeTable<'_>, name: &str, found: &mut dyn FnMut(&str, Range<usize>)) {
    for (setting, value) in table.iter() {
        let setting = setting.get_ref().as_ref();
        let is_secret = SETTINGS.contains(&setting) || SETTINGS_OF.contains(&(name, setting));
        match value.get_ref() {
            DeValue::Table(table) => look(table, setting, found),
            DeValue::Array(tables) => {
                for table in tables.iter().filter_map(|value| value.get_ref().as_table()) {
                    look(table, setting, found);
                }
            }
            DeValue::String(text) if is_secret => found(text, value.span()),
            _ => {}
        }
    }
}
