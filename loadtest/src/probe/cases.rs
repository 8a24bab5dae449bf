//! The requests of each work and what must come of them.

use std::fmt;

use crate::load::Identity;
use crate::target::material::{PATH, PATH_UNKNOWN};
use crate::target::{Algorithm, Credential, Fault, Flaw, Material, Work};

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    /// In words.
    pub request: &'static str,
    pub path: String,
    pub fields: Vec<String>,
    pub identity: Option<Identity>,
    pub expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 200, with the content of the origin.
    FromOrigin,
    /// One of these, and the origin is not asked.
    Status(&'static [u16]),
    /// Any 4xx or a closed connection, and the origin is not asked: how a handshake fails is the target's choice.
    Refused,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromOrigin => f.write_str("200"),
            Self::Status(statuses) => {
                let words: Vec<String> = statuses.iter().map(u16::to_string).collect();
                f.write_str(&words.join(" or "))
            }
            Self::Refused => f.write_str("4xx or closed"),
        }
    }
}

const UNAUTHENTICATED: Expected = Expected::Status(&[401]);
const FORBIDDEN: Expected = Expected::Status(&[403]);
/// RFC 6750 §3.1 has 401 for any invalid token; some take a good token for somebody else as forbidden.
const NOT_FOR_US: Expected = Expected::Status(&[401, 403]);

/// The requests of a work; the first one is permitted.
pub fn of(work: Work, material: &Material) -> Result<Vec<Case>, Fault> {
    match work.credential() {
        Credential::None => Ok(vec![case("any request", &[], Expected::FromOrigin)]),
        Credential::ApiKey => Ok(api_key(material)),
        Credential::Token(algorithm) => token(algorithm, material),
        Credential::Certificate => Ok(certificate(material)),
    }
}

fn api_key(material: &Material) -> Vec<Case> {
    let known = format!("X-API-Key: {}", material.api_key);
    let unknown = format!("X-API-Key: {}", material.api_key_unknown);
    vec![
        case("a known key", &[&known], Expected::FromOrigin),
        case("no key", &[], UNAUTHENTICATED),
        case("an unknown key", &[&unknown], UNAUTHENTICATED),
        Case { path: PATH_UNKNOWN.to_owned(), ..case("a path that it may not have", &[&known], FORBIDDEN) },
    ]
}

fn token(algorithm: Algorithm, material: &Material) -> Result<Vec<Case>, Fault> {
    let bearer =
        |flaw, number| Ok::<_, Fault>(format!("Authorization: Bearer {}", material.token(algorithm, flaw, number)?));
    let good = bearer(Flaw::None, 0)?;
    let mut cases = vec![
        case("a good token", &[&good], Expected::FromOrigin),
        case("another good token", &[&bearer(Flaw::None, 1)?], Expected::FromOrigin),
        case("no token", &[], UNAUTHENTICATED),
        case("no token at all in its field", &["Authorization: Bearer a.b.c"], UNAUTHENTICATED),
        Case { path: PATH_UNKNOWN.to_owned(), ..case("a path that it may not have", &[&good], FORBIDDEN) },
    ];
    for (request, flaw, expected) in [
        ("an expired token", Flaw::Expired, UNAUTHENTICATED),
        ("a token for another audience", Flaw::Audience, NOT_FOR_US),
        ("a token of another issuer", Flaw::Issuer, NOT_FOR_US),
        ("a token signed by a stranger", Flaw::Signature, UNAUTHENTICATED),
        ("a token changed after signing", Flaw::Changed, UNAUTHENTICATED),
        ("a token with alg none", Flaw::Unsigned, UNAUTHENTICATED),
        ("a token without the scope", Flaw::Scope, FORBIDDEN),
    ] {
        cases.push(case(request, &[&bearer(flaw, 2)?], expected));
    }
    Ok(cases)
}

fn certificate(material: &Material) -> Vec<Case> {
    let with = |request, identity: &Identity, expected| Case {
        identity: Some(identity.clone()),
        ..case(request, &[], expected)
    };
    vec![
        with("the agent's certificate", &material.agent, Expected::FromOrigin),
        case("no certificate", &[], Expected::Refused),
        with("the agent's name by another CA", &material.stranger, Expected::Refused),
        with("another name by the right CA", &material.other, NOT_FOR_US),
        Case { path: PATH_UNKNOWN.to_owned(), ..with("a path that it may not have", &material.agent, FORBIDDEN) },
    ]
}

fn case(request: &'static str, fields: &[&str], expected: Expected) -> Case {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    Case { request, path: PATH.to_owned(), fields, identity: None, expected }
}
