//! `[[introspection_client]]`: as whom the gateway asks issuers about opaque tokens.

use control::assemble::{ClientProof, IntrospectionClient};
use toml::Spanned;

use super::file;
use super::read::{Checked, Source};

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
        let proof = match (secret, chain, key) {
            (Some(secret), None, None) => ClientProof::Secret(self.word_file("secret", secret)?),
            (None, Some(chain), Some(key)) => ClientProof::Certificate(self.chain(chain, key)?),
            _ => {
                let message =
                    format!("expected `secret`, or `chain` and `key`, of the introspection client \"{name}\"");
                let hint = "write secret = \"FILE\" (client_secret_basic), or chain = \"FILE\" and key = \"FILE\" (mutual TLS)";
                return self.refuse(&of.span(), message, hint);
            }
        };
        Ok(IntrospectionClient { name: name.clone(), id: self.visible("client_id", id)?, proof })
    }
}
