//! Certificates of listeners, as their files change. Each is judged by itself: one that is bad holds up none beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::certificate::ServerNames;
use policy::model::Policy;

use super::Watcher;
use super::report::{confirm_certificate, refuse_certificate, take_certificate};
use crate::assemble::tls::{self, Loaded};
use crate::assemble::{ChainFiles, ListenerFiles};
use crate::clock;

/// What a listener is to serve with, once its files have changed.
struct Next {
    /// In the order of the files: a new one, or the one that serves where the file has none that is better.
    certificates: Vec<Loaded>,
    taken: Vec<Loaded>,
    refused: Vec<Refused>,
    /// By path of the chain: what is there is what serves.
    confirmed: Vec<String>,
}

/// A certificate that is not taken.
struct Refused {
    /// Path of the chain.
    chain: String,
    why: Wrong,
}

/// Why it is not, and whether nothing was read.
struct Wrong {
    told: String,
    is_unread: bool,
}

impl Wrong {
    const fn refusal(told: String) -> Self {
        Self { told, is_unread: false }
    }
}

impl Watcher {
    pub(super) fn look_at_listeners(&mut self) {
        for index in 0..self.listeners.len() {
            self.look_at_listener(index);
        }
    }

    fn look_at_listener(&mut self, index: usize) {
        let start = &mut self.start;
        let Some(Some(watched)) = self.listeners.get_mut(index) else { return };
        if !watched.changed() {
            return;
        }
        let (Some(Some(files)), Some(Some(serving))) =
            (start.node.listeners.get(index), start.server_certificates.get_mut(index))
        else {
            return;
        };
        let Next { certificates, taken, refused, confirmed } = Next::of(files, serving, clock::unix_s());
        confirmed.iter().for_each(|chain| confirm_certificate(&start.status, &start.records, chain));
        for Refused { chain, why } in refused {
            if watched.is_news(why.is_unread, &why.told) {
                refuse_certificate(&start.status, &start.records, vec![chain], &why.told);
            }
        }
        if taken.is_empty() {
            return;
        }
        match tls::listener_tls(index, files, &certificates, &start.parts.client_cas, &start.tickets) {
            Ok(tls) => {
                *serving = certificates;
                if let Some(slot) = start.parts.listeners.get_mut(index) {
                    let before = slot.iter().flat_map(|before| before.names.iter());
                    tell_uncovered(index, &start.activator.frozen().policy, before, &tls.names);
                    *slot = Some(Arc::new(tls));
                }
                for of in taken {
                    take_certificate(&start.status, &start.records, of.chain, of.status);
                }
                self.changed = true;
            }
            Err(error) => {
                let chains = taken.into_iter().map(|of| of.chain).collect();
                refuse_certificate(&start.status, &start.records, chains, &error.to_string());
            }
        }
    }
}

/// Warns of hosts that a release has routes for and that the certificates of a listener cover no more.
fn tell_uncovered<'n>(
    index: usize,
    policy: &Policy,
    before: impl Iterator<Item = &'n ServerNames> + Clone,
    now: &[ServerNames],
) {
    let lost = |host: &str| {
        let covers = |names: &ServerNames| names.covers(host.as_bytes());
        before.clone().any(covers) && !now.iter().any(covers)
    };
    let hosts: BTreeSet<&str> = policy.routes.iter().map(|route| &*route.host).collect();
    let lost: Vec<&str> = hosts.into_iter().filter(|host| lost(host)).collect();
    if let Some(first) = lost.first() {
        let more = if lost.len() > 1 { " and more" } else { "" };
        crate::warning!(
            "listener {index}: its certificates do not cover {first}{more} any more, of which the release has routes: who \
             calls that host is turned away until one does"
        );
    }
}

impl Next {
    fn of(files: &ListenerFiles, serving: &[Loaded], now_s: u64) -> Self {
        let mut next = Self { certificates: Vec::new(), taken: Vec::new(), refused: Vec::new(), confirmed: Vec::new() };
        for of in &files.certificates {
            let chain = of.chain.display().to_string();
            let old = serving.iter().find(|old| old.chain == chain);
            match news(files, of, old, now_s) {
                Ok(Some(new)) => {
                    next.taken.push(new.clone());
                    next.certificates.push(new);
                    continue;
                }
                Ok(None) => next.confirmed.extend(old.is_some().then_some(chain)),
                Err(why) => next.refused.push(Refused { chain, why }),
            }
            next.certificates.extend(old.cloned());
        }
        next
    }
}

/// What the files of a certificate hold by now; none where that is what serves, or nothing is there yet. Why `old`, if there is
/// one, stays in use.
fn news(files: &ListenerFiles, of: &ChainFiles, old: Option<&Loaded>, now_s: u64) -> Result<Option<Loaded>, Wrong> {
    if files.awaits(of) {
        let gone = || format!("{}: a certificate that was obtained is not there any more", of.chain.display());
        return old.map_or(Ok(None), |_| Err(Wrong::refusal(gone())));
    }
    let new = tls::load(of).map_err(|error| Wrong { told: error.to_string(), is_unread: error.is_unread() })?;
    if old.is_some_and(|old| old.content == new.content) {
        return Ok(None);
    }
    if new.status.not_after_unix_s <= now_s {
        return Err(Wrong::refusal(format!("{}: the new certificate has expired already", new.chain)));
    }
    Ok(Some(new))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::{listener, write_chain};

    const NOW_S: u64 = 1_780_000_000;
    /// When none of those that are written here is good any more.
    const LATE_S: u64 = 1 << 40;

    fn files(directory: &Path) -> ListenerFiles {
        let [a, b, c] = ["a", "b", "c"].map(|name| write_chain(directory, name, &[&format!("{name}.example")]));
        let awaited = vec![c.chain.clone()];
        ListenerFiles { awaited, ..listener(vec![a, b, c]) }
    }

    /// Names of those that are taken, that are refused, and that it serves with then.
    fn told(next: &Next) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
        let name =
            |chain: &'_ str| ["a", "b", "c"].into_iter().find(|of| chain.ends_with(&format!("{of}.pem"))).unwrap();
        let taken = next.taken.iter().map(|of| name(&of.chain)).collect();
        let serve = next.certificates.iter().map(|of| name(&of.chain)).collect();
        (taken, next.refused.iter().map(|of| name(&of.chain)).collect(), serve)
    }

    #[test]
    fn one_bad_certificate_holds_up_none_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let serving = tls::load_all(&files).unwrap();
        let all = vec!["a", "b", "c"];
        let next = |now_s| Next::of(&files, &serving, now_s);
        assert_eq!(told(&next(NOW_S)), (vec![], vec![], all.clone()));
        // All of them have ended, and none has changed: that is no reason to refuse any.
        assert_eq!(told(&next(LATE_S)), (vec![], vec![], all.clone()));

        write_chain(directory.path(), "b", &["b.example"]);
        let old_key = std::fs::read(&files.certificates[0].key).unwrap();
        std::fs::write(&files.certificates[0].key, "no key").unwrap();
        std::fs::remove_file(&files.certificates[2].chain).unwrap();
        let mixed = next(NOW_S);
        assert_eq!(told(&mixed), (vec!["b"], vec!["a", "c"], all.clone()));
        let is_old = |at: usize| mixed.certificates[at].content == serving[at].content;
        assert_eq!([0, 1, 2].map(is_old), [true, false, true]);
        assert!(mixed.refused[1].why.told.contains("not there any more"), "{}", mixed.refused[1].why.told);

        // What has changed and has ended is refused; what has ended and is as it was is not.
        std::fs::write(&files.certificates[0].key, old_key).unwrap();
        let late = next(LATE_S);
        assert_eq!(told(&late), (vec![], vec!["b", "c"], all));
        assert!(late.refused[0].why.told.contains("has expired already"), "{}", late.refused[0].why.told);
    }

    #[test]
    fn what_is_awaited_is_taken_when_it_comes_and_not_missed_before() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let chain = std::fs::read(&files.certificates[2].chain).unwrap();
        std::fs::remove_file(&files.certificates[2].chain).unwrap();
        let serving = tls::load_all(&files).unwrap();
        assert_eq!(told(&Next::of(&files, &serving, NOW_S)), (vec![], vec![], vec!["a", "b"]));
        std::fs::write(&files.certificates[2].chain, chain).unwrap();
        assert_eq!(told(&Next::of(&files, &serving, NOW_S)), (vec!["c"], vec![], vec!["a", "b", "c"]));
    }
}
