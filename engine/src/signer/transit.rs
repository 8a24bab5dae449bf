//! A key in the transit engine of OpenBao or Vault (HTTP API v1, "Transit secrets engine"): it signs there, and what
//! comes back is checked here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::key::{KeyFault, PublicKey, SignatureBytes};
use serde::Deserialize;
use stores::http::{Answer as HttpAnswer, Bounds, Client, HttpFault, Place, PlaceFault, Trust, TrustFault, wait};
use zeroize::Zeroizing;

use super::{TransitAddress, TransitArgs};
use crate::failure::{Failure, warn};
use crate::files;

/// Characters of what the server says that are shown.
const TOLD_CHARACTERS_MAX: usize = 300;

/// Bytes of a file with CA certificates.
const CA_BYTES_MAX: usize = 4 << 20;
/// A key with thousands of versions fits, and signing tens of MiB takes a while.
const BOUNDS: Bounds =
    Bounds { step: Duration::from_secs(5), whole: Duration::from_secs(60), content_bytes_max: 1 << 20 };

/// Why a transit key does not sign.
#[derive(Debug, thiserror::Error)]
pub enum TransitFault {
    #[error("{address}: cannot reach the server: {cause}")]
    Reach { address: String, cause: HttpFault },
    #[error("{address}: {cause}")]
    Http { address: String, cause: HttpFault },
    #[error(
        "expected https://, or http:// to a literal address on loopback, found {address}; the token would cross the network \
         in the clear"
    )]
    Plain { address: String },
    #[error("{address}: expected a place to send requests to, found none: {found}")]
    Place { address: String, found: String },
    #[error("{}: {cause}", path.display())]
    Ca { path: PathBuf, cause: TrustFault },
    #[error(transparent)]
    CaFile(#[from] files::FileFault),
    #[error("{address}: {cause}")]
    Trust { address: String, cause: TrustFault },
    #[error("{address}: no exchange can begin: {cause}")]
    Runtime { address: String, cause: io::Error },
    #[error("{address}: expected a token in BAO_TOKEN, VAULT_TOKEN or --token-file, found {found}")]
    Token { address: String, found: &'static str },
    #[error("{address}: {status} from the server{said}")]
    Refused { address: String, status: StatusCode, said: String, help: String },
    #[error("{address}: expected {expected}, found {found}")]
    Unexpected { address: String, expected: &'static str, found: String },
    #[error("{address}: the public key cannot be used: {cause}")]
    Key { address: String, cause: KeyFault },
    #[error(
        "{address}: the signature that came back does not verify with the public key of version {version}; nothing was \
         signed"
    )]
    BadSignature { address: String, version: u64 },
}

impl From<TransitFault> for Failure {
    fn from(fault: TransitFault) -> Self {
        let help = match &fault {
            TransitFault::Http { cause: HttpFault::Tls { .. }, .. } => {
                "name the server's CA with --ca FILE, BAO_CACERT or VAULT_CACERT".to_owned()
            }
            TransitFault::Reach { .. } | TransitFault::Http { .. } => {
                "is the address right, and the server up?".to_owned()
            }
            TransitFault::Plain { .. } | TransitFault::Place { .. } => {
                "write https://, or 127.0.0.1 for a server on this machine".to_owned()
            }
            TransitFault::Ca { .. } | TransitFault::CaFile(_) | TransitFault::Trust { .. } => {
                "give a PEM file with the server's CA: --ca FILE, BAO_CACERT or VAULT_CACERT".to_owned()
            }
            TransitFault::Runtime { .. } => "are there file descriptors left (ulimit -n)?".to_owned(),
            TransitFault::Token { .. } => {
                "log in and export BAO_TOKEN; the token never goes on the command line".into()
            }
            TransitFault::Refused { help, .. } => help.clone(),
            TransitFault::Unexpected { .. } => "make a key with: bao write transit/keys/NAME type=ed25519".into(),
            TransitFault::Key { .. } | TransitFault::BadSignature { .. } => {
                "do not trust this server until you know why".into()
            }
        };
        Self::new(fault).help(help)
    }
}

/// One version of a transit key.
pub struct Transit {
    address: TransitAddress,
    access: Access,
    version: u64,
    public: PublicKey,
}

/// Nothing of it may be shown.
impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transit({}, {})", self.address, self.public.id())
    }
}

/// What the server wants to see, and how it is known.
struct Access {
    token: HeaderValue,
    namespace: Option<HeaderValue>,
    ca: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// What the API tells about a key; other types than Ed25519 have members of other forms.
#[derive(Deserialize)]
struct KeyData {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    derived: bool,
    latest_version: u64,
    #[serde(default)]
    keys: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct SignData {
    signature: String,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Transit {
    /// Asks for the public half of the key; with no version in `address`, of its newest one.
    pub fn open(address: &TransitAddress, args: &TransitArgs) -> Result<Self, Failure> {
        let access = Access::new(address, args)?;
        let key: KeyData = call(address, &access, Method::GET, "keys", Bytes::new())?;
        let unexpected =
            |expected, found: String| TransitFault::Unexpected { address: address.to_string(), expected, found };
        if key.kind != "ed25519" || key.derived {
            let derived = if key.derived { ", derived" } else { "" };
            return Err(unexpected("a key of type ed25519", format!("{}{derived}", printable(&key.kind))).into());
        }
        let version = address.version.unwrap_or(key.latest_version);
        let stated = key.keys.get(&version.to_string());
        let stated = stated.ok_or_else(|| {
            let known: Vec<_> = key.keys.keys().take(20).map(|known| printable(known)).collect();
            unexpected("a version that the key has", format!("{version}; it has {}", known.join(", ")))
        })?;
        let base64 = stated.get("public_key").and_then(serde_json::Value::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(base64).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| unexpected("a public key of 32 bytes in base64", printable(base64)))?;
        let public =
            PublicKey::from_bytes(bytes).map_err(|cause| TransitFault::Key { address: address.to_string(), cause })?;
        Ok(Self { address: address.clone(), access, version, public })
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Has `message` signed by exactly the version whose public key is known, and checks what comes back.
    pub fn sign(&self, message: &[u8]) -> Result<SignatureBytes, TransitFault> {
        let Self { address, access, version, public } = self;
        let body = format!("{{\"input\":\"{}\",\"key_version\":{version}}}", STANDARD.encode(message));
        let answer: SignData = call(address, access, Method::POST, "sign", body.into())?;
        // `vault:v3:BASE64`, also of OpenBao.
        let mut parts = answer.signature.splitn(3, ':');
        let (prefix, of_version, base64) = (parts.next(), parts.next(), parts.next());
        let expected_version = format!("v{version}");
        let decoded = base64.filter(|_| prefix == Some("vault") && of_version == Some(&expected_version));
        let decoded = decoded.and_then(|base64| STANDARD.decode(base64).ok());
        let signature = decoded.and_then(|bytes| SignatureBytes::try_from(bytes).ok());
        let signature = signature.ok_or_else(|| TransitFault::Unexpected {
            address: address.to_string(),
            expected: "a signature like vault:vVERSION:BASE64 of 64 bytes by the version that was asked",
            found: printable(&answer.signature),
        })?;
        if public.verifies(message, &signature) {
            Ok(signature)
        } else {
            Err(TransitFault::BadSignature { address: address.to_string(), version: *version })
        }
    }
}

impl Access {
    fn new(address: &TransitAddress, args: &TransitArgs) -> Result<Self, Failure> {
        let variable =
            |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let token = match &args.token_file {
            Some(path) => token_of_file(path)?,
            None => Zeroizing::new(variable(["BAO_TOKEN", "VAULT_TOKEN"]).unwrap_or_default()),
        };
        let no_token = |found| TransitFault::Token { address: address.to_string(), found };
        if token.is_empty() {
            return Err(no_token("none").into());
        }
        let mut token = HeaderValue::from_str(&token).map_err(|_| no_token("control characters in it"))?;
        token.set_sensitive(true);
        let namespace = args.namespace.clone().or_else(|| variable(["BAO_NAMESPACE", "VAULT_NAMESPACE"]));
        let namespace = namespace.map(|name| HeaderValue::from_str(&name)).transpose();
        let namespace = namespace.map_err(|_| Failure::new("expected a namespace without control characters"))?;
        let ca = args.ca.clone().or_else(|| variable(["BAO_CACERT", "VAULT_CACERT"]).map(PathBuf::from));
        Ok(Self { token, namespace, ca })
    }
}

fn token_of_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let secret = files::read_secret_of("--token-file", path, SMALL_FILE_BYTES_MAX)?;
    if let Some(exposed) = secret.exposed {
        let path = path.display();
        warn(format_args!("{path}: others may read this token ({exposed}); own it, and run chmod 600 on it"));
    }
    Ok(Zeroizing::new(secret.text.lines().next().unwrap_or_default().trim().to_owned()))
}

/// Sends one request and reads the data of its answer; `operation` is `keys` or `sign`.
fn call<T: for<'d> Deserialize<'d>>(
    address: &TransitAddress,
    access: &Access,
    method: Method,
    operation: &'static str,
    body: Bytes,
) -> Result<T, TransitFault> {
    let unexpected = |found: String| {
        let expected = "an answer of the transit API in JSON";
        TransitFault::Unexpected { address: address.to_string(), expected, found }
    };
    let HttpAnswer { status, content, .. } = exchange(address, access, method, operation, body)?;
    if status != StatusCode::OK {
        return Err(refused(address, operation, status, &content));
    }
    let answer: Answer<T> = serde_json::from_slice(&content).map_err(|error| unexpected(error.to_string()))?;
    Ok(answer.data)
}

fn exchange(
    address: &TransitAddress,
    access: &Access,
    method: Method,
    operation: &'static str,
    body: Bytes,
) -> Result<HttpAnswer, TransitFault> {
    let text = || address.to_string();
    let scheme = if address.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}/v1/{}", address.authority(), address.path(operation));
    let place = Place::parse(&url).map_err(|fault| match fault {
        PlaceFault::NotLoopback(_) => TransitFault::Plain { address: text() },
        other => TransitFault::Place { address: text(), found: other.to_string() },
    })?;
    // Keeps redirecting servers and user interfaces from taking it for a browser (API, "The X-Vault-Request Header").
    let mut request = Request::builder()
        .method(method)
        .uri(place.target())
        .header(header::ACCEPT, "application/json")
        .header("X-Vault-Request", "true")
        .header("X-Vault-Token", access.token.clone());
    if let Some(namespace) = &access.namespace {
        request = request.header("X-Vault-Namespace", namespace.clone());
    }
    let request = request.body(Full::new(body));
    let request = request.map_err(|error| TransitFault::Place { address: text(), found: error.to_string() })?;
    let client = client(address, access.ca.as_deref())?;
    let answer = wait(client.exchange(&place, request));
    let answer = answer.map_err(|cause| TransitFault::Runtime { address: text(), cause })?;
    answer.map_err(|cause| match cause {
        HttpFault::Name { .. } | HttpFault::Connect { .. } => TransitFault::Reach { address: text(), cause },
        cause => TransitFault::Http { address: text(), cause },
    })
}

/// `ca`: who vouches for the server; the CAs of this machine without it.
fn client(address: &TransitAddress, ca: Option<&Path>) -> Result<Client, TransitFault> {
    let Some(path) = ca else {
        let trust = address.tls.then_some(Trust::System);
        let client = Client::new(trust.as_ref(), BOUNDS);
        return client.map_err(|cause| TransitFault::Trust { address: address.to_string(), cause });
    };
    // What is no text is no PEM either, and is told as that.
    let pem = files::read(path, CA_BYTES_MAX)?;
    let pem = String::from_utf8_lossy(&pem);
    let trust = Trust::Pinned(&pem);
    Client::new(Some(&trust), BOUNDS).map_err(|cause| TransitFault::Ca { path: path.to_owned(), cause })
}

fn refused(address: &TransitAddress, operation: &str, status: StatusCode, body: &[u8]) -> TransitFault {
    let errors = serde_json::from_slice::<Errors>(body).map(|found| found.errors).unwrap_or_default();
    let said = printable(&errors.join("; "));
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let capability = if operation == "sign" { "update" } else { "read" };
    let path = address.path(operation);
    let help = match status.as_u16() {
        400 if operation == "sign" => "may this version of the key still sign (min_encryption_version)?".into(),
        403 => format!("the token needs: path \"{path}\" {{ capabilities = [\"{capability}\"] }}; is it still valid?"),
        404 => format!("is there a transit engine at {}/, with a key {}?", address.mount, address.key),
        413 => "the server takes smaller requests alone (max_request_size); sign this one with a key file".into(),
        501 => "the server is not initialised yet: bao operator init".into(),
        503 => "the server is sealed or in maintenance: bao status; bao operator unseal".into(),
        301 | 302 | 303 | 307 | 308 => "redirects are not followed: give the address of the active server".into(),
        429 | 472 | 473 => "this server is a standby: give the address of the active one".into(),
        _ => "look into the log of the server".into(),
    };
    TransitFault::Refused { address: address.to_string(), status, said, help }
}

/// What a server says, made safe for a terminal.
fn printable(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(TOLD_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
