//! `[status]`: the listener that answers the rest of the fleet, by mutual TLS alone.

use control::admin::StatusPlace;
use toml::Spanned;

use super::certificates::Issuers;
use super::file;
use super::read::{Checked, Source};

impl Source<'_> {
    pub fn status(&self, status: &Spanned<file::Status>, issuers: &mut Issuers) -> Checked<StatusPlace> {
        let written = status.get_ref();
        let Some(tls) = &written.tls else {
            let message = "the status listener speaks TLS alone, found no tls".to_owned();
            return self.refuse(&status.span(), message, "add tls = { chain = \"status.pem\", key = \"status.key\" }");
        };
        let Some(client_ca) = &written.client_ca else {
            let message = "the status listener answers clients with a certificate alone, found no client_ca".to_owned();
            let hint = "add client_ca = \"FILE\", the CA of those who may ask; for this machine alone there is [admin]";
            return self.refuse(&status.span(), message, hint);
        };
        Ok(StatusPlace {
            address: written.address.get_ref().0,
            tls: self.certificate_at_start(tls, issuers)?,
            client_ca: self.resolve(client_ca),
            last_use: written.last_use,
        })
    }
}
