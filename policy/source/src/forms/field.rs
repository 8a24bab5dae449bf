//! Fields that an origin gets from the gateway itself: their names and values.

use policy::model::SECRET_PLACE;

use crate::codes::{BAD_CREDENTIALS, SECRET_IN_POLICY};
use crate::fields::shown;
use crate::forms::{Flaw, first_not};

/// A field name (RFC 9110 §5.1) in lower case.
pub(crate) fn name(text: &str) -> Result<String, Flaw> {
    if text.is_empty() {
        let flaw = Flaw::new(BAD_CREDENTIALS, "a field name must not be empty").label("empty");
        return Err(flaw.hint("write `header = \"Authorization\"`, or the name that the origin wants"));
    }
    let admitted = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match first_not(text, admitted) {
        None => Ok(text.to_ascii_lowercase()),
        Some(at) => {
            let flaw = Flaw::new(BAD_CREDENTIALS, format!("`{}` is not a field name", shown(text))).at(at);
            Err(flaw.label("not admitted").hint("field names have letters, digits and `-`: `X-Origin-Key`"))
        }
    }
}

/// A field value with [`SECRET_PLACE`] once. One without it may well be the secret itself, so nothing of it is shown.
pub(crate) fn value(text: &str) -> Result<(), Flaw> {
    const HINT: &str = "write `{secret}` where the secret goes, as in `Bearer {secret}`; the secret itself stands in the \
                        file of an [[origin_credential]] of gateway.toml";
    let places = text.matches(SECRET_PLACE).count();
    if places == 0 {
        let flaw = Flaw::new(SECRET_IN_POLICY, "this value has no place for the secret").label("no `{secret}`");
        return Err(flaw.hint(HINT));
    }
    if places > 1 {
        let flaw = Flaw::new(BAD_CREDENTIALS, "this value has more than one place for the secret");
        return Err(flaw.label("`{secret}` stands twice").hint(HINT));
    }
    if let Some(at) = first_not(text, |c| c.is_ascii_graphic() || c == ' ') {
        let flaw = Flaw::new(BAD_CREDENTIALS, "a field value has visible ASCII and spaces alone").at(at);
        return Err(flaw.label("not admitted").hint("remove it"));
    }
    if text.trim() != text {
        let flaw = Flaw::new(BAD_CREDENTIALS, "a field value neither begins nor ends with a space");
        return Err(flaw.label("a space at its end").hint("remove it"));
    }
    Ok(())
}
