//! Where an agent's token comes from, as options of `agent enroll`.

use std::path::PathBuf;

use agent::oauth::{ClientProof, TokenEndpoint};
use agent::profile::TokenSource;
use clap::{Args, ValueEnum};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// A file that holds the agent's token and that something else renews.
    #[arg(long, value_name = "FILE", conflicts_with = "token_url")]
    token_file: Option<PathBuf>,
    /// A token endpoint that gives the agent tokens by client credentials (OAuth 2); agent run renews them.
    #[arg(long, value_name = "URL", requires = "client_id")]
    token_url: Option<String>,
    /// PEM file with the CA of the token endpoint's certificate; this machine's CAs when absent.
    #[arg(long, value_name = "FILE", requires = "token_url")]
    token_ca: Option<PathBuf>,
    /// As whom the token endpoint knows the agent.
    #[arg(long, value_name = "ID", requires = "token_url")]
    client_id: Option<String>,
    /// How it knows it.
    #[arg(long, value_name = "HOW", requires = "token_url", default_value = "basic")]
    token_auth: TokenAuth,
    /// File whose first line is the client's secret; renewals read it too.
    #[arg(long, value_name = "FILE", requires = "token_url")]
    client_secret: Option<PathBuf>,
    /// PEM file of the P-256 key that signs for the client; renewals read it too.
    #[arg(long, value_name = "FILE", requires = "token_url")]
    client_key: Option<PathBuf>,
    /// What the token shall be good for, like "orders:read orders:write".
    #[arg(long, value_name = "SCOPES", requires = "token_url")]
    token_scope: Option<String>,
    /// The API that the token shall be good for (RFC 8707).
    #[arg(long, value_name = "URI", requires = "token_url")]
    token_resource: Option<String>,
    /// The same, for servers that call it audience.
    #[arg(long, value_name = "NAME", requires = "token_url")]
    token_audience: Option<String>,
    /// Have tokens bound to a key that is made here and never leaves (DPoP, RFC 9449); so it is without this where the
    /// release wants it.
    #[arg(long, requires = "token_url")]
    token_dpop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TokenAuth {
    /// --client-secret, as user and password (client_secret_basic)
    Basic,
    /// --client-secret, in the form (client_secret_post)
    Post,
    /// The agent's own certificate (RFC 8705); its tokens are bound to it
    Tls,
    /// --client-key (private_key_jwt)
    PrivateKeyJwt,
}

impl TokenArgs {
    /// None where no token is named.
    pub fn source(&self) -> Result<Option<TokenSource>, Failure> {
        let (Some(url), Some(client_id)) = (&self.token_url, &self.client_id) else {
            return Ok(self.token_file.clone().map(|path| TokenSource::File { path }));
        };
        let proof = match (self.token_auth, &self.client_secret, &self.client_key) {
            (TokenAuth::Basic, Some(file), None) => ClientProof::Secret { file: file.clone() },
            (TokenAuth::Post, Some(file), None) => ClientProof::SecretInForm { file: file.clone() },
            (TokenAuth::Tls, None, None) => ClientProof::Certificate,
            (TokenAuth::PrivateKeyJwt, None, Some(file)) => ClientProof::Key { file: file.clone() },
            _ => {
                let message = "expected one way to prove who the agent is to the token endpoint, found none or several";
                let help =
                    "--client-secret FILE; or --token-auth tls; or --token-auth private-key-jwt --client-key FILE";
                return Err(Failure::new(message).help(help));
            }
        };
        Ok(Some(TokenSource::Oauth(TokenEndpoint {
            url: url.clone(),
            ca_file: self.token_ca.clone(),
            client_id: client_id.clone(),
            proof,
            scope: self.token_scope.clone(),
            resource: self.token_resource.clone(),
            audience: self.token_audience.clone(),
            dpop: self.token_dpop,
        })))
    }
}
