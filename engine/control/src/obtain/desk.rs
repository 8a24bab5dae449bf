//! What orders at ACME servers need of the gateway: the account, which is kept, and somebody who answers challenges.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stores::issue::acme::{self, ACCOUNT_BYTES_MAX, Answering, Challenge, Directory};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::kept;
use crate::at_rest::AtRest;
use crate::watch::Handle;

/// One order at a time: for whoever has the permit. The account is that of its directory.
pub struct Desk {
    account: PathBuf,
    at_rest: AtRest,
    answers: Answers,
    orders: Arc<Semaphore>,
    /// Since the last permit.
    has_begun: AtomicBool,
}

/// Who answers challenges.
enum Answers {
    /// The workers, on their listeners (tls-alpn-01).
    Workers(Handle),
    /// A listener of its own (http-01).
    Own(Answering),
}

impl Desk {
    /// `http`: where challenges are answered, which the workers do without it.
    pub fn new(
        (state, at_rest): (&Path, &AtRest),
        (directory, http): (&Directory, Option<SocketAddr>),
        watch: Handle,
        orders: Arc<Semaphore>,
    ) -> Self {
        let account = Self::account_of(state, directory);
        let answers = http.map_or(Answers::Workers(watch), |at| Answers::Own(Answering::new(at)));
        Self { account, at_rest: at_rest.clone(), answers, orders, has_begun: AtomicBool::new(false) }
    }

    /// Where the account at `directory` is kept.
    pub fn account_of(state: &Path, directory: &Directory) -> PathBuf {
        kept::directory(state).join(directory.account_file())
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

    fn begun(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    async fn answer(&self, challenges: Vec<Challenge>) -> Result<(), String> {
        match &self.answers {
            Answers::Own(listener) => listener.answer(challenges).await,
            Answers::Workers(watch) => {
                watch.challenges(acme::tls_config(challenges).map_err(|error| error.to_string())?).await
            }
        }
    }
}
