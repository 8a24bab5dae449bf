//! An ACME server as an agent's CA, as options of `agent enroll`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use agent::acme::{Acme, Answer, ExternalAccount};
use agent::id::Id;
use clap::Args;

use crate::failure::Failure;

/// Where servers look for tls-alpn-01 (RFC 8737 §3).
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 443);

#[derive(Debug, Args)]
pub struct AcmeArgs {
    /// An ACME server, by the URL of its directory. Certificates have the name of --dns, which must lead to this machine.
    #[arg(long, value_name = "URL", group = "source")]
    acme: Option<String>,
    /// The DNS name of the agent's certificate, in full; taken from --release when absent.
    #[arg(long, value_name = "NAME", requires = "acme", value_parser = Id::dns)]
    dns: Option<Id>,
    /// You have read the terms of service of the CA, and agree.
    #[arg(long, requires = "acme")]
    acme_agree_to_terms: bool,
    /// PEM file with the CA of the ACME server's own certificate; this machine's CAs when absent.
    #[arg(long, value_name = "FILE", requires = "acme")]
    acme_ca: Option<PathBuf>,
    /// Where challenges are answered while an order is pending (tls-alpn-01); 0.0.0.0:443 when absent. The server looks at
    /// port 443 of the name.
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_listen: Option<SocketAddr>,
    /// The same by http-01; the server looks at port 80 of the name.
    #[arg(long, value_name = "ADDRESS", requires = "acme", conflicts_with = "acme_listen")]
    acme_http: Option<SocketAddr>,
    /// Whom the CA may write to, like mailto:ops@corp.example. May be repeated.
    #[arg(long, value_name = "URI", requires = "acme")]
    acme_contact: Vec<String>,
    /// Id of the account at the CA that this one belongs to, as the CA gave it.
    #[arg(long, value_name = "ID", requires_all = ["acme", "acme_eab_key"])]
    acme_eab_id: Option<String>,
    /// File with the key that goes with --acme-eab-id, in base64url.
    #[arg(long, value_name = "FILE", requires_all = ["acme", "acme_eab_id"])]
    acme_eab_key: Option<PathBuf>,
}

impl AcmeArgs {
    pub fn id(&self) -> Option<Id> {
        self.dns.clone()
    }

    /// None where no ACME server is named.
    pub fn source(&self) -> Result<Option<Acme>, Failure> {
        let Some(directory) = &self.acme else { return Ok(None) };
        if !self.acme_agree_to_terms {
            let message = "expected --acme-agree-to-terms with --acme, found no word of it";
            return Err(Failure::new(message).help("read the terms of service of the CA, and add it if you agree"));
        }
        let external = self.acme_eab_id.clone().zip(self.acme_eab_key.clone());
        let answer = self.acme_http.map(Answer::Http);
        Ok(Some(Acme {
            directory: directory.clone(),
            ca_file: self.acme_ca.clone(),
            contact: self.acme_contact.clone(),
            external_account: external.map(|(key_id, key_file)| ExternalAccount { key_id, key_file }),
            answer: answer.unwrap_or(Answer::TlsAlpn(self.acme_listen.unwrap_or(LISTEN))),
        }))
    }
}
