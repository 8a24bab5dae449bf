//! What is known of the lists of a client CA before its file is read: from the CAs that serve, and from what was kept. A list
//! belongs to who signed it, so that it is found by name and key of the CA's certificates, never by what a policy calls the
//! CA: neither another name nor one certificate more or less forgets what was revoked.

use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use webpki::{BorrowedCertRevocationList, CertRevocationList};

use super::super::ClientCa;
use super::list::List;
use super::proven::has_room;
use super::{RevocationLists, put};
use crate::bounds::{KEPT_LISTS_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_BYTES_MAX, REVOCATION_LISTS_IN_FORCE_MAX};

/// Lists as they are kept for the next start, whatever their CA is called then.
pub struct Kept {
    /// Of the CA whose they were: see [`ClientCa::issuers`].
    issuers: Vec<[u8; 32]>,
    lists: Vec<KeptList>,
}

struct KeptList {
    standing: Standing,
    der: Vec<u8>,
    /// SubjectPublicKeyInfo (DER) of who signed it, where a chain has proven it.
    signer: Option<Vec<u8>>,
    /// As [`CertRevocationList::issuer`] has it.
    issuer: Vec<u8>,
    sha256: [u8; 32],
}

#[derive(Clone, Copy)]
struct Standing {
    in_force: bool,
    /// Who signed it is known: by a chain, or by a certificate of the CA that may be gone from it next time. See `proven`.
    proven: bool,
}

impl ClientCa {
    /// Over name and key of each of its certificates, sorted: who issues its lists.
    pub fn issuers(&self) -> Vec<[u8; 32]> {
        let of = |(subject, spki): (&[u8], &[u8])| {
            let hash = Sha256::new().chain_update((subject.len() as u64).to_le_bytes());
            hash.chain_update(subject).chain_update(spki).finalize().into()
        };
        let mut issuers: Vec<[u8; 32]> = self.keys().map(of).collect();
        issuers.sort_unstable();
        issuers.dedup();
        issuers
    }
}

impl RevocationLists {
    /// All that is to be known at the next start, in the form that [`Kept::read`] takes; `ca` is whose lists these are. After
    /// a line for each issuer and each list, and an empty one, the lists in DER, each with its signer's key where that was shown.
    pub fn kept(&self, ca: &ClientCa) -> Vec<u8> {
        let of_issuer = |issuer: &[u8; 32]| {
            let hex: String = issuer.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("issuer {hex}\n")
        };
        let mut text: String = ca.issuers().iter().map(of_issuer).collect();
        let mut ders = Vec::new();
        for (standing, list) in self.standing(ca) {
            let signer = list.signer().filter(|_| standing.proven);
            let length = signer.map_or_else(String::new, |signer| format!(" {}", signer.len()));
            text.push_str(&format!("{} {}{length}\n", standing.name(), list.der.len()));
            ders.extend_from_slice(&list.der);
            ders.extend_from_slice(signer.unwrap_or_default());
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.append(&mut ders);
        bytes
    }

    /// Over the lists that [`RevocationLists::kept`] gives.
    pub fn kept_digest(&self, ca: &ClientCa) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (standing, list) in self.standing(ca) {
            hash.update(standing.name());
            hash.update(list.sha256);
        }
        hash.finalize().into()
    }

    fn standing(&self, ca: &ClientCa) -> Vec<(Standing, Arc<List>)> {
        let proven = self.proven_lists();
        let is_in = |lists: &[Arc<List>], list: &List| lists.iter().any(|other| other.sha256 == list.sha256);
        // A certificate of the CA that another one issued may be an intermediate the next time.
        let issued: Vec<_> = ca.anchors.iter().filter(|anchor| !anchor.is_self_signed).collect();
        let is_issued = |list: &List| issued.iter().any(|anchor| list.signer() == Some(anchor.spki.as_slice()));
        let of = |list: &Arc<List>| {
            (Standing { in_force: true, proven: is_in(&proven, list) || is_issued(list) }, Arc::clone(list))
        };
        let mut all: Vec<_> = self.lists.iter().map(of).collect();
        let others = proven.iter().filter(|list| !is_in(&self.lists, list));
        all.extend(others.map(|list| (Standing { in_force: false, proven: true }, Arc::clone(list))));
        all
    }

    /// Whether they can be in force: one of the CA itself at least, and no more than there is room for.
    pub fn fit(&self) -> bool {
        let bytes: usize = self.lists.iter().map(|list| list.der.len()).sum();
        let has_own = self.lists.iter().any(|list| list.is_own);
        has_own && self.lists.len() <= REVOCATION_LISTS_IN_FORCE_MAX && bytes <= REVOCATION_LISTS_IN_FORCE_BYTES_MAX
    }
}

impl Kept {
    /// Reads what [`RevocationLists::kept`] gave; none where it is something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > KEPT_LISTS_BYTES_MAX {
            return None;
        }
        let end = bytes.windows(2).position(|window| window == b"\n\n")?;
        let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut ders = bytes.get(end + 2..)?;
        let mut kept = Self { issuers: Vec::new(), lists: Vec::new() };
        for line in text.lines() {
            let (what, of) = line.split_once(' ')?;
            if what == "issuer" {
                kept.issuers.push(unhex(of)?);
                continue;
            }
            let (length, of_signer) = of.split_once(' ').map_or((of, None), |(list, signer)| (list, Some(signer)));
            let (der, rest) = ders.split_at_checked(length.parse().ok()?)?;
            let (signer, rest) = match of_signer {
                Some(length) => rest.split_at_checked(length.parse().ok()?).map(|(key, rest)| (Some(key), rest))?,
                None => (None, rest),
            };
            kept.lists.extend(KeptList::read(what.parse().ok()?, der, signer));
            ders = rest;
        }
        ders.is_empty().then_some(kept)
    }
}

impl KeptList {
    /// None where it cannot be read any more.
    fn read(standing: Standing, der: &[u8], signer: Option<&[u8]>) -> Option<Self> {
        let parsed = CertRevocationList::from(BorrowedCertRevocationList::from_der(der).ok()?);
        let (issuer, sha256) = (parsed.issuer().to_vec(), Sha256::digest(der).into());
        Some(Self { standing, der: der.to_vec(), signer: signer.map(<[u8]>::to_vec), issuer, sha256 })
    }

    /// Whether its issuer has the name of one of the CA's certificates.
    fn names(&self, ca: &ClientCa) -> bool {
        ca.keys().any(|(subject, _)| subject == self.issuer)
    }
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self { in_force: true, proven: true } => "in-force-proven",
            Self { in_force: true, proven: false } => "in-force",
            Self { in_force: false, .. } => "proven",
        }
    }
}

impl FromStr for Standing {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "in-force-proven" => Ok(Self { in_force: true, proven: true }),
            "in-force" => Ok(Self { in_force: true, proven: false }),
            "proven" => Ok(Self { in_force: false, proven: true }),
            _ => Err(()),
        }
    }
}

/// What is known of the lists of a client CA: of each issuer and scope the latest.
pub struct Before<'a> {
    ca: &'a ClientCa,
    issuers: Vec<[u8; 32]>,
    enforce_expiration: bool,
    now_s: u64,
    /// Issuers of each other client CA that serves beside this one.
    beside: Vec<Vec<[u8; 32]>>,
    lists: Vec<Arc<List>>,
    floors: Vec<Arc<List>>,
    ahead: Vec<Arc<List>>,
}

impl<'a> Before<'a> {
    /// Of `ca`, of which nothing is known yet, at `now_s` (seconds since the Unix epoch); `beside` are those that have lists of
    /// their own.
    pub fn new<'b>(
        ca: &'a ClientCa,
        beside: impl IntoIterator<Item = &'b ClientCa>,
        enforce_expiration: bool,
        now_s: u64,
    ) -> Self {
        let issuers = ca.issuers();
        let beside = beside.into_iter().map(ClientCa::issuers).filter(|other| *other != issuers).collect();
        let (lists, floors, ahead) = (Vec::new(), Vec::new(), Vec::new());
        Self { ca, issuers, enforce_expiration, now_s, beside, lists, floors, ahead }
    }

    /// Adds the lists in force of `serving`, which may be called otherwise or have other certificates.
    pub fn add_in_force(&mut self, serving: &ClientCa) {
        let Some(lists) = serving.lists() else { return };
        if serving.digest() == self.ca.digest() {
            lists.lists.iter().for_each(|list| put(&mut self.lists, list));
            self.floors.extend(lists.proven_lists());
            return;
        }
        let kept = |(standing, list): &(Standing, Arc<List>)| KeptList {
            standing: *standing,
            der: list.der.clone(),
            signer: list.signer().filter(|_| standing.proven).map(<[u8]>::to_vec),
            issuer: list.parsed.issuer().to_vec(),
            sha256: list.sha256,
        };
        self.add(&Kept { issuers: serving.issuers(), lists: lists.standing(serving).iter().map(kept).collect() });
    }

    /// Adds what was kept. What a CA that has an issuer in common knew of intermediates counts, too, and so does what was known above one
    /// that is a CA of its own now.
    pub fn add(&mut self, kept: &Kept) {
        let is_of = kept.issuers.iter().any(|issuer| self.issuers.contains(issuer));
        let has_signed = |list: &KeptList| {
            self.ca.keys().any(|(name, spki)| name == list.issuer && list.signer.as_deref() == Some(spki))
        };
        let is_below = is_of || kept.lists.iter().any(has_signed);
        // Whoever has gone may have been this one by another name, or before it grew or shrank.
        let is_beside = self.beside.contains(&kept.issuers);
        for (position, of) in kept.lists.iter().enumerate() {
            if !is_below && !of.names(self.ca) {
                continue;
            }
            let known = self.lists.iter().find(|list| list.sha256 == of.sha256).map(Arc::clone);
            let read = || List::read(&of.der, position, self.ca).ok().map(Arc::new);
            let Some(list) = known.or_else(read) else { continue };
            if is_beside {
                self.ahead.extend(list.is_own.then(|| Arc::clone(&list)));
            }
            if is_below && let Some(signer) = &of.signer {
                list.try_signer(signer);
            }
            let is_retired = is_below && !of.standing.in_force;
            let is_floor =
                is_below && of.standing.proven && (list.is_proven() || (list.is_own && is_retired && !is_beside));
            let is_taken = is_of && of.standing.in_force && has_room(&self.lists, &list);
            if !is_beside && ((list.is_own && !is_retired) || is_taken) {
                put(&mut self.lists, &list);
            }
            if is_floor {
                self.floors.push(list);
            }
        }
    }

    /// None where nothing is known. Whether they can be in force: [`RevocationLists::fit`].
    pub fn lists(self) -> Option<RevocationLists> {
        let Self { enforce_expiration, now_s, mut lists, floors: found, ahead, .. } = self;
        let mut floors = Vec::new();
        found.iter().for_each(|floor| put(&mut floors, floor));
        if ahead.is_empty() && floors.is_empty() && lists.iter().all(|list| !list.is_own) {
            return None;
        }
        for floor in &floors {
            let stays = has_room(&lists, floor) && !(enforce_expiration && floor.has_ended(now_s));
            if stays || lists.iter().any(|list| list.gives_way_to(floor)) {
                put(&mut lists, floor);
            }
        }
        Some(RevocationLists { ahead, ..RevocationLists::of(lists, floors, enforce_expiration) })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
