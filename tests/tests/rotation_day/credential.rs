//! What a caller shows, and what must come of it at the present moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;
use tests::client::get;

/// What must come of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every request passes.
    Good,
    /// On its way from one to the other: whatever comes of a request is right.
    Changing,
    /// No request passes.
    Bad,
}

/// Where it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Of a listener of its own; none for the first one.
    pub port: Option<u16>,
    pub path: &'static str,
    /// What answers there lives for seconds: a machine that stands still outlives it.
    pub is_short: bool,
    /// An issuer is asked about it, and waited for no longer than a machine may stand still.
    pub is_asked: bool,
}

pub const ORDERS: Place = Place { port: None, path: "/orders", is_short: false, is_asked: false };

pub struct Credential {
    pub name: String,
    pub tls: Arc<ClientConfig>,
    pub place: Place,
    /// Requests that had to pass and did.
    pub passed: AtomicU64,
    fields: Box<dyn Fn() -> String + Send + Sync>,
    /// Counts the changes of phase, so that whoever looks twice knows whether there was one in between.
    state: AtomicU64,
}

impl Credential {
    /// At first `Changing`. `fields` makes the field lines of each request.
    pub fn new(
        name: impl Into<String>,
        tls: Arc<ClientConfig>,
        fields: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::at(ORDERS, name, tls, fields)
    }

    /// The same, elsewhere.
    pub fn at(
        place: Place,
        name: impl Into<String>,
        tls: Arc<ClientConfig>,
        fields: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (name, fields) = (name.into(), Box::new(fields));
        Arc::new(Self { name, tls, place, passed: AtomicU64::new(0), fields, state: AtomicU64::new(1) })
    }

    pub fn becomes(&self, phase: Phase) {
        let next = (self.state.load(Ordering::SeqCst) >> 2) + 1;
        self.state.store(next << 2 | phase as u64, Ordering::SeqCst);
    }

    /// Two equal ones have had no change in between.
    pub fn state(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    pub fn phase(&self) -> Phase {
        phase_of(self.state())
    }

    pub fn request(&self) -> String {
        get(self.place.path, &(self.fields)())
    }

    /// Whether it was used.
    pub fn is_used(&self) -> bool {
        self.passed.load(Ordering::Relaxed) > 10
    }
}

pub fn phase_of(state: u64) -> Phase {
    match state & 3 {
        0 => Phase::Good,
        1 => Phase::Changing,
        _ => Phase::Bad,
    }
}
