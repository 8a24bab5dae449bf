//! A key in the transit engine of OpenBao or Vault (HTTP API v1, "Transit secrets engine"): it signs there, and what
//! comes back is checked here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use policy_release::bounds::SMALL_FILE_BYTES_MAX;
use policy_release::key::{KeyFault, PublicKey, SignatureBytes};
use serde::Deserialize;
use serde_json::{Value, json};
use stores::http::{HttpFault, Place};
use stores::openbao::{OpenBao, OpenBaoFault, Token, printable};
use zeroize::Zeroizing;

use super::{TransitAddress, TransitArgs};
use crate::failure::{Failure, warn};
use crate::files;

/// Bytes of an answer: a key with thousands of versions fits.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Signing tens of MiB takes a while.
const WITHIN: Duration = Duration::from_secs(60);

/// Why a transit key does not sign.
#[derive(Debug, thiserror::Error)]
pub enum TransitFault {
    #[error("{address}: cannot reach the server: {cause}")]
    Reach { address: String, cause: HttpFault },
    #[error("{cause}")]
    Server { cause: Box<OpenBaoFault>, help: String },
    #[error("{address}: expected a place to send requests to, found none: {found}")]
    Place { address: String, found: String },
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
            TransitFault::Reach { .. } => "is the address right, and the server up?".to_owned(),
            TransitFault::Server { help, .. } => help.clone(),
            TransitFault::Place { .. } => "write https://HOST:PORT".to_owned(),
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
    engine: Engine,
    version: u64,
    public: PublicKey,
}

/// Nothing of it may be shown.
impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transit({}, {})", self.engine.address, self.public.id())
    }
}

/// A key, and the server that has it.
struct Engine {
    address: TransitAddress,
    server: OpenBao,
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
    keys: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct SignData {
    signature: String,
}

impl Transit {
    /// Asks for the public half of the key; with no version in `address`, of its newest one.
    pub fn open(address: &TransitAddress, args: &TransitArgs) -> Result<Self, Failure> {
        let engine = Engine::new(address, args)?;
        let key: KeyData = engine.call(Method::GET, "keys", None)?;
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
        let base64 = stated.get("public_key").and_then(Value::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(base64).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| unexpected("a public key of 32 bytes in base64", printable(base64)))?;
        let public =
            PublicKey::from_bytes(bytes).map_err(|cause| TransitFault::Key { address: address.to_string(), cause })?;
        Ok(Self { engine, version, public })
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Has `message` signed by exactly the version whose public key is known, and checks what comes back.
    pub fn sign(&self, message: &[u8]) -> Result<SignatureBytes, TransitFault> {
        let Self { engine: engine @ Engine { address, .. }, version, public } = self;
        let body = json!({ "input": STANDARD.encode(message), "key_version": version });
        let answer: SignData = engine.call(Method::POST, "sign", Some(&body))?;
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

impl Engine {
    fn new(address: &TransitAddress, args: &TransitArgs) -> Result<Self, Failure> {
        let variable =
            |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let (text, place) = match &args.token_file {
            Some(path) => (token_of_file(path)?, format!("the first line of {}", path.display())),
            None => {
                let text = Zeroizing::new(variable(["BAO_TOKEN", "VAULT_TOKEN"]).unwrap_or_default());
                (text, "BAO_TOKEN, VAULT_TOKEN or --token-file".to_owned())
            }
        };
        let token = Token::Given { text, place };
        let namespace = args.namespace.clone().or_else(|| variable(["BAO_NAMESPACE", "VAULT_NAMESPACE"]));
        let ca = args.ca.clone().or_else(|| variable(["BAO_CACERT", "VAULT_CACERT"]).map(PathBuf::from));
        let server = Place::parse_for_secret(&format!("https://{}", address.authority()))
            .map_err(|fault| TransitFault::Place { address: address.to_string(), found: fault.to_string() })?;
        Ok(Self { address: address.clone(), server: OpenBao { server, ca, namespace, token } })
    }

    /// Sends one request and reads the data of its answer; `operation` is `keys` or `sign`.
    fn call<T: for<'d> Deserialize<'d>>(
        &self,
        method: Method,
        operation: &'static str,
        body: Option<&Value>,
    ) -> Result<T, TransitFault> {
        let path = self.address.path(operation);
        let answer = self.server.call_and_wait(method, &path, body, ANSWER_BYTES_MAX, WITHIN);
        let answer =
            answer.and_then(stores::openbao::Answer::expect_ok).map_err(|fault| self.fault(operation, fault))?;
        Ok(Answer::<T>::deserialize(answer.json()).map_err(|error| self.unexpected(error.to_string()))?.data)
    }

    fn unexpected(&self, found: String) -> TransitFault {
        let expected = "an answer of the transit API in JSON";
        TransitFault::Unexpected { address: self.address.to_string(), expected, found }
    }

    fn fault(&self, operation: &str, fault: OpenBaoFault) -> TransitFault {
        let TransitAddress { mount, key, .. } = &self.address;
        let help = match &fault {
            OpenBaoFault::Http { cause: HttpFault::Tls { .. }, .. } => {
                "name the server's CA with --ca FILE, BAO_CACERT or VAULT_CACERT".to_owned()
            }
            OpenBaoFault::Trust { .. } | OpenBaoFault::File(_) => {
                "give a PEM file with the server's CA: --ca FILE, BAO_CACERT or VAULT_CACERT".to_owned()
            }
            OpenBaoFault::Token { .. } => {
                "log in and export BAO_TOKEN; the token never goes on the command line".to_owned()
            }
            OpenBaoFault::Forbidden { path, .. } => {
                let capability = if operation == "sign" { "update" } else { "read" };
                format!("the token needs: path \"{path}\" {{ capabilities = [\"{capability}\"] }}; is it still valid?")
            }
            OpenBaoFault::Refused { status, .. } => match status.as_u16() {
                400 if operation == "sign" => "may this version of the key still sign (min_encryption_version)?".into(),
                404 => format!("is there a transit engine at {mount}/, with a key {key}?"),
                413 => {
                    "the server takes smaller requests alone (max_request_size); sign this one with a key file".into()
                }
                _ => fault.help(),
            },
            _ => fault.help(),
        };
        match fault {
            OpenBaoFault::Http { cause: cause @ (HttpFault::Name { .. } | HttpFault::Connect { .. }), .. } => {
                TransitFault::Reach { address: self.address.to_string(), cause }
            }
            OpenBaoFault::Json { found, .. } => self.unexpected(found),
            cause => TransitFault::Server { cause: Box::new(cause), help },
        }
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

#[cfg(test)]
mod tests;
