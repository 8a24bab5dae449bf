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
mod other;
mod read;
mod reading;
mod render;
mod schema;
mod suggest;
mod summary;
mod syntax;

pub use bounds::DIAGNOSTICS_MAX;
pub use codes::{CODES, Code};
pub use diagnostic::{Diagnostic, Related, Severity, Span};
pub use json::to_json;
pub use load::load;
pub use render::render;
pub use schema::schema;
pub use suggest::nearest;
pub use summary::{LimitSummary, Summary, summary};

use policy::case::{Asked, Case};
use policy::model::Policy;

/// `METHOD http[s]://host[:port]/target`, as a case has it.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn request(text: &str) -> Result<Asked, (String, Option<String>)> {
    forms::request::request(text).map_err(|flaw| (flaw.message, flaw.hint))
}

/// Reads files that a policy source names, by their path as written there (relative to the source).
pub trait Files {
    /// The bytes of a file, or why there are none.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// What became of a source.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// None if any diagnostic is an error.
    pub policy: Option<Policy>,
    /// The test cases, in the order of the text, those of the source itself first; none if there is no policy.
    pub cases: Vec<PlacedCase>,
    /// Of the source itself, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The files of cases that the source names, as far as they could be read, in its order.
    pub case_files: Vec<CaseFile>,
}

/// A file of cases with what was found in it.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// As the source names it.
    pub path: String,
    pub text: String,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// A case and where it stands.
#[derive(Clone, Debug)]
pub struct PlacedCase {
    pub case: Case,
    /// Index in [`Loaded::case_files`]; none: the source itself.
    pub file: Option<usize>,
    /// Line of its header, from 1.
    pub line: usize,
    /// Line of each step, from 1.
    pub step_lines: Vec<usize>,
}

#[cfg(test)]
mod tests;
