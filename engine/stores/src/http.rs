//! The one HTTPS client of the gateway: one exchange a connection, unless a [`Session`] keeps it; everything about it bounded,
//! no redirects, no proxies, nothing taken from the environment. Whom it talks to and who vouches for that is said by its
//! caller alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

mod content;
mod help;
mod place;
mod session;
mod trust;

pub use content::gathered;
pub use help::TRUST_HELP;
pub use place::{Place, PlaceFault};
pub use session::Session;
pub use trust::{ClientIdentity, Trust, TrustFault};

/// Bytes of the head of an answer.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Fields of the head of an answer.
pub const HEAD_FIELDS_MAX: usize = 64;
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;
/// Longest look-up of a name, seconds: a resolver waits 5 s for its first server before it asks the next (resolv.conf(5)).
pub const LOOK_UP_S_MAX: u64 = 15;
/// Bytes of an entity tag that is remembered.
pub const ETAG_BYTES_MAX: usize = 256;

/// What one exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For each attempt to connect, and for the TLS handshake.
    pub step: Duration,
    /// From the look-up of the name, which may take 15 s of it, to the last byte.
    pub whole: Duration,
    pub content_bytes_max: usize,
}

impl Bounds {
    /// What a step may take.
    fn of(&self, step: Step) -> Duration {
        match step {
            Step::Name => self.whole.min(Duration::from_secs(LOOK_UP_S_MAX)),
            Step::Connect | Step::Handshake => self.step,
            Step::Exchange => self.whole,
        }
    }
}

/// What an exchange is at, and may fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Name,
    Connect,
    Handshake,
    Exchange,
}

impl Step {
    const fn awaits(self) -> &'static str {
        match self {
            Self::Name => "its address",
            Self::Connect => "a connection",
            Self::Handshake => "the TLS handshake",
            Self::Exchange => "the whole answer",
        }
    }
}

/// Why there is no answer to use. Always the server's fault or the network's: a later attempt can help.
#[derive(Debug, thiserror::Error)]
pub enum HttpFault {
    #[error("the name of {authority} does not resolve: {found}")]
    Name { authority: String, found: String },
    #[error("{authority} cannot be connected to: {found}")]
    Connect { authority: String, found: String },
    #[error("TLS with {authority} fails: {found}")]
    Tls { authority: String, found: String },
    #[error("expected {} of {authority} within {} ms, found none", step.awaits(), within.as_millis())]
    Time { authority: String, step: Step, within: Duration },
    #[error("expected an answer of HTTP/1.1 from {authority}: {found}")]
    Protocol { authority: String, found: String },
    #[error("{authority} answered with status {status}, and its content ends too early: {found}")]
    Cut { authority: String, status: u16, found: String },
    #[error("expected an answer of at most {bytes_max} bytes from {authority}, found more")]
    Size { authority: String, bytes_max: usize },
    #[error("expected status 200 from {authority}, found a redirect ({status}), which is never followed")]
    Redirect { authority: String, status: u16 },
    #[error("expected status 200 from {authority}, found {status}")]
    Status { authority: String, status: u16 },
    #[error("expected plain content from {authority}, found the content coding {found:?}, which was not asked for")]
    Coding { authority: String, found: String },
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub content: Bytes,
}

/// What a GET found.
#[derive(Debug)]
pub enum Got {
    /// As when the entity tag was given out (RFC 9110 §15.4.5).
    Unchanged {
        max_age_s: Option<u64>,
    },
    Content {
        content: Bytes,
        etag: Option<String>,
        max_age_s: Option<u64>,
    },
}

/// A client that believes servers by one kind of word.
#[derive(Clone)]
pub struct Client {
    connector: Option<TlsConnector>,
    bounds: Bounds,
}

impl Client {
    /// `trust`: who vouches for https servers; without it, plain http on loopback is all there is.
    pub fn new(trust: Option<&Trust<'_>>, bounds: Bounds) -> Result<Self, TrustFault> {
        Self::known_as(trust, None, bounds)
    }

    /// The same, of a client that servers know by its certificate.
    pub fn known_as(
        trust: Option<&Trust<'_>>,
        identity: Option<ClientIdentity>,
        bounds: Bounds,
    ) -> Result<Self, TrustFault> {
        let config = trust.map(|trust| trust::config(trust, identity)).transpose()?;
        Ok(Self { connector: config.map(|config| TlsConnector::from(Arc::new(config))), bounds })
    }

    /// The same client, for exchanges that may take something else.
    fn within(&self, bounds: Bounds) -> Self {
        Self { bounds, ..self.clone() }
    }

    /// What stands at `place` now; `etag`: of what is known of it.
    pub async fn get(&self, place: &Place, etag: Option<&str>) -> Result<Got, HttpFault> {
        let mut request = Request::get(place.target()).header(header::ACCEPT, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let protocol = |found: &dyn std::fmt::Display| HttpFault::Protocol {
            authority: place.authority(),
            found: found.to_string(),
        };
        let request = request.body(Full::default()).map_err(|error| protocol(&error))?;
        let answer = self.exchange(place, request).await?;
        let (authority, status) = (place.authority(), answer.status.as_u16());
        let max_age_s = max_age_s(&answer.fields);
        match answer.status {
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Got::Unchanged { max_age_s }),
            StatusCode::OK => {}
            other if other.is_redirection() => return Err(HttpFault::Redirect { authority, status }),
            _ => return Err(HttpFault::Status { authority, status }),
        }
        if let Some(coding) = answer.fields.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            return Err(HttpFault::Coding {
                authority,
                found: String::from_utf8_lossy(coding.as_bytes()).into_owned(),
            });
        }
        let etag = answer.fields.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX).map(str::to_owned);
        Ok(Got::Content { content: answer.content, etag, max_age_s })
    }

    /// Sends `request`, whose URI is the target alone, and takes in the whole answer.
    pub async fn exchange(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<Answer, HttpFault> {
        self.exchange_in_time(place, request, true).await
    }

    /// The same, for what only the status matters of: servers that end their content badly have still answered.
    pub async fn status(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<StatusCode, HttpFault> {
        Ok(self.exchange_in_time(place, request, false).await?.status)
    }

    async fn exchange_in_time(
        &self,
        place: &Place,
        request: Request<Full<Bytes>>,
        with_content: bool,
    ) -> Result<Answer, HttpFault> {
        let exchange = self.exchange_slowly(place, request, with_content);
        self.step(place, Step::Exchange, exchange).await?
    }

    async fn exchange_slowly(
        &self,
        place: &Place,
        mut request: Request<Full<Bytes>>,
        with_content: bool,
    ) -> Result<Answer, HttpFault> {
        address(place, &mut request)?;
        let (mut sender, connection) = handshake(place, self.open(place).await?).await?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| of_hyper(place, &error))?;
            self.take_in(place, response, with_content).await
        };
        // The connection is driven beside the answer; how it ends afterwards is of no interest.
        let driven = async {
            let _ = connection.await;
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            never = driven => match never {},
        }
    }

    /// A connection, over TLS where that is asked for.
    async fn open(&self, place: &Place) -> Result<Box<dyn Stream>, HttpFault> {
        let stream = self.connect(place).await?;
        if !place.is_tls() {
            return Ok(Box::new(stream));
        }
        let tls = |found: String| HttpFault::Tls { authority: place.authority(), found };
        let connector =
            self.connector.as_ref().ok_or_else(|| tls("no CA is named that could vouch for it".to_owned()))?;
        let name = place.server_name().map_err(&tls)?;
        let handshake = self.step(place, Step::Handshake, connector.connect(name, stream)).await?;
        Ok(Box::new(handshake.map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => tls(error.to_string()),
            // Broken off, by whoever stands between or a server that is not well: nothing was said about trust.
            _ => HttpFault::Connect { authority: place.authority(), found: format!("in the TLS handshake: {error}") },
        })?))
    }

    async fn step<T>(&self, place: &Place, step: Step, future: impl Future<Output = T>) -> Result<T, HttpFault> {
        let within = self.bounds.of(step);
        let time = |_| HttpFault::Time { authority: place.authority(), step, within };
        tokio::time::timeout(within, future).await.map_err(time)
    }

    async fn connect(&self, place: &Place) -> Result<TcpStream, HttpFault> {
        let look_up = tokio::net::lookup_host((place.host(), place.port()));
        let addresses = self.addresses(place, look_up).await?;
        let authority = place.authority();
        let mut fault = HttpFault::Name { authority: authority.clone(), found: "it has no address".to_owned() };
        for address in addresses {
            match self.step(place, Step::Connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    fault = HttpFault::Connect { authority: authority.clone(), found: format!("{address}: {error}") };
                }
                Err(time) => fault = time,
            }
        }
        Err(fault)
    }

    async fn addresses(
        &self,
        place: &Place,
        look_up: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
    ) -> Result<Vec<SocketAddr>, HttpFault> {
        let found = self.step(place, Step::Name, look_up).await?;
        let found =
            found.map_err(|error| HttpFault::Name { authority: place.authority(), found: error.to_string() })?;
        Ok(found.take(ADDRESSES_MAX).collect())
    }

    /// The whole of an answer whose head is there.
    async fn take_in(
        &self,
        place: &Place,
        response: Response<Incoming>,
        with_content: bool,
    ) -> Result<Answer, HttpFault> {
        let (head, body) = response.into_parts();
        if !with_content {
            return Ok(Answer { status: head.status, fields: head.headers, content: Bytes::new() });
        }
        let bytes_max = self.bounds.content_bytes_max;
        let size = || HttpFault::Size { authority: place.authority(), bytes_max };
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(size());
        }
        let content = gathered(body, bytes_max).await.map_err(|error| match error {
            None => size(),
            Some(error) => {
                HttpFault::Cut { authority: place.authority(), status: head.status.as_u16(), found: cut(&error) }
            }
        })?;
        Ok(Answer { status: head.status, fields: head.headers, content })
    }
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Says whom a request is for, and who asks.
fn address(place: &Place, request: &mut Request<Full<Bytes>>) -> Result<(), HttpFault> {
    let host = HeaderValue::try_from(place.authority())
        .map_err(|error| HttpFault::Protocol { authority: place.authority(), found: error.to_string() })?;
    request.headers_mut().insert(header::HOST, host);
    let agent = HeaderValue::from_static(concat!("adamant/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(header::USER_AGENT, agent);
    Ok(())
}

type Handshaken = (SendRequest<Full<Bytes>>, Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>);

async fn handshake(place: &Place, stream: Box<dyn Stream>) -> Result<Handshaken, HttpFault> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_FIELDS_MAX);
    builder.handshake(TokioIo::new(stream)).await.map_err(|error| of_hyper(place, &error))
}

/// Waits for exchanges on a thread that has no runtime.
///
/// # Errors
/// There can be none.
pub fn wait<T>(exchange: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(exchange);
    // Not waited for: a look-up of a name may hang longer than any bound.
    runtime.shutdown_background();
    Ok(done)
}

/// TLS alerts can come after the handshake (TLS 1.3), and are told as what they are.
fn of_hyper(place: &Place, error: &hyper::Error) -> HttpFault {
    let (authority, found) = (place.authority(), told(error));
    // What rustls says of it is for programmers.
    if is_early_end(error) {
        return HttpFault::Protocol { authority, found: "the connection was closed without one".to_owned() };
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is::<rustls::Error>() || io.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return HttpFault::Tls { authority, found };
        }
        cause = inner.source();
    }
    HttpFault::Protocol { authority, found }
}

/// Why content did not come whole. What rustls says of a connection that was just closed is for programmers.
fn cut(error: &(dyn std::error::Error + 'static)) -> String {
    match is_early_end(error) {
        true => "the connection was closed without Content-Length or TLS close_notify to tell its end".to_owned(),
        false => told(error),
    }
}

/// Whether the connection was just closed.
fn is_early_end(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// With its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        told.push_str(": ");
        told.push_str(&inner.to_string());
        cause = inner.source();
    }
    told
}

/// `max-age` of Cache-Control (RFC 9111 §5.2.2.1); 0 for what must not be kept.
fn max_age_s(fields: &HeaderMap) -> Option<u64> {
    const CACHE_CONTROL: HeaderName = header::CACHE_CONTROL;
    let directives = fields.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for directive in directives.flat_map(|value| value.split(',')).map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") {
            found = value.trim_matches('"').parse().ok().or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests;
