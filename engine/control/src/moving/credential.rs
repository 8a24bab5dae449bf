//! Fetching a secret that an origin knows the gateway by: what a KV engine holds, or an access token. Everything that it takes
//! is read from its files for each fetch, so that who rotates them has to tell nobody.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use stores::http::{Bounds, Client, ClientIdentity, Place, Trust, TrustFault};
use stores::oauth::{self, ANSWER_BYTES_MAX, GrantFault, Wanted};
use stores::openbao::{OpenBao, OpenBaoFault, Token};
use zeroize::Zeroizing;

use super::lease::Life;
use crate::assemble::client::{ClientProof, ProofError};
use crate::assemble::files::{self, FileError};
use crate::assemble::material::{SecretError, read_line, unlike_a_line};
use crate::bounds::{FETCH_MS_MAX, FETCH_STEP_MS_MAX, KV_BYTES_MAX, PEM_BYTES_MAX};

/// Where a secret is fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Openbao(KvSecret),
    Oauth(OauthClient),
}

/// A member of a secret in a KV engine, version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvSecret {
    pub server: Place,
    /// PEM of the CA that vouches for the server; the CAs of this machine without it.
    pub ca: Option<PathBuf>,
    pub token: PathBuf,
    pub namespace: Option<String>,
    pub mount: String,
    pub path: String,
    pub field: String,
    pub refresh_s: u64,
    pub max_stale_s: u64,
}

/// A client of an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthClient {
    pub token_endpoint: Place,
    /// As of [`KvSecret`].
    pub ca: Option<PathBuf>,
    pub id: String,
    pub proof: ClientProof,
    pub scope: Option<String>,
    pub resource: Option<String>,
    pub audience: Option<String>,
}

/// What was found.
pub struct Fetched {
    pub bytes: Zeroizing<Vec<u8>>,
    pub life: Life,
}

/// Why nothing was.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFault {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("{place}: {cause}")]
    Trust { place: String, cause: TrustFault },
    #[error("{fault}: {}", fault.help())]
    Openbao { fault: OpenBaoFault },
    #[error("{place}: expected a member \"{field}\", one line of visible ASCII without spaces, found {found}")]
    Kv { place: String, field: String, found: &'static str },
    #[error("{fault}: {}", fault.help())]
    Grant { fault: GrantFault },
}

impl CredentialFault {
    /// Whether something was there that is not good, rather than nothing.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::File(_) | Self::Secret(_) | Self::Proof(_) | Self::Trust { .. } | Self::Kv { .. } => true,
            Self::Openbao { fault } => matches!(fault, OpenBaoFault::Forbidden { .. } | OpenBaoFault::Refused { .. }),
            Self::Grant { fault } => fault.is_refusal(),
        }
    }

    /// Whether nobody could be asked, for want of a file on this side.
    pub const fn is_own(&self) -> bool {
        matches!(self, Self::File(_) | Self::Secret(_) | Self::Proof(_) | Self::Trust { .. })
    }

    /// When the server wants to be asked again at the earliest.
    pub const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Grant { fault } => fault.retry_after_s(),
            _ => None,
        }
    }
}

/// For people; without anything that could be a secret.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Openbao(of) => write!(f, "{}{}/{}#{}", of.server, of.mount, of.path, of.field),
            Self::Oauth(of) => write!(f, "{}", of.token_endpoint),
        }
    }
}

impl Source {
    /// Whether everything is there that a fetch takes on this side. Asks nobody.
    pub fn check(&self) -> Result<(), CredentialFault> {
        match self {
            Self::Openbao(of) => {
                let told = |fault| CredentialFault::Openbao { fault };
                of.server(read_line(&of.token)?).client(bounds(KV_BYTES_MAX)).map(drop).map_err(told)
            }
            Self::Oauth(of) => {
                let (_, identity) = of.proof.read()?;
                of.client(identity).map(drop)
            }
        }
    }

    /// What is there now.
    pub async fn fetch(&self) -> Result<Fetched, CredentialFault> {
        match self {
            Self::Openbao(of) => of.fetch().await,
            Self::Oauth(of) => of.fetch().await,
        }
    }
}

impl KvSecret {
    fn server(&self, token: Zeroizing<Vec<u8>>) -> OpenBao {
        let token = Token::Given {
            text: Zeroizing::new(String::from_utf8_lossy(&token).into_owned()),
            place: self.token.display().to_string(),
        };
        OpenBao { server: self.server.clone(), ca: self.ca.clone(), namespace: self.namespace.clone(), token }
    }

    async fn fetch(&self) -> Result<Fetched, CredentialFault> {
        let server = self.server(read_line(&self.token)?);
        let path = format!("{}/data/{}", self.mount, self.path);
        let within = Duration::from_millis(FETCH_MS_MAX);
        let answer = server.call(Method::GET, &path, None, KV_BYTES_MAX, within).await;
        let answer =
            answer.and_then(|answer| answer.expect_ok()).map_err(|fault| CredentialFault::Openbao { fault })?;
        let wrong =
            |found| CredentialFault::Kv { place: format!("{}{path}", self.server), field: self.field.clone(), found };
        let members = answer.json().get("data").and_then(|data| data.get("data")).and_then(Value::as_object);
        let value = members.ok_or_else(|| wrong("no secret of a KV engine of version 2"))?.get(&self.field);
        let text = value.ok_or_else(|| wrong("none of that name"))?.as_str().ok_or_else(|| wrong("no text"))?;
        if let Some(found) = unlike_a_line(text.as_bytes()) {
            return Err(wrong(found));
        }
        let life = Life::Looked { refresh_s: self.refresh_s, max_stale_s: self.max_stale_s };
        Ok(Fetched { bytes: Zeroizing::new(text.as_bytes().to_vec()), life })
    }
}

impl OauthClient {
    fn client(&self, identity: Option<ClientIdentity>) -> Result<Client, CredentialFault> {
        let pem = self.ca.as_ref().map(|path| files::read(path, PEM_BYTES_MAX)).transpose()?;
        let pem = pem.map(|pem| String::from_utf8_lossy(&pem).into_owned());
        let trust = match &pem {
            Some(pem) => Some(Trust::Pinned(pem)),
            None => Some(Trust::System),
        };
        let place = || match &self.ca {
            Some(path) => path.display().to_string(),
            None => self.token_endpoint.to_string(),
        };
        Client::known_as(trust.as_ref(), identity, bounds(ANSWER_BYTES_MAX))
            .map_err(|cause| CredentialFault::Trust { place: place(), cause })
    }

    async fn fetch(&self) -> Result<Fetched, CredentialFault> {
        let (proof, identity) = self.proof.read()?;
        let client = self.client(identity)?;
        let (scope, resource) = (self.scope.as_deref(), self.resource.as_deref());
        let wanted = Wanted { scope, resource, audience: self.audience.as_deref(), dpop: None };
        let token = oauth::client_credentials(&client, &self.token_endpoint, &self.id, &proof, wanted).await;
        let token = token.map_err(|fault| CredentialFault::Grant { fault })?;
        let bytes = Zeroizing::new(token.value.as_bytes().to_vec());
        Ok(Fetched { bytes, life: Life::Ends { life_s: token.life_s } })
    }
}

fn bounds(content_bytes_max: usize) -> Bounds {
    Bounds {
        step: Duration::from_millis(FETCH_STEP_MS_MAX),
        whole: Duration::from_millis(FETCH_MS_MAX),
        content_bytes_max,
    }
}
