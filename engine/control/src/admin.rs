//! The read-only admin listener: `/healthz`, `/readyz`, `/metrics`, `/release`. On a thread of its own, so that it
//! answers whatever workers and other control threads do. Nothing here changes anything.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::bounds::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_HEAD_S_MAX};
use crate::clock;
use crate::status::Status;

mod metrics;
mod process;
mod release;

/// Where the admin listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Loopback only.
    Tcp(SocketAddr),
    /// A socket file that only this user can connect to.
    Unix(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "the admin listener answers anyone who reaches it and must stand on loopback, found {0}: use 127.0.0.1, [::1] or a Unix socket"
    )]
    NotLoopback(SocketAddr),
    #[error("the admin listener cannot be bound to {place}: {cause}")]
    Bind { place: String, cause: io::Error },
    #[error("{} is in use by a process that answers: stop it, or name another socket", .0.display())]
    InUse(PathBuf),
    #[error("the admin listener's thread did not start: {0}")]
    Thread(io::Error),
}

/// A bound listener that nobody serves yet.
pub enum Bound {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, PathBuf),
}

/// Binds; to be served once there is something to tell.
pub fn bind(place: &Place) -> Result<Bound, AdminError> {
    match place {
        Place::Tcp(address) if !address.ip().is_loopback() => Err(AdminError::NotLoopback(*address)),
        Place::Tcp(address) => std::net::TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| Bound::Tcp(listener)))
            .map_err(|cause| AdminError::Bind { place: address.to_string(), cause }),
        Place::Unix(path) => bind_unix(path),
    }
}

impl Bound {
    /// As a person would write it: `127.0.0.1:9901` or `unix:/run/adamant/admin`.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Serves on a new thread off `worker_cores`, until the process ends.
    pub fn serve(self, status: Arc<Status>, worker_cores: Vec<usize>) -> Result<(), AdminError> {
        let (started, told) = std::sync::mpsc::sync_channel(1);
        let spawned = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            crate::affinity::leave(&worker_cores);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let _ = started.send(Ok(()));
                    if let Err(error) = accept(self, status).await {
                        crate::error!("the admin listener ended: {error}");
                    }
                }),
                Err(error) => drop(started.send(Err(error))),
            }
        });
        spawned.map_err(AdminError::Thread)?;
        told.recv().map_err(|_| AdminError::Thread(io::Error::other("it ended at once")))?.map_err(AdminError::Thread)
    }
}

/// The socket is made private before it gets its name: nobody can connect in between.
fn bind_unix(path: &Path) -> Result<Bound, AdminError> {
    if UnixStream::connect(path).is_ok() {
        return Err(AdminError::InUse(path.to_owned()));
    }
    let bound = (|| {
        if std::fs::symlink_metadata(path)
            .is_ok_and(|found| !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
        {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
        }
        let private = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::create_dir(&private)?;
        let made = (|| {
            std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700))?;
            let listener = UnixListener::bind(private.join("s"))?;
            std::fs::set_permissions(private.join("s"), std::fs::Permissions::from_mode(0o600))?;
            std::fs::rename(private.join("s"), path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })();
        let _ = std::fs::remove_dir_all(&private);
        made
    })();
    match bound {
        Ok(listener) => Ok(Bound::Unix(listener, path.to_owned())),
        Err(cause) => Err(AdminError::Bind { place: format!("unix:{}", path.display()), cause }),
    }
}

async fn accept(bound: Bound, status: Arc<Status>) -> io::Result<()> {
    let seats = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    match bound {
        Bound::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => serve_one(stream, &seats, &status),
                    Err(error) => pause_after(&error).await,
                }
            }
        }
        Bound::Unix(listener, _) => {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => serve_one(stream, &seats, &status),
                    Err(error) => pause_after(&error).await,
                }
            }
        }
    }
}

/// Out of descriptors: trying again at once would only burn the processor.
async fn pause_after(error: &io::Error) {
    crate::warning!("the admin listener could not accept: {error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn serve_one<S>(stream: S, seats: &Arc<Semaphore>, status: &Arc<Status>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // Too many at once: this one is closed.
    let Ok(seat) = Arc::clone(seats).try_acquire_owned() else { return };
    let status = Arc::clone(status);
    tokio::spawn(async move {
        let _seat = seat;
        let service = service_fn(move |request: Request<Incoming>| {
            let response = respond(request.method(), request.uri().path(), &status);
            async move { Ok::<_, Infallible>(response) }
        });
        // A client that misbehaves ends its own connection and is of no interest to anybody else.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(ADMIN_HEAD_S_MAX))
            .max_buf_size(ADMIN_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn respond(method: &Method, path: &str, status: &Arc<Status>) -> Response<Full<Bytes>> {
    let known = matches!(path, "/healthz" | "/readyz" | "/metrics" | "/release");
    if !known {
        let text = "not found: this listener has /healthz, /readyz, /metrics and /release\n";
        return answer(StatusCode::NOT_FOUND, TEXT, text.to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let text = "method not allowed: this listener is read-only\n".to_owned();
        let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let now_unix_ns = clock::unix_ns();
    match path {
        "/readyz" => ready(status.unready(now_unix_ns)),
        "/metrics" => match metrics::exposition(status, now_unix_ns) {
            Ok(text) => answer(StatusCode::OK, OPENMETRICS, text),
            Err(_) => {
                answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics could not be formatted\n".to_owned())
            }
        },
        "/release" => answer(StatusCode::OK, "application/json", release::document(status)),
        _ => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
    }
}

fn ready(reasons: Vec<String>) -> Response<Full<Bytes>> {
    if reasons.is_empty() {
        return answer(StatusCode::OK, TEXT, "ready\n".to_owned());
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
}

fn answer(code: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
