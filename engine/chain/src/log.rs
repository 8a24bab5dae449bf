//! The log of one run as its writer keeps it, and what its own lines say about it.

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::line::{self, Chain};
use crate::merkle::{Frontier, leaf_hash};
use crate::{Hash, base64, unbase64};

/// Members of the lines of kind `start` and `continued`.
pub const ORIGIN: &str = "adamant.log";
/// The node's public key, for orientation: it proves nothing.
pub const KEY: &str = "adamant.log.key";
/// The last checkpoint of the run before: `ORIGIN SIZE ROOT`.
pub const PREVIOUS: &str = "adamant.log.previous";
/// Of a line of kind `continued`: the lines before it, the roots of their perfect subtrees, and each chain's head.
pub const SIZE: &str = "adamant.log.size";
pub const FRONTIER: &str = "adamant.log.frontier";
pub const CHAINS: &str = "adamant.log.chains";
/// Of a line of kind `written-again`.
pub const LINES_AGAIN: &str = "adamant.lines_again";

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence of the next line.
    pub next: u64,
    /// Hash of the last one, or the genesis.
    pub hash: Hash,
}

/// A growing log.
#[derive(Clone, Debug)]
pub struct Log {
    origin: String,
    frontier: Frontier,
    control: Head,
    workers: Vec<Head>,
}

impl Log {
    pub fn new(origin: String, workers: usize) -> Self {
        let head = |chain| Head { next: 0, hash: line::genesis(&origin, chain) };
        let workers = (0..u32::try_from(workers).unwrap_or(u32::MAX)).map(|index| head(Chain::Worker(index))).collect();
        Self { frontier: Frontier::default(), control: head(Chain::Control), workers, origin }
    }

    /// Seals the line that begins at `start` and ends with `}\n`: the next of its chain and of the log.
    pub fn seal(&mut self, lines: &mut Vec<u8>, start: usize, chain: Chain) {
        let head = match chain {
            Chain::Worker(index) => self.workers.get_mut(index as usize),
            Chain::Control => None,
        };
        // No worker is out of range; if one were, its line would stand in the control chain rather than in none.
        let (head, chain) = head.map_or((&mut self.control, Chain::Control), |head| (head, chain));
        head.hash = line::append(lines, start, &head.hash, chain, head.next, self.frontier.size());
        head.next += 1;
        self.frontier.push(leaf_hash(&head.hash));
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Lines so far.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The next sequence of a worker's chain.
    pub fn next(&self, worker: usize) -> u64 {
        self.workers.get(worker).map_or(0, |head| head.next)
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let (size, root) = (self.size(), self.frontier.root());
        Checkpoint { origin: self.origin.clone(), size, root, extensions: Vec::new() }
    }

    /// The value of [`FRONTIER`] as JSON.
    pub fn frontier_json(&self) -> String {
        Value::from(self.frontier.roots().iter().map(base64).collect::<Vec<_>>()).to_string()
    }

    /// The value of [`CHAINS`] as JSON.
    pub fn chains_json(&self) -> String {
        let head = |head: &Head| Value::from(format!("{}:{}", head.next, base64(&head.hash)));
        let workers = self.workers.iter().enumerate().map(|(index, of)| (index.to_string(), head(of)));
        let all = std::iter::once((Chain::Control.to_string(), head(&self.control))).chain(workers);
        Value::Object(all.collect()).to_string()
    }
}

/// The value of [`PREVIOUS`].
pub fn previous_text(checkpoint: &Checkpoint) -> String {
    format!("{} {} {}", checkpoint.origin, checkpoint.size, base64(&checkpoint.root))
}

/// What a line of the gateway itself says about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Start { origin: String, key: Option<String>, previous: Option<Previous> },
    Continued { origin: String, frontier: Frontier, heads: Vec<(Chain, Head)> },
    Rotation,
    Stop,
    WrittenAgain { lines: u64 },
    Other,
}

/// The last checkpoint of the run before, as a start line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// Kinds of lines by which a log tells of itself, beside its start.
pub const KINDS: [&str; 4] = ["continued", "rotation", "stop", "written-again"];

impl Told {
    /// Reads a line of the control chain; None when it does not say what its kind must say.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(match line.get("adamant.kind")?.as_str()? {
            "start" => {
                let previous = match text(PREVIOUS) {
                    Some(previous) => Some(Previous::read(&previous)?),
                    None => None,
                };
                Self::Start { origin: text(ORIGIN)?, key: text(KEY), previous }
            }
            "continued" => {
                let roots: Option<_> =
                    line.get(FRONTIER)?.as_array()?.iter().map(|root| unbase64(root.as_str()?)).collect();
                let frontier = Frontier::of(line.get(SIZE)?.as_u64()?, roots?)?;
                let chains = line.get(CHAINS)?.as_object()?;
                let heads: Option<_> = chains.iter().map(|(chain, head)| read_head(chain, head)).collect();
                Self::Continued { origin: text(ORIGIN)?, frontier, heads: heads? }
            }
            "rotation" => Self::Rotation,
            "stop" => Self::Stop,
            "written-again" => Self::WrittenAgain { lines: line.get(LINES_AGAIN)?.as_u64()? },
            _ => Self::Other,
        })
    }
}

impl Previous {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, ' ');
        let (root, size, origin) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { origin: origin.to_owned(), size: size.parse().ok()?, root: unbase64(root)? })
    }
}

fn read_head(chain: &str, head: &Value) -> Option<(Chain, Head)> {
    let (next, hash) = head.as_str()?.split_once(':')?;
    Some((Chain::read(chain)?, Head { next: next.parse().ok()?, hash: unbase64(hash)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_say_where_it_stands() {
        let mut log = Log::new("node/now".to_owned(), 2);
        let mut lines = Vec::new();
        for chain in [Chain::Control, Chain::Worker(1), Chain::Worker(1)] {
            let start = lines.len();
            lines.extend_from_slice(b"{\"a\":1}\n");
            log.seal(&mut lines, start, chain);
        }
        assert_eq!((log.size(), log.next(0), log.next(1)), (3, 0, 2));
        let text = format!(
            "{{\"adamant.kind\":\"continued\",\"{ORIGIN}\":\"node/now\",\"{SIZE}\":3,\"{FRONTIER}\":{},\"{CHAINS}\":{}}}",
            log.frontier_json(),
            log.chains_json()
        );
        let Some(Told::Continued { origin, frontier, heads }) = Told::read(text.as_bytes()) else { panic!("{text}") };
        assert_eq!((origin, frontier), (log.origin.clone(), log.frontier.clone()));
        let mut expected = vec![(Chain::Control, log.control), (Chain::Worker(0), log.workers[0])];
        expected.push((Chain::Worker(1), log.workers[1]));
        let mut heads = heads;
        heads.sort_by_key(|(chain, _)| *chain);
        assert_eq!(heads, expected);
        let previous = Previous::read(&previous_text(&log.checkpoint())).unwrap();
        assert_eq!((previous.size, previous.root), (3, log.checkpoint().root));
    }

    #[test]
    fn a_line_that_says_half_of_it_says_nothing() {
        assert_eq!(Told::read(b"{\"adamant.kind\":\"start\"}"), None);
        assert_eq!(
            Told::read(b"{\"adamant.kind\":\"start\",\"adamant.log\":\"o\",\"adamant.log.previous\":\"x\"}"),
            None
        );
        assert_eq!(Told::read(b"{\"adamant.kind\":\"continued\",\"adamant.log\":\"o\"}"), None);
        assert_eq!(Told::read(b"{\"adamant.kind\":\"keyset\"}"), Some(Told::Other));
        assert_eq!(Told::read(b"no json"), None);
    }
}
