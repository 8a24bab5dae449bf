//! What a policy asks of its gateway, and gateway.toml names otherwise: secrets and certificates, as options.

use std::path::PathBuf;

use clap::Args;
use control::assemble::{
    ChainFiles, ClientProof, CredentialSource, IntrospectionClient, OriginCredential, OriginIdentityFiles,
};
use policy::model::Policy;

use crate::failure::Failure;
use crate::files;

#[derive(Debug, Default, Args)]
pub struct Given {
    /// The secret of an origin's credentials: a file with one line, mode 0600.
    #[arg(long = "origin-credential", value_name = "NAME=FILE", value_parser = credential)]
    credentials: Vec<OriginCredential>,
    /// The client certificate of an origin's tls.identity, with its key (PEM, mode 0600).
    #[arg(long = "origin-identity", value_name = "NAME=CHAIN,KEY", value_parser = identity)]
    identities: Vec<OriginIdentityFiles>,
    /// As whom issuers are asked about opaque tokens: client_id, and a file with its secret, mode 0600.
    #[arg(long = "introspection-client", value_name = "NAME=ID,FILE", value_parser = client)]
    clients: Vec<IntrospectionClient>,
}

impl Given {
    /// Refuses what lacks something that `policy` asks for, and says how to give it.
    pub fn check(&self, policy: &Policy) -> Result<(), Failure> {
        for of in &self.credentials {
            if let CredentialSource::File(file) = &of.from {
                files::expect_there("--origin-credential", file)?;
            }
        }
        for of in &self.clients {
            if let ClientProof::Secret(file) = &of.proof {
                files::expect_there("--introspection-client", file)?;
            }
        }
        for origin in &policy.origins {
            let missing = |what: &str, name: &str, how: String| {
                let wants = format!("origin \"{}\" wants the {what} \"{name}\"", origin.name);
                Err(Failure::new(wants).help(format!("give it: {how}")))
            };
            if let Some(of) = &origin.credential
                && !self.credentials.iter().any(|given| given.name == of.from)
            {
                return missing("credential", &of.from, format!("--origin-credential {}=FILE", of.from));
            }
            if let Some(name) = origin.tls.as_ref().and_then(|tls| tls.identity.as_ref())
                && !self.identities.iter().any(|given| given.name == *name)
            {
                return missing("identity", name, format!("--origin-identity {name}=CHAIN,KEY"));
            }
        }
        for issuer in &policy.issuers {
            if let Some(asked) = &issuer.introspection
                && !self.clients.iter().any(|given| given.name == asked.client)
            {
                let (issuer, name) = (&issuer.name, &asked.client);
                let wants = format!("issuer \"{issuer}\" is asked about opaque tokens as \"{name}\"");
                return Err(Failure::new(wants).help(format!("give it: --introspection-client {name}=ID,FILE")));
            }
        }
        Ok(())
    }

    /// As a node has them.
    pub fn into_parts(self) -> (Vec<OriginCredential>, Vec<OriginIdentityFiles>, Vec<IntrospectionClient>) {
        (self.credentials, self.identities, self.clients)
    }
}

/// `NAME=REST`, neither of them empty.
fn named<'t>(text: &'t str, expected: &str) -> Result<(String, &'t str), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => Ok((name.to_owned(), rest)),
        _ => Err(format!("expected {expected}")),
    }
}

/// The same, REST being two with a comma between.
fn named_pair<'t>(text: &'t str, expected: &str) -> Result<(String, &'t str, PathBuf), String> {
    let (name, rest) = named(text, expected)?;
    match rest.rsplit_once(',') {
        Some((first, file)) if !first.is_empty() && !file.is_empty() => Ok((name, first, file.into())),
        _ => Err(format!("expected {expected}")),
    }
}

fn credential(text: &str) -> Result<OriginCredential, String> {
    let (name, file) = named(text, "NAME=FILE, for example orders=orders.secret")?;
    Ok(OriginCredential { name, from: CredentialSource::File(file.into()) })
}

fn identity(text: &str) -> Result<OriginIdentityFiles, String> {
    let (name, chain, key) = named_pair(text, "NAME=CHAIN,KEY, for example orders=client.pem,client.key")?;
    Ok(OriginIdentityFiles { name, files: ChainFiles::given(chain.into(), key), awaited: false })
}

fn client(text: &str) -> Result<IntrospectionClient, String> {
    let (name, id, secret) = named_pair(text, "NAME=ID,FILE, for example gateway=adamant-edge,client.secret")?;
    Ok(IntrospectionClient { name, id: id.to_owned(), proof: ClientProof::Secret(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken_apart_and_half_of_it_is_refused() {
        let given = credential("orders=a=b.secret").unwrap();
        assert_eq!((given.name.as_str(), given.from), ("orders", CredentialSource::File("a=b.secret".into())));
        let given = identity("orders=a.pem,b.key").unwrap();
        assert_eq!((given.files.chain.to_str(), given.files.key.to_str()), (Some("a.pem"), Some("b.key")));
        let given = client("gw=https://id/a,b,c.secret").unwrap();
        let ClientProof::Secret(file) = given.proof else { panic!("a secret was given") };
        assert_eq!((given.id.as_str(), file.to_str()), ("https://id/a,b", Some("c.secret")));
        for bad in ["", "orders", "=a,b", "orders=", "orders=a", "orders=,b", "orders=a,"] {
            assert!(identity(bad).unwrap_err().contains("expected NAME=CHAIN,KEY"), "{bad}");
            assert!(client(bad).unwrap_err().contains("expected NAME=ID,FILE"), "{bad}");
        }
        assert!(credential("orders").is_err());
    }
}
