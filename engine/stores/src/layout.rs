//! Where each file stands in a store, relative to it.
//!
//! ```text
//! releases/sha256-<64 hex>.json     channels/<channel>/pointer.json
//! roots/<version>.json              channels/<channel>/revocations.json
//! provenance/sha256-<64 hex>.json   channels/<channel>/key-set.json
//! profiles/sha256-<64 hex>.json
//! ```

use policy_release::digest::Digest;

use crate::Channel;

pub const RELEASES: &str = "releases";
pub const ROOTS: &str = "roots";
pub const PROVENANCE: &str = "provenance";
pub const PROFILES: &str = "profiles";
pub const CHANNELS: &str = "channels";

pub fn release(digest: &Digest) -> String {
    format!("{RELEASES}/{}", digest_name(digest))
}

/// Statements about a release. Gateways do not read them.
pub fn provenance(digest: &Digest) -> String {
    format!("{PROVENANCE}/{}", digest_name(digest))
}

/// Where agents of a release find their gateway. Gateways do not read it.
pub fn profile(release: &Digest) -> String {
    format!("{PROFILES}/{}", digest_name(release))
}

pub fn root(version: u64) -> String {
    format!("{ROOTS}/{version}.json")
}

pub fn channel(channel: &Channel) -> String {
    format!("{CHANNELS}/{channel}")
}

pub fn pointer(channel: &Channel) -> String {
    format!("{CHANNELS}/{channel}/pointer.json")
}

pub fn revocations(channel: &Channel) -> String {
    format!("{CHANNELS}/{channel}/revocations.json")
}

pub fn key_set(channel: &Channel) -> String {
    format!("{CHANNELS}/{channel}/key-set.json")
}

/// `sha256-<64 hex>.json`.
pub fn digest_name(digest: &Digest) -> String {
    format!("{}.json", digest.to_string().replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_documented() {
        let digest = Digest::of(b"x");
        let hex = digest.to_string().replace("sha256:", "");
        assert_eq!(release(&digest), format!("releases/sha256-{hex}.json"));
        assert_eq!(provenance(&digest), format!("provenance/sha256-{hex}.json"));
        assert_eq!(profile(&digest), format!("profiles/sha256-{hex}.json"));
        assert_eq!(root(2), "roots/2.json");
        let channel: Channel = "production".parse().unwrap();
        assert_eq!(pointer(&channel), "channels/production/pointer.json");
        assert_eq!(revocations(&channel), "channels/production/revocations.json");
        assert_eq!(key_set(&channel), "channels/production/key-set.json");
    }
}
