//! `agent proxy`: a local place for programs that cannot do mutual TLS or tokens. It attaches the profile's certificate and
//! token and calls the gateway; to anything but the pinned gateway it sends nothing.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::Mode;
use stores::seats::{Seat, Seats};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use zeroize::Zeroizing;

use crate::bounds::{
    PROXY_CONNECTIONS_MAX, PROXY_DRAIN_S_MAX, PROXY_HEAD_BYTES_MAX, PROXY_HEAD_S_MAX, PROXY_STRANGERS_MAX,
    SECRET_BYTES_MAX,
};
use crate::fault::Fault;
use crate::files;
use crate::lines::Lines;
use crate::profile::Profile;

mod bound;
mod exchange;
mod gateway;
mod seat;

use exchange::Exchanges;
use seat::Known;

/// Where local programs come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A socket file of mode 0600: for this user alone, also on a machine with others.
    Unix(PathBuf),
    /// A port: whoever is on this machine can use it.
    Tcp(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(PathBuf::from(path))),
            _ => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("expected unix:PATH or an address like 127.0.0.1:9900, found {text:?}")),
        }
    }
}

/// What is served.
pub struct Settings {
    pub directory: PathBuf,
    pub listen: Listen,
    /// Local programs must send its first line as `Adamant-Agent-Secret`.
    pub secret_file: Option<PathBuf>,
    /// Pass on `Authorization`, `DPoP` and `X-API-Key` of local programs instead of removing them.
    pub keep_credentials: bool,
    /// Let an address be used that is not loopback.
    pub open_to_network: bool,
}

/// Serves until SIGTERM, whether or not anybody reads where it listens.
pub fn run(settings: &Settings, lines: &Lines) -> Result<(), Fault> {
    Profile::read(&settings.directory)?;
    let secret =
        settings.secret_file.as_ref().map(|path| files::read_secret_line(path, SECRET_BYTES_MAX)).transpose()?;
    check_place(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(format_args!("cannot start: {error}")))?;
    let served = runtime.block_on(serve(settings, secret, lines));
    // Not waited for: a look-up of a name may hang longer than the time to drain.
    runtime.shutdown_background();
    served
}

fn check_place(settings: &Settings) -> Result<(), Fault> {
    let Listen::Tcp(address) = &settings.listen else { return Ok(()) };
    if address.ip().is_loopback() || (settings.open_to_network && settings.secret_file.is_some()) {
        return Ok(());
    }
    let message = format!("expected a loopback address, found {address}: whoever reaches it would act as this agent");
    Err(Fault::new(message).help("use 127.0.0.1:PORT or unix:PATH; or --open-to-network together with --secret-file"))
}

async fn serve(settings: &Settings, secret: Option<Zeroizing<String>>, lines: &Lines) -> Result<(), Fault> {
    let exchanges = Arc::new(Exchanges::new(settings, secret)?);
    // Before there is anything to tidy up.
    let on = |kind| signal(kind).map_err(|error| Fault::new(format_args!("signals cannot be awaited: {error}")));
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let listener = Listener::bind(&settings.listen).await?;
    lines.say(format!("listening on {}, for {}", listener.place()?, exchanges.target()));
    let (stop, stopping) = watch::channel(false);
    let seats = Arc::new(Semaphore::new(PROXY_CONNECTIONS_MAX));
    let mut strangers = settings.secret_file.as_ref().map(|_| Seats::new(PROXY_STRANGERS_MAX));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            accepted = listener.accept(&seats) => {
                let Some((stream, permit)) = accepted else { continue };
                let (exchanges, stopping) = (Arc::clone(&exchanges), stopping.clone());
                let (known, seat) = match &mut strangers {
                    None => (Known::at_once(permit), None),
                    Some(strangers) => (Known::new(Arc::clone(&seats)), Some(strangers.take(None))),
                };
                tokio::spawn(connection(stream, exchanges, stopping, known, seat));
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let all = seats.acquire_many(u32::try_from(PROXY_CONNECTIONS_MAX).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(Duration::from_secs(PROXY_DRAIN_S_MAX), all).await;
    Ok(())
}

/// What a local connection is.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// `seat`: of a stranger, until it is known.
async fn connection(
    stream: Box<dyn Stream>,
    exchanges: Arc<Exchanges>,
    mut stopping: watch::Receiver<bool>,
    known: Known,
    seat: Option<Seat>,
) {
    let known = &known;
    let service = service_fn(|request| {
        let exchanges = Arc::clone(&exchanges);
        async move { Ok::<_, Infallible>(exchanges.answer(request, known).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(PROXY_HEAD_S_MAX))
        .max_buf_size(PROXY_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let given_away = async {
        let is_given_away = match seat {
            Some(seat) => seat.hold(known.wait()).await.is_none(),
            None => false,
        };
        if !is_given_away {
            std::future::pending().await
        }
    };
    tokio::select! {
        biased;
        _ = serving.as_mut() => {}
        () = given_away => {}
        () = asked_to_stop(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

async fn asked_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

enum Listener {
    /// With its file, and what that is: another process may have put its own there meanwhile.
    Unix(UnixListener, PathBuf, Option<(u64, u64)>),
    Tcp(TcpListener),
}

/// A connection with the seat that it can take.
type Accepted = (Box<dyn Stream>, OwnedSemaphorePermit);

impl Listener {
    async fn bind(listen: &Listen) -> Result<Self, Fault> {
        match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await;
                bound.map(Self::Tcp).map_err(|error| {
                    Fault::new(format_args!("cannot listen on {address}: {error}"))
                        .help("choose another port, or 0 for a free one")
                })
            }
            Listen::Unix(path) => bind_unix(path).map(|listener| Self::Unix(listener, path.clone(), file_of(path))),
        }
    }

    fn place(&self) -> Result<String, Fault> {
        match self {
            Self::Unix(_, path, _) => Ok(format!("unix:{}", path.display())),
            Self::Tcp(listener) => listener.local_addr().map(|at| format!("http://{at}")).map_err(Fault::new),
        }
    }

    /// The next connection, once there is a seat for it.
    async fn accept(&self, seats: &Arc<Semaphore>) -> Option<Accepted> {
        let seat = Arc::clone(seats).acquire_owned().await.ok()?;
        let stream: std::io::Result<Box<dyn Stream>> = match self {
            Self::Unix(listener, ..) => listener.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                let _ = stream.set_nodelay(true);
                Box::new(stream) as Box<dyn Stream>
            }),
        };
        match stream {
            Ok(stream) => Some((stream, seat)),
            Err(_) => {
                // Out of descriptors, most likely: others end and give theirs back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path, own) = self
            && own.is_some()
            && file_of(path) == *own
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Device and number of a file.
fn file_of(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn bind_unix(path: &Path) -> Result<UnixListener, Fault> {
    if ::files::is_listened_on(path) {
        return Err(
            Fault::at(path, "another process listens there").help("end it, or name another place with --listen")
        );
    }
    // What a killed one left.
    if fs::symlink_metadata(path).is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())) {
        let _ = fs::remove_file(path);
    }
    // From its first moment for the owner alone; nothing else of this process runs meanwhile.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound.map_err(|error| files::told(path, "listened on", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_socket_file_or_an_address() {
        assert_eq!("unix:/run/a.sock".parse(), Ok(Listen::Unix("/run/a.sock".into())));
        assert_eq!("127.0.0.1:9900".parse(), Ok(Listen::Tcp("127.0.0.1:9900".parse().unwrap())));
        for wrong in ["", "unix:", "9900", "localhost:9900"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_network_is_not_let_in_by_accident() {
        let settings = |listen: &str, open_to_network, secret: Option<&str>| Settings {
            directory: PathBuf::new(),
            listen: listen.parse().unwrap(),
            secret_file: secret.map(PathBuf::from),
            keep_credentials: false,
            open_to_network,
        };
        assert!(check_place(&settings("127.0.0.1:0", false, None)).is_ok());
        assert!(check_place(&settings("[::1]:0", false, None)).is_ok());
        assert!(check_place(&settings("0.0.0.0:1", false, Some("s"))).is_err());
        assert!(check_place(&settings("0.0.0.0:1", true, None)).is_err());
        assert!(check_place(&settings("10.0.0.1:1", true, Some("s"))).is_ok());
    }
}
