//! `loadtest probe`: which target does which work.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use loadtest::failure::Failure;
use loadtest::probe::{Probed, probe};
use loadtest::target::{self, Material, Place, Target, Work};

/// Ask each target the same requests, and tell which work it does.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  loadtest probe\n  loadtest probe nginx haproxy --work es256\n  loadtest probe ./mine.toml --all\n\n\
                        Peers that are not there are obtained first by `loadtest/peers`."
)]
pub struct Arguments {
    /// Names of targets, or files of your own (loadtest/README.md). All that come with loadtest where there are none.
    targets: Vec<String>,
    /// Only this work. May be repeated.
    #[arg(long = "work", value_name = "WORK")]
    works: Vec<String>,
    /// The gateway; the binary beside this one when absent.
    #[arg(long, value_name = "PATH")]
    adamant: Option<PathBuf>,
    /// Core of the targets.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Tell each request and its answer, not only those that differ from what is expected.
    #[arg(long)]
    all: bool,
    /// Obtain nothing: what is not there is not available.
    #[arg(long)]
    offline: bool,
}

impl Arguments {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let works = works(&self.works)?;
        let targets = load(&self.targets)?;
        let place = Place::new(self.adamant)?;
        if !self.offline {
            target::obtain(&targets)?;
        }
        let folder = tempfile::tempdir().map_err(Failure::io("a folder for credentials"))?;
        let material = Material::new(folder.path())?;
        let mut failed = 0;
        for target in &targets {
            let obtained = match target.look(&place) {
                Ok(obtained) => obtained,
                Err(fault) => {
                    super::print(out, &format!("{}: {fault}\n\n", target.name))?;
                    failed += 1;
                    continue;
                }
            };
            super::print(out, &format!("{}: {} ({})\n", target.name, obtained.version, obtained.from))?;
            for work in &works {
                let known = target.works.contains_key(work) || target.cannot.contains_key(work);
                if !known && self.works.is_empty() {
                    continue; // such as audit modes, which only one target has
                }
                let probed = probe(target, &place, &material, self.core, *work);
                failed += usize::from(!probed.does() && target.works.contains_key(work));
                super::print(out, &describe(&probed, self.all))?;
            }
            super::print(out, "\n")?;
        }
        match failed {
            0 => Ok(()),
            failed => Err(Failure::Subject(format!("{failed} answers above are not what the target's file says"))),
        }
    }
}

fn works(names: &[String]) -> Result<Vec<Work>, Failure> {
    if names.is_empty() {
        return Ok(Work::ALL.to_vec());
    }
    let find = |name: &String| Work::ALL.into_iter().find(|work| work.name() == name);
    let unknown = |name: &String| Failure::Subject(format!("expected a work ({}), found {name:?}", known_works()));
    names.iter().map(|name| find(name).ok_or_else(|| unknown(name))).collect()
}

fn known_works() -> String {
    Work::ALL.map(Work::name).join(", ")
}

/// Targets by name or file; all shipped ones where nothing is named.
pub fn load(names: &[String]) -> Result<Vec<Target>, Failure> {
    let names = if names.is_empty() { target::shipped()? } else { names.to_vec() };
    Ok(names.iter().map(|name| target::load(name)).collect::<Result<_, _>>()?)
}

fn describe(probed: &Probed, all: bool) -> String {
    let passed = probed.probes.iter().filter(|probe| probe.passed).count();
    let mut text = match &probed.why_not {
        None => format!("  {:<18} does it ({passed} answers as expected)\n", probed.work.name()),
        Some(why) if probed.probes.is_empty() => format!("  {:<18} does not: {why}\n", probed.work.name()),
        Some(_) => {
            format!(
                "  {:<18} FAILS {} of {} probes\n",
                probed.work.name(),
                probed.probes.len() - passed,
                probed.probes.len()
            )
        }
    };
    for probe in probed.probes.iter().filter(|probe| all || !probe.passed) {
        let mark = if probe.passed { "ok  " } else { "FAIL" };
        text.push_str(&format!(
            "    {mark} {:<52} expected {:<14} found {}\n",
            probe.request, probe.expected, probe.found
        ));
    }
    text
}
