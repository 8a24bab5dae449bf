//! What is wrong with each answer: by itself, against what was expected, and beside the others. Pure.

use std::collections::{BTreeMap, BTreeSet};

use control::expiry;
use policy_release::attestation::{Attestation, Ends, Failing, Waiting};
use policy_release::key::KeyId;
use policy_release::time::Timestamp;
use serde::Serialize;

use super::expect::Expectation;
use super::pins::{Pinned, Pins};
use super::{FleetFault, Host};
use crate::span::distance;
use fresh::{is_told, is_unread};

mod fresh;

/// How far a gateway's clock may be from this one's, seconds.
pub const CLOCK_S_MAX: u64 = 60;

/// Something about a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A word for scripts, such as `drifted`.
    pub code: &'static str,
    pub text: String,
}

/// A gateway's answer and what is to be said about it.
#[derive(Debug, Serialize)]
pub struct Judged {
    pub host: String,
    pub answer: Option<Attestation>,
    /// Whether the node key was known beforehand; none when no keys were given or there is no answer.
    pub pinned: Option<bool>,
    /// What makes the command end with 1.
    pub problems: Vec<Finding>,
    pub notes: Vec<Finding>,
}

/// What the answers are held against.
pub struct Yardstick<'a> {
    pub expected: Option<&'a Expectation>,
    pub pins: &'a Pins,
    pub now_unix_s: u64,
}

/// Judges all answers, in their order.
pub fn judge(answers: Vec<(Host, Result<Attestation, FleetFault>)>, yardstick: &Yardstick<'_>) -> Vec<Judged> {
    let mut judged: Vec<Judged> =
        answers.into_iter().map(|(host, answer)| of_one(host.to_string(), answer, yardstick)).collect();
    if yardstick.expected.is_none() {
        compare_releases(&mut judged);
    }
    compare_tables(&mut judged);
    compare_keys(&mut judged);
    judged
}

fn of_one(host: String, answer: Result<Attestation, FleetFault>, yardstick: &Yardstick<'_>) -> Judged {
    let mut judged = Judged { host, answer: None, pinned: None, problems: Vec::new(), notes: Vec::new() };
    match answer {
        Ok(said) => {
            judged.look_at_key(&said, yardstick.pins);
            judged.look_at_time(&said, yardstick.now_unix_s);
            match yardstick.expected {
                Some(expected) => judged.look_at_release(&said, expected),
                None => judged.look_at_waiting(&said),
            }
            judged.look_at_pointer(&said);
            judged.look_at_revocations(&said);
            judged.look_at_key_set(&said);
            judged.look_at_condition(&said);
            judged.look_at_last_failures(&said);
            judged.look_at_ends(&said);
            judged.answer = Some(said);
        }
        Err(fault) => {
            let code = if matches!(fault, FleetFault::Attestation(_)) { "not-believed" } else { "unreachable" };
            judged.problem(code, fault.to_string());
        }
    }
    judged
}

impl Judged {
    fn problem(&mut self, code: &'static str, text: String) {
        self.problems.push(Finding { code, text });
    }

    fn note(&mut self, code: &'static str, text: String) {
        self.notes.push(Finding { code, text });
    }

    fn look_at_key(&mut self, said: &Attestation, pins: &Pins) {
        match pins.look(&self.host, &said.node.key) {
            Pinned::NoneGiven => {}
            Pinned::Yes => self.pinned = Some(true),
            Pinned::Unknown => {
                self.pinned = Some(false);
                self.problem("unpinned-key", format!("signed, but by a key you did not pin: {}", said.node.key));
            }
            Pinned::Elsewhere(hosts) => {
                self.pinned = Some(false);
                let text = format!(
                    "signed by the key that is pinned for {}: is it that gateway, written in another way, or does it pass \
                     on the answers of that one?",
                    hosts.join(" and ")
                );
                self.problem("unpinned-key", text);
            }
            Pinned::Other(own, hosts) => {
                self.pinned = Some(false);
                let own = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                let whose = match hosts.is_empty() {
                    true => String::new(),
                    false => format!(" (pinned for {})", hosts.join(" and ")),
                };
                let key = said.node.key;
                self.problem("unpinned-key", format!("signed by {key}{whose}, but the key pinned for it is {own}"));
            }
        }
    }

    fn look_at_time(&mut self, said: &Attestation, now_unix_s: u64) {
        let apart_s = said.time.seconds().abs_diff(now_unix_s);
        if apart_s > CLOCK_S_MAX {
            let side = if said.time.seconds() < now_unix_s { "behind" } else { "ahead of" };
            self.problem("clock", format!("its clock is {apart_s} s {side} this one: it says {}", said.time));
        }
    }

    fn look_at_release(&mut self, said: &Attestation, expected: &Expectation) {
        let release = expected.release.to_string();
        if said.release != release {
            let (found, version) = (&said.release, said.version);
            let ready = said.waiting.as_ref().is_some_and(|waiting| waiting.release == release);
            if ready {
                let text =
                    format!("serves {found} (version {version}); the expected one is accepted and waits for a restart");
                self.problem("restart", text);
            } else {
                self.problem("drifted", format!("serves {found} (version {version}), expected {release}"));
            }
        }
        let Some(serial) = expected.serial else { return };
        match &said.pointer {
            None => self.note("no-pointer", "follows no channel: its release is a file".to_owned()),
            Some(pointer) if Some(&pointer.channel) != expected.channel.as_ref() => {
                let channel = expected.channel.as_deref().unwrap_or_default();
                self.problem("channel", format!("follows channel {}, expected {channel}", pointer.channel));
            }
            Some(pointer) if pointer.serial != serial => {
                self.problem("serial", format!("follows pointer serial {}, expected {serial}", pointer.serial));
            }
            Some(_) => {}
        }
    }

    fn look_at_waiting(&mut self, said: &Attestation) {
        let Some(Waiting { release, version, .. }) = &said.waiting else { return };
        let (served, served_version) = (&said.release, said.version);
        let text = format!(
            "serves {served} (version {served_version}); {release} (version {version}) is accepted and waits for a restart"
        );
        self.problem("restart", text);
    }

    fn look_at_pointer(&mut self, said: &Attestation) {
        if let Some(pointer) = &said.pointer {
            let expires = pointer.expires;
            if pointer.expired || expires <= said.time {
                self.problem("pointer-expired", format!("its pointer expired at {expires}: it accepts nothing new"));
            }
        }
        if let Some(refusal) = &said.refusal {
            let what = refusal.release.as_deref().unwrap_or("a candidate");
            let (since, check, message) = (refusal.since, &refusal.check, &refusal.message);
            if is_unread(Some(refusal)) {
                let text = format!("its store cannot be read since {since}, so that nothing new comes: {message}");
                self.problem("store", text);
            } else {
                self.problem("refuses", format!("refuses {what} since {since} ({check}): {message}"));
            }
        }
        if let Some(expires) = said.expires.filter(|expires| *expires <= said.time) {
            self.problem("release-expired", format!("its release expired at {expires}; it goes on serving it"));
        }
    }

    fn look_at_revocations(&mut self, said: &Attestation) {
        let Some(list) = &said.revocations else { return };
        if let Some(refusal) = list.refusal.as_ref().filter(|refusal| !is_told(said, refusal)) {
            let (since, check, message) = (refusal.since, &refusal.check, &refusal.message);
            self.problem("refuses-revocations", format!("refuses revocations since {since} ({check}): {message}"));
        }
        let serial = list.serial;
        match list.expires.filter(|_| serial > 0) {
            Some(expires) if list.expired => {
                let text = format!("its revocation list (serial {serial}) expired at {expires} and stays in force");
                self.problem("revocations-expired", text);
            }
            Some(expires) => {
                let entries = plural(list.entries, "entry");
                self.note("revocations", format!("revocation list serial {serial}, {entries}, until {expires}"));
            }
            None => {}
        }
        if list.unknown > 0 {
            let (unknown, name) = (plural(list.unknown, "entry"), if list.unknown == 1 { "names" } else { "name" });
            let text = format!("{unknown} of its revocation list {name} what its release does not have");
            self.note("revocations-unknown", text);
        }
    }

    fn look_at_key_set(&mut self, said: &Attestation) {
        let Some(set) = &said.key_set else { return };
        if let Some(refusal) = set.refusal.as_ref().filter(|refusal| !is_told(said, refusal)) {
            let (since, check, message) = (refusal.since, &refusal.check, &refusal.message);
            self.problem("refuses-key-set", format!("refuses the key set since {since} ({check}): {message}"));
        }
        let (serial, filled) = (set.serial, plural(set.filled, "API key"));
        match set.expires.filter(|_| serial > 0) {
            Some(expires) if set.expired => {
                let are = if set.filled == 1 { "is" } else { "are" };
                let text = format!("its key set (serial {serial}) expired at {expires}: {filled} {are} refused");
                self.problem("key-set-expired", text);
            }
            Some(expires) => self.note("key-set", format!("key set serial {serial}, {filled}, until {expires}")),
            None => {}
        }
        if set.unfilled > 0 {
            let have = if set.unfilled == 1 { "has" } else { "have" };
            let text = format!("{} of its release {have} no key in the key set", plural(set.unfilled, "API key"));
            self.note("key-set-unfilled", text);
        }
        if set.ignored > 0 {
            let text =
                format!("not left open by its release, and ignored: {} of its key set", plural(set.ignored, "id"));
            self.note("key-set-ignored", text);
        }
    }

    fn look_at_condition(&mut self, said: &Attestation) {
        if !said.unready.is_empty() {
            self.problem("not-ready", format!("not ready: {}", said.unready.join(", ")));
        }
        for listener in &said.awaiting {
            let text = format!("its listener {listener} has no certificate yet: connections to it fail");
            self.problem("certificate-awaited", text);
        }
        for name in &said.awaiting_identities {
            let text =
                format!("its origin identity {name:?} has no certificate yet: requests that need it are refused");
            self.problem("certificate-awaited", text);
        }
        if said.memory.mismatches > 0 {
            let times = plural(said.memory.mismatches, "time");
            self.problem("memory", format!("its table in memory was found changed, {times} so far"));
        }
        for (name, keyset) in &said.keysets {
            let stale = keyset.stale.filter(|stale| *stale <= said.time);
            if let Some(stale) = stale {
                let text = format!("keyset of issuer {name:?} is too old since {stale}: its tokens are refused");
                self.problem("keyset-stale", text);
            }
            if let Some(why) = &keyset.last_failure {
                let until = keyset.stale.filter(|_| stale.is_none());
                let until = until.map_or_else(String::new, |until| format!(" (what was fetched counts until {until})"));
                self.note("keyset", format!("keyset of issuer {name:?}: {why}{until}"));
            }
        }
        if let Some(why) = said.assertions.as_ref().and_then(|keys| keys.last_failure.as_ref()) {
            self.note("assertion-keys", format!("the keys of its assertions were not rotated: {why}"));
        }
        for Failing { name, source, since, next, message } in &said.not_renewed {
            let text =
                format!("no new certificate for {name} from {source:?} since {since}: {message}; again at {next}");
            self.note("not-renewed", text);
        }
        for certificate in &said.certificates {
            if let Some(why) = &certificate.last_failure {
                // What is wrong with a file begins with its name.
                let why = why.strip_prefix(&format!("{}: ", certificate.chain)).unwrap_or(why);
                self.note("certificate", format!("certificate {}: {why}", certificate.chain));
            }
            let (chain, at) = (&certificate.chain, certificate.not_after);
            if (1..=said.time.seconds()).contains(&at.seconds()) {
                self.problem("ended", format!("certificate {chain} ENDED at {at}: every TLS client refuses it"));
            }
        }
    }

    /// What comes to its end, soonest first: at the distances at which the gateway itself tells it.
    fn look_at_ends(&mut self, said: &Attestation) {
        for Ends { of, name, begins, at } in &said.ends {
            let (what, now_s) = (expiry::shown(of), said.time.seconds());
            let begins_s = begins.map_or(0, Timestamp::seconds);
            if *at > said.time && expiry::reached(begins_s, at.seconds(), now_s).is_some() {
                self.note("ends", format!("the {what} {name} ends at {at}, {}", distance(said.time, *at)));
            }
            let text = || format!("the {what} {name} ended at {at}");
            match of.as_str() {
                _ if *at > said.time => {}
                // Told with what follows from it.
                "certificate" | expiry::OBTAINED | "keyset" | "pointer" | "release" | "revocations" => {}
                // As it was meant to.
                "api-key" => self.note("ended", text()),
                _ => self.problem("ended", text()),
            }
        }
    }
}

/// `1 entry`, `2 entries`.
fn plural(count: u64, noun: &str) -> String {
    crate::commands::signing::plural(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

/// Gateways of one policy and channel should serve one release. Whoever waits for a restart has taken that one, and was
/// told so.
fn compare_releases(judged: &mut [Judged]) {
    let group =
        |said: &Attestation| (said.policy.clone(), said.pointer.as_ref().map(|pointer| pointer.channel.clone()));
    let taken = |said: &Attestation| match &said.waiting {
        Some(waiting) => (waiting.release.clone(), waiting.version),
        None => (said.release.clone(), said.version),
    };
    let mut groups: BTreeMap<_, BTreeMap<_, Vec<String>>> = BTreeMap::new();
    for of in judged.iter() {
        if let Some(said) = &of.answer {
            groups.entry(group(said)).or_default().entry(taken(said)).or_default().push(of.host.clone());
        }
    }
    for of in judged.iter_mut() {
        let Some(said) = &of.answer else { continue };
        let own = taken(said);
        let Some(releases) = groups.get(&group(said)) else { continue };
        let own_count = releases.get(&own).map_or(0, Vec::len);
        let others = releases.iter().filter(|(release, _)| **release != own);
        // Those in the majority have nothing to explain.
        let most = others.max_by_key(|(_, hosts)| hosts.len()).filter(|(_, hosts)| hosts.len() >= own_count);
        if let Some(((release, version), hosts)) = most {
            let (served, served_version) = own;
            let other = hosts.first().map_or("", String::as_str);
            let text = format!(
                "serves {served} (version {served_version}), but {other}, of the same policy and channel, serves {release} \
                 (version {version})"
            );
            of.problem("drifted", text);
        }
    }
}

/// A table is a function of its release: two of the same release that differ are a fault of one of them.
fn compare_tables(judged: &mut [Judged]) {
    let mut tables: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for of in judged.iter() {
        if let Some(said) = &of.answer {
            tables.entry(&said.release).or_default().entry(&said.table_sha256).or_default().push(&of.host);
        }
    }
    let mut found = Vec::new();
    for (index, of) in judged.iter().enumerate() {
        let Some(said) = &of.answer else { continue };
        let Some(of_release) = tables.get(said.release.as_str()) else { continue };
        let own = of_release.get(said.table_sha256.as_str()).map_or(0, Vec::len);
        let others = of_release.iter().filter(|(table, _)| **table != said.table_sha256);
        // Those in the majority have nothing to explain.
        if let Some((table, hosts)) =
            others.max_by_key(|(_, hosts)| hosts.len()).filter(|(_, hosts)| hosts.len() >= own)
        {
            let other = hosts.first().copied().unwrap_or_default();
            found.push((
                index,
                format!("its table is {}, but for the same release {other} has {table}", said.table_sha256),
            ));
        }
    }
    for (index, text) in found {
        if let Some(of) = judged.get_mut(index) {
            of.problem("table", text);
        }
    }
}

/// A node key belongs to one node: a second gateway with it is the same one, a copy, or an answer that was passed on.
fn compare_keys(judged: &mut [Judged]) {
    let mut holders: BTreeMap<KeyId, Vec<usize>> = BTreeMap::new();
    for (index, of) in judged.iter().enumerate() {
        if let Some(said) = &of.answer {
            holders.entry(said.node.id).or_default().push(index);
        }
    }
    for indices in holders.values().filter(|indices| indices.len() > 1) {
        let hosts: Vec<String> =
            indices.iter().filter_map(|index| judged.get(*index).map(|of| of.host.clone())).collect();
        let starts = indices.iter().filter_map(|index| judged.get(*index)?.answer.as_ref()).map(|said| said.started);
        let starts: BTreeSet<_> = starts.map(|started| started.seconds()).collect();
        let why = if starts.len() == 1 {
            "and runs since the same moment: one gateway at two addresses (ask it at one), or its answers are passed on"
        } else {
            "but runs since another moment: a copy of its state directory? each gateway makes its own key"
        };
        for index in indices {
            if let Some(of) = judged.get_mut(*index) {
                let others: Vec<&str> = hosts.iter().filter(|host| **host != of.host).map(String::as_str).collect();
                if !others.is_empty() {
                    let text = format!("has the same node key as {}, {why}", others.join(", "));
                    of.problem("shared-key", text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
