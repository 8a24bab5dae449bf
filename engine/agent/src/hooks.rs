//! What else happens after a refresh: a command, a signal, a file. A hook that fails is told in the log and changes nothing:
//! the new credential is in use already.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::bounds::HOOK_S_MAX;
use crate::files::{self, Access};

/// One hook.
#[derive(Clone, Debug)]
pub enum Hook {
    /// A command of the shell, with `ADAMANT_PROFILE` and `ADAMANT_WHAT` (certificate or token) in its environment.
    Exec(String),
    /// SIGHUP to a process, by its id or by the file that holds it.
    Signal(String),
    /// Content and time of a file change.
    Touch(PathBuf),
}

impl Hook {
    fn shown(&self) -> String {
        match self {
            Self::Exec(command) => format!("exec {command}"),
            Self::Signal(whom) => format!("signal {whom}"),
            Self::Touch(path) => format!("touch {}", path.display()),
        }
    }
}

/// Runs all hooks, in turn; what failed.
pub async fn run(hooks: &[Hook], profile: &Path, what: &str, now_s: u64) -> Vec<String> {
    let mut failed = Vec::new();
    for hook in hooks {
        let outcome = match hook {
            Hook::Exec(command) => exec(command, profile, what).await,
            Hook::Signal(whom) => signal(whom),
            Hook::Touch(path) => {
                let text = format!("{what} {}\n", crate::clock::shown(now_s));
                files::write(path, text.as_bytes(), Access::Everyone).map_err(|fault| fault.to_string())
            }
        };
        if let Err(why) = outcome {
            failed.push(format!("{}: {why}", hook.shown()));
        }
    }
    failed
}

async fn exec(command: &str, profile: &Path, what: &str) -> Result<(), String> {
    let mut child = tokio::process::Command::new("/bin/sh");
    child.args(["-c", command]).env("ADAMANT_PROFILE", profile).env("ADAMANT_WHAT", what);
    // Standard output is the log's.
    child.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(HOOK_S_MAX), child.status()).await;
    match ended {
        Err(_) => Err(format!("expected it to end within {HOOK_S_MAX} s; it was killed")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
    }
}

fn signal(whom: &str) -> Result<(), String> {
    let text = match whom.parse::<i32>() {
        Ok(_) => whom.to_owned(),
        Err(_) => files::read_text(Path::new(whom), 64).map_err(|fault| fault.to_string())?,
    };
    let number: i32 = text.trim().parse().map_err(|_| format!("expected a process id, found {:?}", text.trim()))?;
    // 0 and negative numbers would mean whole groups of processes.
    let pid = Some(number).filter(|number| *number > 1).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("expected the id of one process, found {number}"))?;
    kill_process(pid, Signal::HUP).map_err(|error| error.to_string())
}
