//! When credentials were last used, at all gateways together: what one of them saw used was used.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use control::last_use::Kind;
use control::last_use::document::{LastUse, Used};
use policy_release::time::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::show::printable;
use super::{ANSWER_S_MAX, Access, FleetFault, Host, get_of, of_all};
use crate::commands::signing::plural;
use crate::failure::Failure;
use crate::span::distance;

/// Bytes of one answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
const HEADINGS: [&str; 6] = ["KIND", "NAME", "OF", "LAST USED", "", "AT"];

/// What a gateway told, by its name.
pub type Answers = [(String, Result<LastUse, FleetFault>)];

/// One credential at all gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub kind: Kind,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The release of one of them names it.
    pub declared: bool,
    /// Since when all that know of it note its uses.
    pub since: Timestamp,
    pub used: Option<Timestamp>,
    /// The gateway that saw the last use.
    pub at: Option<String>,
}

/// Asks all gateways; the answers in the order of `hosts`.
pub fn fetch_all(hosts: &[Host], access: &Access) -> Result<Vec<Result<LastUse, FleetFault>>, Failure> {
    of_all(hosts, |host| {
        let access = access.clone();
        async move {
            let asking = get_of(&host, &access, "/last-use", ANSWER_BYTES_MAX);
            let patience = Duration::from_secs(ANSWER_S_MAX);
            match tokio::time::timeout(patience, asking).await.unwrap_or(Err(FleetFault::Timeout)) {
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(FleetFault::LastUse),
                Err(FleetFault::Status { status, said }) => Err(FleetFault::NotTold { status, said }),
                Err(fault) => Err(fault),
            }
        }
    })
}

/// All of them by credential, the one that is unused for longest first. With `unused_s` those alone that a release names and
/// that no gateway saw used for so many seconds, each having looked for as long.
pub fn merge(answers: &Answers, unused_s: Option<u64>, now: Timestamp) -> Vec<Row> {
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for (host, said) in told(answers) {
        for of in &said.credentials {
            rows.entry(key(of)).or_insert_with(|| row(of)).take(of, host);
        }
    }
    for (host, said) in told(answers).filter(|(_, said)| said.left_out > 0) {
        // What it leaves out was used after all that it tells.
        let listed: BTreeSet<_> = said.credentials.iter().map(key).collect();
        let later = said.credentials.last().and_then(|of| of.used);
        rows.iter_mut().filter(|(key, _)| !listed.contains(*key)).for_each(|(_, row)| row.saw(later, host));
    }
    let idle_s = |row: &Row| now.seconds().saturating_sub(row.used.max(Some(row.since)).map_or(0, Timestamp::seconds));
    let wanted = |row: &Row| unused_s.is_none_or(|unused_s| row.declared && idle_s(row) >= unused_s);
    let mut rows: Vec<Row> = rows.into_values().filter(wanted).collect();
    // In the order of kinds and names where nothing else tells.
    rows.sort_by_key(|row| row.used);
    rows
}

fn told(answers: &Answers) -> impl Iterator<Item = (&str, &LastUse)> {
    answers.iter().filter_map(|(host, answer)| Some((host.as_str(), answer.as_ref().ok()?)))
}

fn key(of: &Used) -> (Kind, Option<String>, String) {
    (of.kind, of.issuer.clone(), of.name.clone())
}

fn row(of: &Used) -> Row {
    let Used { kind, name, issuer, since, .. } = of.clone();
    Row { kind, name, issuer, agent: None, declared: false, since, used: None, at: None }
}

impl Row {
    fn take(&mut self, of: &Used, host: &str) {
        if self.agent.is_none() || self.used < of.used {
            self.agent = of.agent.clone().or(self.agent.take());
        }
        self.declared |= of.declared;
        self.since = self.since.max(of.since);
        self.saw(of.used, host);
    }

    fn saw(&mut self, used: Option<Timestamp>, host: &str) {
        if self.used < used {
            (self.used, self.at) = (used, Some(host.to_owned()));
        }
    }

    fn cells(&self, now: Timestamp) -> [String; 6] {
        let of = match (&self.issuer, &self.agent) {
            _ if !self.declared && self.kind != Kind::Certificate => "(not in the release)".to_owned(),
            (Some(of), _) | (_, Some(of)) => of.clone(),
            _ => "-".to_owned(),
        };
        let (used, ago) = match self.used {
            Some(used) => (used.to_string(), distance(now, used)),
            None => ("never".to_owned(), format!("noted since {}", self.since)),
        };
        let at = self.at.clone().unwrap_or_else(|| "-".to_owned());
        [self.kind.word().to_owned(), self.name.clone(), of, used, ago, at]
    }
}

/// A table, unless nothing is in it; then what it is of. `unused`: only what was not used for some time was asked for.
pub fn text(answers: &Answers, rows: &[Row], unused: bool, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if !rows.is_empty() {
        table(rows, now, out)?;
    }
    tellers(answers, out)?;
    let never = rows.iter().filter(|row| row.used.is_none()).count();
    match rows.len() {
        0 if told(answers).next().is_none() => Ok(()),
        0 if unused => writeln!(out, "nothing that a release names is known to be unused for so long"),
        0 => writeln!(out, "nothing was used yet, and no release names anything that could be"),
        count => writeln!(out, "{} shown, {never} of them never used", plural(count, "row")),
    }
}

fn table(rows: &[Row], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let cells = std::iter::once(HEADINGS.map(str::to_owned)).chain(rows.iter().map(|row| row.cells(now)));
    let cells: Vec<_> = cells.map(|row| row.map(|cell| printable(&cell))).collect();
    let width = |column: usize| cells.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count())).max();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in &cells {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    writeln!(out)
}

/// By gateway: how far back it can tell, or why it does not.
fn tellers(answers: &Answers, out: &mut dyn Write) -> io::Result<()> {
    for (host, answer) in answers {
        let host = printable(host);
        match answer {
            Ok(said) if said.left_out > 0 => {
                writeln!(
                    out,
                    "{host}: noted since {}; it leaves out {} that were used later",
                    said.since, said.left_out
                )?;
            }
            Ok(said) => writeln!(out, "{host}: noted since {}", said.since)?,
            Err(fault) => writeln!(out, "{host}: {}", printable(&fault.to_string()))?,
        }
    }
    Ok(())
}

/// One document: every gateway's answer, and all together.
pub fn json(answers: &Answers, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let gateways: Vec<_> = answers
        .iter()
        .map(|(host, answer)| {
            let fault = answer.as_ref().err().map(ToString::to_string);
            json!({ "host": host, "answer": answer.as_ref().ok(), "fault": fault })
        })
        .collect();
    writeln!(out, "{:#}", json!({ "gateways": gateways, "credentials": rows }))
}

#[cfg(test)]
mod tests {
    use control::last_use::document::Format;

    use super::*;

    const DAY_S: u64 = 86_400;
    const NOW_S: u64 = 1_000 * DAY_S;

    fn at(days_ago: u64) -> Timestamp {
        Timestamp::from_seconds(NOW_S - days_ago * DAY_S).unwrap()
    }

    fn used(kind: Kind, name: &str, since: u64, used: Option<u64>) -> Used {
        let declared = kind != Kind::Certificate;
        Used { kind, name: name.to_owned(), issuer: None, agent: None, declared, since: at(since), used: used.map(at) }
    }

    fn said(host: &str, credentials: Vec<Used>, left_out: u64) -> (String, Result<LastUse, FleetFault>) {
        let (node, release) = (String::new(), String::new());
        let (time, since) = (at(0), at(100));
        (host.to_owned(), Ok(LastUse { format: Format::V1, node, time, since, release, credentials, left_out }))
    }

    fn shown(answers: &Answers, unused_days: Option<u64>) -> Vec<(String, Option<String>)> {
        let rows = merge(answers, unused_days.map(|days| days * DAY_S), at(0));
        rows.into_iter().map(|row| (row.name, row.at)).collect()
    }

    #[test]
    fn what_one_gateway_saw_used_was_used_and_what_none_has_looked_at_long_enough_is_not_called_unused() {
        let agent = |name: &str, since, last| used(Kind::Agent, name, since, last);
        let answers = [
            said("gw1", vec![agent("a", 90, None), agent("b", 90, Some(40)), agent("c", 90, Some(50))], 0),
            said("gw2", vec![agent("a", 90, Some(3)), agent("b", 90, Some(60)), agent("c", 5, None)], 0),
        ];
        let seen = |name: &str, host: Option<&str>| (name.to_owned(), host.map(str::to_owned));
        assert_eq!(shown(&answers, None), [seen("c", Some("gw1")), seen("b", Some("gw1")), seen("a", Some("gw2"))]);
        // The second gateway knows of c for five days alone.
        assert_eq!(shown(&answers, Some(30)), [seen("b", Some("gw1"))]);
        let never = [said("gw1", vec![agent("new", 3, None), agent("old", 31, None)], 0)];
        assert_eq!(shown(&never, Some(30)), [seen("old", None)]);
    }

    #[test]
    fn what_a_gateway_leaves_out_was_used_after_all_that_it_tells() {
        let key = |name: &str, last| used(Kind::ApiKey, name, 90, Some(last));
        let answers = [said("gw1", vec![key("x", 50), key("y", 40)], 0), said("gw2", vec![key("x", 50)], 7)];
        assert_eq!(shown(&answers, Some(45)), [("x".to_owned(), Some("gw1".to_owned()))]);
        let answers = [said("gw1", vec![key("y", 60)], 0), said("gw2", vec![key("x", 50)], 7)];
        assert_eq!(shown(&answers, Some(55)).len(), 0, "y may be among the seven");
    }

    #[test]
    fn the_table_says_when_by_whom_and_where_and_who_did_not_answer() {
        let mut certificate = used(Kind::Certificate, "ab", 9, Some(1));
        certificate.agent = Some("bot".to_owned());
        let mut gone = used(Kind::ApiKey, "old\u{1b}[2J", 9, Some(2));
        gone.declared = false;
        let agent = used(Kind::Agent, "idle", 9, None);
        let silent = ("gw2".to_owned(), Err(FleetFault::Timeout));
        let answers = [said("gw1", vec![agent, gone, certificate], 0), silent];
        let rows = merge(&answers, None, at(0));
        let said = |rows: &[Row], unused| {
            let mut out = Vec::new();
            text(&answers, rows, unused, at(0), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown = said(&rows, false);
        let lines: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "KIND NAME OF LAST USED AT");
        assert_eq!(lines[1], format!("agent idle - never noted since {} -", at(9)));
        assert_eq!(lines[2], format!("api-key old\u{fffd}[2J (not in the release) {} 2 days ago gw1", at(2)));
        assert_eq!(lines[3], format!("certificate ab bot {} 1 day ago gw1", at(1)));
        assert!(shown.contains("gw2: no answer within 5 s"), "{shown}");
        assert!(shown.ends_with("3 rows shown, 1 of them never used\n"), "{shown}");
        for (unused, expected) in [(true, "is known to be unused for so long\n"), (false, "nothing was used yet, ")] {
            let shown = said(&[], unused);
            assert!(shown.starts_with("gw1: noted since ") && shown.contains(expected), "{shown}");
        }
    }
}
