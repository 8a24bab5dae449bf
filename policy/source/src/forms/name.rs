//! Names of tables, of scopes, and ids of API keys.

use crate::bounds::{API_KEY_ID_BYTES_MAX, NAME_BYTES_MAX, SCOPE_NAME_BYTES_MAX};
use crate::codes::BAD_NAME;
use crate::fields::shown;
use crate::forms::{Flaw, first_not};

/// `[a-z0-9][a-z0-9._:-]{0,63}`.
pub(crate) fn name(text: &str) -> Result<(), Flaw> {
    let admitted = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | ':' | '-');
    check(text, NAME_BYTES_MAX, "lower-case letters, digits, `.`, `_`, `:` and `-`", admitted)?;
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let flaw = Flaw::new(BAD_NAME, format!("the name `{text}` begins with a sign")).at(0..1);
        return Err(flaw.label("a sign").hint("begin with a letter or a digit"));
    }
    Ok(())
}

/// `[a-z0-9-]{1,32}`: stands between the underscores of `adm_<id>_…`.
pub(crate) fn api_key_id(text: &str) -> Result<(), Flaw> {
    let admitted = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    check(text, API_KEY_ID_BYTES_MAX, "lower-case letters, digits and `-`", admitted)
}

/// A scope-token of RFC 6749 §3.3, because it is compared with the scopes of tokens: printable ASCII but space, `"`
/// and `\`.
pub(crate) fn scope(text: &str) -> Result<(), Flaw> {
    let admitted = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    check(text, SCOPE_NAME_BYTES_MAX, "printable ASCII without spaces, `\"` and `\\`", admitted)
}

fn check(text: &str, bytes_max: usize, admits: &str, admitted: impl Fn(char) -> bool) -> Result<(), Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(BAD_NAME, "a name must not be empty").label("empty").hint("give it a name of its own"));
    }
    if text.len() > bytes_max {
        let message = format!("a name of {} bytes, the most is {bytes_max}", text.len());
        return Err(Flaw::new(BAD_NAME, message).label("too long").hint("shorten it"));
    }
    let Some(at) = first_not(text, &admitted) else {
        return Ok(());
    };
    let flaw = Flaw::new(BAD_NAME, format!("`{}` is not a name here", shown(text))).at(at);
    let better: String = text.trim().to_lowercase().replace([' ', '/', '_'], "-");
    let flaw = flaw.label("not admitted");
    match better.chars().all(&admitted) && !better.is_empty() {
        true => Err(flaw.hint(format!("names have {admits}: write `{better}`"))),
        false => Err(flaw.hint(format!("names have {admits}"))),
    }
}
