//! Where agents are led, in words: what somebody signs must be seen whole.

use policy_release::digest::Digest;
use policy_release::profile_document::Place;

/// A line for each thing that agents believe.
pub fn lines(place: &Place) -> Vec<String> {
    let Place { gateway, gateway_ca, gateway_spki_sha256, openbao } = place;
    let mut lines = vec![format!("  gateway  {gateway}")];
    lines.extend(gateway_ca.as_ref().map(|pem| format!("  its CA   {}", Digest::of(pem.as_bytes()))));
    lines.extend(gateway_spki_sha256.iter().map(|hash| format!("  its key  {hash}")));
    lines.extend(openbao.as_ref().map(|pki| {
        let role = pki.role.as_deref().unwrap_or("that of the agent's name");
        format!("  openbao  {}, mount {}, role {role}", pki.url, pki.mount)
    }));
    lines
}
