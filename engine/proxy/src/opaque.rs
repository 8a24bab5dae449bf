//! Stage 3, of tokens that say nothing themselves: their issuer is asked, off the worker, and the request waits for the
//! answer as one waits for newer keys. What the issuer said counts for a while, per worker as a verified token does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activation::Activation;
use activation::inquiries::{Inquiry, Told};
use identity::token::opaque::{OpaqueKey, asked_about, key_of};
use identity::token::{Found, Issuer, TokenFault, VerifiedToken};
use policy::reason::Reason;
use zeroize::Zeroizing;

use crate::fresh_keys::Question;
use crate::identify::{Gate, TokenUse, Tokens};
use crate::worker::Worker;

/// How long a request waits for an answer, milliseconds: a little longer than control does.
const WAIT_MS_MAX: u64 = 2_500;
/// Pauses between two looks, milliseconds: a quarter of the time that it took so far, within these.
const LOOK_MS_MIN: u64 = 1;
const LOOK_MS_MAX: u64 = 20;

const NS_PER_MS: u64 = 1_000_000;

/// What `token` proves, and whether it was known before; none where it is not one that an issuer is asked about.
pub(crate) fn check(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    gate: &mut Gate<'_>,
) -> Option<(Result<Rc<TokenUse>, Reason>, bool)> {
    let (position, issuer) = asked_about(token, &activation.issuers)?;
    let (key, now_s) = (key_of(token, issuer), gate.now_s());
    if let Found::Verified { token: verified, value } = tokens.find(&key, &activation.issuers)
        && verified.is_believed(issuer, now_s)
    {
        let lives = verified.check_time(now_s, issuer.rules().leeway_s).map_err(TokenFault::reason);
        return Some((lives.map(|()| TokenUse::renewed(activation, verified, value)), true));
    }
    Some((ask(activation, tokens, token, (position, issuer, &key), gate), false))
}

fn ask(
    activation: &Activation,
    tokens: &mut Tokens,
    token: &[u8],
    (position, issuer, key): (u16, &Arc<Issuer>, &OpaqueKey),
    gate: &mut Gate<'_>,
) -> Result<Rc<TokenUse>, Reason> {
    gate.pass()?;
    let inquiry = || Inquiry { key: *key, issuer: Arc::clone(issuer), token: Zeroizing::new(token.into()) };
    match gate.inquiries.ask(key, gate.now_unix_ns / NS_PER_MS, inquiry) {
        Told::Known(Ok(facts)) => {
            let verified = VerifiedToken { issuer: position, ..VerifiedToken::clone(&facts) };
            verified.check_time(gate.now_s(), issuer.rules().leeway_s).map_err(TokenFault::reason)?;
            let used = Rc::new(TokenUse::new(activation, &verified));
            tokens.keep(key, &activation.issuers, verified, Rc::clone(&used));
            Ok(used)
        }
        // That there is no answer is not the client's failure.
        Told::Known(Err(fault @ TokenFault::IntrospectionUnavailable)) => Err(fault.reason()),
        Told::Known(Err(fault)) => Err(gate.failed(fault.reason())),
        Told::Wait => {
            gate.wait_for(Question::Token(*key));
            Err(Reason::IntrospectionUnavailable)
        }
        Told::Full => Err(Reason::IntrospectionUnavailable),
    }
}

/// Waits for what is known under `key`; false when nothing is in time.
pub(crate) async fn wait(worker: &Worker, key: &OpaqueKey) -> bool {
    let begun = Instant::now();
    let inquiries = Arc::clone(&worker.memory.borrow().inquiries);
    loop {
        let waited_ms = begun.elapsed().as_millis() as u64;
        if waited_ms >= WAIT_MS_MAX {
            return false;
        }
        monoio::time::sleep(Duration::from_millis((waited_ms / 4).clamp(LOOK_MS_MIN, LOOK_MS_MAX))).await;
        if inquiries.look(key, worker.now_unix_ns() / NS_PER_MS).is_some() {
            return true;
        }
    }
}
