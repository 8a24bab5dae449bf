//! The API behind the demo's gateway: answers every request with what it saw of it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Starts it on a free loopback port; it lives as long as the runtime.
pub async fn start() -> Result<SocketAddr, Failure> {
    let failed = |error| Failure::new(format_args!("the demo's origin did not start: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A connection that breaks is the client's business.
            tokio::spawn(async move { drop(serving.await) });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let seen = json!({
        "origin": "orders",
        "saw": format!("{} {}", head.method, head.uri),
        "from_agent": field("adamant-agent"),
        "authorization": field("authorization"),
        "content_bytes": content,
    });
    let mut response = Response::new(Full::new(Bytes::from(format!("{seen}\n"))));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
