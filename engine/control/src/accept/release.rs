//! The release: the one that was named, signed by enough, for this gateway and this time.

use policy_release::bounds::VERSION_STEP_MAX;
use policy_release::candidate::{self, Expected, Purpose, Release};
use policy_release::digest::Digest;
use policy_release::envelope::{Envelope, Kind, Role};
use policy_release::manifest::ManifestFault;
use policy_release::root::{RootFault, TrustRoot};
use policy_release::step::Step;
use policy_release::verify::{BelowThreshold, Signer, Verified, VerifyError, verify_envelope};

use super::{Change, Check, Gateway, Refusal, roots};

const SIGN_WIDER: &str = "let more owners of the role release-wider sign, and put the signatures into the store";

/// A release that enough keys signed for a change that allows nothing new, at the least.
#[derive(Clone, Debug)]
pub struct Signed {
    pub release: Release,
    /// What is missing for a change that allows something new, if anything is.
    missing_for_wider: Option<BelowThreshold>,
}

/// The release in `bytes`, if its payload has the digest that was `named` (by a pointer, or by this gateway's own
/// memory), and the narrower threshold signed it. What its change needs is for [`threshold`].
pub fn check(
    bytes: &[u8],
    named: Option<Digest>,
    root: &TrustRoot,
    gateway: &Gateway,
    purpose: Purpose,
) -> Result<Signed, Refusal> {
    let named_or = |refusal: Refusal| named.map_or(refusal.clone(), |digest| refusal.of_release(digest));
    let envelope = Envelope::parse_kind(bytes, Kind::Release).map_err(|fault| {
        let remedy = "name, or publish, a file that `adamant release build` wrote";
        named_or(Refusal::new(Check::ReleaseForm, "the envelope of a release", fault.to_string(), remedy))
    })?;
    let digest = envelope.digest();
    if let Some(named) = named.filter(|named| *named != digest) {
        let remedy = "the file holds another release than its name says, or was changed: publish it again";
        let refusal =
            Refusal::new(Check::ReleaseDigest, format!("release {named}"), format!("release {digest}"), remedy);
        return Err(refusal.of_release(named));
    }
    let verified = verify_envelope(envelope, root, &[Role::ReleaseWider, Role::ReleaseNarrower])
        .map_err(|fault| signatures(&fault).of_release(digest))?;
    let expected = Expected { policy_name: &gateway.policy, engine: gateway.engine, purpose };
    let release = candidate::check(&verified, root, &expected)
        .map_err(|fault| unfit(&fault, gateway, root).of_release(digest))?;
    Ok(Signed { release, missing_for_wider: missing(&verified, root) })
}

/// What the signatures lack of the wider threshold.
fn missing(verified: &Verified, root: &TrustRoot) -> Option<BelowThreshold> {
    match verified.meets(root, Role::ReleaseWider) {
        Err(VerifyError::BelowThreshold(below)) => Some(below),
        _ => None,
    }
}

/// Whether the signatures are enough for what the release changes. `change` is none where no release was accepted
/// before that it could be compared with: then it counts as one that allows something new. So does a version far above
/// the `highest` accepted: versions end, and every later release would count as older.
pub fn threshold(signed: &Signed, change: Option<&Change>, highest: u64) -> Result<(), Refusal> {
    let version = signed.release.version;
    let needs_wider = change.is_none_or(|change| change.needs_wider);
    if Step::of(version, highest).role(needs_wider) == Role::ReleaseNarrower {
        return Ok(());
    }
    let Some(below) = &signed.missing_for_wider else { return Ok(()) };
    let (expected, found) = counted(below);
    let (why, remedy) = match change {
        None => ("no release was accepted before that it could be narrower than".to_owned(), SIGN_WIDER),
        Some(change) if change.needs_wider => (change.told.clone(), SIGN_WIDER),
        Some(_) => (
            format!("its version {version} is more than {VERSION_STEP_MAX} above {highest}, the highest accepted"),
            "build it again with a lower --version, or, if the jump is meant, let more owners of the role release-wider \
             sign it",
        ),
    };
    let refusal = Refusal::new(Check::ReleaseThreshold, format!("{expected}, because {why}"), found, remedy);
    Err(refusal.of_release(signed.release.digest))
}

impl Signed {
    /// Whose signatures count: those of the wider role where its threshold is met.
    pub fn signers(&self) -> &[Signer] {
        &self.release.signers
    }

    /// What the owners who signed may release.
    pub const fn is_signed_for_wider(&self) -> bool {
        self.missing_for_wider.is_none()
    }
}

/// Without a pointer nothing but the version tells which release is the newer one.
pub fn not_older(release: &Release, highest: u64, accepted: Digest) -> Result<(), Refusal> {
    if release.version > highest || release.digest == accepted {
        return Ok(());
    }
    let refusal = Refusal::new(
        Check::ReleaseVersion,
        format!("the release that was accepted last ({accepted}), or a version above {highest}"),
        format!("version {} of release {}", release.version, release.digest),
        "build it with a higher --version; a rollback needs a store and a new pointer (adamant rollback)",
    );
    Err(refusal.of_release(release.digest))
}

fn signatures(fault: &VerifyError) -> Refusal {
    let (expected, found) = match fault {
        VerifyError::BelowThreshold(below) => counted(below),
        VerifyError::Envelope(fault) => ("the envelope of a release".to_owned(), fault.to_string()),
    };
    let remedy = "let more owners of the role release-wider sign; a signature that does not verify means that the file \
                  was changed";
    Refusal::new(Check::ReleaseSignatures, expected, found, remedy)
}

/// Expected and found of too few signatures.
pub(super) fn counted(below: &BelowThreshold) -> (String, String) {
    let different = if below.expected == 1 { "signature" } else { "signatures by different keys" };
    let expected =
        format!("{} {different} of role {} (trust root version {})", below.expected, below.role, below.root_version);
    let owners: Vec<&str> = below.found.iter().map(|signer| signer.owner.as_str()).collect();
    let mut found = format!("{}", below.found.len());
    if !owners.is_empty() {
        found.push_str(&format!(" ({})", owners.join(", ")));
    }
    for other in &below.not_counted {
        found.push_str(&format!(", and by {} one that does not count: {}", other.key_id.short(), other.why));
    }
    (expected, found)
}

fn unfit(fault: &candidate::Refusal, gateway: &Gateway, root: &TrustRoot) -> Refusal {
    match fault {
        candidate::Refusal::PolicyName { expected, found } => Refusal::new(
            Check::ReleasePolicy,
            format!("a release of policy {expected:?}"),
            format!("one of policy {found:?}"),
            "compare policy = under [gateway] with the name in the policy, letter by letter; if both are meant, this \
             gateway needs a release of its own",
        ),
        candidate::Refusal::Expired { version, expires, .. } => Refusal::new(
            Check::ReleaseExpiry,
            "a release that has not expired",
            format!("version {version}, which expired at {expires}"),
            "build and sign one with a later expiry",
        ),
        candidate::Refusal::Root(RootFault::Expired { .. }) => roots::expired(root),
        candidate::Refusal::Manifest(ManifestFault::Engine { needed, .. }) => Refusal::new(
            Check::ReleaseEngine,
            format!("a release for engine {} or older", gateway.engine),
            format!("one that needs engine {needed}"),
            "upgrade this gateway first",
        ),
        other => {
            let remedy = "build the release again with a tool of this version";
            Refusal::new(Check::ReleaseForm, "the manifest of a release", other.to_string(), remedy)
        }
    }
}
