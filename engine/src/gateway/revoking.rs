//! What is shown of revocation lists: the status that `/release` and the metrics read, lines on stderr, records.

use control::accept::lists::{Last, News};
use control::accept::{Gateway, Refusal, revocations};
use control::records::{Handle, Object};
use control::revocations::unknown;
use control::status::{Moving, RefusalStatus};
use policy::model::Policy;
use policy_release::revocations::{Revocations, VerifiedRevocations};
use policy_release::root::TrustRoot;
use policy_release::time::Timestamp;
use stores::{Channel, Followed, Store, StoreFault, layout};

use super::accepted::Shelf;
use super::lists::{InForce, Showing, Tended};
use crate::commands::signing::plural;

impl Tended for Revocations {
    const SHELF: Shelf = Shelf::Revocations;
    const FOLLOWED: Followed = Followed::Revocations;
    const PUT_BACK: &'static str = "put the revocation list back: what is revoked stays revoked";
    const INSTEAD: &'static str = "that enough owners of release-wider signed (adamant revoke --renew)";
    const FORGETS: &'static str = "whatever was revoked since the list before that was written down then holds again";
    const PASSED_OVER: &'static str = "compare the two: what that list alone revoked is not revoked";

    fn fetch(store: &dyn Store, channel: &Channel) -> Result<Vec<u8>, StoreFault> {
        store.revocations(channel)
    }

    fn place(channel: &Channel) -> String {
        layout::revocations(channel)
    }

    fn judge(
        bytes: &[u8],
        root: &TrustRoot,
        gateway: &Gateway,
        channel: &str,
        last: Option<Last<'_, Self>>,
        now: Timestamp,
    ) -> Result<Option<News<Self>>, Refusal> {
        revocations::check(bytes, root, gateway, channel, last, now)
    }

    fn lacking(verified: &VerifiedRevocations, list: &Self, now: Timestamp) -> Option<Refusal> {
        revocations::lifting(verified, list, now)
    }

    fn may_replace(verified: &VerifiedRevocations) -> bool {
        verified.missing_for_wider.is_none()
    }

    fn show(moving: &mut Moving, in_force: Option<&InForce<Self>>, policy: Option<&Policy>, now: Timestamp) {
        let Some(in_force) = in_force else { return };
        let list = &*in_force.list;
        let shown = moving.revocations.get_or_insert_default();
        shown.serial = list.serial;
        shown.entries = live(list, now);
        shown.lapsed = list.entries().len() - shown.entries;
        shown.unknown = policy.map_or(0, |policy| unknown(list, policy));
        shown.issued_unix_s = list.issued.seconds();
        shown.expires_unix_s = list.expires.seconds();
        shown.expired = list.expires <= now;
    }

    fn show_expired(moving: &mut Moving, expired: bool) {
        moving.revocations.iter_mut().for_each(|shown| shown.expired = expired);
    }

    fn show_refusal(moving: &mut Moving, refusal: Option<RefusalStatus>) {
        match refusal {
            Some(refusal) => moving.revocations.get_or_insert_default().refusal = Some(refusal),
            None => moving.revocations.iter_mut().for_each(|shown| shown.refusal = None),
        }
    }

    fn tell_accepted(records: &Handle, in_force: &InForce<Self>, Showing { policy, now, .. }: &Showing<'_, Self>) {
        let list = &*in_force.list;
        let signers: Vec<&str> = in_force.verified.signers.iter().map(|signer| signer.owner.as_str()).collect();
        let (signers, unknown) = (signers.join(", "), policy.map_or(0, |policy| unknown(list, policy)));
        control::info!(
            "revocation list serial {} is in force, {}, signed by {signers}, until {}",
            list.serial,
            plural(live(list, *now), "entry"),
            list.expires
        );
        if unknown > 0 {
            control::warning!(
                "revocation list serial {}: {} for an agent, API key or issuer that the release does not have",
                list.serial,
                plural(unknown, "entry")
            );
        }
        records.event("revocations", |line| {
            line.text("adamant.outcome", b"accepted");
            put(line, in_force);
            line.number("adamant.revocations.lapsed", (list.entries().len() - live(list, *now)) as u64);
            line.number("adamant.revocations.unknown", unknown as u64);
            line.text("adamant.signers", signers.as_bytes());
        });
    }

    fn tell_refused(
        records: &Handle,
        refusal: &Refusal,
        (place, _): (&str, &Channel),
        in_force: Option<&InForce<Self>>,
    ) {
        let still = match in_force {
            None => "no list is in force".to_owned(),
            Some(of) if of.refusal.as_ref() == Some(refusal) => {
                format!("all else of serial {} is in force", of.list.serial)
            }
            Some(of) => format!("serial {} stays in force", of.list.serial),
        };
        control::error!("{place}: the revocation list is {refusal}; {still}");
        records.event("revocations", |line| {
            line.text("adamant.outcome", b"refused");
            line.text("adamant.source", place.as_bytes());
            line.text("adamant.check", refusal.check.word().as_bytes());
            line.text("adamant.expected", refusal.expected.as_bytes());
            line.text("adamant.found", refusal.found.as_bytes());
            if let Some(serial) = refusal.serial {
                line.number("adamant.revocations.refused", serial);
            }
            in_force.into_iter().for_each(|in_force| put(line, in_force));
        });
    }

    fn tell_lapsed(records: &Handle, in_force: &InForce<Self>, now: Timestamp) {
        let list = &*in_force.list;
        let (entries, live) = (list.entries().len(), live(list, now));
        control::info!(
            "revocation list serial {}: {} in force, {} lapsed",
            list.serial,
            plural(live, "entry"),
            entries - live
        );
        records.event("revocations", |line| {
            line.text("adamant.outcome", b"lapsed");
            put(line, in_force);
            line.number("adamant.revocations.lapsed", (entries - live) as u64);
        });
    }

    fn tell_expired(records: &Handle, in_force: &InForce<Self>, _: &str) {
        control::error!("{}", expired(&in_force.list));
        records.event("revocations", |line| {
            line.text("adamant.outcome", b"expired");
            put(line, in_force);
        });
    }

    fn tell_released(_: Option<&InForce<Self>>, _: &Policy) {}
}

/// What an expired list means.
pub fn expired(list: &Revocations) -> String {
    format!(
        "the revocation list (serial {}) expired at {} and stays in force: find out why no newer one arrives",
        list.serial, list.expires
    )
}

/// Entries that have not lapsed.
fn live(list: &Revocations, now: Timestamp) -> usize {
    list.entries().iter().filter(|entry| !entry.has_lapsed(now)).count()
}

fn put(line: &mut Object<'_>, in_force: &InForce<Revocations>) {
    let list = &*in_force.list;
    line.number("adamant.revocations.serial", list.serial);
    line.number("adamant.revocations.entries", list.entries().len() as u64);
    line.text("adamant.revocations.expires", list.expires.to_string().as_bytes());
    line.text("adamant.revocations.digest", in_force.verified.digest.to_string().as_bytes());
}
