//! `agent enroll`: a profile that is right and renews itself, from nothing, in one go.

use std::fs;
use std::path::{Path, PathBuf};

use policy::model::Binding;

use crate::acme::{Acme, ExternalAccount};
use crate::bounds::FILE_BYTES_MAX;
use crate::ca::token::Claims;
use crate::ca::{self, place};
use crate::channel::{Joined, next};
use crate::doctor;
use crate::fault::Fault;
use crate::files;
use crate::fresh::Writer;
use crate::generation;
use crate::id::Id;
use crate::oauth::{ClientProof, TokenEndpoint};
use crate::openbao::OpenBao;
use crate::profile::{self, Enrolment, Profile, TokenSource};
use crate::release::{self, Granted};
use crate::source::{self, Obtained, Source, Waiting};
use crate::tls::Target;
use crate::x509;

/// What the profile shall be.
pub struct Wish<'a> {
    pub directory: &'a Path,
    pub agent: &'a str,
    /// What its certificate shall say; taken from the release when absent.
    pub id: Option<Id>,
    /// Where the gateway is, and what its certificate must be; a channel may say so too.
    pub gateway: Option<Target>,
    pub gateway_ca: Option<&'a Path>,
    pub gateway_spki_sha256: &'a [String],
    pub source: Source,
    pub token: Option<TokenSource>,
    pub release: Known<'a>,
    /// Replace a profile.
    pub force: bool,
}

/// What is known of what the agent may do.
pub enum Known<'a> {
    Nothing,
    /// A release and the trust root that it is verified with.
    Release(&'a [u8], &'a [u8]),
    /// What a channel runs, which the profile follows from then on.
    Channel(&'a Joined),
}

/// What became of it.
pub struct Enrolled {
    pub profile: Profile,
    /// The request that waits to be signed; none when there is a certificate.
    pub waiting: Option<Waiting>,
    pub warnings: Vec<String>,
}

/// Makes the profile, or goes on with one whose request has been answered. On a failure nothing is in use that was not before.
pub fn enroll(wish: &Wish<'_>) -> Result<Enrolled, Fault> {
    let directory = wish.directory;
    let enrolled_before = generation::resolved(directory).is_ok();
    if enrolled_before && !wish.force {
        let help = "adamant agent run PROFILE renews it; --force replaces it";
        return Err(Fault::at(directory, "there is a profile already").help(help));
    }
    profile::expect_name(wish.agent)?;
    let granted = granted(wish)?;
    let id = match (&granted, &wish.id) {
        (Some((id, _)), _) => id.clone(),
        (None, Some(asked)) => asked.clone(),
        (None, None) => {
            let option = format!("--{}", wish.source.gives().word());
            let message = format!("expected who the agent is, found neither {option} nor --release nor --store");
            return Err(Fault::new(message).help(format_args!(
                "give --release FILE or --store DIR|URL, with --trust-root FILE, which knows it; or {option} NAME"
            )));
        }
    };
    let before = replaced(wish);
    let mut enrolment = placed(wish, id, before.as_ref())?;
    own_directory(directory)?;
    let _held = profile::lock(directory)?;
    let profile = &mut enrolment.profile;
    profile.granted = granted.map(|(_, granted)| granted);
    profile.token = match &wish.token {
        Some(TokenSource::File { path }) => Some(TokenSource::File { path: whole(path) }),
        Some(TokenSource::Oauth(of)) => {
            let needed = profile.granted.as_ref().and_then(|granted| granted.token.as_ref());
            let dpop = of.dpop || needed.is_some_and(|token| token.bound == Some(Binding::Dpop));
            Some(TokenSource::Oauth(checked(TokenEndpoint { dpop, ..of.clone() })?))
        }
        other => other.clone().or(from_ca(wish, profile.granted.as_ref())?),
    };
    // Says now what would otherwise be found at the first call.
    enrolment.profile.pins_with(enrolment.gateway_ca.as_deref()).map_err(Fault::new)?;
    if let Known::Channel(joined) = &wish.release {
        enrolment.profile.follows = Some(joined.follows.clone());
    }
    // What could not be written either is gone with this command.
    let obtained = source::obtain(directory, &enrolment, None, &Writer::default())?;
    let mut warnings = warnings(&enrolment.profile);
    warnings.extend(before.and_then(|before| other_pins(wish, &before, &enrolment)));
    let staged = match obtained {
        Obtained::Ready(ready) => Ok(ready.stage(directory, &enrolment, None)?),
        Obtained::Waiting(waiting) => Err(waiting),
    };
    if let Known::Channel(joined) = &wish.release {
        joined.remember(directory)?;
    }
    let waiting = match staged {
        Ok(staged) => {
            staged.put()?;
            profile::end_waiting(directory)?;
            warnings.extend(without_scope(directory, &enrolment.profile));
            None
        }
        Err(waiting) => {
            enrolment.wait(directory)?;
            Some(waiting)
        }
    };
    Ok(Enrolled { profile: enrolment.profile, waiting, warnings })
}

fn granted(wish: &Wish<'_>) -> Result<Option<(Id, Granted)>, Fault> {
    let opened;
    let (policy, version, digest) = match &wish.release {
        Known::Nothing => return Ok(None),
        Known::Release(release, root) => {
            opened = release::open(release, root)?;
            (&opened.0.policy, opened.0.version, opened.1.clone())
        }
        Known::Channel(joined) => (&joined.release.policy, joined.release.version, joined.release.digest.to_string()),
    };
    let id = release::id_of(policy, wish.agent, wish.id.as_ref(), wish.source.gives())?;
    let granted = release::granted(policy, version, &digest, wish.agent, &id)?;
    Ok(Some((id, granted)))
}

/// With the place of the gateway: the one that the channel names, or that of the wish. Not both: the channel's would be
/// followed.
fn placed(wish: &Wish<'_>, id: Id, before: Option<&Enrolment>) -> Result<Enrolment, Fault> {
    let place = match &wish.release {
        Known::Channel(joined) => joined.news.place(),
        Known::Nothing | Known::Release(..) => None,
    };
    let names_place = wish.gateway.is_some() || names_pins(wish);
    if let Some(place) = place.filter(|_| names_place) {
        let message = format!("the channel says where the gateway is ({}), and so do options", place.gateway);
        return Err(Fault::new(message).help("leave --gateway, --gateway-ca and --gateway-spki away"));
    }
    let source = absolute(wish.source.clone())?;
    if let Some(place) = place {
        let gateway = place.gateway.parse().map_err(Fault::new)?;
        let mut enrolment = Enrolment { profile: Profile::new(wish.agent, id, gateway, source), gateway_ca: None };
        next::put_place(&mut enrolment, place)?;
        return Ok(enrolment);
    }
    let Some(gateway) = wish.gateway.clone() else {
        let help = match &wish.release {
            Known::Channel(joined) => format!(
                "release {} has no profile document: adamant profile issue makes it; or give --gateway",
                joined.release.digest
            ),
            Known::Nothing | Known::Release(..) => "give --gateway https://HOST:PORT".to_owned(),
        };
        return Err(Fault::new("expected where the gateway is, found nothing that says it").help(help));
    };
    let mut profile = Profile::new(wish.agent, id, gateway, source);
    if let Some(before) = before.filter(|_| !names_pins(wish)) {
        profile.gateway_spki_sha256.clone_from(&before.profile.gateway_spki_sha256);
        return Ok(Enrolment { profile, gateway_ca: before.gateway_ca.clone() });
    }
    profile.gateway_spki_sha256 = wish.gateway_spki_sha256.to_vec();
    Ok(Enrolment { profile, gateway_ca: pinned(wish)? })
}

fn names_pins(wish: &Wish<'_>) -> bool {
    wish.gateway_ca.is_some() || !wish.gateway_spki_sha256.is_empty()
}

/// The profile that this one takes the place of, where it has the same gateway: who issues for agents says nothing of that.
fn replaced(wish: &Wish<'_>) -> Option<Enrolment> {
    let before = Enrolment::read(wish.directory).ok().filter(|_| wish.force)?;
    (Some(&before.profile.gateway) == wish.gateway.as_ref()).then_some(before)
}

/// What is said of pins that stay, or go.
fn other_pins(wish: &Wish<'_>, before: &Enrolment, now: &Enrolment) -> Option<String> {
    let cas = |pem: &Option<Vec<u8>>| pem.as_deref().and_then(|pem| x509::certificates(pem).ok()).unwrap_or_default();
    let (was, is) = (cas(&before.gateway_ca), cas(&now.gateway_ca));
    if names_pins(wish) {
        let is_gone = !is.is_empty() && was.iter().any(|ca| !is.contains(ca));
        return is_gone.then(|| {
            "the CA that was pinned before is pinned no more: the gateway's certificate must be of the new one now; while it \
             changes, give --gateway-ca a file with both"
                .to_owned()
        });
    }
    let is_other = cas(&pinned(wish).ok()?).iter().any(|ca| !is.contains(ca));
    is_other.then(|| {
        "the gateway's certificate stays pinned as it was, and not to the CA of --ca; where it is of that one, or becomes so, \
         give --gateway-ca a file with both, or with the new one alone where the key of the other was stolen"
            .to_owned()
    })
}

/// The directory of a profile, and of nothing else.
fn own_directory(directory: &Path) -> Result<(), Fault> {
    let is_profile = generation::resolved(directory).is_ok() || profile::is_waiting(directory);
    let is_elses = !is_profile && fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    files::private_directory(directory).map_err(|fault| match is_elses {
        true => fault.help("there is something else in it: a profile has a directory of its own, give another name"),
        false => fault,
    })
}

/// Tokens of the built-in CA, where the release wants one of it.
fn from_ca(wish: &Wish<'_>, granted: Option<&Granted>) -> Result<Option<TokenSource>, Fault> {
    let (Source::Ca { directory, .. }, Some(granted)) = (&wish.source, granted) else { return Ok(None) };
    let Some(needed) = &granted.token else { return Ok(None) };
    if ca::show(directory)?.issuer.as_ref() != Some(&needed.issuer) {
        return Ok(None);
    }
    let subject = needed.subject.clone().unwrap_or_else(|| wish.agent.to_owned());
    let (audience, scopes) = (needed.audience.clone(), granted.scopes.clone());
    Ok(Some(TokenSource::Ca { claims: Claims { audience, subject, scopes } }))
}

/// The CA of the gateway's certificate, as PEM: the one that is named, or the built-in CA where it is on this machine and
/// nothing else is pinned.
fn pinned(wish: &Wish<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let own = match &wish.source {
        Source::Ca { directory, .. } if wish.gateway_spki_sha256.is_empty() => Some(directory.join(place::CERTIFICATE)),
        _ => None,
    };
    let Some(path) = wish.gateway_ca.map(Path::to_owned).or(own) else {
        if wish.gateway_spki_sha256.is_empty() {
            let message = "expected a pin of the gateway's certificate, found neither --gateway-ca nor --gateway-spki";
            return Err(Fault::new(message).help("without one, nothing would tell the gateway from another server"));
        }
        return Ok(None);
    };
    let pem = files::read(&path, FILE_BYTES_MAX)?;
    x509::certificates(&pem).map_err(|why| Fault::at(&path, why))?;
    Ok(Some(pem))
}

/// With paths that hold wherever `agent run` is started.
fn absolute(source: Source) -> Result<Source, Fault> {
    let known = |path: PathBuf| fs::canonicalize(&path).map_err(|error| files::told(&path, "read", error));
    Ok(match source {
        Source::Ca { directory, passphrase_file, life_s } => Source::Ca {
            directory: known(directory)?,
            passphrase_file: passphrase_file.map(known).transpose()?,
            life_s,
        },
        Source::Requests { directory } => Source::Requests { directory: known(directory)? },
        Source::Openbao(of) => Source::Openbao(OpenBao {
            token_file: known(of.token_file)?,
            ca_file: of.ca_file.map(known).transpose()?,
            ..of
        }),
        Source::Acme(of) => {
            of.check()?;
            let ca_file = of.ca_file.map(known).transpose()?;
            let external_account = match of.external_account {
                Some(of) => Some(ExternalAccount { key_file: known(of.key_file)?, ..of }),
                None => None,
            };
            Source::Acme(Acme { ca_file, external_account, ..of })
        }
    })
}

/// The same of a token endpoint; what could never work is refused before anything is asked for.
fn checked(of: TokenEndpoint) -> Result<TokenEndpoint, Fault> {
    let known = |path: PathBuf| fs::canonicalize(&path).map_err(|error| files::told(&path, "read", error));
    let proof = match of.proof {
        ClientProof::Secret { file } => ClientProof::Secret { file: known(file)? },
        ClientProof::SecretInForm { file } => ClientProof::SecretInForm { file: known(file)? },
        ClientProof::Key { file } => ClientProof::Key { file: known(file)? },
        ClientProof::Certificate => ClientProof::Certificate,
    };
    let of = TokenEndpoint { ca_file: of.ca_file.map(known).transpose()?, proof, ..of };
    of.check()?;
    Ok(of)
}

/// Of a file that may not be there yet.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Says of the token that was fetched that no call will be let through with it.
fn without_scope(directory: &Path, profile: &Profile) -> Option<String> {
    let token = profile.token_now(&generation::resolved(directory).ok()?).ok()??;
    let why = doctor::token::without_scope(&token, profile.granted.as_ref()?)?;
    Some(format!("the token: {why}; ask the issuer for one with --token-scope, and --force"))
}

fn warnings(profile: &Profile) -> Vec<String> {
    let Some(granted) = &profile.granted else { return Vec::new() };
    let elsewhere = release::elsewhere(&profile.gateway, &granted.routes, |route| &route.host);
    let elsewhere =
        elsewhere.map(|found| format!("no route of {} {found}; give --gateway the name of its routes", profile.agent));
    let token = granted.token.as_ref().and_then(|needed| of_token(profile, needed));
    elsewhere.into_iter().chain(token).collect()
}

fn of_token(profile: &Profile, needed: &release::Token) -> Option<String> {
    let wants_key = needed.bound == Some(Binding::Dpop);
    match profile.token.as_ref().map(TokenSource::without_key) {
        Some(Some(why)) if wants_key => {
            Some(format!("the release wants tokens that are bound to a key (DPoP): {why}; give --token-url"))
        }
        Some(_) => None,
        None => Some(format!(
            "the release also wants a token of {} from {}: give --token-url, or --token-file",
            needed.issuer, profile.agent
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::token::Claims;

    #[test]
    fn tokens_that_cannot_be_bound_to_a_key_are_told_with_why() {
        let mut profile = Profile::new(
            "reports-bot",
            "spiffe://corp.example/reports".parse().unwrap(),
            "https://localhost:1".parse().unwrap(),
            Source::Requests { directory: PathBuf::new() },
        );
        let token = |bound| release::Token {
            issuer: "https://id.example".to_owned(),
            audience: Vec::new(),
            subject: None,
            bound,
            scope_claim: None,
        };
        let granted = |bound| Granted {
            policy: "orders".to_owned(),
            version: 1,
            release: String::new(),
            scopes: Vec::new(),
            routes: Vec::new(),
            limits: Vec::new(),
            token: Some(token(bound)),
            client_ca: String::new(),
        };
        let claims = Claims { audience: Vec::new(), subject: String::new(), scopes: Vec::new() };
        let sources = [
            (
                TokenSource::File { path: PathBuf::from("token") },
                "one from a file cannot be, because each request needs",
            ),
            (TokenSource::Ca { claims }, "those of the built-in CA are bound to the certificate"),
        ];
        for (source, why) in sources {
            profile.token = Some(source);
            profile.granted = Some(granted(Some(Binding::Dpop)));
            let told = warnings(&profile);
            assert!(told.len() == 1 && told[0].contains(why) && told[0].ends_with("give --token-url"), "{told:?}");
            profile.granted = Some(granted(None));
            assert!(warnings(&profile).is_empty());
        }
    }
}
