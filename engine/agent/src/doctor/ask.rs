//! One question to the gateway, as its agent asks.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::token::Shown;
use crate::bounds::{ANSWER_BYTES_MAX, ANSWER_S_MAX};
use crate::explain::{self, Explained};
use crate::profile::Profile;
use crate::{dpop, tls};

/// A GET of `path`; a second one where the gateway wants a nonce in the proof, and gives it.
pub async fn ask(
    stream: TlsStream<TcpStream>,
    profile: &Profile,
    token: Option<&Shown>,
    path: &str,
) -> Result<(StatusCode, HeaderMap), Explained> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(async move { drop(connection.await) });
    let asking = async {
        let (head, body) = exchange(&mut sender, profile, token, (path, None)).await?.into_parts();
        let wanted = dpop::nonce_wanted(&head.headers).filter(|_| token.is_some_and(|token| token.key.is_some()));
        let Some(nonce) = wanted else { return Ok((head.status, head.headers)) };
        // Only so that the connection can go on.
        let _ = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let (head, _) = exchange(&mut sender, profile, token, (path, Some(&nonce))).await?.into_parts();
        Ok((head.status, head.headers))
    };
    let asked = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asking).await;
    asked.unwrap_or_else(|_| Err(unanswered(&format!("no answer within {ANSWER_S_MAX} s"))))
}

async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    profile: &Profile,
    token: Option<&Shown>,
    (path, nonce): (&str, Option<&str>),
) -> Result<Response<Incoming>, Explained> {
    let request = Request::get(path).header(header::HOST, profile.gateway.authority());
    let mut request = request.body(Empty::<Bytes>::new()).map_err(|error| unanswered(&error.to_string()))?;
    if let Some(Shown { token, key }) = token {
        let uri = format!("{}{}", profile.gateway, request.uri().path());
        let attached = dpop::attach(request.headers_mut(), token, key.as_ref(), ("GET", &uri, nonce));
        attached.map_err(|fault| unanswered(&fault.to_string()))?;
    }
    sender.ready().await.map_err(|error| broken(&error))?;
    sender.send_request(request).await.map_err(|error| broken(&error))
}

fn broken(error: &hyper::Error) -> Explained {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<io::Error>().filter(|error| tls::tls_error(error).is_some()) {
            return explain::tls(error);
        }
        cause = found.source();
    }
    unanswered(&format!("the connection ended without an answer: {error}"))
}

fn unanswered(found: &str) -> Explained {
    let todo = "is it the gateway's port for agents? Ask its operator, with the time of this attempt".to_owned();
    Explained { code: "answer", found: found.to_owned(), todo }
}
