//! The read-only admin listener: `/healthz`, `/readyz`, `/metrics`, `/release`, `/attestation`, `/last-use` and the public keys of
//! assertions. On a thread of its own, so that it answers whatever workers and other control threads do. Nothing here
//! changes anything.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stores::local::is_local;
use stores::seats::{Seat, Seats};

use crate::bounds::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_HEAD_S_MAX};
use crate::clock;
use crate::status::Status;

mod attestation;
mod executable;
mod fleet;
mod metrics;
mod process;
mod release;
mod respond;

use attestation::Attester;
pub use executable::measure;
pub use fleet::{BoundStatus, StatusPlace, StatusTlsError, bind as bind_status, check as check_status};

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
    #[error("the admin listener cannot be bound to {place}: {cause}{}", held(.cause))]
    Bind { place: String, cause: io::Error },
    #[error("{} is in use by a process that answers: stop it, or name another socket", .0.display())]
    InUse(PathBuf),
    #[error("the listener's thread did not start: {0}")]
    Thread(io::Error),
    #[error("the status listener: {0}")]
    StatusTls(#[from] StatusTlsError),
    #[error("the status listener cannot be bound to {address}: {cause}{}", held(.cause))]
    BindStatus { address: SocketAddr, cause: io::Error },
}

/// Who has the address, where that is why.
fn held(cause: &io::Error) -> &'static str {
    if cause.kind() == io::ErrorKind::AddrInUse { ": another process has it: `ss -ltnp` tells which" } else { "" }
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
        on_thread("admin", worker_cores, move || accept(self, Attester::new(status, true)))
    }
}

/// Runs `serving` on a thread of its own, off `worker_cores`.
fn on_thread<F>(
    name: &'static str,
    worker_cores: Vec<usize>,
    serving: impl FnOnce() -> F + Send + 'static,
) -> Result<(), AdminError>
where
    F: Future<Output = io::Result<()>>,
{
    let (started, told) = std::sync::mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        crate::affinity::leave(&worker_cores);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                let _ = started.send(Ok(()));
                if let Err(error) = serving().await {
                    crate::error!("the {name} listener ended: {error}");
                }
            }),
            Err(error) => drop(started.send(Err(error))),
        }
    });
    spawned.map_err(AdminError::Thread)?;
    told.recv().map_err(|_| AdminError::Thread(io::Error::other("it ended at once")))?.map_err(AdminError::Thread)
}

/// The socket is made private before it gets its name: nobody can connect in between.
fn bind_unix(path: &Path) -> Result<Bound, AdminError> {
    if files::is_listened_on(path) {
        return Err(AdminError::InUse(path.to_owned()));
    }
    let bound = (|| {
        if std::fs::symlink_metadata(path)
            .is_ok_and(|found| !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
        {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
        }
        let private = path.with_extension(format!("{}.new", std::process::id()));
        // What a killed one left that had the same number, as in a container.
        if std::fs::symlink_metadata(&private).is_ok_and(|left| left.is_dir()) {
            let _ = std::fs::remove_file(private.join("s"));
            let _ = std::fs::remove_dir(&private);
        }
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

async fn accept(bound: Bound, attester: Attester) -> io::Result<()> {
    // Who comes last is always served: connections that were opened and left alone keep nobody from `/healthz`.
    let mut seats = Seats::new(ADMIN_CONNECTIONS_MAX);
    let attester = Arc::new(attester);
    match bound {
        Bound::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((stream, from)) => serve_one(stream, seats.take(Some(from.ip())), &attester, Reach::Browsers),
                    Err(error) => pause_after(&error).await,
                }
            }
        }
        Bound::Unix(listener, _) => {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => serve_one(stream, seats.take(None), &attester, Reach::Own),
                    Err(error) => pause_after(&error).await,
                }
            }
        }
    }
}

/// Out of descriptors: trying again at once would only burn the processor.
async fn pause_after(error: &io::Error) {
    crate::warning!("a connection could not be accepted: {error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Who can be led to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// A web page can have a browser of this machine ask at a port, and a name of its own point here (DNS rebinding).
    Browsers,
    /// Whoever may open the socket file, or has a certificate.
    Own,
}

fn serve_one<S>(stream: S, seat: Seat, attester: &Arc<Attester>, reach: Reach)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let attester = Arc::clone(attester);
    tokio::spawn(seat.hold(serve_connection(stream, attester, reach)));
}

/// A client that misbehaves ends its own connection and is of no interest to anybody else.
async fn serve_connection<S>(stream: S, attester: Arc<Attester>, reach: Reach)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response = match reach {
            Reach::Browsers if !is_local(request.uri(), request.headers()) => respond::foreign(),
            _ => respond::respond(request.method(), request.uri(), &attester, clock::unix_ns()),
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(ADMIN_HEAD_S_MAX))
        .max_buf_size(ADMIN_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[cfg(test)]
mod tests;
