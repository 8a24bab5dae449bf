//! As whom issuers are asked. What proves it is read for each question, so that who rotates it has to tell nobody; that it is
//! another one than before is on record.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use stores::http::ClientIdentity;
use stores::oauth::Proof;

use super::AskFault;
use crate::assemble::client::ProofError;
use crate::assemble::material::Salt;
use crate::assemble::{IntrospectionClient, hex};
use crate::moving::{Outcome, Rotation, Why};
use crate::records::Handle;

/// Kind of the lines of the rotation log.
const OF: &str = "introspection-client";

/// Those of the node.
pub struct Clients {
    of: BTreeMap<String, Known>,
    salt: Salt,
    records: Handle,
}

struct Known {
    client: IntrospectionClient,
    seen: Mutex<Seen>,
}

/// What was read last.
#[derive(Default)]
struct Seen {
    /// Of the last that was good.
    thumbprint: Option<String>,
    /// What is wrong with what is there now.
    wrong: Option<String>,
}

type Read = Result<(Proof, Option<ClientIdentity>), ProofError>;

impl Clients {
    /// What is there at the start is no news.
    pub fn new(clients: &[IntrospectionClient], records: Handle) -> Self {
        let salt = Salt::draw();
        let known = |client: &IntrospectionClient| {
            let read = client.proof.read();
            let wrong = read.as_ref().err().map(ToString::to_string);
            let seen = Mutex::new(Seen { thumbprint: thumbprint(&salt, &read), wrong });
            (client.name.clone(), Known { client: client.clone(), seen })
        };
        Self { of: clients.iter().map(known).collect(), salt, records }
    }

    /// The id of a client, and what the issuer knows it by.
    pub fn proof(&self, name: &str) -> Result<(&str, Proof, Option<ClientIdentity>), AskFault> {
        let known = self.of.get(name).ok_or_else(|| AskFault::ClientUnknown(name.to_owned()))?;
        // Over reading, too: of two questions none takes the older one for the newer.
        let mut seen = known.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = known.client.proof.read();
        self.tell(&known.client, &mut seen, &read);
        let (proof, identity) = read.map_err(|cause| AskFault::Proof { client: name.to_owned(), cause })?;
        Ok((&known.client.id, proof, identity))
    }

    fn tell(&self, client: &IntrospectionClient, seen: &mut Seen, read: &Read) {
        let (name, source) = (&client.name, &*client.proof.file().display().to_string());
        let tell = |outcome: Outcome<'_>, old: &[String], new: &[String]| {
            Rotation { of: OF, name, source, why: Why::Changed, outcome, old, new }.tell(&self.records);
        };
        match (read, thumbprint(&self.salt, read)) {
            (Err(error), _) => {
                let error = error.to_string();
                if seen.wrong.as_ref() != Some(&error) {
                    tell(Outcome::Refused(&error), &[], &[]);
                }
                seen.wrong = Some(error);
            }
            (Ok(_), next) if next == seen.thumbprint => {
                if seen.wrong.take().is_some() {
                    tell(Outcome::Unchanged, &[], &[]);
                }
            }
            (Ok(_), next) => {
                tell(Outcome::Taken, seen.thumbprint.as_slice(), next.as_slice());
                crate::info!("introspection client \"{name}\": what {source} holds now goes to issuers");
                *seen = Seen { thumbprint: next, wrong: None };
            }
        }
    }
}

/// None of what could not be read.
fn thumbprint(salt: &Salt, read: &Read) -> Option<String> {
    let (proof, identity) = read.as_ref().ok()?;
    match (proof, identity) {
        (Proof::Basic(secret) | Proof::Post(secret), _) => Some(salt.thumbprint(secret)),
        (_, Some(identity)) => identity.chain.first().map(|leaf| hex(&Sha256::digest(leaf))),
        (_, None) => None,
    }
}
