//! What authorization servers know the gateway by.

use std::path::{Path, PathBuf};

use stores::http::ClientIdentity;
use stores::oauth::Proof;

use super::ChainFiles;
use super::material::{SecretError, read_identity, read_line};
use super::tls::TlsError;

/// How the gateway proves that it is a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// A file with the client's secret (`client_secret_basic`).
    Secret(PathBuf),
    /// The same, sent in the form (`client_secret_post`).
    SecretInForm(PathBuf),
    Certificate(ChainFiles),
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Certificate(#[from] Box<TlsError>),
}

impl ClientProof {
    /// The file of the secret, or of the certificate's chain.
    pub fn file(&self) -> &Path {
        match self {
            Self::Secret(file) | Self::SecretInForm(file) => file,
            Self::Certificate(files) => &files.chain,
        }
    }

    /// The proof as its files are now, and the certificate to be shown in the handshake where that is it.
    pub fn read(&self) -> Result<(Proof, Option<ClientIdentity>), ProofError> {
        Ok(match self {
            Self::Secret(file) => (Proof::Basic(read_line(file)?), None),
            Self::SecretInForm(file) => (Proof::Post(read_line(file)?), None),
            Self::Certificate(files) => {
                let read = read_identity(files).map_err(Box::new)?;
                (Proof::Certificate, Some(ClientIdentity { chain: read.chain, key: read.key.clone_key() }))
            }
        })
    }
}
