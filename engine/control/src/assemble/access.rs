//! What the gateway shows the servers that it asks, and whom it believes to be them. These files are read for each question, so
//! that who rotates them has to tell nobody; that one is another than before is on record all the same.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest, Sha256};
use stores::Server;
use stores::openbao::{CA_BYTES_MAX, TOKEN_BYTES_MAX, Token};

use super::files::{self, FileError};
use super::material::{Salt, SecretError, read_identity, read_line};
use super::tls::TlsError;
use super::{ChainFiles, ClientProof, CredentialSource, OriginCredential, hex};
use crate::moving::credential;
use crate::obtain;

/// One such file, or a chain with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Kind of its lines in the rotation log: what the server is asked for.
    pub of: &'static str,
    /// What it is asked for by name: a credential, a source of certificates, a channel.
    pub name: String,
    pub paper: Paper,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paper {
    /// A token, password or key: the first line, whatever follows.
    Secret(PathBuf),
    /// The same, as the one word of its file.
    Word(PathBuf),
    Certificate(ChainFiles),
    /// CAs that vouch for the server.
    Cas(PathBuf),
}

/// Why a paper is no good.
#[derive(Debug, thiserror::Error)]
pub enum PaperFault {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Certificate(#[from] TlsError),
    #[error(transparent)]
    Word(#[from] SecretError),
    #[error("{}: expected a line of text, found {found}", .path.display())]
    Secret { path: PathBuf, found: &'static str },
    #[error("{}: expected one or more CA certificates in PEM, found {found}", .path.display())]
    Cas { path: PathBuf, found: String },
}

impl PaperFault {
    /// As [`FileError::is_unread`].
    pub fn is_unread(&self) -> bool {
        match self {
            Self::File(error) => error.is_unread(),
            Self::Certificate(error) => error.is_unread(),
            Self::Word(error) => error.is_unread(),
            Self::Secret { .. } | Self::Cas { .. } => false,
        }
    }
}

impl Access {
    /// What a store on a server wants for the channel `name`.
    pub fn of_store(name: &str, server: &Server) -> Vec<Self> {
        let access = server.access();
        let chain = access.certificate.clone().map(|(chain, key)| Paper::Certificate(ChainFiles::given(chain, key)));
        let token = access.token_file.clone().map(Paper::Secret);
        Self::all("store-access", name, [token, chain, access.ca.clone().map(Paper::Cas)])
    }

    /// What an issuer of certificates wants.
    pub fn of_source(source: &obtain::Source) -> Vec<Self> {
        let (secret, ca) = match &source.kind {
            obtain::Kind::OpenBao(role) => (token_file(&role.server.token), &role.server.ca),
            obtain::Kind::Acme { directory, .. } => {
                (directory.external.as_ref().map(|external| external.key.clone()), &directory.ca)
            }
        };
        let papers = [secret.map(Paper::Secret), ca.clone().map(Paper::Cas)];
        Self::all("certificate-source-access", &source.name, papers)
    }

    /// What fetching a credential takes; nothing where it is a file itself.
    pub fn of_credential(of: &OriginCredential) -> Vec<Self> {
        let CredentialSource::Fetched(source) = &of.from else { return Vec::new() };
        let (own, ca) = match &**source {
            credential::Source::Openbao(kv) => (Paper::Word(kv.token.clone()), &kv.ca),
            credential::Source::Oauth(client) => (Paper::of(&client.proof), &client.ca),
        };
        Self::all("origin-credential-access", &of.name, [Some(own), ca.clone().map(Paper::Cas)])
    }

    /// What is wrong with it now.
    pub fn fault(&self) -> Option<String> {
        let fault = self.paper.thumbprints(&Salt::default()).err()?;
        Some(format!("{} \"{}\": {fault}: nothing can be asked with it", self.of, self.name))
    }

    fn all(of: &'static str, name: &str, papers: impl IntoIterator<Item = Option<Paper>>) -> Vec<Self> {
        papers.into_iter().flatten().map(|paper| Self { of, name: name.to_owned(), paper }).collect()
    }
}

fn token_file(token: &Token) -> Option<PathBuf> {
    match token {
        Token::File(path) => Some(path.clone()),
        Token::Given { .. } => None,
    }
}

impl Paper {
    fn of(proof: &ClientProof) -> Self {
        match proof {
            ClientProof::Secret(path) | ClientProof::SecretInForm(path) => Self::Word(path.clone()),
            ClientProof::Certificate(files) => Self::Certificate(files.clone()),
        }
    }

    /// That of the secret, of the certificate, or of the CAs.
    pub fn path(&self) -> &Path {
        match self {
            Self::Secret(path) | Self::Word(path) | Self::Cas(path) => path,
            Self::Certificate(files) => &files.chain,
        }
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Secret(path) | Self::Word(path) | Self::Cas(path) => vec![path.clone()],
            Self::Certificate(files) => vec![files.chain.clone(), files.key.clone()],
        }
    }

    /// Thumbprints of what is there now; of a secret one that holds as long as `salt` does.
    pub fn thumbprints(&self, salt: &Salt) -> Result<Vec<String>, PaperFault> {
        Ok(match self {
            Self::Secret(path) => vec![secret(path, salt)?],
            Self::Word(path) => vec![salt.thumbprint(&read_line(path)?)],
            Self::Certificate(files) => vec![read_identity(files)?.sha256],
            Self::Cas(path) => cas(path)?,
        })
    }
}

fn secret(path: &Path, salt: &Salt) -> Result<String, PaperFault> {
    let bytes = files::read_private(path, TOKEN_BYTES_MAX)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let wrong = |found| PaperFault::Secret { path: path.to_owned(), found };
    if line.is_empty() {
        return Err(wrong("nothing"));
    }
    if line.iter().any(u8::is_ascii_control) {
        return Err(wrong("control characters in it"));
    }
    Ok(salt.thumbprint(line))
}

fn cas(path: &Path) -> Result<Vec<String>, PaperFault> {
    let wrong = |found| PaperFault::Cas { path: path.to_owned(), found };
    let pem = files::read(path, CA_BYTES_MAX)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() {
        return Err(wrong("none".to_owned()));
    }
    Ok(read.iter().map(|certificate| hex(&Sha256::digest(certificate))).collect())
}

#[cfg(test)]
mod tests;
