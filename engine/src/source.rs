//! Reads a policy source and the files that it embeds from disk.

mod ended;
mod injected;
mod place;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use policy::model::Policy;
use policy_source::{Diagnostic, Files, Loaded, Severity};

use crate::failure::Failure;
use crate::terminal::text;
use crate::{files, fit};

/// Bytes of a policy source.
const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a file that a policy embeds; the reader of the source says more about those that are too large.
const EMBEDDED_BYTES_MAX: usize = 4 << 20;

/// Whether warnings are shown on standard error. Errors always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warnings {
    #[default]
    Shown,
    /// They were shown before, or are of what runs already.
    Known,
}

/// A policy source as it was read, with what there is to say about it.
pub struct Source {
    text: String,
    loaded: Loaded,
    path: PathBuf,
    inputs: Vec<Input>,
}

/// A file that the policy comes from.
pub struct Input {
    pub path: PathBuf,
    /// None: it could not be read.
    pub bytes: Option<Vec<u8>>,
}

/// Files next to the policy source; those that were asked for are kept.
struct Beside {
    directory: PathBuf,
    read: RefCell<Vec<Input>>,
}

impl Files for Beside {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.directory.join(name);
        let found = files::read(&path, EMBEDDED_BYTES_MAX).map_err(|fault| fault.to_string());
        self.read.borrow_mut().push(Input { path, bytes: found.as_ref().ok().cloned() });
        found
    }
}

/// Reads a policy source; its mistakes are in the result.
pub fn read(path: &Path) -> Result<Source, Failure> {
    let bytes = files::read(path, SOURCE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
    Ok(of_text(path, text))
}

/// The same of a text that stands, or is to stand, at `path`.
pub fn of_text(path: &Path, text: String) -> Source {
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let beside = Beside { directory, read: RefCell::default() };
    let mut loaded = policy_source::load(&path.display().to_string(), &text, &beside);
    let errors = loaded.policy.as_ref().map(|policy| injected::errors(policy, &text)).unwrap_or_default();
    if !errors.is_empty() {
        loaded.policy = None;
        loaded.diagnostics.extend(errors);
        loaded.diagnostics.sort_by_key(|found| found.span);
    }
    let mut inputs = beside.read.into_inner();
    inputs.insert(0, Input { path: path.to_owned(), bytes: Some(text.clone().into_bytes()) });
    Source { text, loaded, path: path.to_owned(), inputs }
}

impl Source {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// As diagnostics call it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The source itself, and every file that it names.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// A file of cases, as diagnostics call it.
    pub fn case_file(&self, index: usize) -> String {
        let path = self.loaded.case_files.get(index).map_or("", |file| &file.path);
        self.path.parent().unwrap_or(Path::new("")).join(path).display().to_string()
    }

    /// Findings of one severity, in the source and its files of cases.
    pub fn count(&self, severity: Severity) -> usize {
        let of = |found: &[Diagnostic]| found.iter().filter(|found| found.severity == severity).count();
        let in_cases: usize = self.loaded.case_files.iter().map(|file| of(&file.diagnostics)).sum();
        of(&self.loaded.diagnostics) + in_cases
    }

    /// Adds warnings of what has ended at `now_s` (Unix seconds). Not part of reading: that gives
    /// the same at any time.
    pub fn look_at_ends(&mut self, now_s: u64) {
        let Some(policy) = &self.loaded.policy else { return };
        self.loaded.diagnostics.extend(ended::warnings(policy, &self.text, now_s));
        self.loaded.diagnostics.sort_by_key(|found| found.span);
    }

    /// Makes of the policy what a gateway would, and throws it away: some faults show only then. Nothing to compile is no
    /// fault.
    pub fn compiles(&self) -> Result<(), Failure> {
        let Some(policy) = &self.loaded.policy else { return Ok(()) };
        fit::policy(policy).map_err(|fault| Failure::new(format_args!("{}: {fault}", self.name())))
    }

    /// The diagnostics for people; empty when there are none.
    pub fn diagnostics(&self, color: bool) -> String {
        let mut all = policy_source::render(&self.loaded.diagnostics, &text(&self.name()), &self.text, color);
        for (index, file) in self.loaded.case_files.iter().enumerate() {
            all.push_str(&policy_source::render(&file.diagnostics, &text(&self.case_file(index)), &file.text, color));
        }
        all
    }

    /// The policy, if the source has no errors and compiles. What is wrong with it is shown on standard error.
    pub fn policy(&self, warnings: Warnings) -> Result<&Policy, Failure> {
        use std::io::IsTerminal as _;
        if warnings == Warnings::Shown || self.count(Severity::Error) > 0 {
            eprint!("{}", self.diagnostics(std::io::stderr().is_terminal()));
        }
        self.compiles()?;
        self.loaded.policy.as_ref().ok_or_else(|| Failure::at(&self.path, "the policy has errors"))
    }
}

/// The policy of a source without errors. What is wrong with it is shown on standard error.
pub fn load(path: &Path, warnings: Warnings) -> Result<Policy, Failure> {
    let source = read(path)?;
    source.policy(warnings).cloned()
}
