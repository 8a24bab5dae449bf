//! The proofs of an agent, as credentials that both policies can be asked about.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use policy::binding::Bindings;
use policy::bounds::CERTIFICATE_NAMES_MAX;
use policy::model::{CertificateName, Identity, Proofs, Subject};

use crate::face::{Which, World};
use crate::shown::{Credential, Narrowing, Shown, together};

/// Subjects that one policy mentions and the other does not, by the issuer and the policy that does not.
pub struct Moved<'p> {
    subjects: BTreeMap<(bool, u16), Vec<&'p str>>,
}

impl<'p> Moved<'p> {
    pub fn find(world: &World<'p>) -> Self {
        let mentioned = |which: Which| {
            let holders = &world.face(which).holders;
            holders.subjects.keys().copied().chain(holders.excepted.iter().copied())
        };
        let mut subjects: BTreeMap<(bool, u16), Vec<&'p str>> = BTreeMap::new();
        for which in [Which::Old, Which::New] {
            let known = &world.face(which).holders;
            let foreign = mentioned(which.other())
                .filter(|subject| !known.subjects.contains_key(subject) && !known.excepted.contains(subject));
            for (issuer, subject) in foreign.collect::<BTreeSet<_>>() {
                if known.populations.contains_key(&issuer) {
                    subjects.entry((which == Which::Old, issuer)).or_default().push(subject);
                }
            }
        }
        Self { subjects }
    }

    fn of(&self, which: Which, issuer: u16) -> &[&'p str] {
        self.subjects.get(&(which == Which::Old, issuer)).map_or(&[], Vec::as_slice)
    }
}

/// The proofs of an agent as credentials.
pub struct OwnProofs<'p> {
    which: Which,
    pub certificates: Vec<Credential<'p>>,
    pub tokens: Vec<Credential<'p>>,
    pub keys: Vec<Credential<'p>>,
    pub alternatives: Vec<Shown<'p>>,
    /// Some proof means something else to the other policy.
    pub differ: bool,
}

/// Sets of credentials that are tried before those that mean the same are left out; in tests, that is always so.
const FEW: usize = if cfg!(test) { 1 } else { 2_000 };

impl<'p> OwnProofs<'p> {
    pub fn of(world: &World<'p>, which: Which, agent: u32, moved: &Moved<'p>) -> Self {
        let mut own = Self::read(world, which, agent);
        own.differ = own.is_moved(world, which, agent);
        let issuers: Vec<u16> = own
            .tokens
            .iter()
            .filter_map(|token| match token {
                Credential::Token { issuer, subject, .. } if *subject == world.fresh_subject => Some(*issuer),
                _ => None,
            })
            .collect();
        let foreign = issuers.into_iter().flat_map(|issuer| {
            let bound = Bindings::NONE;
            moved.of(which, issuer).iter().map(move |subject| Credential::Token { issuer, subject, bound })
        });
        let known = own.tokens.len();
        own.tokens.extend(foreign);
        own.tokens = own.tokens.iter().flat_map(|token| in_all_forms(world, *token)).collect();
        own.differ |= own.tokens.len() > known;
        own
    }

    fn none(which: Which) -> Self {
        let (certificates, tokens, keys, alternatives) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { which, certificates, tokens, keys, alternatives, differ: false }
    }

    /// Certificate names that this policy passes over, of agents that the other policy takes one of these proofs for.
    pub fn kin(&self, world: &World<'p>, credential: &Credential<'p>) -> impl Iterator<Item = Credential<'p>> {
        let which = self.which;
        let others = holders(world, which.other(), credential).unwrap_or_default();
        let names = others.iter().flat_map(move |agent| Self::read(world, which.other(), *agent).certificates);
        names.filter(move |name| holders(world, which, name).is_none())
    }

    /// How many proofs of others are read to compare what these mean, at most; see `representative` and `kin`.
    pub fn reading(&self, world: &World<'p>) -> usize {
        let all = self.certificates.iter().chain(&self.tokens).chain(&self.keys);
        all.map(|credential| self.reading_of(world, credential)).sum()
    }

    /// The same for one of them.
    pub fn reading_of(&self, world: &World<'p>, credential: &Credential<'p>) -> usize {
        let of = |which: Which, credential: &Credential<'p>| {
            let agents = holders(world, which, credential).unwrap_or_default().iter();
            let sets =
                |agent: &u32| world.face(which).policy.agents.get(*agent as usize).map_or(0, |it| it.identity.len());
            agents.map(sets).sum::<usize>()
        };
        under_all(world, *credential).iter().map(|it| of(Which::Old, it) + of(Which::New, it)).sum()
    }

    /// Whether one certificate may show more of these proofs than a gateway has places for.
    pub fn may_be_too_many(&self, world: &World<'p>) -> bool {
        world.cas.len() > 1 && self.certificates.len() > CERTIFICATE_NAMES_MAX && {
            let face = world.face(self.which);
            let proofs = self.certificates.iter().filter_map(|credential| match credential {
                Credential::Certificate { ca, name: Some(name) } => {
                    face.table.certificate(world.ca_pair(*ca).at(self.which)?, (*name).into())
                }
                _ => None,
            });
            proofs.filter(|proof| !proof.is_plain()).count() >= CERTIFICATE_NAMES_MAX
        }
    }

    /// As one policy has them.
    pub fn read(world: &World<'p>, which: Which, agent: u32) -> Self {
        let mut own = Self::none(which);
        let identities = world.face(which).policy.agents.get(agent as usize).map_or(&[][..], |agent| &agent.identity);
        for identity in identities {
            if let Identity::Proofs(proofs) = identity {
                own.take(world, which, proofs);
            }
        }
        for list in [&mut own.certificates, &mut own.tokens, &mut own.keys] {
            list.sort_unstable();
            list.dedup();
        }
        own
    }

    fn take(&mut self, world: &World<'p>, which: Which, proofs: &'p Proofs) {
        let certificate = proofs.certificate.as_ref().and_then(|proof| {
            let ca = world.ca(which, &proof.ca)?;
            Some(Credential::Certificate { ca, name: Some(&proof.name) })
        });
        let token = proofs.token.as_ref().and_then(|proof| {
            let issuer = world.issuer(which, &proof.issuer)?;
            let subject = match &proof.subject {
                Subject::Exactly(subject) => subject,
                Subject::AnyBut(_) => world.fresh_subject,
            };
            Some(Credential::Token { issuer, subject, bound: world.needed(which, issuer, subject) })
        });
        self.certificates.extend(certificate);
        self.tokens.extend(token);
        self.keys.extend(proofs.api_keys.iter().map(|id| Credential::Key(id)));
        let keys: Vec<_> = match proofs.api_keys.as_slice() {
            [] => vec![None],
            ids => ids.iter().map(|id| Some(Credential::Key(id))).collect(),
        };
        let sets = keys.into_iter().filter_map(|key| together(certificate.into_iter().chain(token).chain(key)));
        self.alternatives.extend(sets);
    }

    /// Whether any proof, or the alternatives, mean something else to the other policy than this agent by its name.
    fn is_moved(&self, world: &World<'p>, which: Which, agent: u32) -> bool {
        let (face, other) = (world.face(which), world.face(which.other()));
        let Some(counterpart) = other.agents.get(face.agent_name(agent)).copied() else { return true };
        let alone = |credential: &Credential<'p>| {
            let held = |which: Which| holders(world, which, credential);
            held(which).is_some_and(|own| own == [agent]) && held(which.other()).is_some_and(|own| own == [counterpart])
        };
        if !self.certificates.iter().chain(&self.tokens).chain(&self.keys).all(alone) {
            return true;
        }
        let theirs = Self::read(world, which.other(), counterpart);
        let set = |own: &Self| own.alternatives.iter().cloned().collect::<HashSet<_>>();
        self.alternatives.len() != theirs.alternatives.len() || set(self) != set(&theirs)
    }

    /// Takes out the tokens that no policy tells from another one, unless there are few: each with those that are like it.
    pub fn take_alike(&mut self, world: &World<'p>) -> Vec<(Credential<'p>, Vec<Credential<'p>>)> {
        if self.sets() <= FEW {
            return Vec::new();
        }
        let mut places: HashMap<_, usize> = HashMap::new();
        let mut alike: Vec<(Credential<'p>, Vec<Credential<'p>>)> = Vec::new();
        for token in std::mem::take(&mut self.tokens) {
            let Credential::Token { issuer, subject, bound } = token else { continue };
            let side = |which: Which| {
                // Where it is named, what its alternatives need is its own.
                let named = world.face(which).holders.subjects.contains_key(&(issuer, subject));
                (holders(world, which, &token), named.then_some(subject), world.needed(which, issuer, subject))
            };
            let place = *places.entry((issuer, bound, side(Which::Old), side(Which::New))).or_insert(alike.len());
            match alike.get_mut(place) {
                Some((_, others)) => others.push(token),
                None => alike.push((token, Vec::new())),
            }
        }
        self.tokens = alike.iter().map(|(first, _)| *first).collect();
        alike.retain(|(_, others)| !others.is_empty());
        alike
    }

    /// How many sets these make.
    fn sets(&self) -> usize {
        let names = self.certificates.len();
        (1 + names * names * names) * (1 + self.tokens.len()) * (1 + self.keys.len())
    }

    /// Fewer proofs with the same pairs: of several that both policies treat alike, three certificate names and one
    /// token and key stand for all.
    pub fn representative(&self, world: &World<'p>) -> Self {
        let sets = self.sets();
        let keep = |all: &[Credential<'p>], count: usize| -> Vec<Credential<'p>> {
            if sets <= FEW {
                return all.to_vec();
            }
            let mut seen: HashMap<Meaning<'p>, usize> = HashMap::new();
            let is_new = |credential: &&Credential<'p>| {
                let seen = seen.entry(Meaning::of(world, credential)).or_default();
                *seen += 1;
                *seen <= count
            };
            all.iter().filter(is_new).copied().collect()
        };
        Self {
            which: self.which,
            certificates: keep(&self.certificates, 3),
            tokens: keep(&self.tokens, 1),
            keys: keep(&self.keys, 1),
            alternatives: Vec::new(),
            differ: self.differ,
        }
    }
}

/// What else alternatives need, by their agents.
type Needs<'p> = BTreeSet<(u32, Shown<'p>)>;

/// All that the policies make of one credential: credentials of the same kind with equal meanings can be exchanged.
#[derive(PartialEq, Eq, Hash)]
struct Meaning<'p> {
    known: Known,
    /// By CA for a certificate's name, as it is shown under each CA that the certificate chains to; and by side: who
    /// holds it (none: unknown), and what else each of their alternatives with it needs.
    sides: Vec<[(Option<Vec<u32>>, Needs<'p>); 2]>,
}

/// What is known of a credential besides its holders.
#[derive(PartialEq, Eq, Hash)]
enum Known {
    /// By the CA, and what kind of name it is.
    Certificate(u16, Option<NameKind>),
    /// How it narrows, whether each side knows its issuer, and where it is bound as needed.
    Token(Narrowing, [bool; 2], [bool; 2]),
    Key,
}

impl<'p> Meaning<'p> {
    fn of(world: &World<'p>, credential: &Credential<'p>) -> Self {
        let known = match credential {
            Credential::Certificate { ca, name } => Known::Certificate(*ca, name.map(NameKind::of)),
            Credential::Token { issuer, subject, bound: held } => {
                let ends = world.issuer_pair(*issuer);
                let bound = [Which::Old, Which::New].map(|which| held.hold(world.needed(which, *issuer, subject)));
                Known::Token(world.narrowing_of(*issuer), [ends.old.is_some(), ends.new.is_some()], bound)
            }
            Credential::Key(_) => Known::Key,
        };
        let side = |which: Which, credential: &Credential<'p>| {
            let held = holders(world, which, credential);
            let as_written = written(world, which, *credential);
            let mut needs = BTreeSet::new();
            for agent in held.unwrap_or_default() {
                for mut alternative in OwnProofs::read(world, which, *agent).alternatives {
                    if let Some(place) = alternative.iter().position(|it| *it == as_written) {
                        alternative.remove(place);
                        needs.insert((*agent, alternative));
                    }
                }
            }
            (held.map(<[u32]>::to_vec), needs)
        };
        let under = under_all(world, *credential);
        let sides = under.iter().map(|it| [side(Which::Old, it), side(Which::New, it)]).collect();
        Self { known, sides }
    }
}

/// A certificate's name under every CA; any other credential as it is.
pub fn under_all<'p>(world: &World<'p>, credential: Credential<'p>) -> Vec<Credential<'p>> {
    match credential {
        Credential::Certificate { name: name @ Some(_), .. } if world.cas.len() > 1 => {
            (0..world.cas.len() as u16).map(|ca| Credential::Certificate { ca, name }).collect()
        }
        other => vec![other],
    }
}

/// A certificate has one key and at most one SPIFFE id, and any number of host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    Spiffe,
    Dns,
    SpkiSha256,
}

impl NameKind {
    pub fn of(name: &CertificateName) -> Self {
        match name {
            CertificateName::Spiffe(_) => Self::Spiffe,
            CertificateName::Dns(_) => Self::Dns,
            CertificateName::SpkiSha256(_) => Self::SpkiSha256,
        }
    }
}

/// The credential that stands for this one in alternatives: a population's for its subjects, bound as is needed.
fn written<'p>(world: &World<'p>, which: Which, credential: Credential<'p>) -> Credential<'p> {
    match credential {
        Credential::Token { issuer, subject, .. } => {
            let named = world.face(which).holders.subjects.contains_key(&(issuer, subject));
            let subject = if named { subject } else { world.fresh_subject };
            Credential::Token { issuer, subject, bound: world.needed(which, issuer, subject) }
        }
        other => other,
    }
}

/// A token with every binding that the policies tell apart.
fn in_all_forms<'p>(world: &World<'p>, token: Credential<'p>) -> Vec<Credential<'p>> {
    match token {
        Credential::Token { issuer, subject, .. } => {
            let forms = world.forms(issuer, subject).into_iter();
            forms.map(|bound| Credential::Token { issuer, subject, bound }).collect()
        }
        other => vec![other],
    }
}

/// The agents that a credential is a proof of; none if the policy does not know it.
pub fn holders<'w, 'p>(world: &'w World<'p>, which: Which, credential: &Credential<'p>) -> Option<&'w [u32]> {
    let holders = &world.face(which).holders;
    match credential {
        Credential::Certificate { name: None, .. } => None,
        Credential::Certificate { ca, name: Some(name) } => holders.certificates.get(&(*ca, *name)),
        Credential::Token { issuer, subject, .. } if !holders.excepted.contains(&(*issuer, *subject)) => {
            holders.subjects.get(&(*issuer, *subject)).or_else(|| holders.populations.get(issuer))
        }
        Credential::Token { .. } => None,
        Credential::Key(id) => holders.keys.get(id),
    }
    .map(Vec::as_slice)
}
