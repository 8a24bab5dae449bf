//! The day: callers and rotators at work beside each other, and what came of it.

use std::any::Any;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::client::Client;
use tests::gateway::{self, Gateway};
use tests::policy::PolicyText;
use tests::store::World;

use crate::Rotator;
use crate::agents::Keeper;
use crate::callers;
use crate::credential::{Credential, Phase};
use crate::log::Log;
use crate::office::Office;
use crate::plan::HOST;
use crate::secrets;

/// Longest wait for anything to be in force; on a machine with time to spare it takes about a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether something is in force: what is refused counts as a failed identification of this client.
const LOOK: Duration = Duration::from_millis(150);
/// Failures that are told, and how much of each: a log may be cut.
const FAILURES_MAX: usize = 10;
const FAILURE_BYTES_MAX: usize = 600;
/// Credentials that must be refused and are still tried.
const BAD_MAX: usize = 24;

/// What somebody said who panicked.
pub fn said(why: &(dyn Any + Send)) -> &str {
    let text = why.downcast_ref::<String>().map(String::as_str).or_else(|| why.downcast_ref::<&str>().copied());
    text.unwrap_or("no text")
}

/// Requests by what was known about them.
#[derive(Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub refused: AtomicU64,
    /// Something changed meanwhile.
    pub either: AtomicU64,
    pub by_proxy: AtomicU64,
}

pub struct Day {
    pub world: World,
    pub gateway: Gateway,
    pub servers: Arc<Authority>,
    pub office: Office,
    /// The policy of the first release.
    pub policy: PolicyText,
    pub log: Log,
    pub counts: Counts,
    credentials: RwLock<Vec<Arc<Credential>>>,
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
    keeper: Option<Keeper>,
    /// What commands and agents said.
    heard: Mutex<Vec<String>>,
    /// Secret parts of credentials that were shown.
    shown: Mutex<BTreeSet<String>>,
}

impl Day {
    pub fn new(world: World, gateway: Gateway, servers: Arc<Authority>, office: Office, policy: PolicyText) -> Self {
        let log = Log::new(world.path("records.jsonl"));
        Self {
            world,
            gateway,
            servers,
            office,
            policy,
            log,
            counts: Counts::default(),
            credentials: RwLock::default(),
            is_over: AtomicBool::new(false),
            failures: Mutex::default(),
            keeper: None,
            heard: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    /// What a command or an agent said, for the search in the evening.
    pub fn hears(&self, said: String) {
        self.heard.lock().unwrap().push(said);
    }

    /// Lets everybody work for so long, and then come to rest.
    pub fn goes_on(&mut self, length: Duration, rotators: &mut [Box<dyn Rotator>]) {
        let keeper = self.keeper.take().unwrap_or_else(|| Keeper::start(self));
        self.is_over.store(false, Ordering::SeqCst);
        let callers_end = AtomicBool::new(false);
        let until = Instant::now() + length;
        thread::scope(|scope| {
            let (day, end) = (&*self, &callers_end);
            for seed in 0..2 {
                scope.spawn(move || day.watched("a steady caller", || callers::call(day, end, seed, 60)));
                scope.spawn(move || day.watched("a caller that reconnects", || callers::call(day, end, seed + 10, 2)));
            }
            scope.spawn(|| day.watched("a program behind the proxy", || keeper.calls(day, end)));
            let turning = rotators.iter_mut().map(|rotator| scope.spawn(move || day.turns(rotator.as_mut(), until)));
            let turning: Vec<_> = turning.collect();
            turning.into_iter().for_each(|thread| drop(thread.join()));
            end.store(true, Ordering::SeqCst);
        });
        self.keeper = Some(keeper);
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} failures, first of all:\n{}", failures.len(), failures.join("\n"));
    }

    fn turns(&self, rotator: &mut dyn Rotator, until: Instant) {
        let name = rotator.name();
        self.watched(name, || {
            while Instant::now() < until && !self.is_over() {
                if let Err(why) = rotator.turn(self) {
                    return self.fails(format!("{name}: {why}"));
                }
                thread::sleep(rotator.pause());
            }
        });
    }

    /// A panic of one of them ends the day for all.
    fn watched(&self, name: &str, work: impl FnOnce()) {
        if let Err(why) = catch_unwind(AssertUnwindSafe(work)) {
            self.fails(format!("{name} stopped at a surprise: {}", said(why.as_ref())));
        }
    }

    pub fn fails(&self, mut why: String) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut failures = self.failures.lock().unwrap();
        if failures.len() < FAILURES_MAX {
            why.truncate(why.floor_char_boundary(FAILURE_BYTES_MAX));
            failures.push(why);
        }
    }

    /// Something failed.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Waits until it is so.
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            if Instant::now() > end {
                return Err(format!("waited {PATIENCE:?} in vain: {what}"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A turn that has one more line of outcome `taken` in the rotation log.
    pub fn takes(&self, of: &str, name: &str, change: impl FnOnce()) -> Result<(), String> {
        let before = self.log.taken(of, name);
        change();
        self.until(&format!("a new {of} {name} is taken"), || self.log.taken(of, name) > before)
    }

    /// Waits until it passes, and makes it known to callers.
    pub fn enters(&self, credential: &Arc<Credential>) -> Result<(), String> {
        self.until(&format!("{} passes", credential.name), || self.status(credential) == Some(200))?;
        credential.becomes(Phase::Good);
        self.keep(credential);
        Ok(())
    }

    /// Makes known one that is valid from the beginning, but not for long: callers know only that it ends.
    pub fn is_short(&self, credential: &Arc<Credential>) {
        self.keep(credential);
    }

    fn keep(&self, credential: &Arc<Credential>) {
        self.shown.lock().unwrap().extend(secrets::shown(&credential.request()));
        let mut all = self.credentials.write().unwrap();
        if !all.iter().any(|known| Arc::ptr_eq(known, credential)) {
            all.push(Arc::clone(credential));
        }
        let bad: Vec<usize> = (0..all.len()).filter(|at| all[*at].phase() == Phase::Bad).collect();
        bad.iter().take(bad.len().saturating_sub(BAD_MAX)).rev().for_each(|at| drop(all.remove(*at)));
    }

    /// Waits until it is refused; from then on no request with it passes.
    pub fn leaves(&self, credential: &Credential) -> Result<(), String> {
        self.until(&format!("{} is refused", credential.name), || self.status(credential) != Some(200))?;
        credential.becomes(Phase::Bad);
        Ok(())
    }

    /// One that never passes.
    pub fn never_enters(&self, credential: &Arc<Credential>) {
        credential.becomes(Phase::Bad);
        self.keep(credential);
    }

    /// All of a phase, and those on their way.
    pub fn credentials(&self, phase: Phase) -> Vec<Arc<Credential>> {
        let all = self.credentials.read().unwrap();
        all.iter().filter(|of| of.phase() == phase || of.phase() == Phase::Changing).cloned().collect()
    }

    /// Of the first TLS listener, or the one at a port of its own.
    pub fn address(&self, port: Option<u16>) -> SocketAddr {
        port.map_or_else(|| self.gateway.tls_address(), |port| ([127, 0, 0, 1], port).into())
    }

    pub fn connect(&self, credential: &Credential) -> Result<Client, String> {
        let connected = Client::connect_tls(self.address(credential.place.port), HOST, &credential.tls);
        connected.map(|client| client.with_timeout(PATIENCE)).map_err(|error| error.to_string())
    }

    /// Status of a request on a connection of its own; none where there is no answer.
    fn status(&self, credential: &Credential) -> Option<u16> {
        let mut client = self.connect(credential).ok()?;
        client.try_send(credential.request().as_bytes()).ok()?;
        Some(client.try_response_to("GET").ok()?.status)
    }

    /// An issuer that was asked about a token did not answer in time: what that was about is refused for a while.
    pub fn has_no_answer(&self) -> bool {
        let text = self.gateway.admin("/metrics").text();
        let failed =
            |line: &str| line.strip_prefix("adamant_introspections_total{outcome=\"failed\"} ")?.parse::<f64>().ok();
        text.lines().find_map(failed).is_some_and(|count| count > 0.0)
    }

    /// Everything is on record, whole, and was what the callers saw.
    pub fn ends(mut self, rotators: &[Box<dyn Rotator>]) {
        let renewed = self.keeper.take().expect("the day has begun").ends(&self);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (passed, by_proxy) = (count(&self.counts.passed), count(&self.counts.by_proxy));
        let (refused, either) = (count(&self.counts.refused), count(&self.counts.either));
        let resumed = self.gateway.metric("handshakes_resumed_total");
        for page in ["/metrics", "/release", "/last-use", "/readyz"] {
            self.hears(self.gateway.admin(page).text());
        }
        self.gateway.signal("TERM");
        assert!(self.gateway.wait(PATIENCE).is_some(), "it ends");
        for rotator in rotators {
            rotator.told().iter().for_each(|told| self.log.has(told));
            println!("{}: {:?}", rotator.name(), rotator.told());
        }
        println!("{passed} passed, {by_proxy} by proxy, {refused} refused, {either} while something changed");
        println!("{resumed} sessions resumed, {renewed} renewals by agent run");
        assert!(passed > 200 && by_proxy > 20 && refused > 20, "there was load");
        assert!(resumed > 20.0 && renewed >= 2, "there was movement");
        assert!(either < passed, "callers knew what must hold");
        self.log.is_continuous();
        let shown = gateway::run(&["audit", "show", "records.jsonl", "--rotations"], self.world.home()).1;
        self.log.is_shown(&shown);
        let verify = ["audit", "verify", "records.jsonl", "--node-key", "state/node.pub", "--checkpoints", "outside"];
        let (status, stdout, stderr) = gateway::run(&verify, self.world.home());
        assert!(status.success(), "{stdout}{stderr}");
        self.hears(shown + &stdout + &stderr + &self.gateway.stderr());
        self.nothing_is_told();
    }

    /// No secret of the day stands in what was said, or in a file that is not its owner's alone.
    fn nothing_is_told(&self) {
        let shown = self.shown.lock().unwrap();
        assert!(shown.len() > 10, "{} credentials were shown", shown.len());
        let known = secrets::known(self.world.home(), shown.iter().cloned());
        for said in self.heard.lock().unwrap().iter() {
            assert_eq!(known.found_in(said.as_bytes()), [""; 0], "{said}");
        }
        secrets::assert_kept(self.world.home(), &known);
    }
}
