//! `credential:NAME` where a certificate or key is named: what systemd hands to the unit (`LoadCredential=`,
//! `LoadCredentialEncrypted=`, systemd.exec(5)).

use std::ffi::OsString;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use control::assemble::files::CREDENTIALS_DIRECTORY;
use control::assemble::{ChainFiles, CredentialSource, OriginCredential};
use control::moving::credential;
use toml::Spanned;

use super::read::{Checked, Source};
use super::{file, words};

pub(super) const PREFIX: &str = "credential:";

impl Source<'_> {
    pub(super) fn chain(&self, chain: &Spanned<PathBuf>, key: &Spanned<PathBuf>) -> Checked<ChainFiles> {
        Ok(ChainFiles::given(self.secret_file(chain)?, self.key_path(key.get_ref(), &key.span())?))
    }

    pub(super) fn origin_credentials(&self, all: &[Spanned<file::OriginCredential>]) -> Checked<Vec<OriginCredential>> {
        let mut credentials: Vec<OriginCredential> = Vec::new();
        for of in all {
            let name = &of.get_ref().name;
            if credentials.iter().any(|other| other.name == *name) {
                let message = format!("the origin credential \"{name}\" is defined twice");
                return self.refuse(&of.span(), message, "give each one a name of its own");
            }
            let file::OriginCredential { file, openbao, oauth, .. } = of.get_ref();
            let from = match (file, openbao, oauth) {
                (Some(file), None, None) => {
                    CredentialSource::File(self.word_file(&format!("the origin credential \"{name}\""), file)?)
                }
                (None, Some(of), None) => {
                    CredentialSource::Fetched(Box::new(credential::Source::Openbao(self.kv_secret(of.get_ref())?)))
                }
                (None, None, Some(of)) => {
                    CredentialSource::Fetched(Box::new(credential::Source::Oauth(self.oauth_client(of)?)))
                }
                _ => {
                    let message =
                        format!("expected one of file, openbao and oauth of the origin credential \"{name}\"");
                    return self.refuse(&of.span(), message, "write where it comes from: file = \"FILE\", or a table");
                }
            };
            credentials.push(OriginCredential { name: name.clone(), from });
        }
        Ok(credentials)
    }

    /// A path, or `credential:NAME`.
    pub(super) fn secret_file(&self, path: &Spanned<PathBuf>) -> Checked<PathBuf> {
        self.secret_path(path.get_ref(), &path.span())
    }

    /// The same, of a secret that is one word, which `setting` names. Whoever wrote the word itself in the place of its file
    /// finds it in no message and no log: a file that is not there is refused before it is told to anybody by its name.
    pub(super) fn word_file(&self, setting: &str, path: &Spanned<PathBuf>) -> Checked<PathBuf> {
        self.word_path(setting, path.get_ref(), &path.span())
    }

    /// The same, of what is written somewhere in `span`.
    pub(super) fn word_path(&self, setting: &str, path: &Path, span: &Range<usize>) -> Checked<PathBuf> {
        let file = self.secret_path(path, span)?;
        match lacking(&file) {
            Some(error) => self.refuse_hidden(
                self.within_span(path, span),
                format!("the file that {setting} names cannot be read: {error}"),
                format!("{setting} takes the name of a file, which is not shown here in case it is the secret"),
            ),
            None => Ok(file),
        }
    }

    /// As [`Self::secret_path`], of a private key. What is not there and looks like no path may be a secret, and is not told.
    pub(super) fn key_path(&self, path: &Path, span: &Range<usize>) -> Checked<PathBuf> {
        match path.to_str().is_some_and(words::may_be_secret) {
            true => self.word_path("key", path, span),
            false => self.secret_path(path, span),
        }
    }

    /// As [`Self::secret_file`], of what is written somewhere in `span`.
    pub(super) fn secret_path(&self, path: &Path, span: &Range<usize>) -> Checked<PathBuf> {
        match credential(path, || std::env::var_os(CREDENTIALS_DIRECTORY)) {
            Ok(None) => Ok(self.resolve(path)),
            Ok(Some(path)) => Ok(path),
            Err((message, hint)) => self.refuse(span, message, hint),
        }
    }
}

/// Why nothing may be there; of what this user may not look at, something may.
fn lacking(file: &Path) -> Option<std::io::Error> {
    file.metadata().err().filter(|error| error.kind() != ErrorKind::PermissionDenied)
}

/// Whether `written` in the configuration at `config` may be what [`Source::word_file`] takes, and not the word itself.
pub fn is_file(config: &Path, written: &str) -> bool {
    match credential(Path::new(written), || std::env::var_os(CREDENTIALS_DIRECTORY)) {
        Ok(None) => lacking(&config.parent().unwrap_or(Path::new("")).join(written)).is_none(),
        Ok(Some(_)) | Err(_) => true,
    }
}

/// A path as it is, or the file of the credential that it names. What is wrong and what to do, where it is neither.
pub fn credential_or_path(path: &Path) -> Result<PathBuf, (String, &'static str)> {
    let named = credential(path, || std::env::var_os(CREDENTIALS_DIRECTORY))?;
    Ok(named.unwrap_or_else(|| path.to_owned()))
}

/// The file of a credential; none where `path` is a path. What is wrong and what to do, where it is neither.
fn credential(
    path: &Path,
    directory: impl FnOnce() -> Option<OsString>,
) -> Result<Option<PathBuf>, (String, &'static str)> {
    let Some(name) = path.to_str().and_then(|text| text.strip_prefix(PREFIX)) else { return Ok(None) };
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        let message =
            format!("expected the name of a credential behind \"{PREFIX}\", without a slash, found \"{name}\"");
        return Err((message, "write the name that LoadCredential= gives it, such as \"credential:server.key\""));
    }
    match directory().map(PathBuf::from).filter(|directory| directory.is_absolute()) {
        Some(directory) => Ok(Some(directory.join(name))),
        None => Err((
            format!(
                "expected ${CREDENTIALS_DIRECTORY}, where systemd puts credentials, found none: \"{name}\" cannot be read"
            ),
            "start the gateway as a systemd unit with LoadCredential= or LoadCredentialEncrypted=, or name a file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_a_name_and_a_directory() {
        let found = |path: &str| credential(Path::new(path), || Some("/run/credentials/adamant.service".into()));
        assert_eq!(found("server.pem"), Ok(None));
        let path = PathBuf::from("/run/credentials/adamant.service/server.key");
        assert_eq!(found("credential:server.key"), Ok(Some(path)));
        for wrong in ["credential:", "credential:a/b", "credential:/etc/shadow", "credential:..", "credential:."] {
            assert!(found(wrong).unwrap_err().0.contains("without a slash"), "{wrong}");
        }
        for missing in [None, Some("".into()), Some("relative".into())] {
            let (message, hint) = credential(Path::new("credential:k"), || missing).unwrap_err();
            assert!(message.contains("$CREDENTIALS_DIRECTORY") && hint.contains("LoadCredential="), "{message}");
        }
    }
}
