//! One request decided step by step, as a gateway decides it: for tests, explanations and replays.
//!
//! The decision itself is the gateway's own code (`policy::decide`, `policy::account`, `policy::rate`); what stands here
//! brings names to it instead of bytes from the wire, keeps counters without atomics, and puts what happened into
//! words. Pure: time is an argument.

mod charge;
mod counters;
mod evaluator;
mod nearly;
mod presented;
mod steps;
mod words;

pub use counters::{Claim, Counter, Counters, Memory, Recorded};
pub use evaluator::{Evaluation, Evaluator, LimitLook, Request, Step, Topic};
pub use presented::{Certificate, Presented, PresentedError, Token, presented_as, presented_by};

#[cfg(test)]
mod tests;
