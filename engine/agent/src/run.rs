//! `agent run`: renews what a profile holds before it ends, tells each refresh as one JSON line, runs the hooks. Renewals of
//! each kind, what follows the channel, and the hooks run beside each other: whoever is slow holds up nobody else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bounds::{HOOKS_MAX, STOP_S_MAX, STOP_TOLD_MS};
use crate::clock;
use crate::fault::Fault;
use crate::fresh::Writer;
use crate::hooks::Hook;
use crate::lines::Lines;
use crate::log::Chain;
use crate::metrics::{self, Metrics};
use crate::profile::{self, Profile};

mod channel;
mod follow;
mod line;
mod refresh;
mod renewal;
mod teller;
mod track;

use channel::Following;
use follow::What;
use line::{Line, Started, tell};
use refresh::{Outcome, Renewed};
use teller::Teller;
use track::{Kind, Order, RELEASE, Track};

/// How often a request that waits for its answer is looked at, milliseconds.
const WAITING_MS: u64 = 1_000;

/// What is run.
pub struct Settings {
    pub directory: PathBuf,
    /// Renew now and end.
    pub once: bool,
    pub hooks: Vec<Hook>,
    pub metrics: Option<SocketAddr>,
}

/// Where the lines of the log go.
type Log<'l> = &'l mut dyn FnMut(&str);

/// Renews until SIGTERM; SIGHUP renews at once. Holds the profile's lock meanwhile.
pub fn run(settings: &Settings, lines: &Lines) -> Result<(), Fault> {
    if settings.hooks.len() > HOOKS_MAX {
        return Err(Fault::new(format_args!("expected at most {HOOKS_MAX} hooks, found {}", settings.hooks.len())));
    }
    Profile::read(&settings.directory)?;
    let _held = profile::lock(&settings.directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(format_args!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let (mut chain, broken) = Chain::open(&settings.directory);
        let metrics = Arc::new(Metrics::new(lines.lost(), chain.unkept()));
        let served = match settings.metrics {
            Some(address) => Some(metrics::serve(address, Arc::clone(&metrics)).await?),
            None => None,
        };
        let mut log = |line: &str| {
            lines.say(chain.link(line));
            if let Some(fault) = chain.lost_its_place() {
                tell(&Line::of_log("unwritable", "goes-on", &fault), &mut |line| lines.say(chain.link(line)));
            }
        };
        let stop = Stop { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? };
        let order = on(SignalKind::hangup())?;
        let mut keeper = Keeper::new(settings, metrics, Arc::default());
        if let Some(fault) = broken {
            tell(&Line::of_log("unreadable", "begun-again", &fault), &mut log);
        }
        let ended = if settings.once {
            keeper.keep_once(stop, &mut log).await
        } else {
            keeper.started(served, &mut log)?;
            keeper.keep(stop, order, &mut log).await
        };
        let closed = keeper.close(&mut log).await;
        ended.and(closed)
    });
    // Not waited for: a renewal that hangs has had its time.
    runtime.shutdown_background();
    ended
}

fn on(kind: SignalKind) -> Result<Signal, Fault> {
    signal(kind).map_err(|error| Fault::new(format_args!("signals cannot be awaited: {error}")))
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

struct Keeper<'s> {
    settings: &'s Settings,
    metrics: Arc<Metrics>,
    writer: Arc<Writer>,
    certificate: Track,
    token: Track,
    /// Those that run, one of each kind at most.
    renewals: JoinSet<Renewed>,
    teller: Teller,
    /// What follows the channel.
    following: Following,
    /// A request is out and unanswered.
    waiting: bool,
    /// Once the end was asked for: until when what runs is waited for.
    stops_at: Option<Instant>,
}

impl<'s> Keeper<'s> {
    fn new(settings: &'s Settings, metrics: Arc<Metrics>, writer: Arc<Writer>) -> Self {
        let teller = Teller::new(&settings.hooks, settings.directory.clone());
        let (certificate, token) = (Track::default(), Track::default());
        let (renewals, following) = (JoinSet::new(), Following::default());
        let (waiting, stops_at) = (false, None);
        Self { settings, metrics, writer, certificate, token, renewals, teller, following, waiting, stops_at }
    }

    async fn keep(&mut self, mut stop: Stop, mut order: Signal, log: Log<'_>) -> Result<(), Fault> {
        self.following = self.follow()?;
        loop {
            for kind in Kind::ALL {
                if let Some(why) = self.why(kind)? {
                    self.begin(kind, why)?;
                }
            }
            for kind in Kind::ALL {
                self.warn(kind);
            }
            self.teller.go_on(log);
            let pause = self.certificate.pause().min(self.token.pause());
            let has_room = self.teller.has_room();
            tokio::select! {
                () = stop.asked() => return self.finish(log).await,
                _ = order.recv() => self.order(Order::now("order")),
                Some(renewed) = self.renewals.join_next(), if has_room => drop(self.ended(renewed)?),
                Some(()) = self.teller.hooked() => {}
                event = self.following.next(), if has_room => match event {
                    Some(event) => {
                        let renews = matches!(&event.what, What::Changed(change, ..) if change.renews);
                        self.followed(event);
                        if renews {
                            self.order(Order::now(RELEASE));
                        }
                    }
                    None => self.follow_again()?,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What runs when the end is asked for is finished, if that is soon: half of a renewal helps nobody.
    async fn finish(&mut self, log: Log<'_>) -> Result<(), Fault> {
        let until = Instant::now() + Duration::from_secs(STOP_S_MAX);
        self.stops_at = Some(until);
        let finishing = async {
            self.teller.go_on(log);
            while !(self.renewals.is_empty() && self.teller.rests()) && self.next().await? {
                self.teller.go_on(log);
            }
            Ok(())
        };
        timeout_at(until, finishing).await.unwrap_or(Ok(()))
    }

    /// From here on nothing is put in use any more, though threads may still be at work. What is being written is whole first, and
    /// what was put in use is told.
    async fn close(&mut self, log: Log<'_>) -> Result<(), Fault> {
        std::mem::forget(self.writer.lock());
        let telling = async {
            while self.next().await? {}
            Ok(())
        };
        let told = timeout(Duration::from_millis(STOP_TOLD_MS), telling).await.unwrap_or(Ok(()));
        if let Some(until) = self.stops_at {
            let _ = timeout_at(until, self.teller.rest(log)).await;
        }
        self.teller.end(log).await;
        told
    }

    /// Takes the next thing that comes of what runs; whether anything does.
    async fn next(&mut self) -> Result<bool, Fault> {
        let follows = self.following.is_on();
        tokio::select! {
            Some(renewed) = self.renewals.join_next() => drop(self.ended(renewed)?),
            Some(event) = self.following.next(), if follows => drop(self.followed(event)),
            Some(()) = self.teller.hooked() => {}
            else => return Ok(false),
        }
        Ok(true)
    }

    /// Looks at the channel, renews the certificate, then the token; what fails first ends it.
    async fn keep_once(&mut self, mut stop: Stop, log: Log<'_>) -> Result<(), Fault> {
        let deadline = async {
            stop.asked().await;
            tokio::time::sleep(Duration::from_secs(STOP_S_MAX)).await;
        };
        tokio::select! {
            biased;
            ended = self.each_once(log) => ended,
            () = deadline => Ok(()),
        }
    }

    async fn each_once(&mut self, log: Log<'_>) -> Result<(), Fault> {
        let unfollowed = self.look().await?;
        self.teller.rest(log).await;
        self.order(Order::now("order"));
        for kind in Kind::ALL {
            let Some(why) = self.why(kind)? else { continue };
            self.begin(kind, why)?;
            let Some(renewed) = self.renewals.join_next().await else { continue };
            let outcome = self.ended(renewed)?;
            self.teller.rest(log).await;
            match outcome {
                Outcome::Done => {}
                Outcome::Waiting => return Err(waiting_is_no_end()),
                Outcome::Failed(fault) => return Err(fault),
            }
        }
        unfollowed.map_or(Ok(()), Err)?;
        self.teller.hooks()
    }

    /// Says what is done from now on.
    fn started(&mut self, metrics: Option<SocketAddr>, log: Log<'_>) -> Result<(), Fault> {
        let profile = Profile::read(&self.settings.directory)?;
        let mut line = Started::new(&self.settings.directory, &profile, metrics);
        for kind in Kind::ALL {
            let now_s = self.reason(kind)?.map(|_| clock::now_s());
            let planned = self.track(kind).planned.as_ref().map(|(in_use, due_s)| (in_use.ends_s, *due_s));
            line.plan(kind, planned.map(|(ends_s, _)| ends_s), now_s.or(planned.map(|(_, due_s)| due_s)));
        }
        tell(&line, log);
        Ok(())
    }

    const fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Certificate => &mut self.certificate,
            Kind::Token => &mut self.token,
        }
    }

    /// Has both renewed. What a release asks for takes the place of no other order.
    fn order(&mut self, order: Order) {
        for kind in Kind::ALL {
            let ordered = &mut self.track(kind).ordered;
            if order.why != RELEASE || ordered.is_none() {
                *ordered = Some(order);
            }
        }
    }
}

fn waiting_is_no_end() -> Fault {
    Fault::new("the request waits for its answer").help("have it signed, then run this again; or run without --once")
}
