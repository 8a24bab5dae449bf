//! What else happens after a refresh: a command, a signal, a file. A hook that fails is told in the log and changes nothing:
//! the new credential is in use already.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

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
    // A group of its own, so that what the shell has started ends with it.
    let mut child = child.process_group(0).spawn().map_err(|error| error.to_string())?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    let ended = tokio::time::timeout(Duration::from_secs(HOOK_S_MAX), child.wait()).await;
    if matches!(ended, Ok(Ok(_))) {
        group.let_go();
    }
    match ended {
        Err(_) => Err(format!("expected it to end within {HOOK_S_MAX} s; it was killed")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
    }
}

/// The processes of a command: killed, all of them, where it is not waited for any more.
struct Group(Option<Pid>);

impl Group {
    /// What it left running by intent goes on.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
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
    if pid == rustix::process::getpid() {
        return Err("expected the id of another process, found this one's: SIGHUP makes it renew again".to_owned());
    }
    kill_process(pid, Signal::HUP).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_signalled_who_would_signal_again() {
        let own = std::process::id().to_string();
        assert!(signal(&own).unwrap_err().contains("this one's"));
        assert!(signal("0").is_err() && signal("-1").is_err() && signal("1").is_err());
    }

    #[test]
    fn what_a_command_started_ends_with_the_wait_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let command = format!("sleep 60 & echo $! > {}; wait", file.display());
            let hook = exec(&command, directory.path(), "certificate");
            let until_there = async {
                while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                ended = hook => panic!("{ended:?}"),
                () = until_there => {}
            }
        });
        let process = format!("/proc/{}/stat", std::fs::read_to_string(&file).unwrap().trim());
        let runs = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while runs() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!runs(), "sleep goes on");
    }
}
