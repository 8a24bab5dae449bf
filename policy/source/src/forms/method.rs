//! Request methods: tokens of RFC 9110 §5.6.2, without CONNECT and TRACE.

use crate::bounds::METHOD_BYTES_MAX;
use crate::codes::{BAD_METHOD, METHOD_CASE};
use crate::fields::shown;
use crate::forms::{Flaw, first_not};

/// Methods that clients really send (IANA HTTP Method Registry, the common ones).
const COMMON: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "PROPFIND"];

pub(crate) fn method(text: &str) -> Result<(), Flaw> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || text.len() > METHOD_BYTES_MAX {
        let message = format!("a method has 1 to {METHOD_BYTES_MAX} characters");
        return Err(Flaw::new(BAD_METHOD, message).label("not a method").hint("like `GET`"));
    }
    if let Some(at) = first_not(text, token) {
        let flaw = Flaw::new(BAD_METHOD, format!("`{}` is not a method", shown(text))).at(at).label("not admitted");
        return Err(flaw.hint("a method is one token, like `GET`; list several as `[\"GET\", \"HEAD\"]`"));
    }
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "CONNECT" | "TRACE") {
        let flaw = Flaw::new(BAD_METHOD, format!("{upper} is never forwarded")).label("refused");
        return Err(flaw.hint("remove it; `\"*\"` means every method but CONNECT and TRACE"));
    }
    if upper != text && COMMON.contains(&upper.as_str()) {
        let flaw = Flaw::new(METHOD_CASE, format!("methods are case-sensitive: `{text}` is not `{upper}`"));
        return Err(flaw.label("lower case").hint(format!("write `{upper}`")));
    }
    Ok(())
}
