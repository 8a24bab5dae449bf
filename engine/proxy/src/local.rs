//! Stage 7 for responses of the gateway itself, and what becomes of a refused request's content.

use std::io::IoSlice;

use activation::Activation;
use http1::{Framing, LimitState, Local, RequestHead};
use policy::rate::Verdict;
use policy::reason::Reason;
use policy::table::{LimitIndex, LimitKind};

use crate::account::Refusal;
use crate::connection::{Connection, Next};
use crate::content::{Reader, Step};
use crate::deadline::{Direction, Stage};
use crate::journal::Journal;
use crate::outcome::{self, Challenges, challenges};
use crate::transport::{Transport, write_all};
use crate::worker::Worker;

/// Content of a refused request up to this size is read and dropped, so that the connection can go on.
const SKIPPED_BYTES_MAX: u64 = 64 << 10;
/// Seconds to wait that a 503 names.
const RETRY_AFTER_OVERLOAD_S: u64 = 1;

/// Text of a number in a field.
type Decimal = itoa::Buffer;

/// Answers a request that is not forwarded. `head` is none where none was understood; `content` is what the client
/// still sends.
pub async fn answer<T: Transport>(
    worker: &Worker,
    connection: &Connection<T>,
    activation: &Activation,
    refusal: &Refusal,
    head: Option<&RequestHead>,
    content: Option<&mut Reader<'_, T>>,
    journal: &mut Journal<'_>,
) -> Next {
    let status = refusal.reason.status();
    journal.refused(refusal.reason, status);
    let skips = content.as_ref().is_some_and(|content| content.is_over())
        || head.is_some_and(|head| {
            !head.expect_continue && matches!(head.framing, Framing::Length(length) if length <= SKIPPED_BYTES_MAX)
        });
    let keep_alive = skips && closes_not(refusal.reason) && stays_open(worker, connection, head);
    let mut decimal = Decimal::new();
    let mut fields = [("", ""); 5];
    let told = challenges(refusal.reason, journal.presented, activation.table.asks_for_dpop());
    let nonce = nonce(worker, refusal.reason, journal.record.time_unix_ns / 1_000_000_000);
    let count = collect_fields(refusal, (told, nonce.as_deref()), &mut decimal, &mut fields);
    let limit = refusal.limit.as_ref().and_then(|limit| limit_state(activation, limit));
    let (fields, limits) = (fields.get(..count).unwrap_or(&[]), limit.as_slice());
    let local = Local { status, keep_alive, fields, limits, ..plain(head, journal) };
    if !send(worker, connection, &local, journal).await {
        return Next::Cut;
    }
    let skipped = match content {
        Some(content) if keep_alive => skip(content).await,
        _ => keep_alive,
    };
    if skipped { Next::Wait } else { Next::Close }
}

/// Answers a request that is about the gateway itself (`OPTIONS *`, or `Max-Forwards: 0`; RFC 9110 §9.3.7, §7.6.2): what
/// it can do at most, to anybody.
pub async fn answer_about_gateway<T: Transport>(
    worker: &Worker,
    connection: &Connection<T>,
    head: &RequestHead,
    journal: &mut Journal<'_>,
) -> Next {
    let keep_alive = head.framing == Framing::None && stays_open(worker, connection, Some(head));
    journal.record.status = 204;
    let fields = &[("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")];
    let local = Local { status: 204, keep_alive, fields, ..plain(Some(head), journal) };
    match send(worker, connection, &local, journal).await {
        false => Next::Cut,
        true if keep_alive => Next::Wait,
        true => Next::Close,
    }
}

/// What all local responses have in common; request id and date are put in when it is sent.
fn plain<'l>(head: Option<&RequestHead>, journal: &Journal<'_>) -> Local<'l> {
    Local {
        status: 0,
        client_version: head.map_or(http1::Version::Http11, |head| head.version),
        keep_alive: false,
        to_head_request: journal.record.method == b"HEAD",
        code: "",
        request_id: "",
        date: &[],
        fields: &[],
        limits: &[],
    }
}

/// Sends a local response; false when the client is gone.
async fn send<T: Transport>(
    worker: &Worker,
    connection: &Connection<T>,
    local: &Local<'_>,
    journal: &Journal<'_>,
) -> bool {
    let mut gather = worker.blocks.gather();
    let written = {
        let request_id = crate::respond::hex(journal.record.request_id);
        let request_id = std::str::from_utf8(&request_id).unwrap_or_default();
        let date = worker.date.at(journal.record.time_unix_ns / 1_000_000_000);
        let code = outcome::code(local.status);
        http1::write_local_response(&Local { code, request_id, date: &date, ..*local }, &mut gather)
    };
    connection.deadline.set(Direction::Write, Stage::Content, worker.settings.timeouts.content_idle_ms);
    written.is_ok() && write_all(&connection.transport, &mut [IoSlice::new(&gather)]).await.is_ok()
}

/// Whether the client connection can go on after this exchange, as far as the client and the gateway are concerned.
pub fn stays_open<T>(worker: &Worker, connection: &Connection<T>, head: Option<&RequestHead>) -> bool {
    head.is_some_and(|head| head.keep_alive)
        && !worker.draining.get()
        && !connection.deadline.is_over()
        && connection.requests.get() < worker.settings.bounds.requests_per_connection_max
}

/// After the others it is not certain where the next request begins, the connection is the wrong one, or whoever is at its
/// other end shall have none.
fn closes_not(reason: Reason) -> bool {
    reason as u8 >= Reason::MisdirectedHost as u8 && !reason.is_revocation() && !outlives_credential(reason)
}

/// No connection goes on after what it was used with: with another certificate or token it is another connection.
fn outlives_credential(reason: Reason) -> bool {
    matches!(reason, Reason::CertificateInvalid | Reason::CertificateExpired | Reason::TokenExpired)
}

/// Reads and drops content; false when that cannot be done within bounds.
async fn skip<T: Transport>(content: &mut Reader<'_, T>) -> bool {
    loop {
        match content.step() {
            Ok(Step::End(_)) => return true,
            Ok(Step::Data(_)) => {}
            Ok(Step::Wait) => {
                if content.fill().await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
        if content.bytes > SKIPPED_BYTES_MAX {
            return false;
        }
    }
}

/// The nonce of a 401 that asks for one.
fn nonce(worker: &Worker, reason: Reason, now_s: u64) -> Option<String> {
    (reason == Reason::DpopNonceWrong).then(|| worker.memory.borrow().dpop.nonce(now_s)).flatten()
}

fn collect_fields<'f>(
    refusal: &Refusal,
    (challenges, nonce): (Challenges, Option<&'f str>),
    decimal: &'f mut Decimal,
    fields: &mut [(&'f str, &'f str); 5],
) -> usize {
    let status = refusal.reason.status();
    let retry_after_s = match (status, &refusal.limit) {
        // One that no wait satisfies names a day.
        (429, Some((_, verdict))) => Some(verdict.wait_ns.div_ceil(1_000_000_000).clamp(1, 86_400)),
        (503, _) => Some(RETRY_AFTER_OVERLOAD_S),
        _ => None,
    };
    let found = [
        challenges.bearer.map(|text| ("WWW-Authenticate", text)),
        challenges.dpop.map(|text| ("WWW-Authenticate", text)),
        nonce.map(|nonce| ("DPoP-Nonce", nonce)),
        retry_after_s.map(|seconds| ("Retry-After", decimal.format(seconds))),
        outcome::proxy_status(refusal.reason).map(|text| ("Proxy-Status", text)),
    ];
    let mut count = 0;
    for (place, field) in fields.iter_mut().zip(found.into_iter().flatten()) {
        *place = field;
        count += 1;
    }
    count
}

/// A limit as the response fields tell it.
pub fn limit_state<'a>(activation: &'a Activation, (index, verdict): &(LimitIndex, Verdict)) -> Option<LimitState<'a>> {
    let (quota, window_s) = match activation.table.limit(*index)?.kind {
        LimitKind::Gcra(gcra) => {
            let window_ns = gcra.emission_interval_ns.saturating_mul(u64::from(gcra.burst));
            (gcra.burst, u32::try_from(window_ns.div_ceil(1_000_000_000)).unwrap_or(u32::MAX))
        }
        LimitKind::Quota(quota) => (quota.count, quota.window_s),
    };
    Some(LimitState {
        name: activation.table.limit_name(*index),
        quota,
        window_s,
        remaining: verdict.remaining,
        reset_s: u32::try_from(verdict.reset_ns.div_ceil(1_000_000_000)).unwrap_or(u32::MAX),
    })
}
