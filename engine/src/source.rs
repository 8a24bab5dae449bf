//! Reads a policy source and the files that it embeds from disk.

use std::path::{Path, PathBuf};

use policy::model::Policy;
use policy_source::{Files, Loaded};

use crate::failure::Failure;
use crate::files;

/// Bytes of a policy source.
const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a file that a policy embeds; the reader of the source says more about those that are too large.
const EMBEDDED_BYTES_MAX: usize = 4 << 20;

/// A policy source as it was read, with what there is to say about it.
pub struct Source {
    text: String,
    loaded: Loaded,
    name: String,
}

/// Files next to the policy source.
struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        files::read(&self.0.join(path), EMBEDDED_BYTES_MAX).map_err(|fault| fault.to_string())
    }
}

/// Reads a policy source; its mistakes are in the result.
pub fn read(path: &Path) -> Result<Source, Failure> {
    let bytes = files::read(path, SOURCE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::at(path, "expected UTF-8 text, found other bytes"))?;
    let name = path.display().to_string();
    let beside = Beside(path.parent().unwrap_or(Path::new("")).to_owned());
    let loaded = policy_source::load(&name, &text, &beside);
    Ok(Source { text, loaded, name })
}

impl Source {
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// As diagnostics call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compiles the table and throws it away: some bounds show only then. Nothing to compile is no fault.
    pub fn compiles(&self) -> Result<(), Failure> {
        let Some(policy) = &self.loaded.policy else { return Ok(()) };
        let compiled = policy::compile::compile(policy, [0; 32]);
        compiled.map(drop).map_err(|fault| Failure::new(format_args!("{}: {fault}", self.name)))
    }

    /// The diagnostics for people; empty when there are none.
    pub fn diagnostics(&self, color: bool) -> String {
        policy_source::render(&self.loaded.diagnostics, &self.name, &self.text, color)
    }
}

/// The policy of a source without errors. Errors and warnings are shown on standard error.
pub fn load(path: &Path) -> Result<Policy, Failure> {
    use std::io::IsTerminal as _;
    let source = read(path)?;
    eprint!("{}", source.diagnostics(std::io::stderr().is_terminal()));
    source.compiles()?;
    let refused = || Failure::at(path, "the policy has errors");
    source.loaded.policy.ok_or_else(refused)
}
