//! `encrypt_to` under `[records]`: whom records are encrypted to.

use age_format::{RECIPIENTS_MAX, Recipient};

use super::file;
use super::read::{Checked, Source};

impl Source<'_> {
    pub(super) fn record_recipients(&self, records: &file::Records) -> Checked<Vec<Recipient>> {
        let Some(all) = &records.encrypt_to else { return Ok(Vec::new()) };
        if matches!(records.to.as_deref(), None | Some("stdout")) {
            let message = "expected a file as `to` of records that are encrypted, found standard output".to_owned();
            return self.refuse(
                &all.span(),
                message,
                "write to = \"FILE\": what takes standard output takes text alone",
            );
        }
        if all.get_ref().is_empty() || all.get_ref().len() > RECIPIENTS_MAX {
            let message = format!("expected 1 to {RECIPIENTS_MAX} age public keys, found {}", all.get_ref().len());
            return self.refuse(
                &all.span(),
                message,
                "write encrypt_to = [\"age1…\"], as age-keygen or adamant key age prints it",
            );
        }
        let mut recipients: Vec<Recipient> = Vec::new();
        for of in all.get_ref() {
            match of.get_ref().parse() {
                Ok(recipient) if recipients.contains(&recipient) => {
                    return self.refuse(&of.span(), format!("{recipient} stands there twice"), "name each one once");
                }
                Ok(recipient) => recipients.push(recipient),
                Err(fault) => {
                    let hint = "write the public key that age-keygen or adamant key age prints";
                    return self.refuse(&of.span(), fault.to_string(), hint);
                }
            }
        }
        Ok(recipients)
    }
}
