//! The request path, top to bottom: one request, each stage called once from here.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;

use activation::record::Transport as TransportKind;
use http1::{ChunkedDecoder, ResponseHead, Upgrade};
use identity::token::dpop::RequestUri;
use policy::decide::{Asked, admit_transport};
use policy::reason::Reason;

use crate::account::{Permit, Refusal, account};
use crate::bound;
use crate::client_address::client_address;
use crate::connection::{Connection, Next};
use crate::content::{Framing, Pace, Reader, Rest};
use crate::deadline::{Direction, Stage};
use crate::decide::decide;
use crate::desk::Desk;
use crate::forward::{Asking, forward};
use crate::fresh_keys::{self, Question};
use crate::head::{NoHead, Request, receive};
use crate::identify::{Credentials, Identified, identify};
use crate::journal::{Journal, prefix};
use crate::local::{answer, answer_about_gateway};
use crate::outcome::of_fault;
use crate::revoked;
use crate::transport::{Interest, Transport};
use crate::worker::{Held, Worker};

/// Pipelined exchanges that one session runs before others have their turn.
const EXCHANGES_PER_TURN_MAX: u32 = 16;

/// Runs exchanges on a connection that has something to read, until nothing of the next request is there yet.
pub async fn session<T: Transport>(worker: Rc<Worker>, connection: Rc<Connection<T>>) -> Next {
    let mut desk = worker.desks.take();
    let mut exchanges = 0;
    let next = loop {
        let next = exchange(&worker, &connection, &mut desk).await;
        connection.deadline.clear();
        connection.stands.end();
        if next != Next::Wait || desk.filled == 0 || connection.deadline.is_over() {
            break next;
        }
        exchanges += 1;
        if exchanges % EXCHANGES_PER_TURN_MAX == 0 && !others_turn(&worker, &connection).await {
            break Next::Cut;
        }
    };
    worker.desks.put(desk);
    next
}

/// Lets others have their turn: waits in the ring until the client can be written to, which it mostly can at once. False
/// when the connection is over.
async fn others_turn<T: Transport>(worker: &Worker, connection: &Connection<T>) -> bool {
    connection.deadline.set(Direction::Write, Stage::Content, worker.settings.timeouts.content_idle_ms);
    let turn = connection.transport.ready(Interest::Write).await;
    connection.deadline.clear();
    turn.is_ok() && connection.deadline.expired().is_none()
}

/// One exchange.
async fn exchange<T: Transport>(worker: &Worker, connection: &Connection<T>, desk: &mut Desk) -> Next {
    connection.deadline.set_exchange(worker.settings.timeouts.exchange_ms);
    connection.stands.forget();
    let fault = match receive(worker, connection, desk).await {
        Ok(()) => None,
        Err(NoHead::Ended) => return Next::Cut,
        Err(NoHead::Refused(fault)) => Some(fault),
    };
    connection.deadline.pause(Direction::Read);
    let activation = worker.activation();
    connection.deadline.runs_on(activation.id);
    let Desk { block, filled, head, reply, target, host } = desk;
    let bytes = block.get(..*filled).unwrap_or(&[]);
    let mut journal = Journal::begin(worker, activation.id, worker.now_unix_ns());
    journal.arrived(connection.listener, connection.kind, connection.peer);
    if let Some(certificate) = &connection.certificate {
        journal.certified(certificate);
    }
    connection.requests.set(connection.requests.get() + 1);
    let request = match fault.map_or_else(|| Request::normalise(bytes, head, target, host), Err) {
        Ok(request) => request,
        Err(fault) => {
            if bytes.starts_with(b"HEAD ") {
                // Not understood, but a client that sent this expects no content.
                journal.record.method = b"HEAD";
            }
            return answer(worker, connection, &activation, &of_fault(fault).into(), None, None, &mut journal).await;
        }
    };
    let listener = worker.settings.listeners.get(usize::from(connection.listener));
    let client =
        listener.map_or(connection.peer, |listener| client_address(connection.peer, listener, bytes, request.head));
    describe(&mut journal, &request, client);
    if request.is_about_gateway() {
        let next = answer_about_gateway(worker, connection, request.head, &mut journal).await;
        let length = bytes.len() - request.head.length.min(bytes.len());
        drop(journal);
        keep_rest(desk, Rest::WithHead(length));
        return next;
    }
    let first = bytes.get(request.head.length..).unwrap_or(&[]);
    let pace = Pace {
        deadline: &connection.deadline,
        stage: Stage::Content,
        limit_ms: worker.settings.timeouts.content_idle_ms,
    };
    let mut content = Reader::after(&connection.transport, pace, &worker.blocks, first, framing(&request))
        .bounded(worker.settings.bounds.request_content_bytes_max);
    let asking = Asking { worker, activation: &activation, client: connection, request: &request, address: client };
    let next = decide_and_serve(asking, &mut content, reply, &mut journal).await;
    let rest = content.rest();
    drop(journal);
    keep_rest(desk, rest);
    next
}

/// Stages 2 to 7: forwards what is permitted, answers everything else.
async fn decide_and_serve<T: Transport>(
    asking: Asking<'_, T>,
    content: &mut Reader<'_, T>,
    reply: &mut ResponseHead,
    journal: &mut Journal<'_>,
) -> Next {
    let (newer, mut asking) = (OnceCell::new(), asking);
    let mut permitted = permit(asking, journal).await;
    if permitted.is_err()
        && let Some(activation) = newer_keys(asking).await
    {
        asking.activation = newer.get_or_init(|| activation);
        asking.client.deadline.runs_on(asking.activation.id);
        journal.record.activation = asking.activation.id;
        permitted = permit(asking, journal).await;
        // Once is enough; and nobody else waits for this one's keys, nor has its answer.
        let mut memory = asking.worker.memory.borrow_mut();
        (memory.question, memory.answered) = (None, None);
    }
    let refusal = match permitted {
        Ok(permit) => match forward(permit, asking, content, reply, journal).await {
            Ok(next) => return next,
            Err(failure) => {
                if failure.reason.is_revocation() && revoked::is_listed(asking.client, asking.activation) {
                    journal.listed(asking.activation);
                }
                if failure.answered {
                    journal.record.reason = Some(failure.reason);
                    // A client that takes the end of the connection for the end of the content must see that it is not.
                    asking.client.transport.reset();
                    return Next::Cut;
                }
                failure.reason.into()
            }
        },
        Err(refusal) => refusal,
    };
    let Asking { worker, activation, client, request, .. } = asking;
    journal.record.reason = Some(refusal.reason);
    answer(worker, client, activation, &refusal, Some(request.head), Some(content), journal).await
}

/// The activation with newer keys, where the request was refused for want of them and they came in time; or the present
/// one, where it was for want of an issuer's answer.
async fn newer_keys<T: Transport>(asking: Asking<'_, T>) -> Option<Held> {
    let question = asking.worker.memory.borrow_mut().question.take()?;
    // Who has an issuer asked was charged for it.
    let charged = matches!(question, Question::Keys { .. });
    // Boxed: it happens rarely, and every exchange would be the larger for it.
    let newer = Box::pin(fresh_keys::wait(asking.worker, question)).await;
    if newer.is_none() && charged {
        let now_unix_ns = asking.worker.now_unix_ns();
        asking.worker.memory.borrow_mut().throttle.failed(asking.address, now_unix_ns);
    }
    newer
}

/// Stages 2 to 5: from a request to the permit to forward it.
async fn permit<T: Transport>(asking: Asking<'_, T>, journal: &mut Journal<'_>) -> Result<Permit, Refusal> {
    let Asking { worker, activation, client: connection, request, address: client } = asking;
    let tls = connection.kind != TransportKind::Plain;
    let misdirected = connection.served.as_ref().is_some_and(|served| !served.covers(request.host));
    if misdirected || request.is_for_another_scheme(tls) {
        return Err(Reason::MisdirectedHost.into());
    }
    if request.head.upgrade == Upgrade::Other {
        return Err(Reason::UpgradeRefused.into());
    }
    let bytes_max = worker.settings.bounds.request_content_bytes_max;
    if bytes_max != 0 && matches!(request.head.framing, http1::Framing::Length(length) if length > bytes_max) {
        return Err(Reason::ContentTooLarge.into());
    }
    admit_transport(activation.transport, tls, connection.certificate.is_some())?;
    // Before anything is held against the list: what comes later is looked at again.
    let generation = activation.revoked.generation();
    let identified = identified(asking, journal)?;
    let asked = Asked { method: request.method(), host: request.host, target: request.target.as_ref() };
    let granted = decide(activation, &identified, &asked)?;
    if granted.0.by_anonymous {
        revoked::check_grant(activation, &granted.0).inspect_err(|_| journal.listed(activation))?;
        worker.used.note_agent(activation, granted.0.agent, journal.record.time_unix_ns);
    }
    connection.stands.begin(activation, generation, &identified, &granted.0);
    let permit = account(worker, activation, &identified, granted, client, journal)?;
    let remembered = worker.remember_proof(&identified, journal.record.time_unix_ns);
    drop(identified);
    let durable = match remembered {
        Ok(()) => worker.make_durable(activation.audit, journal).await,
        refused => refused,
    };
    if let Err(reason) = durable {
        journal.record.permitted = false;
        return Err(reason.into());
    }
    journal.record.decided_us = journal.elapsed_us();
    Ok(permit)
}

/// Stage 3: who calls.
fn identified<T: Transport>(asking: Asking<'_, T>, journal: &mut Journal<'_>) -> Result<Identified, Reason> {
    let Asking { worker, activation, client: connection, request, address } = asking;
    let chain = connection.transport.peer_chain();
    let credentials = Credentials {
        authorization: request.head.authorization.map(|span| span.of(request.bytes)),
        api_key: request.head.api_key.map(|span| span.of(request.bytes)),
        // A certificate without a chain would verify under no CA.
        certificate: connection.certificate.as_deref().map(|leaf| (leaf, chain.as_deref().unwrap_or_default())),
        asked: bound::Asked {
            method: request.method(),
            uri: RequestUri {
                tls: connection.kind != TransportKind::Plain,
                authority: request.authority,
                path: request.target.as_ref().map_or(&[], |target| target.path),
            },
            proof: request.head.dpop.map(|span| span.of(request.bytes)),
        },
        client: address,
    };
    journal.presented = credentials.any();
    let now_unix_ns = journal.record.time_unix_ns;
    let mut identified = Identified::nobody();
    let found = identify(activation, &mut worker.memory.borrow_mut(), &credentials, now_unix_ns, &mut identified);
    journal.identified(&identified);
    found?;
    revoked::check(activation, &identified, credentials.certificate).inspect_err(|_| journal.listed(activation))?;
    journal.presented = identified.presented.any();
    let certificate = credentials.certificate.map(|(leaf, _)| (&leaf.facts.sha256, &leaf.used_at));
    worker.used.note(activation, &identified, certificate, now_unix_ns);
    Ok(identified)
}

/// What the record says of the request.
fn describe<'a>(journal: &mut Journal<'a>, request: &Request<'a>, client: IpAddr) {
    journal.record.client = prefix(client);
    journal.record.method = request.method();
    journal.record.host = request.host;
    if let Some(target) = &request.target {
        journal.record.path = target.path;
        journal.record.query = target.query;
    }
}

fn framing(request: &Request<'_>) -> Framing {
    match request.head.framing {
        http1::Framing::None => Framing::Length(0),
        http1::Framing::Length(length) => Framing::Length(length),
        http1::Framing::Chunked => Framing::Chunked(ChunkedDecoder::new()),
    }
}

/// Moves what follows the content to the front of the desk: the next request.
fn keep_rest(desk: &mut Desk, rest: Rest) {
    match rest {
        Rest::WithHead(length) => {
            desk.block.copy_within(desk.filled - length..desk.filled, 0);
            desk.filled = length;
        }
        Rest::InBlock(mut block, unread) => {
            desk.filled = unread.len();
            block.copy_within(unread, 0);
            desk.block = block;
        }
    }
}
