//! Whether a trust root, a pointer or a release that somebody brought is to be believed: bytes in, verdict out. Nothing
//! here reads a file or a clock; what was accepted before, and the time, are arguments.
//!
//! [`roots::successor`] → [`pointer::check`] → [`pointer::fresh`] → [`release::check`] → [`release::threshold`] →
//! [`pointer::threshold`]. Beside them [`revocations::check`] and [`key_set::check`], which none of these
//! holds up.

pub mod change;
pub mod key_set;
pub mod lists;
pub mod pointer;
pub mod refusal;
pub mod release;
pub mod revocations;
pub mod roots;

pub use change::Change;
pub use refusal::{Check, Refusal};

use policy_release::version::EngineVersion;

/// What this gateway is.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The one policy that it may serve.
    pub policy: String,
    pub engine: EngineVersion,
}

#[cfg(test)]
mod tests;
