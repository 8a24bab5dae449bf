//! One renewal, as a thread of its own does it: it may take its time.

use std::path::Path;

use crate::fault::Fault;
use crate::fresh::Fresh;
use crate::generation;
use crate::profile::{self, Enrolment, TokenSource};
use crate::source::{self, Obtained, RenewedToken, Waiting};

/// What became of a renewal.
pub enum Renewal {
    /// With thumbprints of old and new.
    Done {
        old: Option<String>,
        new: String,
        ends_s: u64,
    },
    Waiting(Waiting),
}

/// A new certificate: of an enrolment that waits for one, which was asked for last; else of the profile in use.
pub fn certificate(directory: &Path, held: &mut Option<Fresh>) -> (String, Result<Renewal, Fault>) {
    let waiting = Enrolment::waiting(directory);
    let is_enrolment = !matches!(waiting, Ok(None));
    let enrolment = waiting.and_then(|waiting| waiting.map_or_else(|| Enrolment::read(directory), Ok));
    let enrolment = match enrolment {
        Ok(enrolment) => enrolment,
        Err(fault) => return (String::new(), Err(fault)),
    };
    let before = generation::current(directory).ok();
    let of_same = before.as_ref().filter(|_| !is_enrolment);
    let renewed = source::obtain(directory, &enrolment, of_same, held).and_then(|obtained| match obtained {
        Obtained::Ready(ready) => {
            let new = ready.put()?;
            profile::end_waiting(directory)?;
            let old = before.map(|identity| identity.facts.sha256);
            Ok(Renewal::Done { old, new: new.sha256, ends_s: new.not_after_s })
        }
        Obtained::Waiting(waiting) => Ok(Renewal::Waiting(waiting)),
    });
    (enrolment.profile.certificate.shown(), renewed)
}

/// A new token beside the certificate in use.
pub fn token(directory: &Path) -> (String, Result<Renewal, Fault>) {
    let enrolment = match Enrolment::read(directory) {
        Ok(enrolment) => enrolment,
        Err(fault) => return (String::new(), Err(fault)),
    };
    let Some(TokenSource::Oauth(of)) = &enrolment.profile.token else {
        return (String::new(), Err(Fault::at(directory, "this profile names no token endpoint any more")));
    };
    let renewed = generation::current(directory)
        .and_then(|identity| source::renew_token(directory, &enrolment, of, &identity))
        .map(|RenewedToken { old, new, life }| Renewal::Done { old, new, ends_s: life.ends_s });
    (of.url.clone(), renewed)
}
