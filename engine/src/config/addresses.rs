//! Where this gateway listens: no two of them at the same place, which a start would find out by its last bind alone.

use std::net::SocketAddr;
use std::ops::Range;

use super::file;
use super::read::{Checked, Source};

/// Something that listens.
struct Listens {
    what: &'static str,
    at: SocketAddr,
    family: Family,
    span: Range<usize>,
    help: &'static str,
}

/// What a socket at `[::]` takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// IPv6 alone.
    One,
    /// IPv4 as well.
    Both,
}

impl Listens {
    /// Whether it leaves `other` to nobody else. Each at port 0 gets a port of its own.
    fn takes(&self, other: SocketAddr) -> bool {
        let is_same_family = self.at.is_ipv4() == other.is_ipv4() || self.at.is_ipv6() && self.family == Family::Both;
        let is_wide = self.at.ip().is_unspecified() && is_same_family;
        self.at.port() == other.port() && other.port() != 0 && (is_wide || self.at.ip() == other.ip())
    }

    fn meets(&self, other: &Self) -> bool {
        self.takes(other.at) || other.takes(self.at)
    }
}

impl Source<'_> {
    pub fn refuse_meeting_addresses(&self, file: &file::File) -> Checked<()> {
        let mut known: Vec<Listens> = Vec::new();
        for listener in &file.listener {
            let written = &listener.as_ref().address;
            let (what, at, span, help) =
                ("the listener", written.get_ref().0, written.span(), "give each listener an address of its own");
            // Two at one port, of which one has a narrower address, share it.
            if let Some(other) = known.iter().find(|other| other.at == at && at.port() != 0) {
                let message = format!("the address {} has two listeners", other.at);
                return self.refuse(&span, message, help);
            }
            known.push(Listens { what, at, family: Family::One, span, help });
        }
        for one in others(file) {
            if let Some(other) = known.iter().find(|other| other.what != one.what && other.meets(&one)) {
                let (at, what) = (one.at, other.what);
                let message =
                    format!("expected an address that nothing else has, found {at}, and {what} has {}", other.at);
                return self.refuse(&one.span, message, one.help);
            }
            known.push(one);
        }
        Ok(())
    }
}

/// What listens beside the listeners. Sources of certificates have their challenges answered at the same place.
fn others(file: &file::File) -> impl Iterator<Item = Listens> {
    let status = file.status.as_ref().map(|status| &status.get_ref().address);
    let status =
        status.map(|at| ("the status listener", at, Family::Both, "give the status listener an address of its own"));
    let admin = file.admin.as_ref().and_then(|admin| admin.get_ref().address.as_ref());
    let admin = admin.map(|at| {
        (
            "the admin listener",
            at,
            Family::One,
            "give the admin listener an address of its own, or unix = \"admin.sock\"",
        )
    });
    let acme = file.certificate_source.iter().filter_map(|source| source.get_ref().acme.as_ref());
    let challenges = acme.filter_map(|acme| acme.get_ref().http_challenge.as_ref()).map(|at| {
        let help = "write another one, to which port 80 of the names leads; or remove http_challenge: then a tls listener \
                    answers challenges";
        ("http_challenge", at, Family::Both, help)
    });
    status.into_iter().chain(admin).chain(challenges).map(|(what, written, family, help)| Listens {
        what,
        at: written.get_ref().0,
        family,
        span: written.span(),
        help,
    })
}
