//! Tokens of an authorization server: fetched by client credentials (RFC 6749 §4.4), as the agent's own client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use policy_release::key_file;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stores::http::{Bounds, Client, ClientIdentity, Place, Trust, wait};
use stores::oauth::{self, ANSWER_BYTES_MAX, GrantFault, Proof, Token, Wanted};
use zeroize::Zeroizing;

use crate::bounds::{ASSERTION_LIFE_S, CONNECT_S_MAX, FILE_BYTES_MAX, SECRET_BYTES_MAX, TOKEN_FETCH_S_MAX};
use crate::ca::issue;
use crate::dpop::{Asked, ProofKey};
use crate::fault::Fault;
use crate::generation::TokenLife;
use crate::{clock, files, jws, x509};

/// Where tokens are fetched, as whom, and what they shall be good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEndpoint {
    /// `https://HOST:PORT/PATH`.
    pub url: String,
    /// PEM of the CA of the server; the CAs of this machine without it.
    pub ca_file: Option<PathBuf>,
    pub client_id: String,
    pub proof: ClientProof,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Whether its tokens are bound to a key of their own (DPoP, RFC 9449).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop: bool,
}

/// What the server knows the agent by. Files are read at each fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClientProof {
    /// A file whose first line is the client's secret (`client_secret_basic`).
    Secret { file: PathBuf },
    /// The same, sent in the form (`client_secret_post`).
    SecretInForm { file: PathBuf },
    /// The agent's own certificate (RFC 8705 §2). Its tokens are bound to it.
    Certificate,
    /// A P-256 key in PEM, which signs for the agent (`private_key_jwt`).
    Key { file: PathBuf },
}

/// A token, its life, and the key that it is bound to, where it is to one of its own.
pub struct Fetched {
    pub value: Zeroizing<String>,
    pub life: TokenLife,
    pub dpop_key_pem: Option<Zeroizing<String>>,
}

impl TokenEndpoint {
    /// Refuses what could never work, and files that are not good. Asks nobody.
    pub fn check(&self) -> Result<(), Fault> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !visible(&self.client_id) {
            return Err(Fault::new("--client-id: expected visible ASCII, found something else"));
        }
        self.client(None)?;
        // The certificate is not there yet.
        if self.proof != ClientProof::Certificate { self.proof().map(drop) } else { Ok(()) }
    }

    /// What a fetch reads on this machine, beside the certificate in use.
    pub fn files(&self) -> Vec<PathBuf> {
        let proof = match &self.proof {
            ClientProof::Secret { file } | ClientProof::SecretInForm { file } | ClientProof::Key { file } => Some(file),
            ClientProof::Certificate => None,
        };
        self.ca_file.iter().chain(proof).cloned().collect()
    }

    /// Whether its tokens are worth something with one certificate alone.
    pub fn binds(&self) -> bool {
        self.proof == ClientProof::Certificate
    }

    /// A token as of now. Key and chain are those of the certificate that it will go with.
    pub fn fetch(&self, key_pem: &str, chain: &[CertificateDer<'static>]) -> Result<Fetched, Fault> {
        let place = self.place()?;
        let identity = self.binds().then(|| identity(key_pem, chain)).transpose()?;
        let client = self.client(identity)?;
        // A new one each time: what somebody may have got hold of ends with its token.
        let dpop_key_pem = self.dpop.then(issue::new_key).transpose()?;
        let key = dpop_key_pem.as_ref().map(|pem| ProofKey::of(pem)).transpose().map_err(Fault::new)?;
        let obtained_s = clock::now_s();
        let token = self.ask(&client, &place, key.as_ref())?;
        if let Some(found) = key.and_then(|key| key.unlike(&token.value)) {
            let message = format!("{place}: expected a token that is bound to the key of the proof, found {found}");
            return Err(Fault::new(message).help("the gateway would refuse it: look into the settings of the server"));
        }
        let life = TokenLife { obtained_s, ends_s: obtained_s + token.life_s };
        Ok(Fetched { value: token.value, life, dpop_key_pem })
    }

    /// Asks once; and once more where the server wants a nonce in the DPoP proof, and has given it (RFC 9449 §8).
    fn ask(&self, client: &Client, place: &Place, key: Option<&ProofKey>) -> Result<Token, Fault> {
        let (uri, mut nonce) = (place.to_string(), None);
        loop {
            // Both anew: what was signed is good for one question.
            let proof = self.proof()?;
            let asked = Asked { method: "POST", uri: &uri, token: None, nonce: nonce.as_deref() };
            let dpop = key.map(|key| key.prove(&asked)).transpose()?;
            let (scope, resource) = (self.scope.as_deref(), self.resource.as_deref());
            let wanted = Wanted { scope, resource, audience: self.audience.as_deref(), dpop: dpop.as_ref() };
            let fetched = wait(oauth::client_credentials(client, place, &self.client_id, &proof, wanted));
            match fetched.map_err(Fault::new)? {
                Ok(token) => return Ok(token),
                Err(GrantFault::Refused { nonce: Some(given), .. }) if key.is_some() && nonce.is_none() => {
                    nonce = Some(given);
                }
                Err(fault) => {
                    let told = Fault::new(&fault).help(fault.help());
                    return Err(fault.retry_after_s().into_iter().fold(told, Fault::again_after_s));
                }
            }
        }
    }

    fn place(&self) -> Result<Place, Fault> {
        let help = "the agent shows its secret there: to a server that proves who it is";
        Place::parse_for_secret(&self.url).map_err(|fault| Fault::new(format_args!("--token-url: {fault}")).help(help))
    }

    fn client(&self, identity: Option<ClientIdentity>) -> Result<Client, Fault> {
        let pem = self.ca_file.as_ref().map(|path| files::read_text(path, FILE_BYTES_MAX)).transpose()?;
        let trust = match &pem {
            Some(pem) => Some(Trust::Pinned(pem)),
            None => Some(Trust::System),
        };
        let bounds = Bounds {
            step: Duration::from_secs(CONNECT_S_MAX),
            whole: Duration::from_secs(TOKEN_FETCH_S_MAX),
            content_bytes_max: ANSWER_BYTES_MAX,
        };
        let named = |cause| self.ca_file.as_ref().map_or_else(|| Fault::new(&cause), |path| Fault::at(path, &cause));
        Client::known_as(trust.as_ref(), identity, bounds).map_err(named)
    }

    fn proof(&self) -> Result<Proof, Fault> {
        let secret = |file: &Path| {
            let line = files::read_secret_line(file, SECRET_BYTES_MAX)?;
            Ok::<_, Fault>(Zeroizing::new(line.as_bytes().to_vec()))
        };
        Ok(match &self.proof {
            ClientProof::Secret { file } => Proof::Basic(secret(file)?),
            ClientProof::SecretInForm { file } => Proof::Post(secret(file)?),
            ClientProof::Certificate => Proof::Certificate,
            ClientProof::Key { file } => Proof::Assertion(self.assertion(file)?),
        })
    }

    /// RFC 7523 §3.
    fn assertion(&self, file: &Path) -> Result<Zeroizing<String>, Fault> {
        let text = files::read_secret(file, FILE_BYTES_MAX)?;
        let help = "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256, and give the server its public half";
        let wrong = |found: String| {
            Fault::at(file, format_args!("expected a P-256 key in PEM (PKCS#8, not encrypted), found {found}"))
                .help(help)
        };
        let pkcs8 = key_file::pkcs8_in(&text, None).map_err(|fault| wrong(fault.to_string()))?;
        let key = jws::key(&pkcs8).ok_or_else(|| wrong("another key".to_owned()))?;
        let now_s = clock::now_s();
        let body = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": self.url, "iat": now_s,
            "exp": now_s + ASSERTION_LIFE_S, "jti": x509::hex(&files::random::<16>()?),
        });
        jws::sign(&key, &json!({"alg": "ES256", "typ": "JWT"}), &body)
    }
}

fn identity(key_pem: &str, chain: &[CertificateDer<'static>]) -> Result<ClientIdentity, Fault> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    let key = key.map_err(|error| Fault::new(format_args!("expected a private key in PEM, found {error}")))?;
    Ok(ClientIdentity { chain: chain.to_vec(), key })
}
