//! From serving to the end: signals, saving state, draining.

use std::time::Duration;

use control::clock;
use control::obtain::Obtaining;
use control::status::Phase;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::follow::Following;
use super::{Running, addresses};
use crate::failure::Failure;

/// How often counters and time are saved, in ticks of one second.
const SAVE_TICKS: u64 = 1;
/// How long the audit writer may take to write what is left.
const RECORDS_PATIENCE: Duration = Duration::from_secs(5);

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// Serves until SIGTERM or SIGINT, then drains; a second signal cuts what still runs. SIGHUP reopens the record file and
/// reads certificates, keysets and the store again.
pub fn run_until_signal(running: Running) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(live(running))
}

async fn live(running: Running) -> Result<(), Failure> {
    let make = |kind| signal(kind).map_err(|error| Failure::new(format_args!("signals cannot be received: {error}")));
    let mut signals = Signals {
        terminate: make(SignalKind::terminate())?,
        interrupt: make(SignalKind::interrupt())?,
        hang_up: make(SignalKind::hangup())?,
    };
    // Whoever reads the addresses may send a signal at once: the handlers are there.
    addresses::tell(&running);
    if let Some(path) = &running.print_addresses {
        addresses::write(path, &running.listeners, &running.told_at)?;
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let outcome = serve(&running, &mut signals).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    drain(&running, &mut signals).await;
    let ended = end(running);
    outcome.and(ended)
}

/// Until a signal; an error when a worker ended by itself.
async fn serve(running: &Running, signals: &mut Signals) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u64;
    let mut save_failed = false;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => {
                control::info!("SIGHUP: the record file is reopened; certificates, keysets and the store are read again");
                running.records.handle().reopen();
                running.watch.reload();
                running.obtaining.iter().for_each(Obtaining::again);
                running.following.iter().for_each(Following::look);
            }
            _ = ticks.tick() => {
                count += 1;
                if running.workers.iter().any(proxy::worker::Handle::is_finished) {
                    return Err(Failure::new("a worker ended by itself, the gateway stops"));
                }
                if let Some(why) = running.status.failure() {
                    return Err(Failure::new(why));
                }
                if count.is_multiple_of(SAVE_TICKS) {
                    save(running, &mut save_failed);
                }
            }
        }
    }
}

/// Tells a failure once, until saving works again.
fn save(running: &Running, failed: &mut bool) {
    let Some(state) = &running.state else { return };
    match state.save(&running.arena, clock::unix_ns()) {
        Ok(()) => *failed = false,
        Err(failure) => {
            if !*failed {
                control::error!("counters are not saved, a restart would refill limits: {failure}");
            }
            *failed = true;
        }
    }
}

async fn drain(running: &Running, signals: &mut Signals) {
    running.status.enter(Phase::Draining);
    let patience = running.drain_patience;
    control::info!("draining for at most {} s; a second signal ends it at once", patience.as_secs());
    let patience_ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    running.drain.begin(clock::unix_ns().saturating_add(patience_ns));
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while !running.workers.iter().all(proxy::worker::Handle::is_finished) {
        tokio::select! {
            _ = looks.tick() => {}
            _ = signals.terminate.recv() => running.drain.begin(clock::unix_ns()),
            _ = signals.interrupt.recv() => running.drain.begin(clock::unix_ns()),
        }
    }
}

/// Everything that the workers left is written and saved.
fn end(running: Running) -> Result<(), Failure> {
    let mut failed = None;
    for worker in running.workers {
        if let Err(error) = worker.join() {
            failed = Some(Failure::new(error));
        }
    }
    // First what gives orders, then what takes them.
    running.following.into_iter().for_each(Following::stop);
    running.introspection.into_iter().for_each(control::introspection::Introspection::stop);
    running.guard.stop();
    running.obtaining.into_iter().for_each(Obtaining::stop);
    running.watch.stop();
    running.keeper.stop();
    if let Some(state) = &running.state
        && let Err(failure) = state.save(&running.arena, clock::unix_ns())
    {
        failed = Some(failure);
    }
    if let Err(error) = running.records.stop(RECORDS_PATIENCE) {
        failed = Some(Failure::new(error));
    }
    control::info!("stopped");
    failed.map_or(Ok(()), Err)
}
