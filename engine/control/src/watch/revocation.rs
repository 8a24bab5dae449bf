//! Revocation lists of client CAs, as their files change. A good one is in force with the next activation, a bad one leaves
//! the old one in force.

use std::sync::Arc;

use identity::certificate::RevocationLists;

use super::Watcher;
use super::fingerprint::Watched;
use super::report::{confirm_crl, refuse_crl, take_crl};
use crate::assemble::revocation::{self, CrlError};
use crate::assemble::tls::{self, Tickets};
use crate::assemble::{Frozen, Node};
use crate::clock;

/// The files of revocation lists, by client CA.
pub(super) fn watched_crls(frozen: &Frozen, node: &Node) -> Vec<Option<Watched>> {
    let watched = |rules: &policy::model::ClientCa| {
        rules.crl.as_ref().map(|crl| Watched::new(vec![revocation::watched_path(crl, &node.base)]))
    };
    frozen.policy.client_cas.iter().map(watched).collect()
}

impl Watcher {
    pub(super) fn look_at_crls(&mut self) {
        let frozen = Arc::clone(self.start.activator.frozen());
        for (index, rules) in frozen.policy.client_cas.iter().enumerate() {
            let (Some(crl), Some(Some(watched))) = (&rules.crl, self.crls.get_mut(index)) else { continue };
            let (why, now_s) = (watched.why(), clock::unix_s());
            watched.wake(now_s);
            if !watched.changed() {
                continue;
            }
            let set = Arc::clone(&self.start.parts.client_cas);
            let Some(ca) = set.cas().get(index) else { continue };
            let before = ca.lists().cloned();
            let (status, records) = (&self.start.status, &self.start.records);
            let read = revocation::read(crl, ca, set.cas(), &self.start.node.base, before.as_deref(), now_s);
            let in_force = before.as_ref().and_then(|before| before.due_s(now_s));
            watched.is_due_at(match &read {
                Ok(read) => read.lists.due_s(now_s),
                Err(CrlError::Lists { cause, .. }) => cause.is_over_at_s(now_s).into_iter().chain(in_force).min(),
                Err(CrlError::File { .. }) => in_force,
            });
            match read {
                Ok(read) if before.as_ref().is_some_and(|before| before.digest() == read.lists.digest()) => {
                    confirm_crl(status, records, &rules.name, why, read.status);
                }
                Ok(read) => match self.take_lists(index, &read.lists, before.as_deref()) {
                    Ok(()) => {
                        take_crl(&self.start.status, &self.start.records, &rules.name, why.of_change(), read.status);
                    }
                    Err(error) => {
                        let told = error.to_string();
                        let watched = self.crls.get_mut(index).and_then(Option::as_mut);
                        if watched.is_none_or(|watched| watched.is_news(true, &told)) {
                            refuse_crl(&self.start.status, &self.start.records, &rules.name, &told);
                        }
                    }
                },
                Err(error) => {
                    let told = error.to_string();
                    let is_unread = matches!(&error, CrlError::File { cause, .. } if cause.is_unread());
                    if watched.is_news(is_unread, &told) {
                        refuse_crl(status, records, &rules.name, &told);
                    }
                }
            }
        }
    }

    /// Puts `lists` of client CA number `index` in force with the next activation.
    fn take_lists(
        &mut self,
        index: usize,
        lists: &Arc<RevocationLists>,
        before: Option<&RevocationLists>,
    ) -> Result<(), tls::TlsError> {
        let start = &mut self.start;
        let mut all = vec![None; start.parts.client_cas.cas().len()];
        if let Some(place) = all.get_mut(index) {
            *place = Some(Arc::clone(lists));
        }
        let set = Arc::new(start.parts.client_cas.with_revocation(&all));
        // A session is not resumed past a list that revokes more: its client must show its certificate once more.
        let tickets = if before.is_none_or(|before| lists.revokes_more_than(before)) {
            Tickets::new()?
        } else {
            start.tickets.clone()
        };
        let mut listeners = start.parts.listeners.clone();
        for (index, slot) in listeners.iter_mut().enumerate() {
            let files = start.node.listeners.get(index).and_then(Option::as_ref);
            let certificates = start.server_certificates.get(index).and_then(Option::as_ref);
            if let (Some(files), Some(certificates)) = (files, certificates) {
                *slot = Some(Arc::new(tls::listener_tls(index, files, certificates, &set, &tickets)?));
            }
        }
        start.parts.listeners = listeners;
        start.parts.client_cas = set;
        start.tickets = tickets;
        self.changed = true;
        Ok(())
    }
}
