//! What a table says of an OpenBao or a Vault: where it is, and what is asked for there.

use stores::http::Place;
use stores::issue::pki::Role;
use stores::openbao::{OpenBao, Token};
use toml::Spanned;

use super::file;
use super::read::{Checked, Source};

/// Bytes of a path.
const PATH_BYTES_MAX: usize = 1_024;

impl Source<'_> {
    pub(super) fn openbao_role(&self, written: &file::OpenBaoPki) -> Checked<Role> {
        Ok(Role {
            server: OpenBao {
                server: self.openbao_server(&written.address)?,
                ca: written.ca.as_deref().map(|path| self.resolve(path)),
                namespace: self.namespace(written.namespace.as_ref())?,
                token: Token::File(self.word_file("token", &written.token)?),
            },
            mount: match &written.mount {
                Some(mount) => self.openbao_path("mount", mount)?,
                None => "pki".to_owned(),
            },
            role: self.openbao_path("role", &written.role)?,
        })
    }

    pub(super) fn openbao_server(&self, address: &Spanned<String>) -> Checked<Place> {
        // Whoever listens on that port of this machine, while the server does not, would be given the token.
        let hint = "the token is shown to servers that prove who they are, and to no others";
        let server =
            Place::parse(address.get_ref()).or_else(|fault| self.refuse(&address.span(), fault.to_string(), hint))?;
        if !server.is_tls() {
            let message = format!("expected https://HOST:PORT, found {}", address.get_ref());
            return self.refuse(&address.span(), message, hint);
        }
        if server.path() != "/" {
            let message = format!("expected https://HOST:PORT, found the path {} behind it", server.path());
            return self.refuse(&address.span(), message, "mount and path or role stand beside it");
        }
        Ok(server)
    }

    pub(super) fn namespace(&self, written: Option<&Spanned<String>>) -> Checked<Option<String>> {
        written.map(|text| self.visible("namespace", text)).transpose()
    }

    /// A path below another one, without slashes at its ends.
    pub(super) fn openbao_path(&self, name: &str, text: &Spanned<String>) -> Checked<String> {
        let found = text.get_ref().trim_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        if found.len() <= PATH_BYTES_MAX && found.split('/').all(is_plain) {
            return Ok(found.to_owned());
        }
        let message = format!(
            "expected {name} as 1 to {PATH_BYTES_MAX} letters, digits, \"-\", \"_\", \".\" and \"/\", found \"{}\"",
            text.get_ref()
        );
        self.refuse(&text.span(), message, "write it as the server has it, such as mount = \"pki\"")
    }
}
