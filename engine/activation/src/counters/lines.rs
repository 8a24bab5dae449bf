//! Which line of counters each agent has, in so few bytes that they stay near the processor however many agents there are:
//! what charging an agent will write can be asked for as soon as the agent is known, and waits for nothing read before.
//!
//! Lines are given out one after the other, so almost every agent has the line after that of the agent before it, whatever
//! release came in between. The others, and those with limits beside their words, are found limit by limit.

use policy::bounds::AGENTS_MAX;
use policy::table::AgentId;

use super::arena::{LimitSpec, Place, WORDS_PER_LINE};

/// Agents of consecutive numbers, of which those in `regular` have consecutive lines.
#[derive(Clone, Copy, Default)]
struct Block {
    /// Line of the first agent in `regular`.
    first: u32,
    /// One bit an agent.
    regular: u64,
}

const AGENTS_PER_BLOCK: u32 = u64::BITS;

/// Agents from the first that has limits on, of which each has the line after that of the agent with the number before:
/// all of them, where each has limits and no release before gave out lines. Theirs are known without reading a block.
#[derive(Clone, Copy, Default)]
struct Run {
    agent: u32,
    line: u32,
    length: u32,
}

/// The lines of the agents whose limits are, in their order, the first words of one line.
pub struct AgentLines {
    run: Run,
    blocks: Box<[Block]>,
}

impl AgentLines {
    /// `places` are those of `limits`.
    pub fn of(limits: &[LimitSpec], places: &[Place]) -> Self {
        let (mut run, mut blocks) = (Run::default(), Vec::new());
        let mut places = places.iter();
        for group in limits.chunk_by(|one, other| one.agent == other.agent) {
            let line = line_of(places.by_ref().take(group.len()));
            if let (Some(line), Some(limit)) = (line, group.first().filter(|limit| (limit.agent as usize) < AGENTS_MAX))
            {
                run.add(limit.agent, line);
                let (number, bit) = (limit.agent / AGENTS_PER_BLOCK, limit.agent % AGENTS_PER_BLOCK);
                if blocks.len() <= number as usize {
                    blocks.resize(number as usize + 1, Block::default());
                }
                if let Some(block) = blocks.get_mut(number as usize) {
                    block.add(bit, line);
                }
            }
        }
        Self { run, blocks: blocks.into() }
    }

    /// The line of an agent.
    #[inline]
    pub fn line(&self, agent: AgentId) -> Option<u32> {
        let place = agent.0.wrapping_sub(self.run.agent);
        if place < self.run.length {
            return Some(self.run.line + place);
        }
        let block = self.blocks.get((agent.0 / AGENTS_PER_BLOCK) as usize)?;
        let bit = 1_u64 << (agent.0 % AGENTS_PER_BLOCK);
        (block.regular & bit != 0).then(|| block.first + (block.regular & (bit - 1)).count_ones())
    }
}

impl Run {
    /// Takes an agent if it is the next one; its number is above those of the others.
    fn add(&mut self, agent: u32, line: u32) {
        if self.length == 0 {
            (self.agent, self.line) = (agent, line);
        }
        if agent.checked_sub(self.agent) == Some(self.length) && line.checked_sub(self.line) == Some(self.length) {
            self.length += 1;
        }
    }
}

impl Block {
    /// Takes an agent in whose line is the next one, and whose number is above those of the others.
    fn add(&mut self, bit: u32, line: u32) {
        if self.regular == 0 {
            self.first = line;
        }
        if self.first + self.regular.count_ones() == line && self.regular >> bit == 0 {
            self.regular |= 1 << bit;
        }
    }
}

/// The line whose first words these are, in their order.
fn line_of<'p>(places: impl Iterator<Item = &'p Place>) -> Option<u32> {
    let mut line = None;
    // Every place is taken from the iterator, also behind one that does not fit.
    let fits = (0_u32..).zip(places).fold(true, |fits, (at, place)| match place {
        Place::Word(word) => {
            let own = *word / WORDS_PER_LINE;
            fits & (*word % WORDS_PER_LINE == at) & (*line.get_or_insert(own) == own)
        }
        Place::Subjects(_) | Place::Saved(_) => false,
    });
    line.filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use policy::model::Per;
    use policy::rate::Quota;
    use policy::table::LimitKind;

    use super::*;

    fn lines(agents: &[(u32, &[u32])]) -> AgentLines {
        let kind = LimitKind::Quota(Quota { window_s: 1, count: 1 });
        let spec = |agent| LimitSpec { agent, stable_id: 0, kind, per: Per::Agent };
        let specs: Vec<_> = agents.iter().flat_map(|(agent, words)| words.iter().map(|_| spec(*agent))).collect();
        let places: Vec<_> = agents.iter().flat_map(|(_, words)| words.iter().map(|word| Place::Word(*word))).collect();
        AgentLines::of(&specs, &places)
    }

    #[test]
    fn an_agents_line_is_its_own_or_unknown() {
        // 3 has none; 4 has other words of its line; 6 has a line out of turn; 70 stands in a block of its own.
        let agents: [(u32, &[u32]); 7] =
            [(1, &[8, 9]), (2, &[16]), (4, &[25, 24]), (5, &[24, 25, 26]), (6, &[80]), (7, &[32, 40]), (70, &[48])];
        let lines = lines(&agents);
        let of = |agent| lines.line(AgentId(agent));
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7, 70].map(of),
            [None, Some(1), Some(2), None, None, Some(3), None, None, Some(6)]
        );
        assert_eq!([8, 63, 64, 71, 128, u32::MAX].map(of), [None; 6]);
    }

    #[test]
    fn a_whole_block_and_the_next_are_known() {
        let words: Vec<u32> = (0..130).map(|agent| agent * 8).collect();
        let agents: Vec<(u32, &[u32])> = (0..).zip(words.chunks(1)).collect();
        let lines = lines(&agents);
        assert!((0..130).all(|agent| lines.line(AgentId(agent)) == Some(agent)));
        assert_eq!(lines.line(AgentId(130)), None);
    }

    #[test]
    fn agents_beyond_a_run_are_found_by_their_blocks() {
        // The first has a line of before: the run ends with it, and so does what its block can say.
        let words: Vec<u32> = std::iter::once(1_600).chain((1..130).map(|agent| agent * 8)).collect();
        let agents: Vec<(u32, &[u32])> = (0..).zip(words.chunks(1)).collect();
        let lines = lines(&agents);
        assert_eq!(lines.line(AgentId(0)), Some(200));
        assert!((1..64).all(|agent| lines.line(AgentId(agent)).is_none()));
        assert!((64..130).all(|agent| lines.line(AgentId(agent)) == Some(agent)));
    }
}
