//! What a start looks at the machine for: what speaks against the workers' cores, what is not set as they need it, and
//! where everything else may run.

use std::collections::BTreeSet;

use tuning::choice::{self, Wish};
use tuning::finding::findings;
use tuning::machine::Machine;
use tuning::profile::{BUILT_IN, Profile};
use tuning::read::Root;
use tuning::settings::settings;

use crate::commands::signing::plural;

/// Tells what speaks against these cores, and how many settings differ from what `adamant tune plan` wants for them;
/// `adamant tune check` tells which. Workers without a core are those of `adamant dev`: the machine is not theirs to tune.
/// /proc and /sys are read once, which takes a few milliseconds.
pub fn tell_drifts(workers: &[usize]) {
    if workers.is_empty() {
        return;
    }
    let machine = match Machine::read(&Root::machine()) {
        Ok(machine) => machine,
        Err(error) => return control::warning!("the processors' topology is not known: {error}"),
    };
    let nics = choice::nics(&machine, &Wish::default()).unwrap_or_default();
    for finding in findings(&machine, workers, &nics) {
        control::warning!("{finding}");
    }
    let profile = BUILT_IN.first().and_then(|(name, _)| Profile::built_in(name)?.ok());
    let Some(profile) = profile else { return };
    let drifting = settings(&machine, workers, &nics, &profile).iter().filter(|setting| setting.drifts()).count();
    if drifting > 0 {
        let (many, differ) = (plural(drifting, "setting"), if drifting == 1 { "differs" } else { "differ" });
        control::info!("{many} of this machine {differ} from what is advised: adamant tune check CONFIG");
    }
}

/// Processors that everything but workers keeps off: theirs and, where others are left, the siblings with which these
/// share a core.
pub fn avoided(workers: &[usize]) -> Vec<usize> {
    let processors = tuning::machine::processors(&Root::machine()).unwrap_or_default();
    let core = |number: &usize| processors.iter().find(|of| of.number == *number).map_or(*number, |of| of.core);
    let taken: BTreeSet<usize> = workers.iter().map(core).collect();
    let allowed = sys::affinity::allowed_cores().unwrap_or_default();
    if workers.is_empty() || allowed.iter().all(|number| taken.contains(&core(number))) {
        return workers.to_vec();
    }
    let siblings = processors.iter().filter(|of| taken.contains(&of.core) && !workers.contains(&of.number));
    workers.iter().copied().chain(siblings.map(|of| of.number)).collect()
}
