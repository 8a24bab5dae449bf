//! What the gateway says of itself, for `/release` and `/attestation`. Names and digests, never a rule.

use policy_release::attestation::{
    self, AssertionKeys, Attestation, Certificate, Checkpoint, Failing, Format, KeySet, Keyset, LastFailure, Memory,
    Node, Nonce, Pointer, Refusal, RevocationList, Waiting,
};
use policy_release::time::Timestamp;

use crate::clock::NS_PER_S;
use crate::expiry::Ends;
use crate::records::Progress;
use crate::status::{
    AssertionKeysStatus, CertificateStatus, CheckpointStatus, KeySetStatus, KeysetStatus, Moving, ObtainedStatus,
    PointerStatus, RefusalStatus, RevocationsStatus, Status, WaitingStatus,
};

/// All of it, as it is now.
pub fn document(status: &Status, nonce: Option<Nonce>, now_unix_ns: u64) -> Attestation {
    let unready = status.unready(now_unix_ns);
    // In this order: an activation that comes in between has told by whose word.
    let moving = status.moving();
    let activation = status.activation.load();
    let release = &activation.release;
    let (accepted_s, accepted_by) = moving.acceptance_of(&release.digest);
    let (facts, memory) = (&status.facts, &moving.memory);
    Attestation {
        format: Format,
        node: Node { key: *facts.node.public(), id: facts.node.id() },
        nonce,
        time: time(now_unix_ns / NS_PER_S),
        phase: status.phase().word().to_owned(),
        unready,
        awaiting: status.awaiting().into_iter().map(|index| index as u64).collect(),
        awaiting_identities: moving.awaiting_identities().map(str::to_owned).collect(),
        started: time(facts.started_unix_s),
        release: release.digest.clone(),
        version: release.version,
        policy: release.policy_name.clone(),
        signers: release.signers.clone(),
        expires: release.expires_s.map(time),
        since: time(moving.since_unix_s),
        accepted: accepted_s.map(time),
        activation: activation.id,
        table_sha256: activation.table_sha256.clone(),
        audit: activation.audit,
        pointer: accepted_by.map(pointer),
        refusal: moving.refusal.as_ref().map(refusal),
        waiting: moving.waiting.as_ref().map(waiting),
        revocations: moving.revocations.as_ref().map(revocations),
        key_set: moving.key_set.as_ref().map(key_set),
        trust_root: moving.root_version,
        keysets: moving.keysets.iter().map(|(name, of)| (name.clone(), keyset(of))).collect(),
        assertions: moving.assertion_keys.as_ref().map(assertions),
        certificates: moving.certificates.iter().map(|(chain, of)| certificate(chain, of)).collect(),
        not_renewed: moving.obtained.values().filter_map(not_renewed).collect(),
        last_failures: last_failures(&moving, &status.records),
        ends: moving.ends.iter().map(ends).collect(),
        config: facts.config_digest.clone(),
        binary: facts.version.to_owned(),
        binary_sha256: status.binary_sha256().map(str::to_owned),
        kernel: status.kernel().to_owned(),
        memory: Memory {
            mseal: memory.mseal,
            copies: memory.copies as u64,
            hashed: memory.hashed_unix_s.map(time),
            mismatches: memory.mismatches,
        },
        checkpoint: status.records.checkpoint().as_ref().map(checkpoint),
    }
}

fn pointer(of: &PointerStatus) -> Pointer {
    Pointer {
        channel: of.channel.clone(),
        serial: of.serial,
        issued: time(of.issued_unix_s),
        expires: time(of.expires_unix_s),
        expired: of.expired,
    }
}

fn waiting(of: &WaitingStatus) -> Waiting {
    Waiting { release: of.release.clone(), version: of.version, serial: of.serial }
}

fn revocations(of: &RevocationsStatus) -> RevocationList {
    let dated = |unix_s| (of.serial > 0).then(|| time(unix_s));
    RevocationList {
        serial: of.serial,
        entries: of.entries as u64,
        unknown: of.unknown as u64,
        issued: dated(of.issued_unix_s),
        expires: dated(of.expires_unix_s),
        expired: of.expired,
        refusal: of.refusal.as_ref().map(refusal),
    }
}

fn key_set(of: &KeySetStatus) -> KeySet {
    let dated = |unix_s| (of.serial > 0).then(|| time(unix_s));
    KeySet {
        serial: of.serial,
        filled: of.filled as u64,
        unfilled: of.unfilled as u64,
        ignored: of.ignored as u64,
        issued: dated(of.issued_unix_s),
        expires: dated(of.expires_unix_s),
        expired: of.expired,
        refusal: of.refusal.as_ref().map(refusal),
    }
}

fn refusal(of: &RefusalStatus) -> Refusal {
    let (check, message, release) = (of.check.clone(), of.message.clone(), of.release.clone());
    Refusal { since: time(of.since_unix_s), check, message, release }
}

fn keyset(of: &KeysetStatus) -> Keyset {
    Keyset {
        source: of.source.clone(),
        thumbprint: of.thumbprint.clone(),
        version: of.version,
        keys: of.keys as u64,
        loaded: time(of.loaded_unix_s),
        stale: of.stale_unix_s.map(time),
        next: of.next_unix_s.map(time),
        last_failure: of.last_failure.clone(),
    }
}

fn assertions(of: &AssertionKeysStatus) -> AssertionKeys {
    AssertionKeys {
        keys: of.keys.clone(),
        signs: of.signs.clone(),
        since: time(of.since_unix_s),
        next: of.next_unix_s.map(time),
        last_failure: of.last_failure.clone(),
    }
}

fn certificate(chain: &str, of: &CertificateStatus) -> Certificate {
    Certificate {
        chain: chain.to_owned(),
        sha256: of.sha256.clone(),
        not_after: time(of.not_after_unix_s),
        names: of.names.clone(),
        last_failure: of.last_failure.clone(),
    }
}

fn not_renewed(of: &ObtainedStatus) -> Option<Failing> {
    let failing = of.failing.as_ref()?;
    Some(Failing {
        name: of.names.clone(),
        source: of.source.clone(),
        since: time(failing.since_unix_s),
        next: time(of.next_unix_s),
        message: failing.why.clone(),
    })
}

fn last_failures(moving: &Moving, records: &Progress) -> Vec<LastFailure> {
    let told = |of: &str, name: &str, message: &str| LastFailure {
        of: of.to_owned(),
        name: name.to_owned(),
        message: message.to_owned(),
    };
    let lists = moving.crls.iter().filter_map(|(ca, of)| Some(told("crl", ca, of.last_failure.as_deref()?)));
    let material = moving.origin_material.iter();
    let material = material.filter_map(|((of, name), shown)| Some(told(of, name, shown.last_failure.as_deref()?)));
    let places = records.places.iter().filter_map(|place| {
        let failure = place.failure();
        Some(told("checkpoints", &place.name, failure.as_deref()?))
    });
    lists.chain(material).chain(places).collect()
}

fn ends(of: &Ends) -> attestation::Ends {
    let begins = (of.begins_s > 0).then(|| time(of.begins_s));
    attestation::Ends { of: of.of.to_owned(), name: of.name.clone(), begins, at: time(of.ends_s) }
}

fn checkpoint(of: &CheckpointStatus) -> Checkpoint {
    Checkpoint { origin: of.origin.clone(), size: of.size, root: of.root.clone(), made: time(of.made_unix_s) }
}

/// Times after the year 9999 are shown as its last second.
fn time(unix_s: u64) -> Timestamp {
    Timestamp::from_seconds(unix_s).unwrap_or(Timestamp::MAX)
}
