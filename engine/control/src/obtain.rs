//! Certificates that issuers give: OpenBao's and Vault's PKI engines, and ACME servers. Each is kept in the state directory
//! as one file with its key, and served from there like every other certificate: a renewal is a file that changed.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use stores::issue::acme::Directory;
use stores::issue::pki::Role;
use stores::issue::{Chain, Expected, IssueFault, Name, Purpose, Request, check_chain};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::assemble::{ChainFiles, hex};
use crate::at_rest::AtRest;
use crate::bounds::{OBTAIN_START_S_MAX, SIGN_S_MAX};
use crate::clock;
use crate::moving::Why;
use crate::status::{Moving, ObtainedStatus};

mod desk;
mod keeper;
mod kept;
mod schedule;
mod told;

use desk::Desk;
pub use keeper::{Obtaining, Start, spawn};
pub use kept::directory;
pub use told::Told;

/// Where certificates come from.
#[derive(Debug)]
pub struct Source {
    /// As gateway.toml calls it.
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    OpenBao(Role),
    Acme {
        directory: Directory,
        /// Where challenges of http-01 are answered; tls-alpn-01 without it.
        http: Option<SocketAddr>,
    },
}

/// A certificate that is obtained, and obtained again before it ends.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub names: Vec<Name>,
    pub purpose: Purpose,
    pub source: Arc<Source>,
    /// How long it should live, seconds, where the source lets us say.
    pub life_s: u64,
    /// Holds it with its key.
    pub file: PathBuf,
    pub at_rest: AtRest,
}

/// Makes a place in the status for each, before anything is told of them: counters are there before anything goes wrong, and
/// whoever looks at the certificates knows whose they are.
pub fn declare(all: &[Wanted], moving: &mut Moving) {
    for wanted in all {
        let (source, names) = (wanted.source.name.clone(), wanted.shown());
        let status = ObtainedStatus { source, names, ..ObtainedStatus::default() };
        moving.obtained.insert(wanted.file.display().to_string(), status);
    }
}

/// What an issuer gave, with its key.
struct Obtained {
    chain: Chain,
    request: Request,
}

#[derive(Debug, thiserror::Error)]
pub enum ObtainFault {
    #[error(transparent)]
    Issue(#[from] IssueFault),
    #[error("{}: cannot be kept: {cause}", .path.display())]
    Keep { path: PathBuf, cause: io::Error },
    #[error("{source_name}: expected a certificate within {within_s} s, found none")]
    Slow { source_name: String, within_s: u64 },
}

impl ObtainFault {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Issue(fault) if fault.is_refusal())
    }

    fn is_passing(&self) -> bool {
        match self {
            Self::Issue(fault) => fault.is_passing(),
            Self::Keep { .. } | Self::Slow { .. } => true,
        }
    }

    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Issue(fault) => fault.help(),
            Self::Keep { .. } => "see the room and the mode of the state directory".to_owned(),
            Self::Slow { .. } => "it is tried again by itself".to_owned(),
        }
    }
}

impl Source {
    /// What is asked, for people.
    pub fn place(&self) -> String {
        match &self.kind {
            Kind::OpenBao(role) => role.place(),
            Kind::Acme { directory, .. } => directory.shown(),
        }
    }

    /// Whether it looks at the gateway itself before it gives anything: nothing can come of it before the gateway serves.
    pub fn comes_while_serving(&self) -> bool {
        matches!(self.kind, Kind::Acme { .. })
    }
}

impl Wanted {
    /// Kept under `state`. The same wish has the same file, whoever has it.
    pub fn new(state: &Path, source: Arc<Source>, names: Vec<Name>, purpose: Purpose, life_s: u64) -> Self {
        let mut hash = Sha256::new().chain_update(source.place()).chain_update([purpose as u8]);
        if let Kind::OpenBao(Role { server, .. }) = &source.kind {
            hash.update(server.namespace.as_deref().unwrap_or_default());
        }
        names.iter().for_each(|name| hash.update(format!("\n{name}")));
        let mark: String = hex(&hash.finalize()).chars().take(8).collect();
        let first = names.first().map(Name::to_string).unwrap_or_default();
        let first = first.rsplit("://").next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let first: String = first.trim_start_matches('.').chars().take(64).map(plain).collect();
        let file = kept::directory(state).join(format!("{first}-{mark}.pem"));
        Self { names, purpose, source, life_s, file, at_rest: AtRest::default() }
    }

    pub fn files(&self) -> ChainFiles {
        ChainFiles { chain: self.file.clone(), key: self.file.clone(), kept: Some(self.at_rest.clone()) }
    }

    /// Its names, for people.
    pub fn shown(&self) -> String {
        self.names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ")
    }

    /// That it is not there, and what comes of that.
    pub fn missing(&self) -> String {
        let (names, place) = (self.shown(), self.place());
        let then = match (self.source.comes_while_serving(), self.purpose) {
            (false, _) => format!("the start obtains it from {place}"),
            (true, Purpose::Server) => format!("it is obtained from {place} while the gateway serves"),
            (true, Purpose::Client) => format!(
                "it is obtained from {place} while the gateway serves, and requests to origins that want it are refused until \
                 then (origin-identity-missing)"
            ),
        };
        format!("the certificate for {names} is not there yet: {then}")
    }

    fn place(&self) -> String {
        self.source.place()
    }

    /// Obtains it once: what is good, and nobody keeps yet.
    async fn obtain(&self, desk: Option<&Desk>) -> Result<Obtained, ObtainFault> {
        let is_openbao = matches!(self.source.kind, Kind::OpenBao(_));
        let request = Request::new(&self.names, is_openbao)?;
        let chain = match (&self.source.kind, desk) {
            (Kind::OpenBao(role), _) => {
                let within = Duration::from_secs(SIGN_S_MAX);
                role.sign(&request.csr_pem()?, &self.names, self.life_s, within).await?
            }
            (Kind::Acme { directory, .. }, Some(desk)) => {
                let _one = desk.order().await;
                directory.order(&self.names, request.csr_der(), desk).await?
            }
            (Kind::Acme { .. }, None) => return Err(self.slow(0)),
        };
        self.check(&chain, &request)?;
        Ok(Obtained { chain, request })
    }

    /// Keeps what was obtained, in the place of what was kept before. The thumbprint.
    fn keep(&self, Obtained { chain, request }: &Obtained) -> Result<String, ObtainFault> {
        // It may have waited for room.
        self.check(chain, request)?;
        let keep = |cause| ObtainFault::Keep { path: self.file.clone(), cause };
        kept::write(&self.file, &self.at_rest, &chain.pem(), &request.key_pem()).map_err(keep)?;
        Ok(chain.shown.first().map(thumbprint).unwrap_or_default())
    }

    fn slow(&self, within_s: u64) -> ObtainFault {
        ObtainFault::Slow { source_name: self.place(), within_s }
    }

    fn check(&self, chain: &Chain, request: &Request) -> Result<(), IssueFault> {
        let (names, purpose, now_s) = (&self.names, self.purpose, clock::unix_s());
        let expected = Expected { names, public_key: &request.public_key(), purpose, now_s };
        check_chain(chain, &expected).map(drop).map_err(|cause| IssueFault::Check { from: self.place(), cause })
    }
}

fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    hex(&Sha256::digest(certificate))
}

/// Why a start has nothing to serve with.
#[derive(Debug, thiserror::Error)]
#[error("no certificate for {names} can be had, and none is kept: {fault}")]
pub struct FirstFault {
    names: String,
    fault: Box<ObtainFault>,
}

impl FirstFault {
    pub fn help(&self) -> String {
        self.fault.help()
    }
}

/// Obtains what a start cannot do without, which is what no server looks at the gateway for and is not kept. Where what is
/// kept has ended, one attempt is made, and the start goes on. All at the same time: a start waits for the slowest, not for
/// one after the other. What is to be told of it.
pub fn first(wanted: &[Wanted]) -> Result<Vec<Told>, FirstFault> {
    let asked = wanted.iter().filter(|of| !of.source.comes_while_serving());
    let asked: Vec<_> = asked.map(|of| (of, kept::look(&of.files()))).collect();
    let asked = asked.into_iter().filter(|(_, kept)| kept.as_ref().is_none_or(|kept| kept.ends_s <= clock::unix_s()));
    let mut told = Vec::new();
    for ((of, kept), obtained) in at_once(asked.collect()) {
        match (obtained, kept) {
            (Err(fault), None) => return Err(FirstFault { names: of.shown(), fault: Box::new(fault) }),
            (result, kept) => told.push(Told::new(of, Why::Start, kept.map(|kept| kept.sha256), result)),
        }
    }
    Ok(told)
}

/// Tells at a start of what it does not wait for.
pub fn tell_awaited(wanted: &[Wanted]) {
    let awaited = wanted.iter().filter(|of| of.source.comes_while_serving() && kept::look(&of.files()).is_none());
    awaited.for_each(|of| crate::warning!("{}", of.missing()));
}

type Asked<'w> = (&'w Wanted, Option<kept::Kept>);

fn at_once(asked: Vec<Asked<'_>>) -> Vec<(Asked<'_>, Result<String, ObtainFault>)> {
    let spawn = |(of, kept): &Asked<'_>| {
        let (of, once) = ((*of).clone(), kept.is_some());
        tokio::task::spawn_local(async move { first_of(&of, once).await })
    };
    let tasks = LocalSet::new();
    let all = tasks.run_until(async {
        let under_way: Vec<_> = asked.iter().map(spawn).collect();
        let mut ended = Vec::new();
        for one in under_way {
            ended.push(one.await);
        }
        ended
    });
    let mut ended = stores::http::wait(all).map(Vec::into_iter).unwrap_or_default();
    let none = |of: &Wanted| Err(ObtainFault::Keep { path: of.file.clone(), cause: io::ErrorKind::Other.into() });
    let results = asked.into_iter().map(|asked| {
        let result = ended.next().and_then(Result::ok).unwrap_or_else(|| none(asked.0));
        (asked, result)
    });
    results.collect()
}

async fn first_of(of: &Wanted, once: bool) -> Result<String, ObtainFault> {
    let until = Instant::now() + Duration::from_secs(OBTAIN_START_S_MAX);
    let mut failures = 0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let obtained = tokio::time::timeout(left, of.obtain(None)).await;
        let obtained = obtained.unwrap_or_else(|_| Err(of.slow(OBTAIN_START_S_MAX)));
        let obtained = obtained.and_then(|obtained| of.keep(&obtained));
        failures += 1;
        let pause = Duration::from_millis(schedule::retry_ms(failures, 0, schedule::chance()));
        let is_last = once || Instant::now() + pause >= until;
        match obtained {
            Err(fault) if fault.is_passing() && !is_last => tokio::time::sleep(pause).await,
            result => return result,
        }
    }
}
