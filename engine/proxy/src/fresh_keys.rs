//! A token whose key is not known yet, of an issuer whose keys are fetched: control is asked for newer keys, once for all
//! who ask, and the request waits for them without holding up its worker. So the first request after a rotation passes.
//! What an issuer is asked about a token is waited for in the same way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::throttle::Charged;
use identity::token::opaque::OpaqueKey;
use identity::token::{Asked, Issuer, TokenFault, issuer_of};
use policy::model::Keys;

use crate::opaque;
use crate::waiting::Place;
use crate::worker::{Held, Worker};

/// How long a request waits for newer keys, milliseconds.
const WAIT_MS_MAX: u64 = 2_000;
/// How often it looks whether they are there, milliseconds.
const LOOK_MS: u64 = 20;

/// What a request waits for, and where.
pub(crate) enum Question {
    /// Newer keys.
    Keys { issuer: Arc<Issuer>, asked: Asked, place: Place },
    /// What an issuer says of an opaque token; `charged` where it was asked for this request.
    Token { key: OpaqueKey, charged: Option<Charged>, place: Place },
}

/// What is known of a token that was refused.
pub(crate) enum Look<'i> {
    /// It stays refused while the keys are the same.
    Final,
    /// It may pass later, and nobody is to be asked right now.
    Closed,
    Asked(&'i Arc<Issuer>, Asked),
}

/// Whether newer keys could make `token` pass, which `fault` refused; asks for them.
pub(crate) fn look<'i>(token: &[u8], issuers: &'i [Arc<Issuer>], fault: TokenFault) -> Look<'i> {
    use TokenFault::{KeyUnknown, KeysetStale, KeysetUnavailable};
    if !matches!(fault, KeyUnknown | KeysetUnavailable | KeysetStale) {
        return Look::Final;
    }
    let fetched = |issuer: &&Arc<Issuer>| matches!(issuer.rules().keys, Keys::Url(_) | Keys::Discovery(_));
    let Some(issuer) = issuer_of(token, issuers).filter(fetched) else { return Look::Final };
    match issuer.ask().ask() {
        Some(asked) => Look::Asked(issuer, asked),
        None => Look::Closed,
    }
}

/// Waits until the question is answered, and gives the activation to look again with; none when it is not in time.
pub(crate) async fn wait(worker: &Worker, question: Question) -> Option<Held> {
    match question {
        Question::Keys { issuer, asked, place: _place } => newer(worker, &issuer, asked).await,
        Question::Token { key, charged, place: _place } => {
            opaque::wait(worker, key, charged).await.then(|| worker.activation())
        }
    }
}

/// Waits until the issuer has other keys, and gives the activation that has them.
async fn newer(worker: &Worker, of: &Arc<Issuer>, asked: Asked) -> Option<Held> {
    let begun = Instant::now();
    loop {
        monoio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        // In this order: an answer that is seen has been put before the workers.
        let is_answered = of.ask().is_answered(asked);
        let newest = worker.activation();
        if !newest.issuers.iter().any(|issuer| Arc::ptr_eq(issuer, of)) {
            return Some(newest);
        }
        if is_answered || begun.elapsed() >= Duration::from_millis(WAIT_MS_MAX) {
            return None;
        }
    }
}
