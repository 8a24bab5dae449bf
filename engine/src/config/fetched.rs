//! `openbao` and `oauth` of an `[[origin_credential]]`: secrets that the gateway fetches.

use control::assemble::ClientProof;
use control::moving::credential::{KvSecret, OauthClient};
use stores::http::Place;
use toml::Spanned;

use super::file;
use super::read::{Checked, Source};
use super::value::Milliseconds;

/// Bytes of a text that is sent to a server.
const TEXT_BYTES_MAX: usize = 1_024;
/// How often a KV engine is looked into unless told otherwise, at most and at least, milliseconds.
const REFRESH_MS: u32 = 60_000;
const REFRESH_MS_MAX: u32 = 24 * 3_600_000;
const REFRESH_MS_MIN: u32 = 1_000;
/// How long what was found there counts while it cannot be found again unless told otherwise, and at most, milliseconds.
const MAX_STALE_MS: u32 = 24 * 3_600_000;
const MAX_STALE_MS_MAX: u32 = 30 * 24 * 3_600_000;

impl Source<'_> {
    pub(super) fn kv_secret(&self, of: &file::KvSecret) -> Checked<KvSecret> {
        let refresh_ms = self.duration(of.refresh.as_ref(), Milliseconds(REFRESH_MS_MAX), Milliseconds(REFRESH_MS))?;
        if let Some(written) = of.refresh.as_ref().filter(|_| refresh_ms < REFRESH_MS_MIN) {
            let message = format!("expected 1s to 24h, found {}", written.get_ref());
            return self.refuse(&written.span(), message, "it is 1m without this line");
        }
        let stale = of.max_stale.as_ref();
        let max_stale_ms = self.duration(stale, Milliseconds(MAX_STALE_MS_MAX), Milliseconds(MAX_STALE_MS))?;
        if let Some(written) = stale.filter(|_| max_stale_ms < refresh_ms) {
            let message = format!(
                "expected max_stale of refresh ({}) or more, found {}",
                Milliseconds(refresh_ms),
                written.get_ref()
            );
            return self.refuse(&written.span(), message, "what is not looked for so often would never be fresh");
        }
        Ok(KvSecret {
            server: self.openbao_server(&of.address)?,
            ca: of.ca.as_ref().map(|path| self.resolve(path)),
            token: self.word_file("token", &of.token)?,
            namespace: self.namespace(of.namespace.as_ref())?,
            mount: self.openbao_path("mount", &of.mount)?,
            path: self.openbao_path("path", &of.path)?,
            field: self.visible("field", &of.field)?,
            refresh_s: u64::from(refresh_ms / 1_000),
            max_stale_s: u64::from(max_stale_ms / 1_000),
        })
    }

    pub(super) fn oauth_client(&self, of: &Spanned<file::OauthClient>) -> Checked<OauthClient> {
        let written = of.get_ref();
        let proof = match (&written.secret, written.secret_in, &written.chain, &written.key) {
            (Some(secret), file::SecretIn::Header, None, None) => {
                ClientProof::Secret(self.word_file("secret", secret)?)
            }
            (Some(secret), file::SecretIn::Form, None, None) => {
                ClientProof::SecretInForm(self.word_file("secret", secret)?)
            }
            (None, file::SecretIn::Header, Some(chain), Some(key)) => ClientProof::Certificate(self.chain(chain, key)?),
            _ => {
                let message = "expected `secret`, or `chain` and `key`, of an OAuth client".to_owned();
                let hint = "write secret = \"FILE\" (and secret_in = \"form\" where the server wants it there), or \
                            chain = \"FILE\" and key = \"FILE\" (mutual TLS)";
                return self.refuse(&of.span(), message, hint);
            }
        };
        let text =
            |name: &str, text: &Option<Spanned<String>>| text.as_ref().map(|text| self.visible(name, text)).transpose();
        Ok(OauthClient {
            token_endpoint: self.place(&written.token_url)?,
            ca: written.ca.as_ref().map(|path| self.resolve(path)),
            id: self.visible("client_id", &written.client_id)?,
            proof,
            scope: text("scope", &written.scope)?,
            resource: text("resource", &written.resource)?,
            audience: text("audience", &written.audience)?,
        })
    }

    fn place(&self, url: &Spanned<String>) -> Checked<Place> {
        let hint = "the gateway shows its secret there: to a server that proves who it is";
        Place::parse_for_secret(url.get_ref()).or_else(|fault| self.refuse(&url.span(), fault.to_string(), hint))
    }

    /// Text that a server is sent as it stands here.
    pub(super) fn visible(&self, name: &str, text: &Spanned<String>) -> Checked<String> {
        let found = text.get_ref();
        if (1..=TEXT_BYTES_MAX).contains(&found.len()) && found.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Ok(found.clone());
        }
        let message = format!("expected {name} as 1 to {TEXT_BYTES_MAX} bytes of ASCII, found something else");
        self.refuse(&text.span(), message, "write it as the server has it")
    }
}
