//! An ACME server (RFC 8555) as an agent's CA: the key is made here, and that the name is this machine's is shown on a port
//! that is open for the order alone.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stores::http::{HttpFault, Place, wait};
use stores::issue::acme::{self, ACCOUNT_BYTES_MAX, AcmeFault, Answering, ChallengeKind, Directory, External};
use stores::issue::{Expected, IssueFault, Name, Purpose, Request, check_chain};
use zeroize::Zeroizing;

use crate::bounds::RETRY_AFTER_S_MAX;
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Access};

/// An account of an ACME server, and how challenges are answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// URL of the server's directory.
    pub directory: String,
    /// PEM of the CA of the server; the CAs of this machine without it.
    pub ca_file: Option<PathBuf>,
    /// `mailto:` URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
    pub answer: Answer,
}

/// Whom the account belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    pub key_id: String,
    /// A file with the key in base64url.
    pub key_file: PathBuf,
}

/// Which challenge is answered, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn(SocketAddr),
    #[serde(rename = "http-01")]
    Http(SocketAddr),
}

impl Answer {
    const fn at(&self) -> SocketAddr {
        match self {
            Self::TlsAlpn(at) | Self::Http(at) => *at,
        }
    }

    const fn kind(&self) -> ChallengeKind {
        match self {
            Self::TlsAlpn(_) => ChallengeKind::TlsAlpn,
            Self::Http(_) => ChallengeKind::Http,
        }
    }
}

impl Acme {
    /// Refuses what could never work. Asks nobody.
    pub fn check(&self) -> Result<(), Fault> {
        for contact in &self.contact {
            if !contact.starts_with("mailto:") || !contact.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!("--acme-contact: expected mailto:ops@corp.example, found {contact:?}");
                return Err(Fault::new(message).help("or leave it out"));
            }
        }
        self.server().map(drop)
    }

    fn server(&self) -> Result<Directory, Fault> {
        let place = Place::parse(&self.directory).map_err(|fault| Fault::new(format_args!("--acme: {fault}")))?;
        if !place.is_tls() {
            let message = format!("--acme: expected https://HOST[:PORT]/PATH, found {}", self.directory);
            return Err(Fault::new(message).help("ACME is spoken over TLS (RFC 8555 §6.1)"));
        }
        let external = |of: &ExternalAccount| External { key_id: of.key_id.clone(), key: of.key_file.clone() };
        Ok(Directory {
            place,
            ca: self.ca_file.clone(),
            contact: self.contact.clone(),
            external: self.external_account.as_ref().map(external),
            challenge: self.answer.kind(),
        })
    }

    /// A new key with a certificate for this name, in PEM. The account is kept in `profile`.
    pub fn order(&self, profile: &Path, name: &str) -> Result<(Zeroizing<String>, String), Fault> {
        let (directory, names) = (self.server()?, [Name::Dns(name.to_owned())]);
        let file = profile.join(directory.account_file());
        let account = file.exists().then(|| files::read_secret(&file, ACCOUNT_BYTES_MAX)).transpose()?;
        let request = Request::new(&names, false).map_err(Fault::new)?;
        let desk = Desk { account, file, answering: Answering::new(self.answer.at()) };
        let ordered = wait(directory.order(&names, request.csr_der(), &desk)).map_err(Fault::new)?;
        let checked = ordered.and_then(|chain| {
            let (public_key, now_s) = (request.public_key(), clock::now_s());
            let expected = Expected { names: &names, public_key: &public_key, purpose: Purpose::Client, now_s };
            let checked = check_chain(&chain, &expected);
            checked.map(|_| chain).map_err(|cause| IssueFault::Check { from: directory.shown(), cause })
        });
        let chain = checked.map_err(|fault| self.told(&fault))?;
        Ok((request.key_pem(), chain.pem()))
    }

    fn told(&self, fault: &IssueFault) -> Fault {
        let told = Fault::new(fault).help(self.help(fault));
        let told = match fault {
            IssueFault::Acme(of) => told.again_after_s(of.retry_after_s().min(RETRY_AFTER_S_MAX)),
            _ => told,
        };
        if fault.is_passing() { told } else { told.counted() }
    }

    fn help(&self, fault: &IssueFault) -> String {
        let (kind, at) = (self.answer.kind(), self.answer.at());
        match fault {
            IssueFault::Acme(AcmeFault::Unproven { .. } | AcmeFault::Slow { .. }) => {
                format!("the name must lead to this machine, and its port {} to {at} ({kind})", kind.port())
            }
            IssueFault::Acme(AcmeFault::Desk(_)) => format!(
                "is something else listening there, and may this user (ports below 1024: CAP_NET_BIND_SERVICE)? Or name another \
                 address with --acme-listen or --acme-http, and lead port {} to it",
                kind.port()
            ),
            IssueFault::Acme(AcmeFault::Problem { kind, .. }) if kind.ends_with("externalAccountRequired") => {
                "the server wants --acme-eab-id ID --acme-eab-key FILE".to_owned()
            }
            IssueFault::Acme(of @ AcmeFault::Problem { .. }) if !of.is_bad_nonce() => {
                "may the CA issue for this name, and to this account? agent run tries it again by itself".to_owned()
            }
            IssueFault::Acme(AcmeFault::Account(_)) => "see the room and the mode of the profile".to_owned(),
            IssueFault::Acme(AcmeFault::Trust { .. } | AcmeFault::Http { cause: HttpFault::Tls { .. }, .. }) => {
                "name the CA of the server with --acme-ca".to_owned()
            }
            other => other.help(),
        }
    }
}

/// What an order needs of a profile.
struct Desk {
    account: Option<Zeroizing<String>>,
    file: PathBuf,
    answering: Answering,
}

impl acme::Desk for Desk {
    fn account(&self) -> Option<Zeroizing<String>> {
        self.account.clone()
    }

    fn keep_account(&self, account: &str) -> io::Result<()> {
        files::write(&self.file, account.as_bytes(), Access::OwnerOnly).map_err(io::Error::other)
    }

    /// An order that came to nothing for want of a server is placed again soon: an agent has one name.
    fn begun(&self) {}

    async fn answer(&self, challenges: Vec<acme::Challenge>) -> Result<(), String> {
        self.answering.answer(challenges).await
    }
}
