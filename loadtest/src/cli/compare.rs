//! `loadtest compare`: all targets, all experiments, one report.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use loadtest::compare::{self, Options, Progress, Stop};
use loadtest::failure::Failure;
use loadtest::results::Results;
use loadtest::target::{self, Place};
use loadtest::{report, results};

/// Obtain the peers, probe all targets, measure them in turns, and write one report.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  loadtest compare                                    everything; about 45 minutes\n  \
                        loadtest compare --quick                            the same in a few minutes; proves nothing\n  \
                        loadtest compare --only requests --only handshake --targets adamant,haproxy\n  \
                        loadtest compare --targets adamant,./mine.toml      a target of your own (loadtest/README.md)\n\n\
                        Ctrl-C ends it and keeps what was measured so far."
)]
pub struct Arguments {
    /// For trying out: short slices, few rounds. Its figures prove nothing.
    #[arg(long)]
    quick: bool,
    /// Only this experiment; may be repeated. `--list` names them.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Names of targets or files of your own, with commas between them. All that come with loadtest when absent.
    #[arg(long, value_delimiter = ',', value_name = "TARGET,…")]
    targets: Vec<String>,
    /// Folder for results.json and report.html.
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    out: PathBuf,
    /// The gateway; the binary beside this one when absent.
    #[arg(long, value_name = "PATH")]
    adamant: Option<PathBuf>,
    /// Core of the target under load.
    #[arg(long, default_value_t = 0)]
    target_core: usize,
    /// Core of load and origin.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Obtain nothing: what is not there is not available.
    #[arg(long)]
    offline: bool,
    /// Name the experiments and end.
    #[arg(long)]
    list: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let known = compare::experiments();
        if self.list {
            let lines: String = known.iter().map(|(id, title)| format!("{id:<14} {title}\n")).collect();
            return super::print(out, &lines);
        }
        if let Some(bad) = self.only.iter().find(|only| known.iter().all(|(id, _)| id != only)) {
            let ids: Vec<&str> = known.iter().map(|(id, _)| *id).collect();
            return Err(Failure::Subject(format!("expected an experiment ({}), found {bad:?}", ids.join(", "))));
        }
        let targets = super::probe::load(&self.targets)?;
        let command = self.command();
        let stop = Stop::on_signals()?;
        if !self.offline {
            target::obtain(&targets)?;
        }
        std::fs::create_dir_all(&self.out).map_err(Failure::io(self.out.display().to_string()))?;
        let options = Options {
            targets,
            place: Place::new(self.adamant)?,
            quick: self.quick,
            only: self.only,
            target_core: self.target_core,
            load_core: self.load_core,
            connections: self.connections,
            command,
        };
        let file = self.out.join("results.json");
        let page = self.out.join("report.html");
        let write = |results: &Results| -> Result<(), Failure> {
            let failed = |fault: results::Fault| Failure::Subject(fault.to_string());
            results::write(&file, results).map_err(failed)?;
            results::replace(&page, report::html(results).as_bytes()).map_err(failed)
        };
        let results = compare::run(&options, &Progress::to_stderr(), &stop, &write)?;
        super::print(out, &report::text(&results))?;
        super::print(out, &format!("\n{}\n{}\n", file.display(), page.display()))
    }

    /// The command that repeats this run, without paths of this machine.
    fn command(&self) -> String {
        let mut words = vec!["loadtest compare".to_owned()];
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.only.iter().map(|id| format!("--only {id}")));
        words.extend((!self.targets.is_empty()).then(|| format!("--targets {}", self.targets.join(","))));
        if (self.target_core, self.load_core) != (0, 1) {
            words.push(format!("--target-core {} --load-core {}", self.target_core, self.load_core));
        }
        words.extend((self.connections != 64).then(|| format!("--connections {}", self.connections)));
        words.join(" ")
    }
}
