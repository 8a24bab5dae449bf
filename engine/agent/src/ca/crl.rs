//! Revocation: what a CA takes back, and the CRL (RFC 5280 §5) that says so.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::log::{self, Issued, Revoked};
use super::{Authority, check_life, failed, place};
use crate::bounds::{FILE_BYTES_MAX, LIFE_CRL_S_MAX, LOG_BYTES_MAX};
use crate::clock;
use crate::fault::Fault;
use crate::files::{self, Access};
use crate::x509;

/// A CRL that was written.
pub struct Written {
    pub number: u64,
    pub entries: usize,
    pub next_update_s: u64,
}

impl Authority {
    /// Revokes what `which` names and is still valid: a serial number, a SHA-256 of a certificate, or a SPIFFE id (all of
    /// its certificates). Gives those that were not revoked before.
    pub fn revoke(&self, which: &str, why: &str, now_s: u64) -> Result<Vec<Issued>, Fault> {
        let _held = files::lock_waiting(&self.directory.join(place::LOCK))?;
        let issued: Vec<Issued> = log::read(&self.directory.join(place::ISSUED))?;
        let path = self.directory.join(place::REVOKED);
        let revoked: Vec<Revoked> = log::read(&path)?;
        let wanted = which.to_ascii_lowercase().replace(':', "");
        let named = |entry: &Issued| entry.name == which || entry.serial == wanted || entry.sha256 == wanted;
        let mut found = issued.into_iter().filter(named).peekable();
        if found.peek().is_none() {
            let help = "issued.jsonl has what this CA issued; give a serial, a SHA-256 or a SPIFFE id from it";
            return Err(Fault::new(format_args!("expected something that this CA issued, found {which:?}")).help(help));
        }
        let fresh = |entry: &Issued| {
            entry.until.seconds() > now_s && revoked.iter().all(|before| before.serial != entry.serial)
        };
        let fresh: Vec<Issued> = found.filter(fresh).collect();
        for entry in &fresh {
            let (time, why) = (clock::shown(now_s), why.chars().take(200).collect());
            log::add(&path, &Revoked { time, serial: entry.serial.clone(), until: entry.until, why })?;
        }
        Ok(fresh)
    }

    /// Signs and writes the CRL of everything that is revoked and has not expired; its number is one above the last one's.
    pub fn write_crl(&self, life_s: u64, now_s: u64) -> Result<Written, Fault> {
        check_life(life_s, LIFE_CRL_S_MAX)?;
        let _held = files::lock_waiting(&self.directory.join(place::LOCK))?;
        let revoked: Vec<Revoked> = log::read(&self.directory.join(place::REVOKED))?;
        let path = self.directory.join(place::CRL);
        let number = last(&self.directory)?.map_or(0, |(number, _)| number) + 1;
        let at = |s: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(s);
        let entry = |entry: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&x509::from_hex(&entry.serial)),
            revocation_time: at(entry.time.seconds()),
            reason_code: None,
            invalidity_date: None,
        };
        let valid = revoked.iter().filter(|entry| entry.until.seconds() > now_s);
        let revoked_certs: Vec<_> = valid.map(entry).collect();
        let entries = revoked_certs.len();
        let params = CertificateRevocationListParams {
            this_update: at(now_s.saturating_sub(crate::bounds::BACKDATED_S)),
            next_update: at(now_s + life_s),
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = params.signed_by(&self.issuer).and_then(|crl| crl.pem()).map_err(failed)?;
        files::write(&path, pem.as_bytes(), Access::Everyone)?;
        Ok(Written { number, entries, next_update_s: now_s + life_s })
    }
}

/// Number and end of the CRL that is there, seconds since the Unix epoch; none without one.
pub fn last(directory: &Path) -> Result<Option<(u64, u64)>, Fault> {
    let path = directory.join(place::CRL);
    if !path.exists() {
        return Ok(None);
    }
    let pem = files::read(&path, LOG_BYTES_MAX.max(FILE_BYTES_MAX))?;
    let unreadable = |why: String| {
        let help = "put the last one back: numbers of CRLs must grow";
        Fault::at(&path, format_args!("expected the CRL of before, found {why}")).help(help)
    };
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|error| unreadable(error.to_string()))?;
    let parsed = CertificateRevocationList::from_der(&block.contents);
    let (_, crl) = parsed.map_err(|error| unreadable(error.to_string()))?;
    let number = crl.crl_number().and_then(|number| number.to_string().parse().ok());
    let ends_s = crl.next_update().map_or(0, |time| u64::try_from(time.timestamp()).unwrap_or(0));
    number.map(|number| Some((number, ends_s))).ok_or_else(|| unreadable("no number in it".into()))
}
