//! Certificates with their keys: from files, or from the issuers of `[[certificate_source]]`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use control::assemble::{ChainFiles, ClientCertificates, ListenerFiles, MinimumVersion, OriginIdentityFiles};
use control::bounds::{CERTIFICATE_NAMES_MAX, CERTIFICATES_OBTAINED_MAX};
use control::obtain::{Kind, Source as From, Wanted};
use stores::http::Place;
use stores::issue::acme::{ChallengeKind, Directory, External};
use stores::issue::{Name, Purpose};
use toml::Spanned;

use super::file;
use super::read::{Checked, Source};
use super::value::Milliseconds;

/// How long a certificate lives unless configured, seconds.
const LIFE_S: u64 = 86_400;
/// The shortest that can be asked for, seconds.
const LIFE_S_MIN: u64 = 3;
/// Bytes of a contact.
const CONTACT_BYTES_MAX: usize = 256;

/// The issuers of the file, and what is wanted of them.
pub struct Issuers {
    state: PathBuf,
    sources: BTreeMap<String, Arc<From>>,
    pub wanted: Vec<Wanted>,
}

/// A certificate as it is written.
struct Written<'f> {
    chain: Option<&'f Spanned<PathBuf>>,
    key: Option<&'f Spanned<PathBuf>>,
    from: Option<&'f Spanned<String>>,
    names: Option<&'f Spanned<Vec<Spanned<String>>>>,
    life: Option<&'f Spanned<Milliseconds>>,
    span: Range<usize>,
}

impl<'f> Written<'f> {
    fn of(written: &'f Spanned<file::Certificate>) -> Self {
        let file::Certificate { chain, key, from, names, life } = written.get_ref();
        let (chain, key, span) = (chain.as_ref(), key.as_ref(), written.span());
        Self { chain, key, from: from.as_ref(), names: names.as_ref(), life: life.as_ref(), span }
    }

    fn of_identity(written: &'f Spanned<file::OriginIdentity>) -> Self {
        let file::OriginIdentity { chain, key, from, names, life, .. } = written.get_ref();
        let (chain, key, span) = (chain.as_ref(), key.as_ref(), written.span());
        Self { chain, key, from: from.as_ref(), names: names.as_ref(), life: life.as_ref(), span }
    }
}

impl Source<'_> {
    /// Those that `all` names; nothing is wanted of them yet.
    pub fn issuers(&self, all: &[Spanned<file::CertificateSource>], state: PathBuf) -> Checked<Issuers> {
        let mut sources = BTreeMap::new();
        for of in all {
            let name = &of.get_ref().name;
            let kind = match (&of.get_ref().openbao, &of.get_ref().acme) {
                (Some(openbao), None) => Kind::OpenBao(self.openbao_role(openbao)?),
                (None, Some(acme)) => {
                    let http = acme.get_ref().http_challenge.as_ref().map(|at| at.get_ref().0);
                    Kind::Acme { directory: self.acme_directory(acme)?, http }
                }
                _ => {
                    let message = format!("expected either openbao or acme of the certificate source \"{name}\"");
                    let hint = "write openbao = { address = \"https://…\", ca = \"FILE\", token = \"FILE\", role = \"…\" }, or acme = { \
                                directory = \"https://…\", agree_to_terms = true }";
                    return self.refuse(&of.span(), message, hint);
                }
            };
            let source = Arc::new(From { name: name.clone(), kind });
            if sources.insert(name.clone(), source).is_some() {
                let message = format!("the certificate source \"{name}\" is defined twice");
                return self.refuse(&of.span(), message, "give each one a name of its own");
            }
        }
        Ok(Issuers { state, sources, wanted: Vec::new() })
    }

    fn acme_directory(&self, acme: &Spanned<file::Acme>) -> Checked<Directory> {
        let written = acme.get_ref();
        if written.agree_to_terms != Some(true) {
            let found = written.agree_to_terms.map_or("no word of it", |_| "false");
            let message = format!("expected agree_to_terms = true, found {found}");
            return self.refuse(&acme.span(), message, "read the terms of service of the CA; if you agree, say true");
        }
        for contact in &written.contact {
            let text = contact.get_ref();
            if !text.starts_with("mailto:")
                || text.len() > CONTACT_BYTES_MAX
                || !text.bytes().all(|of| of.is_ascii_graphic())
            {
                let message = format!("expected a contact like \"mailto:ops@corp.example\", found \"{text}\"");
                return self.refuse(&contact.span(), message, "or leave contact out");
            }
        }
        let external = written
            .external_account
            .as_ref()
            .map(|of| Ok(External { key_id: of.key_id.clone(), key: self.word_file("key", &of.key)? }));
        Ok(Directory {
            place: self.https(&written.directory, "ACME is spoken over TLS (RFC 8555 §6.1)")?,
            ca: written.ca.as_deref().map(|path| self.resolve(path)),
            contact: written.contact.iter().map(|contact| contact.get_ref().clone()).collect(),
            external: external.transpose()?,
            challenge: match written.http_challenge {
                Some(_) => ChallengeKind::Http,
                None => ChallengeKind::TlsAlpn,
            },
        })
    }

    fn https(&self, url: &Spanned<String>, why: &str) -> Checked<Place> {
        match Place::parse(url.get_ref()) {
            Ok(place) if place.is_tls() => Ok(place),
            Ok(_) => self.refuse(&url.span(), format!("expected an https URL, found \"{}\"", url.get_ref()), why),
            Err(fault) => self.refuse(&url.span(), fault.to_string(), "write https://HOST[:PORT][/PATH]"),
        }
    }

    pub fn tls(&self, tls: &file::Tls, issuers: &mut Issuers) -> Checked<ListenerFiles> {
        let written = tls.certificates.get_ref();
        if written.is_empty() {
            let message = "expected at least one certificate, found none".to_owned();
            let hint = "write certificates = [{ chain = \"…\", key = \"…\" }]";
            return self.refuse(&tls.certificates.span(), message, hint);
        }
        let (mut certificates, mut awaited) = (Vec::new(), Vec::new());
        for of in written {
            let (files, source) = self.certificate(&Written::of(of), Purpose::Server, issuers)?;
            if source.is_some_and(|source| source.comes_while_serving()) {
                awaited.push(files.chain.clone());
            }
            certificates.push(files);
        }
        Ok(ListenerFiles {
            certificates,
            awaited,
            client_certificates: match tls.client_certificates {
                file::ClientCertificates::Off => ClientCertificates::Off,
                file::ClientCertificates::Optional => ClientCertificates::Optional,
                file::ClientCertificates::Required => ClientCertificates::Required,
            },
            min_version: match tls.min_version {
                file::MinimumVersion::Tls12 => MinimumVersion::Tls12,
                file::MinimumVersion::Tls13 => MinimumVersion::Tls13,
            },
        })
    }

    /// A certificate that must be there before anything is served with it.
    pub fn certificate_at_start(
        &self,
        written: &Spanned<file::Certificate>,
        issuers: &mut Issuers,
    ) -> Checked<ChainFiles> {
        let (files, source) = self.certificate(&Written::of(written), Purpose::Server, issuers)?;
        if source.is_some_and(|source| source.comes_while_serving()) {
            let span = written.get_ref().from.as_ref().map_or(written.span(), Spanned::span);
            let message =
                "ACME gives certificates to a [[listener]] or an [[origin_identity]], found it here".to_owned();
            return self.refuse(&span, message, "name a source with openbao, or files: chain and key");
        }
        Ok(files)
    }

    /// `listeners`: what makes those that speak TLS.
    pub fn origin_identities(
        &self,
        all: &[Spanned<file::OriginIdentity>],
        listeners: &[Option<ListenerFiles>],
        issuers: &mut Issuers,
    ) -> Checked<Vec<OriginIdentityFiles>> {
        let mut identities: Vec<OriginIdentityFiles> = Vec::new();
        for identity in all {
            let name = &identity.get_ref().name;
            if identities.iter().any(|other| other.name == *name) {
                let message = format!("the origin identity \"{name}\" is defined twice");
                return self.refuse(&identity.span(), message, "give each one a name of its own");
            }
            let (files, source) = self.certificate(&Written::of_identity(identity), Purpose::Client, issuers)?;
            let by_listener =
                source.as_ref().is_some_and(|source| matches!(source.kind, Kind::Acme { http: None, .. }));
            if by_listener && !listeners.iter().any(Option::is_some) {
                let span = identity.get_ref().from.as_ref().map_or(identity.span(), Spanned::span);
                let message = "expected a [[listener]] with tls, which answers ACME servers (tls-alpn-01), found none";
                let hint = "add http_challenge = \"0.0.0.0:80\" to the source (http-01), or a listener with tls";
                return self.refuse(&span, message.to_owned(), hint);
            }
            let awaited = source.is_some_and(|source| source.comes_while_serving());
            identities.push(OriginIdentityFiles { name: name.clone(), files, awaited });
        }
        Ok(identities)
    }

    /// Where it is found, and who gives it.
    fn certificate(
        &self,
        written: &Written<'_>,
        purpose: Purpose,
        issuers: &mut Issuers,
    ) -> Checked<(ChainFiles, Option<Arc<From>>)> {
        let Written { chain, key, from, names, life, span } = written;
        match (chain, key, from, names) {
            (Some(chain), Some(key), None, None) if life.is_none() => Ok((self.chain(chain, key)?, None)),
            (None, None, Some(from), Some(names)) => {
                let wanted = self.wanted(from, names, *life, purpose, issuers)?;
                let (files, source) = (wanted.files(), Arc::clone(&wanted.source));
                if !issuers.wanted.iter().any(|other| other.file == wanted.file) {
                    issuers.wanted.push(wanted);
                }
                if issuers.wanted.len() > CERTIFICATES_OBTAINED_MAX {
                    let message =
                        format!("expected at most {CERTIFICATES_OBTAINED_MAX} certificates from sources, found more");
                    return self.refuse(span, message, "put several names into one certificate");
                }
                Ok((files, Some(source)))
            }
            _ => {
                let message = "expected a certificate as chain and key, or as from and names".to_owned();
                let hint = "write chain = \"FILE\" and key = \"FILE\", or from = \"SOURCE\" and names = [\"api.corp.example\"] with a \
                            [[certificate_source]] of that name";
                self.refuse(span, message, hint)
            }
        }
    }

    fn wanted(
        &self,
        from: &Spanned<String>,
        written: &Spanned<Vec<Spanned<String>>>,
        life: Option<&Spanned<Milliseconds>>,
        purpose: Purpose,
        issuers: &Issuers,
    ) -> Checked<Wanted> {
        let Some(source) = issuers.sources.get(from.get_ref()) else {
            let message = format!("expected the name of a [[certificate_source]], found \"{}\"", from.get_ref());
            return self.refuse(&from.span(), message, "add one of that name, with openbao or acme");
        };
        let count = written.get_ref().len();
        if count == 0 || count > CERTIFICATE_NAMES_MAX {
            let message = format!("expected 1 to {CERTIFICATE_NAMES_MAX} names, found {count}");
            return self.refuse(&written.span(), message, "write names = [\"api.corp.example\"]");
        }
        let mut names = Vec::new();
        for text in written.get_ref() {
            let name = match text.get_ref().parse::<Name>() {
                Ok(name) => name,
                Err(fault) => {
                    return self.refuse(&text.span(), fault.to_string(), "write names = [\"api.corp.example\"]");
                }
            };
            let is_plain = name.dns().is_some_and(|name| !name.starts_with("*."));
            if !is_plain && source.comes_while_serving() {
                let message =
                    format!("ACME (tls-alpn-01, http-01) proves DNS names without \"*\" alone, found \"{name}\"");
                return self.refuse(&text.span(), message, "write each name out");
            }
            if matches!(name, Name::Uri(_)) && purpose == Purpose::Server {
                let message = format!("clients look for a DNS name or an address, found \"{name}\"");
                return self.refuse(&text.span(), message, "a URI is for an [[origin_identity]]");
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let life_s = self.life_s(life, source)?;
        Ok(Wanted::new(&issuers.state, Arc::clone(source), names, purpose, life_s))
    }

    fn life_s(&self, life: Option<&Spanned<Milliseconds>>, source: &From) -> Checked<u64> {
        let Some(life) = life else { return Ok(LIFE_S) };
        let life_s = u64::from(life.get_ref().0) / 1_000;
        if source.comes_while_serving() {
            let message = "an ACME server says itself how long its certificates live".to_owned();
            return self.refuse(&life.span(), message, "remove life");
        }
        if life_s < LIFE_S_MIN {
            let message = format!("expected a life of {LIFE_S_MIN}s or more, found {}", life.get_ref());
            return self.refuse(&life.span(), message, "it is 24h without this line");
        }
        Ok(life_s)
    }
}
