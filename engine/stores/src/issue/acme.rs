//! ACME (RFC 8555) with the challenges tls-alpn-01 (RFC 8737), which needs no port but the one that a gateway serves anyway,
//! and http-01.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use policy_release::digest::Digest;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Chain, IssueFault, Name, certificates};
use crate::http::{HttpFault, Place};
use crate::openbao::printable;
pub use answering::Answering;
pub use challenge::{Challenge, ChallengeKind, tls_config};
pub use fault::AcmeFault;
use http::Http;

mod answering;
mod challenge;
mod fault;
mod http;

/// Time for one order, seconds.
pub const ORDER_S_MAX: u64 = 180;
/// Bytes of an account that is kept.
pub const ACCOUNT_BYTES_MAX: usize = 16 << 10;

/// Bytes of a file with an external account key.
const KEY_BYTES_MAX: usize = 4 << 10;
/// Time for one exchange, and of it for each step, seconds.
const EXCHANGE_S_MAX: u64 = 20;
const STEP_S_MAX: u64 = 5;
/// Pause before the first look at an order, milliseconds; each one after it is longer by a fifth.
const LOOK_MS_MIN: u64 = 250;
/// An order that is not ready is left where the next look would come later, seconds; and again one without its certificate.
const LOOK_S_MAX: u64 = 60;
/// How often a step is taken that the server refuses for its nonce alone; the library asks three times each.
const STEP_TRIES_MAX: u32 = 4;
/// Authorizations of an order for each of its names: there is one, where the server does not want more (RFC 8555 §7.1.3).
const AUTHORIZATIONS_PER_NAME_MAX: usize = 4;

/// An ACME server, and who we are there.
#[derive(Debug)]
pub struct Directory {
    pub place: Place,
    /// PEM of the CA that vouches for the server; the CAs of this machine without it.
    pub ca: Option<PathBuf>,
    /// `mailto:` URIs.
    pub contact: Vec<String>,
    pub external: Option<External>,
    pub challenge: ChallengeKind,
}

/// What ties the account to one that its CA knows already (RFC 8555 §7.3.4).
#[derive(Debug)]
pub struct External {
    pub key_id: String,
    /// The MAC key in base64url.
    pub key: PathBuf,
}

/// What an order needs of whoever places it.
pub trait Desk {
    /// The account as [`Desk::keep_account`] got it; none where there is none.
    fn account(&self) -> Option<Zeroizing<String>>;
    /// Keeps the account, owner-only: it holds its key.
    fn keep_account(&self, account: &str) -> io::Result<()>;
    /// An order stands at the server: whatever comes of it, it counts there.
    fn begun(&self);
    /// Answers these challenges from now on, and no others.
    fn answer(&self, challenges: Vec<Challenge>) -> impl Future<Output = Result<(), String>>;
}

/// Where an account is, of all that is kept of it.
#[derive(Deserialize)]
struct AccountPlace {
    directory: String,
}

/// One order, from the account to the certificate.
struct Placing<'a, D> {
    directory: &'a Directory,
    desk: &'a D,
    retry_after_s: Arc<AtomicU64>,
}

impl Directory {
    /// Where it stands, for people.
    pub fn shown(&self) -> String {
        self.place.to_string()
    }

    /// Name of the file that holds the account: one for each server, and for each account there that is tied to another.
    pub fn account_file(&self) -> String {
        let external = self.external.as_ref().map_or("", |external| external.key_id.as_str());
        let digest = Digest::of(format!("{}\n{external}", self.shown()).as_bytes()).to_string();
        let mark: String = digest.trim_start_matches("sha256:").chars().take(16).collect();
        format!("acme-{mark}.json")
    }

    /// Has a certificate issued for `names`, which are DNS names, and the request.
    pub async fn order<D: Desk>(&self, names: &[Name], csr_der: &[u8], desk: &D) -> Result<Chain, IssueFault> {
        let placing = Placing { directory: self, desk, retry_after_s: Arc::default() };
        let pem = placing.within(Duration::from_secs(ORDER_S_MAX), placing.run(names, csr_der)).await?;
        Ok(Chain { shown: certificates(&self.shown(), &pem)?, ca: None })
    }

    fn external_key(&self) -> Result<Option<ExternalAccountKey>, AcmeFault> {
        let Some(External { key_id, key }) = &self.external else { return Ok(None) };
        let text = files::read_private(key, KEY_BYTES_MAX)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| AcmeFault::ExternalKey(key.display().to_string()))?;
        Ok(Some(ExternalAccountKey::new(key_id.clone(), &bytes)))
    }
}

impl<D: Desk> Placing<'_, D> {
    /// Whatever comes of it, and be it nothing, no challenge is answered any more.
    async fn within<T>(
        &self,
        bound: Duration,
        order: impl Future<Output = Result<T, AcmeFault>>,
    ) -> Result<T, AcmeFault> {
        let done = tokio::time::timeout(bound, order).await;
        let _ = self.desk.answer(Vec::new()).await;
        done.unwrap_or_else(|_| Err(self.slow("a certificate", bound)))
    }

    async fn run(&self, names: &[Name], csr_der: &[u8]) -> Result<String, AcmeFault> {
        let identifiers: Vec<_> =
            names.iter().filter_map(Name::dns).map(|name| Identifier::Dns(name.to_owned())).collect();
        let wanted = NewOrder::new(&identifiers);
        let order = match self.kept_account().await? {
            Some(account) => match step(async || account.new_order(&wanted).await).await {
                // A server that was set up anew has forgotten us.
                Err(instant_acme::Error::Api(problem)) if is(&problem, "accountDoesNotExist") => None,
                order => Some(order),
            },
            None => None,
        };
        let order = match order {
            Some(order) => order,
            None => {
                let account = self.new_account().await?;
                step(async || account.new_order(&wanted).await).await
            }
        };
        let mut order = order.map_err(|error| self.fault(error))?;
        self.desk.begun();
        self.expect_few(&mut order, names)?;
        self.prove(&mut order, names).await?;
        step(async || order.finalize_csr(csr_der).await).await.map_err(|error| self.fault(error))?;
        let since = Instant::now();
        let issued = step(async || order.poll_certificate(&retries()).await).await;
        issued.map_err(|error| self.late("the certificate", since, error))
    }

    fn client(&self) -> Result<Box<Http>, AcmeFault> {
        let pem =
            self.directory.ca.as_ref().map(|path| files::read_text(path, crate::openbao::CA_BYTES_MAX)).transpose()?;
        let within = (Duration::from_secs(STEP_S_MAX), Duration::from_secs(EXCHANGE_S_MAX));
        let made = Http::new(&self.directory.place, pem.as_deref(), within, Arc::clone(&self.retry_after_s));
        made.map(Box::new).map_err(|cause| AcmeFault::Trust { directory: self.directory.shown(), cause })
    }

    fn url(&self) -> String {
        let place = &self.directory.place;
        place.with_path(String::new()).to_string() + &place.target()
    }

    async fn kept_account(&self) -> Result<Option<Account>, AcmeFault> {
        let Some(text) = self.desk.account() else { return Ok(None) };
        // Of another server, or damaged: the library would ask whatever stands there, and panics at what is no URL.
        let place = serde_json::from_str::<AccountPlace>(&text);
        if !place.is_ok_and(|place| place.directory == self.url()) {
            return Ok(None);
        }
        let Ok(credentials) = serde_json::from_str::<AccountCredentials>(&text) else { return Ok(None) };
        let account = Account::builder_with_http(self.client()?).from_credentials(credentials).await;
        account.map(Some).map_err(|error| self.fault(error))
    }

    async fn new_account(&self) -> Result<Account, AcmeFault> {
        let contact: Vec<&str> = self.directory.contact.iter().map(String::as_str).collect();
        // That whoever named the directory agrees was asked there.
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (client, external) = (self.client()?, self.directory.external_key()?);
        let builder = || Account::builder_with_http(client.clone());
        let made = step(async || builder().create(&wanted, self.url(), external.as_ref()).await).await;
        let (account, credentials) = made.map_err(|error| self.fault(error))?;
        let text = serde_json::to_string(&credentials).map(Zeroizing::new);
        let text = text.map_err(|error| AcmeFault::Account(io::Error::other(error)))?;
        self.desk.keep_account(&text).map_err(AcmeFault::Account)?;
        Ok(account)
    }

    /// Answers the challenges of all names, until the server believes each or one not.
    async fn prove(&self, order: &mut Order, names: &[Name]) -> Result<(), AcmeFault> {
        let challenges = self.challenges(order, names).await?;
        self.desk.answer(challenges).await.map_err(AcmeFault::Desk)?;
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| self.fault(error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(self.directory.challenge.of_order()) {
                step(async || challenge.set_ready().await).await.map_err(|error| self.fault(error))?;
            }
        }
        let since = Instant::now();
        match step(async || order.poll_ready(&retries()).await).await {
            Ok(OrderStatus::Invalid) => Err(self.unproven(order, names).await),
            Err(instant_acme::Error::Api(_)) if order.state().status == OrderStatus::Invalid => {
                Err(self.unproven(order, names).await)
            }
            outcome => {
                outcome.map(drop).map_err(|error| self.late("the challenge to have been looked at", since, error))
            }
        }
    }

    /// The server decides how many there are, and each is asked for and kept.
    fn expect_few(&self, order: &mut Order, names: &[Name]) -> Result<(), AcmeFault> {
        match order.state().authorizations.len() {
            count if count > names.len() * AUTHORIZATIONS_PER_NAME_MAX => {
                Err(self.protocol(&format_args!("{count} authorizations for the names of the order, {}", names.len())))
            }
            _ => Ok(()),
        }
    }

    async fn challenges(&self, order: &mut Order, names: &[Name]) -> Result<Vec<Challenge>, AcmeFault> {
        step(async || read_all(order).await).await.map_err(|error| self.fault(error))?;
        let mut challenges = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| self.fault(error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            // Nobody is told that a name is ours that was not asked about.
            if !names.iter().any(|wanted| wanted.dns() == Some(name.as_str())) {
                return Err(self.protocol(&"an authorization for a name that was not ordered"));
            }
            let (directory, kind) = (self.directory.shown(), self.directory.challenge);
            let none = || AcmeFault::NoChallenge { directory, name: name.clone(), kind };
            let challenge = authorization.challenge(kind.of_order()).ok_or_else(none)?;
            challenges.push(Challenge::new(name, &challenge, kind).map_err(AcmeFault::Challenge)?);
        }
        Ok(challenges)
    }

    /// What the server says of each name.
    async fn unproven(&self, order: &mut Order, names: &[Name]) -> AcmeFault {
        // The order was read again.
        if let Err(too_many) = self.expect_few(order, names) {
            return too_many;
        }
        let mut said = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if step(async || authorization.refresh().await.map(drop)).await.is_ok() {
                let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
                said.extend(errors.map(self::said));
            }
        }
        let said = if said.is_empty() { "it does not say why".to_owned() } else { printable(&said.join("; ")) };
        let names = names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ");
        let (directory, kind) = (self.directory.shown(), self.directory.challenge);
        AcmeFault::Unproven { directory, names, said, retry_after_s: self.waits_s(), kind }
    }

    fn fault(&self, error: instant_acme::Error) -> AcmeFault {
        let directory = self.directory.shown();
        match error {
            instant_acme::Error::Api(problem) => {
                let (said, kind) = (said(&problem), problem.r#type.unwrap_or_default());
                AcmeFault::Problem { directory, said, kind, retry_after_s: self.waits_s() }
            }
            instant_acme::Error::Other(cause) => match cause.downcast::<HttpFault>() {
                Ok(cause) => AcmeFault::Http { directory, cause: *cause, retry_after_s: self.waits_s() },
                Err(other) => self.protocol(&other),
            },
            other => self.protocol(&other),
        }
    }

    /// Of what was looked at again and again since then.
    fn late(&self, awaited: &'static str, since: Instant, error: instant_acme::Error) -> AcmeFault {
        match error {
            instant_acme::Error::Timeout(_) => self.slow(awaited, since.elapsed()),
            other => self.fault(other),
        }
    }

    fn slow(&self, awaited: &'static str, after: Duration) -> AcmeFault {
        AcmeFault::Slow { directory: self.directory.shown(), awaited, after_s: after.as_secs() }
    }

    fn protocol(&self, found: &dyn fmt::Display) -> AcmeFault {
        AcmeFault::Protocol { directory: self.directory.shown(), found: printable(&found.to_string()) }
    }

    fn waits_s(&self) -> u64 {
        self.retry_after_s.load(Ordering::Relaxed)
    }
}

/// Takes a step, and again where the server wants nothing but another nonce: it has done nothing then (RFC 8555 §6.5).
async fn step<T>(mut ask: impl AsyncFnMut() -> Result<T, instant_acme::Error>) -> Result<T, instant_acme::Error> {
    for _ in 1..STEP_TRIES_MAX {
        match ask().await {
            Err(instant_acme::Error::Api(problem)) if is(&problem, "badNonce") => {}
            outcome => return outcome,
        }
    }
    ask().await
}

/// Reads all authorizations: whoever looks at them next asks nobody.
async fn read_all(order: &mut Order) -> Result<(), instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        next?;
    }
    Ok(())
}

fn retries() -> RetryPolicy {
    let first = Duration::from_millis(LOOK_MS_MIN);
    RetryPolicy::new().initial_delay(first).backoff(1.2).timeout(Duration::from_secs(LOOK_S_MAX))
}

fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref().is_some_and(|found| found.strip_prefix("urn:ietf:params:acme:error:") == Some(kind))
}

/// In the server's words.
fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("a problem of no type");
    let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let told: Vec<&str> = problem.detail.as_deref().into_iter().chain(parts).collect();
    printable(&format!("{} ({})", told.join("; "), kind.rsplit(':').next().unwrap_or(kind)))
}

#[cfg(test)]
mod tests;
