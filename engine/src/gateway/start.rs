//! Brings a gateway up. Everything that can be refused is refused before a socket is bound; workers come last.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activation::Activation;
use activation::counters::Arena;
use activation::inquiries::Inquiries;
use activation::ring::{DurableMark, RecordWriter, rings};
use activation::stats::WorkerStats;
use arc_swap::ArcSwap;
use control::activate::Activator;
use control::assemble::{Assembled, Node};
use control::at_rest::AtRest;
use control::introspection::{self, Introspection};
use control::last_use::{self, Keeper};
use control::node::NodeKey;
use control::obtain::{self, Obtaining};
use control::per_node::PerNode;
use control::records::{self, Records, Target, WorkerRecords};
use control::status::{Facts, Phase, Status};
use control::watch::{self, Watch};
use control::{clock, memory, names};
use proxy::bound::Dpop;
use proxy::drain::Drain;
use proxy::settings::{Bounds, Settings};
use proxy::worker::{self, Seat};

use super::accepted::Memory;
use super::decide::decide;
use super::follow::{Following, Hands};
use super::sealed::Copies;
use super::state::State;
use super::tellers::{Tellers, ToldAt};
use super::{Plan, VERSION, cores, sockets};
use crate::failure::Failure;

/// Descriptors for everything but connections: rings, listeners, records, state, the admin listener.
const DESCRIPTORS_RESERVED: usize = 128;
/// Connections of a worker, however few descriptors there are.
const CONNECTIONS_MIN: usize = 8;

/// A gateway that serves.
pub struct Running {
    pub workers: Vec<worker::Handle>,
    pub drain: Arc<Drain>,
    pub drain_patience: Duration,
    pub status: Arc<Status>,
    pub records: Records,
    pub watch: Watch,
    /// None: no issuer gives certificates.
    pub obtaining: Option<Obtaining>,
    /// None: nothing is followed.
    pub following: Option<Following>,
    pub guard: memory::Guard,
    /// Of what workers note of uses.
    pub keeper: Keeper,
    /// None where the node has no client to ask issuers as.
    pub introspection: Option<Introspection>,
    pub arena: Arc<Arena>,
    pub state: Option<State>,
    /// Address and whether it speaks TLS, by listener.
    pub listeners: Vec<(SocketAddr, bool)>,
    pub told_at: ToldAt,
    pub print_addresses: Option<PathBuf>,
}

/// A worker's own end of its records.
type Writer = (RecordWriter, Arc<WorkerStats>, Arc<DurableMark>);

/// What a worker is made of before it has a seat.
struct Benches {
    writers: Vec<Writer>,
    records: Vec<WorkerRecords>,
}

/// Starts everything; returns when the workers accept.
pub fn start(mut plan: Plan) -> Result<Running, Failure> {
    let now_unix_ns = clock::unix_ns();
    let named = plan.certificates().flat_map(|of| [of.chain.clone(), of.key.clone()]).collect();
    let state = plan.state.as_deref().map(|directory| State::open(directory, plan.node.at_rest.clone(), now_unix_ns));
    let state = state.transpose()?;
    let node = node_key(plan.state.as_deref(), &plan.node.at_rest)?;
    state.iter().try_for_each(State::take_over)?;
    let memory = state.as_ref().map(|state| Memory::new(state.directory()));
    memory.iter().for_each(Memory::sweep);
    let acceptance_now_ns = state.as_ref().map_or(now_unix_ns, |state| state.now_unix_ns);
    let told = obtain::first(&plan.obtained).map_err(|fault| Failure::new(&fault).help(fault.help()))?;
    let (mut assembled, mut choice) = decide(&plan, memory, acceptance_now_ns)?;
    obtain::tell_awaited(&plan.obtained);
    prepare_process(&mut plan.settings, plan.cores.len());
    let round = resolve_names(&mut assembled)?;
    let arena = state.as_ref().map_or_else(|| Ok(Arena::new()), |state| state.counters(now_unix_ns))?;

    let tellers = Tellers::bind(&plan)?;
    let wanted: Vec<_> = plan.settings.listeners.iter().map(|listener| listener.address).collect();
    let bound = sockets::bind(&wanted, plan.cores.len())?;
    let tls = plan.settings.listeners.iter().map(|listener| listener.tls);
    let listeners: Vec<_> = bound.addresses.iter().copied().zip(tls).collect();

    let worker_cores: Vec<usize> = plan.cores.iter().copied().flatten().collect();
    // Not before: what is said of the machine would stand before why nothing is served on it.
    cores::tell_drifts(&worker_cores);
    let worker_cores = cores::avoided(&worker_cores);
    let benches = Benches::new(&plan);
    let stats: Vec<_> = benches.writers.iter().map(|(_, stats, _)| Arc::clone(stats)).collect();
    let sealing = records::Sealing {
        key: Arc::clone(&node),
        interval: plan.checkpoint_interval,
        places: plan.checkpoints.clone(),
        state: plan.state.clone(),
        recipients: plan.record_recipients.clone(),
    };
    let spawned = records::spawn(plan.records.clone(), benches.records, worker_cores.clone(), &sealing);
    let records = spawned.map_err(Failure::new)?;
    let handle = records.handle();
    tell_start(&handle, &plan, &assembled, &listeners);
    if let Some(choice) = &mut choice {
        choice.settle(&handle, &mut assembled.moving)?;
    }

    let parts = assembled.parts.clone();
    let activator =
        Activator::start(Arc::clone(&assembled.frozen), Arc::clone(&arena), handle.clone(), parts, now_unix_ns)
            .map_err(Failure::new)?;
    let (revocations, key_sets) = (activator.revocations().clone(), activator.key_sets().clone());
    let uses = activator.uses().clone();
    if let Some(choice) = &choice {
        let registers = (&revocations, &key_sets);
        choice.begin(registers, &handle, &assembled.frozen.policy, &mut assembled.moving);
    }
    let (swaps, tables) = (activator.swaps().clone(), activator.tables().clone());
    let facts = Facts {
        version: VERSION,
        config_digest: plan.config_digest.clone(),
        started_unix_s: clock::unix_s(),
        node: Arc::clone(&node),
    };
    let progress = Arc::clone(handle.progress());
    let status = Arc::new(Status::new(facts, stats, progress, Arc::clone(&swaps.first), assembled.moving));
    watch::report_origins(&status, &assembled.planned, &round.found, &round.failures);
    let keeper = last_use::spawn(last_use::Start {
        uses: uses.clone(),
        status: Arc::clone(&status),
        state: plan.state.clone(),
        at_rest: plan.node.at_rest.clone(),
        worker_cores: worker_cores.clone(),
    });
    let keeper = keeper.map_err(|error| Failure::new(format_args!("the keeper of uses did not start: {error}")))?;
    let told_at = tellers.serve(&status, &handle, &worker_cores)?;

    let desk = introspection::Desk::default();
    let inquiries = Arc::clone(&desk.inquiries);
    let introspection = introspect(desk, &plan.node, &status, &handle, &worker_cores)?;

    let drain = Drain::new();
    let settings = Arc::new(plan.settings);
    let copies = Copies::plan(&plan.cores, plan.hot);
    let placement = copies.placement.clone();
    let spawner = Spawner {
        swaps,
        copies,
        drain: Arc::clone(&drain),
        settings: Arc::clone(&settings),
        dpop: dpop(&settings)?,
        inquiries,
        uses,
    };
    let workers = spawner.spawn_all(&plan.cores, benches.writers, bound.of_workers)?;
    let watch = watch::spawn(watch::Start {
        activator,
        parts: assembled.parts,
        node: plan.node,
        material: assembled.material,
        planned: assembled.planned,
        addresses: round.found,
        tickets: assembled.tickets,
        server_certificates: assembled.server_certificates,
        assertion_keys: assembled.assertion_keys,
        placement,
        durable_records: plan.records != Target::Stdout || plan.state.is_none(),
        status: Arc::clone(&status),
        records: handle.clone(),
        worker_cores: worker_cores.clone(),
    });
    let watch = watch.map_err(|error| Failure::new(format_args!("the control thread did not start: {error}")))?;
    let obtaining = obtain::spawn(obtain::Start {
        wanted: plan.obtained,
        named,
        told,
        state: plan.state.unwrap_or_default(),
        status: Arc::clone(&status),
        records: handle.clone(),
        watch: watch.handle(),
        worker_cores: worker_cores.clone(),
    });
    let obtaining =
        obtaining.map_err(|error| Failure::new(format_args!("the thread of certificates did not start: {error}")))?;
    let hands = Hands {
        revocations,
        key_sets,
        watch: watch.handle(),
        status: Arc::clone(&status),
        records: handle.clone(),
        worker_cores: worker_cores.clone(),
    };
    let following = choice.map_or(Ok(None), |choice| Following::spawn(choice, &assembled.frozen, hands));
    let following = following.map_err(|error| Failure::new(format_args!("the store thread did not start: {error}")))?;
    let guard = memory::spawn(memory::Start {
        tables,
        status: Arc::clone(&status),
        records: handle,
        watch: watch.handle(),
        worker_cores,
    });
    let guard = guard.map_err(|error| Failure::new(format_args!("the guard of memory did not start: {error}")))?;
    status.enter(Phase::Serving);
    Ok(Running {
        workers,
        drain,
        drain_patience: Duration::from_millis(u64::from(settings.timeouts.drain_ms)),
        status,
        records,
        watch,
        obtaining,
        following,
        guard,
        keeper,
        introspection,
        arena,
        state,
        listeners,
        told_at,
        print_addresses: plan.print_addresses,
    })
}

/// The key of the state directory, which the caller holds; without one, a key that goes with the process.
fn node_key(state: Option<&Path>, at_rest: &AtRest) -> Result<Arc<NodeKey>, Failure> {
    let key = state.map_or_else(NodeKey::ephemeral, |state| NodeKey::load_or_make(state, at_rest));
    Ok(Arc::new(key.map_err(Failure::new)?))
}

/// What all workers share.
struct Spawner {
    swaps: PerNode<Arc<ArcSwap<Activation>>>,
    copies: Copies,
    drain: Arc<Drain>,
    settings: Arc<Settings>,
    dpop: Arc<Dpop>,
    inquiries: Arc<Inquiries>,
    uses: last_use::Register,
}

impl Spawner {
    fn spawn_all(
        &self,
        cores: &[Option<usize>],
        writers: Vec<Writer>,
        listeners: Vec<Vec<TcpListener>>,
    ) -> Result<Vec<worker::Handle>, Failure> {
        let mut workers = Vec::new();
        for (index, ((core, writer), listeners)) in cores.iter().zip(writers).zip(listeners).enumerate() {
            let (records, stats, durable) = writer;
            let seat = Seat {
                index,
                core: *core,
                listeners,
                activation: Arc::clone(self.swaps.get(self.copies.of_worker(*core))),
                records,
                stats,
                certificates: self.uses.certificates_of(index),
                drain: Arc::clone(&self.drain),
                durable,
                random_seed: seed()?,
                dpop: Arc::clone(&self.dpop),
                inquiries: Arc::clone(&self.inquiries),
            };
            workers.push(worker::spawn(seat, Arc::clone(&self.settings)).map_err(Failure::new)?);
        }
        Ok(workers)
    }
}

impl Benches {
    fn new(plan: &Plan) -> Self {
        let mut benches = Self { writers: Vec::new(), records: Vec::new() };
        for core in &plan.cores {
            let stats = Arc::new(WorkerStats::new(core.unwrap_or_default()));
            let durable = Arc::new(DurableMark::default());
            let (writer, reader) = rings(plan.record_ring_bytes, plan.denial_ring_bytes, Arc::clone(&stats));
            benches.records.push(WorkerRecords { reader, stats: Arc::clone(&stats), durable: Arc::clone(&durable) });
            benches.writers.push((writer, stats, durable));
        }
        benches
    }
}

fn prepare_process(settings: &mut Settings, workers: usize) {
    match sys::process::raise_descriptor_limit() {
        Ok(limit) => fit_descriptors(settings, usize::try_from(limit).unwrap_or(usize::MAX), workers),
        Err(error) => control::warning!("the limit of open descriptors could not be raised: {error}"),
    }
}

/// Lowers the bound of connections to what the descriptors are enough for: each may need another one to its origin, and
/// records, state and the admin listener must never go without.
fn fit_descriptors(settings: &mut Settings, limit: usize, workers: usize) {
    let fitting = (limit.saturating_sub(DESCRIPTORS_RESERVED) / 2 / workers.max(1)).max(CONNECTIONS_MIN);
    let wanted = settings.bounds.connections_max;
    if fitting < wanted {
        settings.bounds.connections_max = fitting;
        let told =
            format!("at most {fitting} connections a worker: only {limit} descriptors may be open (LimitNOFILE)");
        if wanted == Bounds::default().connections_max {
            control::info!("{told}");
        } else {
            control::warning!("{told}, {wanted} were configured");
        }
    }
}

/// Names of origins, before anybody asks for them.
fn resolve_names(assembled: &mut Assembled) -> Result<names::Round, Failure> {
    if assembled.planned.iter().all(|planned| planned.names().next().is_none()) {
        return Ok(names::Round::default());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    let round = runtime.block_on(names::resolve(&assembled.planned));
    runtime.shutdown_background();
    for (name, why) in &round.failures {
        control::warning!("the origin name {name} does not resolve yet: {why}");
    }
    for (planned, slot) in assembled.planned.iter().zip(&mut assembled.parts.origins) {
        *slot = Arc::new(planned.resolved(|name| round.found.get(name).cloned().unwrap_or_default()));
    }
    Ok(round)
}

fn tell_start(records: &records::Handle, plan: &Plan, assembled: &Assembled, listeners: &[(SocketAddr, bool)]) {
    let facts = &assembled.frozen.facts;
    records.start(|line| {
        line.text("service.version", VERSION.as_bytes());
        line.number("process.pid", u64::from(std::process::id()));
        line.text("adamant.release", facts.digest.as_bytes());
        line.text("adamant.policy", facts.policy_name.as_bytes());
        line.number("adamant.release.version", facts.version);
        line.text("adamant.table_sha256", assembled.frozen.table_sha256.as_bytes());
        line.text("adamant.config", plan.config_digest.as_bytes());
        line.number("adamant.workers", plan.cores.len() as u64);
        let shown: Vec<String> = listeners.iter().map(|(address, _)| address.to_string()).collect();
        line.text("adamant.listeners", shown.join(" ").as_bytes());
    });
    let (name, version) = (&facts.policy_name, facts.version);
    control::info!("policy \"{name}\" version {version}, release {}", facts.digest);
}

/// Where the node has a client to ask as: a release that asks without one is refused.
fn introspect(
    desk: introspection::Desk,
    node: &Node,
    status: &Status,
    records: &records::Handle,
    worker_cores: &[usize],
) -> Result<Option<Introspection>, Failure> {
    if node.introspection_clients.is_empty() {
        return Ok(None);
    }
    let _ = status.inquiries.set(Arc::clone(&desk.inquiries));
    let spawned = introspection::spawn(desk, &node.introspection_clients, records.clone(), worker_cores.to_vec());
    let failed = |error| Failure::new(format_args!("the introspection thread did not start: {error}"));
    spawned.map(Some).map_err(failed)
}

/// What the workers know of DPoP together; gone with the process, as the proofs that it remembers are soon too old.
fn dpop(settings: &Settings) -> Result<Arc<Dpop>, Failure> {
    let (seed, nonce_key) = (seed()?, seed()?);
    let words = seed.as_chunks::<8>().0;
    let word = |index: usize| words.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let seed = [word(0), word(1), word(2), word(3)];
    Ok(Arc::new(Dpop::new(settings.bounds.dpop_proofs_max, settings.dpop_nonce, seed, &nonce_key)))
}

fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(format_args!("the system gives no randomness: {error}")))?;
    Ok(seed)
}
