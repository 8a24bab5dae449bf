//! Listeners on a port of this machine, which its browsers reach as well.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a request is addressed to this machine as a program on it would, and comes from no web page (Fetch Metadata, and
/// `Origin`, RFC 6454 §7). A name that somebody's page has pointed here would stand in `Host`; what sends none is no browser.
pub fn is_local(uri: &Uri, fields: &HeaderMap) -> bool {
    let is_own = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    };
    let of_field = |field: &HeaderValue| {
        let authority = field.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        authority.is_some_and(|authority| is_own(authority.host()))
    };
    let of_page = |site: &HeaderValue| site != "none" && site != "same-origin";
    let of_host = |origin: &HeaderValue| {
        let origin = origin.as_bytes().strip_prefix(b"http://");
        fields.get(HOST).is_some_and(|host| origin == Some(host.as_bytes()))
    };
    uri.host().is_none_or(is_own)
        && fields.get_all(HOST).iter().all(of_field)
        && !fields.get_all(FETCH_SITE).iter().any(of_page)
        && fields.get_all(ORIGIN).iter().all(of_host)
}
