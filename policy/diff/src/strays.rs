//! Strays: certificate names that mean nothing to one policy and something to the other, shown together with proofs
//! that do not need them. (A token or an API key that names nobody is refused, so it is never passed over.)
//!
//! Such a set is permitted by the policy that passes the stray over, and mostly refused by the other, which finds
//! proofs of two agents. Each stray is one class a direction, if any request changes with it: it holds all sets with
//! the stray whose outcome changes in that direction.
//!
//! To know whether there is one, the stray is added to the witnesses of each pair of callers, alone and with one more
//! stray. That is enough: let S with strays change. Without its strays, S has a pair that is known. With a single stray
//! of them, or with two (which then are of different agents), that pair's witness changes too, unless the proofs in it
//! are shared with the stray's agent; those sets are tried in `callers`. What has a pair that is known is in a class
//! already, so it needs none of the stray.
//!
//! All of the names are shown under all of the CAs that the certificate chains to, so an added name comes under the CAs
//! of the others, and they under its CA. What comes with it is in S as well: it is passed over by the one policy, and
//! speaks against S in the other. So the above holds for the smallest certificate with those names and CAs, if witnesses
//! of a pair are kept that differ in what can be added to them, and in what that brings (`callers::Shape`).
//!
//! A certificate shows all of its names or none, so a stray among the names of one that was good before can be what
//! refuses its holder everything. Sets with a certificate are therefore tried first: people are told of those for whom
//! the outcome changes by any means, before those who could leave the stray away.

use std::collections::{BTreeSet, HashMap};

use policy::model::CertificateName;

use crate::access::{Change, Changed, Condition, Scene};
use crate::callers::{Caller, Callers, Reach, Witness, pair, parts};
use crate::face::{Pair, Which, World};
use crate::shown::{Credential, Shown, TokenNames, has_certificate, together};

/// A stray that changes some outcome.
pub struct Stray<'p> {
    pub credential: Credential<'p>,
    pub changed: Changed,
    /// Positions in the scene's list: what changes for the set of the example.
    pub groups: Vec<usize>,
    pub example: (Shown<'p>, TokenNames, usize),
}

/// Strays beside another one that are tried, and sets tried for each stray.
const SECOND_MAX: usize = 16;
const TRIED_PER_STRAY_MAX: usize = 4_096;
/// Sets tried, once there is one that changes, to find one that changes by any means.
const BETTER_MAX: usize = 16;
/// Sets tried for all strays together.
const TRIED_MAX: usize = 200_000;

pub struct Strays<'p> {
    pub found: Vec<Stray<'p>>,
    /// The search was given up at its bound.
    pub exhausted: bool,
}

pub fn strays<'p>(scene: &Scene<'_, 'p>, callers: &Callers<'p>) -> Strays<'p> {
    let mut all = Strays { found: Vec::new(), exhausted: false };
    let mut left = TRIED_MAX;
    for change in [Change::Allowed, Change::Refused] {
        let candidates = candidates(scene.world, change.permits());
        let changing = callers.all.iter().filter(|caller| may_change(scene, change, caller));
        let bases = Bases::new(changing.flat_map(|caller| &caller.witnesses).map(|it| &it.shown).collect());
        for credential in &candidates {
            let bases = bases.fitting(credential);
            let search = Search { scene, callers, bases, change, credential: *credential, others: &candidates };
            match search.run(&mut left) {
                Ok(found) => all.found.extend(found),
                Err(Exhausted) => all.exhausted = true,
            }
        }
    }
    all
}

/// What `which` passes over and the other policy does not.
pub fn candidates<'p>(world: &World<'p>, which: Which) -> Vec<Credential<'p>> {
    let (over, means) = (&world.face(which).holders, &world.face(which.other()).holders);
    let names = means.certificates.keys().filter(|name| !over.certificates.contains_key(*name));
    let mut names: Vec<(u16, &'p CertificateName)> = names.copied().collect();
    names.sort_unstable();
    let gone = world.cas.iter().zip(0_u16..).filter(|(ca, _)| ca.at(which).is_some() && ca.at(which.other()).is_none());
    let nameless = gone.map(|(_, ca)| Credential::Certificate { ca, name: None });
    let names = names.into_iter().map(|(ca, name)| Credential::Certificate { ca, name: Some(name) });
    nameless.chain(names).collect()
}

/// Whether a stray can change anything for a caller: not where the side that passes it over permits nothing anyway.
fn may_change(scene: &Scene<'_, '_>, change: Change, caller: &Caller<'_>) -> bool {
    let one_sided = |ca: &Pair| ca.old.is_none() || ca.new.is_none();
    let (old, new, _) = caller.pair;
    let taken = if change.permits() == Which::Old { old } else { new };
    scene.may_do_anything(change.permits(), taken) || scene.world.cas.iter().any(one_sided)
}

/// Sets to which strays are added, by what one certificate cannot have twice: an SPIFFE id and a public key.
struct Bases<'s, 'p> {
    all: Vec<&'s Shown<'p>>,
    without_spiffe: Vec<&'s Shown<'p>>,
    without_spki: Vec<&'s Shown<'p>>,
    with: HashMap<&'p CertificateName, Vec<&'s Shown<'p>>>,
}

impl<'s, 'p> Bases<'s, 'p> {
    fn new(mut all: Vec<&'s Shown<'p>>) -> Self {
        all.sort_by_key(|shown| !has_certificate(shown));
        let name = |it: &Credential<'p>| if let Credential::Certificate { name, .. } = it { *name } else { None };
        let mut bases =
            Self { without_spiffe: Vec::new(), without_spki: Vec::new(), with: HashMap::new(), all: all.clone() };
        for shown in all {
            let names: BTreeSet<_> = shown.iter().filter_map(name).filter(|name| is_one_only(name)).collect();
            if !names.iter().any(|name| matches!(name, CertificateName::Spiffe(_))) {
                bases.without_spiffe.push(shown);
            }
            if !names.iter().any(|name| matches!(name, CertificateName::SpkiSha256(_))) {
                bases.without_spki.push(shown);
            }
            for name in names {
                bases.with.entry(name).or_default().push(shown);
            }
        }
        bases
    }

    /// Those that one certificate can show together with a stray: those with the same name first.
    fn fitting(&self, stray: &Credential<'p>) -> impl Iterator<Item = &'s Shown<'p>> + Clone {
        let name = if let Credential::Certificate { name, .. } = stray { *name } else { None };
        let others = match name {
            Some(CertificateName::Spiffe(_)) => &self.without_spiffe,
            Some(CertificateName::SpkiSha256(_)) => &self.without_spki,
            _ => &self.all,
        };
        let same = name.and_then(|name| self.with.get(name)).map_or(&[][..], Vec::as_slice);
        same.iter().chain(others).copied()
    }
}

/// Whether a certificate has at most one name of this kind.
fn is_one_only(name: &CertificateName) -> bool {
    !matches!(name, CertificateName::Dns(_))
}

struct Exhausted;

struct Search<'s, 'w, 'p, B> {
    scene: &'s Scene<'w, 'p>,
    callers: &'s Callers<'p>,
    /// Sets to which the stray is added.
    bases: B,
    change: Change,
    credential: Credential<'p>,
    others: &'s [Credential<'p>],
}

impl<'s, 'p: 's, B: Iterator<Item = &'s Shown<'p>> + Clone> Search<'s, '_, 'p, B> {
    /// The stray's class, if any set with it changes.
    fn run(&self, left: &mut usize) -> Result<Option<Stray<'p>>, Exhausted> {
        let mut tried = 0;
        for (base, at) in self.bases.clone().zip(0..) {
            for second in std::iter::once(None).chain(self.others.iter().take(SECOND_MAX).map(Some)) {
                for company in self.company() {
                    let added = [second.copied(), company].into_iter().flatten();
                    let Some(shown) = self.with(base, added) else { continue };
                    tried += 1;
                    if tried > TRIED_PER_STRAY_MAX || *left == 0 {
                        return Err(Exhausted);
                    }
                    *left -= 1;
                    if let Some(stray) = self.changes(shown) {
                        return Ok(Some(if stray.changed.by_any_means { stray } else { self.better(at, stray) }));
                    }
                }
            }
        }
        let cut = self.others.len() > SECOND_MAX && self.bases.clone().next().is_some();
        if cut { Err(Exhausted) } else { Ok(None) }
    }

    /// One that changes by any means, if one of the next certificates shows it.
    fn better(&self, after: usize, found: Stray<'p>) -> Stray<'p> {
        let next = self.bases.clone().skip(after + 1).take(BETTER_MAX).filter(|base| has_certificate(base));
        let mut next = next.filter_map(|base| self.changes(self.with(base, std::iter::empty())?));
        next.find(|stray| stray.changed.by_any_means).unwrap_or(found)
    }

    /// The stray added to a set; none if no one certificate has all of it.
    fn with(&self, base: &Shown<'p>, added: impl Iterator<Item = Credential<'p>>) -> Option<Shown<'p>> {
        together(base.iter().copied().chain([self.credential]).chain(added))
    }

    /// A certificate is valid by any CA that it chains to, so a name under a CA that one policy does not have can stand
    /// in a certificate that also chains to one that it has.
    fn company(&self) -> Vec<Option<Credential<'p>>> {
        let world = self.scene.world;
        let Credential::Certificate { ca, name: Some(_) } = self.credential else { return vec![None] };
        let pair = world.ca_pair(ca);
        if pair.old.is_some() && pair.new.is_some() {
            return vec![None];
        }
        let permits = self.change.permits();
        let valid = world.cas.iter().zip(0_u16..).filter(|(ca, _)| ca.at(permits).is_some());
        std::iter::once(None).chain(valid.map(|(_, ca)| Some(Credential::Certificate { ca, name: None }))).collect()
    }

    fn changes(&self, shown: Shown<'p>) -> Option<Stray<'p>> {
        let (scene, world) = (self.scene, self.scene.world);
        let pair = pair(world, &shown);
        // Whatever changes for a pair that is known is in a class already.
        if self.callers.known.contains_key(&pair) {
            return None;
        }
        let kind = scene.kind(pair);
        let reach = Reach { old: parts(world, Which::Old, &shown), new: parts(world, Which::New, &shown) };
        let reaches = BTreeSet::from([scene.reach_kind(&reach)]);
        let candidates = scene.candidates(kind).into_iter();
        let mut changed: Vec<(Changed, usize)> = candidates
            .filter_map(|index| Some((scene.changed(self.change, kind, &reaches, scene.groups.get(index)?)?, index)))
            .collect();
        let by_any_means = changed.iter().any(|(changed, _)| changed.by_any_means);
        changed.retain(|(changed, _)| changed.by_any_means == by_any_means);
        let groups: Vec<usize> = changed.iter().map(|(_, index)| *index).collect();
        let (mut changed, first) = changed.into_iter().next()?;
        let group = scene.groups.get(first)?;
        changed.condition = Condition::default();
        let caller = Caller { pair, witnesses: vec![Witness { shown: shown.clone(), reach }], witnesses_count: 1 };
        let (_, names) = scene.example(self.change, &caller, group)?;
        let example = (shown, names, *group.cells.first()?);
        Some(Stray { credential: self.credential, changed, groups, example })
    }
}
