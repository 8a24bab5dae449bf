//! Brings a gateway up. Everything that can be refused is refused before a socket is bound; workers come last.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activation::Activation;
use activation::activation::ReleaseFacts;
use activation::counters::Arena;
use activation::ring::{DurableMark, RecordWriter, rings};
use activation::stats::WorkerStats;
use arc_swap::ArcSwap;
use control::activate::Activator;
use control::assemble::{Assembled, Frozen, assemble};
use control::records::{self, Records, Target, WorkerRecords};
use control::status::{Facts, Phase, Status};
use control::watch::{self, Watch};
use control::{admin, clock, names};
use policy::model::{Audit, Keys, MinimumTransport};
use proxy::drain::Drain;
use proxy::settings::{Bounds, Settings};
use proxy::worker::{self, Seat};

use super::state::State;
use super::{Plan, VERSION, sockets};
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
    pub arena: Arc<Arena>,
    pub state: Option<State>,
    /// Address and whether it speaks TLS, by listener.
    pub listeners: Vec<(SocketAddr, bool)>,
    pub admin: Option<String>,
    pub print_addresses: Option<PathBuf>,
}

/// A worker's own end of its records.
type Writer = (RecordWriter, Arc<WorkerStats>, Arc<DurableMark>);

/// What a worker is made of before it has a seat.
struct Benches {
    writers: Vec<Writer>,
    records: Vec<WorkerRecords>,
}

/// Checks everything that can be checked without binding anything or starting a thread.
pub fn check(plan: &Plan) -> Result<Assembled, Failure> {
    proxy::probe::check_kernel(plan.settings.ring_entries).map_err(Failure::new)?;
    refuse_unsupported(plan)?;
    let release = &plan.release;
    let facts = ReleaseFacts {
        digest: release.digest.to_string(),
        policy_name: release.policy.name.clone(),
        version: release.version,
        expires_s: Some(release.expires.seconds()),
        signers: release.signers.iter().map(|signer| signer.owner.clone()).collect(),
    };
    let frozen = Frozen::new(release.policy.clone(), facts, *release.digest.as_bytes()).map_err(Failure::new)?;
    let assembled = assemble(frozen, &plan.node, clock::unix_s()).map_err(Failure::new)?;
    warn_of_useless_listeners(plan);
    warn_of_cores(&plan.cores);
    Ok(assembled)
}

/// Starts everything; returns when the workers accept.
pub fn start(mut plan: Plan) -> Result<Running, Failure> {
    let now_unix_ns = clock::unix_ns();
    let state = plan.state.as_deref().map(|directory| State::open(directory, now_unix_ns)).transpose()?;
    let mut assembled = check(&plan)?;
    prepare_process(&mut plan.settings, plan.cores.len());
    let round = resolve_names(&mut assembled)?;
    let arena = state.as_ref().map_or_else(|| Ok(Arena::new()), |state| state.counters(now_unix_ns))?;

    let admin = plan.admin.as_ref().map(admin::bind).transpose().map_err(Failure::new)?;
    let wanted: Vec<_> = plan.settings.listeners.iter().map(|listener| listener.address).collect();
    let bound = sockets::bind(&wanted, plan.cores.len())?;
    let tls = plan.settings.listeners.iter().map(|listener| listener.tls);
    let listeners: Vec<_> = bound.addresses.iter().copied().zip(tls).collect();

    let worker_cores: Vec<usize> = plan.cores.iter().copied().flatten().collect();
    let benches = Benches::new(&plan);
    let stats: Vec<_> = benches.writers.iter().map(|(_, stats, _)| Arc::clone(stats)).collect();
    let records = records::spawn(plan.records.clone(), benches.records, worker_cores.clone()).map_err(Failure::new)?;
    let handle = records.handle();
    tell_start(&handle, &plan, &assembled, &listeners);

    let parts = assembled.parts.clone();
    let activator =
        Activator::start(Arc::clone(&assembled.frozen), Arc::clone(&arena), handle.clone(), parts, now_unix_ns)
            .map_err(Failure::new)?;
    let swap = Arc::clone(activator.swap());
    let facts = Facts { version: VERSION, config_digest: plan.config_digest.clone(), started_unix_s: clock::unix_s() };
    let progress = Arc::clone(handle.progress());
    let status = Arc::new(Status::new(facts, stats, progress, Arc::clone(&swap), assembled.moving));
    watch::report_origins(&status, &assembled.planned, &round.found, &round.failures);
    let admin_address = admin.as_ref().map(admin::Bound::address);
    if let Some(admin) = admin {
        admin.serve(Arc::clone(&status), worker_cores.clone()).map_err(Failure::new)?;
    }

    let drain = Drain::new();
    let settings = Arc::new(plan.settings);
    let spawner = Spawner { swap, drain: Arc::clone(&drain), settings: Arc::clone(&settings) };
    let workers = spawner.spawn_all(&plan.cores, benches.writers, bound.of_workers)?;
    let watch = watch::spawn(watch::Start {
        activator,
        parts: assembled.parts,
        node: plan.node,
        planned: assembled.planned,
        addresses: round.found,
        tickets: assembled.tickets,
        listener_files: assembled.listener_files,
        status: Arc::clone(&status),
        records: handle,
        worker_cores,
    });
    let watch = watch.map_err(|error| Failure::new(format_args!("the control thread did not start: {error}")))?;
    status.enter(Phase::Serving);
    Ok(Running {
        workers,
        drain,
        drain_patience: Duration::from_millis(u64::from(settings.timeouts.drain_ms)),
        status,
        records,
        watch,
        arena,
        state,
        listeners,
        admin: admin_address,
        print_addresses: plan.print_addresses,
    })
}

/// What all workers share.
struct Spawner {
    swap: Arc<ArcSwap<Activation>>,
    drain: Arc<Drain>,
    settings: Arc<Settings>,
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
                activation: Arc::clone(&self.swap),
                records,
                stats,
                drain: Arc::clone(&self.drain),
                durable,
                random_seed: seed()?,
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

fn refuse_unsupported(plan: &Plan) -> Result<(), Failure> {
    for issuer in &plan.release.policy.issuers {
        if let Keys::Url { url, .. } = &issuer.keys {
            let message = format!("issuer \"{}\": keys by URL ({url}) are not in this version", issuer.name);
            return Err(Failure::new(message)
                .help("let a timer fetch the JWK Set into a file, and use keys = { watch = \"…\" }"));
        }
    }
    let durable = plan.release.policy.audit == Audit::Durable;
    if durable && plan.records == Target::Stdout && plan.state.is_some() {
        let message = "the policy's audit mode is durable, but records go to stdout, which cannot be made durable";
        return Err(Failure::new(message).help("name a file under [records] to"));
    }
    if durable && plan.records == Target::Stdout {
        control::warning!("audit mode durable with records on stdout: nothing is on stable storage here");
    }
    Ok(())
}

/// Listeners on which the policy's minimum transport refuses everything.
fn warn_of_useless_listeners(plan: &Plan) {
    use control::assemble::ClientCertificates::Off;
    for (listener, tls) in plan.settings.listeners.iter().zip(&plan.node.listeners) {
        let needed = match (plan.release.policy.transport, tls) {
            (MinimumTransport::Tls | MinimumTransport::Mtls, None) => "TLS",
            (MinimumTransport::Mtls, Some(files)) if files.client_certificates == Off => "client certificates",
            _ => continue,
        };
        control::warning!("the policy requires {needed}: every request on {} will be refused", listener.address);
    }
}

/// What speaks against the cores of the workers.
fn warn_of_cores(cores: &[Option<usize>]) {
    let workers: Vec<usize> = cores.iter().copied().flatten().collect();
    match tuning::Topology::read(Path::new(tuning::topology::SYSFS)) {
        Ok(topology) => topology.findings(&workers).iter().for_each(|finding| control::warning!("{finding}")),
        Err(error) => control::warning!("the processors' topology is not known: {error}"),
    }
}

fn prepare_process(settings: &mut Settings, workers: usize) {
    match sys::process::raise_descriptor_limit() {
        Ok(limit) => fit_descriptors(settings, usize::try_from(limit).unwrap_or(usize::MAX), workers),
        Err(error) => control::warning!("the limit of open descriptors could not be raised: {error}"),
    }
    if let Err(error) = sys::process::forbid_core_dumps() {
        control::warning!("core dumps could not be forbidden, they would hold secrets: {error}");
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
    records.event("start", |line| {
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

fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(format_args!("the system gives no randomness: {error}")))?;
    Ok(seed)
}
