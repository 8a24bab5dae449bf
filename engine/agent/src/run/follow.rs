//! Following a channel: a thread of its own looks at the store, which may take its time, and puts what is new into a
//! generation of its own. What it found goes to the keeper, which tells it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stores::{Followed, Store};
use tokio::sync::mpsc;

use crate::bounds::{CHANNEL_EVENTS_MAX, CHANNEL_LOOK_MS, CHANNEL_READ_MS_MAX, SECRET_BYTES_MAX};
use crate::channel::next::{Change, next};
use crate::channel::{Follows, Memory, News, look, may_lead_back};
use crate::fault::Fault;
use crate::fresh::Writer;
use crate::generation::{self, New};
use crate::profile::{self, Enrolment};
use crate::release::Granted;
use crate::{clock, files, schedule};

/// Failures in a row that count where the last was another one than before: a pause of some seconds.
const FAILURES_OF_OTHERS_MAX: u32 = 4;
/// Nothing of this ends by a day: failures are tried again as late as [`schedule`] allows.
pub const LEFT_S: u64 = 86_400;

/// Under what it is remembered that something was told.
const FAILED: &str = "failed";
const UNKNOWN: &str = "unknown-agent";
const DOCUMENT: &str = "document";
/// Of a warning: the profile follows all the same.
pub const SCOPE_GONE: &str = "scope-gone";

/// What was found, for the log.
pub struct Event {
    pub from: String,
    pub what: What,
}

pub enum What {
    /// The profile is another one now; with the release, and the end of the pointer.
    Changed(Change, String, u64),
    /// It is as it was, until the end of the pointer; and whether the channel could not be read before.
    Same(u64, bool),
    /// What somebody should know: `scope-gone`; or that it stays as it was, and why: `unknown-agent`, `document`.
    Warning(&'static str, Fault),
    /// The channel could not be read, or is not believed; and the pause until the next attempt, milliseconds.
    Failed(Fault, u64),
}

pub struct Follower {
    directory: PathBuf,
    writer: Arc<Writer>,
    /// The store of the channel that is followed.
    reader: Option<(Follows, Box<dyn Store>)>,
    failures: u32,
    /// What was said of each thing, so that it is said once.
    told: BTreeMap<&'static str, String>,
}

impl Follower {
    pub fn new(directory: PathBuf, writer: Arc<Writer>) -> Self {
        Self { directory, writer, reader: None, failures: 0, told: BTreeMap::new() }
    }

    /// Follows after a pause, until nobody listens any more.
    pub fn start(mut self, after: Duration) -> Result<mpsc::Receiver<Event>, Fault> {
        let (tell, events) = mpsc::channel(CHANNEL_EVENTS_MAX);
        let following = move || {
            std::thread::sleep(after);
            let (mut read_at, mut is_due) = (Instant::now(), true);
            while !tell.is_closed() {
                let mut pause_ms = CHANNEL_LOOK_MS;
                if self.has_changed() || is_due || read_at <= Instant::now() {
                    let looked = self.look();
                    (is_due, pause_ms) = (looked.is_due, looked.pause_ms);
                    read_at = Instant::now() + Duration::from_millis(CHANNEL_READ_MS_MAX);
                    if looked.events.into_iter().any(|event| tell.blocking_send(event).is_err()) {
                        return;
                    }
                }
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
        };
        let thread = std::thread::Builder::new().name("channel".to_owned()).spawn(following);
        thread
            .map_err(|error| Fault::new(format_args!("the thread that follows the channel cannot start: {error}")))?;
        Ok(events)
    }

    /// Whether there may be something new in the store.
    fn has_changed(&mut self) -> bool {
        let Some((follows, store)) = &mut self.reader else { return true };
        follows.channel().is_ok_and(|channel| store.changed(&channel, Followed::Releases))
    }

    /// One look, and what comes of it.
    pub fn look(&mut self) -> Looked {
        let (mut from, mut said) = (String::new(), Vec::new());
        let (is_due, pause_ms) = match self.take(&mut from, &mut said) {
            Ok(is_due) => {
                self.failures = 0;
                (is_due, CHANNEL_LOOK_MS)
            }
            Err(fault) => {
                // Another fault is another state of the store, which may be mended soon; one after the other is somebody's doing.
                let is_same = self.told.get(FAILED) == Some(&fault.to_string());
                let failures = self.failures.saturating_add(1);
                self.failures = if is_same { failures } else { failures.min(FAILURES_OF_OTHERS_MAX) };
                let random = files::random().map_or(0, u32::from_le_bytes);
                let pause_ms = schedule::retry_ms(self.failures, LEFT_S, false, random).max(CHANNEL_LOOK_MS);
                if self.is_news(FAILED, Some(&fault)) {
                    said.push(What::Failed(fault, pause_ms));
                }
                (true, pause_ms)
            }
        };
        let events = said.into_iter().map(|what| Event { from: from.clone(), what }).collect();
        Looked { events, is_due, pause_ms }
    }

    /// Takes what the channel says; whether it is to be looked at again in any case.
    fn take(&mut self, from: &mut String, said: &mut Vec<What>) -> Result<bool, Fault> {
        let profile = Enrolment::read(&self.directory)?.profile;
        let Some(follows) = profile.follows else {
            self.reader = None;
            return Ok(true);
        };
        *from = follows.to_string();
        // What was asked for last comes first, and is of the channel that it was enrolled with.
        if profile::is_waiting(&self.directory) || generation::resolved(&self.directory).is_err() {
            return Ok(true);
        }
        if self.reader.as_ref().is_none_or(|(of, _)| *of != follows) {
            let mut store = follows.reader()?;
            // The first look is always one at something new.
            store.changed(&follows.channel()?, Followed::Releases);
            self.reader = Some((follows.clone(), store));
        }
        let Some((_, store)) = &self.reader else { return Ok(true) };
        let mut memory = Memory::read(&self.directory, &follows.channel()?)?;
        let before = memory.clone();
        let known = profile.granted.as_ref().and_then(Granted::named);
        if let Some((version, release)) = known {
            memory.accept(version, release, false);
        }
        let known = known.map(|(_, release)| release);
        let looked = look(&**store, &mut memory, known, clock::shown(clock::now_s()));
        if memory != before {
            memory.write(&self.directory)?;
        }
        self.apply(looked?, memory, said)?;
        Ok(false)
    }

    /// Puts in use what is new in the news.
    fn apply(&mut self, news: News, mut memory: Memory, said: &mut Vec<What>) -> Result<(), Fault> {
        let writer = Arc::clone(&self.writer);
        let _held = writer.lock();
        let enrolment = Enrolment::read(&self.directory)?;
        let pointer = &news.pointer.pointer;
        let same = What::Same(pointer.expires.seconds(), self.told.contains_key(FAILED));
        let made = match next(&enrolment, &news, &memory) {
            Ok(made) => made,
            Err(fault) => {
                // The channel was read all the same: the next failure is another one.
                said.push(same);
                self.is_news(FAILED, None);
                if self.is_news(UNKNOWN, Some(&fault)) {
                    said.push(What::Warning(UNKNOWN, gone(&fault)));
                }
                return Ok(());
            }
        };
        match made.change {
            Some(change) => {
                put(&self.directory, &made.enrolment, change.renews)?;
                memory.accept(made.version, pointer.release, may_lead_back(&news.pointer));
                memory.write(&self.directory)?;
                let gone = scopes_gone(&change);
                said.push(What::Changed(change, pointer.release.to_string(), pointer.expires.seconds()));
                said.extend(gone.map(|fault| What::Warning(SCOPE_GONE, fault)));
            }
            None => said.push(same),
        }
        self.is_news(FAILED, None);
        self.is_news(UNKNOWN, None);
        let refused = news.document.err().or(made.kept_back);
        if self.is_news(DOCUMENT, refused.as_ref()) {
            said.extend(refused.map(|fault| What::Warning(DOCUMENT, fault)));
        }
        Ok(())
    }

    /// Whether a thing is to be told: it was not told last of its kind. None: it is over.
    fn is_news(&mut self, kind: &'static str, fault: Option<&Fault>) -> bool {
        let Some(text) = fault.map(ToString::to_string) else {
            self.told.remove(kind);
            return false;
        };
        self.told.insert(kind, text.clone()) != Some(text)
    }
}

/// What came of one look.
pub struct Looked {
    pub events: Vec<Event>,
    is_due: bool,
    pause_ms: u64,
}

/// Puts a profile into a generation of its own, with keys, certificate and token that are in use. `renews`: not for long.
fn put(directory: &Path, enrolment: &Enrolment, renews: bool) -> Result<(), Fault> {
    let identity = generation::current(directory)?;
    let (key, chain) = generation::pair(&identity)?;
    let kept = |name: &str| {
        let path = identity.directory.join(name);
        path.exists().then(|| files::read_secret(&path, SECRET_BYTES_MAX)).transpose()
    };
    let (token, dpop_key) = (kept(generation::TOKEN)?, kept(generation::DPOP_KEY)?);
    let (json, gateway_ca) = (enrolment.profile.json()?, enrolment.gateway_ca.as_deref());
    let token = token.as_ref().map(|token| token.as_str());
    let dpop_key_pem = dpop_key.as_ref().map(|pem| pem.as_str());
    let new = New { key_pem: &key, chain_pem: &chain, token, dpop_key_pem, profile: &json, gateway_ca };
    let mut origin = identity.origin;
    origin.is_outdated |= renews;
    generation::stage(directory, &new, &origin)?.put()?;
    Ok(())
}

fn scopes_gone(change: &Change) -> Option<Fault> {
    let gone = &change.scopes_gone;
    let message =
        format_args!("the release takes away what the profile had: scope {}", gone.join(", scope ")).to_string();
    let help = "calls that need it are refused from now on: ask whoever writes the policy whether that is meant";
    (!gone.is_empty()).then(|| Fault::new(message).help(help))
}

fn gone(fault: &Fault) -> Fault {
    Fault::new(format_args!("the channel runs a release that does not know this agent: {fault}; the profile stays as it was"))
        .help("gateways refuse its calls: ask whoever writes the policy; where it has another id there, enroll again, with --force")
}
