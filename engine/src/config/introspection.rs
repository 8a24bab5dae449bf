//! `[[introspection_client]]`: as whom the gateway asks issuers about opaque tokens.

use control::assemble::{IntrospectionClient, IntrospectionProof};
use toml::Spanned;

use super::file;
use super::read::{Checked, Source};

/// Bytes of a `client_id`.
const ID_BYTES_MAX: usize = 256;

impl Source<'_> {
    pub(super) fn introspection_clients(
        &self,
        all: &[Spanned<file::IntrospectionClient>],
    ) -> Checked<Vec<IntrospectionClient>> {
        let mut clients: Vec<IntrospectionClient> = Vec::new();
        for of in all {
            let name = &of.get_ref().name;
            if clients.iter().any(|other| other.name == *name) {
                let message = format!("the introspection client \"{name}\" is defined twice");
                return self.refuse(&of.span(), message, "give each one a name of its own");
            }
            clients.push(self.introspection_client(of)?);
        }
        Ok(clients)
    }

    fn introspection_client(&self, of: &Spanned<file::IntrospectionClient>) -> Checked<IntrospectionClient> {
        let file::IntrospectionClient { name, id, secret, chain, key } = of.get_ref();
        let visible = |id: &str| id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if id.get_ref().is_empty() || id.get_ref().len() > ID_BYTES_MAX || !visible(id.get_ref()) {
            let message = format!("expected the client_id as 1 to {ID_BYTES_MAX} bytes of ASCII, found something else");
            return self.refuse(&id.span(), message, "write the client_id that the issuer gave the gateway");
        }
        let proof = match (secret, chain, key) {
            (Some(secret), None, None) => IntrospectionProof::Secret(self.secret_file(secret)?),
            (None, Some(chain), Some(key)) => IntrospectionProof::Certificate(self.chain(chain, key)?),
            _ => {
                let message =
                    format!("expected `secret`, or `chain` and `key`, of the introspection client \"{name}\"");
                let hint = "write secret = \"FILE\" (client_secret_basic), or chain = \"FILE\" and key = \"FILE\" (mutual TLS)";
                return self.refuse(&of.span(), message, hint);
            }
        };
        Ok(IntrospectionClient { name: name.clone(), id: id.get_ref().clone(), proof })
    }
}
