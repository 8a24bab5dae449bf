//! A process under test: started on one core, ready once it listens, gone when it is dropped.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Fault;
use crate::measure;

/// Where targets listen.
const PORTS: std::ops::RangeInclusive<u16> = 10_000..=32_000;
const PORTS_TRIED: usize = 50;
/// Somebody may take the port between the choice and the bind.
const STARTS_TRIED: usize = 3;
const POLL: Duration = Duration::from_millis(10);
const SAID_BYTES_MAX: usize = 2_000;

/// A process that listens; dropping it kills it with all that it started.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _directory: tempfile::TempDir,
}

/// What to start.
pub struct Start {
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// What is started, for messages, and where.
#[derive(Clone, Copy)]
pub struct Aim<'a> {
    pub target: &'a str,
    pub work: &'a str,
    /// Of all its threads.
    pub core: usize,
    /// How long it may take until it listens.
    pub ready: Duration,
}

impl Process {
    /// Starts what `prepare` says, given the address where it has to listen and its working directory.
    pub fn start(aim: Aim<'_>, prepare: impl Fn(SocketAddr, &Path) -> Result<Start, Fault>) -> Result<Self, Fault> {
        let mut tried = 1;
        loop {
            match Self::start_once(aim, &prepare) {
                Err(Fault::Ended { .. }) if tried < STARTS_TRIED => tried += 1,
                outcome => return outcome,
            }
        }
    }

    fn start_once(aim: Aim<'_>, prepare: impl Fn(SocketAddr, &Path) -> Result<Start, Fault>) -> Result<Self, Fault> {
        let directory =
            tempfile::Builder::new().prefix("loadtest-").tempdir().map_err(Fault::io("a folder for a target"))?;
        let address = free_address()?;
        let start = prepare(address, directory.path())?;
        let mut command = quitting(&start.program);
        command.args(&start.arguments).envs(start.environment);
        let said = directory.path().join("said");
        let log = File::create(&said).map_err(Fault::io(said.display().to_string()))?;
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let spawned = measure::on_core(aim.core, || {
            command.spawn().map_err(crate::failure::Failure::io(format!("starting {}", aim.target)))
        });
        let child = spawned.map_err(|failure| Fault::NotAvailable(failure.to_string()))?;
        let mut process = Self { child, address, _directory: directory };
        process.wait(aim, &said)?;
        Ok(process)
    }

    fn wait(&mut self, aim: Aim<'_>, said: &Path) -> Result<(), Fault> {
        let until = Instant::now() + aim.ready;
        let (target, work) = (aim.target.to_owned(), aim.work.to_owned());
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if self.child.try_wait().map_err(Fault::io("waiting for a target"))?.is_some() {
                return Err(Fault::Ended { target, work, said: tail(said) });
            }
            if Instant::now() > until {
                let (address, seconds) = (self.address, aim.ready.as_secs());
                return Err(Fault::NotReady { target, work, address, seconds, said: tail(said) });
            }
            std::thread::sleep(POLL);
        }
    }

    /// The one that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// The end of what a target said.
fn tail(file: &Path) -> String {
    let said = fs::read(file).unwrap_or_default();
    let from = said.len().saturating_sub(SAID_BYTES_MAX);
    let said = String::from_utf8_lossy(said.get(from..).unwrap_or_default()).trim().to_owned();
    if said.is_empty() { "nothing".to_owned() } else { said }
}
