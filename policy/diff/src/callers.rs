//! Callers, as pairs of agents: whom the old policy takes the holder of some credentials for, and whom the new one.
//!
//! What a caller may do depends on this pair alone, and on the scopes of the token. So it is enough to find every pair
//! that some set of credentials has, with one such set each (a *witness*).
//!
//! Let the old policy take the holder of S for agent a. Then each credential in S is one of a's proofs, or one that
//! the old policy passes over: a certificate name that names nobody.
//!
//! - If none of those passed over means anything to the new policy (it is a *stray* otherwise), then only a's proofs
//!   count. The new outcome is an agent b, because an alternative of b is in S; or anonymous; or refused, because a
//!   credential is unknown, because no alternative is whole, because a credential is not b's, or because two agents'
//!   alternatives are in S. In each case at most three certificate names (one of a's alternative, two that cause the
//!   outcome) with S's token and key, or without them, have the same outcome. So all such sets are tried.
//! - If the proofs of a mean the same to both policies, the pair is (a, a), and one witness for each way in which
//!   tokens narrow it is enough. So the sets are tried only for agents with a proof that means something else.
//! - A set with a stray is a class of its own kind: whoever shows this stray together with proofs that do not need it.
//!   See `strays`. Only where the stray and a proof of a are of the same agent to the new policy is it tried here.
//!
//! The same with the policies exchanged. A token of a population is tried for each subject that one policy mentions
//! and the other does not, and for one that neither mentions; and with each binding that the policies tell apart. A token
//! is taken to be bound to what it says: that a certificate must then be there is the same to both policies.

use std::collections::{BTreeSet, HashMap, HashSet};

use policy::model::CertificateName;

use crate::face::{Which, World};
use crate::proofs::{Moved, NameKind, OwnProofs, holders};
use crate::shown::{Credential, Narrowing, Shown, Taken, has_certificate, holds, needs_certificate, together};

/// What the old and the new policy take a caller for, and how a token narrows it.
pub type Pair = (Taken, Taken, Narrowing);

/// Callers with the same pair.
#[derive(Clone, Debug)]
pub struct Caller<'p> {
    pub pair: Pair,
    /// Sets of credentials with this pair, at least one; the smallest first.
    pub witnesses: Vec<Witness<'p>>,
    pub witnesses_count: usize,
}

/// A set of credentials, and what any part of it is taken for.
#[derive(Clone, Debug)]
pub struct Witness<'p> {
    pub shown: Shown<'p>,
    pub reach: Reach,
}

/// Whom each policy takes the holder of any part of some credentials for, and whether the part has the token; refusals
/// are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reach {
    pub old: Vec<(Taken, bool)>,
    pub new: Vec<(Taken, bool)>,
}

/// All pairs but those that only strays make.
pub struct Callers<'p> {
    pub all: Vec<Caller<'p>>,
    pub known: HashMap<Pair, usize>,
    /// Tokens that were taken in because they are like another one.
    alike: HashSet<Credential<'p>>,
    /// The search was given up at its bound.
    pub exhausted: bool,
}

/// Witnesses of one pair that are kept.
///
/// (The small policies of tests would never reach it.)
const WITNESSES_MAX: usize = if cfg!(test) { 1 } else { 8 };
/// Witnesses of one pair that are kept because no other is like them.
const SHAPES_MAX: usize = 64;
/// Names of those who share a proof that are tried with it.
const KIN_MAX: usize = 8;
/// Questions to tables, and proofs of others that are read, for one agent and in total. A gateway that starts compares
/// first and serves then, so the worst of policies may take it seconds, not minutes.
const STEPS_PER_AGENT_MAX: usize = 100_000;
const STEPS_MAX: usize = 1_000_000;

impl<'p> Callers<'p> {
    pub fn find(world: &World<'p>) -> Self {
        let mut callers = Self { all: Vec::new(), known: HashMap::new(), alike: HashSet::new(), exhausted: false };
        let _ = callers.note(world, Vec::new());
        let moved = Moved::find(world);
        let mut left = STEPS_MAX;
        for which in [Which::Old, Which::New] {
            for agent in 0..world.face(which).policy.agents.len() as u32 {
                let mut proofs = OwnProofs::of(world, which, agent, &moved);
                if proofs.differ {
                    callers.try_sets(world, &mut proofs, &mut left);
                } else {
                    callers.unmoved(world, which, agent, &proofs);
                }
            }
        }
        callers
    }

    /// An agent whose proofs mean the same to both policies.
    fn unmoved(&mut self, world: &World<'p>, which: Which, agent: u32, proofs: &OwnProofs<'p>) {
        if which == Which::New {
            return;
        }
        let Some(new) = world.new.agents.get(world.old.agent_name(agent)) else { return };
        for witness in &proofs.alternatives {
            let pair = (Taken::Agent(agent), Taken::Agent(*new), world.narrowing(witness));
            self.add(world, pair, witness.clone());
        }
        // A token that is not asked for narrows all the same; and which strays fit depends on the names that are there.
        let mut narrowings = HashSet::new();
        let tokens = proofs.tokens.iter().map(|token| (token, world.narrowing(&[*token])));
        let tokens: Vec<_> = tokens.filter(|(_, it)| *it != Narrowing::default() && narrowings.insert(*it)).collect();
        for witness in &proofs.alternatives {
            for (token, _) in &tokens {
                if let Some(shown) = together(witness.iter().copied().chain([**token])) {
                    self.note(world, shown);
                }
            }
        }
    }

    /// Tries every set of an agent's own proofs that could have a pair of its own.
    fn try_sets(&mut self, world: &World<'p>, proofs: &mut OwnProofs<'p>, left: &mut usize) {
        let mut steps = Steps { own: STEPS_PER_AGENT_MAX, all: left };
        if self.try_all(world, proofs, &mut steps).is_none() {
            self.exhausted = true;
        }
    }

    /// None: given up at a bound.
    fn try_all(&mut self, world: &World<'p>, proofs: &mut OwnProofs<'p>, steps: &mut Steps<'_>) -> Option<()> {
        let alike = proofs.take_alike(world);
        for witness in &proofs.alternatives {
            steps.take(self.note(world, witness.clone()))?;
        }
        for token in &proofs.tokens {
            steps.take(self.note(world, vec![*token]))?;
        }
        for (token, others) in alike {
            self.add_alike(world, token, others);
        }
        steps.take(proofs.reading(world))?;
        self.exhausted |= proofs.may_be_too_many(world);
        let proofs = &proofs.representative(world);
        let none_or = |all: &[Credential<'p>]| -> Vec<Option<Credential<'p>>> {
            std::iter::once(None).chain(all.iter().copied().map(Some)).collect()
        };
        let shared = self.few(proofs.certificates.iter().flat_map(|name| proofs.kin(world, name)));
        for token in none_or(&proofs.tokens) {
            for key in none_or(&proofs.keys) {
                let mut names: Vec<_> = proofs.certificates.iter().copied().chain(shared.clone()).collect();
                for credential in token.iter().chain(&key) {
                    steps.take(proofs.reading_of(world, credential))?;
                    names.extend(self.few(proofs.kin(world, credential)));
                }
                names.sort_unstable();
                names.dedup();
                for names in up_to_three(&names).flat_map(|names| also_valid(world, names)) {
                    steps.take(1)?;
                    let set = together(names.into_iter().chain(token).chain(key));
                    if let Some(shown) = set.filter(|set| !set.is_empty()) {
                        steps.take(self.note(world, shown))?;
                    }
                }
            }
        }
        Some(())
    }

    /// The first of some names, each once. That there are more is said.
    fn few(&mut self, all: impl Iterator<Item = Credential<'p>>) -> Vec<Credential<'p>> {
        let mut few = Vec::new();
        for name in all {
            if few.contains(&name) {
                continue;
            }
            if few.len() == KIN_MAX {
                self.exhausted = true;
                break;
            }
            few.push(name);
        }
        few
    }

    /// Takes a set of credentials in. Gives the number of questions that it took.
    pub fn note(&mut self, world: &World<'p>, shown: Shown<'p>) -> usize {
        let pair = pair(world, &shown);
        if (pair.0, pair.1) == (Taken::Refused, Taken::Refused) { 2 } else { 2 + self.add(world, pair, shown) }
    }

    fn add(&mut self, world: &World<'p>, pair: Pair, shown: Shown<'p>) -> usize {
        let index = *self.known.entry(pair).or_insert_with(|| {
            self.all.push(Caller { pair, witnesses: Vec::new(), witnesses_count: 0 });
            self.all.len() - 1
        });
        let Some(caller) = self.all.get_mut(index) else { return 0 };
        // A set that holds a smaller witness shows nothing new where it has all parts of that: not where the certificate
        // has more names, as its names are shown all or none, or where it cannot be left out.
        let needed = world.old.certificate_needed || world.new.certificate_needed;
        let is_part = |known: &Shown<'p>| known.iter().all(|credential| holds(&shown, credential));
        let alike = |known: &Shown<'p>| {
            certificate(known).eq(certificate(&shown))
                || (!needed && !has_certificate(known) && !needs_certificate(known))
        };
        let mut smaller = caller.witnesses.iter().filter(|known| is_part(&known.shown)).peekable();
        let is_larger = smaller.peek().is_some();
        if smaller.any(|known| alike(&known.shown)) {
            return 0;
        }
        let questions = parts_count(&shown) * 2;
        let reach = Reach { old: parts(world, Which::Old, &shown), new: parts(world, Which::New, &shown) };
        let has_all = |known: &Reach| {
            known.old.iter().all(|part| reach.old.contains(part))
                && known.new.iter().all(|part| reach.new.contains(part))
        };
        // One CA more can be why a policy looks at the rest at all.
        let is_as_valid = |known: &Shown<'p>| valid(world, known) == valid(world, &shown);
        let covers = |known: &Witness<'p>| is_part(&known.shown) && has_all(&known.reach) && is_as_valid(&known.shown);
        if is_larger && caller.witnesses.iter().any(covers) {
            return questions;
        }
        caller.witnesses_count += 1;
        let is_kept = caller.witnesses.len() < WITNESSES_MAX
            || caller.witnesses.iter().all(|known| known.reach != reach)
            || caller.witnesses.iter().all(|known| shape(world, &known.shown) != shape(world, &shown))
            || caller.witnesses.iter().all(|known| needs_certificate(&known.shown) != needs_certificate(&shown));
        if is_kept && caller.witnesses.len() >= SHAPES_MAX {
            self.exhausted = true;
        } else if is_kept {
            caller.witnesses.push(Witness { shown, reach });
            caller.witnesses.sort_by_key(|witness| witness.shown.len());
        }
        questions
    }
}

impl<'p> Callers<'p> {
    /// Takes in tokens that no policy tells from one that was noted.
    fn add_alike(&mut self, world: &World<'p>, token: Credential<'p>, mut others: Vec<Credential<'p>>) {
        let shown = vec![token];
        let caller = self.known.get(&pair(world, &shown)).and_then(|index| self.all.get_mut(*index));
        let Some(caller) = caller else { return };
        others.retain(|other| self.alike.insert(*other));
        caller.witnesses_count += others.len();
        let Some(reach) = caller.witnesses.iter().find(|it| it.shown == shown).map(|it| it.reach.clone()) else {
            return;
        };
        let room = WITNESSES_MAX.saturating_sub(caller.witnesses.len());
        let more = others.into_iter().take(room).map(|other| Witness { shown: vec![other], reach: reach.clone() });
        caller.witnesses.extend(more);
        caller.witnesses.sort_by_key(|witness| witness.shown.len());
    }
}

/// What a search may still take, for one agent and in total.
struct Steps<'l> {
    own: usize,
    all: &'l mut usize,
}

impl Steps<'_> {
    /// None: it is used up.
    fn take(&mut self, count: usize) -> Option<()> {
        self.own = self.own.checked_sub(count)?;
        *self.all = self.all.checked_sub(count)?;
        Some(())
    }
}

/// The names of the certificate in a set.
fn certificate<'s, 'p>(shown: &'s [Credential<'p>]) -> impl Iterator<Item = &'s Credential<'p>> {
    shown.iter().filter(|credential| matches!(credential, Credential::Certificate { .. }))
}

/// What decides which names can be added to a certificate, and what they bring with them: its CAs, which kinds of names it
/// has, and those that mean something under a CA that it is not shown under.
pub type Shape<'p> = BTreeSet<(u16, Option<NameKind>, Option<&'p CertificateName>)>;

pub fn shape<'p>(world: &World<'p>, shown: &[Credential<'p>]) -> Shape<'p> {
    let means = |credential: &Credential<'p>| {
        holders(world, Which::Old, credential).is_some() || holders(world, Which::New, credential).is_some()
    };
    let elsewhere = |name: &'p CertificateName| {
        let mut all = (0..world.cas.len() as u16).map(|ca| Credential::Certificate { ca, name: Some(name) });
        all.any(|it| !shown.contains(&it) && means(&it))
    };
    let part = |it: &Credential<'p>| match *it {
        Credential::Certificate { ca, name } => Some((ca, name.map(NameKind::of), name.filter(|name| elsewhere(name)))),
        _ => None,
    };
    shown.iter().filter_map(part).collect()
}

/// How many parts of a set can be shown.
fn parts_count(shown: &[Credential<'_>]) -> usize {
    let others = shown.len() - certificate(shown).count();
    1 << (others + usize::from(has_certificate(shown)))
}

/// What the parts of a set are taken for. A part has all names of the certificate or none, because a certificate is
/// shown as a whole. Where one is needed, by a policy or by the token, each part has it: nobody is known to have another.
pub fn parts<'p>(world: &World<'p>, which: Which, shown: &[Credential<'p>]) -> Vec<(Taken, bool)> {
    let certificate_needed = world.face(which).certificate_needed && has_certificate(shown);
    let others: Shown<'p> = shown.iter().filter(|it| !matches!(it, Credential::Certificate { .. })).copied().collect();
    let mut found = Vec::new();
    for subset in 0..parts_count(shown) {
        let (whole, others_in) = (subset >> others.len() != 0, others.iter().zip(0..));
        let names = certificate(shown).filter(|_| whole);
        let chosen = others_in.filter(|(_, bit)| subset & (1 << bit) != 0).map(|(it, _)| it);
        let part: Shown<'p> = names.chain(chosen).copied().collect();
        if !whole && (certificate_needed || (has_certificate(shown) && needs_certificate(&part))) {
            continue;
        }
        let taken = world.taken(which, &part);
        let token = part.iter().any(|it| matches!(it, Credential::Token { .. }));
        if taken != Taken::Refused && !found.contains(&(taken, token)) {
            found.push((taken, token));
        }
    }
    found.sort_unstable();
    found
}

/// Which sides have a CA of the certificate in a set.
fn valid(world: &World<'_>, shown: &[Credential<'_>]) -> [bool; 2] {
    let has = |which: Which| {
        let mut all = shown.iter();
        all.any(|it| matches!(it, Credential::Certificate { ca, .. } if world.ca_pair(*ca).at(which).is_some()))
    };
    [Which::Old, Which::New].map(has)
}

/// A certificate is valid by any CA that it chains to: one under a CA that a policy does not have may also chain to
/// one that it has.
fn also_valid<'p>(world: &World<'p>, names: Vec<Credential<'p>>) -> Vec<Vec<Credential<'p>>> {
    let mut all = vec![names.clone()];
    for which in [Which::Old, Which::New] {
        let has = |ca: u16| world.ca_pair(ca).at(which).is_some();
        let valid = |credential: &Credential<'p>| matches!(credential, Credential::Certificate { ca, .. } if has(*ca));
        if names.is_empty() || names.iter().any(valid) {
            continue;
        }
        let cas = (0..world.cas.len() as u16).filter(|ca| has(*ca));
        all.extend(cas.map(|ca| names.iter().copied().chain([Credential::Certificate { ca, name: None }]).collect()));
    }
    all
}

pub fn pair<'p>(world: &World<'p>, shown: &[Credential<'p>]) -> Pair {
    (world.taken(Which::Old, shown), world.taken(Which::New, shown), world.narrowing(shown))
}

/// Every subset of at most three, the empty one first.
fn up_to_three<'p>(all: &[Credential<'p>]) -> impl Iterator<Item = Vec<Credential<'p>>> {
    let pick = move |from: usize| all.iter().enumerate().skip(from);
    let ones = pick(0).map(|(_, one)| vec![*one]);
    let twos = pick(0).flat_map(move |(at, one)| pick(at + 1).map(|(_, two)| vec![*one, *two]));
    let threes = pick(0).flat_map(move |(at, one)| {
        pick(at + 1).flat_map(move |(at, two)| pick(at + 1).map(|(_, three)| vec![*one, *two, *three]))
    });
    std::iter::once(Vec::new()).chain(ones).chain(twos).chain(threes)
}
