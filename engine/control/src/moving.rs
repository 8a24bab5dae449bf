//! What moves under a release: where it is fetched from, when, what is kept of it, and the log of every refresh.

pub mod credential;
pub mod fetch;
pub mod gone;
pub mod kept;
pub mod lease;
pub mod rotation;
pub mod schedule;
pub mod standing;

pub use rotation::{Outcome, Rotation, Why};
