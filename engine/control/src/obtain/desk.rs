//! What orders at ACME servers need of the gateway: the account, which is kept, and somebody who answers challenges.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use stores::issue::acme::{self, Challenge, Directory};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::kept;
use crate::assemble::{challenges, hex};
use crate::at_rest::AtRest;
use crate::bounds::ACCOUNT_BYTES_MAX;
use crate::watch::Handle;

/// One order at a time: for whoever has the permit. The account is that of its directory.
pub struct Desk {
    account: PathBuf,
    at_rest: AtRest,
    watch: Handle,
    orders: Arc<Semaphore>,
}

impl Desk {
    pub fn new(state: &Path, at_rest: &AtRest, directory: &Directory, watch: Handle, orders: Arc<Semaphore>) -> Self {
        let external = directory.external.as_ref().map_or("", |external| external.key_id.as_str());
        let mark = Sha256::digest(format!("{}\n{external}", directory.shown()));
        let mark: String = hex(&mark).chars().take(16).collect();
        let account = kept::directory(state).join(format!("acme-{mark}.json"));
        Self { account, at_rest: at_rest.clone(), watch, orders }
    }

    /// Waits until no other order is under way.
    pub async fn order(&self) -> Option<SemaphorePermit<'_>> {
        self.orders.acquire().await.ok()
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
        match self.at_rest.read(&self.account, ACCOUNT_BYTES_MAX) {
            Ok(text) => std::str::from_utf8(&text).ok().map(|text| Zeroizing::new(text.to_owned())),
            Err(error) => {
                crate::warning!("the ACME account that was kept is not used: {error}");
                None
            }
        }
    }

    fn keep_account(&self, account: &str) -> io::Result<()> {
        kept::put(&self.account, &self.at_rest, account.as_bytes())
    }

    async fn answer(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        self.show(challenges::config(challenges).map_err(|error| error.to_string())?).await
    }
}
