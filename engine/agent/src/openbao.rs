//! The PKI engine of OpenBao or Vault (HTTP API v1, "PKI secrets engine: sign certificate"): it signs a CSR; the key stays
//! here.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use stores::http::{Bounds, Client, Place, Trust, wait};

use crate::bounds::{ANSWER_BYTES_MAX, CONNECT_S_MAX, FILE_BYTES_MAX, SECRET_BYTES_MAX, SIGN_S_MAX};
use crate::fault::Fault;
use crate::files;
use crate::spiffe::SpiffeId;

/// Characters of what a server says that are shown.
const TOLD_CHARACTERS_MAX: usize = 300;

/// A role of a PKI engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBao {
    /// `https://HOST:PORT`.
    pub url: String,
    pub mount: String,
    pub role: String,
    /// Its first line is a token that may sign with the role; something else renews it.
    pub token_file: PathBuf,
    /// PEM of the CA of the server; the CAs of this machine without it.
    pub ca_file: Option<PathBuf>,
    pub life_s: u64,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    certificate: String,
    #[serde(default)]
    ca_chain: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl OpenBao {
    fn place(&self) -> Result<Place, Fault> {
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
        };
        if !plain(&self.mount) || !plain(&self.role) {
            return Err(Fault::new("expected a mount and a role of letters, digits, \"-\", \"_\", \".\" and \"/\""));
        }
        let place = Place::parse(&self.url).map_err(|fault| Fault::new(format_args!("--openbao: {fault}")))?;
        // Whoever listens on that port of this machine, while the server does not, would be given the token.
        if !place.is_tls() {
            let message = format!("--openbao: expected https://HOST:PORT, found {}", self.url);
            return Err(
                Fault::new(message).help("the token is shown to servers that prove who they are, and to no others")
            );
        }
        Ok(place.with_path(format!("/v1/{}/sign/{}", self.mount.trim_matches('/'), self.role)))
    }

    /// Has a CSR signed: the chain, the agent's own certificate first.
    pub fn sign(&self, csr: &str, id: &SpiffeId) -> Result<String, Fault> {
        let place = self.place()?;
        let token = files::read_secret_line(&self.token_file, SECRET_BYTES_MAX)?;
        let mut token = HeaderValue::from_str(&token)
            .map_err(|_| Fault::at(&self.token_file, "expected a token without control characters"))?;
        token.set_sensitive(true);
        let pem = self.ca_file.as_ref().map(|path| files::read_text(path, FILE_BYTES_MAX)).transpose()?;
        let trust = pem.as_deref().map_or(Trust::System, Trust::Pinned);
        let bounds = Bounds {
            step: Duration::from_secs(CONNECT_S_MAX),
            whole: Duration::from_secs(SIGN_S_MAX),
            content_bytes_max: ANSWER_BYTES_MAX,
        };
        let client = Client::new(Some(&trust), bounds).map_err(Fault::new)?;
        let body = serde_json::json!({"csr": csr, "uri_sans": id.as_str(), "ttl": format!("{}s", self.life_s),
            "exclude_cn_from_sans": true, "format": "pem"});
        let request = Request::post(place.path())
            .header(header::CONTENT_TYPE, "application/json")
            // Keeps redirecting servers and user interfaces from taking it for a browser.
            .header("X-Vault-Request", "true")
            .header("X-Vault-Token", token)
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(Fault::new)?;
        let answer = wait(client.exchange(&place, request)).map_err(Fault::new)?;
        let answer = answer.map_err(|fault| {
            Fault::new(fault).help("is the server up, and its CA the one in the profile's ca_file?")
        })?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer.status, &answer.content));
        }
        let answer: Answer = serde_json::from_slice(&answer.content).map_err(|error| {
            Fault::new(format_args!("{}: expected an answer of a PKI engine, found {error}", self.url))
        })?;
        let own = |pem: &String| crate::x509::is_self_issued(pem.as_bytes());
        let others = answer.data.ca_chain.iter().filter(|pem| !own(pem));
        let mut chain = String::new();
        for pem in std::iter::once(&answer.data.certificate).chain(others) {
            chain.push_str(pem.trim());
            chain.push('\n');
        }
        Ok(chain)
    }

    fn refused(&self, status: StatusCode, content: &[u8]) -> Fault {
        let errors = serde_json::from_slice::<Errors>(content).unwrap_or_default().errors.join("; ");
        let words = errors.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
        let said: String = words.collect::<Vec<_>>().join(" ").chars().take(TOLD_CHARACTERS_MAX).collect();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let path = format!("{}/sign/{}", self.mount.trim_matches('/'), self.role);
        let help = match status.as_u16() {
            400 => {
                format!("the role {} must allow this SPIFFE id (allowed_uri_sans), client_flag, key_type=ec", self.role)
            }
            403 => format!("the token needs: path \"{path}\" {{ capabilities = [\"update\"] }}; is it still valid?"),
            404 => format!("is there a PKI engine at {}/, with a role {}?", self.mount, self.role),
            503 => "the server is sealed or in maintenance: bao status; bao operator unseal".into(),
            _ => "look into the log of the server".into(),
        };
        Fault::new(format_args!("{}: {status} from {path}{said}", self.url)).help(help)
    }
}
