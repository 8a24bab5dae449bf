//! What can go wrong while measuring.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// The thing under test did not do what a measurement needs.
    #[error("{0}")]
    Subject(String),
    #[error(transparent)]
    Results(#[from] crate::results::Fault),
    #[error("expected {expected}, found {found:?}")]
    Argument { expected: &'static str, found: String },
}

impl Failure {
    /// For `map_err`: an I/O error with what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// As [`Failure::io`], for errors of system calls.
    pub fn system(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let what = what.into();
        move |errno| Self::Io { what, source: errno.into() }
    }
}
