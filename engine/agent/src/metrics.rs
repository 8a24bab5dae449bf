//! Metrics of `agent run`, on a loopback address: OpenMetrics text.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use stores::local::is_local;
use stores::seats::Seats;
use tokio::net::TcpListener;

use crate::fault::Fault;

/// Connections at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 8;
/// Time for one request head, and the longest a connection lasts, seconds.
const CONNECTION_S_MAX: u64 = 10;

/// What is counted of one kind of credential.
#[derive(Default)]
pub struct Counts {
    pub renewed: AtomicU64,
    pub failed: AtomicU64,
    /// 1 after a failure, until the next success.
    pub failing: AtomicU64,
    pub obtained_s: AtomicU64,
    pub ends_s: AtomicU64,
}

/// All that is told.
pub struct Metrics {
    /// By kind: `certificate`, `token`.
    kinds: RwLock<Vec<(&'static str, Arc<Counts>)>>,
    /// Lines of the log that could not be written.
    lines_lost: Arc<AtomicU64>,
    /// 1 while the profile does not know of the newest line.
    log_unkept: Arc<AtomicU64>,
}

impl Metrics {
    pub fn new(lines_lost: Arc<AtomicU64>, log_unkept: Arc<AtomicU64>) -> Self {
        Self { kinds: RwLock::default(), lines_lost, log_unkept }
    }

    /// The counts of a kind, made at its first mention.
    pub fn of(&self, what: &'static str) -> Arc<Counts> {
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kinds.iter().find(|(kind, _)| *kind == what) {
            return Arc::clone(known);
        }
        let counts = Arc::new(Counts::default());
        kinds.push((what, Arc::clone(&counts)));
        counts
    }

    fn text(&self) -> String {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut rows = |name: &str, kind: &str, value: fn(&Counts) -> &AtomicU64| {
            let _ = writeln!(text, "# TYPE adamant_agent_{} {kind}", name.trim_end_matches("_total"));
            for (what, counts) in kinds.iter() {
                let value = value(counts).load(Ordering::Relaxed);
                let _ = writeln!(text, "adamant_agent_{name}{{what=\"{what}\"}} {value}");
            }
        };
        rows("refreshes_total", "counter", |counts| &counts.renewed);
        rows("refresh_failures_total", "counter", |counts| &counts.failed);
        rows("refresh_failing", "gauge", |counts| &counts.failing);
        rows("obtained_timestamp_seconds", "gauge", |counts| &counts.obtained_s);
        rows("expiry_timestamp_seconds", "gauge", |counts| &counts.ends_s);
        let lost = self.lines_lost.load(Ordering::Relaxed);
        let _ =
            writeln!(text, "# TYPE adamant_agent_log_lines_lost counter\nadamant_agent_log_lines_lost_total {lost}");
        let unkept = self.log_unkept.load(Ordering::Relaxed);
        let _ = writeln!(text, "# TYPE adamant_agent_log_unkept gauge\nadamant_agent_log_unkept {unkept}");
        text.push_str("# EOF\n");
        text
    }
}

/// `/metrics`, for programs of this machine: a web page can have its browser ask, too.
fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        _ if !is_local(request.uri(), request.headers()) => {
            (StatusCode::FORBIDDEN, "forbidden: address this port as localhost or by its IP address\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, metrics.text()),
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    if status == StatusCode::OK {
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
    *answer.status_mut() = status;
    answer
}

/// Binds the address of the metrics, which must be loopback, and serves them until the runtime ends.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<SocketAddr, Fault> {
    if !address.ip().is_loopback() {
        let message = format!("expected a loopback address for metrics, found {address}");
        return Err(Fault::new(message).help("for example 127.0.0.1:9102; a collector on this machine reads it there"));
    }
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (bound, listener) =
        bound.map_err(|error| Fault::new(format_args!("cannot listen on {address} for metrics: {error}")))?;
    tokio::spawn(async move {
        // Who comes last is always served: connections that were opened and left alone keep no collector out.
        let mut seats = Seats::new(CONNECTIONS_MAX);
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (metrics, seat) = (Arc::clone(&metrics), seats.take(Some(from.ip())));
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&request, &metrics);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut builder = hyper::server::conn::http1::Builder::new();
                let serving = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                let _ = seat.hold(tokio::time::timeout(Duration::from_secs(CONNECTION_S_MAX), serving)).await;
            });
        }
    });
    Ok(bound)
}
