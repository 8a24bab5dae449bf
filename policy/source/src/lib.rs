//! The policy source: TOML that people write, read into the policy model with diagnostics that say what to do.
//!
//! Pure: files that a policy embeds come through a passed-in reader, and nothing depends on time or environment.
//! The same source gives the same policy on any machine.

mod bounds;
mod check;
mod codes;
mod diagnostic;
mod draft;
mod embed;
mod fields;
mod forms;
mod json;
mod load;
mod read;
mod reading;
mod render;
mod schema;
mod suggest;
mod summary;
mod syntax;

pub use codes::{CODES, Code};
pub use diagnostic::{Diagnostic, Related, Severity, Span};
pub use json::to_json;
pub use load::load;
pub use render::render;
pub use schema::schema;
pub use summary::{LimitSummary, Summary, summary};

use policy::model::Policy;

/// Reads files that a policy source names, by their path as written there (relative to the source).
pub trait Files {
    /// The bytes of a file, or why there are none.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// What became of a source.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// None if any diagnostic is an error.
    pub policy: Option<Policy>,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

#[cfg(test)]
mod tests;
