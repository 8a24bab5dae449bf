//! Runs the test cases of a policy, by the code that a gateway decides with, and says what no case touches.

pub mod coverage;
pub mod json;
pub mod junit;
mod play;
pub mod text;

use policy::case::Case;
use policy::compile::CompileError;
use policy::model::Policy;
use policy_evaluate::Evaluator;
use policy_release::digest::Digest;
use policy_release::manifest::Manifest;

use crate::failure::Failure;
use crate::source::{Source, Warnings};
use coverage::Coverage;

/// A policy with its cases.
pub struct Suite {
    /// File of the source or of the release.
    pub file: String,
    /// Of a release.
    pub digest: Option<Digest>,
    pub policy: Policy,
    pub cases: Vec<Located>,
}

/// A case and where it stands.
#[derive(Clone)]
pub struct Located {
    pub case: Case,
    pub file: String,
    /// From 1; none in a release.
    pub line: Option<usize>,
    /// Of each step.
    pub step_lines: Vec<usize>,
}

/// What came of a suite.
pub struct Outcome {
    pub file: String,
    pub policy: String,
    pub digest: Option<Digest>,
    pub cases: Vec<Played>,
    /// Cases that were left out by name.
    pub left_out: usize,
    pub coverage: Coverage,
}

/// What came of a case.
pub struct Played {
    pub name: String,
    pub file: String,
    pub line: Option<usize>,
    /// Requests that were decided.
    pub requests: u64,
    pub failed: Option<Failed>,
}

/// The first request of a case that came out otherwise.
pub struct Failed {
    /// From 1.
    pub step: usize,
    pub steps: usize,
    /// Line of the step.
    pub line: Option<usize>,
    /// Which of the equal requests of the step, from 1.
    pub nth: u32,
    pub repeat: u32,
    /// The request in words.
    pub request: String,
    pub expected: String,
    pub got: String,
    /// How it was decided, in plain words, line by line.
    pub how: Vec<String>,
}

impl Suite {
    /// Of a source without errors.
    pub fn of_source(source: &Source, warnings: Warnings) -> Result<Self, Failure> {
        let policy = source.policy(warnings)?.clone();
        let located = |placed: &policy_source::PlacedCase| Located {
            case: placed.case.clone(),
            file: placed.file.map_or_else(|| source.name(), |index| source.case_file(index)),
            line: Some(placed.line),
            step_lines: placed.step_lines.clone(),
        };
        let cases = source.loaded().cases.iter().map(located).collect();
        Ok(Self { file: source.name(), digest: None, policy, cases })
    }

    /// Of a release, whose cases are sorted by name.
    pub fn of_release(file: &str, digest: Digest, manifest: &Manifest) -> Result<Self, Failure> {
        let located = |case: Case| {
            // Checked where a source is read; a release may come from anybody.
            let case = Case { name: text::harmless(&case.name), ..case };
            Located { case, file: file.to_owned(), line: None, step_lines: Vec::new() }
        };
        let cases = manifest.cases().map_err(|fault| Failure::new(format_args!("{file}: {fault}")))?;
        let cases = cases.into_iter().map(located).collect();
        Ok(Self { file: file.to_owned(), digest: Some(digest), policy: manifest.policy.clone(), cases })
    }

    /// Runs the cases whose name holds `filter`.
    pub fn run(&self, filter: &str) -> Result<Outcome, CompileError> {
        let evaluator = Evaluator::new(&self.policy, [0; 32])?;
        let mut coverage = Coverage::of(&self.policy);
        let chosen = self.cases.iter().filter(|located| located.case.name.contains(filter));
        let cases: Vec<Played> = chosen.map(|located| play::case(located, &evaluator, &mut coverage)).collect();
        let left_out = self.cases.len() - cases.len();
        let (file, policy) = (self.file.clone(), self.policy.name.clone());
        Ok(Outcome { file, policy, digest: self.digest, cases, left_out, coverage })
    }
}

impl Outcome {
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.failed.is_some()).count()
    }

    pub fn passed(&self) -> usize {
        self.cases.len() - self.failed()
    }
}

impl Played {
    /// `file:line` of what failed: its step, or its header.
    pub fn place_of(&self, failed: &Failed) -> String {
        let line = failed.line.or(self.line);
        line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file))
    }
}
