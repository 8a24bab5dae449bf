//! Lines of the log in their order, each behind the hooks of its refresh: hooks take their time, one after the other, and
//! nothing but the lines after it waits for them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Log;
use super::line::{Line, tell};
use crate::bounds::HOOKS_LINES_MAX;
use crate::clock;
use crate::fault::Fault;
use crate::hooks::{self, Hook};

pub struct Teller {
    hooks: Arc<[Hook]>,
    profile: PathBuf,
    lines: VecDeque<Waiting>,
    /// Those of the first line.
    running: JoinSet<Vec<String>>,
    /// The first hook that failed.
    failed: Option<String>,
}

struct Waiting {
    line: Line,
    /// Hooks run first, and are told this; none once they have.
    what: Option<&'static str>,
}

impl Teller {
    pub fn new(hooks: &[Hook], profile: PathBuf) -> Self {
        Self { hooks: hooks.into(), profile, lines: VecDeque::new(), running: JoinSet::new(), failed: None }
    }

    /// A line after all that came before it.
    pub fn tell(&mut self, line: Line) {
        self.lines.push_back(Waiting { line, what: None });
    }

    /// The same once all hooks were run, which are told what was renewed.
    pub fn tell_hooked(&mut self, line: Line, what: &'static str) {
        self.lines.push_back(Waiting { line, what: Some(what).filter(|_| !self.hooks.is_empty()) });
    }

    /// Whether more may come.
    pub fn has_room(&self) -> bool {
        self.lines.len() < HOOKS_LINES_MAX
    }

    /// Whether no hook runs.
    pub fn rests(&self) -> bool {
        self.running.is_empty()
    }

    /// Writes what waits for nothing, and starts the hooks of what comes then.
    pub fn go_on(&mut self, log: Log<'_>) {
        while let Some(next) = self.lines.front() {
            if let Some(what) = next.what {
                if self.running.is_empty() {
                    let (hooks, profile) = (Arc::clone(&self.hooks), self.profile.clone());
                    self.running.spawn(async move { hooks::run(&hooks, &profile, what, clock::now_s()).await });
                }
                return;
            }
            if let Some(first) = self.lines.pop_front() {
                tell(&first.line.capped(), log);
            }
        }
    }

    /// The hooks that run have ended. None: none do.
    pub async fn hooked(&mut self) -> Option<()> {
        let ended = self.running.join_next().await?;
        if let Some(first) = self.lines.front_mut() {
            first.what = None;
            first.line.hooks_failed = ended.unwrap_or_else(|error| vec![format!("the hooks broke: {error}")]);
            self.failed = self.failed.take().or_else(|| first.line.hooks_failed.first().cloned());
        }
        Some(())
    }

    /// A fault where one of those that were run has failed.
    pub fn hooks(&mut self) -> Result<(), Fault> {
        let fault = |failed| {
            let help = "what was renewed is in use all the same; hooks_failed of its line names all that failed";
            Fault::new(format_args!("a hook failed: {failed}")).help(help)
        };
        self.failed.take().map_or(Ok(()), |failed| Err(fault(failed)))
    }

    /// Waits until all is told.
    pub async fn rest(&mut self, log: Log<'_>) {
        self.go_on(log);
        while self.hooked().await.is_some() {
            self.go_on(log);
        }
    }

    /// Tells what is left. Hooks that run are ended, the others are not begun.
    pub async fn end(&mut self, log: Log<'_>) {
        self.running.shutdown().await;
        for waiting in &mut self.lines {
            if waiting.what.take().is_some() {
                waiting.line.hooks_failed = vec!["not waited for: the end was asked for".to_owned()];
            }
        }
        self.go_on(log);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn line(why: &'static str) -> Line {
        Line::new(("refresh", "token"), why, "here", "renewed")
    }

    #[tokio::test]
    async fn lines_keep_their_order_and_hooks_run_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let exec = |text: &str| Hook::Exec(format!("echo {text} $ADAMANT_WHAT >> {}/ran", directory.path().display()));
        let hooks = [exec("begun"), Hook::Exec("sleep 0.2; exit 3".to_owned()), exec("done")];
        let mut teller = Teller::new(&hooks, directory.path().to_owned());
        let (mut told, mut lines) = (Vec::new(), 0);
        teller.tell(line("first"));
        teller.tell_hooked(line("second"), "token");
        teller.tell(line("third"));
        teller.tell_hooked(line("fourth"), "certificate");
        teller.go_on(&mut |_: &str| lines += 1);
        assert_eq!(lines, 1, "what comes after hooks waits for them");
        teller.rest(&mut |line: &str| told.push(line.to_owned())).await;
        let is_of = |line: &String, why: &str| line.contains(&format!("\"why\":\"{why}\""));
        assert!(told.iter().zip(["second", "third", "fourth"]).all(|(line, why)| is_of(line, why)), "{told:#?}");
        let [failed, plain] =
            ["exit status: 3", "hooks_failed"].map(|part| told.iter().filter(|line| line.contains(part)).count());
        assert_eq!((told.len(), failed, plain), (3, 2, 2), "{told:#?}");
        let ran = std::fs::read_to_string(directory.path().join("ran")).unwrap();
        assert_eq!(ran, "begun token\ndone token\nbegun certificate\ndone certificate\n");
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_at_the_end_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut teller = Teller::new(&[Hook::Exec("sleep 60".to_owned())], directory.path().to_owned());
        for _ in 0..HOOKS_LINES_MAX {
            assert!(teller.has_room());
            teller.tell_hooked(line("two-thirds"), "token");
        }
        assert!(!teller.has_room());
        let mut told = Vec::new();
        teller.go_on(&mut |_: &str| panic!("its hook runs"));
        teller.end(&mut |line: &str| told.push(line.to_owned())).await;
        assert_eq!(told.len(), HOOKS_LINES_MAX);
        assert!(told.iter().all(|line| line.contains("the end was asked for")), "{told:#?}");
    }
}
