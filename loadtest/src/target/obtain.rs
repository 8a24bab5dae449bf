//! Whether a target is there, where it came from and which version it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Fault;
use super::file::{Source, Target};
use super::template::Values;

/// Where programs are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Folder that `loadtest/peers` fills.
    pub peers: PathBuf,
    /// This program.
    pub loadtest: PathBuf,
    /// The gateway.
    pub adamant: PathBuf,
}

/// A target that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    pub version: String,
    pub from: String,
}

impl Place {
    /// `adamant` is the one beside this program unless named.
    pub fn new(adamant: Option<PathBuf>) -> Result<Self, Fault> {
        let loadtest = std::env::current_exe().map_err(Fault::io("own path"))?;
        let adamant = adamant.unwrap_or_else(|| loadtest.with_file_name("adamant"));
        let adamant = adamant.canonicalize().unwrap_or(adamant);
        Ok(Self { peers: peers_folder(), loadtest, adamant })
    }

    pub(super) fn values(&self) -> Values {
        let text = |path: &Path| path.display().to_string();
        [("peers", text(&self.peers)), ("loadtest", text(&self.loadtest)), ("adamant", text(&self.adamant))]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}

/// As in `loadtest/peers`: `$ADAMANT_PEERS`, else `target/peers`.
pub fn peers_folder() -> PathBuf {
    std::env::var_os("ADAMANT_PEERS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers")), PathBuf::from)
}

/// Runs `loadtest/peers` for these targets, as far as they are peers. What it says goes to standard error; what could
/// not be had shows when it is looked for.
pub fn obtain(targets: &[Target]) -> Result<(), Fault> {
    let peers: Vec<&str> = targets
        .iter()
        .filter_map(|target| match &target.source {
            Source::Peer(peer) => Some(peer.as_str()),
            Source::Built(_) => None,
        })
        .collect();
    if peers.is_empty() {
        return Ok(());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
    let mut command = Command::new(script);
    command.args(&peers).stdin(Stdio::null()).stdout(std::io::stderr());
    command.status().map(drop).map_err(Fault::io(script))
}

impl Target {
    /// Looks whether the target is there; [`Fault::NotAvailable`] says why not.
    pub fn look(&self, place: &Place) -> Result<Obtained, Fault> {
        let from = match &self.source {
            Source::Built(from) => from.clone(),
            Source::Peer(peer) => fs::read_to_string(place.peers.join(peer).join("obtained"))
                .map(|text| text.trim().to_owned())
                .map_err(|_| Fault::NotAvailable(format!("`loadtest/peers {peer}` has not obtained it")))?,
        };
        let Some(program) = &self.program else {
            return Ok(Obtained { version: env!("CARGO_PKG_VERSION").to_owned(), from });
        };
        let values = place.values();
        let program = program.render(&values)?;
        let is_built = matches!(self.source, Source::Built(_));
        let hint = if is_built { " (`cargo build --release` makes it, beside loadtest)" } else { "" };
        let arguments: Vec<String> =
            self.version.iter().map(|argument| argument.render(&values)).collect::<Result<_, _>>()?;
        let output = Command::new(&program).args(&arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Fault::NotAvailable(format!("cannot run {program}: {error}{hint}")))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() {
            return Err(Fault::NotAvailable(format!("{program} does not run here: {}", said.trim())));
        }
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim();
        // Some name their own path first, which tells a reader nothing.
        let version = line.strip_prefix(&program).unwrap_or(line);
        let version = version.split_whitespace().filter(|word| !word.starts_with('/')).collect::<Vec<_>>().join(" ");
        Ok(Obtained { version, from })
    }
}
