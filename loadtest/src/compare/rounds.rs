//! Slices in turns: the method of every comparison.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::goals::SEED;
use super::world::World;
use crate::failure::Failure;
use crate::load::{Load, Loop, Plan, Request, Requests, Reuse, Slice};
use crate::measure;
use crate::results::Row;
use crate::statistics::{Estimate, Figure, Sample, Series};
use crate::target::{Running, Target, Work};

/// What still runs when a slice has ended is put to its account.
const SETTLE: Duration = Duration::from_millis(4);

/// How to measure.
#[derive(Clone, Copy)]
pub struct How {
    /// Times that all targets are started anew.
    pub starts: u32,
    /// Rounds of each start, after one that warms up.
    pub rounds: u32,
    pub slice: Duration,
    pub loop_: Loop,
    pub reuse: Reuse,
    pub connections: usize,
    pub origin: SocketAddr,
    /// Every request has a token that was never seen.
    pub new_tokens: bool,
    /// Keep latencies over time.
    pub over_time: bool,
    /// What a row says of it.
    pub figures: &'static [Figure],
}

/// All slices of one target at one work.
pub struct Measured {
    pub target: String,
    pub work: Work,
    pub series: Series,
    /// Why it is not compared.
    pub unranked: Option<String>,
    pub over_time: Vec<Histogram<u64>>,
    has_process: bool,
    has_workers: bool,
    figures: &'static [Figure],
    /// Key-exchange group that was agreed on.
    pub group: Option<String>,
}

/// On-CPU time, nanoseconds.
#[derive(Clone, Copy)]
struct Cpu {
    all: u64,
    /// Of the threads that answer requests, where they are told from others.
    workers: Option<u64>,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        let all = self.all.saturating_sub(before.all);
        // The workers' account is read a moment before that of all, so it cannot be larger; a slice is no less for it.
        let workers = self.workers.zip(before.workers).map(|(now, before)| now.saturating_sub(before).min(all));
        Self { all, workers }
    }
}

struct Contestant {
    running: Running,
    load: Load,
    pids: Vec<u32>,
    wanted: u64,
}

impl How {
    /// Closed loop over kept connections.
    pub fn usual(world: &World<'_>) -> Self {
        let quick = world.options.quick;
        Self {
            starts: if quick { 1 } else { 5 },
            rounds: if quick { 5 } else { 20 },
            slice: Duration::from_millis(if quick { 60 } else { 250 }),
            loop_: Loop::Closed,
            reuse: Reuse::KeepAlive,
            connections: world.options.connections,
            origin: world.origin,
            new_tokens: false,
            over_time: false,
            figures: &Figure::USUAL,
        }
    }
}

/// Lets all of them take turns. One that fails is left out from then on and not compared; a run that is ended gives
/// what it has.
pub fn rounds(
    world: &World<'_>,
    what: &str,
    contestants: &[(&Target, Work)],
    how: &How,
) -> Result<Vec<Measured>, Failure> {
    let mut measured: Vec<Measured> =
        contestants.iter().map(|(target, work)| Measured::new(&target.name, *work, how.figures)).collect();
    let steps = u64::from(how.starts) * u64::from(how.rounds + 1) * contestants.len() as u64;
    world.progress.begin(what, steps);
    for start in 0..how.starts {
        if world.stop.is_asked() {
            break;
        }
        let mut running: Vec<Option<Contestant>> = Vec::new();
        for ((target, work), measured) in contestants.iter().zip(&mut measured) {
            running.push(match measured.unranked {
                Some(_) => None,
                None => Contestant::start(world, target, *work, how)
                    .map_err(|failure| measured.unranked = Some(failure.to_string()))
                    .ok(),
            });
        }
        for round in 0..=how.rounds {
            if world.stop.is_asked() {
                break;
            }
            turn(world, &mut running, &mut measured, how, (start, round))?;
        }
    }
    world.progress.end();
    Ok(measured)
}

/// One slice of each. Who goes first changes from round to round, so that a drift of the machine favours nobody.
fn turn(
    world: &World<'_>,
    running: &mut [Option<Contestant>],
    measured: &mut [Measured],
    how: &How,
    (start, round): (u32, u32),
) -> Result<(), Failure> {
    let count = running.len();
    let reference = world.reference();
    for place in 0..count {
        if world.stop.is_asked() {
            return Ok(());
        }
        let at = (place + round as usize) % count.max(1);
        let (Some(slot), Some(measured)) = (running.get_mut(at), measured.get_mut(at)) else { continue };
        let Some(contestant) = slot else { continue };
        world.progress.step(&format!("{} {}", measured.target, measured.work.name()));
        match contestant.slice(world, how) {
            Ok((cpu, slice)) => {
                if let Some(why) = fault_of(&slice, how) {
                    measured.unranked = Some(why);
                    *slot = None;
                } else if round > 0 {
                    measured.push(start, round - 1, cpu, &slice, reference);
                }
            }
            Err(failure) => {
                measured.unranked = Some(failure.to_string());
                *slot = None;
            }
        }
    }
    Ok(())
}

/// Why a slice does not count; a late answer of an open loop is no fault, only slow.
fn fault_of(slice: &Slice, how: &How) -> Option<String> {
    if slice.refused > 0 {
        let told: Vec<String> =
            slice.refused_by_status.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        return Some(format!("under load, {} of {} answers were {}", slice.refused, slice.requests, told.join(", ")));
    }
    if slice.errors.total() > 0 {
        return Some(format!("under load, {} requests got no answer ({:?})", slice.errors.total(), slice.errors));
    }
    (slice.requests == 0 && matches!(how.loop_, Loop::Closed)).then(|| "it answered nothing under load".to_owned())
}

impl Contestant {
    fn start(world: &World<'_>, target: &Target, work: Work, how: &How) -> Result<Self, Failure> {
        let running = target.start(&world.context(how.origin), work)?;
        let wire = running.wire();
        let request = Request::get(&wire, &world.fields(work, 0)?);
        let plan = Plan {
            loop_: how.loop_,
            reuse: how.reuse,
            tls: world.tls(work),
            cores: vec![world.options.load_core],
            over_time: how.over_time,
            ..Plan::new(wire, how.connections, Requests::one(request))
        };
        let load = Load::connect(plan)?;
        let pids = running.pids();
        Ok(Self { running, load, pids, wanted: 3_000 })
    }

    fn slice(&mut self, world: &World<'_>, how: &How) -> Result<(Cpu, Slice), Failure> {
        if how.new_tokens {
            self.renew(world)?;
        }
        let before = self.cpu()?;
        let slice = self.load.run(how.slice)?;
        thread::sleep(SETTLE);
        let cpu = self.cpu()?.since(before);
        self.wanted = self.wanted.max(slice.requests * 2);
        Ok((cpu, slice))
    }

    fn cpu(&self) -> Result<Cpu, Failure> {
        let of = |names: &str| self.pids.iter().map(|pid| measure::cpu_ns_of_threads(*pid, names)).sum();
        let workers = self.running.worker_threads().map(of).transpose()?;
        Ok(Cpu { all: measure::cpu_ns_of(&self.pids)?, workers })
    }

    /// Prepares a new token for every request of the next slice.
    fn renew(&mut self, world: &World<'_>) -> Result<(), Failure> {
        let wire = self.running.wire();
        let requests = (0..self.wanted)
            .map(|_| Ok(Request::get(&wire, &world.fields(self.running.work(), world.number())?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        self.load.set_requests(Requests::once(requests))
    }
}

impl Measured {
    fn new(target: &str, work: Work, figures: &'static [Figure]) -> Self {
        Self {
            target: target.to_owned(),
            work,
            series: Series::default(),
            unranked: None,
            over_time: Vec::new(),
            has_process: false,
            has_workers: false,
            figures,
            group: None,
        }
    }

    fn push(&mut self, start: u32, round: u32, cpu: Cpu, slice: &Slice, reference: Option<f64>) {
        let sample = Sample::of(cpu.all, slice).with_worker(cpu.workers).with_reference(reference);
        self.has_process |= cpu.all > 0;
        self.has_workers |= cpu.workers.is_some();
        self.series.push(start, round, sample);
        self.over_time.extend(slice.over_time.iter().flatten().cloned());
        self.group = slice.tls.group.clone().or_else(|| self.group.take());
    }

    /// As it stands in results.
    pub fn row(&self) -> Row {
        let row = Row::new(&self.target, self.work.name(), self.work.transport().name());
        if self.series.is_empty() {
            return Row { unranked: self.unranked.clone().or_else(|| Some("it was not measured".into())), ..row };
        }
        // Where nothing was started there is no CPU to speak of.
        let cpu = |figure: &&Figure| self.has_process || !matches!(figure, Figure::CpuUs | Figure::CpuNsPerByte);
        let mut figures: Vec<Figure> = self.figures.iter().filter(cpu).copied().collect();
        if self.has_workers && figures.contains(&Figure::CpuUs) {
            figures.extend([Figure::WorkerUs, Figure::OthersUs]);
        }
        let mut row = row.with_series(&self.series, &figures, SEED);
        row.unranked.clone_from(&self.unranked);
        row
    }

    /// A figure, with its interval.
    pub fn estimate(&self, figure: Figure) -> Estimate {
        self.series.estimate(figure, SEED)
    }
}
