//! The profile document of one release, as it was when it was looked at.

use std::io::Write;

use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind};
use policy_release::key::PublicKey;
use policy_release::profile_document::{Place, ProfileDocument, ROLE, verify_profile_document};
use policy_release::root::TrustRoot;
use stores::layout;

use crate::commands::signing;
use crate::commands::trust::words;
use crate::failure::{Failure, warn};
use crate::pointing::{Desk, ReleaseChoice, Target, Where};
use crate::span::distance;

pub struct ProfileDesk {
    pub desk: Desk,
    pub release: Digest,
    pub policy_name: String,
    version: u64,
    /// The bytes of the document that is there.
    seen: Option<Vec<u8>>,
    /// The same, where it verifies by any root of the chain; else why it does not.
    present: Option<Result<(ProfileDocument, Envelope), String>>,
}

impl ProfileDesk {
    pub fn open(at: &Where, choice: &ReleaseChoice) -> Result<Self, Failure> {
        let desk = Desk::open(at)?;
        let target = Target::load(&desk, choice)?;
        let (release, policy_name) = (target.digest(), target.policy_name().to_owned());
        let seen = desk.store.profile(&release)?;
        let present = seen.as_deref().map(|bytes| believed(bytes, &desk.chain, &release));
        Ok(Self { version: target.version(), desk, release, policy_name, seen, present })
    }

    /// The document that is there.
    pub fn present(&self) -> Result<&(ProfileDocument, Envelope), Failure> {
        match &self.present {
            Some(Ok(present)) => Ok(present),
            Some(Err(why)) => {
                Err(Failure::new(format_args!("the profile document of {} is not believed: {why}", self.release))
                    .help("who wrote it? adamant profile issue --serial N --gateway … replaces it"))
            }
            None => Err(Failure::new(format_args!("release {} has no profile document", self.release))
                .help("adamant profile issue --gateway https://HOST:PORT --gateway-ca FILE makes it")),
        }
    }

    /// The place that the release has already, else what the channel runs. What holds by older keys alone is not copied: whoever
    /// has the keys that left would name the place.
    pub fn place(&self) -> Result<Place, Failure> {
        if self.present.is_some() {
            return self.copied(self.present()?);
        }
        let running = self.desk.current.pointer().filter(|pointer| pointer.release != self.release);
        let bytes = running.map(|pointer| self.desk.store.profile(&pointer.release)).transpose()?.flatten();
        match (running, bytes) {
            (Some(running), Some(bytes)) => {
                let found = believed(&bytes, &self.desk.chain, &running.release).map_err(|why| {
                    Failure::new(format_args!("that of {} is not believed: {why}", running.release))
                        .help("give --gateway")
                })?;
                self.copied(&found)
            }
            _ => self.present().map(|(document, _)| document.place.clone()),
        }
    }

    fn copied(&self, (document, envelope): &(ProfileDocument, Envelope)) -> Result<Place, Failure> {
        let gateway = &document.place.gateway;
        if !self.desk.root.standing(ROLE, envelope).is_met() {
            let message = format!("the document that names {gateway} holds by older keys of {ROLE} alone");
            return Err(Failure::new(message).help("is that place meant? Say it: --gateway URL --gateway-ca FILE"));
        }
        warn(format_args!(
            "the place {gateway} is taken from serial {} of {}, issued {}: whoever may write to the store chooses which of \
             those that were ever signed; name it with --gateway if it is not meant",
            document.serial, document.release, document.issued
        ));
        Ok(document.place.clone())
    }

    /// The serial of the next document: `wanted`, or one above the present one.
    pub fn serial(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        let present = match &self.present {
            Some(Ok((document, _))) => document.serial,
            None => 0,
            Some(Err(why)) => match wanted {
                Some(_) => {
                    warn(format_args!(
                        "the profile document of {} is not believed and is replaced: {why}",
                        self.release
                    ));
                    0
                }
                None => return Err(self.present().map(drop).err().unwrap_or_else(|| Failure::new(why))),
            },
        };
        let next = present.saturating_add(1);
        match wanted {
            Some(wanted) if wanted < next => {
                let message =
                    format!("expected a serial above {present}, that of the present document, found {wanted}");
                Err(Failure::new(message).help("agents never go back; leave --serial away for the next one"))
            }
            wanted => Ok(wanted.unwrap_or(next)),
        }
    }

    /// Refuses a key whose signature would count for nothing.
    pub fn may_sign(&self, key: &PublicKey) -> Result<(), Failure> {
        signing::may_sign(&self.desk.chain, &[ROLE], key)
    }

    pub fn tell(&self, document: &ProfileDocument, envelope: &Envelope, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "profile    of release {}", document.release)?;
        writeln!(out, "  policy   {} version {}", document.policy_name, self.version)?;
        for line in super::place::lines(&document.place) {
            writeln!(out, "{line}")?;
        }
        let (serial, expires) = (document.serial, document.expires);
        writeln!(out, "  serial   {serial}, until {expires} ({})", distance(self.desk.now, expires))?;
        writeln!(out, "  signed   {}", words(&self.desk.root.standing(ROLE, envelope)))?;
        Ok(())
    }

    /// Publishes it, if the signatures are enough and nobody else did meanwhile.
    pub fn publish(&self, document: &ProfileDocument, envelope: &Envelope, out: &mut dyn Write) -> Result<(), Failure> {
        let signed = self.desk.root.standing(ROLE, envelope);
        if !signed.is_met() {
            let message = format!("{ROLE} has {}; nothing was published", words(&signed));
            return Err(Failure::new(message).help("give more keys, or write it with --out FILE for others to sign"));
        }
        let bytes = envelope.to_bytes();
        verify_profile_document(&bytes, &self.desk.root, &document.release).map_err(Failure::new)?;
        let lock = self.desk.store.lock()?;
        if self.desk.store.profile(&document.release)? != self.seen {
            let message = "somebody else published a profile document of this release meanwhile; nothing was published";
            return Err(Failure::new(message).help("run this again"));
        }
        let place = layout::profile(&document.release);
        lock.write(&place, Kind::ProfileDocument, &bytes)?;
        writeln!(out, "wrote {}", self.desk.store.path().join(place).display())?;
        Ok(())
    }
}

/// What a document in the store is worth, by any root of the chain, the newest first: its signers may have left since.
fn believed(bytes: &[u8], chain: &[TrustRoot], release: &Digest) -> Result<(ProfileDocument, Envelope), String> {
    let mut why = String::new();
    for root in chain.iter().rev() {
        match verify_profile_document(bytes, root, release) {
            Ok(verified) => {
                let envelope = Envelope::parse_kind(bytes, Kind::ProfileDocument).map_err(|fault| fault.to_string())?;
                return Ok((verified.document, envelope));
            }
            Err(fault) if why.is_empty() => why = fault.to_string(),
            Err(_) => {}
        }
    }
    Err(why)
}
