//! The PKI engine of OpenBao or Vault as a profile names it: it signs a CSR; the key stays here.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stores::http::{HttpFault, Place, wait};
use stores::issue::pki::Role;
use stores::issue::{IssueFault, Name};
use stores::openbao::{self, OpenBaoFault, Token};

use crate::bounds::{SECRET_BYTES_MAX, SIGN_S_MAX};
use crate::fault::Fault;
use crate::files;
use crate::spiffe::SpiffeId;

/// A role of a PKI engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBao {
    /// `https://HOST:PORT`.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub mount: String,
    pub role: String,
    /// Its first line is a token that may sign with the role; something else renews it.
    pub token_file: PathBuf,
    /// PEM of the CA of the server; the CAs of this machine without it.
    pub ca_file: Option<PathBuf>,
    pub life_s: u64,
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
        Ok(place)
    }

    /// Has a CSR signed: the chain, the agent's own certificate first.
    pub fn sign(&self, csr: &str, id: &SpiffeId) -> Result<String, Fault> {
        let server = self.place()?;
        let text = files::read_secret_line(&self.token_file, SECRET_BYTES_MAX)?;
        let token = Token::Given { text, place: self.token_file.display().to_string() };
        let (ca, namespace) = (self.ca_file.clone(), self.namespace.clone());
        let server = openbao::OpenBao { server, ca, namespace, token };
        let role = Role { server, mount: self.mount.clone(), role: self.role.clone() };
        let names = [Name::Uri(id.as_str().to_owned())];
        let signed = wait(role.sign(csr, &names, self.life_s, Duration::from_secs(SIGN_S_MAX))).map_err(Fault::new)?;
        Ok(signed.map_err(|fault| self.told(&role.path(), &fault))?.pem())
    }

    fn told(&self, path: &str, fault: &IssueFault) -> Fault {
        let Self { mount, role, .. } = self;
        let help = match fault {
            IssueFault::OpenBao(OpenBaoFault::Refused { status, .. }) if status.as_u16() == 400 => {
                format!("the role {role} must allow this SPIFFE id (allowed_uri_sans), client_flag, key_type=ec")
            }
            IssueFault::OpenBao(OpenBaoFault::Refused { status, .. }) if status.as_u16() == 404 => {
                format!("is there a PKI engine at {mount}/, with a role {role}?")
            }
            IssueFault::OpenBao(OpenBaoFault::Forbidden { .. }) => {
                format!("the token needs: path \"{path}\" {{ capabilities = [\"update\"] }}; is it still valid?")
            }
            IssueFault::OpenBao(
                OpenBaoFault::Http { cause: HttpFault::Tls { .. }, .. } | OpenBaoFault::Trust { .. },
            ) => "is the CA of the server the one in the profile's ca_file (agent enroll --bao-ca)?".to_owned(),
            fault => fault.help(),
        };
        Fault::new(fault).help(help)
    }
}
