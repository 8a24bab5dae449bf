//! The rate counters: one atomic word a limit, charged by all workers without a lock.
//!
//! An `Arena` belongs to the process. It holds the words, which never move, and finds them by stable id (agent and
//! limit name), so that activations alive at the same time share them and edits of a limit's numbers keep them. An
//! activation holds `Slots`: which word each limit index of its table means. Only making, dropping and saving take
//! the arena's lock; a charge takes none and allocates nothing.
//!
//! Limits are per gateway. Promises, for every order of clock readings and any number of workers: in any window of
//! `w` ns at most `burst + w / interval` admitted, a quota never exceeded, several limits charged all or nothing. A
//! request may be refused that would have fitted when it meets another one half way, or when its worker's clock is
//! behind that of another: never the other way round.

mod arena;
mod cell;
mod level;
mod lines;
mod slots;
mod snapshot;
mod subject;
mod subjects;
mod sync;

pub use arena::{Arena, LimitSpec};
pub use slots::{Charge, LimitStates, Refused, Slots};

/// Why counters cannot be laid out or taken back. All are the gateway's or its operator's, never a client's, and a
/// retry cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountersError {
    #[error("agent {agent} has more than {max} limits: let one agent have fewer")]
    LimitsPerAgent { agent: u32, max: usize },
    #[error("limit {limit} has the same stable id as another one: rename it")]
    SameStableId { limit: u32 },
    #[error(
        "counters for at most {max} agents with limits fit beside those still in use: restart with this release alone"
    )]
    LinesFull { max: usize },
    #[error(
        "limit {limit} counts {subjects_max} subjects, which need {wanted} slots, and {left} of {max} are left: lower \
         subjects_max"
    )]
    SubjectSlotsFull { limit: u32, subjects_max: u32, wanted: usize, left: usize, max: usize },
    #[error("limit {limit} was given room for more subjects {max} times since the start: restart to lay it out anew")]
    SubjectLevelsFull { limit: u32, max: usize },
    #[error(
        "the system gave no {bytes} bytes for further counters: free memory, or raise the limit that the gateway has"
    )]
    NoMemory { bytes: usize },
    #[error("saved counters are {found} bytes, expected at least {expected}: remove the file to start with none")]
    SnapshotShort { found: usize, expected: usize },
    #[error("saved counters do not begin as expected: this is another file, or one of another version")]
    SnapshotFormat,
    #[error("saved counters do not match their checksum: the file is damaged, remove it to start with none")]
    SnapshotChecksum,
    #[error("saved counters hold {what} that cannot be, at byte {at}: remove the file to start with none")]
    SnapshotValue { what: &'static str, at: usize },
}

#[cfg(test)]
mod tests;
