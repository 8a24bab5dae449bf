//! Stage 3, of tokens that say nothing themselves: their issuer is asked, off the worker, and the request waits for the
//! answer as one waits for newer keys. What the issuer said counts for a while, per worker as a verified token does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activation::Activation;
use activation::inquiries::{Answer, Told};
use activation::shares::NoRoom;
use identity::bounds::DPOP_KEPT_S_MORE;
use identity::throttle::Charged;
use identity::token::opaque::{OpaqueKey, asked_about, key_of};
use identity::token::{Found, Issuer, TokenFault, VerifiedToken};
use policy::reason::Reason;

use crate::fresh_keys::Question;
use crate::identify::{Gate, TokenUse, Tokens};
use crate::worker::Worker;

/// How long a request waits for an answer, milliseconds: a little longer than control does.
const WAIT_MS_MAX: u64 = 2_500;
// A proof is looked for and remembered by the clock of the request's arrival.
const _: () = assert!(WAIT_MS_MAX + 3_000 <= 1_000 * DPOP_KEPT_S_MORE);
/// Pauses between two looks, milliseconds: a quarter of the time that it took so far, within these.
const LOOK_MS_MIN: u64 = 1;
const LOOK_MS_MAX: u64 = 20;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// What was waited for. An answer is good for who waited for it, however long it took and however little it counts later.
pub struct Answered {
    key: OpaqueKey,
    answer: Answer,
    /// Of the one for whom it was asked.
    charged: Option<Charged>,
    at_unix_ns: u64,
}

/// What `token` proves, and whether it was known before; none where it is not one that an issuer is asked about.
pub(crate) fn check(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
) -> Option<(Result<Rc<TokenUse>, Reason>, bool)> {
    let (position, issuer) = asked_about(token, &activation.issuers)?;
    let key = key_of(token, issuer);
    let answered = gate.answered.take_if(|answered| answered.key == key);
    // What was waited for is looked at by the time at which it came.
    let now_unix_ns = answered.as_ref().map_or(gate.now_unix_ns, |answered| answered.at_unix_ns);
    let now_s = now_unix_ns / NS_PER_S;
    if let Some(answered) = &answered {
        settle(answered, gate);
    }
    if let Found::Verified { token: verified, value } = tokens.find(&key, &activation.issuers)
        && verified.is_believed(issuer, now_unix_ns / NS_PER_MS)
    {
        let lives = verified.check_time(now_s, issuer.rules().leeway_s).map_err(TokenFault::reason);
        return Some((lives.map(|()| TokenUse::renewed(activation, verified, value)), true));
    }
    let answer = match answered {
        Some(answered) => answered.answer.map_err(TokenFault::reason),
        None => ask(token, (issuer, &key), gate),
    };
    let used = answer.and_then(|facts| {
        let verified = VerifiedToken { issuer: position, ..VerifiedToken::clone(&facts) };
        verified.check_time(now_s, issuer.rules().leeway_s).map_err(TokenFault::reason)?;
        let used = Rc::new(TokenUse::new(activation, &verified));
        tokens.keep(&key, &activation.issuers, verified, Rc::clone(&used));
        Ok(used)
    });
    Some((used, false))
}

/// What is known of `token`; asks where nothing is. Who asks is charged for a failure until the answer says that it is
/// none, so that nobody has more questions asked than it may fail.
fn ask(
    token: &[u8],
    (issuer, key): (&Arc<Issuer>, &OpaqueKey),
    gate: &mut Gate<'_>,
) -> Result<Arc<VerifiedToken>, Reason> {
    gate.pass()?;
    let now_ms = gate.now_unix_ns / NS_PER_MS;
    if let Some(answer) = gate.inquiries.look(key, now_ms) {
        return known(answer, gate);
    }
    // First: what nobody would wait for is not asked.
    let place = match gate.waiting.for_tokens.take(issuer, gate.client.into(), Some(*key)) {
        Ok(place) => place,
        Err(why) => {
            gate.inquiries.turn_away();
            return Err(turned_away(why, gate));
        }
    };
    let charged = match gate.inquiries.ask(key, now_ms, gate.client.into(), (issuer, token)) {
        Told::Known(answer) => return known(answer, gate),
        Told::Full(why) => return Err(turned_away(why, gate)),
        Told::Pending => None,
        Told::Asked => Some(gate.charge()),
    };
    gate.wait_for(Question::Token { key: *key, charged, place });
    Err(Reason::IntrospectionUnavailable)
}

fn known(answer: Answer, gate: &mut Gate<'_>) -> Result<Arc<VerifiedToken>, Reason> {
    answer.map_err(|fault| match fault {
        // Whoever asked was charged for it.
        TokenFault::IntrospectionUnavailable => fault.reason(),
        _ => gate.failed(fault.reason()),
    })
}

fn turned_away(why: NoRoom, gate: &mut Gate<'_>) -> Reason {
    match why {
        NoRoom::Own => gate.failed(Reason::IntrospectionUnavailable),
        NoRoom::Others => Reason::IntrospectionUnavailable,
    }
}

/// Charges for what was waited for, at the time at which it came.
fn settle(answered: &Answered, gate: &mut Gate<'_>) {
    let (throttle, at_unix_ns) = (&mut *gate.throttle, answered.at_unix_ns);
    match (&answered.answer, answered.charged) {
        (Ok(_), Some(charged)) => throttle.give_back(charged, at_unix_ns),
        // Its client's doing or not, it is not that of others.
        (Err(TokenFault::IntrospectionUnavailable), Some(charged)) => throttle.give_back_total(charged, at_unix_ns),
        (Ok(_) | Err(TokenFault::IntrospectionUnavailable), None) | (Err(_), Some(_)) => {}
        (Err(_), None) => throttle.failed(gate.client, at_unix_ns),
    }
}

/// Waits for what is known under `key`, and puts it down for the second look; false when nothing is in time.
pub(crate) async fn wait(worker: &Worker, key: OpaqueKey, charged: Option<Charged>) -> bool {
    let begun = Instant::now();
    let inquiries = Arc::clone(&worker.memory.borrow().inquiries);
    loop {
        let waited_ms = begun.elapsed().as_millis() as u64;
        if waited_ms >= WAIT_MS_MAX {
            let now_unix_ns = worker.now_unix_ns();
            let throttle = &mut worker.memory.borrow_mut().throttle;
            charged.into_iter().for_each(|charged| throttle.give_back_total(charged, now_unix_ns));
            return false;
        }
        monoio::time::sleep(Duration::from_millis((waited_ms / 4).clamp(LOOK_MS_MIN, LOOK_MS_MAX))).await;
        let at_unix_ns = worker.now_unix_ns();
        if let Some(answer) = inquiries.look(&key, at_unix_ns / NS_PER_MS) {
            let answered = Answered { key, answer, charged, at_unix_ns };
            worker.memory.borrow_mut().answered = Some(Box::new(answered));
            return true;
        }
    }
}
