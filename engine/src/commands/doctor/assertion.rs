//! Whether an origin looks at assertions: one that is made up, too old, or about something else must not pass.

use std::path::Path;
use std::sync::Arc;

use activation::assertion::{Assertion, Bound, FIELD, Said, Scratch, SigningKey};
use activation::bounds::ASSERTION_LIFE_S;
use control::assertion::Keyring;
use control::at_rest::AtRest;
use control::clock;

use crate::failure::Failure;

/// How long ago an expired one was made, seconds: more than any clock may be apart.
const EXPIRED_S: u64 = 3_600;
/// What stands in the place of a release, a route and a scope: no request has them.
const NO_RELEASE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const DOCTOR: &str = "adamant-doctor";

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Signed with a key of nobody, under the `kid` of one that the gateway has.
    Forged,
    Expired,
    /// About another path, and with another method.
    OtherTarget,
    OtherMethod,
    OtherAudience,
    /// As the gateway would sign it: shows that the origin refuses the others for what they are.
    Right,
}

impl Trial {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Forged => "a forged assertion",
            Self::Expired => "an expired assertion",
            Self::OtherTarget => "the assertion of another path",
            Self::OtherMethod => "the assertion of another method",
            Self::OtherAudience => "the assertion of another audience",
            Self::Right => "a right assertion",
        }
    }
}

/// Makes assertions to try.
pub struct Prober<'p> {
    /// The key of a gateway; without one, nothing but a forged one can be made.
    key: Option<Arc<SigningKey>>,
    policy: &'p str,
    agent: Option<&'p str>,
}

impl<'p> Prober<'p> {
    /// With the key that a state directory holds, where one is named.
    pub fn new(
        state: Option<&Path>,
        at_rest: &AtRest,
        policy: &'p str,
        agent: Option<&'p str>,
    ) -> Result<Self, Failure> {
        let ring = state.map(|state| Keyring::load(state, at_rest)).transpose().map_err(|fault| {
            let help = "run it as the gateway's user; where the state is encrypted, --state-identity FILE is its state_identity";
            Failure::new(fault).help(help)
        })?;
        let key = match (ring, state) {
            (Some(Some(ring)), _) => Some(Arc::clone(ring.current())),
            (Some(None), Some(state)) => {
                return Err(Failure::at(state, "expected the keys of assertions, found none")
                    .help("name the state directory of a gateway that serves a policy with an assertion"));
            }
            _ => None,
        };
        Ok(Self { key, policy, agent })
    }

    pub const fn trials(&self) -> &'static [Trial] {
        use Trial::{Expired, Forged, OtherAudience, OtherMethod, OtherTarget, Right};
        match &self.key {
            Some(_) => &[Forged, Expired, OtherTarget, OtherMethod, OtherAudience, Right],
            None => &[Forged],
        }
    }

    /// The field line for a `GET` of `path` at `host`.
    pub fn field(&self, trial: Trial, audience: &str, (host, path): (&str, &str)) -> Result<String, Failure> {
        let forged = || {
            let key = SigningKey::generate().map_err(Failure::new)?;
            Ok::<_, Failure>(Arc::new(match &self.key {
                Some(own) => key.posing_as(own.kid()),
                None => key,
            }))
        };
        let key = match (trial, &self.key) {
            (Trial::Forged, _) | (_, None) => forged()?,
            (_, Some(own)) => Arc::clone(own),
        };
        let audience = if trial == Trial::OtherAudience { format!("not-{audience}") } else { audience.to_owned() };
        let other = format!("{path}-other");
        let (path, query) = if trial == Trial::OtherTarget { (other.as_str(), None) } else { split(path) };
        let method: &[u8] = if trial == Trial::OtherMethod { b"DELETE" } else { b"GET" };
        let (now_s, id) = (clock::unix_s(), request_id()?);
        let said = Said {
            policy: self.policy,
            release: NO_RELEASE,
            agent: self.agent,
            subject: None,
            route: DOCTOR,
            scope: DOCTOR,
            request_id: id.as_bytes(),
            again: false,
            request: Bound { method, host: host.as_bytes(), path: path.as_bytes(), query: query.map(str::as_bytes) },
            now_s: if trial == Trial::Expired { now_s.saturating_sub(ASSERTION_LIFE_S + EXPIRED_S) } else { now_s },
        };
        let mut scratch = Scratch::default();
        let signed = Assertion { audience, key }.sign(&said, &mut scratch).map_err(Failure::new)?.to_vec();
        let signed = String::from_utf8(signed).map_err(Failure::new)?;
        Ok(format!("{FIELD}: {signed}\r\n"))
    }
}

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

fn request_id() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(format_args!("the system gives no randomness: {error}")))?;
    Ok(control::assemble::hex(&random))
}
