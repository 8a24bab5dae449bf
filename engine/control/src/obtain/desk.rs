//! What orders at ACME servers need of the gateway: the account, which is kept, and somebody who answers challenges.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use stores::issue::acme::{self, Challenge, Directory};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::kept;
use crate::assemble::{challenges, files, hex};
use crate::bounds::ACCOUNT_BYTES_MAX;
use crate::watch::Handle;

/// One order at a time: for whoever has the permit. The account is that of its directory.
pub struct Desk {
    account: PathBuf,
    watch: Handle,
    orders: Arc<Semaphore>,
    /// Since the last permit.
    has_begun: AtomicBool,
}

impl Desk {
    pub fn new(state: &Path, directory: &Directory, watch: Handle, orders: Arc<Semaphore>) -> Self {
        Self { account: Self::account_of(state, directory), watch, orders, has_begun: AtomicBool::new(false) }
    }

    /// Where the account at `directory` is kept.
    pub fn account_of(state: &Path, directory: &Directory) -> PathBuf {
        let external = directory.external.as_ref().map_or("", |external| external.key_id.as_str());
        let mark = Sha256::digest(format!("{}\n{external}", directory.shown()));
        let mark: String = hex(&mark).chars().take(16).collect();
        kept::directory(state).join(format!("acme-{mark}.json"))
    }

    /// Waits until no other order is under way.
    pub async fn order(&self) -> Option<SemaphorePermit<'_>> {
        self.has_begun.store(false, Ordering::Relaxed);
        self.orders.acquire().await.ok()
    }

    /// Whether an order was placed since that was last waited for.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Nothing is answered any more.
    pub async fn clear(&self) {
        let _ = self.watch.challenges(None).await;
    }

    async fn show(&self, config: Option<Arc<ServerConfig>>) -> Result<(), String> {
        self.watch.challenges(config).await
    }
}

impl acme::Desk for Desk {
    fn account(&self) -> Option<Zeroizing<String>> {
        if !self.account.exists() {
            return None;
        }
        match files::read_private(&self.account, ACCOUNT_BYTES_MAX) {
            Ok(text) => std::str::from_utf8(&text).ok().map(|text| Zeroizing::new(text.to_owned())),
            Err(error) => {
                crate::warning!("the ACME account that was kept is not used: {error}");
                None
            }
        }
    }

    fn keep_account(&self, account: &str) -> io::Result<()> {
        kept::put(&self.account, account.as_bytes())
    }

    fn begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    async fn answer(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        self.show(challenges::config(challenges).map_err(|error| error.to_string())?).await
    }
}
