//! Exchanges with a token that a key is bound to (DPoP, RFC 9449): each has a proof of its own, and one that the gateway refuses
//! because it wants a nonce in the proof is repeated once, with that nonce, where all of it is still there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode, Uri};
use stores::http::gathered;

use super::exchange::{Answer, Exchanges, Refusal, connection, relayed};
use super::gateway::{Caller, Connection, Content};
use crate::bounds::{ANSWER_BYTES_MAX, ANSWER_S_MAX, PROXY_KEPT_BYTES_MAX, PROXY_NONCE_S_MAX, PROXY_RESPONSE_S_MAX};
use crate::doctor::NOBODYS_PATH;
use crate::dpop;
use crate::explain::Explained;

/// What the gateway wants in proofs (RFC 9449 §9), as far as it has said.
#[derive(Default)]
pub struct Nonce(Mutex<Known>);

#[derive(Default)]
struct Known {
    nonce: Option<String>,
    /// When it was given, or a request passed without one.
    since: Option<Instant>,
}

impl Nonce {
    /// The one to put into the next proof.
    pub fn known(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).nonce.clone()
    }

    /// Whether the gateway may well refuse the next proof for its nonce.
    fn is_doubtful(&self, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |since: Instant| now.duration_since(since) > Duration::from_secs(PROXY_NONCE_S_MAX);
        known.since.is_none_or(|since| known.nonce.is_some() && is_old(since))
    }

    /// Learns from an answer of the gateway; whether it refuses for a nonce, and gives it.
    fn learn<B>(&self, answer: &Response<B>, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.status() != StatusCode::UNAUTHORIZED {
            known.since.get_or_insert(now);
            return false;
        }
        let Some(nonce) = dpop::nonce_wanted(answer.headers()) else { return false };
        *known = Known { nonce: Some(nonce), since: Some(now) };
        true
    }
}

impl Exchanges {
    /// One exchange, with a proof.
    pub(super) async fn prove(&self, request: Request<Incoming>, caller: &Arc<Caller>) -> Result<Answer, Refusal> {
        let request = kept(request).await?;
        let again = copy(&request);
        if again.is_none() && self.nonce.is_doubtful(Instant::now()) {
            self.ask_for_nonce(caller).await?;
        }
        let (answer, sender) = self.send(request, caller, connection(caller).await?).await?;
        if !self.nonce.learn(&answer, Instant::now()) {
            caller.keep(sender);
            return Ok(relayed(answer));
        }
        let again = again.ok_or_else(gone)?;
        // The same one where that can be: behind one name there may be several gateways, each with nonces of its own.
        let connection = match dropped(answer, sender).await {
            Some(same) => same,
            None => connection(caller).await?,
        };
        let (answer, sender) = self.send(again, caller, connection).await?;
        self.nonce.learn(&answer, Instant::now());
        caller.keep(sender);
        Ok(relayed(answer))
    }

    /// Asks for what nobody has, before content that cannot be sent twice.
    async fn ask_for_nonce(&self, caller: &Arc<Caller>) -> Result<(), Refusal> {
        let mut request = Request::new(Either::Left(Full::default()));
        *request.uri_mut() = Uri::from_static(NOBODYS_PATH);
        let host = hyper::header::HeaderValue::from_str(&caller.profile.gateway.authority());
        request.headers_mut().extend(host.ok().map(|host| (hyper::header::HOST, host)));
        let (answer, sender) = self.send(request, caller, connection(caller).await?).await?;
        self.nonce.learn(&answer, Instant::now());
        if let Some(same) = dropped(answer, sender).await {
            caller.keep(same.sender);
        }
        Ok(())
    }
}

/// Takes in content that is small, if its length is told: what comes piece by piece may be meant to be answered so.
async fn kept(request: Request<Incoming>) -> Result<Request<Content>, Refusal> {
    let (head, body) = request.into_parts();
    if body.size_hint().exact().is_none_or(|length| length > PROXY_KEPT_BYTES_MAX) {
        return Ok(Request::from_parts(head, Either::Right(body)));
    }
    let bytes_max = usize::try_from(PROXY_KEPT_BYTES_MAX).unwrap_or(usize::MAX);
    let taken = tokio::time::timeout(Duration::from_secs(PROXY_RESPONSE_S_MAX), gathered(body, bytes_max)).await;
    let content = taken.ok().and_then(Result::ok).ok_or_else(|| {
        let found = "the content of the request did not come whole".to_owned();
        let todo = "send as much as Content-Length says".to_owned();
        (StatusCode::BAD_REQUEST, Explained { code: "local-content", found, todo })
    })?;
    Ok(Request::from_parts(head, Either::Left(Full::new(content))))
}

/// The same request, where its content is kept.
fn copy(request: &Request<Content>) -> Option<Request<Content>> {
    let Either::Left(content) = request.body() else { return None };
    let mut copy = Request::new(Either::Left(content.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Reads what nobody wants, so that its connection can go on; none where it cannot.
async fn dropped(answer: Response<Incoming>, mut sender: SendRequest<Content>) -> Option<Connection> {
    let read = async {
        Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?;
        sender.ready().await.ok()
    };
    tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), read).await.ok()??;
    Some(Connection { sender, used: true })
}

/// Of a request whose content was on its way when the gateway refused it for a nonce.
fn gone() -> Refusal {
    let found =
        "the gateway wants another nonce in the proof, and the content was on its way: refused, not carried out";
    let todo = "send it again: the proxy has the nonce now";
    let why = Explained { code: "dpop-nonce", found: found.to_owned(), todo: todo.to_owned() };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;

    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(()).unwrap()
    }

    const WANTED: (&str, &str) = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");

    #[test]
    fn a_nonce_is_learnt_from_a_refusal_alone_and_grows_old() {
        let (nonce, now) = (Nonce::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(nonce.is_doubtful(now), "nobody was asked yet");
        // Origins answer too: what they say is no nonce of the gateway.
        for no in [answer(200, &[("dpop-nonce", "x")]), answer(401, &[("dpop-nonce", "x")]), answer(401, &[WANTED])] {
            assert!(!nonce.learn(&no, now) && nonce.known().is_none());
        }
        assert!(!nonce.is_doubtful(later(100_000)), "the gateway wants none");
        assert!(nonce.learn(&answer(401, &[WANTED, ("dpop-nonce", "one")]), now));
        assert_eq!(nonce.known().as_deref(), Some("one"));
        assert!(!nonce.is_doubtful(later(PROXY_NONCE_S_MAX)) && nonce.is_doubtful(later(PROXY_NONCE_S_MAX + 1)));
        assert!(nonce.learn(&answer(401, &[WANTED, ("dpop-nonce", "two")]), later(200)));
        assert!(!nonce.learn(&answer(200, &[]), later(290)) && !nonce.is_doubtful(later(300)));
        assert_eq!(nonce.known().as_deref(), Some("two"));
    }

    #[test]
    fn only_what_is_kept_can_be_sent_again() {
        let mut request = Request::post("/orders/7?x")
            .header("x-mine", "yes")
            .body(())
            .unwrap()
            .map(|()| Either::<_, Incoming>::Left(Full::new(Bytes::from_static(b"content"))));
        let again = copy(&request).unwrap();
        assert_eq!(
            (again.method(), again.uri(), again.headers()),
            (request.method(), request.uri(), request.headers())
        );
        request.headers_mut().clear();
        assert_eq!(again.headers().len(), 1);
    }
}
