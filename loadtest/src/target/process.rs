//! A target at work: its processes, from start to end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustix::process::{Pid, Signal, kill_process_group};

use super::file::Target;
use super::material::{HOST, Material, PATH, write};
use super::obtain::Place;
use super::template::{Template, Values};
use super::{Fault, Work};
use crate::{measure, wire};

/// A limit that probes reach, requests a second.
pub const LIMIT_SMALL: u32 = 20;
/// A limit that no load reaches, requests a second.
pub const LIMIT_NONE: u32 = 100_000_000;
/// Connections that a target is told to be ready for, where this process may open so many.
const CONNECTIONS_MAX: u64 = 8_000;
/// Where targets listen.
const PORTS: std::ops::RangeInclusive<u16> = 10_000..=32_000;
const PORTS_TRIED: usize = 50;
/// Somebody may take the port between the choice and the bind.
const STARTS_TRIED: usize = 3;
const POLL: Duration = Duration::from_millis(10);
const SAID_BYTES_MAX: usize = 2_000;

/// What a target needs to know of the world around it.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    pub place: &'c Place,
    pub material: &'c Material,
    pub origin: SocketAddr,
    /// Core of all its threads.
    pub core: usize,
    /// Requests a second.
    pub limit: u32,
}

/// A target that serves; dropping it kills all its processes.
pub struct Running {
    child: Option<Child>,
    pub address: SocketAddr,
    work: Work,
    worker_threads: Option<String>,
    _directory: tempfile::TempDir,
}

/// Everything that a start needs, in plain text.
pub(super) struct Rendered {
    pub files: Vec<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    values: Values,
}

impl Target {
    /// Starts it and waits until it listens.
    pub fn start(&self, context: &Context<'_>, work: Work) -> Result<Running, Fault> {
        let mut tried = 1;
        loop {
            match self.start_once(context, work) {
                Err(Fault::Ended { .. }) if tried < STARTS_TRIED => tried += 1,
                outcome => return outcome,
            }
        }
    }

    fn start_once(&self, context: &Context<'_>, work: Work) -> Result<Running, Fault> {
        self.does(work)?;
        let directory =
            tempfile::Builder::new().prefix("loadtest-").tempdir().map_err(Fault::io("a folder for a target"))?;
        let Some(program) = &self.program else {
            let address = context.origin;
            return Ok(Running { child: None, address, work, worker_threads: None, _directory: directory });
        };
        let address = free_address()?;
        let rendered = self.render(context, work, address, directory.path())?;
        for (name, text) in &rendered.files {
            write(&directory.path().join(name), text)?;
        }
        let mut command = quitting(&program.render(&rendered.values)?);
        command.args(&rendered.arguments).envs(rendered.environment);
        let said = directory.path().join("said");
        let log = File::create(&said).map_err(Fault::io(said.display().to_string()))?;
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let spawned = measure::on_core(context.core, || {
            command.spawn().map_err(crate::failure::Failure::io(format!("starting {}", self.name)))
        });
        let child = spawned.map_err(|failure| Fault::NotAvailable(failure.to_string()))?;
        let worker_threads = self.worker_threads.clone();
        let mut running = Running { child: Some(child), address, work, worker_threads, _directory: directory };
        self.wait(&mut running, &said)?;
        Ok(running)
    }

    /// Replaces every placeholder of what belongs to this work.
    pub(super) fn render(
        &self,
        context: &Context<'_>,
        work: Work,
        listen: SocketAddr,
        directory: &Path,
    ) -> Result<Rendered, Fault> {
        let does = self.does(work)?;
        let mut values = context.place.values();
        values.extend(context.material.values());
        let config = does.files.first().map_or("none", |(name, _)| name.as_str());
        for (name, value) in [
            ("listen", listen.to_string()),
            ("listen_host", listen.ip().to_string()),
            ("listen_port", listen.port().to_string()),
            ("origin", context.origin.to_string()),
            ("origin_host", context.origin.ip().to_string()),
            ("origin_port", context.origin.port().to_string()),
            ("directory", directory.display().to_string()),
            ("core", context.core.to_string()),
            ("connections", connections().to_string()),
            ("limit", context.limit.to_string()),
            ("config", directory.join(config).display().to_string()),
        ] {
            values.insert(name.to_owned(), value);
        }
        for (name, value) in &does.values {
            let value = value.render(&values)?;
            values.insert(name.clone(), value);
        }
        let named = |all: &[(String, Template)]| {
            all.iter().map(|(name, text)| Ok((name.clone(), text.render(&values)?))).collect::<Result<Vec<_>, Fault>>()
        };
        let (files, environment) = (named(&does.files)?, named(&self.environment)?);
        let arguments =
            self.start.iter().chain(&does.arguments).map(|text| text.render(&values)).collect::<Result<_, _>>()?;
        Ok(Rendered { files, arguments, environment, values })
    }

    fn wait(&self, running: &mut Running, said: &Path) -> Result<(), Fault> {
        let until = Instant::now() + self.ready;
        let (target, work) = (self.name.clone(), running.work.name());
        loop {
            if TcpStream::connect(running.address).is_ok() {
                return Ok(());
            }
            let Some(child) = &mut running.child else { return Ok(()) };
            if child.try_wait().map_err(Fault::io("waiting for a target"))?.is_some() {
                return Err(Fault::Ended { target, work, said: tail(said) });
            }
            if Instant::now() > until {
                let (address, seconds) = (running.address, self.ready.as_secs());
                return Err(Fault::NotReady { target, work, address, seconds, said: tail(said) });
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Running {
    /// Its processes; none where nothing was started.
    pub fn pids(&self) -> Vec<u32> {
        let Some(child) = &self.child else { return Vec::new() };
        measure::family(child.id())
    }

    /// Beginning of the names of the threads that answer requests, where others do not.
    pub fn worker_threads(&self) -> Option<&str> {
        self.worker_threads.as_deref()
    }

    pub fn work(&self) -> Work {
        self.work
    }

    /// Where requests of its work go.
    pub fn wire(&self) -> wire::Target {
        let tls = self.work.transport().is_tls();
        wire::Target { address: self.address, authority: HOST.to_owned(), path: PATH.to_owned(), tls }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A command that the kernel kills when this thread ends, however that comes about.
fn quitting(program: &str) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !Path::new(SETPRIV).is_file() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A loopback address that nobody listens on, below the ports that connections are given as their own
/// (`ip_local_port_range`): one of the load's would otherwise take it before the target does.
fn free_address() -> Result<SocketAddr, Fault> {
    let mut last = None;
    for _ in 0..PORTS_TRIED {
        let mut random = [0; 2];
        SystemRandom::new().fill(&mut random).map_err(Fault::material)?;
        let port = PORTS.start() + u16::from_ne_bytes(random) % (PORTS.end() - PORTS.start());
        match TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()) {
            Ok(address) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(Fault::io("a free port")(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())))
}

/// A proxy needs two descriptors for each connection.
fn connections() -> u64 {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (descriptors.saturating_sub(200) / 2).clamp(64, CONNECTIONS_MAX)
}

/// The end of what a target said.
fn tail(file: &Path) -> String {
    let said = fs::read(file).unwrap_or_default();
    let from = said.len().saturating_sub(SAID_BYTES_MAX);
    let said = String::from_utf8_lossy(said.get(from..).unwrap_or_default()).trim().to_owned();
    if said.is_empty() { "nothing".to_owned() } else { said }
}
