//! One run: where its chains and its tree stand, and what its next line must be.

use std::collections::{BTreeMap, VecDeque};

use super::misfit::{Branch, Displaced, Repeat};
use super::{Around, Held};
use crate::Hash;
use crate::bounds::{DISPLACED_LINES_MAX, REPEATED_LINES_MAX, SIZE_MAX};
use crate::line::{self, Chain, Chained, Link};
use crate::log::{Head, Told};
use crate::merkle::{Frontier, leaf_hash};
use crate::report::{Ended, Kind, Proved, lines};

/// A line's place in what is read.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub file: usize,
    pub line: u64,
}

/// Where chains and tree stand.
#[derive(Clone, Debug)]
pub struct State {
    heads: BTreeMap<Chain, Head>,
    /// Chains that are not in `heads` have not begun; otherwise nothing is known of them.
    complete: bool,
    /// Number of the next line in the run.
    pub leaf: u64,
    /// None when leaves are missing.
    pub tree: Option<Frontier>,
    /// Missing lines of which it is not known whose they were.
    lost: u64,
}

/// A line that was there, to recognise it when it comes again.
#[derive(Clone, Copy)]
pub struct Past {
    pub hash: Hash,
    pub previous: Hash,
    pub spot: Spot,
}

pub struct Run {
    pub origin: Option<String>,
    pub key: Option<String>,
    pub first: (Spot, Link),
    pub last: (Spot, Link),
    pub lines: u64,
    pub chains: BTreeMap<Chain, u64>,
    pub ended: Ended,
    /// Its stop line has been there.
    pub stopped: bool,
    pub proved: Option<Proved>,
    pub proved_outside: Option<Proved>,
    pub mismatches: u64,
    pub state: State,
    /// The last lines, oldest first; the tree before them, and the number of the first of them.
    pub past: VecDeque<Past>,
    pub past_tree: Option<Frontier>,
    /// Oldest first.
    pub branches: Vec<Branch>,
    pub displaced: Vec<Displaced>,
    pub repeat: Option<Repeat>,
    /// Repeated lines that a `written-again` line has to explain.
    pub owed: Vec<Repeat>,
    /// Lines without a chain member since the last good one.
    pub unchained: u64,
}

impl State {
    pub fn new() -> Self {
        Self { heads: BTreeMap::new(), complete: true, leaf: 0, tree: Some(Frontier::default()), lost: 0 }
    }

    pub fn continued(tree: Frontier, heads: Vec<(Chain, Head)>) -> Self {
        Self { heads: heads.into_iter().collect(), complete: true, leaf: tree.size(), tree: Some(tree), lost: 0 }
    }

    pub const fn unanchored(leaf: u64) -> Self {
        Self { heads: BTreeMap::new(), complete: false, leaf, tree: None, lost: 0 }
    }

    /// Where a chain stands; None when nothing is known of it.
    pub fn head(&self, origin: Option<&str>, chain: Chain) -> Option<Head> {
        let known = self.heads.get(&chain).copied();
        known.or_else(|| {
            let origin = origin.filter(|_| self.complete)?;
            Some(Head { next: 0, hash: line::genesis(origin, chain) })
        })
    }

    /// Whether the line is the next one of its chain; of a chain of which nothing is known, any is.
    pub fn links(&self, origin: Option<&str>, chained: &Chained<'_>) -> bool {
        match self.head(origin, chained.link.chain) {
            Some(head) => head.next == chained.link.sequence && chained.follows(&head.hash),
            None => true,
        }
    }

    /// Whether the line is the next one in every respect.
    pub fn fits(&self, origin: Option<&str>, chained: &Chained<'_>) -> bool {
        chained.link.leaf == self.leaf && self.links(origin, chained)
    }

    /// Whether lines that are known to be missing explain that this one does not link: how many of its chain.
    pub fn excuses(&self, origin: Option<&str>, link: &Link) -> Option<u64> {
        let gap = link.sequence.checked_sub(self.head(origin, link.chain)?.next)?;
        (link.leaf == self.leaf && gap > 0 && gap <= self.lost).then_some(gap)
    }

    /// Goes on without `missing` lines, of which `known` are told already.
    pub const fn lose(&mut self, missing: u64, known: u64) {
        self.lost = self.lost.saturating_add(missing.saturating_sub(known));
    }

    /// As if the next line were missing, whosever it is.
    pub fn without_next(&self) -> Self {
        Self { leaf: self.leaf.saturating_add(1), tree: None, lost: self.lost.saturating_add(1), ..self.clone() }
    }

    pub const fn regain(&mut self, found: u64) {
        self.lost = self.lost.saturating_sub(found);
    }

    /// Goes on behind a line, whether or not it fitted.
    pub fn advance(&mut self, link: &Link) {
        self.heads.insert(link.chain, Head { next: link.sequence.saturating_add(1), hash: link.hash });
        if let Some(tree) = self.tree.as_mut().filter(|tree| tree.size() == link.leaf && link.leaf < SIZE_MAX) {
            tree.push(leaf_hash(&link.hash));
        } else {
            self.tree = None;
        }
        self.leaf = link.leaf.saturating_add(1);
    }
}

impl Run {
    pub fn new(origin: Option<String>, spot: Spot, link: &Link, state: State) -> Self {
        Self {
            origin,
            key: None,
            first: (spot, *link),
            last: (spot, *link),
            lines: 0,
            chains: BTreeMap::new(),
            ended: Ended::Open,
            stopped: false,
            proved: None,
            proved_outside: None,
            mismatches: 0,
            past_tree: state.tree.clone(),
            state,
            past: VecDeque::new(),
            branches: Vec::new(),
            displaced: Vec::new(),
            repeat: None,
            owed: Vec::new(),
            unchained: 0,
        }
    }

    pub fn take(&mut self, around: &mut Around<'_>, spot: Spot, bytes: &[u8], chained: &Chained<'_>) {
        if self.repeats_on(chained) {
            return;
        }
        if self.state.fits(self.origin.as_deref(), chained) {
            self.settle_repeat(around);
            self.accept(around, spot, bytes, chained);
        } else {
            self.misfit(around, spot, bytes, chained);
        }
    }

    /// Takes a line as the next one.
    pub fn accept(&mut self, around: &mut Around<'_>, spot: Spot, bytes: &[u8], chained: &Chained<'_>) {
        let link = chained.link;
        let told = (link.chain == Chain::Control).then(|| Told::read(bytes)).flatten();
        if self.stopped {
            let at = spot.at(around.files, Some(&link));
            let what =
                "stands after the stop line of its run, though a gateway writes nothing after that: it was made up";
            around.report.find(Kind::Foreign, Some(at), self.origin.as_deref(), what.to_owned());
        }
        if link.chain == Chain::Control {
            self.hear(around, spot, told, &link);
        }
        let previous = self.state.head(self.origin.as_deref(), link.chain).map_or([0; 32], |head| head.hash);
        self.state.advance(&link);
        self.remember(Past { hash: link.hash, previous, spot });
        for branch in &mut self.branches {
            branch.lines += 1;
            branch.last = spot;
            if branch.block.len() < DISPLACED_LINES_MAX {
                branch.block.push(Displaced { leaf: link.leaf, bytes: bytes.to_vec(), finding: None });
            }
        }
        self.lines += 1;
        *self.chains.entry(link.chain).or_default() += 1;
        self.last = (spot, link);
        self.unchained = 0;
        self.compare(around, spot, &link);
    }

    fn remember(&mut self, past: Past) {
        if self.past.len() >= REPEATED_LINES_MAX
            && let Some(oldest) = self.past.pop_front()
            && let Some(tree) = &mut self.past_tree
        {
            tree.push(leaf_hash(&oldest.hash));
        }
        self.past.push_back(past);
    }

    /// Lines of the gateway itself that say something about the log.
    fn hear(&mut self, around: &mut Around<'_>, spot: Spot, told: Option<Told>, link: &Link) {
        self.ended = match &told {
            Some(Told::Stop) => Ended::Stop,
            Some(Told::Rotation) => Ended::Rotation,
            _ => Ended::Open,
        };
        self.stopped |= matches!(told, Some(Told::Stop));
        match told {
            Some(Told::Continued { origin, frontier, heads }) => {
                self.anchor(around, spot, link, origin, State::continued(frontier, heads));
            }
            Some(Told::WrittenAgain { lines }) => {
                let mut left = lines;
                self.owed.retain(|repeat| {
                    let explained = repeat.lines <= left;
                    left = left.saturating_sub(repeat.lines);
                    !explained
                });
            }
            _ => {}
        }
    }

    /// A `continued` line: says where everything stood before it.
    fn anchor(&mut self, around: &mut Around<'_>, spot: Spot, link: &Link, origin: String, told: State) {
        let at = spot.at(around.files, Some(link));
        let same_log = self.origin.as_ref().is_none_or(|known| *known == origin);
        let same_heads = self.state.heads.iter().all(|(chain, head)| told.heads.get(chain) == Some(head));
        let same_tree = self.state.tree.as_ref().is_none_or(|tree| told.tree.as_ref() == Some(tree));
        if !(same_log && same_heads && same_tree && told.leaf == link.leaf) {
            let what = "says that other lines stand before it than do: they were changed together with their chain";
            around.report.find(Kind::Root, Some(at), self.origin.as_deref(), what.to_owned());
        }
        if self.state.tree.is_none() {
            self.past.clear();
            self.past_tree = told.tree.clone();
        }
        self.origin = Some(origin);
        self.state = told;
    }

    /// Compares the tree with what was signed at this size.
    fn compare(&mut self, around: &mut Around<'_>, spot: Spot, link: &Link) {
        let Some(tree) = &self.state.tree else { return };
        let held = self.origin.as_ref().and_then(|origin| around.held.get(origin)?.get(&tree.size()));
        let Some(held) = held else { return };
        let root = tree.root();
        let (matching, other): (Vec<&Held>, Vec<&Held>) = held.iter().partition(|held| held.checkpoint.root == root);
        let at = spot.at(around.files, Some(link));
        for other in other {
            self.mismatches += 1;
            if self.mismatches > 1 {
                continue;
            }
            let since = match &self.proved {
                Some(proved) => format!("after {}", proved.at),
                None => format!("from {}", self.first.0.at(around.files, None)),
            };
            let what = format!(
                "the checkpoint of {} that {} signed ({}) does not match these lines: something {since} and up to here \
                 was changed together with its chain, or two histories were signed",
                lines(other.checkpoint.size),
                other.signer,
                other.place
            );
            around.report.find(Kind::Root, Some(at.clone()), self.origin.as_deref(), what);
        }
        let proved = |held: &[&Held]| {
            let first = held.first()?;
            let places = held.iter().map(|held| held.place.clone()).collect();
            Some(Proved { size: link.leaf + 1, at: at.clone(), signer: first.signer.clone(), held: places })
        };
        let outside: Vec<&Held> = matching.iter().copied().filter(|held| held.outside).collect();
        self.proved_outside = proved(&outside).or(self.proved_outside.take());
        self.proved = proved(&matching).or(self.proved.take());
    }
}
