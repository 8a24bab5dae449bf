//! Certificates of listeners, as their files change.

use std::sync::Arc;

use super::Watcher;
use super::report::{confirm_certificate, refuse_certificate, take_certificate};
use crate::assemble::tls;
use crate::clock;

impl Watcher {
    pub(super) fn look_at_listeners(&mut self) {
        for index in 0..self.listeners.len() {
            let Some(Some(watched)) = self.listeners.get_mut(index) else { continue };
            if watched.changed() {
                self.reload_listener(index);
            }
        }
    }

    fn reload_listener(&mut self, index: usize) {
        let start = &mut self.start;
        let Some(Some(files)) = start.node.listeners.get(index) else { return };
        let had = start.server_certificates.get(index).and_then(Option::as_ref).map_or(0, Vec::len);
        let loaded = match tls::load_all(files) {
            Ok(loaded) if start.listener_files.get(index) == Some(&Some(loaded.content)) => {
                let chains = loaded.statuses.iter().map(|(chain, _)| chain);
                return chains.for_each(|chain| confirm_certificate(&start.status, &start.records, chain));
            }
            Ok(loaded) if loaded.certificates.len() < had => {
                let chains = files.awaited.iter().map(|chain| chain.display().to_string());
                let why = format!("listener {index}: a certificate that was obtained is not there any more");
                return refuse_certificate(&start.status, &start.records, chains.collect(), &why);
            }
            Ok(loaded) => loaded,
            Err(error) => {
                let chains = files.certificates.iter().map(|of| of.chain.display().to_string());
                return refuse_certificate(&start.status, &start.records, chains.collect(), &error.to_string());
            }
        };
        let now_s = clock::unix_s();
        if let Some((chain, _)) = loaded.statuses.iter().find(|(_, status)| status.not_after_unix_s <= now_s) {
            let why = format!("{chain}: the new certificate has expired already");
            return refuse_certificate(&start.status, &start.records, vec![chain.clone()], &why);
        }
        let (content, statuses) = (loaded.content, loaded.statuses.clone());
        match tls::listener_tls(index, files, &loaded.certificates, &start.parts.client_cas, &start.tickets) {
            Ok(tls) => {
                if let Some(slot) = start.server_certificates.get_mut(index) {
                    *slot = Some(loaded.certificates);
                }
                if let Some(slot) = start.parts.listeners.get_mut(index) {
                    *slot = Some(Arc::new(tls));
                }
                if let Some(slot) = start.listener_files.get_mut(index) {
                    *slot = Some(content);
                }
                for (chain, status) in statuses {
                    take_certificate(&start.status, &start.records, chain, status);
                }
                self.changed = true;
            }
            Err(error) => {
                let chains = statuses.into_iter().map(|(chain, _)| chain).collect();
                refuse_certificate(&start.status, &start.records, chains, &error.to_string());
            }
        }
    }
}
