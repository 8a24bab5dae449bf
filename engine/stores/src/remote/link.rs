//! The way to a server: one kept connection, who vouches for the server as the files say by now, and a server that is not
//! there is not asked again at once.

use std::time::{Duration, Instant};

use files::{read, read_private};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use policy_release::digest::Digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::backend::Fault;
use crate::Server;
use crate::http::{Answer, Bounds, Client, ClientIdentity, HttpFault, Place, Session, Step, TRUST_HELP, Trust};
use crate::openbao::{CA_BYTES_MAX, TOKEN_BYTES_MAX};

/// For each attempt to connect, and for the TLS handshake.
const STEP_MS_MAX: u64 = 3_000;
/// How long a server that could not be connected to is not asked again.
const AGAIN_MS: u64 = 500;
/// Bytes of a file with a key.
const KEY_BYTES_MAX: usize = 1 << 20;

pub struct Link {
    pub server: Server,
    /// With what it goes by.
    session: Option<(Digest, Session)>,
    away: Option<(Instant, Fault)>,
}

/// The files that say who the server is, and who this client is.
struct Papers {
    ca: Option<Vec<u8>>,
    certificate: Option<(Vec<u8>, Zeroizing<String>)>,
}

impl Link {
    pub const fn new(server: Server) -> Self {
        Self { server, session: None, away: None }
    }

    /// A place on the server.
    pub fn place(&self, path: String) -> Place {
        self.server.place.with_path(path)
    }

    /// The first line of the token's file, as it is now; none where there is no token.
    pub fn token(&self) -> Result<Option<Zeroizing<String>>, Fault> {
        let access = &self.server.access;
        let line = |text: &str| Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned());
        let found = match (&access.token_file, &access.token) {
            (Some(path), _) => line(&read_private(path, TOKEN_BYTES_MAX).map_err(of_file)?),
            (None, Some(token)) => line(token),
            (None, None) => return Ok(None),
        };
        if found.is_empty() {
            return Err(Fault::new("expected a token, found none in its file", "put the token into its first line"));
        }
        Ok(Some(found))
    }

    /// The token as the value of a field, behind `before`.
    pub fn token_field(&self, before: &str) -> Result<Option<HeaderValue>, Fault> {
        let Some(token) = self.token()? else { return Ok(None) };
        let field = Zeroizing::new(format!("{before}{}", token.as_str()));
        secret_field(&field).map(Some)
    }

    /// One exchange. `repeatable`: it may be sent twice.
    pub fn exchange(
        &mut self,
        place: &Place,
        request: &Request<Full<Bytes>>,
        repeatable: bool,
        content_bytes_max: usize,
        within: Duration,
    ) -> Result<Answer, Fault> {
        if let Some((until, fault)) = &self.away
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        self.away = None;
        let step = within.min(Duration::from_millis(STEP_MS_MAX));
        let bounds = Bounds { step, whole: within, content_bytes_max };
        let answer = self.session(bounds)?.exchange(place, request, repeatable, bounds);
        answer.map_err(|fault| {
            let is_away = match &fault {
                HttpFault::Name { .. } | HttpFault::Connect { .. } | HttpFault::Tls { .. } => true,
                HttpFault::Time { step, .. } => *step != Step::Exchange,
                _ => false,
            };
            let fault = Fault::from(fault);
            if is_away {
                self.away = Some((Instant::now() + Duration::from_millis(AGAIN_MS), fault.clone()));
            }
            fault
        })
    }

    fn session(&mut self, bounds: Bounds) -> Result<&mut Session, Fault> {
        let papers = Papers::read(&self.server)?;
        let digest = papers.digest();
        let session = match self.session.take().filter(|(by, _)| *by == digest) {
            Some((_, session)) => session,
            None => {
                let client = papers.client(&self.server, bounds)?;
                Session::new(client).map_err(|error| {
                    Fault::new(
                        format!("no exchange can begin: {error}"),
                        "are there file descriptors left (ulimit -n)?",
                    )
                })?
            }
        };
        Ok(&mut self.session.insert((digest, session)).1)
    }
}

impl Papers {
    fn read(server: &Server) -> Result<Self, Fault> {
        let access = &server.access;
        let ca = access.ca.as_ref().map(|path| read(path, CA_BYTES_MAX)).transpose().map_err(of_file)?;
        let certificate = match &access.certificate {
            Some((chain, key)) => {
                let chain = read(chain, CA_BYTES_MAX).map_err(of_file)?;
                Some((chain, read_private(key, KEY_BYTES_MAX).map_err(of_file)?))
            }
            None => None,
        };
        Ok(Self { ca, certificate })
    }

    fn digest(&self) -> Digest {
        let key = self.certificate.as_ref().map(|(_, key)| Digest::of(key.as_bytes()).to_string());
        let chain = self.certificate.as_ref().map(|(chain, _)| Digest::of(chain).to_string());
        let ca = self.ca.as_ref().map(|pem| Digest::of(pem).to_string());
        Digest::of(format!("{ca:?} {chain:?} {key:?}").as_bytes())
    }

    fn client(&self, server: &Server, bounds: Bounds) -> Result<Client, Fault> {
        let pem = self.ca.as_ref().map(|pem| String::from_utf8_lossy(pem));
        let trust = match &pem {
            Some(pem) => Some(Trust::Pinned(pem)),
            None => server.place.is_tls().then_some(Trust::System),
        };
        let identity = self.certificate.as_ref().map(|(chain, key)| {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            Some(ClientIdentity { chain: chain.ok().filter(|chain| !chain.is_empty())?, key: key.ok()? })
        });
        let wrong = "expected a chain and a key in PEM to be known by, found something else";
        let identity = match identity {
            Some(None) => return Err(Fault::new(wrong, "check the files of the certificate and its key")),
            Some(identity) => identity,
            None => None,
        };
        let client = Client::known_as(trust.as_ref(), identity, bounds);
        client.map_err(|fault| Fault::new(fault, TRUST_HELP))
    }
}

/// A field that is never shown.
pub fn secret_field(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Fault::new("expected a token without control characters, found others", "put the token into its first line")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request, whose parts this module made.
pub fn request(
    method: Method,
    place: &Place,
    query: &str,
    fields: &[(&'static str, Option<HeaderValue>)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, Fault> {
    let target = if query.is_empty() { place.target() } else { format!("{}?{query}", place.target()) };
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        if let Some(value) = value {
            request = request.header(*name, value.clone());
        }
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| Fault::strange("a request", error))
}

fn of_file(fault: files::FileFault) -> Fault {
    let help = fault.help().unwrap_or_else(|| "check the file".to_owned());
    Fault::new(fault, help)
}
