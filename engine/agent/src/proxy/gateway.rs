//! Connections of the proxy to the gateway: made with the credentials that are current, kept while they are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::bounds::{PROFILE_READS_MAX, PROXY_HEAD_BYTES_MAX, PROXY_IDLE_MAX, PROXY_IDLE_S_MAX};
use crate::dpop::ProofKey;
use crate::fault::Fault;
use crate::files;
use crate::generation;
use crate::profile::{GATEWAY_CA, PROFILE, Profile};
use crate::tls::{self, DialFault, Target};

/// Content of a request: kept whole, or passed on as it comes.
pub type Content = Either<Full<Bytes>, Incoming>;

/// What one state of the profile calls with: gateway, pins, certificate and token that belong together.
pub struct Caller {
    state: State,
    pub profile: Profile,
    config: Arc<ClientConfig>,
    /// What the token is bound to, where it is to a key of its own.
    pub dpop_key: Option<ProofKey>,
    pub ends_s: u64,
    idle: Mutex<Vec<(SendRequest<Content>, Instant)>>,
}

/// A connection, and whether it has carried a request before.
pub struct Connection {
    pub sender: SendRequest<Content>,
    pub used: bool,
}

impl Caller {
    /// Read as one, or not at all: an `enroll --force` may be at work meanwhile.
    fn read(directory: &Path) -> Result<Self, Fault> {
        let mut state = State::of(directory)?;
        for _ in 0..PROFILE_READS_MAX {
            let caller = Self::read_once(directory, state)?;
            state = State::of(directory)?;
            if state == caller.state {
                return Ok(caller);
            }
        }
        Err(Fault::at(directory, "it changes while it is read"))
    }

    fn read_once(directory: &Path, state: State) -> Result<Self, Fault> {
        let profile = Profile::read(directory)?;
        let identity = generation::current(directory)?;
        if let Err(why) = profile.id.check(&identity.facts) {
            return Err(Fault::at(&identity.directory, why).help("enroll again, with --force"));
        }
        let config = tls::client_config(&profile.pins(directory)?, Some(identity.certified))
            .map_err(|why| Fault::at(directory, why))?;
        let dpop_key = profile.dpop_key(&state.generation)?;
        Ok(Self { state, profile, config, dpop_key, ends_s: identity.facts.not_after_s, idle: Mutex::default() })
    }

    /// The token to send now: that of the certificate.
    pub fn token(&self) -> Result<Option<Zeroizing<String>>, Fault> {
        self.profile.token_now(&self.state.generation)
    }

    /// A connection that is idle, or a new one.
    pub async fn connection(&self) -> Result<Connection, DialFault> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((sender, since)) = kept else { break };
            if since.elapsed() < Duration::from_secs(PROXY_IDLE_S_MAX) && sender.is_ready() {
                return Ok(Connection { sender, used: true });
            }
        }
        self.fresh().await
    }

    /// A new connection.
    pub async fn fresh(&self) -> Result<Connection, DialFault> {
        let target: &Target = &self.profile.gateway;
        let stream = tls::dial(target, &self.config).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(PROXY_HEAD_BYTES_MAX);
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| DialFault::Tls(std::io::Error::other(error)))?;
        // How it ends is told by its requests.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, used: false })
    }

    /// Keeps a connection for another request, once its exchange is over.
    pub fn keep(self: &Arc<Self>, mut sender: SendRequest<Content>) {
        let caller = Arc::downgrade(self);
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            // Of credentials that are no longer current: closed.
            let Some(caller) = caller.upgrade() else { return };
            let mut idle = caller.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() >= PROXY_IDLE_MAX {
                idle.remove(0);
            }
            idle.push((sender, Instant::now()));
        });
    }
}

/// Which files the profile is of. Each is replaced by a rename, so one that changed is another one.
#[derive(PartialEq, Eq)]
struct State {
    generation: PathBuf,
    profile: Stamp,
    /// None where only keys are pinned.
    gateway_ca: Option<Stamp>,
}

/// Of a file: device, inode, size in bytes, time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl State {
    fn of(directory: &Path) -> Result<Self, Fault> {
        let stamp = |name: &str| match fs::metadata(directory.join(name)) {
            Ok(of) => Ok(Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::told(&directory.join(name), "read", error)),
        };
        let profile = stamp(PROFILE)?.ok_or_else(|| Fault::at(directory, "expected a profile, found none"))?;
        Ok(Self { generation: generation::resolved(directory)?, profile, gateway_ca: stamp(GATEWAY_CA)? })
    }
}

/// The caller of the current state; a renewal or a new enrolment is noticed at the next request.
pub struct Current {
    directory: PathBuf,
    caller: Mutex<Arc<Caller>>,
}

impl Current {
    pub fn read(directory: &Path) -> Result<Self, Fault> {
        let caller = Mutex::new(Arc::new(Caller::read(directory)?));
        Ok(Self { directory: directory.to_owned(), caller })
    }

    /// A readlink(2) and two stat(2) where nothing changed. What cannot be read leaves what was before.
    pub fn caller(&self) -> Arc<Caller> {
        let known = Arc::clone(&self.caller.lock().unwrap_or_else(PoisonError::into_inner));
        match State::of(&self.directory) {
            Ok(now) if now != known.state => match Caller::read(&self.directory) {
                Ok(new) => {
                    let new = Arc::new(new);
                    *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
                    new
                }
                Err(_) => known,
            },
            _ => known,
        }
    }
}

#[cfg(test)]
mod tests;
