//! Callers whom the two policies take for agents of different names.
//!
//! Origins are told the name of the agent that a caller is taken for (or none), and records are kept under it. So a
//! request that is permitted before and after says something else to its origin when that name differs, whoever may do
//! what: a key that moves from one agent to another makes its holder pass for that other.
//!
//! Every pair of agents that some set of credentials has is in `callers`, but for one kind: a certificate with two
//! names, of which one names an agent in the old policy alone, and the other one in the new policy alone. Such pairs
//! are left out, because they are many and say nothing more: a certificate with the other name only is newly allowed
//! whatever it is that goes on for them, or named anew itself.

use std::collections::{BTreeMap, HashMap};

use crate::access::{Kind, Scene};
use crate::callers::Callers;
use crate::face::{Which, World};
use crate::shown::{Shown, Taken, TokenNames};

/// A change of the name under which some callers are permitted something before and after.
#[derive(Clone, Debug)]
pub struct Renamed<'p> {
    /// None: origins are told of nobody.
    pub old: Option<&'p str>,
    pub new: Option<&'p str>,
    /// Positions in the list of callers.
    pub callers: Vec<usize>,
    /// Credentials and token scopes of the first caller, with a position in the list of cells.
    pub example: (Shown<'p>, TokenNames, usize),
}

/// Every change of a name, by the names.
pub fn renamed<'p>(scene: &Scene<'_, 'p>, callers: &Callers<'p>) -> Vec<Renamed<'p>> {
    let mut lasting: HashMap<Kind, Option<usize>> = HashMap::new();
    let mut found: BTreeMap<(Option<&str>, Option<&str>), Renamed<'p>> = BTreeMap::new();
    for (caller, index) in callers.all.iter().zip(0..) {
        let (old, new, _) = caller.pair;
        if old == Taken::Refused || new == Taken::Refused {
            continue;
        }
        let (old, new) = (name(scene.world, Which::Old, old), name(scene.world, Which::New, new));
        if old == new {
            continue;
        }
        let kind = scene.kind(caller.pair);
        let Some(group) = *lasting.entry(kind).or_insert_with(|| scene.lasting(kind)) else { continue };
        if let Some(known) = found.get_mut(&(old, new)) {
            known.callers.push(index);
        } else if let Some(group) = scene.groups.get(group)
            && let Some(cell) = group.cells.first()
            && let Some(witness) = caller.witnesses.first()
        {
            let example = (witness.shown.clone(), scene.lasting_names(kind, group), *cell);
            found.insert((old, new), Renamed { old, new, callers: vec![index], example });
        }
    }
    found.into_values().collect()
}

/// What origins are told of a caller.
pub fn name<'p>(world: &World<'p>, which: Which, taken: Taken) -> Option<&'p str> {
    match taken {
        Taken::Agent(agent) => Some(world.face(which).agent_name(agent)),
        Taken::Anonymous | Taken::Refused => None,
    }
}
