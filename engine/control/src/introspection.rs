//! Asking issuers about opaque tokens (RFC 7662), on a thread of its own: one exchange a question, bounded in number, time
//! and size. Whatever is not a readable answer of the server that the release names is none, and the token is refused.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use activation::bounds::INQUIRIES_MAX;
use activation::inquiries::{Answer, Inquiries, Inquiry};
use activation::shares::room_within;
use identity::throttle::Client;
use identity::token::opaque::read_answer;
use identity::token::{Issuer, TokenFault};
use policy::reason::Reason;
use tokio::sync::{Notify, mpsc};

use crate::assemble::IntrospectionClient;
use crate::bounds::{INTROSPECTION_TOLD_S, INTROSPECTIONS_IN_FLIGHT_MAX};
use crate::clock;
use crate::records::Handle;
use clients::Clients;

mod ask;
mod clients;

pub use ask::{AskFault, check};

/// The running thread.
pub struct Introspection {
    wake: Arc<Notify>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Introspection {
    /// Questions on their way are given up: the gateway has drained.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.notify_one();
        let _ = self.thread.join();
    }
}

/// What workers ask with, before there is anybody to answer.
pub struct Desk {
    pub inquiries: Arc<Inquiries>,
    wake: Arc<Notify>,
}

impl Default for Desk {
    fn default() -> Self {
        let wake = Arc::new(Notify::new());
        let knock = Arc::clone(&wake);
        Self { inquiries: Arc::new(Inquiries::new(INQUIRIES_MAX, move || knock.notify_one())), wake }
    }
}

/// Starts to answer what is asked at `desk`.
pub fn spawn(
    desk: Desk,
    clients: &[IntrospectionClient],
    records: Handle,
    worker_cores: Vec<usize>,
) -> io::Result<Introspection> {
    let stopping = Arc::new(AtomicBool::new(false));
    let clients = Clients::new(clients, records);
    let (clients, wake, stopped) = (Arc::new(clients), Arc::clone(&desk.wake), Arc::clone(&stopping));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("introspection".to_owned()).spawn(move || {
        crate::affinity::leave(&worker_cores);
        runtime.block_on(run(desk, clients, &stopped));
        // A look-up that hangs in the system's resolver must not keep the process.
        runtime.shutdown_background();
    })?;
    Ok(Introspection { wake, stopping, thread })
}

async fn run(desk: Desk, clients: Arc<Clients>, stopped: &AtomicBool) {
    let (done, mut ended) = mpsc::channel(INTROSPECTIONS_IN_FLIGHT_MAX);
    let (mut in_flight, mut telling) = (InFlight::default(), Telling::default());
    while !stopped.load(Ordering::Acquire) {
        while let Some(inquiry) = desk.inquiries.next(now_ms(), |inquiry| in_flight.has_room_for(inquiry)) {
            let exchange = in_flight.begin(&inquiry);
            let (inquiries, clients, done) = (Arc::clone(&desk.inquiries), Arc::clone(&clients), done.clone());
            tokio::spawn(async move {
                let failed = answer(&inquiries, &clients, inquiry).await;
                let _ = done.send((exchange, failed)).await;
            });
        }
        tokio::select! {
            () = desk.wake.notified() => {}
            Some((exchange, failed)) = ended.recv() => {
                in_flight.end(&exchange);
                failed.into_iter().for_each(|failure| telling.tell(&failure));
            }
        }
    }
}

fn now_ms() -> u64 {
    clock::unix_ns() / 1_000_000
}

/// The exchanges under way: an issuer that hangs, or a client with many tokens, leaves room for others.
#[derive(Default)]
struct InFlight {
    /// In no order; both.
    exchanges: Vec<Exchange>,
    by_issuer: Vec<(Arc<Issuer>, usize)>,
}

#[derive(Clone)]
struct Exchange {
    client: Client,
    issuer: Arc<Issuer>,
}

impl InFlight {
    fn has_room_for(&self, inquiry: &Inquiry) -> bool {
        let of_issuer = self.by_issuer.iter().find(|(issuer, _)| issuer.is_same(&inquiry.issuer));
        let of_issuer = of_issuer.map_or(0, |(_, count)| *count);
        let has_room = |own| room_within(own, of_issuer, self.exchanges.len(), INTROSPECTIONS_IN_FLIGHT_MAX).is_ok();
        let own = |other: &&Exchange| other.client == inquiry.client && other.issuer.is_same(&inquiry.issuer);
        // First what is soon said of many that wait for one issuer.
        has_room(0) && has_room(self.exchanges.iter().filter(own).count())
    }

    fn begin(&mut self, inquiry: &Inquiry) -> Exchange {
        let exchange = Exchange { client: inquiry.client, issuer: Arc::clone(&inquiry.issuer) };
        self.exchanges.push(exchange.clone());
        match self.by_issuer.iter_mut().find(|(issuer, _)| issuer.is_same(&exchange.issuer)) {
            Some((_, count)) => *count += 1,
            None => self.by_issuer.push((Arc::clone(&exchange.issuer), 1)),
        }
        exchange
    }

    fn end(&mut self, ended: &Exchange) {
        let is_it = |other: &Exchange| other.client == ended.client && other.issuer.is_same(&ended.issuer);
        if let Some(index) = self.exchanges.iter().position(is_it) {
            self.exchanges.swap_remove(index);
        }
        if let Some((_, count)) = self.by_issuer.iter_mut().find(|(issuer, _)| issuer.is_same(&ended.issuer)) {
            *count -= 1;
        }
        self.by_issuer.retain(|(_, count)| *count > 0);
    }
}

/// Asks, and puts down what comes of it; what to tell where there was no answer.
async fn answer(inquiries: &Inquiries, clients: &Clients, inquiry: Inquiry) -> Option<Failure> {
    let Inquiry { key, issuer, token, .. } = inquiry;
    // What counts from a moment on counts from before it was asked.
    let asked_ms = now_ms();
    let said = ask::ask(&issuer, clients, &token).await;
    drop(token);
    let read = said.and_then(|said| {
        let place = said.place;
        read_answer(&said.content, &issuer, asked_ms).map_err(|fault| AskFault::Answer { place, fault })
    });
    let (answer, failure): (Answer, _) = match read {
        Ok(Ok(token)) => (Ok(Arc::new(token)), None),
        Ok(Err(fault)) => {
            let failure = unfit(&issuer, &fault);
            (Err(fault), failure)
        }
        Err(why) => {
            let failure = Failure { issuer: issuer.rules().name.clone(), why: why.to_string(), refused_for: None };
            (Err(TokenFault::IntrospectionUnavailable), Some(failure))
        }
    };
    inquiries.answer(&key, answer, now_ms());
    failure
}

struct Failure {
    issuer: String,
    why: String,
    /// What the token is refused for where there was an answer.
    refused_for: Option<Reason>,
}

/// What to tell of an answer that makes no token of it: hardly the fault of whoever presents it, and neither the response nor
/// the record says more than a reason. What time and the issuer decide is no fault at all.
fn unfit(issuer: &Issuer, fault: &TokenFault) -> Option<Failure> {
    let rules = issuer.rules();
    let audience = rules.audience.join(", ");
    let found = match fault {
        TokenFault::Inactive
        | TokenFault::IntrospectionUnavailable
        | TokenFault::Expired
        | TokenFault::NotYetValid
        | TokenFault::IssuedInFuture => return None,
        TokenFault::ClaimMissing("aud") => format!(" has no aud (expected one of {audience})"),
        TokenFault::ClaimMissing(name) => format!(" has no {name}"),
        TokenFault::AudienceWrong => format!(" has another aud (expected one of {audience})"),
        TokenFault::IssuerUnknown => format!(" has another iss (expected {})", rules.issuer),
        TokenFault::Type => " is of no access token (token_type, token_use, typ)".to_owned(),
        other => format!(": {other}"),
    };
    let why = format!("the introspection answer{found}");
    Some(Failure { issuer: rules.name.clone(), why, refused_for: Some(fault.reason()) })
}

/// What was told of failures: an issuer that is down is told of now and then, not with each token.
#[derive(Default)]
struct Telling {
    /// By issuer, and by what an answer lacks where there is one (as many kinds as [`TokenFault`] has): when, and how many
    /// were kept quiet since.
    told: BTreeMap<(String, Option<String>), (Instant, u64)>,
}

impl Telling {
    fn tell(&mut self, failure: &Failure) {
        let Failure { issuer, why, refused_for } = failure;
        let key = (issuer.clone(), refused_for.map(|_| why.clone()));
        let quiet = match self.told.get_mut(&key) {
            Some((at, quiet)) if at.elapsed() < Duration::from_secs(INTROSPECTION_TOLD_S) => {
                *quiet += 1;
                return;
            }
            Some((_, quiet)) => *quiet,
            None => 0,
        };
        let before = if quiet == 0 { String::new() } else { format!(" ({quiet} more since the last message)") };
        match refused_for {
            None => crate::warning!(
                "issuer \"{issuer}\": {why}: its opaque tokens are refused (introspection-unavailable) unless they were \
                 asked about before{before}"
            ),
            Some(reason) => {
                crate::warning!("issuer \"{issuer}\": {why}: the token is refused ({}){before}", reason.name());
            }
        }
        self.told.insert(key, (Instant::now(), 0));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use policy::model::{self, Keys};
    use zeroize::Zeroizing;

    use super::*;
    use crate::testing;

    fn inquiry(issuer: &str, client: u8) -> Inquiry {
        let rules = testing::policy(Keys::None, None).issuers.remove(0);
        let rules = model::Issuer { name: issuer.to_owned(), ..rules };
        let client = Client::from(IpAddr::from([192, 0, 2, client]));
        let token = Zeroizing::new(Box::from(&b"x"[..]));
        Inquiry { key: [0; 33], client, issuer: Arc::new(Issuer::new(rules, None)), token, since_ms: 0 }
    }

    /// Begins as many as there is room for.
    fn fill(in_flight: &mut InFlight, issuer: &str, clients: impl Iterator<Item = u8>) -> Vec<Exchange> {
        let all = clients.map(|client| inquiry(issuer, client));
        all.filter_map(|inquiry| in_flight.has_room_for(&inquiry).then(|| in_flight.begin(&inquiry))).collect()
    }

    #[test]
    fn a_busy_client_and_a_hanging_issuer_leave_room() {
        let mut in_flight = InFlight::default();
        let half = INTROSPECTIONS_IN_FLIGHT_MAX / 2;
        let mut begun = fill(&mut in_flight, "hangs", std::iter::repeat_n(1, 500));
        assert_eq!(begun.len(), half / 2, "one client");
        begun.extend(fill(&mut in_flight, "hangs", 2..=255));
        assert_eq!(begun.len(), half, "one issuer");
        assert!(!in_flight.has_room_for(&inquiry("hangs", 0)));
        begun.extend(fill(&mut in_flight, "other", 1..=10));
        assert_eq!(begun.len(), half + 10, "the same clients, of another issuer");
        begun.iter().for_each(|exchange| in_flight.end(exchange));
        assert!(in_flight.exchanges.is_empty() && in_flight.by_issuer.is_empty());
    }
}
