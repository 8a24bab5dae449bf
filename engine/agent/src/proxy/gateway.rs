//! Connections of the proxy to the gateway: made with the credentials that are current, kept while they are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;

use crate::bounds::{PROXY_HEAD_BYTES_MAX, PROXY_IDLE_MAX, PROXY_IDLE_S_MAX};
use crate::fault::Fault;
use crate::generation;
use crate::profile::Profile;
use crate::tls::{self, DialFault, Target};

/// What one generation of the profile calls with.
pub struct Caller {
    generation: PathBuf,
    pub profile: Profile,
    config: Arc<ClientConfig>,
    pub ends_s: u64,
    idle: Mutex<Vec<(SendRequest<Incoming>, Instant)>>,
}

/// A connection, and whether it has carried a request before.
pub struct Connection {
    pub sender: SendRequest<Incoming>,
    pub used: bool,
}

impl Caller {
    fn read(directory: &Path) -> Result<Self, Fault> {
        let profile = Profile::read(directory)?;
        let identity = generation::current(directory)?;
        let config = tls::client_config(&profile.pins(directory)?, Some(identity.certified))
            .map_err(|why| Fault::at(directory, why))?;
        let (generation, ends_s) = (identity.directory, identity.facts.not_after_s);
        Ok(Self { generation, profile, config, ends_s, idle: Mutex::default() })
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
    pub fn keep(self: &Arc<Self>, mut sender: SendRequest<Incoming>) {
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

/// The caller of the current generation; a renewal is noticed at the next request.
pub struct Current {
    directory: PathBuf,
    caller: Mutex<Arc<Caller>>,
}

impl Current {
    pub fn read(directory: &Path) -> Result<Self, Fault> {
        let caller = Mutex::new(Arc::new(Caller::read(directory)?));
        Ok(Self { directory: directory.to_owned(), caller })
    }

    /// One readlink(2) where nothing changed. A generation that cannot be read leaves the one before.
    pub fn caller(&self) -> Arc<Caller> {
        let known = Arc::clone(&self.caller.lock().unwrap_or_else(PoisonError::into_inner));
        match generation::resolved(&self.directory) {
            Ok(now) if now != known.generation => match Caller::read(&self.directory) {
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
