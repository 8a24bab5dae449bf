//! One renewal, as a thread of its own does it. Whoever is asked may take their time: the profile's lock is held while it is
//! read, and while something is written. What was read first may be another one by then, so it is read again before.

use std::path::Path;

use crate::bounds::RENEWAL_ROUNDS_MAX;
use crate::fault::Fault;
use crate::fresh::Writer;
use crate::generation::{self, Identity};
use crate::oauth::{Fetched, TokenEndpoint};
use crate::profile::{self, Enrolment, TokenSource};
use crate::source::token::{self, RenewedToken};
use crate::source::{self, Obtained, Ready, Waiting};

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
pub fn certificate(directory: &Path, writer: &Writer) -> (String, Result<Renewal, Fault>) {
    let mut from = String::new();
    let renewed = in_rounds(directory, || {
        let wanted = Wanted::read(directory, writer)?;
        from = wanted.enrolment.profile.certificate.shown();
        match source::obtain(directory, &wanted.enrolment, wanted.before.as_ref(), writer)? {
            Obtained::Ready(ready) => wanted.put(directory, writer, *ready),
            Obtained::Waiting(waiting) => Ok(Some(Renewal::Waiting(waiting))),
        }
    });
    (from, renewed)
}

/// A new token beside the certificate in use.
pub fn token(directory: &Path, writer: &Writer) -> (String, Result<Renewal, Fault>) {
    let mut from = String::new();
    let renewed = in_rounds(directory, || {
        let (asking, key) = Asking::read(directory, writer)?;
        from.clone_from(&asking.of.url);
        let fetched = asking.of.fetch(&key, &asking.identity.chain)?;
        asking.put(directory, writer, &fetched)
    });
    (from, renewed)
}

/// Asks again where what was asked for fits what is in use no more.
fn in_rounds(directory: &Path, mut round: impl FnMut() -> Result<Option<Renewal>, Fault>) -> Result<Renewal, Fault> {
    for _ in 0..RENEWAL_ROUNDS_MAX {
        if let Some(renewal) = round()? {
            return Ok(renewal);
        }
    }
    let message = format_args!("expected the profile to stay as it is while it is renewed, found it changed");
    Err(Fault::at(directory, format_args!("{message}, {RENEWAL_ROUNDS_MAX} times")).help(
        "it is tried again by itself; where the channel changes what certificates are for all the time, ask who publishes there",
    ))
}

/// What a new certificate is for.
struct Wanted {
    enrolment: Enrolment,
    /// What is in use of the same enrolment.
    before: Option<Identity>,
}

impl Wanted {
    fn read(directory: &Path, writer: &Writer) -> Result<Self, Fault> {
        let _held = writer.lock();
        Self::now(directory)
    }

    /// The caller holds the lock.
    fn now(directory: &Path) -> Result<Self, Fault> {
        if let Some(enrolment) = Enrolment::waiting(directory)? {
            return Ok(Self { enrolment, before: None });
        }
        let enrolment = Enrolment::read(directory)?;
        Ok(Self { enrolment, before: generation::current(directory).ok() })
    }

    /// Puts in use what was obtained, with all else as it is now; none where it was obtained on other terms.
    fn put(&self, directory: &Path, writer: &Writer, ready: Ready) -> Result<Option<Renewal>, Fault> {
        let _held = writer.lock();
        let now = Self::now(directory)?;
        let [was, is] = [self, &now].map(|of| (&of.enrolment.profile.certificate, of.enrolment.profile.terms()));
        if was != is {
            return Ok(None);
        }
        let old = generation::facts(directory).ok().map(|facts| facts.sha256);
        let new = ready.stage(directory, &now.enrolment, now.before.as_ref())?.put()?;
        profile::end_waiting(directory)?;
        Ok(Some(Renewal::Done { old, new: new.sha256, ends_s: new.not_after_s }))
    }
}

/// What a token is asked for with.
struct Asking {
    of: TokenEndpoint,
    identity: Identity,
}

impl Asking {
    /// With the key of the certificate.
    fn read(directory: &Path, writer: &Writer) -> Result<(Self, zeroize::Zeroizing<String>), Fault> {
        let _held = writer.lock();
        let Some(TokenSource::Oauth(of)) = Enrolment::read(directory)?.profile.token else {
            return Err(Fault::at(directory, "this profile names no token endpoint any more"));
        };
        let identity = generation::current(directory)?;
        let (key, _) = generation::pair(&identity)?;
        Ok((Self { of, identity }, key))
    }

    /// Puts a token beside the certificate that is in use now; none where it would not go with it, or was asked for otherwise
    /// than it would be now.
    fn put(&self, directory: &Path, writer: &Writer, fetched: &Fetched) -> Result<Option<Renewal>, Fault> {
        let _held = writer.lock();
        let (enrolment, identity) = (Enrolment::read(directory)?, generation::current(directory)?);
        let is_same = matches!(&enrolment.profile.token, Some(TokenSource::Oauth(of)) if *of == self.of);
        let is_bound_elsewhere = self.of.binds() && identity.facts.sha256 != self.identity.facts.sha256;
        if !is_same || is_bound_elsewhere {
            return Ok(None);
        }
        let RenewedToken { old, new, life } = token::put(directory, &enrolment, &identity, fetched)?;
        Ok(Some(Renewal::Done { old, new, ends_s: life.ends_s }))
    }
}

#[cfg(test)]
mod tests;
