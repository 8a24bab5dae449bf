//! One exchange of the proxy: what a local program may send, what goes to the gateway, what comes back.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri};
use stores::oauth::DPOP;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::bound::Nonce;
use super::gateway::{Caller, Connection, Content, Current};
use super::seat::Known;
use super::{Listen, Settings};
use crate::bounds::PROXY_RESPONSE_S_MAX;
use crate::explain::{self, Explained};
use crate::fault::Fault;
use crate::{clock, dpop};

/// How a local program shows the shared secret.
const SECRET: HeaderName = HeaderName::from_static("adamant-agent-secret");
/// Says that a response is the proxy's own, and why.
const OWN: HeaderName = HeaderName::from_static("adamant-agent");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Fields of one connection (RFC 9110 §7.6.1), and `Expect`, which the proxy answers itself.
const HOPS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "expect",
];

pub type Answer = Response<Either<Incoming, Full<Bytes>>>;
/// Why the proxy answers itself, and with which status.
pub type Refusal = (StatusCode, Explained);

/// What all exchanges share.
pub struct Exchanges {
    current: Current,
    secret: Option<Zeroizing<String>>,
    keep_credentials: bool,
    pub nonce: Nonce,
    /// A browser can be led to a port, not to a socket file.
    reachable_by_browsers: bool,
}

impl Exchanges {
    pub fn new(settings: &Settings, secret: Option<Zeroizing<String>>) -> Result<Self, Fault> {
        Ok(Self {
            current: Current::read(&settings.directory)?,
            secret,
            keep_credentials: settings.keep_credentials,
            nonce: Nonce::default(),
            reachable_by_browsers: matches!(settings.listen, Listen::Tcp(_)),
        })
    }

    pub fn target(&self) -> String {
        self.current.caller().profile.gateway.to_string()
    }

    /// `known`: of the connection, once one of its requests has shown that it may use the proxy.
    pub async fn answer(&self, request: Request<Incoming>, known: &Known) -> Answer {
        if self.is_meant(&request) {
            known.take_seat().await;
        }
        let caller = self.current.caller();
        let sent = match self.check(&request, &caller) {
            Ok(()) => self.forward(request, &caller).await,
            Err(refusal) => Err(refusal),
        };
        sent.unwrap_or_else(|(status, why)| own(status, &why))
    }

    /// Whether the request comes from whom the proxy is for: shows the secret, where there is one.
    fn is_meant(&self, request: &Request<Incoming>) -> bool {
        let Some(secret) = &self.secret else { return true };
        let shown = request.headers().get(SECRET).map_or(&b""[..], HeaderValue::as_bytes);
        shown.ct_eq(secret.as_bytes()).into()
    }

    /// Whether this local program may use the proxy.
    fn check(&self, request: &Request<Incoming>, caller: &Caller) -> Result<(), Refusal> {
        let refuse = |status, code, found: &str, todo: &str| {
            Err((status, Explained { code, found: found.to_owned(), todo: todo.to_owned() }))
        };
        if !self.is_meant(request) {
            let todo = "send the first line of the proxy's --secret-file as Adamant-Agent-Secret";
            return refuse(StatusCode::FORBIDDEN, "local-secret", "the local secret is missing or wrong", todo);
        }
        if self.reachable_by_browsers && (from_web_page(request.headers()) || !is_local(request, caller)) {
            let found = "the request comes from a web page, or is addressed to another host";
            let todo = "address the proxy as localhost or by its IP address; web pages are not served";
            return refuse(StatusCode::FORBIDDEN, "local-host", found, todo);
        }
        if coding(request.headers()) == Coding::Other {
            let todo = "send the content as it is, with Content-Length or Transfer-Encoding: chunked alone";
            return refuse(StatusCode::NOT_IMPLEMENTED, "transfer-coding", "a transfer coding beside chunked", todo);
        }
        if request.method() == Method::CONNECT {
            let todo = "use it as the server itself: http://ADDRESS/path";
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "no-tunnel", "the proxy makes no tunnels", todo);
        }
        if caller.ends_s <= clock::now_s() {
            let todo = "renew it: adamant agent run PROFILE; adamant agent doctor PROFILE says what is wrong";
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "certificate-expired",
                "this agent's certificate has expired",
                todo,
            );
        }
        Ok(())
    }

    async fn forward(&self, request: Request<Incoming>, caller: &Arc<Caller>) -> Result<Answer, Refusal> {
        let request = self.rewritten(request, caller)?;
        if caller.dpop_key.is_some() {
            return self.prove(request, caller).await;
        }
        let (response, sender) = self.send(request.map(Either::Right), caller, connection(caller).await?).await?;
        caller.keep(sender);
        Ok(relayed(response))
    }

    /// The request as the gateway gets it, without the token.
    fn rewritten(&self, request: Request<Incoming>, caller: &Caller) -> Result<Request<Incoming>, Refusal> {
        let (mut head, body) = request.into_parts();
        let is_chunked = coding(&head.headers) == Coding::Chunked;
        remove_hops(&mut head.headers);
        // Said again for this connection: of a GET the library would take none for no content.
        if is_chunked {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        head.headers.remove(SECRET);
        // Only what it names goes out behind the content, and nobody looks at that.
        head.headers.remove(header::TRAILER);
        if !self.keep_credentials {
            for name in [header::AUTHORIZATION, DPOP, API_KEY] {
                head.headers.remove(name);
            }
        }
        let host = HeaderValue::from_str(&caller.profile.gateway.authority());
        head.headers.insert(header::HOST, host.map_err(|error| unfit(error.to_string()))?);
        let root = || PathAndQuery::from_static("/");
        head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or_else(root));
        head.version = hyper::Version::HTTP_11;
        Ok(Request::from_parts(head, body))
    }

    /// Sends a request, with the token of now. Only what never went out is sent again, on a new connection.
    pub async fn send(
        &self,
        mut request: Request<Content>,
        caller: &Caller,
        mut connection: Connection,
    ) -> Result<(Response<Incoming>, SendRequest<Content>), Refusal> {
        self.attach(&mut request, caller)?;
        loop {
            let sending = connection.sender.try_send_request(request);
            let sent = tokio::time::timeout(Duration::from_secs(PROXY_RESPONSE_S_MAX), sending).await;
            match sent {
                Ok(Ok(response)) => return Ok((response, connection.sender)),
                // An idle connection that the gateway closed just now: nothing was sent on it.
                Ok(Err(mut failed)) if connection.used && failed.message().is_some() => {
                    let Some(again) = failed.take_message() else { return Err(bad(broken(failed.error()))) };
                    request = again;
                    connection = caller.fresh().await.map_err(|fault| bad(explain::dial(&fault)))?;
                }
                Ok(Err(failed)) => return Err(bad(broken(failed.error()))),
                Err(_) => {
                    let found = format!("the gateway did not answer within {PROXY_RESPONSE_S_MAX} s");
                    let todo = "the request may have been carried out: look before it is repeated".to_owned();
                    return Err((StatusCode::GATEWAY_TIMEOUT, Explained { code: "timeout", found, todo }));
                }
            }
        }
    }

    /// Puts the token in, in place of what a program may have sent; with a proof for this one request where a key is bound to it.
    fn attach(&self, request: &mut Request<Content>, caller: &Caller) -> Result<(), Refusal> {
        let Some(token) = caller.token().map_err(|fault| unfit(fault.to_string()))? else { return Ok(()) };
        let uri = format!("{}{}", caller.profile.gateway, request.uri().path());
        let (method, nonce) = (request.method().clone(), self.nonce.known());
        let asked = (method.as_str(), uri.as_str(), nonce.as_deref());
        let attached = dpop::attach(request.headers_mut(), &token, caller.dpop_key.as_ref(), asked);
        attached.map_err(|fault| unfit(fault.to_string()))
    }
}

fn bad(why: Explained) -> Refusal {
    (StatusCode::BAD_GATEWAY, why)
}

fn unfit(found: String) -> Refusal {
    let todo = "adamant agent doctor PROFILE says what is wrong".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, Explained { code: "profile", found, todo })
}

/// A connection to the gateway.
pub async fn connection(caller: &Caller) -> Result<Connection, Refusal> {
    caller.connection().await.map_err(|fault| bad(explain::dial(&fault)))
}

/// How content is framed that has no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    None,
    Chunked,
    Other,
}

fn coding(fields: &HeaderMap) -> Coding {
    let mut named = fields.get_all(header::TRANSFER_ENCODING).iter();
    match (named.next(), named.next()) {
        (None, _) => Coding::None,
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Other,
    }
}

fn remove_hops(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        fields.remove(name);
    }
    for name in HOPS {
        fields.remove(name);
    }
}

/// Browsers say where a request comes from: Fetch Metadata, and `Origin` (RFC 6454 §7), which older ones have too. Of pages
/// that came through the proxy alone it is the proxy itself.
fn from_web_page(fields: &HeaderMap) -> bool {
    let own = |origin: &HeaderValue| {
        let origin = origin.as_bytes().strip_prefix(b"http://");
        fields.get(header::HOST).is_some_and(|host| origin == Some(host.as_bytes()))
    };
    fields.get_all(FETCH_SITE).iter().any(|site| site != "none" && site != "same-origin")
        || !fields.get_all(header::ORIGIN).iter().all(own)
}

/// A name that a foreign web page had pointed at this machine would stand in `Host`.
fn is_local(request: &Request<Incoming>, caller: &Caller) -> bool {
    let named = request.uri().host().map(str::to_owned).or_else(|| {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        host.parse::<Uri>().ok()?.host().map(str::to_owned)
    });
    let Some(host) = named else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case(&caller.profile.gateway.host)
}

pub fn relayed(response: Response<Incoming>) -> Answer {
    let (mut head, body) = response.into_parts();
    remove_hops(&mut head.headers);
    // Only the proxy speaks for itself.
    head.headers.remove(OWN);
    Response::from_parts(head, Either::Left(body))
}

/// Why an exchange broke; alerts of TLS 1.3 come after the handshake.
fn broken(error: &hyper::Error) -> Explained {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<io::Error>().filter(|error| crate::tls::tls_error(error).is_some()) {
            return explain::tls(error);
        }
        cause = found.source();
    }
    let todo = "the request may have been carried out: look before it is repeated".to_owned();
    Explained { code: "broken", found: format!("the connection to the gateway broke: {error}"), todo }
}

/// A response of the proxy itself (RFC 9457).
fn own(status: StatusCode, why: &Explained) -> Answer {
    let body = serde_json::json!({"type": "about:blank", "title": "adamant agent proxy", "status": status.as_u16(),
        "code": why.code, "detail": why.found, "todo": why.todo});
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(format!("{body}\n")))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(OWN, HeaderValue::from_static(why.code));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_coding_alone_is_passed_on() {
        let of = |values: &[&'static str]| {
            let fields = values.iter().map(|value| (header::TRANSFER_ENCODING, HeaderValue::from_static(value)));
            coding(&fields.collect())
        };
        assert_eq!((of(&[]), of(&["chunked"]), of(&["Chunked"])), (Coding::None, Coding::Chunked, Coding::Chunked));
        for other in [&["gzip, chunked"][..], &["gzip", "chunked"], &["chunked", "chunked"], &["identity"], &[""]] {
            assert_eq!(of(other), Coding::Other, "{other:?}");
        }
    }

    #[test]
    fn web_pages_are_known_by_site_or_origin() {
        let page = |fields: &[(&'static str, &'static str)]| {
            let own = [("host", "127.0.0.1:9900")];
            let fields = own.iter().chain(fields);
            from_web_page(&fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
        };
        for own in [&[][..], &[("sec-fetch-site", "none")], &[("sec-fetch-site", "same-origin")]] {
            assert!(!page(own), "{own:?}");
        }
        assert!(!page(&[("origin", "http://127.0.0.1:9900")]));
        for foreign in ["https://evil.example", "http://127.0.0.1:3000", "http://localhost:9900", "null", ""] {
            assert!(page(&[("origin", foreign)]), "{foreign}");
        }
        assert!(page(&[("sec-fetch-site", "cross-site")]) && page(&[("sec-fetch-site", "same-site")]));
    }
}
