//! One question: as whom, how, and what may come back.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use identity::token::Issuer;
use identity::token::opaque::AnswerFault;
use policy::model::{self, ServerCa};
use stores::http::{Bounds, Client, ClientIdentity, Place, PlaceFault, Trust, TrustFault};
use stores::oauth;

use super::clients::Clients;
use crate::assemble::IntrospectionClient;
use crate::assemble::client::ProofError;
use crate::bounds::{INTROSPECTION_BYTES_MAX, INTROSPECTION_MS_MAX, INTROSPECTION_STEP_MS_MAX};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    #[error("introspection: {0}")]
    Place(#[from] PlaceFault),
    #[error("introspection: {0}")]
    Trust(#[from] TrustFault),
    #[error("introspection: {0} needs a CA: nobody could say who it is")]
    NoCa(String),
    #[error(
        "introspection wants the client \"{0}\", which gateway.toml does not have: add an [[introspection_client]] with that \
         name, id, and secret or chain and key"
    )]
    ClientUnknown(String),
    #[error("introspection client \"{client}\": {cause}")]
    Proof { client: String, cause: ProofError },
    #[error("introspection: {0}")]
    Ask(Box<oauth::AskFault>),
    #[error("{place}: expected status 200, found {status}{}", hint(*status))]
    Status { place: String, status: u16 },
    #[error("{place}: {fault}")]
    Answer { place: String, fault: AnswerFault },
}

const fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => ", a redirect, which is never followed",
        401 => ": it does not know the gateway by this id and secret, or certificate",
        403 => ": it does not let this client ask about tokens",
        _ => "",
    }
}

/// What the server said, and where.
pub struct Said {
    pub place: String,
    pub content: Bytes,
}

/// Whether an issuer with `rules` can be asked at all, as far as the release says; with `clients`, those of a node, also
/// whether it has a good secret or certificate for it.
pub fn check(rules: &model::Issuer, clients: Option<&[IntrospectionClient]>) -> Result<(), AskFault> {
    let Some(asked) = &rules.introspection else { return Ok(()) };
    let place = Place::parse(&asked.url)?;
    let Some(clients) = clients else {
        // The CAs of a machine are for each machine.
        return if asked.ca == Some(ServerCa::System) { Ok(()) } else { connector(&place, asked, None).map(drop) };
    };
    let client = clients.iter().find(|client| client.name == asked.client);
    let client = client.ok_or_else(|| AskFault::ClientUnknown(asked.client.clone()))?;
    let unproven = |cause| AskFault::Proof { client: client.name.clone(), cause };
    let (_, identity) = client.proof.read().map_err(unproven)?;
    connector(&place, asked, identity).map(drop)
}

/// Asks `issuer` about `token`.
pub async fn ask(issuer: &Issuer, clients: &Clients, token: &[u8]) -> Result<Said, AskFault> {
    let asked = issuer.rules().introspection.as_ref();
    let asked = asked.ok_or_else(|| AskFault::ClientUnknown(String::new()))?;
    let (id, proof, identity) = clients.proof(&asked.client)?;
    let place = Place::parse(&asked.url)?;
    let connector = connector(&place, asked, identity)?;
    // RFC 7662 §2.1.
    let fields: [(&str, &[u8]); 2] = [("token", token), ("token_type_hint", b"access_token")];
    let unasked = |fault| AskFault::Ask(Box::new(fault));
    let request = oauth::post(&place, id, &proof, &fields).map_err(|fault| unasked(fault.into()))?;
    let answer = oauth::ask(&connector, &place, request).await.map_err(unasked)?;
    let place = place.to_string();
    match answer.status {
        StatusCode::OK => Ok(Said { place, content: answer.content }),
        other => Err(AskFault::Status { place, status: other.as_u16() }),
    }
}

fn connector(
    place: &Place,
    asked: &model::Introspection,
    identity: Option<ClientIdentity>,
) -> Result<Client, AskFault> {
    let trust = match &asked.ca {
        Some(ServerCa::Pinned { certificates }) => Some(Trust::Pinned(certificates)),
        Some(ServerCa::System) => Some(Trust::System),
        None if place.is_tls() => return Err(AskFault::NoCa(place.to_string())),
        None => None,
    };
    let bounds = Bounds {
        step: Duration::from_millis(INTROSPECTION_STEP_MS_MAX),
        whole: Duration::from_millis(INTROSPECTION_MS_MAX),
        content_bytes_max: INTROSPECTION_BYTES_MAX,
    };
    Ok(Client::known_as(trust.as_ref(), identity, bounds)?)
}
