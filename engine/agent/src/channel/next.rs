//! The profile that the news of a channel make of the one in use. Pure.

use policy::model::Binding;
use policy_release::digest::Digest;
use policy_release::pointer::VerifiedPointer;
use policy_release::profile_document::{Pki, Place};

use super::{Memory, News};
use crate::fault::Fault;
use crate::openbao::OpenBao;
use crate::profile::{Enrolment, TokenSource};
use crate::release::{self, Granted};
use crate::source::Source;

/// What becomes of a profile.
pub struct Next {
    pub enrolment: Enrolment,
    /// Of the release that is in force.
    pub version: u64,
    /// None: it is as it was.
    pub change: Option<Change>,
    /// Why the place stays what it was, where the document says another.
    pub kept_back: Option<Fault>,
}

/// What is other than before.
pub struct Change {
    /// `release`, `rollback` or `document`.
    pub why: &'static str,
    /// Over `profile.json`, before and after.
    pub old_sha256: String,
    pub new_sha256: String,
    /// In words.
    pub words: Vec<String>,
    pub scopes_gone: Vec<String>,
    /// Certificate and token in use are of other terms: they are renewed at once.
    pub renews: bool,
}

/// The next profile. A fault: the release does not know the agent, and everything stays as it is.
pub fn next(enrolment: &Enrolment, news: &News, memory: &Memory) -> Result<Next, Fault> {
    let before = &enrolment.profile;
    let mut after = enrolment.clone();
    let profile = &mut after.profile;
    if let Some(found) = &news.release {
        let (agent, id) = (&before.agent, &before.id);
        let granted = release::granted(&found.policy, found.version, &found.digest.to_string(), agent, id)?;
        if profile.token.is_none() && release::is_by_token_alone(&found.policy, agent) {
            let message = format_args!("the release knows {agent} by a token alone, and this profile has none");
            return Err(Fault::new(message));
        }
        match &mut profile.token {
            Some(TokenSource::Ca { claims }) => {
                claims.scopes.clone_from(&granted.scopes);
                if let Some(token) = &granted.token {
                    claims.audience.clone_from(&token.audience);
                }
            }
            Some(TokenSource::Oauth(of)) => {
                of.dpop |= granted.token.as_ref().is_some_and(|token| token.bound == Some(Binding::Dpop));
            }
            Some(TokenSource::File { .. }) | None => {}
        }
        profile.granted = Some(granted);
    }
    let version = profile.granted.as_ref().map_or(0, |granted| granted.version);
    let mut kept_back = None;
    if let Some(place) = news.place() {
        let mut moved = after.clone();
        let placed = put_place(&mut moved, place).and_then(|()| {
            let is_moved = place_of(&moved) != place_of(enrolment);
            if is_moved { may_move(version, memory, &news.pointer) } else { Ok(()) }
        });
        match placed {
            Ok(()) => after = moved,
            Err(fault) => kept_back = Some(fault),
        }
    }
    let change = change(enrolment, &after)?;
    Ok(Next { enrolment: after, version, change, kept_back })
}

/// Whether the document of a release may lead agents elsewhere. Its signatures, as those of an older release, were given for
/// another time: the pointer role alone must not send credentials back to where they went before.
pub(super) fn may_move(version: u64, memory: &Memory, pointer: &VerifiedPointer) -> Result<(), Fault> {
    let release = pointer.pointer.release;
    if !memory.is_behind(version, release) {
        return Ok(());
    }
    let Some(below) = &pointer.missing_for_wider else { return Ok(()) };
    let message = format!(
        "the pointer leads back to version {version} ({release}), whose profile document names another gateway or pins than \
         the release that was taken: {below}"
    );
    Err(Fault::new(message)
        .help("let the owners of release-wider sign the pointer too: adamant rollback … --key … --key …"))
}

/// Puts a place into a profile.
pub fn put_place(enrolment: &mut Enrolment, place: &Place) -> Result<(), Fault> {
    let wrong = |why: String| {
        Fault::new(format_args!("the profile document: {why}")).help("issue another: adamant profile issue")
    };
    let profile = &mut enrolment.profile;
    profile.gateway = place.gateway.parse().map_err(wrong)?;
    profile.gateway_spki_sha256.clone_from(&place.gateway_spki_sha256);
    if let (Some(pki), Source::Openbao(of)) = (&place.openbao, &mut profile.certificate) {
        *of = at(pki, &profile.agent, of.clone());
    }
    enrolment.gateway_ca = place.gateway_ca.as_ref().map(|pem| pem.as_bytes().to_vec());
    enrolment.profile.pins_with(enrolment.gateway_ca.as_deref()).map(drop).map_err(wrong)
}

/// A PKI engine that is used with what an agent has of its own.
pub fn at(pki: &Pki, agent: &str, own: OpenBao) -> OpenBao {
    let role = pki.role.clone().unwrap_or_else(|| agent.to_owned());
    OpenBao { url: pki.url.clone(), mount: pki.mount.clone(), role, ..own }
}

/// What a place makes of a profile, to be compared.
#[derive(PartialEq, Eq)]
struct Placed<'e> {
    gateway: String,
    spki_sha256: &'e [String],
    ca: Option<&'e [u8]>,
    /// Address, mount and role.
    pki: Option<[&'e str; 3]>,
}

fn place_of(of: &Enrolment) -> Placed<'_> {
    let pki = match &of.profile.certificate {
        Source::Openbao(of) => Some([of.url.as_str(), of.mount.as_str(), of.role.as_str()]),
        Source::Ca { .. } | Source::Requests { .. } | Source::Acme(_) => None,
    };
    let (gateway, spki_sha256) = (of.profile.gateway.to_string(), &of.profile.gateway_spki_sha256[..]);
    Placed { gateway, spki_sha256, ca: of.gateway_ca.as_deref(), pki }
}

fn change(before: &Enrolment, after: &Enrolment) -> Result<Option<Change>, Fault> {
    let (old, new) = (before.profile.json()?, after.profile.json()?);
    if old == new && before.gateway_ca == after.gateway_ca {
        return Ok(None);
    }
    let (was, is) = (before.profile.granted.as_ref(), after.profile.granted.as_ref());
    let [was_version, is_version] = [was, is].map(|granted| granted.map_or(0, |granted| granted.version));
    let why = match was.map(|granted| &granted.release) == is.map(|granted| &granted.release) {
        true => "document",
        false if is_version < was_version => "rollback",
        false => "release",
    };
    let mut words = Vec::new();
    if why != "document" {
        words.push(format!("version {was_version} → {is_version}"));
    }
    let scopes = |of: Option<&Granted>| of.map(|granted| granted.scopes.clone()).unwrap_or_default();
    let (had, has) = (scopes(was), scopes(is));
    let scopes_gone: Vec<String> = had.iter().filter(|scope| !has.contains(scope)).cloned().collect();
    words.extend(scopes_gone.iter().map(|scope| format!("without scope {scope}")));
    words.extend(has.iter().filter(|scope| !had.contains(scope)).map(|scope| format!("with scope {scope}")));
    if was.map(|granted| &granted.limits) != is.map(|granted| &granted.limits) {
        words.push(format!("limits {}", is.map(|granted| granted.limits.join(", ")).unwrap_or_default()));
    }
    words.extend(moved(before, after));
    let renews = before.profile.terms() != after.profile.terms();
    Ok(Some(Change { why, old_sha256: hex(&old), new_sha256: hex(&new), words, scopes_gone, renews }))
}

fn moved(before: &Enrolment, after: &Enrolment) -> Vec<String> {
    let (was, is) = (place_of(before), place_of(after));
    let mut words = Vec::new();
    if was.gateway != is.gateway {
        words.push(format!("gateway {} → {}", was.gateway, is.gateway));
    }
    if was.spki_sha256 != is.spki_sha256 {
        words.push("other keys of the gateway".to_owned());
    }
    if was.ca != is.ca {
        words.push("another CA of the gateway".to_owned());
    }
    if let (Some(was), Some(is)) = (was.pki, is.pki)
        && was != is
    {
        words.push(format!("certificates of {}", is.join("/")));
    }
    words
}

fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string().trim_start_matches("sha256:").to_owned()
}
