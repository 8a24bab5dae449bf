//! Uses that gateways remember and no record shows: at a gateway whose records are not at hand, or by an exchange that
//! goes on still.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use control::last_use::Kind;
use control::last_use::document::{LastUse, Used};
use policy_release::time::Timestamp;

use super::bounds::{LAST_USE_OFF_S, NAMES_TOLD_MAX};
use super::scan::Window;
use super::usage::Seen;
use crate::commands::signing::plural;
use crate::failure::Failure;
use crate::files;
use crate::fleet::last_use::{ANSWER_BYTES_MAX, fetch_all};
use crate::fleet::{Access, Host};

const NS_PER_S: u64 = 1_000_000_000;

/// Who tells of last uses: a file of what `/last-use` answered, or a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teller {
    File(PathBuf),
    Gateway(Host),
}

impl FromStr for Teller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("gateway:");
        let is_address = ["http://", "https://", "unix:"].iter().any(|scheme| text.starts_with(scheme));
        match address.or_else(|| is_address.then_some(text)) {
            Some(address) => address.parse().map(Self::Gateway),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// Kind, issuer and name of a credential.
type Credential = (Kind, String, String);

/// What they told; the times are nanoseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Who was asked, and since when it notes uses.
    noted: Vec<(String, Timestamp)>,
    /// Records are of the time from the one to the other.
    since_ns: u64,
    covered_ns: u64,
    /// Last uses in the window or after it.
    used: BTreeMap<Credential, u64>,
    /// Agents that a certificate led to since the window began.
    by_certificate: BTreeSet<String>,
    /// What is told of by answers that had no room for all: what is not in one of them was used later than all that is.
    cut: Vec<BTreeSet<Credential>>,
}

impl Remembered {
    /// Asks all of them for what was used since the window began; `covered` is what records tell of.
    ///
    /// # Errors
    /// A file that is no such answer, or a gateway that does not answer: whoever names one wants to go by it.
    pub fn ask(tellers: &[Teller], access: &Access, window: Window, covered: Window) -> Result<Self, Failure> {
        let (mut answers, mut hosts) = (Vec::new(), Vec::new());
        for teller in tellers {
            match teller {
                Teller::File(path) => answers.push((path.display().to_string(), read(path)?)),
                Teller::Gateway(host) => hosts.push(host.clone()),
            }
        }
        for (host, answer) in hosts.iter().zip(fetch_all(&hosts, access)?) {
            let told = answer.map_err(|fault| Failure::new(format_args!("no last uses of {host}: {fault}")))?;
            answers.push((host.to_string(), told));
        }
        Ok(Self::of(answers, window, covered))
    }

    fn of(answers: Vec<(String, LastUse)>, window: Window, covered: Window) -> Self {
        let mut found = Self { since_ns: window.since_ns, covered_ns: covered.until_ns, ..Self::default() };
        for (name, answer) in answers {
            found.noted.push((name, answer.since));
            if answer.left_out > 0 {
                found.cut.push(answer.credentials.iter().map(credential).collect());
            }
            answer.credentials.iter().for_each(|of| found.take(of));
        }
        found
    }

    fn take(&mut self, of: &Used) {
        let Some(used_ns) = of.used.map(|used| used.seconds().saturating_mul(NS_PER_S)) else { return };
        // A time is told in whole seconds: this one may belong to the window.
        if used_ns.saturating_add(NS_PER_S) <= self.since_ns {
            return;
        }
        if let (Kind::Certificate, Some(agent)) = (of.kind, &of.agent) {
            self.by_certificate.insert(agent.clone());
        }
        let last_ns = self.used.entry(credential(of)).or_default();
        *last_ns = used_ns.max(*last_ns);
    }

    /// Whether it was used in the window, or after it, and records do not show that: they have nothing of it (`seen`), or
    /// nothing as late as this although they tell of that time.
    pub fn missed(&self, kind: Kind, issuer: &str, name: &str, seen: Option<Seen>) -> bool {
        let credential = (kind, issuer.to_owned(), name.to_owned());
        let last_ns = self.used.get(&credential).copied();
        let Some(seen) = seen else {
            return last_ns.is_some() || self.cut.iter().any(|told| !told.contains(&credential));
        };
        let shown_ns = seen.last_ns.saturating_add(LAST_USE_OFF_S * NS_PER_S);
        last_ns.is_some_and(|last_ns| last_ns > shown_ns && last_ns < self.covered_ns)
    }

    /// Whether a certificate led to this agent.
    pub fn had_certificate(&self, agent: &str) -> bool {
        !self.cut.is_empty() || self.by_certificate.contains(agent)
    }

    /// What was gone by, for people; `alone` are the agents of which records do not show all calls.
    pub fn notes(&self, alone: &[String]) -> Vec<String> {
        if self.noted.is_empty() {
            let none =
                "only records were asked: what was used where none are of seems unused (--last-use asks gateways)";
            return vec![none.to_owned()];
        }
        let is_late = |since: &Timestamp| since.seconds().saturating_mul(NS_PER_S) > self.since_ns;
        let mut notes: Vec<String> = Vec::new();
        for (name, since) in self.noted.iter().take(NAMES_TOLD_MAX) {
            let late = if is_late(since) { ", so of the time before that records alone tell" } else { "" };
            notes.push(format!("last uses are those of {name}, noted since {since}{late}"));
        }
        if let Some(more) = self.noted.len().checked_sub(NAMES_TOLD_MAX).filter(|more| *more > 0) {
            notes.push(format!("and of {more} more"));
        }
        if !self.cut.is_empty() {
            notes.push("an answer leaves out what was used last: what it does not tell of counts as used".to_owned());
        }
        if !alone.is_empty() {
            let many = plural(alone.len(), "agent");
            let listed = super::plan::listed(alone.iter());
            notes
                .push(format!("{many} called, and no record shows it: nothing of theirs is called unneeded: {listed}"));
        }
        notes
    }
}

fn credential(of: &Used) -> Credential {
    (of.kind, of.issuer.clone().unwrap_or_default(), of.name.clone())
}

fn read(path: &Path) -> Result<LastUse, Failure> {
    let bytes = files::read(path, ANSWER_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|_| {
        Failure::at(path, files::found(&bytes, "the answer of /last-use"))
            .help("as the admin or status listener of a gateway gave it; or name the gateway itself")
    })
}

#[cfg(test)]
mod tests {
    use control::last_use::document::Format;

    use super::*;

    const DAY_S: u64 = 86_400;
    const NOW_S: u64 = 1_000 * DAY_S;
    const WINDOW: Window = Window { since_ns: (NOW_S - 30 * DAY_S) * NS_PER_S, until_ns: NOW_S * NS_PER_S };

    fn at(days_ago: u64) -> Timestamp {
        Timestamp::from_seconds(NOW_S - days_ago * DAY_S).unwrap()
    }

    fn seen(days_ago: u64) -> Option<Seen> {
        Some(Seen { count: 1, last_ns: at(days_ago).seconds() * NS_PER_S })
    }

    fn remembered(uses: &[(Kind, &str, Option<u64>)], left_out: u64) -> Remembered {
        let credentials = uses.iter().map(|(kind, name, used)| Used {
            kind: *kind,
            name: (*name).to_owned(),
            issuer: (*kind == Kind::Key).then(|| "corp".to_owned()),
            agent: (*kind == Kind::Certificate).then(|| "robot".to_owned()),
            declared: true,
            since: at(20),
            used: used.map(at),
        });
        let credentials = credentials.collect();
        let (node, release) = (String::new(), String::new());
        let told = LastUse { format: Format::V1, node, time: at(0), since: at(20), release, credentials, left_out };
        // Records end a day before the window does.
        let covered = Window { until_ns: at(1).seconds() * NS_PER_S, ..WINDOW };
        Remembered::of(vec![("gw1".to_owned(), told)], WINDOW, covered)
    }

    #[test]
    fn what_was_used_in_the_window_and_is_in_no_record_was_missed() {
        let of = remembered(
            &[(Kind::Agent, "never", None), (Kind::Agent, "before", Some(31)), (Kind::Agent, "a", Some(5))],
            0,
        );
        let missed = |name: &str, seen| of.missed(Kind::Agent, "", name, seen);
        assert!(!missed("never", None) && !missed("before", None) && !missed("unknown", None));
        assert!(missed("a", None) && missed("a", seen(6)), "records do not show the last call");
        assert!(!missed("a", seen(5)) && !missed("a", seen(4)));
        // Of what came after the records they can show nothing.
        let late = remembered(&[(Kind::Agent, "a", Some(0))], 0);
        assert!(late.missed(Kind::Agent, "", "a", None) && !late.missed(Kind::Agent, "", "a", seen(6)));
    }

    #[test]
    fn keys_are_their_issuers_and_certificates_their_agents() {
        let of = remembered(&[(Kind::Key, "k1", Some(3)), (Kind::Certificate, "ab", Some(3))], 0);
        assert!(of.missed(Kind::Key, "corp", "k1", None) && !of.missed(Kind::Key, "other", "k1", None));
        assert!(of.had_certificate("robot") && !of.had_certificate("bot"));
        let old = remembered(&[(Kind::Certificate, "ab", Some(40))], 0);
        assert!(!old.had_certificate("robot"));
    }

    #[test]
    fn what_an_answer_leaves_out_counts_as_used() {
        let of = remembered(&[(Kind::Agent, "a", Some(9)), (Kind::Agent, "b", Some(8))], 1);
        assert!(of.missed(Kind::ApiKey, "", "k", None) && of.had_certificate("robot"));
        assert!(
            !of.missed(Kind::ApiKey, "", "k", seen(9)),
            "records show it, and nothing says that they do not show all"
        );
        let notes = of.notes(&["a".to_owned()]).join("\n");
        assert!(notes.contains("leaves out") && notes.contains("1 agent called"), "{notes}");
        assert!(notes.contains("gw1") && notes.contains("records alone tell"), "{notes}");
        let old = remembered(&[(Kind::Agent, "a", Some(40))], 1);
        assert!(old.missed(Kind::ApiKey, "", "k", None), "used after 40 days ago: perhaps in the window");
    }

    #[test]
    fn tellers_are_files_or_gateways() {
        let gateway = |text: &str| matches!(text.parse(), Ok(Teller::Gateway(_)));
        assert!(gateway("http://127.0.0.1:9901") && gateway("gateway:unix:/run/adamant/admin"));
        assert!(matches!("uses.json".parse(), Ok(Teller::File(_))));
        assert!("http://127.0.0.1".parse::<Teller>().is_err() && "gateway:here".parse::<Teller>().is_err());
    }
}
