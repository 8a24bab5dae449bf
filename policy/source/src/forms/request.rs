//! What a case asks for: `METHOD http[s]://host[:port]/target`. The scheme says whether there is TLS.

use policy::case::Asked;
use policy::target::normalise_host;

use crate::codes::BAD_REQUEST;
use crate::fields::shown;
use crate::forms::{Flaw, first_not, method};

const EXAMPLE: &str = "like `GET https://api.corp.example/orders/7`";

pub(crate) fn request(text: &str) -> Result<Asked, Flaw> {
    let flaw = |message: &str| Flaw::new(BAD_REQUEST, format!("`{}` is not a request: {message}", shown(text)));
    let Some((method, url)) = text.split_once(' ') else {
        return Err(flaw("it is not a method, a space and a URL").label("method or URL is missing").hint(EXAMPLE));
    };
    method::method(method).map_err(|flaw| {
        let at = flaw.at.clone().unwrap_or(0..method.len().max(1));
        flaw.at(at)
    })?;
    let url_at = method.len() + 1;
    let (tls, after) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(after), _) => (true, after),
        (None, Some(after)) => (false, after),
        (None, None) => {
            let end = url.find("://").map_or(url.len(), |at| at + 3);
            let flaw = flaw("its URL has no scheme of HTTP").at(url_at..url_at + end.max(1));
            return Err(flaw.label("not http:// or https://").hint(EXAMPLE));
        }
    };
    let authority_at = text.len() - after.len();
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, target) = after.split_at_checked(end).unwrap_or((after, ""));
    let mut host = Vec::new();
    let normal = normalise_host(authority.as_bytes(), &mut host).and_then(|host| std::str::from_utf8(host).ok());
    let Some(host) = normal.filter(|host| !host.is_empty()) else {
        let flaw = flaw("it names no host").at(authority_at..authority_at + authority.len().max(1));
        return Err(flaw.label("not a host").hint(EXAMPLE));
    };
    let target_at = authority_at + end;
    if let Some(at) = first_not(target, |c| c.is_ascii_graphic()) {
        let flaw = flaw("a client could not send this in a request line").at(target_at + at.start..target_at + at.end);
        return Err(flaw.label("not visible ASCII").hint("percent-encode it"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Asked { tls, method: method.to_owned(), host: host.to_owned(), target })
}
