//! A client of the HTTP API of OpenBao and Vault (v1): one call at a time, bounded, with a token that is read anew for each.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use files::{FileFault, read, read_private};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::http::{self, Bounds, Client, HttpFault, Place, TRUST_HELP, Trust, TrustFault};

/// Bytes of a file with a token.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Bytes of a file with CA certificates.
pub const CA_BYTES_MAX: usize = 4 << 20;
/// For each attempt to connect, and for the TLS handshake, seconds.
pub const STEP_S_MAX: u64 = 5;
/// Characters of what the server says that are told.
const TOLD_CHARACTERS_MAX: usize = 300;

/// Where a token comes from.
pub enum Token {
    /// Its first line, read again for each call: something else renews it.
    File(PathBuf),
    /// Of a process that is over soon, or of one call.
    Given { text: Zeroizing<String>, place: String },
}

/// A server, and what it wants to see.
#[derive(Debug)]
pub struct OpenBao {
    /// Of which scheme, host and port count.
    pub server: Place,
    /// PEM of the CA that vouches for the server, read again for each call; the CAs of this machine without it.
    pub ca: Option<PathBuf>,
    pub namespace: Option<String>,
    pub token: Token,
}

/// What the server said. Its strings are wiped when it goes: they may be secrets.
pub struct Answer {
    pub status: StatusCode,
    /// Null where there was no content.
    json: Value,
    server: String,
    path: String,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum OpenBaoFault {
    #[error("{server}: expected a path below /v1/ of letters, digits and \"-_./?=&%~:\", found {path:?}")]
    Path { server: String, path: String },
    #[error("{server}: expected a namespace without control characters, found another")]
    Namespace { server: String },
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("{server}: expected a token in {place}, found {found}")]
    Token { server: String, place: String, found: &'static str },
    #[error("{server}: {place}: {cause}")]
    Trust { server: String, place: String, cause: TrustFault },
    #[error("{server}: {cause}")]
    Http { server: String, cause: HttpFault },
    #[error("{server}: no exchange can begin: {cause}")]
    Runtime { server: String, cause: std::io::Error },
    #[error("{server}: expected JSON from {path}, found {found}")]
    Json { server: String, path: String, found: String },
    #[error("{server}: the server is sealed")]
    Sealed { server: String },
    #[error("{server}: the token has no right to {path} (403){said}")]
    Forbidden { server: String, path: String, said: String },
    #[error("{server}: {status} from {path}{said}")]
    Refused { server: String, path: String, status: StatusCode, said: String },
}

impl OpenBaoFault {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Path { .. } => "correct the mount, path or name".into(),
            Self::Namespace { .. } => "correct the namespace".into(),
            Self::File(fault) => fault.help().unwrap_or_else(|| "check the file".into()),
            Self::Token { .. } => "log in, and put the token there; it never goes on the command line".into(),
            Self::Trust { .. } => TRUST_HELP.into(),
            Self::Http { cause, .. } => cause.help().into(),
            Self::Runtime { .. } => "are there file descriptors left (ulimit -n)?".into(),
            Self::Json { .. } => "is it the address of OpenBao or Vault?".into(),
            Self::Sealed { .. } => "bao status; bao operator unseal".into(),
            Self::Forbidden { path, .. } => {
                format!("is it still valid? It needs a policy that allows this on \"{path}\"")
            }
            Self::Refused { status, .. } => match status.as_u16() {
                404 => "check the mount and the path".into(),
                413 => "the server takes smaller requests alone (max_request_size)".into(),
                429 | 472 | 473 => "this server is a standby: give the address of the active one".into(),
                503 => "the server is sealed or in maintenance: bao status; bao operator unseal".into(),
                501 => "the server is not initialised yet: bao operator init".into(),
                300..=399 => "redirects are not followed: give the address of the active server".into(),
                _ => "look into the log of the server".into(),
            },
        }
    }
}

impl OpenBao {
    /// One call. `path` stands below `/v1/`, such as `secret/data/a`, and may have a query. An answer of any status is
    /// given, but for a server that is sealed and a token without the right.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content_bytes_max: usize,
        within: Duration,
    ) -> Result<Answer, OpenBaoFault> {
        let step = within.min(Duration::from_secs(STEP_S_MAX));
        let client = self.client(Bounds { step, whole: within, content_bytes_max })?;
        let (place, request) = self.request(method, path, body)?;
        let answer = client.exchange(&place, request).await;
        self.answer(path, answer.map_err(|cause| OpenBaoFault::Http { server: self.told(), cause })?)
    }

    /// The same, waited for on a thread that has no runtime.
    pub fn call_and_wait(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content_bytes_max: usize,
        within: Duration,
    ) -> Result<Answer, OpenBaoFault> {
        let called = http::wait(self.call(method, path, body, content_bytes_max, within));
        called.map_err(|cause| OpenBaoFault::Runtime { server: self.told(), cause })?
    }

    /// A client that believes whoever vouches for the server by now.
    pub fn client(&self, bounds: Bounds) -> Result<Client, OpenBaoFault> {
        let trusted = |place: String| {
            let server = self.told();
            move |cause| OpenBaoFault::Trust { server, place, cause }
        };
        let Some(path) = &self.ca else {
            let trust = self.server.is_tls().then_some(Trust::System);
            return Client::new(trust.as_ref(), bounds).map_err(trusted("CAs of this machine".to_owned()));
        };
        let pem = read(path, CA_BYTES_MAX)?;
        let pem = String::from_utf8_lossy(&pem);
        Client::new(Some(&Trust::Pinned(&pem)), bounds).map_err(trusted(path.display().to_string()))
    }

    /// A request with the token as it is now, and where it goes.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(Place, Request<Full<Bytes>>), OpenBaoFault> {
        let server = || self.told();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./?=&%~:".contains(&byte);
        let route = path.split('?').next().unwrap_or_default();
        if !path.bytes().all(plain) || route.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(OpenBaoFault::Path { server: server(), path: printable(path) });
        }
        let (route, query) = path.split_once('?').map_or((path, ""), |(route, query)| (route, query));
        let place = self.server.with_path(format!("/v1/{route}"));
        let target = if query.is_empty() { place.target() } else { format!("{}?{query}", place.target()) };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::ACCEPT, "application/json")
            // Keeps redirecting servers and user interfaces from taking it for a browser.
            .header("X-Vault-Request", "true")
            .header("X-Vault-Token", self.token()?);
        if let Some(namespace) = &self.namespace {
            let value = HeaderValue::from_str(namespace).map_err(|_| OpenBaoFault::Namespace { server: server() })?;
            request = request.header("X-Vault-Namespace", value);
        }
        let body = match body {
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(json.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body));
        let request = request.map_err(|_| OpenBaoFault::Path { server: server(), path: printable(path) })?;
        Ok((place, request))
    }

    /// What an answer to the request for `path` says.
    pub fn answer(&self, path: &str, answer: http::Answer) -> Result<Answer, OpenBaoFault> {
        let (server, path) = (self.told(), path.split('?').next().unwrap_or_default().to_owned());
        let http::Answer { status, content, .. } = answer;
        let json = if content.is_empty() { Ok(Value::Null) } else { crate::json::parse(&content) };
        // As far as nobody else holds it.
        if let Ok(mut content) = content.try_into_mut() {
            content.as_mut().zeroize();
        }
        let answer = match json {
            Ok(json) => Answer { status, json, server, path },
            // What is no JSON says nothing; a status may say enough.
            Err(_) if !status.is_success() => Answer { status, json: Value::Null, server, path },
            Err(found) => return Err(OpenBaoFault::Json { server, path, found }),
        };
        let is_sealed = status == StatusCode::SERVICE_UNAVAILABLE && answer.said().contains("sealed");
        if is_sealed {
            return Err(OpenBaoFault::Sealed { server: answer.server.clone() });
        }
        if status == StatusCode::FORBIDDEN { Err(answer.refusal()) } else { Ok(answer) }
    }

    fn token(&self) -> Result<HeaderValue, OpenBaoFault> {
        let read;
        let (place, text) = match &self.token {
            Token::File(path) => {
                read = read_private(path, TOKEN_BYTES_MAX)?;
                (format!("the first line of {}", path.display()), &read)
            }
            Token::Given { text, place } => (place.clone(), text),
        };
        let fault = |found| OpenBaoFault::Token { server: self.told(), place, found };
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() {
            return Err(fault("none"));
        }
        let mut value = match HeaderValue::from_str(token) {
            Ok(value) => value,
            Err(_) => return Err(fault("control characters in it")),
        };
        value.set_sensitive(true);
        Ok(value)
    }

    fn told(&self) -> String {
        self.server.with_path("/".to_owned()).to_string().trim_end_matches('/').to_owned()
    }
}

impl Answer {
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// The answer, if the server did what was asked.
    pub fn expect_ok(self) -> Result<Self, OpenBaoFault> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// Nothing is mounted where it was asked.
    pub fn is_unmounted(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.said().contains("no handler for route")
    }

    /// What its status and its errors say.
    pub fn refusal(&self) -> OpenBaoFault {
        let said = self.said();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let (server, path, status) = (self.server.clone(), self.path.clone(), self.status);
        match status {
            StatusCode::FORBIDDEN => OpenBaoFault::Forbidden { server, path, said },
            _ => OpenBaoFault::Refused { server, path, status, said },
        }
    }

    /// Its errors, made safe for a terminal.
    fn said(&self) -> String {
        let errors = self.json.get("errors").and_then(Value::as_array);
        let errors: Vec<_> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
        printable(&errors.join("; "))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        wipe(&mut self.json);
    }
}

/// Nothing of a secret is shown.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} from {})", self.status, self.path)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given { place, .. } => write!(f, "Given({place})"),
        }
    }
}

/// JSON nests at most 128 deep (serde_json).
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(all) => all.iter_mut().for_each(wipe),
        Value::Object(all) => all.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What others say, made safe for a terminal.
pub fn printable(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(TOLD_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
