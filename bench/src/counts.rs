//! How many instructions a stage takes, by callgrind.
//!
//! `gungraun` (formerly iai-callgrind) does the same for more tools, but needs a runner program of exactly its version
//! installed beside it; one command line of valgrind needs nothing but valgrind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CountsError {
    #[error("{program} cannot be run: {cause}")]
    Run { program: String, cause: std::io::Error },
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
    #[error("expected {expected} parts of the profile, found {found}: is valgrind 3.15 or newer?")]
    Parts { expected: usize, found: usize },
    #[error("{path} has no line `totals:`: is valgrind 3.15 or newer?")]
    Totals { path: PathBuf },
}

/// Whether valgrind is there, on a processor of the kind that counts are of: to every x86-64 with AVX2, which httparse and
/// glibc ask for, valgrind presents one and the same processor.
pub fn is_possible() -> bool {
    has_avx2() && Command::new("valgrind").arg("--version").output().is_ok()
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// Builds the program that is counted, by its own profile, and gives its path.
///
/// # Errors
/// It does not build.
pub fn build() -> Result<PathBuf, CountsError> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--locked", "--profile", "counted", "-p", "bench-counts", "--message-format", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let output = run(command, &cargo)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let built = artifacts.filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from)).next_back();
    built.ok_or_else(|| CountsError::Failed { program: cargo, said: "it built no program".to_owned() })
}

/// Instructions a run of each stage that `program` runs, in its order. `folder` is for the profile's parts.
///
/// # Errors
/// valgrind failed, or wrote another form of profile.
pub fn count(program: &Path, folder: &Path) -> Result<Vec<(String, u64)>, CountsError> {
    let out = folder.join("callgrind");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--toggle-collect=*::counted", "--dump-after=*::end_of_stage"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program);
    let output = run(command, "valgrind")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ran: Vec<(&str, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, runs)| Some((name, runs.parse().ok()?)))
        .collect();
    let parts = (1..).map(|part| folder.join(format!("callgrind.{part}"))).take_while(|path| path.exists());
    let parts: Vec<PathBuf> = parts.collect();
    if ran.is_empty() || ran.len() != parts.len() {
        return Err(CountsError::Parts { expected: ran.len(), found: parts.len() });
    }
    let counted = ran.iter().zip(parts).map(|((name, runs), path)| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        total.map(|total| ((*name).to_owned(), total / runs)).ok_or(CountsError::Totals { path })
    });
    counted.collect()
}

fn run(mut command: Command, program: &str) -> Result<Output, CountsError> {
    let output = command.output().map_err(|cause| CountsError::Run { program: program.to_owned(), cause })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(CountsError::Failed { program: program.to_owned(), said })
}
