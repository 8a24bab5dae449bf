//! Why something was not accepted: the check that failed, what it expected, what it found, what to do about it.

use std::fmt;

use policy_release::digest::Digest;

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The file could be had.
    Read,
    RootSuccession,
    PointerSignatures,
    PointerPolicy,
    PointerChannel,
    PointerSerial,
    PointerEquivocation,
    RootExpiry,
    PointerExpiry,
    ReleaseDigest,
    ReleaseSignatures,
    ReleaseForm,
    ReleaseEngine,
    ReleasePolicy,
    ReleaseExpiry,
    ReleaseVersion,
    /// It compiles, and this node has what it needs.
    ReleaseTable,
    /// Signed by as many as its change needs.
    ReleaseThreshold,
    /// So is the pointer, where it leads back to what allows more.
    PointerThreshold,
    Activation,
    RevocationsSignatures,
    RevocationsPolicy,
    RevocationsChannel,
    RevocationsSerial,
    RevocationsEquivocation,
    /// Nothing is lifted without the threshold that it needs.
    RevocationsLifted,
    KeySetSignatures,
    KeySetPolicy,
    KeySetChannel,
    KeySetSerial,
    KeySetEquivocation,
    /// It ends in time.
    KeySetLife,
    /// What was accepted before is in the state directory, whole.
    State,
}

impl Check {
    pub const ALL: [Self; 33] = [
        Self::Read,
        Self::RootSuccession,
        Self::PointerSignatures,
        Self::PointerPolicy,
        Self::PointerChannel,
        Self::PointerSerial,
        Self::PointerEquivocation,
        Self::RootExpiry,
        Self::PointerExpiry,
        Self::ReleaseDigest,
        Self::ReleaseSignatures,
        Self::ReleaseForm,
        Self::ReleaseEngine,
        Self::ReleasePolicy,
        Self::ReleaseExpiry,
        Self::ReleaseVersion,
        Self::ReleaseTable,
        Self::ReleaseThreshold,
        Self::PointerThreshold,
        Self::Activation,
        Self::RevocationsSignatures,
        Self::RevocationsPolicy,
        Self::RevocationsChannel,
        Self::RevocationsSerial,
        Self::RevocationsEquivocation,
        Self::RevocationsLifted,
        Self::KeySetSignatures,
        Self::KeySetPolicy,
        Self::KeySetChannel,
        Self::KeySetSerial,
        Self::KeySetEquivocation,
        Self::KeySetLife,
        Self::State,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::RootSuccession => "root-succession",
            Self::PointerSignatures => "pointer-signatures",
            Self::PointerPolicy => "pointer-policy",
            Self::PointerChannel => "pointer-channel",
            Self::PointerSerial => "pointer-serial",
            Self::PointerEquivocation => "pointer-equivocation",
            Self::RootExpiry => "root-expiry",
            Self::PointerExpiry => "pointer-expiry",
            Self::ReleaseDigest => "release-digest",
            Self::ReleaseSignatures => "release-signatures",
            Self::ReleaseForm => "release-form",
            Self::ReleaseEngine => "release-engine",
            Self::ReleasePolicy => "release-policy",
            Self::ReleaseExpiry => "release-expiry",
            Self::ReleaseVersion => "release-version",
            Self::ReleaseTable => "release-table",
            Self::ReleaseThreshold => "release-threshold",
            Self::PointerThreshold => "pointer-threshold",
            Self::Activation => "activation",
            Self::RevocationsSignatures => "revocations-signatures",
            Self::RevocationsPolicy => "revocations-policy",
            Self::RevocationsChannel => "revocations-channel",
            Self::RevocationsSerial => "revocations-serial",
            Self::RevocationsEquivocation => "revocations-equivocation",
            Self::RevocationsLifted => "revocations-lifted",
            Self::KeySetSignatures => "key-set-signatures",
            Self::KeySetPolicy => "key-set-policy",
            Self::KeySetChannel => "key-set-channel",
            Self::KeySetSerial => "key-set-serial",
            Self::KeySetEquivocation => "key-set-equivocation",
            Self::KeySetLife => "key-set-life",
            Self::State => "state",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One refusal. Two are the same when nothing in them differs, so none of its texts holds the present time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub check: Check,
    pub expected: Box<str>,
    pub found: Box<str>,
    /// What to do.
    pub remedy: Box<str>,
    /// Which release was refused, where that much is known.
    pub release: Option<Digest>,
    /// Serial of the pointer that was refused or named the release.
    pub serial: Option<u64>,
    passing: bool,
}

impl Refusal {
    pub fn new(check: Check, expected: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let [expected, found, remedy] = [expected.into(), found.into(), remedy.into()].map(String::into_boxed_str);
        Self { check, expected, found, remedy, release: None, serial: None, passing: false }
    }

    /// A writer may be at work.
    pub fn passing(self) -> Self {
        Self { passing: true, ..self }
    }

    pub fn of_release(self, release: Digest) -> Self {
        Self { release: Some(release), ..self }
    }

    pub fn of_serial(self, serial: u64) -> Self {
        Self { serial: Some(serial), ..self }
    }
}

impl Refusal {
    /// Whether a writer may be at work, and the next look finds everything in its place.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// Without what to do.
    pub fn facts(&self) -> String {
        let Self { check, expected, found, .. } = self;
        // What was found may be a fault that says itself what it expected: nobody reads "found expected".
        let fault = found.strip_prefix("expected a ").and_then(|fault| fault.split_once(", found "));
        let found = fault.map_or_else(|| found.to_string(), |(wanted, found)| format!("no {wanted}, but {found}"));
        format!("refused at the check {check}: expected {expected}; found {found}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.facts(), self.remedy)
    }
}

impl std::error::Error for Refusal {}
