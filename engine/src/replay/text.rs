//! A replay told to people.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

use policy::reason::Reason;

use super::line::time_text;
use super::tally::{ByRelease, Change, Differs, Group, Members, Place, Tally};
use crate::commands::signing::plural;

/// Differences and groups that are told; JSON has more.
const DIFFERENCES_TOLD_MAX: usize = 20;
const GROUPS_TOLD_MAX: usize = 100;
const RELEASES_TOLD_MAX: usize = 100;

/// What was replayed, for the words of the report.
pub struct Subject<'a> {
    /// As they were named.
    pub logs: &'a [String],
    /// None: every line with its own release.
    pub candidate: Option<&'a str>,
    /// Releases of the records were given beside the candidate.
    pub releases_given: bool,
}

impl Subject<'_> {
    fn place(&self, place: Place) -> String {
        match self.logs {
            [_] => format!("line {}", place.line),
            logs => format!("{} line {}", logs.get(place.log).map_or("", String::as_str), place.line),
        }
    }
}

pub fn write(out: &mut dyn Write, tally: &Tally, subject: &Subject<'_>) -> io::Result<()> {
    match subject.candidate {
        None => write_own(out, tally, subject)?,
        Some(candidate) => write_candidate(out, tally, subject, candidate)?,
    }
    write_not_decided(out, tally)?;
    write_lines(out, tally, subject)
}

fn count(number: u64, noun: &str) -> String {
    plural(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

fn write_own(out: &mut dyn Write, tally: &Tally, subject: &Subject<'_>) -> io::Result<()> {
    let made = tally.made_again();
    let outcome = match tally.differing {
        0 if made == 0 => "nothing to compare".to_owned(),
        0 => "no difference".to_owned(),
        1 => "1 differs".to_owned(),
        number => format!("{number} differ"),
    };
    let not_made = match tally.not_made_again() {
        0 => String::new(),
        number => format!("; {number} NOT made again"),
    };
    writeln!(out, "{} made again: {outcome}{not_made}", count(made, "decision"))?;
    write_decided(out, tally)?;
    for (digest, lines) in tally.releases.told.iter().take(RELEASES_TOLD_MAX) {
        writeln!(out, "  {} with {digest}", count(*lines, "decision"))?;
    }
    if let Some(more) = further(&tally.releases) {
        writeln!(out, "  {more}")?;
    }
    for differs in tally.differing_told.iter().take(DIFFERENCES_TOLD_MAX) {
        write_difference(out, differs, subject)?;
    }
    let told = tally.differing_told.len().min(DIFFERENCES_TOLD_MAX) as u64;
    if tally.differing > told {
        writeln!(out, "and {} more", tally.differing - told)?;
    }
    for (digest, lines) in tally.missing_releases.told.iter().take(RELEASES_TOLD_MAX) {
        writeln!(
            out,
            "NOT made again: {} of {digest}, which was not given (--release, --store)",
            count(*lines, "decision")
        )?;
    }
    if let Some(more) = further(&tally.missing_releases) {
        writeln!(out, "NOT made again: {more}, which were not given")?;
    }
    if tally.unnamed > 0 {
        writeln!(out, "NOT made again: {} whose records do not name their release", count(tally.unnamed, "decision"))?;
    }
    Ok(())
}

/// Decisions of releases that are not named.
fn further(of: &ByRelease) -> Option<String> {
    let decisions = of.told.values().skip(RELEASES_TOLD_MAX).sum::<u64>() + of.not_told;
    (decisions > 0).then(|| format!("{} of further releases", count(decisions, "decision")))
}

fn write_difference(out: &mut dyn Write, differs: &Differs, subject: &Subject<'_>) -> io::Result<()> {
    writeln!(out, "\n{}, request {}", subject.place(differs.place), differs.request_id)?;
    for difference in &differs.differences {
        writeln!(out, "  {:<10} recorded {}, follows {}", difference.what, difference.recorded, difference.now)?;
    }
    Ok(())
}

fn write_decided(out: &mut dyn Write, tally: &Tally) -> io::Result<()> {
    if let (Some(first), Some(last)) = (tally.first_unix_ns, tally.last_unix_ns) {
        writeln!(out, "  from {} to {}", time_text(first), time_text(last))?;
    }
    writeln!(out, "  {} permitted{}", tally.permitted, reasons(", refused: ", &tally.refused))?;
    match tally.granted.is_empty() {
        true => Ok(()),
        false => writeln!(out, "  granted by the policy, refused by the gateway{}", reasons(": ", &tally.granted)),
    }
}

fn reasons<K: Display>(head: &str, counts: &BTreeMap<K, u64>) -> String {
    let all: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if all.is_empty() { String::new() } else { format!("{head}{}", all.join(", ")) }
}

fn write_candidate(out: &mut dyn Write, tally: &Tally, subject: &Subject<'_>, candidate: &str) -> io::Result<()> {
    let (refused, permitted) = (tally.changed(Change::NewlyRefused), tally.changed(Change::NewlyPermitted));
    let otherwise = tally.changed(Change::Otherwise);
    writeln!(out, "{} put to {candidate}", count(tally.made_again(), "past decision"))?;
    write_decided(out, tally)?;
    writeln!(
        out,
        "\n{refused} newly refused, {permitted} newly permitted, {otherwise} decided otherwise with the same outcome"
    )?;
    for (change, head) in [
        (Change::NewlyRefused, "newly refused"),
        (Change::NewlyPermitted, "newly permitted"),
        (Change::Otherwise, "decided otherwise"),
    ] {
        write_groups(out, tally, change, head)?;
    }
    writeln!(out)?;
    for (why, requests) in &tally.unclear {
        writeln!(out, "cannot be told for {}: {why}", count(*requests, "request"))?;
    }
    if tally.differing > 0 {
        writeln!(out, "cannot be read: {}, which no gateway wrote like that", count(tally.differing, "exchange"))?;
    }
    for note in &tally.notes {
        writeln!(out, "taken for granted: {note}")?;
    }
    writeln!(
        out,
        "limits: {}",
        match subject.releases_given {
            true =>
                "those that the candidate keeps are decided from their recorded states; those that it changes are \
                 simulated along the log, from the first recorded state of each",
            false =>
                "simulated along the log with the candidate's numbers, from the first recorded state of each \
                  (with --store or --release, those that it keeps are decided from their recorded states)",
        }
    )
}

fn write_groups(out: &mut dyn Write, tally: &Tally, change: Change, head: &str) -> io::Result<()> {
    let mut groups: Vec<(&Group, &Members)> = tally.groups.iter().filter(|(group, _)| group.change == change).collect();
    if groups.is_empty() {
        return Ok(());
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.count));
    writeln!(out, "\n{head}")?;
    for (group, members) in groups.iter().take(GROUPS_TOLD_MAX) {
        let Group { agent, method, route, before, after, .. } = group;
        writeln!(out, "  {:>7}  {agent}  {method} {route}  {before} → {after}", members.count)?;
        let (first, last) = (time_text(members.first_unix_ns), time_text(members.last_unix_ns));
        match members.count {
            1 => writeln!(out, "           {first}, request {}", members.request_id)?,
            _ => writeln!(out, "           {first} to {last}, the first is request {}", members.request_id)?,
        }
    }
    let more = groups.len().saturating_sub(GROUPS_TOLD_MAX);
    if more > 0 {
        writeln!(out, "  and {} more (--format json has them)", count(more as u64, "group"))?;
    }
    match tally.ungrouped.get(&change) {
        Some(number) => writeln!(out, "  and {} of too many groups", count(*number, "request")),
        None => Ok(()),
    }
}

fn write_not_decided(out: &mut dyn Write, tally: &Tally) -> io::Result<()> {
    if tally.not_decided.is_empty() {
        return Ok(());
    }
    let all = tally.not_decided.values().sum::<u64>();
    writeln!(out, "\n{} that the policy did not decide, not made again:", count(all, "exchange"))?;
    for (name, number) in &tally.not_decided {
        let why = Reason::from_name(name).map_or("", cause);
        writeln!(out, "  {number:>7}  {name:<26} {why}")?;
    }
    Ok(())
}

/// Who answered before the policy was asked, and why.
fn cause(reason: Reason) -> &'static str {
    match reason as u8 {
        1..=16 => "the request was not understood, or not served",
        17..=31 => "the request belongs elsewhere",
        _ if reason == Reason::IdentificationThrottled => "too many unknown credentials came before it",
        _ if reason == Reason::KeysetUnavailable => "the issuer's keys were not there",
        _ if reason.is_revocation() => {
            "a revocation list names it, the channel's (adamant.revocations.serial) or its CA's"
        }
        32..=63 | 144..=159 => "a credential did not hold",
        80..=111 => "the state of the gateway",
        112..=127 => "the origin failed",
        _ => "the client went away",
    }
}

fn write_lines(out: &mut dyn Write, tally: &Tally, subject: &Subject<'_>) -> io::Result<()> {
    if !tally.other_kinds.is_empty() {
        writeln!(out, "\nother lines{}", reasons(": ", &tally.other_kinds))?;
    }
    if tally.no_records > 0 {
        writeln!(out, "\n{} that are no records:", count(tally.no_records, "line"))?;
        for (place, why) in &tally.no_records_told {
            writeln!(out, "  {}: {why}", subject.place(*place))?;
        }
        let more = tally.no_records - tally.no_records_told.len() as u64;
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
    }
    match tally.torn {
        Some(place) => {
            writeln!(out, "\n{} is cut off: it is the last, and was still being written", subject.place(place))
        }
        None => Ok(()),
    }
}
