//! Stage 6: the request on its way to an origin. Consumes the permit: a request without one cannot be forwarded.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;

use activation::assertion::Bound;
use activation::injection::Injection;
use activation::record::Transport as TransportKind;
use http1::{Forward, ResponseHead, Scheme};
use policy::reason::Reason;
use policy::table::AgentId;

use crate::account::Permit;
use crate::assertion;
use crate::block::Gather;
use crate::connection::{Connection, Next};
use crate::content::{Pace, PumpFault, ReadFault, Reader, Writer, pump};
use crate::deadline::{Direction, Stage};
use crate::head::Request;
use crate::journal::Journal;
use crate::respond::{Between, Progressed, Relayed, VIA, hex};
use crate::transport::Transport;
use crate::withheld;
use crate::worker::{Held, Worker};

/// Who asks for what.
pub struct Asking<'a, T> {
    pub worker: &'a Worker,
    pub activation: &'a Held,
    pub client: &'a Connection<T>,
    pub request: &'a Request<'a>,
    /// The client's address.
    pub address: IpAddr,
}

impl<T> Clone for Asking<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Asking<'_, T> {}

impl<T> Asking<'_, T> {
    /// Takes what the origin gets of the gateway's own, a credential or an assertion's key, as it is now. Without a good
    /// credential nothing is sent: the origin would take it for somebody else's. Without the certificate that it is to see no
    /// connection is made.
    fn take_own(&self, permit: &mut Permit) -> Result<(), Reason> {
        if !permit.gives_own() {
            return Ok(());
        }
        permit.renew_own(self.activation, &self.worker.activation());
        match permit.origin().injected.as_deref() {
            // The clock of this moment: the request may have waited for long.
            Some(own) if !own.is_good(|| self.worker.now_unix_ns()) => Err(own.missing()),
            _ => Ok(()),
        }
    }
}

/// Why a permitted request got no (whole) response.
pub struct Failure {
    pub reason: Reason,
    /// The client has seen part of a response: nothing else can be said to it.
    pub answered: bool,
}

/// Forwards a request and relays its response. A request that may be repeated is sent once more on a new connection
/// when the first breaks before it answers (RFC 9110 §9.2.2).
pub async fn forward<T: Transport>(
    mut permit: Permit,
    asking: Asking<'_, T>,
    content: &mut Reader<'_, T>,
    reply: &mut ResponseHead,
    journal: &mut Journal<'_>,
) -> Result<Next, Failure> {
    let worker = asking.worker;
    let agent = journal.record.agent.map(|agent| asking.activation.table.agent_name(AgentId(agent)));
    let repeatable = asking.request.is_repeatable();
    loop {
        let fresh = journal.record.retried;
        let unanswered = |reason| Failure { reason, answered: false };
        // Before a connection is made for nothing, and once more when it is there.
        asking.take_own(&mut permit).map_err(unanswered)?;
        let connected = worker.origins.connection(permit.origin(), fresh).await;
        let origin = connected.map_err(|fault| unanswered(fault.reason()))?;
        withheld::check(asking).map_err(unanswered)?;
        asking.take_own(&mut permit).map_err(unanswered)?;
        journal.record.origin = Some(origin.socket());
        origin.deadline().take_exchange(&asking.client.deadline);
        let progressed = Progressed::default();
        let between = Between { asking, agent, origin: &origin, tightest: permit.tightest, progressed: &progressed };
        let done = between.exchange(&permit, content, reply, journal).await;
        journal.record.bytes_in = content.bytes;
        match done {
            Ok(relayed) => {
                if relayed.reusable && progressed.uploaded.get() {
                    worker.origins.give_back(origin);
                }
                return Ok(if relayed.keep_alive { Next::Wait } else { Next::Close });
            }
            Err(Reason::OriginBroke) if repeatable && !progressed.heard.get() && !fresh => {
                journal.record.retried = true;
                worker.stats.origin_retries.add(1);
            }
            Err(reason) => return Err(Failure { reason, answered: progressed.answered.get() }),
        }
    }
}

impl<T: Transport> Between<'_, T> {
    /// Sends the request and relays the response, both at once where the request has content.
    async fn exchange(
        &self,
        permit: &Permit,
        content: &mut Reader<'_, T>,
        reply: &mut ResponseHead,
        journal: &mut Journal<'_>,
    ) -> Result<Relayed, Reason> {
        let timeouts = &self.asking.worker.settings.timeouts;
        let mut gather = self.asking.worker.blocks.gather();
        self.write_head(permit, journal, &mut gather)?;
        let pace =
            Pace { deadline: self.origin.deadline(), stage: Stage::OriginContent, limit_ms: timeouts.content_idle_ms };
        let chunked = self.asking.request.head.framing == http1::Framing::Chunked;
        let mut writer = Writer::new(self.origin, pace, &self.asking.worker.turn, gather, chunked);
        writer.injected = permit.origin().injected.as_deref();
        writer.drops_trailers = self.asking.request.head.lists_fields();
        if content.is_over() {
            // A failure to write shows when nothing comes back.
            let sent = writer.finish(&[]).await;
            self.asking.client.deadline.pause(Direction::Read);
            self.sent();
            return match sent {
                Ok(()) => self.relay(reply, journal).await,
                Err(_) => Err(self.origin_gone()),
            };
        }
        let upload = async {
            let done = pump(content, &mut writer).await;
            self.asking.client.deadline.pause(Direction::Read);
            if done.is_ok() {
                self.sent();
            }
            done
        };
        self.both(upload, self.relay(reply, journal)).await
    }

    /// The whole request has been sent: now the origin has to give its final response.
    fn sent(&self) {
        self.progressed.uploaded.set(true);
        if !self.progressed.answered.get() {
            let limit_ms = self.asking.worker.settings.timeouts.origin_first_byte_ms;
            self.origin.deadline().set(Direction::Read, Stage::OriginFirstByte, limit_ms);
        }
    }

    /// Polls both directions together, so that a final response can come while the request's content still does. What is
    /// left of the content is then still moved, as far as both sides go along; an origin that takes no more content may
    /// still answer.
    async fn both(
        &self,
        upload: impl Future<Output = Result<(), PumpFault>>,
        relay: impl Future<Output = Result<Relayed, Reason>>,
    ) -> Result<Relayed, Reason> {
        let (mut upload, mut relay) = (pin!(upload), pin!(relay));
        let mut uploading = true;
        let mut relayed = None;
        poll_fn(|context| {
            if uploading && let Poll::Ready(done) = upload.as_mut().poll(context) {
                uploading = false;
                if relayed.is_none()
                    && let Err(PumpFault::Read(fault)) = done
                {
                    return Poll::Ready(Err(match fault {
                        ReadFault::Ended => self.client_gone(),
                        ReadFault::Malformed => Reason::MalformedContent,
                        ReadFault::TooLarge => Reason::ContentTooLarge,
                    }));
                }
            }
            if relayed.is_none()
                && let Poll::Ready(done) = relay.as_mut().poll(context)
            {
                uploading &= done.is_ok();
                relayed = Some(done);
            }
            match relayed.take() {
                Some(done) if !uploading => Poll::Ready(done),
                waiting => {
                    relayed = waiting;
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn write_head(&self, permit: &Permit, journal: &Journal<'_>, gather: &mut Gather) -> Result<(), Reason> {
        let request = self.asking.request;
        let target = request.target.as_ref().ok_or(Reason::InvalidTarget)?;
        let mut address = [0; 48];
        let mut origin_host = [0; 64];
        let host = match request.authority {
            [] => text(&mut origin_host, self.origin.socket()),
            named => named,
        };
        let request_id = hex(journal.record.request_id);
        let mut scratch = self.asking.worker.assertions.borrow_mut();
        let assertion = permit.origin().assertion.as_deref().map(|of| {
            let bound = Bound { method: request.method(), host, path: target.path, query: target.query };
            assertion::sign(of, self.asking, journal, (&request_id, bound), &mut scratch)
        });
        let forward = Forward {
            path: target.path,
            query: target.query,
            host,
            forwarded_host: request.authority,
            framing: request.head.framing,
            client_ip: text::<48, IpAddr>(&mut address, self.asking.address),
            scheme: if self.asking.client.kind == TransportKind::Plain { Scheme::Http } else { Scheme::Https },
            request_id: &request_id,
            agent: self.agent,
            pass_credentials: permit.origin().pass_credentials,
            injected: permit.origin().injected.as_deref().map(Injection::field),
            assertion: assertion.transpose()?,
            expect_continue: request.head.expect_continue,
            close: false,
            via: VIA,
        };
        http1::write_request_head(request.bytes, request.head, &forward, gather).map_err(|_| Reason::MalformedHead)
    }
}

/// Displays a small value into a buffer.
fn text<const N: usize, V: std::fmt::Display>(buffer: &mut [u8; N], value: V) -> &[u8] {
    let mut free = buffer.as_mut_slice();
    let written = write!(free, "{value}");
    let left = free.len();
    if written.is_err() { &[] } else { buffer.get(..N - left).unwrap_or(&[]) }
}
