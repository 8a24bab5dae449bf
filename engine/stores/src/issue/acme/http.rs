//! How requests of ACME go out: by the one client of the gateway, to the server of the directory and to no other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response, Uri, header};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde::Deserialize;

use crate::http::{Bounds, Client, HttpFault, Place, Trust, TrustFault};
use crate::issue::ANSWER_BYTES_MAX;

/// RFC 8555 §6.7.
const PROBLEM: &[u8] = b"application/problem+json";

/// More is not waited for.
const RETRY_AFTER_S_MAX: u64 = 86_400;

#[derive(Clone)]
pub struct Http {
    client: Client,
    server: Place,
    /// What the server said last of when it may be asked again, seconds; 0: nothing.
    retry_after_s: Arc<AtomicU64>,
}

impl Http {
    /// `pem`: the CA that vouches for `server`. `within`: for a step, and for a whole exchange.
    pub fn new(
        server: &Place,
        pem: Option<&str>,
        (step, whole): (Duration, Duration),
        retry_after_s: Arc<AtomicU64>,
    ) -> Result<Self, TrustFault> {
        let trust = pem.map_or(Trust::System, Trust::Pinned);
        let client = Client::new(Some(&trust), Bounds { step, whole, content_bytes_max: ANSWER_BYTES_MAX })?;
        Ok(Self { client, server: server.clone(), retry_after_s })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, server, retry_after_s) =
            (self.client.clone(), self.server.clone(), Arc::clone(&self.retry_after_s));
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let elsewhere = || Error::Other(format!("an address of another server ({})", head.uri).into());
            let place = Place::parse(&head.uri.to_string()).ok();
            let place = place.filter(|place| place.is_same_server(&server)).ok_or_else(elsewhere)?;
            head.uri = place.target().parse()?;
            let Ok(content) = body.collect().await;
            let request = Request::from_parts(head, Full::new(content.to_bytes()));
            // What is not answered says nothing of it.
            retry_after_s.store(0, Ordering::Relaxed);
            let mut answer = client.exchange(&place, request).await.map_err(|fault| Error::Other(Box::new(fault)))?;
            let asked = answer.fields.remove(header::RETRY_AFTER).and_then(|value| seconds(value.to_str().ok()?));
            // The library adds it to the clock, and panics where no clock goes.
            answer.fields.extend(asked.map(|seconds| (header::RETRY_AFTER, seconds.into())));
            retry_after_s.store(asked.unwrap_or(0), Ordering::Relaxed);
            if answer.status.is_redirection() {
                let fault = HttpFault::Redirect { authority: place.authority(), status: answer.status.as_u16() };
                return Err(Error::Other(Box::new(fault)));
            }
            // Of a server that is not well, rather than of ACME: a proxy before it, or one that is sealed.
            let is_problem =
                answer.fields.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(PROBLEM));
            if answer.status.is_server_error() && !is_problem {
                let fault = HttpFault::Status { authority: place.authority(), status: answer.status.as_u16() };
                return Err(Error::Other(Box::new(fault)));
            }
            if !nonces_have_an_address(&answer.content) {
                return Err(Error::Other("newNonce that is no URL".into()));
            }
            let mut response = Response::new(Full::new(answer.content));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.fields;
            Ok(BytesResponse::from(response))
        })
    }
}

/// Whether `content` is of no directory (RFC 8555 §7.1.1), or of one whose `newNonce` can be asked: the library panics at another.
fn nonces_have_an_address(content: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Directory {
        #[serde(rename = "newNonce")]
        new_nonce: String,
    }
    // The library reads its members from an array as well.
    if content.trim_ascii_start().starts_with(b"[") {
        return false;
    }
    let Ok(directory) = serde_json::from_slice::<Directory>(content) else { return true };
    directory.new_nonce.parse::<Uri>().is_ok()
}

/// Whole seconds, at most a day; a date is none.
fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX).min(RETRY_AFTER_S_MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_directory_without_an_address_for_nonces_is_none() {
        for (directory, is_good) in [
            (r#"{"newNonce":"https://127.0.0.1/nonce"}"#, true),
            (r#"{"status":"valid"}"#, true),
            ("-----BEGIN CERTIFICATE-----", true),
            ("", true),
            (r#"{"newNonce":"x y"}"#, false),
            (r#"{"newNonce":""}"#, false),
            (r#"{"newNonce":"http://["}"#, false),
            ("{\"newNonce\":\"\u{e9}\"}", false),
            (r#" ["x y","https://127.0.0.1/account","https://127.0.0.1/new",null,null,null,null]"#, false),
        ] {
            assert_eq!(super::nonces_have_an_address(directory.as_bytes()), is_good, "{directory}");
        }
    }

    #[test]
    fn a_pause_is_whole_seconds_and_a_day_at_most() {
        let read =
            ["7", " 60 ", "18446744073709551615", "", "-1", "1.5", "Mon, 23 Nov 2026 03:00:00 GMT"].map(super::seconds);
        assert_eq!(read, [Some(7), Some(60), Some(86_400), None, None, None, None]);
    }
}
